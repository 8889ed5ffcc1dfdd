"""Matrix products: ``matmul``, and all that is a matrix product behind reshapes and transposes.

``einsum`` has a module of its own. Both cotangents of a product are products again, so that every
order of differentiation runs in the matrix library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis
from tapegrad.ops.declare.fields import conjugated
from tapegrad.ops.declare.ufunc import Ufunc, as_tensor, check_operand, delivered, flagged, owned
from tapegrad.tape.core.dependence import Applied, Labels, agreeing
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, Params

__all__ = ["cross", "dot", "inner", "kron", "matmul", "multi_matmul", "outer", "tensordot", "vdot"]

#: Elements of a matrix that is not in the cache when it is read once more.
_LARGE = 1 << 20


def _rows(a: Array) -> Any:
    """A stack of matrices as one tall matrix."""
    return np.reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))


def _matmul_x(g: Array, z: Array, x: Array, y: Array) -> Any:
    if y.ndim == 1:
        return g * y if x.ndim == 1 else np.expand_dims(g, -1) * y
    if x.ndim == 1:
        return np.matmul(y, np.expand_dims(g, -1))[..., 0]
    if x.ndim == 2 and y.ndim > 2:  # the sum over the stack is part of the product
        n, k, m = g.shape[-2], y.shape[-2], y.shape[-1]
        count = math.prod(y.shape[:-2])
        wide = np.reshape(np.moveaxis(g, -2, 0), (n, count * m))
        return np.matmul(wide, np.reshape(np.swapaxes(y, -1, -2), (count * m, k)))
    return np.matmul(g, np.swapaxes(y, -1, -2))


def _matmul_y(g: Array, z: Array, x: Array, y: Array) -> Any:
    if x.ndim == 1:
        return g * x if y.ndim == 1 else np.expand_dims(x, -1) * np.expand_dims(g, -2)
    if y.ndim == 1:
        return np.matmul(np.reshape(g, g.size), _rows(x))
    if y.ndim == 2 and x.ndim > 2:
        return np.matmul(np.swapaxes(_rows(x), 0, 1), _rows(g))
    return np.matmul(np.swapaxes(x, -1, -2), g)


def _batch_matmul(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    """Put the batch axis into the stack; where one operand is a plain matrix, into its rows."""
    x, y = args
    xd, yd = len(x.shape) - batched[0], len(y.shape) - batched[1]
    if not batched[1] and yd <= 2 and (xd >= 2 or yd == 2):
        return np.matmul(x, y)  # to a product, the batch axis is one more axis of rows
    if not batched[0] and xd == 2 and yd == 1:
        return np.matmul(y, np.swapaxes(x, 0, 1))
    # Make both matrices, with stacks of equal length behind the batch axis.
    stack = max(xd, yd, 2) - 2

    def lift(a: Array, ndim: int, flag: bool, vector: tuple[int, int]) -> Any:
        front = (size,) if flag else ()
        matrix = vector if ndim == 1 else a.shape[-2:]
        own = a.shape[len(front) : -2] if ndim > 1 else ()
        return np.reshape(a, (*front, *(1,) * (stack - len(own)), *own, *matrix))

    out = np.matmul(
        lift(x, xd, batched[0], (1, x.shape[-1])), lift(y, yd, batched[1], (y.shape[-1], 1))
    )
    if yd == 1:
        out = out[..., 0]
        return out[..., 0] if xd == 1 else out
    return out[..., 0, :] if xd == 1 else out


def _matmul_dependence(applied: Applied, index: int) -> Labels:
    """A result has the row of the first operand, the column of the second, and their place in stacks."""
    own, other = applied.args[index].shape, applied.args[1 - index].shape
    if len(own) == 1:
        return agreeing(own, applied.shape, ())
    last = len(applied.shape) - 1
    kept = (len(own) - 2, last - (len(other) > 1)) if index == 0 else (len(own) - 1, last)
    more = last - (len(other) > 1) - (len(own) - 2)  # how many axes more the result has in front
    return agreeing(own, applied.shape, [(a, a + more) for a in range(len(own) - 2)] + [kept])


def _matmul_of_sums(x: Array, y: Array) -> Any:
    """Write the product of a large matrix and a vector as sums, in which a kernel reads it once."""
    if x.ndim == 2 and y.ndim == 1 and math.prod(x.shape) >= _LARGE:
        return np.sum(x * y, axis=1)
    if x.ndim == 1 and y.ndim == 2 and math.prod(y.shape) >= _LARGE:
        return np.sum(np.expand_dims(x, 1) * y, axis=0)
    return NotImplemented


matmul_p = Primitive(
    "matmul",
    np.matmul,
    (_matmul_x, _matmul_y),
    jvp="multilinear",
    batch=_batch_matmul,
    dependence=_matmul_dependence,
    family="linear",
    ufunc=np.matmul,
    expansion=_matmul_of_sums,
    takes_complex=True,
)
matmul = implements(np.matmul)(
    Ufunc(
        matmul_p,
        "Matrix product. A one-dimensional operand is a row on the left and a column on the "
        "right; stacks of\nmatrices (all axes but the last two) are broadcast.",
    )
)


@implements(np.dot)
def dot(a: ArrayLike, b: ArrayLike, out: Any = None, *, constant: bool | None = None) -> Array:
    """Dot product: the sum over the last axis of `a` and the last but one of `b`.

    Parameters
    ----------
    a, b : array_like
        Scalars are multiplied; of one-dimensional arrays it is the inner product.
    out : Tensor or ndarray, optional
        Where the result is written to.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.dot(tg.tensor([1.0, 2.0]), [3.0, 4.0])
    Tensor(11.)
    """
    a, b = as_tensor(a), as_tensor(b)
    if not a.ndim or not b.ndim:
        result = functions[np.multiply](a, b, constant=constant)
    elif b.ndim == 1 or a.ndim == 1 or (a.ndim == 2 and b.ndim == 2):
        result = matmul(a, b, constant=constant)
    else:
        result = flagged(tensordot(a, b, ((-1,), (-2,))), constant)
    return delivered(result, out, "dot")


@implements(np.vdot)
def vdot(a: ArrayLike, b: ArrayLike, /, *, constant: bool | None = None) -> Array:
    """Inner product of the flattened arrays, of which the first is conjugated if it is complex.

    Parameters
    ----------
    a, b : array_like
        Of one size.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A number.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.vdot(tg.tensor([[1.0, 2.0]]), [[3.0], [4.0]])
    Tensor(11.)
    """
    a, b = conjugated(np.ravel(as_tensor(a))), np.ravel(as_tensor(b))
    return matmul(a, b, constant=constant)


@implements(np.inner)
def inner(a: ArrayLike, b: ArrayLike, /, *, constant: bool | None = None) -> Array:
    """Sum over the last axes of both arrays.

    Parameters
    ----------
    a, b : array_like
        Their last axes are of one size; a number multiplies.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        With the other axes of `a`, then those of `b`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.inner(tg.tensor([1.0, 2.0]), [3.0, 4.0])
    Tensor(11.)
    """
    a, b = as_tensor(a), as_tensor(b)
    if not a.ndim or not b.ndim:
        return functions[np.multiply](a, b, constant=constant)
    return flagged(tensordot(a, b, ((-1,), (-1,))), constant)


@implements(np.outer)
def outer(a: ArrayLike, b: ArrayLike, out: Any = None, *, constant: bool | None = None) -> Array:
    """Products of every element of `a` with every element of `b`, as a matrix.

    Parameters
    ----------
    a, b : array_like
        Flattened.
    out : Tensor or ndarray, optional
        Where the result is written to.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape (a.size, b.size)

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.outer(tg.tensor([1.0, 2.0]), [3.0, 4.0])
    Tensor([[3., 4.],
            [6., 8.]])
    """
    column = np.reshape(as_tensor(a), (-1, 1))
    result = functions[np.multiply](column, np.ravel(as_tensor(b)), constant=constant)
    return delivered(result, out, "outer")


@implements(np.kron)
def kron(a: ArrayLike, b: ArrayLike) -> Array:
    """Kronecker product.

    Parameters
    ----------
    a, b : array_like

    Returns
    -------
    Tensor
        Each element of `a` times the whole of `b`, as blocks.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.kron(tg.tensor([1.0, 2.0]), [1.0, 10.0])
    Tensor([ 1., 10.,  2., 20.])
    """
    a, b = as_tensor(a), as_tensor(b)
    ndim = max(a.ndim, b.ndim)
    sa = (1,) * (ndim - a.ndim) + a.shape
    sb = (1,) * (ndim - b.ndim) + b.shape
    left = np.reshape(a, [n for m in sa for n in (m, 1)])
    right = np.reshape(b, [n for m in sb for n in (1, m)])
    return owned(np.reshape(left * right, [m * n for m, n in zip(sa, sb)]))


def _axis_pairs(axes: AxisLike, na: int, nb: int) -> tuple[list[int], list[int]]:
    """Write out the ``axes`` of tensordot."""
    if isinstance(axes, int | np.integer):
        first: Any = range(na - int(axes), na)
        second: Any = range(int(axes))
    else:
        first, second = axes
        first = [first] if isinstance(first, int | np.integer) else list(first)
        second = [second] if isinstance(second, int | np.integer) else list(second)
    if len(first) != len(second):
        raise ValueError("shape-mismatch for sum")
    return [one_axis(i, na) for i in first], [one_axis(i, nb) for i in second]


@implements(np.tensordot)
def tensordot(a: ArrayLike, b: ArrayLike, axes: AxisLike = 2) -> Array:
    """Sum of products over pairs of axes.

    Parameters
    ----------
    a, b : array_like
        Operands.
    axes : int or pair of sequences of int
        How many axes, the last of `a` with the first of `b`; or which of `a` with which of `b`.

    Returns
    -------
    Tensor
        With the axes of `a` that are left, then those of `b`.

    Raises
    ------
    ValueError
        If the sizes of a pair differ.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.tensordot(tg.ones((2, 3)), tg.ones((3, 4)), 1).shape
    (2, 4)
    """
    a, b = as_tensor(a), as_tensor(b)
    first, second = _axis_pairs(axes, a.ndim, b.ndim)
    if [a.shape[i] for i in first] != [b.shape[i] for i in second]:
        raise ValueError("shape-mismatch for sum")
    kept_a = [i for i in range(a.ndim) if i not in first]
    kept_b = [i for i in range(b.ndim) if i not in second]
    shape = [a.shape[i] for i in kept_a] + [b.shape[i] for i in kept_b]
    summed = math.prod([a.shape[i] for i in first])
    left = np.reshape(
        np.transpose(a, kept_a + first), (math.prod([a.shape[i] for i in kept_a]), summed)
    )
    right = np.reshape(
        np.transpose(b, second + kept_b), (summed, math.prod([b.shape[i] for i in kept_b]))
    )
    return owned(np.reshape(np.matmul(left, right), shape))


@implements(np.cross)
def cross(
    a: ArrayLike, b: ArrayLike, axisa: int = -1, axisb: int = -1, axisc: int = -1,
    axis: int | None = None,
) -> Array:  # fmt: skip
    """Cross product of vectors in three dimensions.

    Parameters
    ----------
    a, b : array_like
        Vectors along an axis; the other axes are broadcast. Vectors of two elements are in the plane
        of the first two axes; of two such, the third element of the result is returned.
    axisa, axisb, axisc : int
        The axis of the vectors in `a`, in `b` and in the result.
    axis : int, optional
        In place of all three.

    Returns
    -------
    Tensor
        The products; numbers where both vectors have two elements.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.cross(tg.tensor([1.0, 0.0, 0.0]), [0.0, 1.0, 0.0])
    Tensor([0., 0., 1.])
    """
    a, b = as_tensor(a), as_tensor(b)
    if not a.ndim or not b.ndim:
        raise ValueError("At least one array has zero dimension")
    if axis is not None:
        axisa = axisb = axisc = axis
    a = np.moveaxis(a, one_axis(axisa, a.ndim), -1)
    b = np.moveaxis(b, one_axis(axisb, b.ndim), -1)
    sizes = {a.shape[-1], b.shape[-1]}
    if not sizes <= {2, 3}:
        raise ValueError("incompatible dimensions for cross product\n(dimension must be 2 or 3)")
    if sizes == {2}:
        return owned(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
    a, b = (_in_space(v) for v in (a, b))
    result = np.roll(a, -1, -1) * np.roll(b, 1, -1) - np.roll(a, 1, -1) * np.roll(b, -1, -1)
    return owned(np.moveaxis(result, -1, one_axis(axisc, result.ndim)))


def _in_space(v: Array) -> Any:
    """Give vectors in the plane a third element, 0."""
    if v.shape[-1] == 3:
        return v
    return np.concatenate((v, np.zeros((*v.shape[:-1], 1), v.dtype)), -1)


@implements(np.linalg.cross)
def _linalg_cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Array:
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they are "
            f"{x1.shape[axis]} and {x2.shape[axis]} dimensional instead."
        )
    return cross(x1, x2, axis=axis)


@implements(np.linalg.outer)
def _linalg_outer(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(
            "Input arrays must be one-dimensional, but they are "
            f"x1.ndim={x1.ndim} and x2.ndim={x2.ndim}."
        )
    return outer(x1, x2)


@implements(np.linalg.matmul)
def _linalg_matmul(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    return matmul(x1, x2)


@implements(np.linalg.tensordot)
def _linalg_tensordot(x1: ArrayLike, x2: ArrayLike, /, *, axes: AxisLike = 2) -> Array:
    return tensordot(x1, x2, axes)


def _cheapest_order(sizes: list[int]) -> list[list[int]]:
    """Where to split each chain of matrix products (the textbook's dynamic program)."""
    n = len(sizes) - 1
    cost = [[0.0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i][j], split[i][j] = min(options)
    return split


def multi_matmul(tensors: ArrayLike, *, constant: bool | None = None) -> Array:
    """Product of several matrices, in the order that needs the fewest multiplications.

    Parameters
    ----------
    tensors : sequence of array_like
        At least two matrices; the first and the last may be one-dimensional.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        The product.

    Raises
    ------
    ValueError
        For fewer than two arrays, or others than matrices.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.multi_matmul([tg.ones((2, 9)), tg.ones((9, 9)), tg.ones(9)])
    Tensor([81., 81.], dtype=float32)
    """
    arrays = [as_tensor(t) for t in tensors]
    for a in arrays:
        check_operand(a, "multi_matmul")
    if len(arrays) < 2:
        raise ValueError(f"multi_matmul takes at least two arrays, not {len(arrays)}")
    for i, a in enumerate(arrays):
        allowed = (1, 2) if i in (0, len(arrays) - 1) else (2,)
        if a.ndim not in allowed:
            raise ValueError(
                f"multi_matmul: array {i} has {a.ndim} axes; it must have "
                f"{' or '.join(str(n) for n in allowed)}"
            )
    shapes = [a.shape for a in arrays]
    if len(shapes[0]) == 1:
        shapes[0] = (1, *shapes[0])
    if len(shapes[-1]) == 1:
        shapes[-1] = (*shapes[-1], 1)
    split = _cheapest_order([shapes[0][0], *(s[1] for s in shapes)])

    def product(i: int, j: int) -> Any:
        if i == j:
            return arrays[i]
        k = split[i][j]
        return matmul(product(i, k), product(k + 1, j))

    return flagged(product(0, len(arrays) - 1), constant)


@implements(np.linalg.multi_dot)
def _multi_dot(arrays: ArrayLike, *, out: Any = None) -> Array:
    return delivered(multi_matmul(arrays), out, "multi_dot")


@implements(np.vecdot, np.linalg.vecdot)
def _vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1, out: Any = None) -> Array:
    products = conjugated(as_tensor(x1)) * as_tensor(x2)
    options: Any = {} if products.dtype.kind in "fc" else {"dtype": products.dtype}
    return delivered(np.sum(products, axis=axis, **options), out, "vecdot")  # no wider integers


if hasattr(np, "matvec"):  # NumPy 2.2

    @implements(np.matvec)
    def _matvec(x1: ArrayLike, x2: ArrayLike, /, *, out: Any = None) -> Array:
        column = np.expand_dims(as_tensor(x2), -1)
        return delivered(owned(matmul(as_tensor(x1), column)[..., 0]), out, "matvec")

    @implements(np.vecmat)
    def _vecmat(x1: ArrayLike, x2: ArrayLike, /, *, out: Any = None) -> Array:
        row = np.expand_dims(conjugated(as_tensor(x1)), -2)
        return delivered(owned(matmul(row, as_tensor(x2))[..., 0, :]), out, "vecmat")
