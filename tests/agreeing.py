"""Programs whose values and gradients are compared with their own run and with differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

import tapegrad as tg

__all__ = ["X", "check"]

X = np.linspace(0.3, 1.1, 6)


def check(function: Callable[[Any], Any]) -> None:
    """Assert that a function is what it is, and has its derivative, with and without ``jit``."""
    compiled, differentiated = tg.jit(function), tg.jit(tg.value_and_grad(function))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x in (X, X, X * 1.1):
            value, gradient = function(x), _derivative(function, x)
            assert_allclose(compiled(x), value, rtol=1e-9)
            for way in (tg.value_and_grad(function), differentiated):
                answer = way(x)
                assert_allclose(answer[0], value, rtol=1e-9)
                assert_allclose(answer[1], gradient, rtol=1e-5, atol=1e-6)


def _derivative(f: Callable[[Any], Any], x: Any, step: float = 1e-6) -> Any:
    moves = np.eye(x.size) * step
    return np.array([(f(x + m) - f(x - m)) / (2 * step) for m in moves])
