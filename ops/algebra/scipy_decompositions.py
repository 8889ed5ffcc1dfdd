"""Decompositions and structured matrices, with the arguments that SciPy's functions take.

``check_finite`` is honoured; ``overwrite_*``, which only permits, is not made use of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.algebra.decompositions import (
    cholesky,
    eigh_jvp,
    eigh_vjp,
    of_values,
    qr,
    svd,
    svdvals,
)
from tapegrad.ops.algebra.matrix_functions import by_name, of_scipy
from tapegrad.ops.algebra.scipy_equations import (
    checked,
    column_order_p,
    lu_packed_p,
    over_stacks,
    pivots_p,
    row_order_p,
)
from tapegrad.ops.algebra.scipy_systems import solve_triangular
from tapegrad.ops.algebra.singular import adjoint, conj, of_matrices, polar_factor_p, turned
from tapegrad.ops.algebra.systems import matrix, of_triangle, square
from tapegrad.ops.declare.refusals import refuse
from tapegrad.ops.declare.ufunc import as_tensor, data_of
from tapegrad.tape.array.application import apply

__all__ = ["DECOMPOSITIONS"]

# Cholesky ----------------------------------------------------------------------------------------


def _cholesky(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    return cholesky(checked(a, check_finite), upper=not lower)


def _cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """The other triangle is the matrix's, as SciPy leaves it."""
    a = square(checked(a, check_finite))
    factor = cholesky(a, upper=not lower)
    return factor + (np.triu(a, 1) if lower else np.tril(a, -1)), lower


def _cho_solve(
    c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    factor, lower = c_and_lower
    first, second = (0, 2) if lower else (2, 0)
    half = solve_triangular(factor, b, first, lower, check_finite=check_finite)
    return solve_triangular(factor, half, second, lower, check_finite=False)


# LU ----------------------------------------------------------------------------------------------


def _in_order(a: Any, order: Any) -> Any:
    return np.take_along_axis(a, np.broadcast_to(order, a.shape), axis=-2)


def _lower_and_upper(a: Any) -> tuple[Any, Any, Any]:
    """Return L and U of matrices whose rows are in order, and the order."""
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    order = apply(row_order_p, (apply(pivots_p, (a,)),), {"rows": rows})
    a = _in_order(a, order)
    packed = apply(lu_packed_p, (a[..., :k, :k],))
    lower, upper = np.tril(packed, -1) + np.eye(k, dtype=a.dtype), np.triu(packed)
    if rows > k:
        more = turned(solve_triangular(upper, turned(a[..., k:, :]), 1, check_finite=False))
        lower = np.concatenate((lower, more), axis=-2)
    if columns > k:
        more = solve_triangular(lower, a[..., k:], 0, True, True, check_finite=False)
        upper = np.concatenate((upper, more), axis=-1)
    return lower, upper, order


def _lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True,
    p_indices: bool = False,
) -> Any:  # fmt: skip
    a = matrix(checked(a, check_finite))
    lower, upper, order = _lower_and_upper(a)
    back = np.argsort(order, axis=-2)
    if permute_l:
        return _in_order(lower, back), upper
    if p_indices:
        return back[..., 0], lower, upper
    eye: Any = np.broadcast_to(np.eye(a.shape[-2], dtype=a.dtype), (*a.shape[:-1], a.shape[-2]))
    return _in_order(eye, back), lower, upper


def _lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    a = matrix(checked(a, check_finite))
    lower, upper, _ = _lower_and_upper(a)
    rows, columns = a.shape[-2:]
    below = np.tril(lower, -1)
    if columns > rows:
        below = np.concatenate((below, np.zeros((*a.shape[:-1], columns - rows), a.dtype)), axis=-1)
    elif rows > columns:
        rest: Any = np.zeros((*a.shape[:-2], rows - columns, columns), a.dtype)
        upper = np.concatenate((upper, rest), axis=-2)
    return below + upper, apply(pivots_p, (a,))[..., 0]


def _lu_solve(
    lu_and_piv: Any, b: Any, trans: Any = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    packed, pivots = lu_and_piv
    packed, b = square(checked(packed, check_finite)), checked(b, check_finite)
    pivots = np.expand_dims(as_tensor(pivots), -1)
    order = apply(row_order_p, (pivots,), {"rows": packed.shape[-1]})
    right = np.expand_dims(b, -1) if b.ndim == 1 else b
    if trans == 0:
        half = solve_triangular(packed, _in_order(right, order), 0, True, True, check_finite=False)
        x = solve_triangular(packed, half, check_finite=False)
    else:
        packed = conj(packed) if trans in (2, "C") else packed
        half = solve_triangular(packed, right, 1, check_finite=False)
        half = solve_triangular(packed, half, 1, True, True, check_finite=False)
        x = _in_order(half, np.argsort(order, axis=-2))
    return x[..., 0] if b.ndim == 1 else x


# QR and singular values --------------------------------------------------------------------------

_MODES = {"full": "complete", "r": "complete", "economic": "reduced"}


def _qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full",
    pivoting: bool = False, check_finite: bool = True,
) -> Any:  # fmt: skip
    a = matrix(checked(a, check_finite))
    if mode not in _MODES:
        why = f"mode={mode!r} has no derivative or is unknown; use 'full', 'r' or 'economic'"
        refuse(a, "scipy.linalg.qr", why)
    order: tuple[Any, ...] = ()
    if pivoting:
        columns = apply(column_order_p, (a,))
        a = turned(_in_order(turned(a), columns))
        order = (columns[..., 0],)
    q, r = qr(a, _MODES[mode])
    return (r, *order) if mode == "r" else (q, r, *order)


def _svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False,
    check_finite: bool = True, lapack_driver: str = "gesdd",
) -> Any:  # fmt: skip
    found = svd(checked(a, check_finite), full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def _svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return svdvals(checked(a, check_finite))


def _polar(a: Any, side: str = "right") -> tuple[Any, Any]:
    if side not in ("right", "left"):
        raise ValueError("`side` must be either 'right' or 'left'")
    a = matrix(a)
    u = apply(polar_factor_p, (a,))
    p = np.matmul(adjoint(u), a) if side == "right" else np.matmul(a, adjoint(u))
    return u, (p + adjoint(p)) / 2


# Eigenvalues -------------------------------------------------------------------------------------


def _eigh_packed(x: Any, *, uplo: str = "L", phases: bool = True) -> Any:
    def packed(a: Any) -> Any:
        w, v = of_scipy("eigh")(a, lower=uplo == "L", check_finite=False)
        return np.concatenate((w[None, :], v), axis=0)

    return over_stacks(packed, x).astype(x.dtype, copy=False)


_eigh_packed_p = of_matrices(
    "scipy.linalg.eigh", _eigh_packed, (eigh_vjp,), jvp=eigh_jvp, takes_complex=True,
    source=by_name("scipy.linalg.eigh"),
)  # fmt: skip


def _eigh(
    a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False,
    overwrite_a: bool = False, overwrite_b: bool = False, type: int = 1, check_finite: bool = True,
    subset_by_index: Any = None, subset_by_value: Any = None, driver: Any = None,
) -> Any:  # fmt: skip
    a = square(checked(a, check_finite))
    if subset_by_value is not None or type != 1:
        why = "subset_by_value and other types than 1 are not supported for tensors"
        refuse(a, "scipy.linalg.eigh", why)
    uplo = "L" if lower else "U"
    a = of_triangle(a, uplo)
    factor = None
    if b is not None:  # a v = b v w, of which the symmetric form has the same eigenvalues
        factor = cholesky(of_triangle(square(checked(b, check_finite)), uplo))
        half = solve_triangular(factor, a, 0, True, check_finite=False)
        a = solve_triangular(factor, adjoint(half), 0, True, check_finite=False)
        a = (a + adjoint(a)) / 2
    params: dict[str, Any] = {} if lower else {"uplo": uplo}
    if eigvals_only and a.dtype.kind == "c":
        params["phases"] = False
    packed = apply(_eigh_packed_p, (a,), params)
    if subset_by_index is not None:
        first, last = subset_by_index
        packed = packed[..., first : last + 1]
    w, v = of_values(packed, 0), packed[..., 1:, :]
    if eigvals_only:
        return w
    return w, v if factor is None else solve_triangular(factor, v, 2, True, check_finite=False)


def _eigvalsh(a: Any, b: Any = None, **options: Any) -> Any:
    return _eigh(a, b, eigvals_only=True, **options)


# Structured matrices -----------------------------------------------------------------------------


def _vector(c: Any, name: str) -> Any:
    c = as_tensor(c)
    if c.ndim > 1:
        why = f"a tensor with {c.ndim} axes; pass its rows one by one, or by tg.vmap"
        refuse(c, f"scipy.linalg.{name}", why)
    return np.reshape(c, (-1,))


def _toeplitz(c: Any, r: Any = None) -> Any:
    c = _vector(c, "toeplitz")
    r = conj(c) if r is None else _vector(r, "toeplitz")
    along = np.concatenate((c[::-1], r[1:]))
    return along[np.arange(len(r)) - np.arange(len(c))[:, None] + len(c) - 1]


def _hankel(c: Any, r: Any = None) -> Any:
    c = _vector(c, "hankel")
    r = np.zeros_like(c) if r is None else _vector(r, "hankel")
    return np.concatenate((c, r[1:]))[np.arange(len(r)) + np.arange(len(c))[:, None]]


def _circulant(c: Any) -> Any:
    c = as_tensor(c)
    n = c.shape[-1]
    return c[..., (np.arange(n)[:, None] - np.arange(n)) % n]


def _question(name: str) -> Callable[..., Any]:
    """A function that asks the values of a matrix, and has no derivative."""
    return lambda a, *args, **kwargs: of_scipy(name)(data_of(a, name), *args, **kwargs)


#: By the names of SciPy's functions.
DECOMPOSITIONS: dict[str, Callable[..., Any]] = {
    "cholesky": _cholesky,
    "cho_factor": _cho_factor,
    "cho_solve": _cho_solve,
    "lu": _lu,
    "lu_factor": _lu_factor,
    "lu_solve": _lu_solve,
    "qr": _qr,
    "svd": _svd,
    "svdvals": _svdvals,
    "polar": _polar,
    "eigh": _eigh,
    "eigvalsh": _eigvalsh,
    "toeplitz": _toeplitz,
    "hankel": _hankel,
    "circulant": _circulant,
    "bandwidth": _question("bandwidth"),
    "ishermitian": _question("ishermitian"),
    "issymmetric": _question("issymmetric"),
}
