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
    found = []
    for i, moves in zip(app.wrt, _moves(app)):
        size = app.args[i].size
        of_argument, of_result = labels_of(applied, i)
        of_argument = np.arange(size) if of_argument is None else of_argument
        of_result = np.arange(y.size) if of_result is None else of_result
        assert of_argument.shape == (size,)
        assert of_result.shape == (y.size,)
        equal = of_result[:, None] == of_argument
        declared = equal & (of_argument >= 0) & (of_result >= 0)[:, None]
        found.append((i, declared, np.reshape(moves, (y.size, size))))
    return found


def _moves(app: Application) -> list[Any]:
    """For each argument by which is differentiated: which elements of the result it moves."""
    count = len(app.wrt)

    def parts(*values: Any) -> Any:
        pairs = zip(values[:count], values[count:], app.primals)
        y = app.function(*(re + 1j * im if _is_complex(p) else re for re, im, p in pairs))
        return np.stack((np.real(y), np.imag(y)))

    values = [np.real(p) for p in app.primals] + [np.imag(p) for p in app.primals]
    jacobians = tg.jacrev(parts, argnums=tuple(range(2 * count)))(*values)
    both = zip(jacobians[:count], jacobians[count:])
    return [((re != 0) | (im != 0)).any(axis=0) for re, im in both]


def _is_complex(a: Any) -> bool:
    return np.asarray(a).dtype.kind == "c"


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


def _of_real_numbers(name: str) -> bool:
    app = sample(name, 0, seeded(name, 0))
    return not any(map(_is_complex, (*app.args, app.forward())))


@pytest.mark.parametrize("name", list(filter(_of_real_numbers, DIFFERENTIABLE)))
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
