"""Operands of kinds that are not followed: fractions are numbers, all others are refused."""

from fractions import Fraction

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 2.0, 3.0])
OBJECTS = np.array([1.0, 2.0, 3.0], dtype=object)
MATRIX = np.matrix(np.diag([1.0, 2.0, 3.0]))
HALF = Fraction(1, 2)

FRACTIONS = [
    (lambda x: np.sum(x * HALF), [0.5, 0.5, 0.5]),
    (lambda x: np.sum(HALF * x), [0.5, 0.5, 0.5]),
    (lambda x: np.sum(HALF / x), -0.5 / X**2),
    (lambda x: np.sum(x**HALF), 0.5 / np.sqrt(X)),
    (lambda x: np.sum(np.multiply(x, HALF) - HALF), [0.5, 0.5, 0.5]),
    (lambda x: (HALF - x[0]) + x[1] % HALF, [-1.0, 1.0, 0.0]),
]


@pytest.mark.parametrize("f, gradient", FRACTIONS)
def test_fractions_are_numbers(f, gradient):
    np.testing.assert_allclose(tg.grad(f)(X), gradient)
    np.testing.assert_allclose(tg.jvp(f, (X,), (np.ones(3),))[1], np.sum(gradient))
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(np.stack([X, X]))[1], gradient)
    t = tg.tensor(X)
    f(t).backward()
    np.testing.assert_allclose(t.grad, gradient)


REFUSED = [
    lambda x: np.sum(x * OBJECTS),
    lambda x: np.sum(OBJECTS * x),
    lambda x: np.sum(x / OBJECTS),
    lambda x: np.sum(x**OBJECTS),
    lambda x: np.sum(np.concatenate([x, OBJECTS])),
    lambda x: np.sum(np.stack([x, OBJECTS])),
    lambda x: np.sum(np.where(X > 1, x, OBJECTS)),
]
MATRICES = [
    lambda x: np.sum(x @ MATRIX),
    lambda x: np.sum(MATRIX @ x),
    lambda x: np.sum(MATRIX * x[:, None]),
    lambda x: np.sum(np.multiply(x, MATRIX)),
]


@pytest.mark.parametrize("f", REFUSED + MATRICES)
def test_no_derivative_is_lost_in_silence(f):
    for run in (
        lambda: tg.grad(f)(X),
        lambda: tg.jvp(f, (X,), (X,)),
        lambda: tg.vmap(tg.grad(f))(np.stack([X, X])),
        lambda: tg.grad(tg.grad(f))(X),
    ):
        with pytest.raises(TypeError):
            run()


@pytest.mark.parametrize("f", REFUSED)
def test_tensors_hold_no_objects(f):
    with pytest.raises(TypeError):
        f(tg.tensor(X))
    with pytest.raises(TypeError):
        tg.adapt(f)(tg.tensor(X))


def test_the_error_says_what_to_pass_and_where():
    with pytest.raises(TypeError, match=r"multiply.*dtype object.*test_foreign.*astype\(float\)"):
        tg.grad(lambda x: np.sum(x * OBJECTS))(X)
    with pytest.raises(TypeError, match=r"a matrix.*test_foreign.*np\.asarray\(operand\)"):
        tg.grad(lambda x: np.sum(np.multiply(x, MATRIX)))(X)


def test_an_operand_that_asks_to_be_left_alone_answers_itself():
    class Other:
        __array_ufunc__ = None

        def answer(self, other):
            return "mine"

        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = answer
        __radd__ = __rmul__ = __rpow__ = __rmod__ = __rfloordiv__ = __rand__ = answer

    other = Other()

    def answers(t):
        return [
            t == other, t != other, t < other, t <= other, t > other, t >= other,
            t + other, t * other, t**other, t % other, t // other,
        ]  # fmt: skip

    assert answers(tg.tensor(X)) == answers(X) == ["mine"] * 11
    found = []
    tg.grad(lambda x: found.extend(answers(x)) or x.sum())(X)
    assert found == ["mine"] * 11


class Labelled:
    """As a series of pandas': stands for an array, and answers ufuncs with a plain result of its own."""

    def __init__(self, values):
        self.values = np.asarray(values, float)

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        inputs = [np.asarray(a.values if isinstance(a, Labelled) else a) for a in inputs]
        return Labelled(getattr(ufunc, method)(*inputs, **options))


LABELLED_USES = [
    lambda x, o: x * o,
    lambda x, o: o * x,
    lambda x, o: x - o,
    lambda x, o: x**o,
    lambda x, o: np.multiply(x, o),
    lambda x, o: tg.multiply(x, o),
    lambda x, o: x @ o,
    lambda x, o: x[0] * o,
]


@pytest.mark.parametrize("use", LABELLED_USES)
def test_a_tensor_with_a_derivative_answers_beside_a_class_that_makes_plain_arrays(use):
    values = np.array([2.0, 0.5, 3.0])
    expected = tg.grad(lambda x: np.sum(use(x, values)))(X)
    t = tg.tensor(X)
    result = use(t, Labelled(values))
    assert type(result) is tg.Tensor
    result.sum().backward()
    np.testing.assert_allclose(t.grad, expected)
    gradient = tg.grad(lambda x: np.sum(use(x, Labelled(values))))
    np.testing.assert_allclose(gradient(X), expected)
    np.testing.assert_allclose(tg.vmap(gradient)(np.stack([X, X]))[1], expected)


def test_of_constants_such_a_class_makes_what_it_makes_of_arrays():
    constant = tg.tensor(X, constant=True)
    for result in (constant + Labelled(X), np.multiply(constant, Labelled(X))):
        assert type(result) is Labelled


@pytest.mark.parametrize("use", LABELLED_USES)
@pytest.mark.parametrize("make", [lambda f: f, tg.grad, lambda f: tg.vmap(tg.grad(f), (0,))])
@pytest.mark.filterwarnings("ignore:.*without compiling:RuntimeWarning")
def test_its_numbers_are_no_constants_under_jit(use, make):
    other = Labelled([2.0, 0.5, 3.0])
    function = make(lambda x: np.sum(use(x, other)))
    jitted = tg.jit(function)
    x = np.stack([X, X]) if "vmap" in repr(function) else X
    for _ in range(2):
        np.testing.assert_allclose(jitted(x), function(x))
    other.values[:] = [1.0, 4.0, 2.0]
    np.testing.assert_allclose(jitted(x), function(x))


def test_what_is_no_number_is_broadcast_as_it_is():
    t = tg.tensor(X)
    x, nothing, text = np.broadcast_arrays(t, None, "a")
    assert type(x) is tg.Tensor and np.array_equal(x.data, X)
    assert nothing.shape == text.shape == (3,) and nothing[0] is None and text[2] == "a"


def test_a_dot_product_of_integers_is_of_their_dtype():
    for dtype in (np.int8, np.uint32, bool):
        a = np.array([1, 0, 1], dtype)
        assert np.vecdot(tg.tensor(a), tg.tensor(a)).dtype == np.vecdot(a, a).dtype
