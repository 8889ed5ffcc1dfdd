"""Windows: what is written, embedded, joined or stacked is read where it lies, in one kernel."""

import numpy as np
import plain_backend
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged import recording_of

import tapegrad as tg
from tapegrad.compile.backends import interface

X = np.linspace(-1, 1, 20).reshape(4, 5)


def steps(function, *args):
    """Return how many kernels and library steps a compiled function has."""
    plan = recording_of(function, *args).plan
    return len(plan.kernels), len(plan.library_steps)


def check(function, *args):
    for f in (function, tg.grad(lambda *a: np.sum(np.sin(function(*a))), tuple(range(len(args))))):
        compiled = tg.jit(f)
        compiled(*args)
        results = [r if type(r) is tuple else (r,) for r in (compiled(*args), f(*args))]
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def stencil(a):
    a = a * 1.0
    a[1:-1, 1:-1] = 0.25 * (a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1])
    return a


PROGRAMS = {
    "stencil": stencil,
    "differences": lambda x: (x[1:] - x[:-1]) ** 2 * np.sum(x),
    "joined": lambda x: np.exp(np.concatenate([x, 2 * x[1:], x[:0]], 0)) * 2,
    "joined_columns": lambda x: np.concatenate([x, 2 * x[:, 1:]], 1) * 3 + 1,
    "stacked": lambda x: np.stack([x, x * x, np.sin(x)], 1) * 2 + 1,
    "stacked_last": lambda x: np.stack([x, x * x], -1) * 2 + 1,
    "padded": lambda x: np.pad(x, ((1, 2), (0, 3))) * 2 + 1,
    "rolled": lambda x: np.roll(x, 2, 1) * x + np.roll(x, -1, 0),
    "a row": lambda x: x + np.concatenate([x[:1] * 0, x[1:] * x[:-1]]) * 2,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_programs_with_slices_are_what_they_were(name):
    check(PROGRAMS[name], X)


def test_a_constant_array_is_written_beside_what_was_computed():
    def written(a):
        b = np.sin(a) * 2
        b[1:] = [[1.0, 2.0, 3.0, 4.0, 5.0]] * 3
        return b * a

    check(written, X)


@pytest.mark.parametrize("rows", [slice(0, 2), slice(None)])
def test_an_index_that_makes_new_axes_writes_where_numpy_does(rows):
    def written(a, v):
        b = a * 2.0
        b[rows, :, None] = v[rows] if v.shape[0] == 4 else v
        return b + 1.0

    check(written, X, np.arange(5.0).reshape(5, 1))
    check(written, X, np.arange(20.0).reshape(4, 5, 1))


def test_parts_with_new_axes_add_up_in_the_derivative():
    def f(x, y):
        return np.sin(x[1:3, :, None]) * y + x[0:2, :, None] * y

    check(f, X, np.arange(30.0).reshape(2, 5, 3))
    assert steps(tg.grad(lambda x, y: np.sum(f(x, y))), X, np.ones((2, 5, 3)))[1] == 0
    jitted = tg.jit(tg.grad(lambda x, y: np.sum(f(x, y))))
    for _ in range(3):
        jitted(X, np.arange(30.0).reshape(2, 5, 3))
    assert jitted.stats().traces == 1


@pytest.mark.parametrize(
    "index",
    [
        np.index_exp[None],
        np.index_exp[..., None],
        np.index_exp[None, 1],
        np.index_exp[1, None, 2:],
        np.index_exp[1:3, None, ..., None],
        np.index_exp[None, ..., None, -1, None],
        np.index_exp[::-2, None, ::2],
    ],
    ids=str,
)
def test_the_adjoint_of_new_axes_puts_back_what_was_taken(index):
    weights = np.arange(1.0, 1 + X[index].size).reshape(X[index].shape)
    expected = np.zeros(X.shape)
    expected[index] += weights
    f = lambda x: np.sum(x[index] * weights)
    for derivative in (tg.grad(f), tg.jit(tg.grad(f)), tg.jacfwd(f)):
        np.testing.assert_array_equal(derivative(X), expected)
    tg.check_grads(lambda x: np.sin(x[index]), (X,), order=2)


def test_the_adjoint_of_slices_is_one_kernel():
    def f(x):
        return np.sum(np.sin(x[1:]) * x[:-1] + x[1:] ** 2)

    kernels, library = steps(tg.grad(f), X)
    assert (kernels, library) == (2, 0)  # the factors, then what they add up to


def test_few_things_are_joined_in_a_kernel_and_many_by_numpy():
    def joined(count):
        return lambda x: np.concatenate([x * i for i in range(count)], 0) * 2 + 1

    assert steps(joined(3), X)[1] == 0
    assert steps(joined(30), X)[1] == 1
    check(joined(30), X)


def test_other_sizes_and_places_of_slices_compile_nothing():
    def f(x, k):
        y = x * 2.0
        y[k : k + 2, 1:3] = np.cos(x[:2, 1:3])
        return y * y

    assert recording_of(lambda x: f(x, 1), X).plan.compiled >= 0
    larger = np.ones((9, 11))
    assert recording_of(lambda x: f(x, 2), X).plan.compiled == 0
    assert recording_of(lambda x: f(x, 5), larger).plan.compiled == 0
    compiled = tg.jit(lambda x: f(x, 5))
    compiled(larger)
    np.testing.assert_allclose(compiled(larger), f(larger, 5))


def test_a_slice_that_is_written_twice_or_reads_itself():
    def f(x):
        y = x * 1.0
        y[1:] = y[:-1] * 2
        y[1:] = y[:-1] * y[1:]
        y[0] = y[-1]
        y[:, 2] = 3.0
        y[-1, -1] = np.sum(y)
        return y

    check(f, X)


def test_numbers_of_every_kind_and_what_lies_in_no_order():
    def f(x, y):
        out = np.zeros((4, 5))
        out[:, 1:] = x[:, ::-1]
        out[0] = 1
        out[1, 2:4] = True
        out[2:, :1] = y
        return out * 2 + out

    strided = np.ones((8, 12))[::2, ::3]
    check(f, strided, np.float64(3))
    check(f, np.asfortranarray(strided), np.array([[2.0], [3.0]]))


def test_whole_numbers_and_truth_values_are_laid_side_by_side_too():
    def f(x):
        whole = np.concatenate([np.arange(3), (x[:3] > 0).astype(np.int64)]) * 2
        flags = np.concatenate([x > 0, x < 1])
        return np.where(flags, 1.0, 2.0).sum() + whole

    x = np.array([0.5, -1.0, 2.0, 3.0])
    compiled = tg.jit(f)
    compiled(x)
    np.testing.assert_array_equal(compiled(x), f(x))


def test_large_arrays_are_divided_among_threads():
    x = np.random.default_rng(0).standard_normal((700, 300))
    check(stencil, x)


@st.composite
def written(draw):
    """A shape, and slices of it into which numbers or other slices of the same size go."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 6)))
    writes = []
    for _ in range(draw(st.integers(1, 3))):
        sizes = [draw(st.integers(0, n)) for n in shape]
        to = [draw(st.integers(0, n - k)) for n, k in zip(shape, sizes)]
        of = [draw(st.integers(0, n - k)) for n, k in zip(shape, sizes)]
        target = tuple(slice(a, a + k) for a, k in zip(to, sizes))
        source = tuple(slice(a, a + k) for a, k in zip(of, sizes))
        if draw(st.booleans()) and sizes[0] == 1:
            target, source = (to[0], target[1]), (of[0], source[1])
        writes.append((target, source, draw(st.sampled_from(["slice", "number", "row"]))))
    return shape, writes


@settings(max_examples=60)
@given(written(), st.booleans())
def test_any_slices_are_written_as_numpy_does(case, joins):
    shape, writes = case

    def f(x):
        y = x * 1.5
        for target, source, kind in writes:
            value = (
                x[source] * 2 if kind == "slice" else 3.0 if kind == "number" else x[0, source[1]]
            )
            y[target] = value
        return np.concatenate([y, y[:1] * x[:1]], 0) * 2 if joins else y * y + 1

    x = np.random.default_rng(1).standard_normal(shape)
    with interface.using(plain_backend):
        compiled = tg.jit(f)
        compiled(x)
        np.testing.assert_allclose(compiled(x), f(x))
    check(f, x)
