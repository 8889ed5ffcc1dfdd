"""Singular values: the decomposition of matrices, spectral and nuclear norm, and the polar factor.

A decomposition is one primitive, with its factors packed into one array. The norms have rules of their
own, which never divide by differences of singular values. All of them work on the last two axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.kinks import differentiated, kinked
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import leading
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = [
    "nuclear_norm_p", "of_matrices", "polar_factor_p", "spectral_norm_p", "svd_packed_p", "turned",
    "unpacked",
]  # fmt: skip


def _svd_packed(x: Array) -> Any:
    """The thin decomposition as one array: the rows of U, the singular values, the rows of V."""
    x = np.asarray(x)
    wide = x.astype(np.float32 if x.dtype == np.float16 else float) if _narrow(x) else x
    u, s, vh = np.linalg.svd(wide, full_matrices=False)
    packed = np.concatenate((u, s[..., None, :], np.swapaxes(vh, -1, -2)), axis=-2)
    return packed.astype(x.dtype) if x.dtype == np.float16 else packed


def _narrow(x: Array) -> bool:
    return x.dtype == np.float16 or x.dtype.kind != "f"


def unpacked(packed: Any, rows: int) -> tuple[Any, Any, Any]:
    """Return the factors U, s and V of a packed decomposition."""
    return packed[..., :rows, :], packed[..., rows, :], packed[..., rows + 1 :, :]


def turned(a: Array) -> Any:
    """Return the transposed matrices."""
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
    u, s, v = unpacked(y, rows)
    gu, gs, gv = unpacked(g, rows)
    greatest = np.where(s[..., :1] == 0, 1.0, s[..., :1])
    row, column = (s / greatest)[..., None, :], (s / greatest)[..., :, None]
    left, right = np.matmul(turned(u), gu), np.matmul(turned(v), gv)
    turns = (left - turned(left)) * row + column * (right - turned(right))
    apart = _over(
        turns / (row + column + (row + column == 0)), row - column, _least(row, max(rows, columns))
    )
    k = s.shape[-1]
    inner = apart / greatest[..., None] + gs[..., None, :] * np.eye(k, dtype=s.dtype)
    out = np.matmul(np.matmul(u, inner), turned(v))
    floor = _least(s, max(rows, columns))[..., None]
    if rows > k:
        rest = _over(gu - np.matmul(u, left), s[..., None, :], floor)
        out = out + np.matmul(rest, turned(v))
    if columns > k:
        rest = _over(gv - np.matmul(v, right), s[..., None, :], floor)
        out = out + np.matmul(u, turned(rest))
    return out


def of_matrices(name: str, forward: Any, rules: Any, **slots: Any) -> Primitive:
    """Declare an operation on the last two axes of one operand."""
    primitive = Primitive(
        name,
        forward,
        rules,
        batch=lambda args, batched, size, params: bind(primitive, args[0], **params),
        family="opaque",
        dependence=leading(2),
        **slots,
    )
    return primitive


svd_packed_p = of_matrices("svd_packed", _svd_packed, (_svd_vjp,))


def _polar_derivative(t: Array, x: Array) -> Any:
    """Derivative of U V^T in the direction `t`: a Hessian, and so its own transpose."""
    rows, columns = x.shape[-2], x.shape[-1]
    u, s, v = unpacked(bind(svd_packed_p, x), rows)
    floor = _least(s, max(rows, columns))[..., None]
    inner = np.matmul(np.matmul(turned(u), t), v)
    turns = _over(inner - turned(inner), s[..., None, :] + s[..., :, None], floor)
    out = np.matmul(np.matmul(u, turns), turned(v))
    if rows > s.shape[-1]:
        rest = np.matmul(t, v) - np.matmul(u, inner)
        out = out + np.matmul(_over(rest, s[..., None, :], floor), turned(v))
    if columns > s.shape[-1]:
        rest = np.matmul(turned(t), u) - np.matmul(v, turned(inner))
        out = out + np.matmul(u, turned(_over(rest, s[..., None, :], floor)))
    return out


def _polar(x: Array) -> Any:
    u, _, v = unpacked(_svd_packed(x), np.shape(x)[-2])
    return np.matmul(u, turned(v))


polar_factor_p = of_matrices(
    "polar_factor",
    _polar,
    (lambda g, y, x: _polar_derivative(g, x),),
    jvp=lambda tangents, y, x: _polar_derivative(tangents[0], x),
)


def _along_polar(g: Any, x: Any) -> Any:
    """``U V^T`` times `g`; `x` has a kink if a singular value vanishes."""
    value = g * bind(polar_factor_p, x)
    if not differentiated(x):
        return value
    _, s, _ = unpacked(bind(svd_packed_p, x), x.shape[-2])
    return _with_kinks(value, g, x, s[..., -1:] > _least(s, max(x.shape[-2:])))


def _with_kinks(value: Any, g: Any, x: Any, smooth: Any) -> Any:
    """Say which of several matrices are not at a kink."""
    axes = (len(x.shape) - 2, len(x.shape) - 1)
    return kinked(value, g, x, smooth[..., None], axes)


def _values(x: Any) -> Any:
    """The singular values, in a dtype that NumPy computes in."""
    x = np.asarray(x)
    wide = x.astype(np.float32 if x.dtype == np.float16 else float) if _narrow(x) else x
    return np.linalg.svd(wide, compute_uv=False)


def _of_kind(y: Any, x: Any) -> Any:
    return y.astype(x.dtype if x.dtype.kind == "f" else float)


def _nuclear(x: Any) -> Any:
    return _of_kind(np.add.reduce(_values(x), -1), x)


nuclear_norm_p = of_matrices(
    "nuclear_norm",
    _nuclear,
    (lambda g, y, x: _along_polar(g[..., None, None], x),),
    jvp=lambda tangents, y, x: np.sum(_along_polar(tangents[0], x), axis=(-2, -1)),
)


def _spectral(x: Any, least: bool) -> Any:
    return _of_kind(_values(x)[..., -1 if least else 0], x)


def _along_spectral(g: Any, x: Any, least: bool) -> Any:
    """The mean of ``u v^T`` over all that belong to the extreme, times `g`.

    Where they are several, or the extreme is zero, it is a subgradient: `x` has a kink.
    """
    u, s, v = unpacked(bind(svd_packed_p, x), x.shape[-2])
    extreme = s[..., -1:] if least else s[..., :1]
    floor = _least(s, max(x.shape[-2:]))
    hit = np.where(s == extreme, *(np.asarray(a, s.dtype) for a in (1.0, 0.0)))
    share = hit / np.sum(hit, axis=-1, keepdims=True)
    value = g * np.matmul(u * share[..., None, :], turned(v))
    near = np.sum(np.abs(s - extreme) <= floor, axis=-1, keepdims=True)
    return _with_kinks(value, g, x, np.logical_and(near == 1, extreme > floor))


spectral_norm_p = of_matrices(
    "spectral_norm",
    _spectral,
    (lambda g, y, x, least: _along_spectral(g[..., None, None], x, least),),
    jvp=lambda tangents, y, x, least: np.sum(_along_spectral(tangents[0], x, least), axis=(-2, -1)),
)
