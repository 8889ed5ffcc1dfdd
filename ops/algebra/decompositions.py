"""The decompositions of ``numpy.linalg``: Cholesky, QR, symmetric eigenvalues, singular values.

Each is one primitive, with its factors packed into one array, that works on the last two axes. Where
eigenvalues or singular values are equal, their vectors are not determined (``equal_values``): what asks
for them has nan there, and so have second derivatives. First derivatives of the values alone are those
for one choice.

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
from tapegrad.ops.algebra.equal_values import over_gaps, without_second
from tapegrad.ops.algebra.singular import of_matrices, svd_packed_p, turned, unpacked
from tapegrad.ops.algebra.systems import matrix, of_triangle, solve_p, square
from tapegrad.ops.declare.refusals import refuse
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["cholesky", "eigh", "eigvalsh", "qr", "svd", "svdvals"]

_NAMED = {
    name: type(getattr(np.linalg, name)(np.eye(1))) for name in ("eigh", "qr", "svd")
}  # the classes of NumPy's named results


def _wide(x: Array) -> Any:
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _symmetric(x: Array) -> Any:
    return (x + turned(x)) / 2


# Cholesky ----------------------------------------------------------------------------------------


def _halved(a: Array) -> Any:
    """Return the lower triangle with half of the diagonal."""
    n = a.shape[-1]
    return a * (np.tril(np.ones((n, n), a.dtype)) - np.eye(n, dtype=a.dtype) / 2)


def _cholesky_vjp(g: Array, y: Array, x: Array) -> Any:
    inner = _halved(np.matmul(turned(y), g))
    left = bind(solve_p, turned(y), inner)
    return _symmetric(turned(bind(solve_p, turned(y), turned(left))))


cholesky_p = of_matrices(
    "cholesky",
    lambda x: np.linalg.cholesky(_wide(_symmetric(x))).astype(x.dtype),
    (_cholesky_vjp,),
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
    return turned(factor) if upper else factor


# QR ----------------------------------------------------------------------------------------------


def _qr_packed(x: Array) -> Any:
    q, r = np.linalg.qr(_wide(x))
    return np.concatenate((q, r), axis=-2).astype(x.dtype)


def _qr_vjp(g: Array, y: Array, x: Array) -> Any:
    """The textbook's cotangent, of matrices that have no more columns than rows."""
    rows = x.shape[-2]
    q, r = y[..., :rows, :], y[..., rows:, :]
    gq, gr = g[..., :rows, :], np.triu(g[..., rows:, :])
    m = np.matmul(r, turned(gr)) - np.matmul(turned(gq), q)
    lower = np.tril(m, -1)
    both = _halved(m) * 2 - lower + turned(lower)
    return turned(bind(solve_p, r, turned(gq + np.matmul(q, both))))


qr_packed_p = of_matrices("qr_packed", _qr_packed, (_qr_vjp,))


@implements(np.linalg.qr)
def qr(a: ArrayLike, mode: str = "reduced") -> Any:
    """Return matrices as products of an orthogonal and an upper triangular one.

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
    In forward mode the tangents of several columns that 'complete' adds are nan.

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
        r = np.concatenate((r, np.matmul(turned(q), a[..., rows:])), axis=-1)
    if mode == "r":
        return r
    if mode == "complete" and rows > columns:
        below: Any = np.zeros((*r.shape[:-2], rows - columns, columns), r.dtype)
        q, r = completed(q, a, "qr"), np.concatenate((r, below), axis=-2)
    return _NAMED["qr"](q, r)


# Eigenvalues -------------------------------------------------------------------------------------


def _eigh_packed(x: Array) -> Any:
    w, v = np.linalg.eigh(_wide(_symmetric(x)))
    return np.concatenate((w[..., None, :], v), axis=-2).astype(x.dtype)


def eigh_vjp(g: Array, y: Array, x: Array) -> Any:
    n = x.shape[-1]
    w, v = y[..., 0, :], y[..., 1:, :]
    gw, gv = g[..., 0, :], g[..., 1:, :]
    inner = np.matmul(turned(v), gv)
    gaps = w[..., None, :] - w[..., :, None]
    floor = n * float(np.finfo(x.dtype).eps) * np.max(np.abs(w), axis=-1, initial=0.0)
    floor = floor[..., None, None]
    turns = over_gaps((inner - turned(inner)) / 2, inner, gaps, floor, n)
    eye = np.eye(n, dtype=x.dtype)
    middle = turns * (1 - eye) + gw[..., None, :] * eye
    out = np.matmul(np.matmul(v, middle), turned(v))
    return without_second(_symmetric(out), x, gaps, floor)


eigh_packed_p = of_matrices("eigh_packed", _eigh_packed, (eigh_vjp,))


@implements(np.linalg.eigh)
def eigh(a: ArrayLike, UPLO: str = "L") -> Any:
    """Return the eigenvalues of symmetric matrices, in ascending order, and their vectors.

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
    derivatives.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.eigh(tg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    Tensor([1., 2.])
    """
    UPLO = UPLO.upper()
    if UPLO not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    packed = apply(eigh_packed_p, (of_triangle(square(a), UPLO),))
    return _NAMED["eigh"](packed[..., 0, :], packed[..., 1:, :])


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
    return eigh(a, UPLO)[0]


# Singular values ---------------------------------------------------------------------------------


def _divided_by_zero(rest: Array, s: Array, floor: Any) -> Any:
    """Return nan if vectors of singular values of 0 are asked for that nothing else determines."""
    eps = float(np.finfo(rest.dtype).eps) * rest.shape[-2]
    asked = np.abs(rest) > eps * np.max(np.abs(rest), axis=(-2, -1), keepdims=True, initial=1.0)
    lost = np.logical_and(asked, s[..., None, :] <= floor)
    return np.where(np.any(lost, axis=(-2, -1), keepdims=True), np.nan, 0.0).astype(rest.dtype)


def _svd_thin_vjp(g: Array, y: Array, x: Array) -> Any:
    """The cotangent of the thin decomposition, where the vectors are determined."""
    u, s, v = unpacked(y, x.shape[-2])
    gu, _, gv = unpacked(g, x.shape[-2])
    size = max(x.shape[-2:])
    floor = size * float(np.finfo(x.dtype).eps) * s[..., :1, None]
    gaps = s[..., None, :] - s[..., :, None]
    left, right = np.matmul(turned(u), gu), np.matmul(turned(v), gv)
    turns = (left - turned(left)) * s[..., None, :] + s[..., :, None] * (right - turned(right))
    moved = np.abs(left * s[..., None, :]) + np.abs(right * s[..., None, :])
    lost = np.sum(0 * over_gaps(turns, moved, gaps, floor, size), axis=(-2, -1), keepdims=True)
    for own, cotangent, inner in ((u, gu, left), (v, gv, right)):
        if own.shape[-2] > own.shape[-1]:
            lost = lost + _divided_by_zero(cotangent - np.matmul(own, inner), s, floor)
    out = svd_packed_p.vjp_of(0)(g, y, x) + lost
    return without_second(out, x, gaps, floor)


svd_thin_p = of_matrices("svd_thin", svd_packed_p.forward, (_svd_thin_vjp,))


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
    As for :func:`eigh`, of equal singular values. In forward mode the tangents of several vectors that
    `full_matrices` adds are nan.

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
        u, s, v = unpacked(apply(svd_thin_p, (a,)), rows)
    if compute_uv and full_matrices and rows > columns:
        u = completed(u, a, "left")
    if compute_uv and full_matrices and rows < columns:
        v = completed(v, a, "right")
    return _NAMED["svd"](u, s, turned(v)) if compute_uv else s


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
