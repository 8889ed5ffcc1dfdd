"""Memory of plans: what is written where something else has been, and what never is."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged import recording_of

import tapegrad as tg
from tapegrad.compile.plans import memory

N = 8192  # large enough to be taken over
X = np.linspace(0.1, 1.0, N)


@pytest.fixture(autouse=True)
def _all_arrays_are_large(monkeypatch):
    monkeypatch.setattr(memory, "LARGE", 1)


def allocations(function, *args):
    return recording_of(function, *args).plan.source.count("= empty(")


def check(function, *args):
    """Compare compiled calls with plain ones, and see that arguments stay what they are."""
    compiled = tg.jit(function)
    for _ in range(3):
        given = [np.array(a) for a in args]
        results = [r if type(r) is tuple else (r,) for r in (compiled(*given), function(*args))]
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        for a, b in zip(given, args):
            np.testing.assert_array_equal(a, b)


def test_a_long_computation_goes_on_in_one_array():
    def f(x):
        for _ in range(6):
            x = np.exp(-x) * 0.5
            x = x - np.cumsum(x)[-1:] * 0  # a library call between kernels
        return x

    check(f, X)
    assert allocations(f, X) <= 2


def test_arguments_and_results_are_not_overwritten():
    def f(x):
        a = np.exp(x)
        b = np.cumsum(a) + a
        return a, b * 2, np.exp(b)

    check(f, X)


def test_what_a_view_still_shows_is_not_overwritten():
    def f(x):
        a = np.exp(x)
        half = a[: N // 2]
        b = np.cumsum(a * 2 + 1)
        c = np.exp(-a) * b
        return c + 0.5, half * np.sum(c)

    check(f, X)


def test_what_is_read_elsewhere_is_not_overwritten():
    def f(x):
        a = np.exp(x)
        b = np.cumsum(a)
        return np.concatenate([a[1:] * 2, b[:1]]) * b + a[::-1]

    check(f, X)


def test_what_is_read_through_a_view_in_the_same_kernel_is_not_overwritten():
    def f(x):
        a = np.exp(x)
        b = np.cumsum(a)
        c = a * a[::-1] + b
        d = np.cumsum(c)
        return c * 2 + c.reshape(2, -1)[::-1].reshape(-1) + d

    check(f, X)

    def step(p, g):
        p -= g * p[::-1]

    p, wanted = X.copy(), X.copy()
    compiled = tg.jit(step)
    for _ in range(3):
        compiled(p, X)
        step(wanted, X)
    np.testing.assert_allclose(p, wanted)


def test_what_users_code_may_have_given_back_is_not_overwritten():
    class Same(tg.Operation):
        def __call__(self, x):
            self.variables = (x,)
            return x.data

        def backward_var(self, grad, index, **kwargs):
            return grad

    def f(x):
        a = np.exp(x)
        b = tg.execute_op(Same, a)
        c = a * 2 + np.cumsum(a)
        return b + np.cumsum(c)

    compiled, wanted = tg.jit(f), np.asarray(f(X))
    for _ in range(3):
        np.testing.assert_allclose(compiled(X), wanted, rtol=1e-10)
    assert compiled.stats().eager_calls == 0


def test_functions_that_may_run_again_keep_what_they_read():
    def f(x):
        a = np.floor(x * 1e12)
        a = a + np.cumsum(a) * 0
        return np.sin(a) * 2  # beyond the limit of the fast sine

    check(f, X)


def test_an_optimiser_writes_in_place_and_allocates_nothing():
    def step(params, gradients, rate):
        for p, g in zip(params, gradients):
            p -= rate * g

    params = [X.copy() for _ in range(5)]
    gradients = [X * i for i in range(5)]
    expected = [p - 3 * 0.5 * g for p, g in zip(params, gradients)]
    compiled = tg.jit(step)
    for _ in range(3):
        compiled(params, gradients, 0.5)
    for p, q in zip(params, expected):
        np.testing.assert_allclose(p, q)
    tracemalloc.start()
    try:
        compiled(params, gradients, 0.5)
        assert tracemalloc.get_traced_memory()[1] < X.nbytes // 4
    finally:
        tracemalloc.stop()
    source = recording_of(step, params, gradients, 0.5).plan.source
    assert "empty(" not in source and "[...]" not in source


def test_momentum_and_parameter_that_need_each_other_are_written_together():
    def step(p, m, g):
        m *= 0.9
        m += g
        p -= m * p

    p, m = X.copy(), X * 2
    wanted = [p.copy(), m.copy()]
    compiled = tg.jit(step)
    for _ in range(4):
        compiled(p, m, X)
        step(*wanted, X)
    np.testing.assert_allclose([p, m], wanted)


def test_arrays_that_change_places_do_so():
    def swap(p, q):
        old = p * 1.0
        p[...] = q * 2
        q[...] = old + 1

    p, q = X.copy(), X * 3
    wanted = [p.copy(), q.copy()]
    compiled = tg.jit(swap)
    for _ in range(4):
        compiled(p, q)
        swap(*wanted)
    np.testing.assert_allclose([p, q], wanted)


def test_nothing_is_written_before_a_call_can_no_longer_stop():
    def step(p, g):
        p -= g
        if np.sum(p) > 0:  # a guard on what was written
            return np.sum(p) * 2
        return np.linalg.norm(p)

    p, g = X.copy(), np.full(N, 0.3)
    wanted = p.copy()
    compiled = tg.jit(step)
    for _ in range(5):
        a, b = compiled(p, g), step(wanted, g)
        np.testing.assert_allclose(a, b)
        np.testing.assert_allclose(p, wanted)


def test_an_array_that_is_also_returned_or_read_as_it_was():
    def step(p, g):
        before = np.sum(p)
        p -= g
        return p, before, p * 2

    p, wanted = X.copy(), X.copy()
    compiled = tg.jit(step)
    for _ in range(3):
        mine, theirs = compiled(p, X), step(wanted, X)
        assert mine[0] is p
        for a, b in zip(mine, theirs):
            np.testing.assert_allclose(a, b)


def test_slices_are_written_into_an_array_that_nobody_else_has():
    def f(x):
        a = x * 2.0
        for i in range(1, 4):
            a[i:-i] = a[i - 1 : -i - 1] * a[i + 1 : N - i + 1] + 1
        return a

    check(f, X)
    plan = recording_of(f, X).plan
    assert plan.source.count("write_into") >= 2


@settings(max_examples=40)
@given(st.lists(st.sampled_from("wveslncr"), min_size=3, max_size=12), st.integers(0, 2**32 - 1))
def test_any_order_of_reads_and_writes(steps, seed):
    numbers = np.random.default_rng(seed)
    cuts = [tuple(sorted(numbers.integers(0, 13, 2))) for _ in steps]

    def f(x, p):
        values = [np.exp(x) * 1.0, x * x]
        for kind, (i, j) in zip(steps, cuts):
            a, b = values[-1], values[-2]
            if kind == "w":
                a[i:j] = b[i:j] * 2 + 1
            elif kind == "v":
                values.append(a[::-1] * 0.5)
            elif kind == "e":
                values.append(np.exp(-(a * a)) + b)
            elif kind == "s":
                values.append(np.sin(a) * b)
            elif kind == "l":
                values.append(np.cumsum(a) * 0.1 + a)
            elif kind == "n":
                values.append(np.concatenate([a[j:], b[:j]]) + a)
            elif kind == "c":
                p += a * 0.1
            else:
                values.append(a / np.sqrt(1 + np.sum(a * a)))
        return values[0], values[-1], values[-2] + p

    x = np.linspace(-1, 1, 12)
    compiled = tg.jit(f)
    for _ in range(3):
        p, q = np.ones(12), np.ones(12)
        for a, b in zip(compiled(x, p), f(x, q), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(p, q, rtol=1e-9)
