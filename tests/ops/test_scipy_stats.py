"""Log-densities of ``scipy.stats`` are differentiated as they are, by data and by parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

st = pytest.importorskip("scipy.stats")
sc = pytest.importorskip("scipy.special")

X = np.array([0.3, 0.5, 0.8])
COUNTS = np.array([0, 2, 5])

#: A log-density of data and parameters, parameters, and its derivatives by the data and by one of them.
DENSITIES: dict[str, tuple[Any, Any, Any, Any]] = {
    "norm": (
        lambda x, p: st.norm.logpdf(x, p[0], p[1]), [0.4, 1.3],
        lambda x, m, s: (m - x) / s**2, lambda x, m, s: np.sum(x - m) / s**2,
    ),
    "gamma": (
        lambda x, p: st.gamma.logpdf(x, p[0], scale=p[1]), [2.5, 0.7],
        lambda x, a, s: (a - 1) / x - 1 / s, lambda x, a, s: np.sum(np.log(x / s) - sc.psi(a)),
    ),
    "beta": (
        lambda x, p: st.beta.logpdf(x, p[0], p[1]), [2.5, 0.7],
        lambda x, a, b: (a - 1) / x - (b - 1) / (1 - x),
        lambda x, a, b: np.sum(np.log(x) - sc.psi(a) + sc.psi(a + b)),
    ),
    "t": (
        lambda x, p: st.t.logpdf(x, 4.0, p[0], p[1]), [0.4, 1.3],
        lambda x, m, s: -5 * (x - m) / (4 * s**2 + (x - m) ** 2),
        lambda x, m, s: np.sum(5 * (x - m) / (4 * s**2 + (x - m) ** 2)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSITIES)
def test_log_densities_have_derivatives_by_data_and_parameters(name: str) -> None:
    density, parameters, by_x, by_first = DENSITIES[name]
    p = np.array(parameters)

    def total(x: Any, p: Any) -> Any:
        return np.sum(density(x, p))

    assert tg.value_and_grad(total)(X, p)[0] == total(X, p)
    data, slopes = tg.grad(total, (0, 1))(X, p)
    np.testing.assert_allclose(data, by_x(X, *parameters), 1e-12)
    np.testing.assert_allclose(slopes[0], by_first(X, *parameters), 1e-12)
    tg.check_grads(total, (X, p), order=2)
    rows = np.stack([X, X**2])
    each = [tg.grad(total)(x, p) for x in rows]
    np.testing.assert_allclose(tg.vmap(tg.grad(total), (0, None))(rows, p), each, 1e-12)


def test_the_degrees_of_freedom_of_students_distribution_have_a_derivative() -> None:
    tg.check_grads(lambda v: np.sum(st.t.logpdf(X, v)), (4.0,), order=2)


def test_the_mean_of_counts_has_a_derivative() -> None:
    def total(mean: Any) -> Any:
        return np.sum(st.poisson.logpmf(COUNTS, mean))

    assert tg.grad(total)(1.7) == pytest.approx(np.sum(COUNTS) / 1.7 - 3)
    tg.check_grads(total, (np.array([0.5, 1.7, 3.0]),), order=2)


def test_frozen_distributions_keep_the_derivative() -> None:
    frozen = tg.grad(lambda p: np.sum(st.norm(p[0], np.exp(p[1])).logpdf(X)))
    plain = tg.grad(lambda p: np.sum(st.norm.logpdf(X, p[0], np.exp(p[1]))))
    np.testing.assert_allclose(frozen(np.array([0.4, 0.2])), plain(np.array([0.4, 0.2])), 1e-13)
