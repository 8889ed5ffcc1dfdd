"""Banded matrices and those of Toeplitz, with the arguments that SciPy's functions take.

A band is an array whose rows are diagonals: ``band[upper + i - j, j] == a[i, j]``. Of symmetric and
Hermitian matrices it has those on one side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.algebra.decompositions import cholesky, eigvalsh
from tapegrad.ops.algebra.matrix_functions import by_name, of_scipy
from tapegrad.ops.algebra.scipy_equations import batched_stacks, checked, over_stacks
from tapegrad.ops.algebra.singular import conj
from tapegrad.ops.algebra.systems import solve
from tapegrad.ops.declare.refusals import refuse
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["banded"]


def _rows(rows: int, columns: int, upper: int) -> tuple[Any, Any]:
    """Return the row of the matrix that each element of a band is from, and whether there is one."""
    row = np.arange(rows)[:, None] - upper + np.arange(columns)
    inside = (row >= 0) & (row < columns)
    return np.where(inside, row, 0), inside


def _zeros_outside(band: Array, inside: Any) -> Any:
    return np.where(inside, band, np.zeros((), band.dtype))


def _transposed(band: Array, lower: int, upper: int) -> Any:
    """The band of the transposed matrix: its diagonals in the other order, moved along."""
    row, inside = _rows(band.shape[-2], band.shape[-1], lower)
    diagonal = np.arange(band.shape[-2])[::-1, None]
    return _zeros_outside(band[..., diagonal, row], inside)


def _products(left: Array, right: Array, rows: int, upper: int) -> Any:
    """The band of ``left @ right.T``."""
    row, inside = _rows(rows, right.shape[-2], upper)
    return np.sum(left[..., row, :] * right[..., None, :, :], axis=-1) * inside


# Systems -----------------------------------------------------------------------------------------


def _solve_banded(band: Array, b: Array, *, lower: int, upper: int) -> Any:
    def solved(band: Array, b: Array) -> Any:
        return of_scipy("solve_banded")((lower, upper), band, b, check_finite=False)

    return over_stacks(solved, band, b).astype(np.result_type(band, b), copy=False)


def _back(g: Array, band: Array, lower: int, upper: int) -> Any:
    turned = _transposed(band, lower, upper)
    return bind(solve_banded_p, turned, g, lower=upper, upper=lower)


solve_banded_p: Primitive = Primitive(
    "scipy.linalg.solve_banded",
    _solve_banded,
    (
        lambda g, y, band, b, lower, upper: (
            -_products(_back(g, band, lower, upper), y, band.shape[-2], upper)
        ),
        lambda g, y, band, b, lower, upper: _back(g, band, lower, upper),
    ),
    batch=batched_stacks(lambda: solve_banded_p),
    takes_complex=True,
    source=by_name("scipy.linalg.solve_banded"),
)


def _of_columns(function: Callable[..., Any], b: Any) -> Any:
    """Apply a function to right-hand sides as columns."""
    return function(b[..., None])[..., 0] if b.ndim == 1 else function(b)


def _solve(
    l_and_u: Any, ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    lower, upper = map(int, l_and_u)
    ab, b = checked(ab, check_finite), checked(b, check_finite)
    if ab.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        raise ValueError("shapes of ab and b are not compatible.")
    if lower + upper + 1 != ab.shape[-2]:
        raise ValueError(
            f"invalid values for the number of lower and upper diagonals: l+u+1 ({lower + upper + 1}) "
            f"does not equal ab.shape[0] ({ab.shape[-2]})"
        )
    params = {"lower": lower, "upper": upper}
    return _of_columns(lambda b: apply(solve_banded_p, (ab, b), params), b)


def _solveh(band: Array, b: Array, *, lower: bool) -> Any:
    def solved(band: Array, b: Array) -> Any:
        return of_scipy("solveh_banded")(band, b, lower=lower, check_finite=False)

    return over_stacks(solved, band, b).astype(np.result_type(band, b), copy=False)


def _solveh_band(g: Array, y: Array, band: Array, b: Array, *, lower: bool) -> Any:
    back = bind(solveh_banded_p, band, conj(g), lower=lower)
    rows = band.shape[-2]
    upper = 0 if lower else rows - 1
    both = _products(back, conj(y), rows, upper) + _products(y, conj(back), rows, upper)
    diagonal = np.arange(rows)[:, None] == upper
    return conj(np.where(diagonal, -np.real(both) / 2, -both))


solveh_banded_p: Primitive = Primitive(
    "scipy.linalg.solveh_banded",
    _solveh,
    (
        _solveh_band,
        lambda g, y, band, b, lower: conj(bind(solveh_banded_p, band, conj(g), lower=lower)),
    ),
    batch=batched_stacks(lambda: solveh_banded_p),
    takes_complex=True,
    source=by_name("scipy.linalg.solveh_banded"),
)


def _solveh_banded(
    ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, lower: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    ab, b = checked(ab, check_finite), checked(b, check_finite)
    if ab.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        raise ValueError("shapes of ab and b are not compatible.")
    return _of_columns(lambda b: apply(solveh_banded_p, (ab, b), {"lower": bool(lower)}), b)


# Whole matrices ----------------------------------------------------------------------------------


def _whole(band: Any, lower: bool) -> Any:
    """Return the triangle of a matrix that its band gives."""
    n, rows = band.shape[-1], band.shape[-2]
    i, j = np.arange(n)[:, None], np.arange(n)
    diagonal = i - j if lower else rows - 1 + i - j
    inside = (diagonal >= 0) & (diagonal < rows) & (i >= j if lower else i <= j)
    picked = band[..., np.where(inside, diagonal, 0), np.broadcast_to(j, (n, n))]
    return _zeros_outside(picked, inside)


def _cholesky_banded(
    ab: Any, overwrite_ab: bool = False, lower: bool = False, check_finite: bool = True
) -> Any:
    ab = checked(ab, check_finite)
    rows, n = ab.shape[-2:]
    factor = cholesky(_whole(ab, lower), upper=not lower)
    row, inside = _rows(rows, n, 0 if lower else rows - 1)
    return np.where(inside, factor[..., row, np.broadcast_to(np.arange(n), row.shape)], ab)


def _cho_solve_banded(
    cb_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    band, lower = cb_and_lower
    band, b = checked(band, check_finite), checked(b, check_finite)
    width = band.shape[-2] - 1
    side = (width, 0) if lower else (0, width)
    other = conj(_transposed(band, *side))
    first, second = ((band, side), (other, side[::-1]))[:: 1 if lower else -1]
    half = _solve(first[1], first[0], b, check_finite=False)
    return _solve(second[1], second[0], half, check_finite=False)


def _eigvals_banded(
    a_band: Any, lower: bool = False, overwrite_a_band: bool = False, select: Any = "a",
    select_range: Any = None, check_finite: bool = True,
) -> Any:  # fmt: skip
    band = checked(a_band, check_finite)
    values = eigvalsh(_whole(band, lower), "L" if lower else "U")
    return _selected(band, values, select, select_range, "eigvals_banded")


def _selected(given: Any, values: Any, select: Any, select_range: Any, name: str) -> Any:
    if select in ("a", "all", 0):
        return values
    if select not in ("i", "index", 2):
        refuse(given, f"scipy.linalg.{name}", "of a tensor select is 'a' or 'i'")
    first, last = select_range
    return values[..., int(first) : int(last) + 1]


def _eig_banded(
    a_band: Any, lower: bool = False, eigvals_only: bool = False, overwrite_a_band: bool = False,
    select: Any = "a", select_range: Any = None, max_ev: int = 0, check_finite: bool = True,
) -> Any:  # fmt: skip
    if not eigvals_only:
        why = "of a tensor it gives no vectors; pass eigvals_only=True, or use np.linalg.eigh"
        refuse(checked(a_band, False), "scipy.linalg.eig_banded", why)
    return _eigvals_banded(a_band, lower, False, select, select_range, check_finite)


def _eigvalsh_tridiagonal(
    d: Any, e: Any, select: Any = "a", select_range: Any = None, check_finite: bool = True,
    tol: float = 0.0, lapack_driver: str = "auto",
) -> Any:  # fmt: skip
    d, e = checked(d, check_finite), checked(e, check_finite)
    band = np.stack((d, np.concatenate((e, np.zeros(1, e.dtype)))))
    return _selected(d, eigvalsh(_whole(band, True)), select, select_range, "eigvalsh_tridiagonal")


def _eigh_tridiagonal(
    d: Any, e: Any, eigvals_only: bool = False, select: Any = "a", select_range: Any = None,
    check_finite: bool = True, tol: float = 0.0, lapack_driver: str = "auto",
) -> Any:  # fmt: skip
    if not eigvals_only:
        why = "of a tensor it gives no vectors; pass eigvals_only=True, or use np.linalg.eigh"
        refuse(checked(d, False), "scipy.linalg.eigh_tridiagonal", why)
    return _eigvalsh_tridiagonal(d, e, select, select_range, check_finite)


def banded(toeplitz: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Return the functions by the names of SciPy's; `toeplitz` makes a matrix of its first lines."""

    def matrix_of(c_or_cr: Any, check_finite: bool) -> Any:
        lines = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr,)
        return toeplitz(*(checked(line, check_finite) for line in lines))

    def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
        return solve(matrix_of(c_or_cr, check_finite), checked(b, check_finite))

    def matmul_toeplitz(
        c_or_cr: Any, x: Any, check_finite: bool = False, workers: Any = None
    ) -> Any:
        return np.matmul(matrix_of(c_or_cr, check_finite), checked(x, check_finite))

    return {
        "solve_banded": _solve,
        "solveh_banded": _solveh_banded,
        "cholesky_banded": _cholesky_banded,
        "cho_solve_banded": _cho_solve_banded,
        "eig_banded": _eig_banded,
        "eigvals_banded": _eigvals_banded,
        "eigh_tridiagonal": _eigh_tridiagonal,
        "eigvalsh_tridiagonal": _eigvalsh_tridiagonal,
        "solve_toeplitz": solve_toeplitz,
        "matmul_toeplitz": matmul_toeplitz,
    }
