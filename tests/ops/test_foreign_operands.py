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
