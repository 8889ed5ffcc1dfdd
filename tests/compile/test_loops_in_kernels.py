"""Loops whose trips run in machine code: what they give is what Python's loops give."""

import _thread
import threading
import time
import tracemalloc
import warnings

import numpy as np
import plain_backend
import pytest
from looped_functions import (
    FUNCTIONS,
    ROWS,
    W,
    X,
    in_kernels,
    pair,
    repeated,
    scanned,
    several,
    until,
    with_rows,
)

import tapegrad as tg
from tapegrad.compile.backends import interface


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


by_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


# What they give ----------------------------------------------------------------------------------


@by_function
def test_values_and_gradients_are_those_of_pythons_loops(function):
    ours, python = pair(function)
    compiled = tg.jit(tg.value_and_grad(ours))
    for x in (X, -X, 0.1 * X):
        value, gradient = compiled(x)
        np.testing.assert_allclose(value, python(x), rtol=1e-13)
        wanted = tg.grad(python)(x)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(gradient, tg.grad(ours)(x), rtol=1e-11, atol=1e-13)
    assert in_kernels(compiled, X)


@by_function
def test_tangents_and_second_derivatives(function):
    ours, python = pair(function)
    direction = np.array([0.5, -1.0, 2.0])
    along = tg.jit(lambda x: tg.jvp(ours, (x,), (direction,)))
    for got, wanted in zip(along(X), tg.jvp(python, (X,), (direction,))):
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-13)
    assert in_kernels(along, X)
    wanted = tg.hessian(python)(X)
    for hessian in (tg.jit(tg.hessian(ours)), tg.jit(tg.jacrev(tg.grad(ours)))):
        np.testing.assert_allclose(hessian(X), wanted, rtol=1e-9, atol=1e-10)


@by_function
def test_many_examples(function):
    ours, python = pair(function)
    batch = np.stack([X, -X, 0.5 * X, X[::-1]])
    many = tg.jit(tg.vmap(tg.value_and_grad(ours)))
    values, gradients = many(batch)
    np.testing.assert_allclose(values, [python(x) for x in batch], rtol=1e-13)
    wanted = [tg.grad(python)(x) for x in batch]
    np.testing.assert_allclose(gradients, wanted, rtol=1e-11, atol=1e-12)


def test_float32():
    def narrow(a):
        return a.astype(np.float32)

    def step(c, row):
        return np.tanh(c * row + W.astype(np.float32) @ c), np.sum(c)

    def f(x):
        c, ys = tg.scan(step, x, narrow(ROWS))
        return np.sum(c) + np.sum(ys)

    def python(x):
        c, ys = scanned(step, x, narrow(ROWS))
        return np.sum(c) + np.sum(ys)

    compiled = tg.jit(tg.value_and_grad(f))
    value, gradient = compiled(narrow(X))
    assert value.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(value, python(narrow(X)), rtol=2e-6)
    np.testing.assert_allclose(gradient, tg.grad(python)(narrow(X)), rtol=2e-5, atol=1e-6)
    assert in_kernels(compiled, narrow(X))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 63, 64, 65, 1000])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("checkpoint", [None, 0, 1, 7])
def test_every_number_of_trips(length, reverse, checkpoint):
    rows = np.linspace(0.0, 1.0, 2 * length).reshape(length, 2)

    def step(c, row):
        c = c * 0.99 + np.sin(c + row)
        return c, c * row

    def f(x):
        c, ys = tg.scan(step, x, rows, reverse=reverse, checkpoint=checkpoint)
        return np.sum(c), ys

    def loss(x):
        total, ys = f(x)
        return total + np.sum(ys)

    x = np.array([0.2, -0.4])
    total, ys = tg.jit(f)(x)
    c, wanted = scanned(step, x, rows, reverse=reverse)
    np.testing.assert_allclose(total, np.sum(c), rtol=1e-12)
    assert ys.shape == rows.shape
    if length:
        np.testing.assert_allclose(ys, wanted, rtol=1e-12)
    np.testing.assert_allclose(tg.jit(tg.grad(loss))(x), tg.grad(loss)(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("trips", [0, 1, 2, 255, 256, 257, 513, 5000, 40_000])
def test_loops_of_unknown_length_keep_states_as_without_kernels(trips):
    """What the pullback starts from does not depend on who runs the loop."""

    def f(x, n):
        def goes_on(state):
            return state[0] < n

        def step(state):
            return state[0] + 1, state[1] + np.sin(state[1]) * x / (1 + state[0])

        return np.sum(tg.while_loop(goes_on, step, (0, np.ones(3)))[1])

    compiled = tg.jit(tg.value_and_grad(f))
    x = np.array([0.5, 1.0, -0.5])
    for few in (2, 3):  # what is recorded then serves for all
        compiled(x, few)
    value, gradient = compiled(x, trips)
    assert in_kernels(compiled, x, trips)
    c = np.ones(3)
    for i in range(trips):
        c = c + np.sin(c) * x / (1 + i)
    np.testing.assert_allclose(value, np.sum(c), rtol=1e-10)
    if trips < 1000:
        np.testing.assert_allclose(gradient, tg.grad(f)(x, trips), rtol=1e-9, atol=1e-12)
    h = 1e-5
    for i, s in enumerate(h * np.eye(3)):
        slope = (compiled(x + s, trips)[0] - compiled(x - s, trips)[0]) / (2 * h)
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 17, 33])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_of_all_sizes(m, k, n, dtype):
    rng = np.random.default_rng(m * 100 + k * 10 + n)
    a, b = rng.normal(size=(4, m, k)).astype(dtype), rng.normal(size=(4, k, n)).astype(dtype)

    def f(a, b):
        def step(c, rows):
            x, y = rows
            return c, (x @ y, y.T @ x.T, x[0] @ y, x @ y[:, 0])

        return tg.scan(step, np.zeros(1), (a, b))[1]

    compiled = tg.jit(f)
    found = compiled(a, b)
    wanted = (
        a @ b,
        np.swapaxes(a @ b, 1, 2),
        np.stack([x[0] @ y for x, y in zip(a, b)]),
        np.stack([x @ y[:, 0] for x, y in zip(a, b)]),
    )
    for one, other in zip(found, wanted):
        assert one.dtype == dtype
        np.testing.assert_allclose(
            one, other, rtol=1e-5, atol=1e-6 if dtype == np.float32 else 1e-13
        )
    assert in_kernels(compiled, a, b)


def test_arguments_that_are_too_large_for_the_fast_form_of_a_function():
    def f(x):
        c, ys = tg.scan(lambda c, _: (c * 10.0, np.sin(c)), x, None, length=30)
        return np.sum(ys) + np.sum(c) * 1e-30

    def python(x):
        c, ys = scanned(lambda c, _: (c * 10.0, np.sin(c)), x, None, 30)
        return np.sum(ys) + np.sum(c) * 1e-30

    compiled = tg.jit(tg.value_and_grad(f))
    for x in (X, np.array([1e-9, 2.0, -1e-12]), X * 1e-25):
        value, gradient = compiled(x)
        np.testing.assert_allclose(value, python(x), rtol=1e-13)
        np.testing.assert_allclose(gradient, tg.grad(python)(x), rtol=1e-12)

    def g(x):  # also where the condition has such a function, and in its pullback
        return tg.while_loop(lambda c: np.cos(c) > -2.0 + 4.0 * (c > 1e25), lambda c: c * 10.0, x)

    value, gradient = tg.jit(tg.value_and_grad(g))(0.5)
    assert value == repeated(lambda c: np.cos(c) > -2.0 + 4.0 * (c > 1e25), lambda c: c * 10.0, 0.5)
    np.testing.assert_allclose(gradient, value / 0.5, rtol=1e-13)


def test_an_index_out_of_bounds_is_an_error():
    lookup = tg.jit(lambda x, i: tg.scan(lambda c, i: (c, x[i]), 0.0, i)[1])
    np.testing.assert_array_equal(lookup(X, np.array([0, -1, 2, -3])), X[[0, -1, 2, -3]])
    assert in_kernels(lookup, X, np.array([0, -1, 2, -3]))
    for wrong in (3, -4):
        with pytest.raises(IndexError):
            lookup(X, np.array([0, 1, 2, wrong]))


def test_closed_over_arrays_are_read_when_the_loop_is_called():
    table = np.array([1.0, 2.0, 3.0])

    def f(x):
        def step(c, _):
            return c + table * x, None

        return tg.scan(step, np.zeros(3), None, length=5)[0]

    np.testing.assert_allclose(tg.jit(f)(X), 5 * table * X)


def test_results_are_arrays_of_their_own():
    compiled = tg.jit(lambda x: tg.scan(lambda c, row: (c, row), x, ROWS))
    carry, rows = compiled(X)
    again, _ = compiled(X)
    carry[:] = 0.0
    rows[:] = 0.0
    np.testing.assert_array_equal(again, X)
    np.testing.assert_array_equal(compiled(X)[1], ROWS)


def test_what_kernels_cannot_do_is_left_to_python():
    def f(x):
        def step(c, _):
            return np.sort(c) * x, None

        return np.sum(tg.scan(step, x, None, length=4)[0])

    compiled = tg.jit(f)
    c = X
    for _ in range(4):
        c = np.sort(c) * X
    np.testing.assert_allclose(compiled(X), np.sum(c))
    assert not in_kernels(compiled, X)


def test_large_bodies_are_left_to_threads():
    x = np.linspace(0.0, 1.0, 1_000_000)
    compiled = tg.jit(lambda x: tg.scan(lambda c, _: (np.sin(c) * x, None), x, None, length=3)[0])
    np.testing.assert_allclose(compiled(x), np.sin(np.sin(np.sin(x) * x) * x) * x, rtol=1e-14)
    assert not in_kernels(compiled, x)


@pytest.mark.parametrize("function", [with_rows, several, until], ids=lambda f: f.__name__)
def test_a_back_end_may_leave_loops_to_python(function):
    ours, python = pair(function)
    with interface.using(plain_backend):
        compiled = tg.jit(tg.value_and_grad(ours))
        value, gradient = compiled(X)
        assert not in_kernels(compiled, X)
    np.testing.assert_allclose(value, python(X), rtol=1e-12)
    np.testing.assert_allclose(gradient, tg.grad(python)(X), rtol=1e-10, atol=1e-12)


def test_threads_may_call_at_once():
    def f(x):
        return tg.scan(lambda c, _: (c + np.sin(c) * x, c), x, None, length=3000)

    compiled = tg.jit(f)
    inputs = [X * s for s in np.linspace(0.1, 1.0, 6)]
    wanted = [compiled(x) for x in inputs]
    found = [None] * len(inputs)

    def run(i):
        for _ in range(5):
            found[i] = compiled(inputs[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


# What it costs -----------------------------------------------------------------------------------


def test_kernels_do_not_depend_on_the_number_of_trips():
    def loss(x, rows):
        return np.sum(tg.scan(lambda c, row: (c * 0.123 + np.cosh(row) * x, None), x, rows)[0])

    compiled = tg.jit(tg.grad(loss))
    compiled(X, np.ones((5, 3)))
    before = compiled.stats().kernels_compiled
    for trips in (1, 2, 50, 3000):
        compiled(X, np.ones((trips, 3)))
    assert compiled.stats().kernels_compiled == before


def test_sizes_compile_nothing():
    def loss(x):
        return np.sum(tg.scan(lambda c, _: (c * 0.321 + np.sinh(x), None), x, None, length=8)[0])

    compiled = tg.jit(tg.grad(loss))
    compiled(np.ones(5))
    before = compiled.stats().kernels_compiled
    for size in range(6, 16):
        compiled(np.ones(size))
    assert compiled.stats().kernels_compiled == before


def test_a_trip_allocates_nothing():
    def peak(trips):
        compiled = tg.jit(
            lambda x: tg.scan(lambda c, _: (c + np.sin(c) * x, None), x, None, length=trips)[0]
        )
        compiled(X)
        tracemalloc.start()
        try:
            compiled(X)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(200_000) < peak(10) + 2000


def test_loops_that_end_by_themselves_run_inside_of_others():
    def f(x):
        def trip(c, r):
            def goes_on(state):
                return state[0] > 0.5

            def shrinks(state):
                return state[0] * 0.7, state[1] + state[0] * r

            left, total = tg.while_loop(goes_on, shrinks, (c + 2, r * 0))
            return left + r, total

        last, totals = tg.scan(trip, x[0], x)
        return last + np.sum(totals)

    x = np.linspace(0.1, 3.0, 40)
    assert "in machine code, body=" in tg.jit(f).explain(x)
    for factor in (1.0, 0.3, 5.0):
        assert tg.jit(f)(x * factor) == pytest.approx(f(x * factor))
        slope = tg.jit(tg.grad(f))(x * factor)
        np.testing.assert_allclose(slope, tg.grad(f)(x * factor), rtol=1e-10)


def test_a_long_loop_is_interrupted():
    compiled = tg.jit(lambda x: tg.while_loop(lambda c: c > 0.0, lambda c: c * 1.0, x))
    compiled(-1.0)  # is compiled
    for _ in range(3):
        timer = threading.Timer(0.2, _thread.interrupt_main)
        timer.start()
        began = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            compiled(1.0)
        assert time.perf_counter() - began < 5.0  # of which other programs may take most
        timer.join()


def test_the_lock_is_given_up():
    compiled = tg.jit(lambda x, n: tg.fori_loop(0, n, lambda i, c: c + np.sin(c) * 1e-3, x))
    for trips in (3, 4):  # what is recorded then serves for all
        compiled(1.0, trips)
    thread = threading.Thread(target=compiled, args=(1.0, 5_000_000))
    thread.start()
    count = 0
    while thread.is_alive():
        count += 1
        time.sleep(0.001)
    assert count > 5
