"""Sparse matrices of SciPy's as operands in the user's code: what gates do about them."""

from __future__ import annotations

from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tapegrad.tape.array.replacements import holds_tensor, replacement_of
from tapegrad.tape.array.scipy_sparse import is_matrix, is_sparse
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.python.thunks import Thunk, constant

if TYPE_CHECKING:
    from tapegrad.tape.python.reads import Reads

__all__ = ["product", "read_sparse", "recorded", "transposed"]

#: Formats whose arrays can be read where they lie; others must be converted, which C does.
_READ = ("csr", "csc")
_ARRAYS = ("data", "indices", "indptr")


def product(gate: Any, a: Any, b: Any, symbol: str) -> Thunk | None:
    """Answer to ``a @ b``, or ``*`` of the older matrices, of a sparse matrix and a traced value."""
    if symbol not in ("@", "*"):
        return None
    for sparse, dense in ((a, b), (b, a)):
        if not (isinstance(dense, Tensor) and is_sparse(sparse)):
            continue
        if symbol == "@" or (dense.shape and is_matrix(sparse)):
            seen = gate.sparse_operand(sparse)
            operands = (seen, b) if sparse is a else (a, seen)
            return partial(functions["sparse_matmul"], *operands)
    return None


def recorded(gate: Reads, matrix: Any) -> Any:
    """Return a sparse matrix of inputs in place of one from outside that a recording reads."""
    place = gate.ledger.place_of(matrix)
    if place is None:  # made by the run itself, of what it has read
        return matrix
    if matrix.format not in _READ:
        gate.ledger.abandon(f"it converts {place}, a sparse matrix in the format {matrix.format!r}")
    names = vars(matrix)
    if not all(name in names for name in (*_ARRAYS, "_shape")):
        gate.ledger.abandon(f"{place} is a sparse matrix that keeps its arrays elsewhere")
    parts = [gate.ledger.outside(names[name], place.own(name)) for name in _ARRAYS]
    shape = gate.ledger.whole(gate.ledger.outside(names["_shape"], place.own("_shape")))
    return functions["sparse_matrix"](*parts, shape, matrix.format == "csc")


def transposed(gate: Reads, matrix: Any) -> Thunk | None:
    """Answer to ``matrix.T`` of a sparse matrix from outside; None of anything else.

    What it gives lies at a place of its own, so that its arrays, which are those of the matrix, are
    read anew in each call.
    """
    if not is_sparse(matrix) or (place := gate.ledger.place_of(matrix)) is None:
        return None
    return constant(gate.ledger.outside(matrix.T, place.inside("T")))


def read_sparse(
    gate: Reads, function: Any, args: tuple[Any, ...], ours: bool
) -> tuple[Any, tuple[Any, ...]]:
    """Return what a recording calls for a function of sparse matrices, and with what.

    Inputs stand in place of the arrays of those from outside.
    """
    if type(function) is not FunctionType or not any(map(is_sparse, args)):
        return function, args
    if not ours:
        found = replacement_of(function)
        if found is None:
            return function, args
        if not holds_tensor(args):
            gate.ledger.abandon(f"it calls {function.__name__} of sparse matrices alone")
        function = found.function
    return function, tuple([recorded(gate, a) if is_sparse(a) else a for a in args])
