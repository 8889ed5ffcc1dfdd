"""The law of places: jit(f), after any change to anything that f read, equals f."""

from __future__ import annotations

import decimal
import os
import warnings
from contextlib import contextmanager

import numpy as np
import places
import places_beyond
import places_in_c
import places_of_classes
import places_of_objects
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places_of_classes import PLACES

import tapegrad as tg
from tapegrad.tape.core.errors import Abandoned
from tapegrad.tape.python.ledger import Ledger
from tapegrad.tape.python.recorder import Recorder

X = np.array([0.5, -1.0, 2.0])


@contextmanager
def world_as_before():
    """Put back what changes of places leave: modes of NumPy, the environment, globals."""
    modules = (places, places_beyond, places_in_c, places_of_objects, places_of_classes)
    spaces = [vars(module) for module in modules]
    before, environment = [dict(space) for space in spaces], dict(os.environ)
    try:
        with np.printoptions(), decimal.localcontext():
            yield
    finally:
        for space, was in zip(spaces, before):
            for name in space.keys() - was.keys():
                del space[name]
            space.update(was)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]


@world_as_before()
def follows(make, steps: str, transform=lambda f: f) -> None:
    """Change a place as `steps` say ("c"), and call ("."); jit must give what the function gives."""
    read, change = make()
    plain = transform(lambda x: np.sum(read(x)))
    jitted = tg.jit(plain)
    changes = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in steps:
            if step == "c":
                change(changes)
                changes += 1
            else:
                np.testing.assert_allclose(jitted(X), plain(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PLACES)
def test_each_place_is_followed(name):
    follows(PLACES[name], "..c..c..c.")


@pytest.mark.parametrize("name", PLACES)
def test_each_place_is_followed_under_grad(name):
    follows(PLACES[name], "..c..c.", tg.grad)


@given(st.lists(st.sampled_from(sorted(PLACES)), min_size=2, max_size=3), st.text("c.", max_size=8))
def test_places_together(names, steps):
    def make():
        parts = [PLACES[name]() for name in names]

        def read(x):
            total = x
            for part, _ in parts:
                total = total + np.sum(part(x))
            return total

        return read, lambda k: parts[k % len(parts)][1](k)

    follows(make, "." + steps + "c.")


# Mutations: what each check is for ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("same", ["the_code_of_a_function", "a_method", "an_attribute_first_set_later"]),
        ("equal", ["an_attribute", "a_global", "a_text"]),
        ("type", ["the_class_of_an_object"]),
        ("array", ["dtype_of_an_array"]),
        ("shown", ["membership", "equality", "truth"]),
        ("length", ["arrays_in_a_list"]),
        ("keys", ["a_loop_over_a_dict"]),
        ("with", ["whether_two_arrays_are_one"]),
    ],
)
def test_a_check_that_is_dropped_is_noticed(monkeypatch, kind, names):
    check = Ledger.check

    def drop(self, place, what, seen):
        if what != kind:
            check(self, place, what, seen)

    monkeypatch.setattr(Ledger, "check", drop)
    for name in names:
        with pytest.raises((AssertionError, ValueError, KeyError)):
            follows(PLACES[name], "..c..c..c.")


def test_a_function_of_c_s_that_is_trusted_is_noticed(monkeypatch):
    monkeypatch.setattr(Recorder, "_permit", lambda *args: None)
    with pytest.raises(AssertionError):
        follows(PLACES["numpy_s_print_options"], "..c..c.")


def test_an_object_of_c_s_that_is_trusted_is_noticed(monkeypatch):
    monkeypatch.setattr(Ledger, "abandon", lambda self, reason: (None, None))
    with pytest.raises(AssertionError):
        follows(PLACES["a_number_of_c"], "..c..c.")


def test_the_end_of_a_recording_is_no_exception_of_the_user_s():
    def f(x):
        try:
            print(end="")
        except Exception:
            return x * 0
        return x * 2

    with pytest.warns(RuntimeWarning, match="it calls print"):
        np.testing.assert_array_equal(tg.jit(f)(X), X * 2)
    assert not issubclass(Abandoned, Exception)
