"""Eigenvalues of matrices that are not symmetric, and their vectors.

LAPACK's vectors have length 1, and their largest element is real: that fixes the phase of those that
are complex (``phases``). Where two elements are the largest, what depends on the phase has nan.

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.grad(lambda a: np.max(np.abs(np.linalg.eigvals(a))))(np.array([[0.0, 4.0], [-1.0, 0.0]]))
array([[ 0.  ,  0.25],
       [-1.  ,  0.  ]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.equal_values import moves, over_gaps, turns_over_gaps, without_second
from tapegrad.ops.algebra.phases import angle_asked, angle_found, is_kept
from tapegrad.ops.algebra.singular import adjoint, conj, of_matrices, wide
from tapegrad.ops.algebra.systems import solve_p, square
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["eig", "eigvals"]

_Eig: Any = type(np.linalg.eig(np.eye(1)))


def _eig_packed(x: Array, *, phases: bool = True) -> Any:
    """The eigenvalues, and below them the vectors as columns; always complex."""
    w, v = np.linalg.eig(wide(x))
    packed = np.concatenate((w[..., None, :], v), axis=-2)
    return packed.astype(np.result_type(packed, np.complex64))


def _largest(w: Array, v: Array, x: Array) -> tuple[Any, Any, Any]:
    """Mark the element of each vector that LAPACK keeps real; return it, too, and whether it is known.

    Vectors of real eigenvalues of real matrices are real, and do not turn at all.
    """
    n = v.shape[-1]
    size = np.abs(v)
    floor = 4 * n * float(np.finfo(v.dtype).eps)
    most = np.max(size, axis=-2, keepdims=True, initial=0.0)
    near = size >= most - floor
    chosen = np.logical_and(near, np.cumsum(near, axis=-2) == 1)
    row = np.sum(np.where(chosen, v, 0.0), axis=-2)
    known = np.logical_and(np.sum(near, axis=-2) == 1, is_kept(row, n))
    if x.dtype.kind != "c":
        known = np.logical_or(known, np.imag(w) == 0)
    return chosen, row, known


def _gaps(w: Array, x: Array) -> tuple[Any, Any]:
    size = x.shape[-1] * float(np.finfo(x.dtype).eps)
    floor = size * np.max(np.abs(w), axis=-1, initial=0.0)
    return w[..., None, :] - w[..., :, None], floor[..., None, None]


def _eig_vjp(g: Array, y: Array, x: Array, *, phases: bool = True) -> Any:
    """The textbook's cotangent, of vectors that keep their length, and one element real."""
    n, g = x.shape[-1], conj(g)
    w, v = y[..., 0, :], y[..., 1:, :]
    gw, gv = g[..., 0, :], g[..., 1:, :]
    own = np.sum(np.conj(v) * gv, axis=-2)
    gv = gv - np.real(own)[..., None, :] * v
    if phases:
        chosen, row, known = _largest(w, v, x)
        largest = np.max(np.abs(gv), axis=(-2, -1), initial=0.0)[..., None]
        asked = angle_asked(np.imag(own), row, known, largest, n)[..., None, :]
        gv = gv - 1j * asked * chosen
    inner = np.matmul(adjoint(v), gv)
    gaps, floor = _gaps(w, x)
    eye = np.eye(n, dtype=y.dtype)
    turns = over_gaps(inner, inner, np.conj(gaps), floor, n)
    middle = turns * (1 - eye) + gw[..., None, :] * eye
    out = conj(bind(solve_p, adjoint(v), np.matmul(middle, adjoint(v))))
    out = out if x.dtype.kind == "c" else np.real(out)
    return without_second(out, x, gaps, floor)


def _eig_jvp(tangents: Any, y: Array, x: Array, *, phases: bool = True) -> Any:
    n, t = x.shape[-1], tangents[0]
    w, v = y[..., 0, :], y[..., 1:, :]
    inner = bind(solve_p, v, np.matmul(t, v))
    eye = np.eye(n, dtype=y.dtype)
    moved = np.matmul(v, turns_over_gaps(inner, *_gaps(w, x), t) * (1 - eye))
    moved = moved - np.real(np.sum(np.conj(v) * moved, axis=-2))[..., None, :] * v
    if phases:
        chosen, row, known = _largest(w, v, x)
        along = np.sum(np.where(chosen, moved, 0.0), axis=-2)
        moved = moved - 1j * angle_found(row, along, known, moves(t)[..., 0])[..., None, :] * v
    return np.concatenate((np.sum(inner * eye, axis=-1)[..., None, :], moved), axis=-2)


eig_packed_p = of_matrices("eig_packed", _eig_packed, (_eig_vjp,), jvp=_eig_jvp, takes_complex=True)


def _decomposed(a: Any, **params: Any) -> Any:
    """Return the packed decomposition; of real matrices a real one, if all eigenvalues are real."""
    a = square(a, "eig")
    packed = apply(eig_packed_p, (a,), params)
    if a.dtype.kind != "c" and not np.any(np.imag(packed[..., 0, :]) != 0):
        return np.real(packed)
    return packed


@implements(np.linalg.eig)
def eig(a: ArrayLike) -> Any:
    """Return the eigenvalues of square matrices, and their vectors of length 1.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    eigenvalues : Tensor, shape (..., n)
    eigenvectors : Tensor, shape (..., n, n)
        One in each column.

    Notes
    -----
    Of real matrices the results are real if all eigenvalues are, as in NumPy. The largest element of a
    complex vector is real, and stays so; where two elements are the largest, derivatives of what depends
    on the phase are nan.

    Of equal eigenvalues, derivatives of what is made of their vectors are nan, and so are all second
    derivatives. Matrices without a basis of eigenvectors have no derivative.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.eig(tg.tensor([[2.0, 1.0], [0.0, 1.0]])).eigenvalues
    Tensor([2., 1.])
    >>> np.linalg.eig(tg.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    Tensor([0.+1.j, 0.-1.j], dtype=complex128)
    """
    packed = _decomposed(a)
    return _Eig(packed[..., 0, :], packed[..., 1:, :])


@implements(np.linalg.eigvals)
def eigvals(a: ArrayLike) -> Any:
    """Return the eigenvalues of square matrices, in no order; see :func:`eig`.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n)

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.eigvals(tg.tensor([[2.0, 1.0], [0.0, 1.0]]))
    Tensor([2., 1.])
    """
    return _decomposed(a, phases=False)[..., 0, :]
