"""Compares a jitted function with the function itself, call by call."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.core.pytree import flatten


def close(got: Any, wanted: Any) -> None:
    """Assert that two nests have equal structure, types and dtypes, and values within a few ulp."""
    leaves, structure = flatten(got)
    expected, wanted_structure = flatten(wanted)
    assert structure == wanted_structure
    for a, b in zip(leaves, expected):
        assert type(a) is type(b), (type(a), type(b))
        if isinstance(b, np.ndarray | np.generic):
            assert a.dtype == b.dtype, (a.dtype, b.dtype)
            assert np.shape(a) == np.shape(b)
            if b.dtype.kind in "fc":
                tolerance = 1e-5 if b.real.dtype.itemsize <= 4 else 1e-12
                np.testing.assert_allclose(a, b, tolerance, tolerance)
                continue
        np.testing.assert_array_equal(a, b)


def check(function: Callable[..., Any], *calls: tuple[Any, ...], eager: bool = False) -> Any:
    """Assert that jit gives what the function gives, and writes what it writes, at each call.

    Parameters
    ----------
    function : callable
    *calls : tuple
        Positional arguments; each call is made three times.
    eager : bool
        Whether the function is expected to be run as it is, with one warning.

    Returns
    -------
    The jitted function.
    """
    jitted = tg.jit(function)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for args in [c for c in calls for _ in range(3)]:
            theirs, ours = copy.deepcopy(args), copy.deepcopy(args)
            with np.errstate(all="ignore"):
                wanted, got = function(*theirs), jitted(*ours)
            close(got, wanted)
            close(ours, theirs)
    messages = [str(w.message) for w in caught if "without compiling" in str(w.message)]
    assert len(messages) == eager, messages
    if not eager:
        assert jitted.stats().eager_calls == 0
    return jitted


X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)
V = np.array([0.5, -1.0, 2.0])


def agree(function: Callable[..., Any], *calls: tuple[Any, ...]) -> None:
    """Assert that jit gives, or raises, what the function does, in turns: types, dtypes and bits."""
    jitted = tg.jit(function)
    for args in calls * 2:
        try:
            want = function(*args)
        except Exception as error:
            with pytest.raises(type(error)):
                jitted(*args)
            continue
        got = jitted(*args)
        assert type(got) is type(want)
        if isinstance(want, np.ndarray | np.generic):
            assert got.dtype == want.dtype
        np.testing.assert_equal(got, want)
