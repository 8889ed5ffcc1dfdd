"""The methods of ufuncs on tensors: reduce, accumulate, reduceat, at."""

import numpy as np
import pytest

import tapegrad as tg

X = np.array([[0.3, 1.2, 2.0], [1.5, 0.7, 1.1]])
FOLDS = [
    "subtract",
    "divide",
    "power",
    "logaddexp",
    "logaddexp2",
    "arctan2",
    "hypot",
    "add",
    "maximum",
]


def differences(f, x, h=1e-6):
    """Central differences of a scalar function."""
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        grad[i] = (f(x + step) - f(x - step)) / (2 * h)
    return grad


def folded(ufunc, a, axis):
    """Fold an axis by hand: some of NumPy's loops (power, arctan2 with AVX-512) get it wrong."""
    first, *others = np.moveaxis(a, axis, 0)
    for other in others:
        first = ufunc(first, other)
    return first


@pytest.mark.parametrize("name", FOLDS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_reduce_folds_an_axis_and_gives_the_gradient(name, axis):
    ufunc = getattr(np, name)
    x = tg.tensor(X)
    out = ufunc.reduce(x, axis=axis)
    np.testing.assert_allclose(out.data, folded(ufunc, X, axis), rtol=1e-14)
    out.sum().backward()
    expected = differences(lambda a: folded(ufunc, a, axis).sum(), X)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", FOLDS)
def test_accumulate_gives_numpys_values_and_the_gradient(name):
    ufunc = getattr(np, name)
    x = tg.tensor(X)
    out = ufunc.accumulate(x, axis=1)
    np.testing.assert_allclose(out.data, ufunc.accumulate(X, axis=1), rtol=1e-14)
    out.sum().backward()
    expected = differences(lambda a: ufunc.accumulate(a, axis=1).sum(), X)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "maximum"])
def test_reduceat_follows_numpys_rule_for_pieces_that_end_before_they_begin(name):
    ufunc = getattr(np, name)
    x = tg.tensor(np.arange(1.0, 7.0))
    out = ufunc.reduceat(x, [0, 3, 1, 4])
    np.testing.assert_allclose(out.data, ufunc.reduceat(np.arange(1.0, 7.0), [0, 3, 1, 4]))
    out.sum().backward()
    expected = differences(lambda a: ufunc.reduceat(a, [0, 3, 1, 4]).sum(), np.arange(1.0, 7.0))
    np.testing.assert_allclose(x.grad, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum"])
def test_at_counts_each_occurrence_of_an_index(name):
    ufunc = getattr(np, name)
    index, values = [0, 2, 0], np.array([2.0, 3.0, 5.0])

    def plain(a, b):
        a = a.copy()
        ufunc.at(a, index, b)
        return a

    start = np.array([1.5, 4.0, 2.5])
    x, v = tg.tensor(start), tg.tensor(values)
    y = x * 1.0
    ufunc.at(y, index, v)
    np.testing.assert_allclose(y.data, plain(start, values))
    y.sum().backward()
    np.testing.assert_allclose(
        x.grad, differences(lambda a: plain(a, values).sum(), start), rtol=1e-6
    )
    np.testing.assert_allclose(
        v.grad, differences(lambda b: plain(start, b).sum(), values), rtol=1e-6
    )


def test_adding_at_many_indices_is_one_operation_with_numpys_bits():
    rng = np.random.default_rng(0)
    a, b, index = rng.normal(size=(5, 3)), rng.normal(size=(200,)), rng.integers(0, 5, 200)
    columns = rng.integers(-3, 3, 200)

    def added(a, b):
        a = a.copy()
        np.add.at(a, (index, columns), b)
        np.subtract.at(a, index, np.float64(0.1))
        return a

    np.testing.assert_array_equal(added(tg.tensor(a), tg.tensor(b)).data, added(a, b))
    value, pull = tg.vjp(added, a, b)
    np.testing.assert_array_equal(value, added(a, b))
    weights = rng.normal(size=a.shape)
    for got, want in zip(pull(weights), (weights, weights[index, columns])):
        np.testing.assert_array_equal(got, want)
    assert len(tg.jit(added).explain(a, b).splitlines()) < 100


def test_adding_at_indices_keeps_the_dtype_of_what_is_added_to():
    def added(a, b):
        np.add.at(a, [0, 0, 1], b)
        return a

    for dtype, b in ((np.float32, np.array([0.1, 0.2, 0.3])), (np.float32, 2), (float, [1, 2, 3])):
        x = tg.tensor(np.ones(2, dtype)) * 1
        np.testing.assert_array_equal(added(x, b).data, added(np.ones(2, dtype), b))
        assert x.dtype == dtype
    with pytest.raises(IndexError):
        np.add.at(tg.tensor(np.ones(2)) * 1, [2], 1.0)


def test_at_of_one_operand_and_of_a_slice():
    x = tg.tensor([1.0, 2.0, 3.0])
    y = x * 1.0
    np.negative.at(y, [0, 0, 1])
    np.exp.at(y, slice(2, 3))
    np.testing.assert_allclose(y.data, [1.0, -2.0, np.exp(3.0)])
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [1.0, -1.0, np.exp(3.0)])


def test_at_refuses_a_plain_array_that_would_lose_the_gradient():
    with pytest.raises(TypeError, match=r"add\.at writes into its first argument"):
        np.add.at(np.zeros(3), [0], tg.tensor(1.0))


def test_reduce_with_a_mask_needs_a_start():
    x = tg.tensor([3.0, 2.0, 1.0])
    mask = np.array([True, False, True])
    with pytest.raises(ValueError, match="does not have an identity"):
        np.divide.reduce(x, where=mask)
    out = np.divide.reduce(x, where=mask, initial=6.0)
    assert out.item() == np.divide.reduce(np.array([3.0, 2.0, 1.0]), where=mask, initial=6.0)
    with pytest.raises(ValueError, match="zero-size array to reduction operation divide"):
        np.divide.reduce(tg.zeros(0))


def test_folds_take_binary_functions_and_one_axis():
    with pytest.raises(ValueError, match="only supported for binary functions"):
        np.exp.reduce(tg.ones(3))
    with pytest.raises(ValueError, match="not reorderable"):
        np.subtract.reduce(tg.ones((2, 2)), axis=(0, 1))


def test_folds_compile_and_have_second_derivatives():
    def f(x):
        return np.sum(np.divide.reduce(x, axis=1) ** 2)

    np.testing.assert_allclose(tg.jit(tg.grad(f))(X), tg.grad(f)(X), rtol=1e-13)
    second = tg.hessian(f)(X).reshape(6, 6)
    np.testing.assert_allclose(second, second.T, atol=1e-12)


@pytest.mark.parametrize("method", ["reduce", "accumulate", "reduceat"])
@pytest.mark.parametrize("name", ["divide", "logical_or", "arctan2", "equal", "less", "gcd", "add"])
@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.bool_])
def test_folds_have_numpys_dtypes_and_errors(method, name, dtype):
    x = (X * 3).astype(dtype)
    ufunc = getattr(np, name)
    more = ([0, 1],) if method == "reduceat" else ()
    with np.errstate(all="ignore"):
        try:
            expected = getattr(ufunc, method)(x, *more)
        except TypeError:
            with pytest.raises(TypeError):
                getattr(ufunc, method)(tg.tensor(x), *more)
            return
        got = np.asarray(getattr(ufunc, method)(tg.tensor(x), *more))
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-3 if got.dtype == np.float16 else 1e-14)


def test_functions_of_two_results_take_two_outs():
    a, b = tg.zeros(3, dtype=float), np.zeros(3)
    x = tg.tensor(X[1])
    fraction, whole = np.modf(x, out=(a, b))
    assert fraction is a and np.array_equal(whole.data, np.trunc(X[1])) and b[2] == 1.0
    fraction.backward()
    assert np.array_equal(x.grad, [1, 1, 1])
    rest = np.divmod(x, 0.7, out=(b, a))[1]
    assert rest is a and np.array_equal(b, X[1] // 0.7) and np.allclose(a.data, X[1] % 0.7)
    with pytest.raises(TypeError, match="two results"):
        tg.modf(x, out=(a,))
    assert np.modf(tg.tensor([3, 4]))[0].dtype == float


def test_methods_of_functions_of_two_results_say_that_they_have_no_form():
    with pytest.raises(TypeError, match=r"numpy\.divmod\.outer has no differentiable form"):
        np.divmod.outer(tg.tensor(X), X)
