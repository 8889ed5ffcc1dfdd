"""Equations of matrices that SciPy solves: triangular systems, those of Sylvester and Lyapunov; LU.

Each is a primitive whose forward function is SciPy's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.algebra.matrix_functions import by_name, of_scipy
from tapegrad.ops.algebra.singular import adjoint, conj, turned
from tapegrad.ops.algebra.systems import solve_p
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.dependence import leading
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive, functions
from tapegrad.tape.core.types import Array, Params

__all__ = [
    "batched_stacks", "checked", "column_order_p", "discrete_lyapunov_p", "lu_packed_p",
    "over_stacks", "pivots_p", "row_order_p", "solve_triangular_p", "sylvester_p",
]  # fmt: skip


def over_stacks(function: Any, *args: Array) -> Any:
    """Apply a function of matrices to each of stacks, which are broadcast."""
    arrays = [np.asarray(a) for a in args]
    stack = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    if not stack:
        return np.asarray(function(*arrays))
    arrays = [np.broadcast_to(a, (*stack, *a.shape[-2:])) for a in arrays]
    results = [function(*(a[i] for a in arrays)) for i in np.ndindex(stack)]
    if not results:
        return np.zeros((*stack, *arrays[-1].shape[-2:]), np.result_type(*arrays))
    return np.reshape(np.stack(results), (*stack, *np.shape(results[0])))


def batched_stacks(primitive: Any) -> Any:
    """Put the batch axis in front of the stacks, which get equally many axes."""

    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
        most = max(len(a.shape) - flag for a, flag in zip(args, batched))

        def lifted(a: Array, flag: bool) -> Any:
            own = a.shape[1:] if flag else a.shape
            front = (size,) if flag else (1,)
            return np.reshape(a, (*front, *(1,) * (most - len(own)), *own))

        return bind(primitive(), *(lifted(a, f) for a, f in zip(args, batched)), **params)

    return batch


# Triangular systems ------------------------------------------------------------------------------


def _solve_triangular(a: Array, b: Array, *, lower: bool, unit: bool) -> Any:
    def solved(a: Array, b: Array) -> Any:
        solve = of_scipy("solve_triangular")
        return solve(a, b, lower=lower, unit_diagonal=unit, check_finite=False)

    return over_stacks(solved, a, b).astype(np.result_type(a, b), copy=False)


def _triangular_a(g: Array, y: Array, a: Array, b: Array, *, lower: bool, unit: bool) -> Any:
    back = bind(solve_triangular_p, turned(a), g, lower=not lower, unit=unit)
    whole = -np.matmul(back, turned(y))
    return np.tril(whole, -int(unit)) if lower else np.triu(whole, int(unit))


solve_triangular_p: Primitive = Primitive(
    "scipy.linalg.solve_triangular",
    _solve_triangular,
    (
        _triangular_a,
        lambda g, y, a, b, lower, unit: bind(
            solve_triangular_p, turned(a), g, lower=not lower, unit=unit
        ),
    ),
    takes_complex=True,
    batch=batched_stacks(lambda: solve_triangular_p),
    source=by_name("scipy.linalg.solve_triangular"),
)


# Sylvester and Lyapunov --------------------------------------------------------------------------


def _sylvester(a: Array, b: Array, q: Array) -> Any:
    solved = over_stacks(of_scipy("solve_sylvester"), a, b, q)
    return solved.astype(np.result_type(a, b, q), copy=False)


def _sylvester_back(g: Array, a: Array, b: Array) -> Any:
    return bind(sylvester_p, turned(a), turned(b), g)


sylvester_p: Primitive = Primitive(
    "scipy.linalg.solve_sylvester",
    _sylvester,
    (
        lambda g, y, a, b, q: -np.matmul(_sylvester_back(g, a, b), turned(y)),
        lambda g, y, a, b, q: -np.matmul(turned(y), _sylvester_back(g, a, b)),
        lambda g, y, a, b, q: _sylvester_back(g, a, b),
    ),
    takes_complex=True,
    batch=batched_stacks(lambda: sylvester_p),
    source=by_name("scipy.linalg.solve_sylvester"),
)


def _discrete_lyapunov(a: Array, q: Array, *, method: Any) -> Any:
    solve = of_scipy("solve_discrete_lyapunov")
    solved = over_stacks(lambda a, q: solve(a, q, method), a, q)
    return solved.astype(np.result_type(a, q), copy=False)


def _discrete_a(g: Array, y: Array, a: Array, q: Array, *, method: Any) -> Any:
    back = bind(discrete_lyapunov_p, adjoint(a), conj(g), method=method)
    along = np.matmul(np.matmul(back, a), adjoint(y))
    return conj(along + np.matmul(np.matmul(adjoint(back), a), y))


discrete_lyapunov_p: Primitive = Primitive(
    "scipy.linalg.solve_discrete_lyapunov",
    _discrete_lyapunov,
    (
        _discrete_a,
        lambda g, y, a, q, method: conj(
            bind(discrete_lyapunov_p, adjoint(a), conj(g), method=method)
        ),
    ),
    takes_complex=True,
    batch=batched_stacks(lambda: discrete_lyapunov_p),
    source=by_name("scipy.linalg.solve_discrete_lyapunov"),
)


# LU and QR with exchanges ------------------------------------------------------------------------


def _matrices(name: str, forward: Any, rules: Any) -> Primitive:
    primitive = Primitive(
        f"scipy.linalg.{name}",
        forward,
        rules,
        batch=lambda args, batched, size, params: bind(primitive, *args, **params),
        dependence=leading(2),
        source=by_name(f"scipy.linalg.{name}"),
        takes_complex=True,
    )
    return primitive


def _pivots(x: Array) -> Any:
    """The rows that LU exchanges; as columns, so that stacks are of matrices."""
    factor = of_scipy("lu_factor")
    found = over_stacks(lambda a: factor(a, check_finite=False)[1][:, None], x)
    return found.astype(np.int64)


pivots_p = _matrices("pivots", _pivots, None)


def _row_order(pivots: Array, *, rows: int) -> Any:
    """The order of rows after exchanges of each with another one."""
    pivots = np.asarray(pivots)
    order = np.tile(np.arange(rows)[:, None], (*pivots.shape[:-2], 1, 1))
    for i in np.ndindex(pivots.shape[:-2]):
        for k, other in enumerate(pivots[i][:, 0]):
            order[i][[k, other]] = order[i][[other, k]]
    return order


row_order_p = _matrices("row_order", _row_order, None)


def _column_order(x: Array) -> Any:
    """The columns that QR exchanges, as a column."""
    factor = of_scipy("qr")
    found = over_stacks(lambda a: factor(a, mode="r", pivoting=True)[1][:, None], x)
    return found.astype(np.int64)


column_order_p = _matrices("column_order", _column_order, None)


def _eliminated(x: Array) -> Any:
    """L without its diagonal and U of a square matrix, in one, without exchanges of rows."""
    packed, exchanged = of_scipy("lu_factor")(x, check_finite=False)
    if np.array_equal(exchanged, np.arange(len(x))):
        return packed
    packed = np.array(x)  # candidates of equal size: whoever chose the order took another one
    for k in range(len(x) - 1):
        packed[k + 1 :, k] /= packed[k, k]
        packed[k + 1 :, k + 1 :] -= np.outer(packed[k + 1 :, k], packed[k, k + 1 :])
    return packed


def _lu_vjp(g: Array, y: Array, x: Array) -> Any:
    unit = np.eye(x.shape[-1], dtype=x.dtype)
    lower, upper = np.tril(y, -1) + unit, np.triu(y)
    inner = np.tril(np.matmul(turned(lower), np.tril(g, -1)), -1)
    inner = inner + np.triu(np.matmul(np.triu(g), turned(upper)))
    left = bind(solve_p, turned(lower), inner)
    return turned(bind(solve_p, upper, turned(left)))


lu_packed_p = _matrices(
    "lu_packed", lambda x: over_stacks(_eliminated, x).astype(x.dtype, copy=False), (_lu_vjp,)
)


# Numbers that are no numbers ---------------------------------------------------------------------


def _finite(x: Array) -> Any:
    return np.array(np.asarray_chkfinite(x))


#: Its argument, of which SciPy demands that it is finite.
finite_p: Primitive = Primitive(
    "scipy.linalg.finite",
    _finite,
    (lambda g, y, x: g,),
    jvp="multilinear",
    batch=lambda args, batched, size, params: bind(finite_p, *args),
    source=by_name("scipy.linalg.finite"),
    takes_complex=True,
)


def checked(a: Any, check_finite: bool) -> Any:
    """Return a tensor of floats that is finite, if that is asked for."""
    a = as_tensor(a)
    if a.dtype.kind not in CONTINUOUS:
        a = functions["cast"](a, np.dtype(float))
    return apply(finite_p, (a,)) if check_finite else a
