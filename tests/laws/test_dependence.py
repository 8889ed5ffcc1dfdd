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
    assert any(
        not declared.all() for app in samples_of(name) for _, declared, _ in patterns(app)
    )
