"""Columns that complete a basis: derivatives of what does not depend on how they are turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(11)
TALL = RNG.normal(size=(4, 2))
POINT = RNG.normal(size=4)


def of_svd(a: Any) -> Any:
    """The distance of a point from the space of the columns, and more that is determined."""
    u, s, vh = np.linalg.svd(a)
    return np.sum((u[:, 2:].T @ POINT) ** 2) + np.sum(s**3) + np.sum((u[:, :2] * s @ vh) ** 3)


def of_rows(a: Any) -> Any:
    return np.sum((np.linalg.svd(a.T)[2][2:] @ POINT) ** 2)


def of_qr(a: Any) -> Any:
    q, r = np.linalg.qr(a, "complete")
    return np.sum((q[:, 2:].T @ POINT) ** 2) + np.sum(q @ r * POINT[:, None])


def distance(a: Any) -> Any:
    """The same as :func:`of_rows`, by least squares."""
    return np.sum((POINT - a @ np.linalg.lstsq(a, POINT)[0]) ** 2)


@pytest.mark.parametrize("function", [of_svd, of_rows, of_qr])
def test_what_is_determined_has_a_gradient(function: Any) -> None:
    tg.check_grads(function, (TALL,), order=1, modes=("rev",))
    gradient = tg.grad(function)
    np.testing.assert_allclose(tg.jit(gradient)(TALL), gradient(TALL), 1e-11, 1e-12)
    stack = np.stack([TALL, 2 * TALL[::-1]])
    each = np.stack([gradient(a) for a in stack])
    np.testing.assert_allclose(tg.vmap(gradient)(stack), each, 1e-11, 1e-12)


def test_second_derivatives_by_reverse_mode_are_right() -> None:
    def along(f: Any) -> Any:
        return tg.grad(lambda a: np.sum(tg.grad(f)(a) * TALL[::-1]))(TALL)

    np.testing.assert_allclose(along(of_rows), along(distance), 1e-9, 1e-10)


def test_what_depends_on_how_the_columns_are_turned_raises() -> None:
    weights = RNG.normal(size=(4, 2))
    for function, remedy in (
        (lambda a: np.sum(np.linalg.svd(a)[0][:, 2:] * weights), "full_matrices=False"),
        (lambda a: np.sum(np.linalg.svd(a.T)[2][2:] * weights.T), "full_matrices=False"),
        (lambda a: np.sum(np.linalg.qr(a, "complete")[0][:, 2:] * weights), "mode='reduced'"),
    ):
        for derivative in (tg.grad(function), tg.jit(tg.grad(function))):
            with pytest.raises(ValueError, match=f"not determined.*use {remedy}"):
                derivative(TALL)
        x = tg.tensor(TALL)
        with pytest.raises(ValueError, match="not determined"):
            function(x).backward()


def test_in_forward_mode_the_added_columns_have_nan() -> None:
    u, s, vh = tg.jvp(np.linalg.svd, (TALL,), (TALL[::-1],))[1]
    assert np.isnan(u[:, 2:]).all() and np.isfinite(u[:, :2]).all()
    assert np.isfinite(s).all() and np.isfinite(vh).all()
    still = tg.jvp(np.linalg.svd, (TALL,), (0 * TALL,))[1][0]
    assert not still.any()
    q, r = tg.jvp(lambda a: np.linalg.qr(a, "complete"), (TALL,), (TALL[::-1],))[1]
    assert np.isnan(q[:, 2:]).all() and np.isfinite(q[:, :2]).all() and np.isfinite(r).all()


def test_a_single_column_cannot_be_turned() -> None:
    a = RNG.normal(size=(3, 2))
    for function in (
        lambda a: np.linalg.svd(a)[0][:, 2] ** 2,
        lambda a: np.linalg.qr(a, "complete")[0][:, 2],
        lambda a: np.linalg.svd(a.T)[2][2] ** 3,
    ):
        tg.check_grads(function, (a,), order=2)


def test_the_values_alone_are_differentiated_in_both_modes() -> None:
    tg.check_grads(lambda a: np.linalg.svd(a)[1], (TALL,), order=2)
    tg.check_grads(lambda a: np.linalg.qr(a, "complete")[1], (TALL,), order=2)
