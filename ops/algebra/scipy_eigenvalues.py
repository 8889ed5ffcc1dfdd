"""Eigenvalues and factors of SciPy's that are not NumPy's: ``eig``, ``schur``, ``ldl``, ``rq``.

What has no derivative says by name what to use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.algebra.decompositions import qr
from tapegrad.ops.algebra.eigenvalues import eig, eig_packed_p
from tapegrad.ops.algebra.matrix_functions import by_name, of_scipy
from tapegrad.ops.algebra.scipy_equations import checked, over_stacks
from tapegrad.ops.algebra.singular import adjoint, conj, of_matrices, turned
from tapegrad.ops.algebra.systems import matrix, of_triangle, solve_p, square
from tapegrad.ops.declare.composed import Composed
from tapegrad.ops.declare.refusals import refuse
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.ops.elementwise.logistic import stop_gradient_p
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.dependence import leading
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["EIGENVALUES"]

# Eigenvalues -------------------------------------------------------------------------------------


def _eig(
    a: Any, b: Any = None, left: bool = False, right: bool = True, overwrite_a: bool = False,
    overwrite_b: bool = False, check_finite: bool = True, homogeneous_eigvals: bool = False,
) -> Any:  # fmt: skip
    a = square(checked(a, check_finite))
    if b is not None or homogeneous_eigvals:
        why = "no pencils: use np.linalg.eig(np.linalg.solve(b, a)), or scipy.linalg.eigh(a, b)"
        refuse(a, "scipy.linalg.eig", why)
    if left:
        why = "no left vectors: they are the columns of np.linalg.inv(vr).conj().T, up to factors"
        refuse(a, "scipy.linalg.eig", why)
    w, v = eig(a)
    w = w if w.dtype.kind == "c" else w + 0j
    return (w, v) if right else w


def _eigvals(
    a: Any, b: Any = None, overwrite_a: bool = False, check_finite: bool = True,
    homogeneous_eigvals: bool = False,
) -> Any:  # fmt: skip
    return _eig(a, b, False, False, False, False, check_finite, homogeneous_eigvals)


# Schur's form ------------------------------------------------------------------------------------


def _schur_packed(x: Array) -> Any:
    """Z above T."""
    return over_stacks(lambda a: np.concatenate(of_scipy("schur")(a)[::-1]), x).astype(x.dtype)


def _schur_of_vectors(x: Array, order: Array, signs: Array) -> Any:
    """The same of eigenvectors: Z is their factor Q, if they are in the order of T's diagonal."""
    v = np.real(bind(eig_packed_p, x))[..., 1:, :]
    v = np.take_along_axis(v, np.broadcast_to(order, v.shape), axis=-1)
    z = qr(v).Q * signs
    t = np.triu(np.matmul(np.matmul(turned(z), x), z))
    return np.concatenate((z, t), axis=-2)


def _schur_composed(x: Array) -> Any:
    plain = bind(stop_gradient_p, x)
    y = bind(schur_packed_p, plain)
    n = x.shape[-1]
    values = np.real(bind(eig_packed_p, plain))[..., 0, :]
    diagonal = np.diagonal(y[..., n:, :], axis1=-2, axis2=-1)
    # Both are a permutation of the other: the first of one is where it is in the other.
    order = np.take_along_axis(
        np.argsort(values, axis=-1), np.argsort(np.argsort(diagonal, axis=-1), axis=-1), axis=-1
    )[..., None, :]
    unsigned = _schur_of_vectors(plain, order, np.ones((), x.dtype))
    signs = np.sign(np.sum(unsigned[..., :n, :] * y[..., :n, :], axis=-2, keepdims=True))
    return _schur_of_vectors(x, order, signs)


#: Of matrices with real eigenvalues.
schur_packed_p: Primitive = Composed(
    "scipy.linalg.schur",
    _schur_packed,
    _schur_composed,
    1,
    batch=lambda args, batched, size, params: bind(schur_packed_p, *args),
    dependence=leading(2),
    source=by_name("scipy.linalg.schur"),
)


def _schur(
    a: Any, output: str = "real", lwork: Any = None, overwrite_a: bool = False, sort: Any = None,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    a = square(checked(a, check_finite))
    name = "scipy.linalg.schur"
    if sort is not None:
        refuse(a, name, "of a tensor it takes no sort")
    if a.dtype.kind == "c" or output not in ("real", "r"):
        why = "the phases of complex vectors are not determined; use np.linalg.eig or eigh"
        refuse(a, name, why)
    packed = apply(schur_packed_p, (a,))
    n = a.shape[-1]
    z, t = packed[..., :n, :], packed[..., n:, :]
    if np.any(np.diagonal(t, -1, axis1=-2, axis2=-1) != 0):
        why = "of these values the eigenvalues are complex, and the form is no function that has a "
        refuse(a, name, why + "derivative; use np.linalg.eig")
    return np.triu(t), z


# LDL ---------------------------------------------------------------------------------------------


def _ldl_packed(x: Array, *, lower: bool, hermitian: bool) -> Any:
    """The outer factor above the middle one, as SciPy returns them."""

    def packed(a: Array) -> Any:
        outer, middle, _ = of_scipy("ldl")(a, lower, hermitian, check_finite=False)
        return np.concatenate((outer, middle))

    return over_stacks(packed, x).astype(x.dtype, copy=False)


def _before(y: Array, lower: bool) -> tuple[Any, Any]:
    """Mark the elements of L that are no blocks, and those of the blocks of D.

    A block of two columns is where D has an element beside its diagonal.
    """
    n = y.shape[-1]
    joined = np.diagonal(y[..., n:, :], -1, axis1=-2, axis2=-1) != 0
    first: Any = np.ones((*joined.shape[:-1], 1), int)
    block = np.cumsum(np.concatenate((first, 1 - joined), axis=-1), axis=-1)
    row, column = block[..., :, None], block[..., None, :]
    return (row > column if lower else row < column), row == column


def _rows_in_order(outer: Array, order: Array) -> Any:
    return np.take_along_axis(outer, np.broadcast_to(order, outer.shape), axis=-2)


def _ldl_vjp(g: Array, y: Array, x: Array, *, lower: bool, hermitian: bool) -> Any:
    """In the rows' order L is triangular, but for blocks on its diagonal that are unit matrices.

    With ``L X = dL``, ``L^-1 dA L^-H = X D + dD + D X^H``, where X has the elements outside of blocks,
    and dD the others.
    """
    n = x.shape[-1]
    other = adjoint if hermitian else turned
    if hermitian:
        g = conj(g)
    order = bind(ldl_order_p, bind(stop_gradient_p, x), lower=lower, hermitian=hermitian)
    outer, g_outer = (_rows_in_order(a[..., :n, :], order) for a in (y, g))
    middle, g_middle = y[..., n:, :], g[..., n:, :]
    apart, blocks = (mark.astype(x.dtype) for mark in _before(y, lower))
    inner = np.matmul(other(outer), g_outer) * apart
    inner = other(bind(solve_p, middle, other(inner))) * apart + g_middle * blocks
    left = bind(solve_p, other(outer), inner)
    found = other(bind(solve_p, other(outer), other(left)))
    back = np.argsort(order, axis=-2)
    found = turned(_rows_in_order(turned(_rows_in_order(found, back)), back))
    found = (found + other(found)) / 2
    return conj(found) if hermitian else found


def _ldl_order(x: Array, *, lower: bool, hermitian: bool) -> Any:
    """The order of rows in which the outer factor is triangular, as a column."""

    def order(a: Array) -> Any:
        return of_scipy("ldl")(a, lower, hermitian, check_finite=False)[2][:, None]

    return over_stacks(order, x).astype(np.int64)


ldl_order_p = of_matrices(
    "scipy.linalg.ldl_order", _ldl_order, None, takes_complex=True,
    source=by_name("scipy.linalg.ldl_order"),
)  # fmt: skip
ldl_packed_p = of_matrices(
    "scipy.linalg.ldl", _ldl_packed, (_ldl_vjp,), takes_complex=True,
    source=by_name("scipy.linalg.ldl"),
)  # fmt: skip


def _ldl(
    A: Any, lower: bool = True, hermitian: bool = True, overwrite_a: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    a = square(checked(A, check_finite))
    if hermitian:
        a = of_triangle(a, "L" if lower else "U")
    else:
        a = a if lower else turned(a)
        a = np.tril(a) + turned(np.tril(a, -1))
    params = {"lower": bool(lower), "hermitian": bool(hermitian)}
    packed, n = apply(ldl_packed_p, (a,), params), a.shape[-1]
    order = apply(ldl_order_p, (a,), params)[..., 0]
    return packed[..., :n, :], packed[..., n:, :], order


# RQ ----------------------------------------------------------------------------------------------


def _rq(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full",
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """QR of the rows, from the last element of the last one to the first."""
    a = matrix(checked(a, check_finite))
    rows, columns = a.shape[-2:]
    if (
        rows > columns
        or (mode == "full" and rows < columns)
        or mode not in ("full", "economic", "r")
    ):
        why = "more rows than columns, and mode='full' of fewer, have no derivative; use mode='economic'"
        refuse(a, "scipy.linalg.rq", why)
    q, r = (adjoint(factor)[..., ::-1, ::-1] for factor in qr(adjoint(a[..., ::-1, ::-1])))
    return r if mode == "r" else (r, q)


# What has none -----------------------------------------------------------------------------------


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        given = [a for a in (*args, *kwargs.values()) if hasattr(a, "live_trace")]
        refuse(given[0] if given else as_tensor(0.0), f"scipy.linalg.{name}", instead)

    return function


_REFUSED = {
    "hessenberg": "it has no derivative here; use scipy.linalg.schur or np.linalg.eig",
    "qz": "it has no derivative here; use np.linalg.eig(np.linalg.solve(b, a))",
    "ordqz": "it has no derivative here; use np.linalg.eig(np.linalg.solve(b, a))",
    "cossin": "it has no derivative here; use np.linalg.svd of the blocks",
    "funm": "it has no derivative here; use expm, logm and their like, or w, v = np.linalg.eig(a) and "
    "v @ np.diag(f(w)) @ np.linalg.inv(v)",
    "rsf2csf": "the phases of complex vectors are not determined; use np.linalg.eig",
    "cdf2rdf": "it has no derivative here; take real and imaginary parts of np.linalg.eig",
    "qr_insert": "it has no derivative here; use np.linalg.qr of the new matrix",
    "qr_delete": "it has no derivative here; use np.linalg.qr of the new matrix",
    "qr_update": "it has no derivative here; use np.linalg.qr of the new matrix",
    "matrix_balance": "it has no derivative here; tg.stop_gradient(a) gives a plain array",
}

#: By the names of SciPy's functions.
EIGENVALUES: dict[str, Callable[..., Any]] = {
    **{name: _refused(name, instead) for name, instead in _REFUSED.items()},
    "eig": _eig,
    "eigvals": _eigvals,
    "schur": _schur,
    "ldl": _ldl,
    "rq": _rq,
}
