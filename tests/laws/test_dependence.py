"""What a primitive declares about dependence holds: no derivative lies outside of its pattern."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import Application
from samples import SAMPLES
from test_registry import DIFFERENTIABLE, sample, seeded

import tapegrad as tg
from tapegrad.tape.core.dependence import Applied, dense, labels_of
from tapegrad.tape.core.primitive import primitives, shaped

#: Elementwise, but nothing flows to what was not chosen.
CHOICES = {
    "fmax", "fmax_imperative", "fmin", "fmin_imperative", "heaviside", "kinked", "maximum",
    "maximum_imperative", "minimum", "minimum_imperative", "where",
}  # fmt: skip
EXACT = [
    name
    for name in DIFFERENTIABLE
    if primitives[name].family in ("elementwise", "structural") and name not in CHOICES
]


def patterns(app: Application) -> list[tuple[int, Any, Any]]:
    """For each argument by which is differentiated: the declared pattern, and the jacobian."""
    y = app.forward()
    if not y.size:
        return []
    known = [a if a.dtype.kind in "iub" else shaped(a) for a in app.args]
    applied = Applied(app.primitive, known, y.shape, app.params)
    jacobians = tg.jacrev(app.function, argnums=tuple(range(len(app.wrt))))(*app.primals)
    found = []
    for i, jacobian in zip(app.wrt, jacobians):
        size = app.args[i].size
        of_argument, of_result = labels_of(applied, i)
        of_argument = np.arange(size) if of_argument is None else of_argument
        of_result = np.arange(y.size) if of_result is None else of_result
        assert of_argument.shape == (size,)
        assert of_result.shape == (y.size,)
        equal = of_result[:, None] == of_argument
        declared = equal & (of_argument >= 0) & (of_result >= 0)[:, None]
        found.append((i, declared, np.reshape(jacobian, (y.size, size)) != 0))
    return found


def samples_of(name: str) -> list[Application]:
    return [sample(name, k, seeded(name, k)) for k in range(len(SAMPLES[name]))]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_derivative_lies_in_the_declared_pattern_of(name: str) -> None:
    for app in samples_of(name):
        for i, declared, nonzero in patterns(app):
            outside = np.argwhere(nonzero & ~declared)
            assert not len(outside), f"argument {i} of {app}: {outside[:5].tolist()}"


@pytest.mark.parametrize("name", EXACT)
def test_the_declared_pattern_is_exact_for(name: str) -> None:
    for app in samples_of(name):
        for i, declared, nonzero in patterns(app):
            empty = np.argwhere(declared & ~nonzero)
            assert not len(empty), f"argument {i} of {app}: {empty[:5].tolist()}"


@pytest.mark.parametrize(
    "name", ["sum", "mean", "var", "cumsum", "matmul", "einsum", "svd_packed", "scatter_add"]
)
def test_more_is_known_than_that_all_depends_on_all_for(name: str) -> None:
    assert primitives[name].dependence is not dense
    assert any(not declared.all() for app in samples_of(name) for _, declared, _ in patterns(app))


def whole(rows: Any) -> Any:
    """A sparse matrix as an array."""
    matrix = np.zeros(rows.shape)
    matrix[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices] = rows.data
    return matrix


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_sparse_derivatives_are_the_dense_ones_of(name: str) -> None:
    for app in samples_of(name):
        wrt = tuple(range(len(app.wrt)))
        widths = [p.size for p in app.primals]
        y = app.forward()
        jacobian = tg.sparse_jacobian(app.function, wrt, triple=True, check=True)(*app.primals)
        dense_blocks = tg.jacrev(app.function, wrt)(*app.primals)
        blocks = [np.reshape(b, (y.size, w)) for b, w in zip(dense_blocks, widths)]
        np.testing.assert_allclose(whole(jacobian), np.concatenate(blocks, 1), 1e-9, 1e-10)

        def scalar(*primals: Any, app: Application = app) -> Any:
            return np.sum(np.sin(app.function(*primals)) * 1.5)

        hessian = whole(tg.sparse_hessian(scalar, wrt, triple=True)(*app.primals))
        dense_rows = tg.hessian(scalar, wrt)(*app.primals)
        rows = [
            np.concatenate([np.reshape(b, (h, w)) for b, w in zip(row, widths)], 1)
            for row, h in zip(dense_rows, widths)
        ]
        expected = np.concatenate(rows)
        scale = 1 + np.max(np.abs(expected), initial=0.0)
        np.testing.assert_allclose(hessian, expected, 1e-7, 1e-9 * scale)
