"""The survey finds what a function reads, and says what it cannot follow."""

import functools
import itertools
import types

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compile.survey.capture import survey
from tapegrad.compile.survey.code import facts_of

SCALE = 2.0
WEIGHTS = np.ones(3)


def keys(function):
    return {r.name for r in survey(function).references}


def test_globals_closures_and_defaults_are_found():
    inner = 1.5

    def f(x, k=3.0, *, m=4.0):
        return x * SCALE * inner + WEIGHTS

    assert {"SCALE", "WEIGHTS", "inner", "__defaults__", "__kwdefaults__"} <= keys(f)
    assert [r.name for r in survey(f).arrays] == ["WEIGHTS"]


def test_the_functions_that_it_calls_are_followed():
    def helper(x):
        return x * SCALE

    assert "SCALE" in keys(lambda x: helper(x))
    assert "SCALE" in keys(tg.grad(lambda x: helper(x)))
    assert "SCALE" in keys(functools.partial(lambda x: helper(x)))
    assert "SCALE" in keys(functools.wraps(helper)(lambda x: helper(x)))
    assert "SCALE" in keys(tg.jit(helper))


def test_names_that_are_not_read_are_not_followed():
    space = types.SimpleNamespace(rate=1.0, other=np.ones(3))
    assert keys(lambda x: x * space.rate) == {"space", "rate"}


def test_numpy_and_the_library_are_not_followed():
    assert keys(lambda x: np.sum(tg.exp(x))) <= {"np", "tg"}


def test_changes_are_noticed():
    space = {"a": [1, 2]}
    found = survey(lambda x: x * space["a"][0])
    assert found.hold()
    space["a"].append(3)
    assert not found.hold()
    space["a"].pop()
    assert found.hold()
    space["a"] = [1, 2]
    assert not found.hold()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (itertools.count(), "count"),
        ((i for i in range(3)), "generator"),
        (memoryview(b"a"), "memoryview"),
    ],
    ids=str,
)
def test_what_cannot_be_followed_is_named(value, name):
    assert f"of type {name}" in survey(lambda x: x * next(value)).opaque


def test_code_that_makes_code_is_not_followed():
    assert survey(lambda x: eval("x * SCALE")).opaque == "eval()"


def test_the_facts_of_code_include_nested_code():
    def f(x):
        def g(y):
            return y.rate * SCALE

        return [g(v) for v in x.items]

    facts = facts_of(f.__code__)
    assert {"rate", "items"} <= facts.attributes
    assert "SCALE" in facts.globals
    assert not facts.writes
    assert facts_of((lambda x: x.append(1)).__code__).writes
