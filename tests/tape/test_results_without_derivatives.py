"""Results that are integers or booleans have no gradient, and transformations say so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, -2.5])

TRANSFORMATIONS: dict[str, Callable[..., Any]] = {
    "grad": lambda f: tg.grad(f)(X),
    "value_and_grad": lambda f: tg.value_and_grad(f)(X),
    "vjp": lambda f: tg.vjp(f, X),
    "jacobian": lambda f: tg.jacobian(f)(X),
    "hessian": lambda f: tg.hessian(f)(X),
    "jit of grad": lambda f: tg.jit(tg.grad(f))(X),
    "grad of jit": lambda f: tg.grad(tg.jit(f))(X),
    "grad of grad": lambda f: tg.grad(lambda x: np.sum(tg.grad(f)(x)))(X),
    "vmap of grad": lambda f: tg.vmap(tg.grad(f))(np.stack([X, X])),
}
RESULTS: dict[str, tuple[Callable[..., Any], str]] = {
    "a comparison": (lambda x: x[0] > 0, "bool"),
    "an index": (lambda x: np.argmax(x), "int64"),
    "a rounded number": (lambda x: np.floor(x[0]).astype(int), "int64"),
    "a small integer": (lambda x: np.sum(x.astype(np.int8)), "int64"),
    "a count": (lambda x: np.count_nonzero(x), "int64"),
    "an integer of Python's": (lambda x: x.ndim, "int64"),
    "a boolean of Python's": (lambda x: True, "bool"),
}


@pytest.mark.parametrize("how", TRANSFORMATIONS)
@pytest.mark.parametrize("name", RESULTS)
def test_the_gradient_of_an_integer_or_a_boolean_is_an_error(name: str, how: str) -> None:
    f, dtype = RESULTS[name]
    with pytest.raises(TypeError, match=f"a value of dtype {dtype}, which has no derivative"):
        TRANSFORMATIONS[how](f)


def test_the_error_names_the_function_and_says_what_to_do() -> None:
    def accuracy(x: Any) -> Any:
        return np.sum(x > 0)

    with pytest.raises(TypeError, match=r"^grad\(accuracy\): .*has_aux=True\.$"):
        tg.grad(accuracy)(X)
    with pytest.raises(TypeError, match=r"^jacobian\(accuracy\): .*has_aux=True\.$"):
        tg.jacobian(accuracy)(X)
    count, aux = tg.grad(lambda x: (np.sum(x**2), accuracy(x)), has_aux=True)(X)
    assert count.tolist() == [2.0, -5.0] and aux == 1
    assert tg.grad(lambda x: accuracy(x).astype(float))(X).tolist() == [0.0, 0.0]


def test_one_integer_among_the_results_of_a_vjp_is_an_error() -> None:
    with pytest.raises(TypeError, match="dtype int64"):
        tg.vjp(lambda x: {"loss": np.sum(x), "best": np.argmax(x)}, X)


def test_a_float_that_does_not_depend_on_the_argument_has_gradient_zero() -> None:
    for f in (
        lambda x: 3.0,
        lambda x: np.float32(3),
        lambda x: np.array(2.0),
        lambda x: np.floor(x[0]),
        lambda x: np.round(x[1]),
        lambda x: tg.tensor(1.0),
    ):
        assert tg.grad(f)(X).tolist() == [0.0, 0.0]
        assert tg.jit(tg.grad(f))(X).tolist() == [0.0, 0.0]
    pullback = tg.vjp(lambda x: (x, 2.0), X)[1]
    assert pullback((X, 1.0))[0].tolist() == X.tolist()
    assert tg.jacobian(lambda x: np.ones(2))(X).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_directional_derivative_of_an_integer_is_zero() -> None:
    count, tangent = tg.jvp(lambda x: np.sum(x > 0), (X,), (X,))
    assert count == 1 and tangent == 0
