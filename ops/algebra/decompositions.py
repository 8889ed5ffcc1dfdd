"""The decompositions of ``numpy.linalg``: Cholesky, QR, symmetric eigenvalues, singular values.

Each is one primitive, with its factors packed into one array, that works on the last two axes. Where
eigenvalues or singular values are equal, their vectors are not determined (``equal_values``): what asks
for them has nan there, and so have second derivatives. First derivatives of the values alone are those
for one choice. Complex vectors have the phases that LAPACK chooses (``phases``).

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.grad(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2))(np.diag([1.0, 2.0]))
array([[2., 0.],
       [0., 4.]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.completions import completed
from tapegrad.ops.algebra.equal_values import moves, over_gaps, turns_over_gaps, without_second
from tapegrad.ops.algebra.phases import angle_asked, angle_found, is_kept
from tapegrad.ops.algebra.singular import (
    adjoint,
    conj,
    kept_row,
    of_matrices,
    skew,
    svd_cotangent,
    svd_packed_p,
    turned,
    turned_back,
    unpacked,
    wide,
)
from tapegrad.ops.algebra.systems import matrix, of_triangle, solve_p, square
from tapegrad.ops.declare.refusals import refuse
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = [
    "cholesky", "eigh", "eigh_jvp", "eigh_vjp", "eigvalsh", "of_values", "qr", "svd", "svdvals",
]  # fmt: skip

_NAMED = {
    name: type(getattr(np.linalg, name)(np.eye(1))) for name in ("eigh", "qr", "svd")
}  # the classes of NumPy's named results


def _symmetric(x: Array) -> Any:
    return (x + adjoint(x)) / 2


def _diagonal(x: Array) -> Any:
    """The diagonals of matrices, real parts alone."""
    d = np.diagonal(x, axis1=-2, axis2=-1)
    return np.real(d) if d.dtype.kind == "c" else d


# Cholesky ----------------------------------------------------------------------------------------


def _halved(a: Array) -> Any:
    """Return the lower triangle with half of the diagonal."""
    n = a.shape[-1]
    return a * (np.tril(np.ones((n, n), a.dtype)) - np.eye(n, dtype=a.dtype) / 2)


def _cholesky_vjp(g: Array, y: Array, x: Array) -> Any:
    inner = _halved(np.matmul(adjoint(y), conj(g)))
    left = bind(solve_p, adjoint(y), inner)
    return conj(_symmetric(adjoint(bind(solve_p, adjoint(y), adjoint(left)))))


cholesky_p = of_matrices(
    "cholesky",
    lambda x: np.linalg.cholesky(wide(_symmetric(x))).astype(x.dtype),
    (_cholesky_vjp,),
    takes_complex=True,
)


@implements(np.linalg.cholesky)
def cholesky(a: ArrayLike, /, *, upper: bool = False) -> Any:
    """Return the triangular factor of positive definite matrices.

    Parameters
    ----------
    a : array_like
        Matrices, of which only one triangle is read: so only that one has a gradient.
    upper : bool
        Whether to read the upper triangle, and to return the upper factor.

    Returns
    -------
    Tensor
        The factor: lower triangular, or upper if asked for.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.cholesky(tg.tensor([[4.0, 2.0], [2.0, 5.0]]))
    Tensor([[2., 0.],
            [1., 2.]])
    """
    a = square(a)
    factor = apply(cholesky_p, (of_triangle(a, "U" if upper else "L"),))
    return adjoint(factor) if upper else factor


# QR ----------------------------------------------------------------------------------------------


def _qr_packed(x: Array) -> Any:
    q, r = np.linalg.qr(wide(x))
    return np.concatenate((q, r), axis=-2).astype(x.dtype)


def _qr_vjp(g: Array, y: Array, x: Array) -> Any:
    """The textbook's cotangent, of matrices that have no more columns than rows."""
    rows, g = x.shape[-2], conj(g)
    q, r = y[..., :rows, :], y[..., rows:, :]
    gq, gr = g[..., :rows, :], np.triu(g[..., rows:, :])
    m = np.matmul(r, adjoint(gr)) - np.matmul(adjoint(gq), q)
    lower = np.tril(m, -1)
    if x.dtype.kind == "c":  # the diagonal of R stays real
        both = lower + adjoint(lower) + np.real(m) * np.eye(m.shape[-1], dtype=m.dtype)
    else:
        both = _halved(m) * 2 - lower + turned(lower)
    return conj(adjoint(bind(solve_p, r, adjoint(gq + np.matmul(q, both)))))


qr_packed_p = of_matrices("qr_packed", _qr_packed, (_qr_vjp,), takes_complex=True)


@implements(np.linalg.qr)
def qr(a: ArrayLike, mode: str = "reduced") -> Any:
    """Return matrices as products of an orthogonal (or unitary) and an upper triangular one.

    Parameters
    ----------
    a : array_like
    mode : {'reduced', 'complete', 'r'}
        Both factors, or the second alone. With 'complete' the first factor is square.

    Returns
    -------
    Q, R : Tensor
        The factors; with ``mode="r"`` R alone.

    Raises
    ------
    TypeError
        For the mode 'raw', which has no derivative.
    ValueError
        For unknown modes. When a function is
        differentiated that depends on how the columns are turned that 'complete' adds.

    Notes
    -----
    Of complex matrices the diagonal of the second factor stays real, as LAPACK makes it. In forward mode
    the tangents of columns that 'complete' adds are nan, but for a single real one.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> q, r = np.linalg.qr(tg.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> r
    Tensor([[-5. , -2.2],
            [ 0. ,  0.4]])
    """
    a = matrix(a)
    rows, columns = a.shape[-2:]
    if mode == "raw":
        refuse(a, "qr", "LAPACK's factors (mode='raw') have no derivative; use 'reduced'")
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    packed = apply(qr_packed_p, (a[..., :rows],))
    q, r = packed[..., :rows, :], packed[..., rows:, :]
    if columns > rows:
        r = np.concatenate((r, np.matmul(adjoint(q), a[..., rows:])), axis=-1)
    if mode == "r":
        return r
    if mode == "complete" and rows > columns:
        below: Any = np.zeros((*r.shape[:-2], rows - columns, columns), r.dtype)
        q, r = completed(q, a, "qr"), np.concatenate((r, below), axis=-2)
    return _NAMED["qr"](q, r)


# Eigenvalues -------------------------------------------------------------------------------------


def _eigh_packed(x: Array, *, uplo: str = "L", phases: bool = True) -> Any:
    w, v = np.linalg.eigh(wide(_symmetric(x)), uplo)  # type: ignore[call-overload]
    return np.concatenate((w[..., None, :], v), axis=-2).astype(x.dtype)


def _gaps(w: Array, x: Array) -> tuple[Any, Any]:
    """Return the differences of values, and what of them is no more than rounding."""
    gaps = w[..., None, :] - w[..., :, None]
    size = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    return gaps, size * np.max(np.abs(w), axis=-1, initial=0.0)[..., None, None]


def of_values(packed: Array, row: int) -> Any:
    """Return the row of a packed decomposition that holds the values, which are real."""
    values = packed[..., row, :]
    return np.real(values) if values.dtype.kind == "c" else values


def _kept(v: Array, uplo: str) -> Any:
    """Return the elements that LAPACK keeps real, in one row: the first or the last ones."""
    return v[..., :1, :] if uplo == "L" else v[..., -1:, :]


def eigh_vjp(g: Array, y: Array, x: Array, *, uplo: str = "L", phases: bool = True) -> Any:
    n, g, phases = x.shape[-1], conj(g), phases and x.dtype.kind == "c"
    w, v = of_values(y, 0), y[..., 1:, :]
    gw, gv = of_values(g, 0), g[..., 1:, :]
    inner = np.matmul(adjoint(v), gv)
    if phases:
        turning = np.imag(np.diagonal(inner, axis1=-2, axis2=-1))
        kept, most = _kept(v, uplo), np.max(np.abs(inner), axis=(-2, -1), initial=0.0)[..., None]
        row = np.sum(kept, axis=-2)  # which has none if there are no elements
        asked = angle_asked(turning, row, is_kept(row, n), most, n)[..., None, :]
        inner = inner - 1j * asked * conj(turned(kept))
    gaps, floor = _gaps(w, x)
    turns = over_gaps(skew(inner) / 2, inner, gaps, floor, n)
    eye = np.eye(n, dtype=x.dtype)
    middle = turns * (1 - eye) + gw[..., None, :] * eye
    out = np.matmul(np.matmul(v, middle), adjoint(v))
    return conj(without_second(_symmetric(out), x, gaps, floor))


def eigh_jvp(tangents: Any, y: Array, x: Array, *, uplo: str = "L", phases: bool = True) -> Any:
    n, t, phases = x.shape[-1], _symmetric(tangents[0]), phases and x.dtype.kind == "c"
    w, v = of_values(y, 0), y[..., 1:, :]
    inner = np.matmul(np.matmul(adjoint(v), t), v)
    gaps, floor = _gaps(w, x)
    turns = turns_over_gaps(inner, gaps, floor, t) * (1 - np.eye(n, dtype=x.dtype))
    moved = np.matmul(v, turns)
    if phases:
        row, moving = (np.sum(_kept(a, uplo), axis=-2) for a in (v, moved))
        angle = angle_found(row, moving, is_kept(row, n), moves(t)[..., 0])
        moved = moved - 1j * angle[..., None, :] * v
    return np.concatenate((_diagonal(inner)[..., None, :], moved), axis=-2)


eigh_packed_p = of_matrices(
    "eigh_packed", _eigh_packed, (eigh_vjp,), jvp=eigh_jvp, takes_complex=True
)


@implements(np.linalg.eigh)
def eigh(a: ArrayLike, UPLO: str = "L") -> Any:
    """Return the eigenvalues of symmetric or Hermitian matrices, in ascending order, and their vectors.

    Parameters
    ----------
    a : array_like
        Matrices, of which only one triangle is read: so only that one has a gradient.
    UPLO : {'L', 'U'}
        Which one.

    Returns
    -------
    eigenvalues : Tensor, shape (..., n)
    eigenvectors : Tensor, shape (..., n, n)
        One in each column.

    Notes
    -----
    Of equal eigenvalues, derivatives of what is made of their vectors are nan, and so are all second
    derivatives. The vectors of complex matrices keep one element real, as LAPACK makes it: the first, or
    for 'U' the last. Where it is 0, what depends on the phase has nan.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.eigh(tg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    Tensor([1., 2.])
    """
    packed = _eigh(a, UPLO, {})
    return _NAMED["eigh"](of_values(packed, 0), packed[..., 1:, :])


def _eigh(a: ArrayLike, uplo: str, params: dict[str, Any]) -> Any:
    uplo = uplo.upper()
    if uplo not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    a = of_triangle(square(a), uplo)
    return apply(eigh_packed_p, (a,), {"uplo": "U", **params} if uplo == "U" else params)


def _without_phases(a: Array) -> dict[str, Any]:
    """Return the parameter that says that only values are asked for."""
    return {"phases": False} if a.dtype.kind == "c" else {}


@implements(np.linalg.eigvalsh)
def eigvalsh(a: ArrayLike, UPLO: str = "L") -> Any:
    """Return the eigenvalues of symmetric matrices, in ascending order; see :func:`eigh`.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
    UPLO : str
        ``"L"`` or ``"U"``: which triangle is read.

    Returns
    -------
    Tensor, shape (..., n)

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.eigvalsh(tg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    Tensor([-1.,  1.])
    """
    a = as_tensor(a)
    return of_values(_eigh(a, UPLO, _without_phases(a)), 0)


# Singular values ---------------------------------------------------------------------------------


def _divided_by_zero(rest: Array, s: Array, floor: Any) -> Any:
    """Return nan if vectors of singular values of 0 are asked for that nothing else determines."""
    eps = float(np.finfo(rest.dtype).eps) * rest.shape[-2]
    asked = np.abs(rest) > eps * np.max(np.abs(rest), axis=(-2, -1), keepdims=True, initial=1.0)
    lost = np.logical_and(asked, s[..., None, :] <= floor)
    return np.where(np.any(lost, axis=(-2, -1), keepdims=True), np.nan, 0.0).astype(rest.dtype)


def _svd_thin(x: Array, *, phases: bool = True) -> Any:
    return svd_packed_p.forward(x)


def _svd_thin_vjp(g: Array, y: Array, x: Array, *, phases: bool = True) -> Any:
    """The cotangent of the thin decomposition, where the vectors are determined."""
    rows, size, phases = x.shape[-2], max(x.shape[-2:]), phases and x.dtype.kind == "c"
    u, s, v = unpacked(y, rows)
    gu, gs, gv = unpacked(conj(g), rows)
    left, right = np.matmul(adjoint(u), gu), np.matmul(adjoint(v), gv)
    gaps, floor = _gaps(s, x)
    nothing = 0
    if phases:
        gu, gv = turned_back((gu, gv), (left, right), (u, v), size)
        left, right = np.matmul(adjoint(u), gu), np.matmul(adjoint(v), gv)
        g = conj(np.concatenate((gu, gs[..., None, :], gv), axis=-2))
    if x.dtype.kind == "c":
        own = np.eye(s.shape[-1], dtype=s.dtype) * np.imag(left)
        nothing = _divided_by_zero(own, s, floor)
    turns = skew(left) * s[..., None, :] + s[..., :, None] * skew(right)
    moved = np.abs(left * s[..., None, :]) + np.abs(right * s[..., None, :])
    lost = np.sum(0 * over_gaps(turns, moved, gaps, floor, size), axis=(-2, -1), keepdims=True)
    lost = lost + nothing
    for own, cotangent, inner in ((u, gu, left), (v, gv, right)):
        if own.shape[-2] > own.shape[-1]:
            lost = lost + _divided_by_zero(cotangent - np.matmul(own, inner), s, floor)
    out = svd_cotangent(g, y, x) + lost
    return without_second(out, x, gaps, floor)


def _over_values(a: Array, s: Array, floor: Any, t: Array) -> Any:
    """Divide columns by singular values; by those that are 0 gives nan, if the matrix moves."""
    none = s[..., None, :] <= floor
    lost = np.where(np.logical_and(none, moves(t)), np.nan, 0.0)
    return np.where(none, lost, a / np.where(none, 1.0, s[..., None, :])).astype(a.dtype)


def _svd_thin_jvp(tangents: Any, y: Array, x: Array, *, phases: bool = True) -> Any:
    t, k, phases = tangents[0], y.shape[-1], phases and x.dtype.kind == "c"
    u, s, v = unpacked(y, x.shape[-2])
    gaps, floor = _gaps(s, x)
    inner = np.matmul(np.matmul(adjoint(u), t), v)
    row, column, apart = s[..., None, :], s[..., :, None], 1 - np.eye(k, dtype=s.dtype)
    sums = row + column + (row + column == 0)
    left = turns_over_gaps((inner * row + column * adjoint(inner)) / sums, gaps, floor, t) * apart
    right = turns_over_gaps((column * inner + adjoint(inner) * row) / sums, gaps, floor, t) * apart
    if x.dtype.kind == "c":
        left = left + 1j * _over_values(np.imag(inner) * (1 - apart), s, floor, t)
    du, dv = np.matmul(u, left), np.matmul(v, right)
    if u.shape[-2] > k:
        du = du + _over_values(np.matmul(t, v) - np.matmul(u, inner), s, floor, t)
    if v.shape[-2] > k:
        back = np.matmul(adjoint(t), u) - np.matmul(v, adjoint(inner))
        dv = dv + _over_values(back, s, floor, t)
    if phases:
        kept = kept_row(u, v)
        known = is_kept(kept, max(x.shape[-2:]))
        angle = 1j * angle_found(kept, kept_row(du, dv), known, moves(t)[..., 0])[..., None, :]
        du, dv = du - angle * u, dv - angle * v
    return np.concatenate((du, _diagonal(inner)[..., None, :], dv), axis=-2)


svd_thin_p = of_matrices(
    "svd_thin", _svd_thin, (_svd_thin_vjp,), jvp=_svd_thin_jvp, takes_complex=True
)


def _svd_of_symmetric(a: Array) -> tuple[Any, Any, Any]:
    """Return the factors from eigenvalues, whose signs go to the right."""
    w, v = eigh(a)
    order = np.argsort(np.abs(w), axis=-1)[..., ::-1]
    w = np.take_along_axis(w, order, axis=-1)
    v = np.take_along_axis(v, order[..., None, :], axis=-1)
    return v, np.abs(w), v * np.sign(w)[..., None, :]


@implements(np.linalg.svd)
def svd(
    a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Return the singular values of matrices, in descending order, and their vectors.

    Parameters
    ----------
    a : array_like
    full_matrices : bool
        Whether both matrices of vectors are square.
    compute_uv : bool
        Whether to return the vectors, too.
    hermitian : bool
        Whether the matrices are symmetric, and are decomposed by :func:`eigh`.

    Returns
    -------
    U, S, Vh : Tensor
        Vectors in columns, values, vectors in rows; without `compute_uv` the values alone.

    Raises
    ------
    ValueError
        When a function is differentiated that depends on how the vectors are turned that
        `full_matrices` adds.

    Notes
    -----
    As for :func:`eigh`, of equal singular values. In forward mode the tangents of vectors that
    `full_matrices` adds are nan, but for a single real one. Of complex matrices, the vectors of the
    shorter side (of V, if both are equal) keep their first element real, as LAPACK makes it.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.svd(tg.tensor([[0.0, 2.0], [1.0, 0.0]]), compute_uv=False)
    Tensor([2., 1.])
    """
    a = matrix(a)
    rows, columns = a.shape[-2:]
    if hermitian:
        u, s, v = _svd_of_symmetric(a)
    else:
        params = {} if compute_uv else _without_phases(a)
        u, s, v = unpacked(apply(svd_thin_p, (a,), params), rows)
    if compute_uv and full_matrices and rows > columns:
        u = completed(u, a, "left")
    if compute_uv and full_matrices and rows < columns:
        v = completed(v, a, "right")
    return _NAMED["svd"](u, s, adjoint(v)) if compute_uv else s


@implements(np.linalg.svdvals)
def svdvals(x: ArrayLike, /) -> Any:
    """Return the singular values of matrices, in descending order.

    Parameters
    ----------
    x : array_like, shape (..., m, n)

    Returns
    -------
    Tensor, shape (..., min(m, n))

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.svdvals(tg.tensor([[0.0, 2.0], [1.0, 0.0]]))
    Tensor([2., 1.])
    """
    return svd(x, compute_uv=False)
