"""Singular values: the decomposition of matrices, spectral and nuclear norm, and the polar factor.

A decomposition is one primitive, with its factors packed into one array. The norms have rules of their
own, which never divide by differences of singular values. All of them work on the last two axes.

Rules of complex matrices are the textbook's, in which a cotangent ``c`` pairs with a tangent as the real
part of the sum of ``conj(c) * t``. Here it pairs without conjugation: so they take the conjugate of a
cotangent first, and give the conjugate of what they find (:func:`conj`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.phases import angle_asked, is_kept
from tapegrad.ops.declare.kinks import differentiated, kinked
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import leading
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = [
    "adjoint", "conj", "kept_row", "nuclear_norm_p", "of_matrices", "polar_factor_p", "skew",
    "spectral_norm_p", "svd_cotangent", "svd_packed_p", "turned", "turned_back", "unpacked", "wide",
]  # fmt: skip


def wide(x: Any) -> Any:
    """Return matrices in a dtype that LAPACK computes in."""
    x = np.asarray(x)
    if x.dtype.kind not in CONTINUOUS:
        return x.astype(float)
    return x.astype(np.float32) if x.dtype == np.float16 else x


def turned(a: Array) -> Any:
    """Return the transposed matrices."""
    return np.swapaxes(a, -1, -2)


def conj(a: Array) -> Any:
    """Return the conjugate of what is complex."""
    return np.conj(a) if a.dtype.kind == "c" else a


def adjoint(a: Array) -> Any:
    """Return the transposed matrices, conjugated if they are complex."""
    return turned(conj(a))


def skew(a: Array) -> Any:
    """Return twice the antisymmetric part, of complex matrices the anti-Hermitian one."""
    return a - adjoint(a)


def _svd_packed(x: Array) -> Any:
    """The thin decomposition as one array: the rows of U, the singular values, the rows of V."""
    x = np.asarray(x)
    u, s, vh = np.linalg.svd(wide(x), full_matrices=False)
    packed = np.concatenate((u, s[..., None, :], adjoint(vh)), axis=-2)
    return packed.astype(x.dtype) if x.dtype == np.float16 else packed


def unpacked(packed: Any, rows: int) -> tuple[Any, Any, Any]:
    """Return the factors U, s and V of a packed decomposition."""
    s = packed[..., rows, :]
    s = np.real(s) if s.dtype.kind == "c" else s
    return packed[..., :rows, :], s, packed[..., rows + 1 :, :]


def _least(s: Any, size: int) -> Any:
    """What is no more than the rounding of the greatest singular value; `size` of the longer axis."""
    greatest = s[..., :1] if s.shape[-1] else np.zeros((*s.shape[:-1], 1), s.dtype)
    return greatest * (size * float(np.finfo(s.dtype).eps))


def _over(a: Array, b: Array, least: Any) -> Any:
    """``a / b``, and 0 where `b` is as good as 0."""
    none = np.abs(b) <= least
    return np.where(none, 0.0, a / np.where(none, 1.0, b))


def kept_row(u: Array, v: Array) -> Any:
    """Return the elements that LAPACK keeps real: the first ones of the vectors of the shorter side."""
    first = v[..., :1, :] if u.shape[-2] >= v.shape[-2] else u[..., :1, :]
    return np.sum(first, axis=-2)  # there are none if there are no elements


def turned_back(cotangents: Any, inners: Any, vectors: Any, size: int) -> Any:
    """Take from the cotangents what complex pairs turn by, for the element that stays real."""
    (gu, gv), (left, right), (u, v) = cotangents, inners, vectors
    turning = np.imag(np.diagonal(left + right, axis1=-2, axis2=-1))
    most = np.max(np.abs(left) + np.abs(right), axis=(-2, -1), initial=0.0)[..., None]
    row = kept_row(u, v)
    asked = 1j * angle_asked(turning, row, is_kept(row, size), most, size)[..., None, :]
    if u.shape[-2] >= v.shape[-2]:
        return gu, gv - asked * np.eye(v.shape[-2], 1, dtype=v.dtype)
    return gu - asked * np.eye(u.shape[-2], 1, dtype=u.dtype), gv


def svd_cotangent(g: Array, y: Array, x: Array) -> Any:
    """The textbook's cotangent; pairs of equal singular values contribute nothing.

    Differences of squares are taken of singular values divided by the greatest: so they neither
    overflow nor vanish. Complex vectors turn back before (`turned_back`).
    """
    rows, columns = x.shape[-2], x.shape[-1]
    u, s, v = unpacked(y, rows)
    gu, gs, gv = unpacked(conj(g), rows)
    greatest = np.where(s[..., :1] == 0, 1.0, s[..., :1])
    row, column = (s / greatest)[..., None, :], (s / greatest)[..., :, None]
    left, right = np.matmul(adjoint(u), gu), np.matmul(adjoint(v), gv)
    turns = skew(left) * row + column * skew(right)
    apart = _over(
        turns / (row + column + (row + column == 0)), row - column, _least(row, max(rows, columns))
    )
    k = s.shape[-1]
    floor = _least(s, max(rows, columns))[..., None]
    eye = np.eye(k, dtype=s.dtype)
    inner = apart / greatest[..., None] + gs[..., None, :] * eye
    if x.dtype.kind == "c":
        inner = inner + 1j * _over(np.imag(left) * eye, s[..., None, :], floor)
    out = np.matmul(np.matmul(u, inner), adjoint(v))
    if rows > k:
        rest = _over(gu - np.matmul(u, left), s[..., None, :], floor)
        out = out + np.matmul(rest, adjoint(v))
    if columns > k:
        rest = _over(gv - np.matmul(v, right), s[..., None, :], floor)
        out = out + np.matmul(u, adjoint(rest))
    return conj(out)


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


def _svd_vjp(g: Array, y: Array, x: Array) -> Any:
    if x.dtype.kind == "c":
        u, _, v = unpacked(y, x.shape[-2])
        gu, gs, gv = unpacked(conj(g), x.shape[-2])
        inners = np.matmul(adjoint(u), gu), np.matmul(adjoint(v), gv)
        gu, gv = turned_back((gu, gv), inners, (u, v), max(x.shape[-2:]))
        g = conj(np.concatenate((gu, gs[..., None, :], gv), axis=-2))
    return svd_cotangent(g, y, x)


svd_packed_p = of_matrices("svd_packed", _svd_packed, (_svd_vjp,), takes_complex=True)


def _polar_derivative(t: Array, x: Array) -> Any:
    """Derivative of U V^T in the direction `t`: a Hessian, and so its own transpose."""
    rows, columns = x.shape[-2], x.shape[-1]
    u, s, v = unpacked(bind(svd_packed_p, x), rows)
    floor = _least(s, max(rows, columns))[..., None]
    inner = np.matmul(np.matmul(adjoint(u), t), v)
    turns = _over(skew(inner), s[..., None, :] + s[..., :, None], floor)
    out = np.matmul(np.matmul(u, turns), adjoint(v))
    if rows > s.shape[-1]:
        rest = np.matmul(t, v) - np.matmul(u, inner)
        out = out + np.matmul(_over(rest, s[..., None, :], floor), adjoint(v))
    if columns > s.shape[-1]:
        rest = np.matmul(adjoint(t), u) - np.matmul(v, adjoint(inner))
        out = out + np.matmul(u, adjoint(_over(rest, s[..., None, :], floor)))
    return out


def _polar(x: Array) -> Any:
    u, _, v = unpacked(_svd_packed(x), np.shape(x)[-2])
    return np.matmul(u, adjoint(v))


polar_factor_p = of_matrices(
    "polar_factor",
    _polar,
    (lambda g, y, x: conj(_polar_derivative(conj(g), x)),),
    jvp=lambda tangents, y, x: _polar_derivative(tangents[0], x),
    takes_complex=True,
)


def _along_polar(g: Any, x: Any) -> Any:
    """The conjugate of ``U V^H`` times `g`; `x` has a kink if a singular value vanishes."""
    value = g * conj(bind(polar_factor_p, x))
    if not differentiated(x):
        return value
    _, s, _ = unpacked(bind(svd_packed_p, x), x.shape[-2])
    return _with_kinks(value, g, x, s[..., -1:] > _least(s, max(x.shape[-2:])))


def _with_kinks(value: Any, g: Any, x: Any, smooth: Any) -> Any:
    """Say which of several matrices are not at a kink."""
    axes = (len(x.shape) - 2, len(x.shape) - 1)
    return kinked(value, g, x, smooth[..., None], axes)


def _of_kind(y: Any, x: Any) -> Any:
    return y.astype(np.float16) if x.dtype == np.float16 else y


def _values(x: Any) -> Any:
    return np.linalg.svd(wide(x), compute_uv=False)


def _sum(a: Array) -> Any:
    """The sum over matrices, real."""
    total = np.sum(a, axis=(-2, -1))
    return np.real(total) if total.dtype.kind == "c" else total


def _nuclear(x: Any) -> Any:
    return _of_kind(np.add.reduce(_values(x), -1), np.asarray(x))


nuclear_norm_p = of_matrices(
    "nuclear_norm",
    _nuclear,
    (lambda g, y, x: _along_polar(g[..., None, None], x),),
    jvp=lambda tangents, y, x: _sum(_along_polar(tangents[0], x)),
    takes_complex=True,
)


def _spectral(x: Any, least: bool) -> Any:
    return _of_kind(_values(x)[..., -1 if least else 0], np.asarray(x))


def _along_spectral(g: Any, x: Any, lower: bool) -> Any:
    """The conjugate of the mean of ``u v^H`` over all that belong to the extreme, times `g`.

    Where they are several, or the extreme is zero, it is a subgradient: `x` has a kink.
    """
    u, s, v = unpacked(bind(svd_packed_p, x), x.shape[-2])
    extreme = s[..., -1:] if lower else s[..., :1]
    floor = _least(s, max(x.shape[-2:]))
    hit = np.where(s == extreme, *(np.asarray(a, s.dtype) for a in (1.0, 0.0)))
    share = hit / np.sum(hit, axis=-1, keepdims=True)
    value = g * conj(np.matmul(u * share[..., None, :], adjoint(v)))
    near = np.sum(np.abs(s - extreme) <= floor, axis=-1, keepdims=True)
    return _with_kinks(value, g, x, np.logical_and(near == 1, extreme > floor))


spectral_norm_p = of_matrices(
    "spectral_norm",
    _spectral,
    (lambda g, y, x, least: _along_spectral(g[..., None, None], x, least),),
    jvp=lambda tangents, y, x, least: _sum(_along_spectral(tangents[0], x, least)),
    takes_complex=True,
)
