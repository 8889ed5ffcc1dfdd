"""Traced values as keys, beside complex numbers, and where code asks for their class."""

import asyncio
import functools

import numpy as np
import pytest
from compare import agree, check

import tapegrad as tg

V = np.array([1.0, 2.0, 3.0])


@functools.lru_cache
def cached(n):
    return n * 2.0


KNOWN = {1: 2.0, 2: 3.0}


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: x * {1: 2.0, 2: 3.0}[n],
        lambda x, n: x * KNOWN[n],
        lambda x, n: x * KNOWN.get(n, 7.0),
        lambda x, n: x * 2 if n in {1, 2} else x * 3,
        lambda x, n: x * cached(n),
        lambda x, n: x * len({n, 1, 2}),
        lambda x, n: x * len(set(np.concatenate([x, x]))),
        lambda x, n: x * {q: i for i, q in enumerate(x)}.get(3.0, 5),
        lambda x, n: x * {n: 5.0}[2],
        lambda x, n: x * {n + 1: 5.0, n: 2.0}[2],
        lambda x, n: x * {1.0: 5.0, 2.0: 2.0}.get(x[0] * n, 1.0),
    ],
)
def test_numbers_are_found_by_their_value(function):
    agree(function, (V, 2), (V, 2), (V, 1), (V, 7), (V, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 1j,
        lambda x: np.exp(1j * x),
        lambda x: 2j**x,
        lambda x: 1 - x / 2j,
        lambda x: abs(x + 1j) ** 2,
    ],
)
def test_complex_numbers_are_computed_with_as_without_jit(function):
    check(function, (V,), (2 * V,))


@pytest.mark.parametrize("number", [2.5, 3])
@pytest.mark.parametrize(
    "function",
    [
        lambda a: np.reshape(a, (1, 1)),
        lambda a: np.broadcast_to(a, (3,)) * 1,
        lambda a: np.ravel(a) + 1,
        lambda a: np.squeeze(a) * 2,
        lambda a: np.transpose(a) * 2,
    ],
)
def test_numbers_can_be_given_other_shapes(function, number):
    agree(function, (number,), (number + 1,))


def kinds(x):
    match x:
        case np.ndarray():
            return x + 1
        case float():
            return x + 2
        case int():
            return x + 3


@functools.singledispatch
def dispatched(x):
    return x * 0


@dispatched.register(np.ndarray)
def _(x):
    return x + 1


@dispatched.register(float)
def _(x):
    return x + 2


@pytest.mark.filterwarnings("ignore:jit.*the class of a value")
@pytest.mark.parametrize("function", [kinds, lambda x: dispatched(x) * 2])
@pytest.mark.parametrize("value", [V, 2.0, 3])
def test_code_that_chooses_by_class_is_run_as_it_is(function, value):
    agree(function, (value,), (value * 2,))


@pytest.mark.parametrize("function", [lambda x: x**2, lambda x: np.clip(x, 0, np.int8(2))])
def test_booleans_are_promoted_as_by_numpy(function):
    agree(function, (np.array([True, False]),))


LAZY = {
    "generator": lambda x: (a * 2 for a in x),
    "map": lambda x: map(abs, x * 2),
    "zip": lambda x: zip(x, x * 2),
    "iterator": lambda x: iter(x * 2),
    "reversed": lambda x: reversed([x, x * 2]),
}


@pytest.mark.filterwarnings("ignore:jit.*returns an object")
@pytest.mark.parametrize("name", LAZY)
def test_results_that_compute_later(name):
    jitted = tg.jit(LAZY[name])
    for _ in range(4):
        np.testing.assert_array_equal(list(jitted(V)), list(LAZY[name](V)))


@pytest.mark.filterwarnings("ignore:jit.*returns an object")
def test_a_result_that_is_a_function_of_the_arguments():
    calls = []

    def f(x):
        return lambda y: x * 2 + y

    def g(x):
        calls.append(1)
        return functools.partial(np.add, x * 2)

    made, counted = tg.jit(f), tg.jit(g)
    for i in range(4):
        np.testing.assert_array_equal(made(V)(V), 3 * V)
        counted(V)
        assert len(calls) == i + 1


@pytest.mark.filterwarnings("ignore:jit.*awaited")
def test_a_coroutine():
    async def f(x):
        return x * 2

    jitted = tg.jit(f)
    for _ in range(4):
        np.testing.assert_array_equal(asyncio.run(jitted(V)), 2 * V)
