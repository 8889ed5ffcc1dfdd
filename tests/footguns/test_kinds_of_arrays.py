"""Dtypes, scalars, layouts and kinds of arrays that other tracers convert, refuse or get wrong."""

import warnings

import numpy as np
import pytest
from compare import V, X, check, close

import tapegrad as tg

DTYPES = ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


def arithmetic(x, y):
    return x + y, x * y, x * 3, x == y, np.maximum(x, y), abs(x)


@pytest.mark.parametrize("second", DTYPES)
@pytest.mark.parametrize("first", DTYPES)
def test_arithmetic_of_any_two_dtypes_is_that_of_numpy(first, second):
    x = np.array([0, 1, 3, 100], dtype=first)
    y = np.array([1, 2, 0, 50], dtype=second)
    check(arithmetic, (x, y))


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "?"])
def test_division_and_reduction_of_any_dtype_is_that_of_numpy(dtype):
    x = np.array([[0, 1, 3], [100, 7, 2]], dtype=dtype)
    y = np.array([[1, 2, 0], [5, 3, 100]], dtype=dtype)
    check(lambda x, y: (x / y, x // y, x % y, x - y, x**2), (x, y))
    check(lambda x, y: (x.sum(), x.mean(axis=0), x.max(axis=1), x.prod(), y.min()), (x, y))
    check(lambda x, y: (np.exp(x - y), np.sqrt(x) * y), (x, y))


def test_small_integers_wrap_around():
    check(lambda x: x * x + x, (np.array([100, 120, -128], np.int8),))
    check(lambda x: (x - 1, -x, x << 3), (np.array([0, 200, 255], np.uint8),))


def test_python_numbers_stay_weak():
    x = V.astype(np.float32)
    check(
        lambda x, a: (x * a, x * -a, x * a**2, x * abs(a), x * (a / 3), x + (a - 1) * 2), (x, -0.7)
    )
    check(lambda x, n: (x * n, x * (n + 1), x**n, x * (n / 2), x * (n // 2), x * (n % 3)), (x, 7))
    check(lambda x, n: (x * n, x * -n), (np.array([1, 2], np.int8), 3))


def test_numpy_scalars_are_not_weak():
    x = V.astype(np.float32)
    check(lambda x, a: x * a, (x, np.float64(0.7)))
    check(lambda x, a: x * np.multiply(a, 1.0), (x, 0.7))
    check(lambda x, a: x * a, (x, np.float32(0.7)))


def test_python_numbers_that_come_back_are_python_numbers():
    check(lambda a, b: (a, a + b, a * b, -a, a / b), (2.0, 3.0))
    check(lambda a, b: (a, a + b, a * b, -a, a / b, a // b), (7, 3))


def test_a_number_that_becomes_another_kind_is_recorded_anew():
    check(lambda x, a: x * a, (V, 2), (V, 2.0), (V, True), (V, np.int64(2)), (V, np.array(2.0)))


def test_zero_dimensional_arrays_and_scalars_come_back_as_in_numpy():
    check(lambda x: (x, x * 2, np.sin(x), x[()], x.reshape(1)), (np.array(0.5),))
    check(lambda x: (x, x * 2, np.sin(x)), (np.float64(0.5),))
    check(lambda x: (x, x * 2, np.sin(x)), (np.float32(0.5),))


def test_empty_arrays_are_computed_with():
    check(lambda x: (x * 2 + np.sin(x), x.sum(), x.sum(axis=0), x.prod()), (np.zeros((0, 3)),))
    check(lambda x: (np.exp(x).sum(axis=1), x.T @ x), (np.zeros((3, 0)),))
    with pytest.raises(ValueError, match="zero-size"):
        tg.jit(lambda x: np.max(x))(np.zeros(0))


def test_nan_and_infinity_survive():
    x = np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan])
    check(lambda x: (x * 0, 0 * x, x - x, x / x, x + 0, x * 1, x / 1, x - 0, 0 - x, -x), (x,))
    check(lambda x: (np.maximum(x, 0), np.minimum(x, 0), np.fmax(x, 0), x**0, x**1, x**2), (x,))
    check(lambda x: (x.max(), x.min(), x.sum(), np.where(x > 0, x, 0), np.clip(x, -1, 1)), (x,))
    check(lambda x: (np.exp(x), np.tanh(x), np.log(x), np.sqrt(x), 1 / x, np.abs(x)), (x,))


def test_the_sign_of_zero_survives():
    x = np.array([0.0, -0.0])
    for function in (
        lambda x: x + 0.0, lambda x: x * 1.0, lambda x: x - 0.0, lambda x: 0.0 - x, lambda x: -x,
        lambda x: x * -1.0, lambda x: np.sin(x) * 1.0, lambda x: x / 2.0, lambda x: x * x * x,
        lambda x: np.abs(x) * 1.0, lambda x: np.sqrt(x) * 1.0, lambda x: np.tanh(x) + x,
    ):  # fmt: skip
        jitted = tg.jit(function)
        for _ in range(3):
            np.testing.assert_array_equal(np.signbit(jitted(x)), np.signbit(function(x)))


def test_subnormal_numbers_survive():
    check(lambda x: (x * 0.5 + x, np.abs(x) * 2), (np.array([5e-324, 1e-310, -1e-320]),))


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_trigonometric_functions_of_huge_arguments_are_right(name):
    ufunc = getattr(np, name)
    x = np.array([1.0, 2.0**36 + 0.5, 1e15, 1e22, 1e300])
    check(lambda x: ufunc(x) * 1.5 + 1, (x[:1],), (x,), (x[:1],))
    check(lambda x: np.sum(ufunc(x) * 1.5), (x,))
    check(lambda x: (ufunc(x) * x).sum(axis=0), (np.tile(x[:, None], (1, 4)),))
    check(tg.grad(lambda x: np.sum(ufunc(x) * x)), (x[:3],))


LAYOUTS = {
    "fortran": np.asfortranarray(X),
    "transposed": X.T,
    "strided": np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": X[::-1, ::-1],
    "broadcast": np.broadcast_to(X[0], (3, 4)),
    "one element repeated": np.broadcast_to(np.float64(0.3), (3, 4)),
    "row of a matrix": X[1],
    "column of a matrix": X[:, 1],
    "inner axis reversed": X[:, ::-1],
    "three axes": np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0)[:, ::2],
    "size one axes": X.reshape(1, 3, 1, 4)[:, :, :, ::2],
}


def layered(x):
    y = np.exp(x) * 0.5 + x
    return y, y.sum(axis=0), y.sum(axis=-1), (y - y.mean()).T, x.reshape(-1) * 2, x.max(axis=0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_computed_with_as_it_is(name):
    x = LAYOUTS[name]
    jitted = tg.jit(layered, strict=True)
    for _ in range(3):
        close(jitted(x), layered(x))
    close(jitted(np.ascontiguousarray(x)), layered(x))
    close(jitted(x), layered(x))


def test_layouts_of_one_shape_do_not_mix():
    jitted = tg.jit(layered)
    for _ in range(3):
        for x in (X, np.asfortranarray(X), X[::-1], np.broadcast_to(X[0], (3, 4))):
            close(jitted(x), layered(x))


def test_the_gradient_of_a_broadcast_array_is_a_full_array():
    f = tg.grad(lambda x: np.sum(np.exp(x) * x))
    check(f, (LAYOUTS["broadcast"],), (LAYOUTS["reversed"],))


def test_an_unaligned_array_gives_the_same():
    raw = np.zeros(25, np.uint8)
    x = raw[1:].view(np.float64)
    x[:] = V
    assert not x.flags.aligned
    jitted = tg.jit(lambda x: x * np.exp(x))
    close(jitted(V), V * np.exp(V))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            close(jitted(x), V * np.exp(V))


def test_a_big_endian_array_gives_the_same():
    x = V.astype(">f8")
    jitted = tg.jit(lambda x: (x * np.exp(x)).sum())
    for _ in range(3):
        np.testing.assert_allclose(jitted(x), (V * np.exp(V)).sum())
    np.testing.assert_allclose(
        tg.jit(lambda x: x * 2 + 1)(x.astype(">i4")), x.astype(">i4") * 2 + 1
    )


def test_long_doubles_keep_their_precision():
    x = V.astype(np.longdouble) / 3
    jitted = tg.jit(lambda x: x * x + 1)
    for _ in range(3):
        np.testing.assert_array_equal(jitted(x), x * x + 1)


@pytest.mark.parametrize(
    "x",
    [
        np.array([1 + 2j, 3j]),
        np.array([1.0, 2.0], dtype=object),
        np.ma.masked_array([1.0, 2.0], [False, True]),
        V.view(type("Mine", (np.ndarray,), {})),
        1 + 2j,
    ],
    ids=["complex", "object", "masked", "subclass", "complex number"],
)
def test_other_arrays_are_computed_with_eagerly(x):
    jitted = tg.jit(lambda x: x * x + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in (x, x + 1, x):
            got, wanted = jitted(k), k * k + 1
            assert type(got) is type(wanted)
            np.testing.assert_array_equal(got, wanted)


def test_changing_shapes_and_dtypes_back_and_forth_is_right():
    f = lambda x: np.exp(x) + x.sum(axis=0)
    xs = (X, X.astype("f4"), X[:1], X[0], X.T, X.astype(int), X)
    check(f, *[(x,) for x in xs], *[(x,) for x in xs])


def test_casts_are_done_where_the_user_wrote_them():
    check(
        lambda x: (x.astype(np.int32) * 2, x.astype(np.float32) * x, (x > 0).astype(float) * x),
        (V,),
    )
    check(lambda x: (x.astype(np.uint8) + 250, x.astype(bool) | (x > 1)), (np.abs(V),))


def test_integer_arrays_that_are_argument_of_grad_through_others_are_constants():
    f = tg.grad(lambda x, n: np.sum(x * n + n / 2))
    check(f, (V, np.array([1, 2, 3])), (V.astype("f4"), np.array([1, 2, 3], np.int8)))


@pytest.mark.filterwarnings("ignore")
def test_arrays_of_other_classes_are_not_taken_for_plain_ones():
    matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    x = np.array([[1.0, -1.0]])
    for function in (
        lambda x: x * matrix,
        lambda x: x * np.matrix([[1.0, 2.0], [3.0, 4.0]]),
        lambda x: np.sum(x[0] * masked),
    ):
        got, want = tg.jit(function)(x), function(x)
        assert type(got) is type(want)
        np.testing.assert_array_equal(got, want)
    for run in (tg.grad, lambda f: tg.jit(tg.grad(f))):
        with pytest.raises(TypeError, match="the result is a matrix"):
            run(lambda x: np.sum(x * matrix))(x)
