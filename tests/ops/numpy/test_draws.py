"""NumPy's generators with traced parameters: what NumPy draws, differentiated along its path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

P = np.array([0.7, 1.4, 2.0])
#: Draws of parameters p, by a generator.
PATHS: dict[str, Any] = {
    "normal": lambda rng, p: rng.normal(p, p**2),
    "a size": lambda rng, p: rng.normal(1.0, p, size=(2, 3)),
    "a number": lambda rng, p: rng.normal(p[0]) * p,
    "lognormal": lambda rng, p: rng.lognormal(sigma=p),
    "uniform": lambda rng, p: rng.uniform(p, 3 * p, 3),
    "exponential": lambda rng, p: rng.exponential(p),
    "laplace": lambda rng, p: rng.laplace(p, p),
    "logistic": lambda rng, p: rng.logistic(p, p),
    "gumbel": lambda rng, p: rng.gumbel(0.5, p),
    "rayleigh": lambda rng, p: rng.rayleigh(p),
    "weibull": lambda rng, p: rng.weibull(p),
    "pareto": lambda rng, p: rng.pareto(p),
    "permutation": lambda rng, p: rng.permutation(p),
    "choice": lambda rng, p: rng.choice(p, 5),
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_draws_are_numpys_and_differentiated(name: str, make: Any) -> None:
    draw = PATHS[name]

    def function(p: Any) -> Any:
        return np.sum(draw(make(3), p) ** 2)

    value, gradient = tg.value_and_grad(function)(P)
    np.testing.assert_allclose(value, function(P), 1e-14)
    step = 1e-6 * np.eye(3)
    differences = [(function(P + e) - function(P - e)) / 2e-6 for e in step]
    np.testing.assert_allclose(gradient, differences, 1e-6, 1e-7)
    np.testing.assert_allclose(tg.jit(tg.grad(function))(P), gradient, 1e-13)
    tg.check_grads(function, (P,), order=2)


def test_the_global_stream_goes_on_as_without_a_trace() -> None:
    def function(p: Any) -> Any:
        return np.random.normal(p) + np.random.uniform(0.0, p)

    np.random.seed(1)
    plain = function(0.5), np.random.random()
    np.random.seed(1)
    traced = tg.value_and_grad(function)(0.5)[0], np.random.random()
    assert plain == traced


def test_each_example_of_a_batch_draws_its_own() -> None:
    def rows(rng: Any) -> Any:
        return tg.vmap(lambda p: rng.normal(p))(P)

    rng = np.random.default_rng(2)
    np.testing.assert_array_equal(rows(np.random.default_rng(2)), [rng.normal(p) for p in P])


REFUSED: dict[str, Any] = {
    "gamma": lambda rng, p: rng.gamma(p),
    "poisson": lambda rng, p: rng.poisson(p),
    "binomial": lambda rng, p: rng.binomial(9, p=p / 3),
    "multivariate_normal": lambda rng, p: rng.multivariate_normal(p, np.eye(3)),
    "in a list": lambda rng, p: rng.dirichlet([p[0], p[1]]),
    "probabilities": lambda rng, p: rng.choice(3, p=p / np.sum(p)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_path_says_what_to_do(name: str) -> None:
    draw = REFUSED[name]
    with pytest.raises(tg.TracedArrayError, match="numbers that do not depend on them"):
        tg.grad(lambda p: np.sum(draw(np.random.default_rng(0), p)))(P)
    plain = draw(np.random.default_rng(0), P)
    stopped = tg.grad(
        lambda p: np.sum(p * np.sum(draw(np.random.default_rng(0), tg.stop_gradient(p))))
    )
    np.testing.assert_allclose(stopped(P), np.full(3, np.sum(plain)))


def test_wrong_parameters_raise() -> None:
    with pytest.raises(TypeError, match="takes loc, scale, and size"):
        tg.grad(lambda p: np.random.default_rng(0).normal(p, sigma=1.0))(0.5)
    with pytest.raises(TypeError):
        np.random.default_rng(0).normal(0.5, sigma=1.0)
