"""Systems of equations and inverses: the functions of ``numpy.linalg`` for them.

They work on the last two axes. NumPy computes the values, and raises its errors: of singular matrices,
say.

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.grad(lambda a: np.sum(np.linalg.inv(a)))(np.array([[2.0, 0.0], [0.0, 4.0]]))
array([[-0.25  , -0.125 ],
       [-0.125 , -0.0625]])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index as integer
from typing import Any

import numpy as np

from tapegrad.ops.algebra.singular import adjoint, conj, of_matrices, turned, wide
from tapegrad.ops.declare.ufunc import as_tensor, check_operand
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.dependence import Applied, Labels, agreeing
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, Params

__all__ = [
    "inv", "lstsq", "matrix_power", "pinv", "solve", "tensorinv", "tensorsolve",
]  # fmt: skip


def matrix(a: ArrayLike, name: str = "linalg") -> Any:
    """Return matrices as a tensor of floats that LAPACK takes; NumPy's errors."""
    a = as_tensor(a)
    check_operand(a, name)
    if a.dtype == np.float16:
        raise TypeError("array type float16 is unsupported in linalg")
    if a.ndim < 2:
        raise np.linalg.LinAlgError(
            f"{a.ndim}-dimensional array given. Array must be at least two-dimensional"
        )
    return a if a.dtype.kind in CONTINUOUS else functions["cast"](a, np.dtype(float))


def square(a: ArrayLike, name: str = "linalg") -> Any:
    """Return square matrices as a tensor of floats; NumPy's errors."""
    a = matrix(a, name)
    if a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return a


def of_triangle(a: Array, uplo: str) -> Any:
    """Return the symmetric or Hermitian matrices of which NumPy reads one triangle.

    Imaginary parts on the diagonal are not read.
    """
    if uplo == "U":
        a = adjoint(a)
    if a.dtype.kind != "c":
        return np.tril(a) + turned(np.tril(a, -1))
    below = np.tril(a, -1)
    return below + adjoint(below) + np.real(a) * np.eye(a.shape[-1], dtype=a.dtype)


# Systems -----------------------------------------------------------------------------------------


def _solve(a: Array, b: Array) -> Any:
    return np.linalg.solve(wide(a), wide(b)).astype(np.result_type(a, b))


def _batch_solve(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    """Put the batch axis in front of the stacks, which get equally many axes."""
    stack = max(len(x.shape) - flag for x, flag in zip(args, batched)) - 2

    def lift(x: Array, flag: bool) -> Any:
        own = x.shape[1:] if flag else x.shape
        front = (size,) if flag else (1,)
        return np.reshape(x, (*front, *(1,) * (stack + 2 - len(own)), *own))

    return bind(solve_p, *(lift(x, flag) for x, flag in zip(args, batched)))


def _solve_dependence(applied: Applied, index: int) -> Labels:
    """Stacks are apart, and so are the columns of the right-hand sides."""
    own, result = applied.args[index].shape, applied.shape
    more = len(result) - len(own)
    pairs = [(a, a + more) for a in range(len(own) - 2)]
    return agreeing(own, result, [*pairs, (len(own) - 1, len(result) - 1)] if index else pairs)


def _solve_a(g: Array, y: Array, a: Array, b: Array) -> Any:
    return -np.matmul(bind(solve_p, turned(a), g), turned(y))


solve_p: Primitive = Primitive(
    "solve",
    _solve,
    (_solve_a, lambda g, y, a, b: bind(solve_p, turned(a), g)),
    batch=_batch_solve,
    dependence=_solve_dependence,
    takes_complex=True,
)


@implements(np.linalg.solve)
def solve(a: ArrayLike, b: ArrayLike) -> Any:
    """Solve systems of linear equations.

    Parameters
    ----------
    a : array_like
        Square matrices.
    b : array_like
        One vector, or matrices whose columns are the right-hand sides; stacks are broadcast.

    Returns
    -------
    Tensor
        The solutions, in the shape of `b`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.solve(tg.tensor([[2.0, 0.0], [0.0, 4.0]]), [1.0, 1.0])
    Tensor([0.5 , 0.25])
    """
    a, b = square(a, "solve"), as_tensor(b)
    check_operand(b, "solve")
    if b.dtype == np.float16:
        raise TypeError("array type float16 is unsupported in linalg")
    if b.ndim == 0:
        raise ValueError("solve: the right-hand side must have at least one axis")
    if b.ndim == 1:
        return apply(solve_p, (a, np.expand_dims(b, -1)))[..., 0]
    return apply(solve_p, (a, b))


def _inv(x: Array) -> Any:
    return np.linalg.inv(wide(x)).astype(x.dtype)


inv_p = of_matrices(
    "inv",
    _inv,
    (lambda g, y, x: -np.matmul(np.matmul(turned(y), g), turned(y)),),
    takes_complex=True,
)


@implements(np.linalg.inv)
def inv(a: ArrayLike) -> Any:
    """Return the inverses of square matrices.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.inv(tg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    Tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    return apply(inv_p, (square(a, "inv"),))


@implements(np.linalg.matrix_power)
def matrix_power(a: ArrayLike, n: int) -> Any:
    """Return integer powers of square matrices, by squaring.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
    n : int
        Negative powers are those of the inverse.

    Returns
    -------
    Tensor, shape (..., n, n)

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.matrix_power(tg.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    Tensor([[1., 5.],
            [0., 1.]])
    """
    a = as_tensor(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        square(a, "matrix_power")  # raises
    try:
        n = integer(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if n == 0:
        return np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape) + 0 * a
    if n < 0:
        a, n = inv(a), -n
    result: Any = None
    while n:
        if n & 1:
            result = a if result is None else np.matmul(result, a)
        n >>= 1
        if n:
            a = np.matmul(a, a)
    return +result


@implements(np.linalg.tensorinv)
def tensorinv(a: ArrayLike, ind: int = 2) -> Any:
    """Return the inverse of an array as a linear map from its last axes to its first `ind` axes.

    Parameters
    ----------
    a : array_like
    ind : int
        How many axes the results of the map have.

    Returns
    -------
    Tensor
        With the last axes of `a` first.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.tensorinv(tg.tensor(np.eye(6).reshape(6, 2, 3)), ind=1).shape
    (2, 3, 6)
    """
    a = as_tensor(a)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    size = math.prod(a.shape[ind:])
    return np.reshape(inv(np.reshape(a, (size, -1))), a.shape[ind:] + a.shape[:ind])


@implements(np.linalg.tensorsolve)
def tensorsolve(a: ArrayLike, b: ArrayLike, axes: Any = None) -> Any:
    """Solve ``tensordot(a, x, x.ndim) == b`` for x.

    Parameters
    ----------
    a, b : array_like
    axes : sequence of int, optional
        Axes of `a` that are moved to the end first.

    Returns
    -------
    Tensor
        Of the shape of the last axes of `a`.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> a = np.eye(6).reshape(2, 3, 6)
    >>> np.linalg.tensorsolve(tg.tensor(a), np.ones((2, 3))).shape
    (6,)
    """
    a, b = as_tensor(a), as_tensor(b)
    if axes is not None:
        order = [k for k in range(a.ndim) if k not in axes]
        a = np.transpose(a, order + list(axes))
    shape = a.shape[b.ndim :]
    if a.size != math.prod(shape) ** 2:
        raise np.linalg.LinAlgError(
            "Input arrays must satisfy the requirement "
            "            prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim])"
        )
    return np.reshape(solve(np.reshape(a, (b.size, -1)), np.ravel(b)), shape)


# Least squares -----------------------------------------------------------------------------------


def _pinv(x: Array, *, rcond: Any) -> Any:
    return np.linalg.pinv(wide(x), rcond=rcond).astype(x.dtype)


def _pinv_vjp(g: Array, y: Array, x: Array, *, rcond: Any) -> Any:
    """Golub and Pereyra's formula, for a rank that does not change."""
    g, yt = conj(g), adjoint(y)
    one = np.eye(y.shape[-1], dtype=x.dtype) - np.matmul(x, y)
    other = np.eye(y.shape[-2], dtype=x.dtype) - np.matmul(y, x)
    back = np.matmul(adjoint(g), np.matmul(y, yt))
    last = np.matmul(np.matmul(yt, y), adjoint(g))
    found = np.matmul(one, back) + np.matmul(last, other) - np.matmul(np.matmul(yt, g), yt)
    return conj(found)


pinv_p = of_matrices("pinv", _pinv, (_pinv_vjp,), takes_complex=True)


def _tolerance(a: Any, rcond: Any, rtol: Any) -> float:
    """Return the relative size below which singular values count as zero."""
    if rcond is not None and rtol is not None:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    given = rcond if rtol is None else rtol
    return 1e-15 if given is None else float(given)


@implements(np.linalg.pinv)
def pinv(a: ArrayLike, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """Return pseudo-inverses of matrices.

    Parameters
    ----------
    a : array_like
    rcond, rtol : float, optional
        Singular values of at most so much of the greatest count as zero; 1e-15 by default.
    hermitian : bool
        Whether the matrices are symmetric; then only the lower triangle is read.

    Returns
    -------
    Tensor, shape (..., n, m)

    Notes
    -----
    The derivative is that for a rank which does not change.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.pinv(tg.tensor([[2.0], [0.0]]))
    Tensor([[0.5, 0. ]])
    """
    a = of_triangle(square(a, "pinv"), "L") if hermitian else matrix(a, "pinv")
    return apply(pinv_p, (a,), {"rcond": _tolerance(a, rcond, rtol)})


def _lstsq(a: Array, b: Array, *, rcond: Any) -> Any:
    return np.linalg.lstsq(wide(a), wide(b), rcond=rcond)[0].astype(np.result_type(a, b))


def _cutoff(a: Array, rcond: Any) -> float:
    return max(a.shape) * float(np.finfo(a.dtype).eps) if rcond is None else float(rcond)


def _lstsq_a(g: Array, y: Array, a: Array, b: Array, *, rcond: Any) -> Any:
    p = bind(pinv_p, a, rcond=_cutoff(a, rcond))
    g, pt = conj(g), adjoint(p)
    rest = np.eye(a.shape[-1], dtype=a.dtype) - np.matmul(p, a)
    away = b - np.matmul(a, y)
    back = np.matmul(adjoint(g), np.matmul(p, pt))
    across = np.matmul(np.matmul(pt, y), np.matmul(adjoint(g), rest))
    found = np.matmul(away, back) + across - np.matmul(np.matmul(pt, g), adjoint(y))
    return conj(found)


def _loop(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    """NumPy takes no stacks."""
    rows = [[a[k] if b else a for a, b in zip(args, batched)] for k in range(size)]
    return np.stack([bind(lstsq_p, *row, **params) for row in rows])


lstsq_p: Primitive = Primitive(
    "lstsq",
    _lstsq,
    (
        _lstsq_a,
        lambda g, y, a, b, rcond: np.matmul(turned(bind(pinv_p, a, rcond=_cutoff(a, rcond))), g),
    ),
    batch=_loop,
    takes_complex=True,
)


@implements(np.linalg.lstsq)
def lstsq(a: ArrayLike, b: ArrayLike, rcond: Any = None) -> Any:
    """Return the solution of least squares of least norm, residuals, rank and singular values.

    Parameters
    ----------
    a : array_like
        One matrix.
    b : array_like
        A vector, or a matrix of right-hand sides.
    rcond : float, optional
        Singular values of at most so much of the greatest count as zero.

    Returns
    -------
    x : Tensor
        The solution.
    residuals : Tensor or ndarray
        Sums of squares, one for each column of `b`; empty if the rank is not full.
    rank : int
    s : Tensor
        Singular values of `a`.

    Notes
    -----
    The derivative is that for a rank which does not change.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.lstsq(tg.tensor([[1.0], [1.0]]), np.array([1.0, 3.0]))[0]
    Tensor([2.])
    """
    a, b = matrix(a, "lstsq"), as_tensor(b)
    check_operand(b, "lstsq")
    if a.ndim != 2:
        raise np.linalg.LinAlgError(
            f"{a.ndim}-dimensional array given. Array must be two-dimensional"
        )
    if b.shape[:1] != a.shape[:1]:
        raise np.linalg.LinAlgError("Incompatible dimensions")
    right = np.expand_dims(b, -1) if b.ndim == 1 else b
    rows, columns = a.shape
    x = apply(lstsq_p, (a, right), {"rcond": rcond})
    values = functions[np.linalg.svdvals](a)
    rank = np.count_nonzero(values > values[:1] * _cutoff(a, rcond))
    residuals: Any = np.zeros(0, values.dtype)
    if rows > columns and int(rank) == columns:
        away = right - np.matmul(a, x)
        squares = np.real(away) ** 2 + np.imag(away) ** 2 if x.dtype.kind == "c" else away**2
        residuals = np.sum(squares, axis=0)
    return (x[:, 0] if b.ndim == 1 else x), residuals, rank, values
