"""Equal eigenvalues and singular values, whose vectors are not determined.

Rules divide by differences of values. Where two are equal, what asks for their vectors gets nan, and
so do second derivatives. In forward mode, vectors of equal values have nan as their tangents.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.singular import turned
from tapegrad.ops.declare.kinks import differentiated
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import leading
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["moves", "over_gaps", "turns_over_gaps", "without_second"]


def over_gaps(turns: Array, moved: Array, gaps: Array, floor: Any, size: int) -> Any:
    """Return ``turns / gaps``; of equal values 0 if nothing asks for their vectors, or else nan.

    `moved` is what the cotangent says about pairs of vectors. That `turns`, a difference of it, vanishes
    is not enough: so it does where a matrix is put together again, whose derivative is a limit.
    """
    eps = float(np.finfo(turns.dtype).eps) * size
    equal = np.abs(gaps) <= floor
    moved = np.abs(moved) + np.abs(turned(moved))
    least = eps * np.max(moved, axis=(-2, -1), keepdims=True, initial=1.0)
    pairs = 1 - np.eye(moved.shape[-1], dtype=moved.dtype)
    zero_over = np.where(moved * pairs <= least, 0.0, np.nan)
    return np.where(equal, zero_over, turns / np.where(equal, 1.0, gaps)).astype(turns.dtype)


def moves(t: Array) -> Any:
    """Say of each matrix whether it has a tangent at all."""
    return np.any(t != 0, axis=(-2, -1), keepdims=True)


def turns_over_gaps(turns: Array, gaps: Array, floor: Any, t: Array) -> Any:
    """Return ``turns / gaps`` for tangents of vectors; of equal values nan, if `t` moves them."""
    equal = np.abs(gaps) <= floor
    apart = np.logical_not(np.eye(turns.shape[-1], dtype=bool))
    lost = np.where(np.logical_and(moves(t), np.logical_and(equal, apart)), np.nan, 0.0)
    found = np.where(equal, lost, turns / np.where(equal, 1.0, gaps))
    return found.astype(turns.dtype)


def _lost(t: Any, at: Any, like: Any) -> Any:
    lost = np.where(np.logical_and(at, moves(t)), np.nan, 0.0)
    return np.broadcast_to(lost, like.shape).astype(like.dtype)


#: Zeros, whose derivative is nan for the matrices at which vectors are not determined.
undetermined_p: Primitive = Primitive(
    "undetermined",
    lambda x, at: np.zeros(np.broadcast_shapes(x.shape, at.shape), x.dtype),
    (lambda g, y, x, at: _lost(g, at, x), None),
    jvp=lambda tangents, y, x, at: _lost(tangents[0], at, y),
    batch=lambda args, batched, size, params: bind(undetermined_p, *args),
    dependence=leading(2),
    takes_complex=True,
)


def without_second(value: Any, x: Any, gaps: Any, floor: Any) -> Any:
    """Return a cotangent that has no derivative where values are equal."""
    if not differentiated(x):
        return value
    others = np.logical_not(np.eye(gaps.shape[-1], dtype=bool))
    equal = np.logical_and(np.abs(gaps) <= floor, others)
    return value + bind(undetermined_p, x, np.any(equal, axis=(-2, -1), keepdims=True))
