"""Singular values: the decomposition of matrices, the nuclear norm, and the polar factor.

A decomposition is one primitive, with its factors packed into one array. The nuclear norm has rules
of its own, which never divide by differences of singular values. All of them work on the last two
axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["nuclear_norm_p", "polar_factor_p", "svd_packed_p"]


def _svd_packed(x: Array) -> Any:
    """The thin decomposition as one array: the rows of U, the singular values, the rows of V."""
    x = np.asarray(x)
    wide = x.astype(np.float32 if x.dtype == np.float16 else float) if _narrow(x) else x
    u, s, vh = np.linalg.svd(wide, full_matrices=False)
    packed = np.concatenate((u, s[..., None, :], np.swapaxes(vh, -1, -2)), axis=-2)
    return packed.astype(x.dtype) if x.dtype == np.float16 else packed


def _narrow(x: Array) -> bool:
    return x.dtype == np.float16 or x.dtype.kind != "f"


def _unpacked(packed: Any, rows: int) -> tuple[Any, Any, Any]:
    return packed[..., :rows, :], packed[..., rows, :], packed[..., rows + 1 :, :]


def _turn(a: Array) -> Any:
    return np.swapaxes(a, -1, -2)


def _least(s: Any, size: int) -> Any:
    """What is no more than the rounding of the greatest singular value; `size` of the longer axis."""
    return s[..., :1] * (size * float(np.finfo(s.dtype).eps))


def _over(a: Array, b: Array, least: Any) -> Any:
    """``a / b``, and 0 where `b` is as good as 0."""
    none = np.abs(b) <= least
    return np.where(none, 0.0, a / np.where(none, 1.0, b))


def _svd_vjp(g: Array, y: Array, x: Array) -> Any:
    """The textbook's cotangent; pairs of equal singular values contribute nothing.

    Differences of squares are taken of singular values divided by the greatest: so they neither
    overflow nor vanish.
    """
    rows, columns = x.shape[-2], x.shape[-1]
    u, s, v = _unpacked(y, rows)
    gu, gs, gv = _unpacked(g, rows)
    greatest = np.where(s[..., :1] == 0, 1.0, s[..., :1])
    row, column = (s / greatest)[..., None, :], (s / greatest)[..., :, None]
    left, right = np.matmul(_turn(u), gu), np.matmul(_turn(v), gv)
    turns = (left - _turn(left)) * row + column * (right - _turn(right))
    apart = _over(
        turns / (row + column + (row + column == 0)), row - column, _least(row, max(rows, columns))
    )
    k = s.shape[-1]
    inner = apart / greatest[..., None] + gs[..., None, :] * np.eye(k, dtype=s.dtype)
    out = np.matmul(np.matmul(u, inner), _turn(v))
    floor = _least(s, max(rows, columns))[..., None]
    if rows > k:
        rest = _over(gu - np.matmul(u, left), s[..., None, :], floor)
        out = out + np.matmul(rest, _turn(v))
    if columns > k:
        rest = _over(gv - np.matmul(v, right), s[..., None, :], floor)
        out = out + np.matmul(u, _turn(rest))
    return out


def _of_matrices(name: str, forward: Any, rules: Any, **slots: Any) -> Primitive:
    """Declare an operation on the last two axes of one operand."""
    primitive = Primitive(
        name,
        forward,
        rules,
        batch=lambda args, batched, size, params: bind(primitive, args[0]),
        family="opaque",
        **slots,
    )
    return primitive


svd_packed_p = _of_matrices("svd_packed", _svd_packed, (_svd_vjp,))


def _polar_derivative(t: Array, x: Array) -> Any:
    """Derivative of U V^T in the direction `t`: a Hessian, and so its own transpose."""
    rows, columns = x.shape[-2], x.shape[-1]
    u, s, v = _unpacked(bind(svd_packed_p, x), rows)
    floor = _least(s, max(rows, columns))[..., None]
    inner = np.matmul(np.matmul(_turn(u), t), v)
    turns = _over(inner - _turn(inner), s[..., None, :] + s[..., :, None], floor)
    out = np.matmul(np.matmul(u, turns), _turn(v))
    if rows > s.shape[-1]:
        rest = np.matmul(t, v) - np.matmul(u, inner)
        out = out + np.matmul(_over(rest, s[..., None, :], floor), _turn(v))
    if columns > s.shape[-1]:
        rest = np.matmul(_turn(t), u) - np.matmul(v, _turn(inner))
        out = out + np.matmul(u, _turn(_over(rest, s[..., None, :], floor)))
    return out


def _polar(x: Array) -> Any:
    u, _, v = _unpacked(_svd_packed(x), np.shape(x)[-2])
    return np.matmul(u, _turn(v))


polar_factor_p = _of_matrices(
    "polar_factor",
    _polar,
    (lambda g, y, x: _polar_derivative(g, x),),
    jvp=lambda tangents, y, x: _polar_derivative(tangents[0], x),
)


def _nuclear(x: Array) -> Any:
    x = np.asarray(x)
    wide = x.astype(np.float32 if x.dtype == np.float16 else float) if _narrow(x) else x
    s = np.linalg.svd(wide, compute_uv=False)
    return np.add.reduce(s, -1).astype(x.dtype if x.dtype.kind == "f" else float)


nuclear_norm_p = _of_matrices(
    "nuclear_norm",
    _nuclear,
    (lambda g, y, x: g[..., None, None] * bind(polar_factor_p, x),),
    jvp=lambda tangents, y, x: np.sum(tangents[0] * bind(polar_factor_p, x), axis=(-2, -1)),
)
