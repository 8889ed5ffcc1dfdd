"""Primitives of sparse matrices: products, elements of outer products, solutions.

A matrix is given by its elements, compressed along its first axis: the elements of row i are
``data[indptr[i]:indptr[i + 1]]``, in the columns ``indices[indptr[i]:indptr[i + 1]]``, in any order;
elements at the same place are added. Dense operands have two axes. The derivatives of products are
products and elements of outer products, and the other way round.

SciPy computes where the program has imported it, and NumPy otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import Applied, Labels, agreeing, dense
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array, Params

__all__ = ["csr_matmul_p", "csr_sampled_p", "rows_of", "spsolve_p"]

#: What SciPy's loops are compiled for, of the dtypes that tensors have.
_OF_SCIPY = frozenset(map(np.dtype, (np.float32, np.float64, np.complex64, np.complex128)))


def rows_of(indptr: Array) -> Array:
    """Return the row of each element."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def _wide(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype == np.float16 else x


# Products ----------------------------------------------------------------------------------------


def _sums_of_rows(terms: Array, indptr: Array) -> Array:
    """Add up the terms of each row; those of rows without elements are zero."""
    sums = np.zeros((len(indptr) - 1, terms.shape[1]), terms.dtype)
    filled = indptr[1:] > indptr[:-1]
    if filled.any():
        sums[filled] = np.add.reduceat(terms, indptr[:-1][filled], axis=0)
    return sums


def _sums_at(terms: Array, places: Array, size: int) -> Array:
    """Add up the terms that go to the same place."""
    if terms.dtype.kind == "c":
        real, imag = (_sums_at(part, places, size) for part in (terms.real, terms.imag))
        return (real + 1j * imag).astype(terms.dtype)
    width = terms.shape[1]
    flat = (places.astype(np.intp)[:, None] * width + np.arange(width)).ravel()  # it may be large
    sums = np.bincount(flat, weights=terms.ravel(), minlength=size * width)
    return sums.reshape(size, width).astype(terms.dtype)


def _matmul(
    data: Array, x: Array, indices: Array, indptr: Array, *, shape: Any, transposed: bool
) -> Any:
    dtype = np.result_type(data, x)
    data, x = _wide(data.astype(dtype, copy=False)), _wide(x.astype(dtype, copy=False))
    scipy = sys.modules.get("scipy.sparse")
    if scipy is not None and data.dtype in _OF_SCIPY:
        made = scipy.csc_matrix if transposed else scipy.csr_matrix
        product = made((data, indices, indptr), shape[::-1] if transposed else shape) @ x
    elif transposed:
        product = _sums_at(data[:, None] * x[rows_of(indptr)], indices, shape[1])
    else:
        product = _sums_of_rows(data[:, None] * x[indices], indptr)
    return product.astype(dtype, copy=False)


def _matmul_data(
    g: Array, y: Array, data: Array, x: Array, indices: Array, indptr: Array, *,
    shape: Any, transposed: bool,
) -> Any:  # fmt: skip
    left, right = (x, g) if transposed else (g, x)
    return bind(csr_sampled_p, left, right, indices, indptr)


def _matmul_x(
    g: Array, y: Array, data: Array, x: Array, indices: Array, indptr: Array, *,
    shape: Any, transposed: bool,
) -> Any:  # fmt: skip
    return bind(csr_matmul_p, data, g, indices, indptr, shape=shape, transposed=not transposed)


def _matmul_example(
    data: Array, x: Array, indices: Array, indptr: Array, *, shape: Any, transposed: bool
) -> Array:
    return np.ones((shape[transposed], x.shape[1]), np.result_type(data, x))


def _columns_apart(applied: Applied, index: int) -> Labels:
    """The columns of the dense operand know nothing of each other."""
    own, result = applied.args[index].shape, applied.shape
    return agreeing(own, result, [(1, 1)]) if index == 1 else dense(applied, index)


# Batches -----------------------------------------------------------------------------------------


def _blocks(
    indices: Any, indptr: Any, batched: Sequence[bool], size: int, count: int, minor: int
) -> tuple[Any, Any]:
    """Return indices and indptr of a matrix with `size` blocks along its diagonal.

    Each has `count` elements and `minor` columns.
    """
    turns = np.arange(size)[:, None]
    indices = np.reshape((indices if batched[0] else indices[None]) + turns * minor, -1)
    ends = (indptr[:, 1:] if batched[1] else indptr[None, 1:]) + turns * count
    return indices, np.concatenate((np.zeros(1, np.intp), np.reshape(ends, -1)))


def _tiled(x: Any, batched: bool, size: int) -> Any:
    """Lay the examples of an operand below each other."""
    if not batched:
        x = np.broadcast_to(x, (size, *x.shape))
    return np.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _side_by_side(x: Any) -> Any:
    """Lay a batch of matrices beside each other."""
    size, rows, columns = x.shape
    return np.reshape(np.transpose(x, (1, 0, 2)), (rows, size * columns))


def _apart_again(y: Any, size: int) -> Any:
    """Undo `_side_by_side`."""
    return np.transpose(np.reshape(y, (y.shape[0], size, y.shape[1] // size)), (1, 0, 2))


def _batch_matmul(args: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
    data, x, indices, indptr = args
    if not (batched[0] or batched[2] or batched[3]):
        y = bind(csr_matmul_p, data, _side_by_side(x), indices, indptr, **params)
        return _apart_again(y, size)
    rows, columns = params["shape"]
    count = data.shape[-1]
    places = _blocks(indices, indptr, batched[2:], size, count, columns)
    y = bind(
        csr_matmul_p, _tiled(data, batched[0], size), _tiled(x, batched[1], size), *places,
        shape=(size * rows, size * columns), transposed=params["transposed"],
    )  # fmt: skip
    return np.reshape(y, (size, columns if params["transposed"] else rows, x.shape[-1]))


csr_matmul_p: Primitive = Primitive(
    "csr_matmul",
    _matmul,
    (_matmul_data, _matmul_x, None, None),
    jvp="multilinear",
    batch=_batch_matmul,
    example=_matmul_example,
    dependence=_columns_apart,
    takes_complex=True,
)


# Elements of outer products ----------------------------------------------------------------------


def _sampled(left: Array, right: Array, indices: Array, indptr: Array) -> Any:
    """Compute ``left @ right.T`` where the matrix has elements."""
    dtype = np.result_type(left, right)
    left, right = _wide(left)[rows_of(indptr)], _wide(right)[indices]
    return np.einsum("nk,nk->n", left, right).astype(dtype, copy=False)


def _sampled_left(
    g: Array, y: Array, left: Array, right: Array, indices: Array, indptr: Array
) -> Any:
    shape = left.shape[0], right.shape[0]
    return bind(csr_matmul_p, g, right, indices, indptr, shape=shape, transposed=False)


def _sampled_right(
    g: Array, y: Array, left: Array, right: Array, indices: Array, indptr: Array
) -> Any:
    shape = left.shape[0], right.shape[0]
    return bind(csr_matmul_p, g, left, indices, indptr, shape=shape, transposed=True)


def _batch_sampled(args: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
    left, right, indices, indptr = args
    count = indices.shape[-1]
    places = _blocks(indices, indptr, batched[2:], size, count, right.shape[-2])
    y = bind(
        csr_sampled_p, _tiled(left, batched[0], size), _tiled(right, batched[1], size), *places
    )
    return np.reshape(y, (size, count))


csr_sampled_p: Primitive = Primitive(
    "csr_sampled",
    _sampled,
    (_sampled_left, _sampled_right, None, None),
    jvp="multilinear",
    batch=_batch_sampled,
    example=lambda left, right, indices, indptr: np.ones(
        indices.shape, np.result_type(left, right)
    ),
    takes_complex=True,
)


# Solutions ---------------------------------------------------------------------------------------

_SPSOLVE = "scipy.sparse.linalg.spsolve"


def _dtype(data: Array, b: Array) -> np.dtype[Any]:
    """Solutions of integers are floats."""
    dtype = np.result_type(data, b)
    return dtype if dtype.kind in CONTINUOUS else np.dtype(float)


def _spsolve(data: Array, b: Array, indices: Array, indptr: Array, *, transposed: bool) -> Any:
    try:
        from scipy import sparse
        from scipy.sparse.linalg import spsolve
    except ImportError as error:
        raise ImportError(
            "spsolve: sparse systems are solved by SciPy, which is not installed; it is the extra "
            "`sparse`: pip install tapegrad[sparse]"
        ) from error
    dtype = _dtype(data, b)
    inner = _wide(np.empty(0, dtype)).dtype
    n, width = b.shape
    if not b.size:
        return np.zeros(b.shape, dtype)
    # A copy: SciPy sorts the elements, and adds up those at the same place.
    matrix = sparse.csr_matrix((data.astype(inner), indices, indptr), (n, n), copy=True)
    right = b.astype(inner, copy=False)
    y = spsolve(
        matrix.T if transposed else matrix,
        right[:, 0] if width == 1 else right,
        use_umfpack=False,
    )
    return y.reshape(b.shape).astype(dtype, copy=False)


def _spsolve_pull(
    g: Array, y: Array, data: Array, b: Array, indices: Array, indptr: Array, *, transposed: bool
) -> Any:
    back = bind(spsolve_p, data, g, indices, indptr, transposed=not transposed)
    left, right = (y, back) if transposed else (back, y)
    return -bind(csr_sampled_p, left, right, indices, indptr), back, None, None


def _spsolve_push(
    tangents: Sequence[Any], y: Array, data: Array, b: Array, indices: Array, indptr: Array, *,
    transposed: bool,
) -> Any:  # fmt: skip
    of_data, of_b = tangents[:2]
    if of_data is not None:
        shape = (b.shape[0], b.shape[0])
        moved = bind(csr_matmul_p, of_data, y, indices, indptr, shape=shape, transposed=transposed)
        of_b = -moved if of_b is None else of_b - moved
    return bind(spsolve_p, data, of_b, indices, indptr, transposed=transposed)


def _batch_spsolve(args: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
    data, b, indices, indptr = args
    if not (batched[0] or batched[2] or batched[3]):
        y = bind(spsolve_p, data, _side_by_side(b), indices, indptr, **params)
        return _apart_again(y, size)
    n, width = b.shape[-2:]
    places = _blocks(indices, indptr, batched[2:], size, data.shape[-1], n)
    given = _tiled(data, batched[0], size), _tiled(b, batched[1], size)
    return np.reshape(bind(spsolve_p, *given, *places, **params), (size, n, width))


spsolve_p: Primitive = Primitive(
    _SPSOLVE,
    _spsolve,
    pull_all=_spsolve_pull,
    jvp=_spsolve_push,
    differentiable_arguments=2,
    batch=_batch_spsolve,
    example=lambda data, b, indices, indptr, transposed: np.ones(b.shape, _dtype(data, b)),
    dependence=_columns_apart,
    takes_complex=True,
    source=lambda args, params: (
        f"primitives[{_SPSOLVE!r}].forward({', '.join(args)}, transposed={params['transposed']})"
    ),
)
