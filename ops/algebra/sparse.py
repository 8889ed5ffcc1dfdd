"""Sparse matrices as operands: constant matrices of SciPy's, and matrices whose elements are tensors.

>>> import numpy as np, tapegrad as tg
>>> a = tg.sparse.csr([2.0, 3.0], [0, 2], [0, 1, 2], (2, 3))
>>> tg.grad(lambda x: np.sum(a @ x))(np.ones(3))
array([2., 0., 3.])
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import index as integer
from typing import Any, ClassVar

import numpy as np

from tapegrad.ops.algebra.sparse_products import csr_matmul_p, spsolve_p
from tapegrad.ops.declare.ufunc import as_tensor, check_operand
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.scipy_sparse import is_sparse
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["SparseMatrix", "csr", "matmul", "spsolve"]


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A sparse matrix whose elements may be tensors; :func:`csr` makes one.

    It is multiplied by ``@``, on either side of a dense operand.

    Attributes
    ----------
    data : Tensor or ndarray
        The elements, row by row.
    indices : ndarray
        Their columns.
    indptr : ndarray
        Where the elements of each row begin in `data`; and how many there are in all.
    shape : tuple of int
        Numbers of rows and columns.
    by_columns : bool
        Whether "row" and "column" are exchanged in what is said of the arrays.

    Examples
    --------
    >>> import tapegrad as tg
    >>> a = tg.sparse.csr([2.0, 3.0], [0, 2], [0, 1, 2], (2, 3))
    >>> a.T.shape, a.T @ [1.0, 1.0]
    ((3, 2), Tensor([2., 0., 3.]))
    """

    data: Any
    indices: Any
    indptr: Any
    shape: tuple[int, int]
    by_columns: bool = False

    #: NumPy's arrays leave the operators to this class.
    __array_ufunc__: ClassVar[None] = None

    @property
    def T(self) -> SparseMatrix:
        """The transposed matrix, with the same arrays.

        Examples
        --------
        >>> import tapegrad as tg
        >>> tg.sparse.csr([2.0], [1], [0, 1], (1, 3)).T @ [1.0]
        Tensor([0., 2., 0.])
        """
        turned = self.shape[1], self.shape[0]
        return SparseMatrix(self.data, self.indices, self.indptr, turned, not self.by_columns)

    def __matmul__(self, other: Any) -> Any:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return matmul(other, self)

    def dot(self, other: Any) -> Any:
        """Multiply as ``@`` does.

        Parameters
        ----------
        other : array_like
            The dense operand, with one axis or two.

        Returns
        -------
        Tensor

        Examples
        --------
        >>> import tapegrad as tg
        >>> tg.sparse.csr([2.0], [1], [0, 1], (1, 3)).dot([1.0, 1.0, 1.0])
        Tensor([2.])
        """
        return matmul(self, other)


functions["sparse_matrix"] = SparseMatrix


def csr(data: ArrayLike, indices: Any, indptr: Any, shape: Any) -> SparseMatrix:
    """Return a sparse matrix of its rows, whose elements may be tensors.

    Parameters
    ----------
    data : array_like
        The elements, row by row; derivatives flow to them.
    indices : array_like of int
        Their columns, in any order. Elements at the same place are added.
    indptr : array_like of int
        The elements of row i are ``data[indptr[i]:indptr[i + 1]]``.
    shape : tuple of int
        Numbers of rows and columns.

    Returns
    -------
    SparseMatrix

    Raises
    ------
    ValueError
        If the arrays do not fit each other or `shape`, or an index is out of bounds.
    TypeError
        If indices are no integers, or elements no numbers.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.grad(lambda d: np.sum(tg.sparse.csr(d, [0, 1], [0, 2], (1, 2)) @ [3.0, 4.0]))(np.ones(2))
    array([3., 4.])
    """
    shape = _shape(shape)
    check_operand(data, "csr")
    data = data if isinstance(data, Tensor | np.ndarray) else as_tensor(data)
    check_operand(data, "csr")
    indices, indptr = _integers(indices, "indices"), _integers(indptr, "indptr")
    _check_places(data, indices, indptr, shape)
    return SparseMatrix(data, indices, indptr, shape)


def _shape(shape: Any) -> tuple[int, int]:
    try:
        rows, columns = map(integer, shape)
    except (TypeError, ValueError):
        raise TypeError(
            f"csr: shape must be two integers, (rows, columns); got {shape!r}"
        ) from None
    if rows < 0 or columns < 0:
        raise ValueError(f"csr: shape must not be negative; got {(rows, columns)}")
    return rows, columns


def _integers(a: Any, name: str) -> Any:
    if not isinstance(a, Tensor):
        a = np.asarray(a)
        a = a if a.size else a.astype(np.intp)
    if a.dtype.kind not in "iu" or a.ndim != 1:
        raise TypeError(
            f"csr: {name} must be integers along one axis; got dtype {a.dtype} and shape {a.shape}"
        )
    return a


def _check_places(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
    rows, columns = shape
    if data.shape != indices.shape:
        raise ValueError(
            f"csr: data and indices must have one axis and the same length; got shapes {data.shape} "
            f"and {indices.shape}"
        )
    if indptr.shape != (rows + 1,):
        raise ValueError(
            f"csr: a matrix of shape {shape} needs an indptr of {rows + 1} numbers, one more than "
            f"it has rows; got {indptr.shape[0]}"
        )
    first, last = int(indptr[0]), int(indptr[-1])
    if first != 0 or last != data.shape[0]:
        raise ValueError(
            f"csr: indptr must go from 0 to the number of elements, {data.shape[0]}; it goes from "
            f"{first} to {last}"
        )
    if bool(np.any(indptr[1:] < indptr[:-1])):
        raise ValueError("csr: indptr must not descend")
    if bool(np.any((indices < 0) | (indices >= columns))):
        raise ValueError(
            f"csr: indices out of bounds: a matrix of shape {shape} has the columns 0 to "
            f"{columns - 1}; got {int(np.min(indices))} to {int(np.max(indices))}"
        )


# Operands ----------------------------------------------------------------------------------------


def _sparse_operand(a: Any, shape: Any, what: str) -> SparseMatrix | None:
    """Return a sparse operand by its rows or columns; None of what is dense."""
    if isinstance(a, SparseMatrix):
        data = _seen(a.data)
        return a if data is a.data else replace(a, data=data)
    if is_sparse(a):
        return _of_scipy(a, what)
    if isinstance(a, tuple) and hasattr(a, "indptr"):  # CompressedRows
        return csr(*a)
    if not isinstance(a, tuple) or len(a) != 3 or not all(np.ndim(part) == 1 for part in a):
        return None
    if shape is not None:
        return csr(*a, shape)
    if len({len(part) for part in a}) > 1:  # no rows of a dense matrix
        raise TypeError(
            f"{what}: three arrays need the shape of their matrix: shape=(rows, columns)"
        )
    return None


def _seen(array: Any) -> Any:
    """Return what stands for an array into which traced values were stored; others as they are."""
    look = functions.get("seen")  # of gates, if they are loaded
    return array if look is None else look(array)


def _of_scipy(a: Any, what: str) -> SparseMatrix:
    """Read a matrix of SciPy's."""
    if len(a.shape) != 2:
        raise ValueError(f"{what}: a sparse operand must have two axes; its shape is {a.shape}")
    if a.format not in ("csr", "csc"):
        data = getattr(a, "data", None)
        if _seen(data) is not data:
            raise TracedArrayError(
                f"{what}: traced values were stored into a sparse matrix in the format {a.format!r}, "
                f"at {user_location()}. Make it by tg.sparse.csr(data, indices, indptr, shape)."
            )
        a = a.tocsr()
    data = _seen(a.data)
    check_operand(data, what)
    return SparseMatrix(data, a.indices, a.indptr, a.shape, a.format == "csc")


def _dense_operand(x: Any, what: str) -> Any:
    if is_sparse(x) or isinstance(x, SparseMatrix):
        raise TypeError(f"{what}: one operand must be dense; both are sparse")
    check_operand(x, what)
    x = as_tensor(x)
    if x.ndim not in (1, 2):
        raise ValueError(
            f"{what}: the dense operand must have one axis or two; its shape is {x.shape}"
        )
    return x


def _refuse_dense(what: str, instead: str, *operands: Any) -> TypeError:
    shapes = " and ".join(str(np.shape(a)) for a in operands)
    return TypeError(
        f"{what}: no operand is sparse; got shape {shapes}. Pass a sparse matrix of "
        f"SciPy's, tg.sparse.csr(...), or (data, indices, indptr) with shape=; for dense matrices "
        f"there is {instead}"
    )


def _params(a: SparseMatrix) -> tuple[tuple[int, int], bool]:
    """Return the shape of what is compressed along its first axis, and whether it is transposed."""
    rows, columns = map(integer, a.shape)  # arguments of compiled functions are traced numbers
    return ((columns, rows) if a.by_columns else (rows, columns)), bool(a.by_columns)


# Products and solutions --------------------------------------------------------------------------


@implements("sparse_matmul")
def matmul(a: Any, b: Any, *, shape: tuple[int, int] | None = None) -> Array:
    """Multiply a sparse matrix and a dense operand, in either order.

    Parameters
    ----------
    a, b
        One of them is sparse: a matrix or array of SciPy's, which is constant; a
        :class:`SparseMatrix`; or ``(data, indices, indptr)``, as for :func:`csr`. The other is dense,
        with one axis or two.
    shape : tuple of int, optional
        Of the matrix, if it is given by three arrays.

    Returns
    -------
    Tensor
        Derivatives flow to the dense operand, and to `data`.

    Raises
    ------
    ValueError
        If the shapes do not fit, or an index is out of bounds.
    TypeError
        If both operands are dense, or both sparse.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.sparse.matmul(([2.0, 3.0], [0, 2], [0, 1, 2]), [1.0, 1.0, 1.0], shape=(2, 3))
    Tensor([2., 3.])
    """
    left = _sparse_operand(a, shape, "matmul")
    if left is not None:
        return _times(left, b)
    right = _sparse_operand(b, shape, "matmul")
    if right is None:
        raise _refuse_dense("matmul", "np.matmul", a, b)
    x = _dense_operand(a, "matmul")
    if x.shape[-1] != right.shape[0]:
        raise ValueError(
            f"matmul: shapes {x.shape} and {right.shape} do not fit: the dense operand has "
            f"{x.shape[-1]} columns, and the sparse matrix {right.shape[0]} rows"
        )
    return np.transpose(_times(right.T, np.transpose(x)))


def _times(a: SparseMatrix, x: Any) -> Any:
    x = _dense_operand(x, "matmul")
    if x.shape[0] != a.shape[1]:
        raise ValueError(
            f"matmul: shapes {a.shape} and {x.shape} do not fit: the sparse matrix has "
            f"{a.shape[1]} columns, and the dense operand {x.shape[0]} rows"
        )
    shape, transposed = _params(a)
    columns = np.expand_dims(x, 1) if x.ndim == 1 else x
    y = apply(
        csr_matmul_p,
        (a.data, columns, a.indices, a.indptr),
        {"shape": shape, "transposed": transposed},
    )
    return y[:, 0] if x.ndim == 1 else y


@implements("sparse_solve")
def spsolve(a: Any, b: ArrayLike, *, shape: tuple[int, int] | None = None) -> Array:
    """Solve a sparse system of linear equations, by SciPy.

    Parameters
    ----------
    a
        A square sparse matrix, as for :func:`matmul`.
    b : array_like
        A right-hand side, or several as the columns of a matrix.
    shape : tuple of int, optional
        Of the matrix, if it is given by three arrays.

    Returns
    -------
    Tensor
        Of the shape of `b`. Derivatives flow to `b`, and to `data`, by a system with the transposed
        matrix.

    Raises
    ------
    ValueError
        If the matrix is not square, or `b` does not fit.
    TypeError
        If `a` is dense.
    ImportError
        Without SciPy, the extra ``sparse``.

    Notes
    -----
    Of a singular matrix SciPy warns, and the result is nan.

    Examples
    --------
    With SciPy installed::

        a = tg.sparse.csr([2.0, 4.0], [0, 1], [0, 1, 2], (2, 2))
        tg.sparse.spsolve(a, [1.0, 1.0])    # Tensor([0.5 , 0.25])
    """
    matrix = _sparse_operand(a, shape, "spsolve")
    if matrix is None:
        raise _refuse_dense("spsolve", "np.linalg.solve", a)
    rows, columns = matrix.shape
    if rows != columns:
        raise ValueError(f"spsolve: the matrix must be square; its shape is {matrix.shape}")
    x = _dense_operand(b, "spsolve")
    if x.shape[0] != rows:
        raise ValueError(
            f"spsolve: shapes {matrix.shape} and {x.shape} do not fit: there are {rows} equations, "
            f"and the right-hand side has {x.shape[0]} rows"
        )
    _, transposed = _params(matrix)
    right = np.expand_dims(x, 1) if x.ndim == 1 else x
    places = matrix.indices, matrix.indptr
    y = apply(spsolve_p, (matrix.data, right, *places), {"transposed": transposed})
    return y[:, 0] if x.ndim == 1 else y
