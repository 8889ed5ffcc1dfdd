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

__all__ = ["attribute_of", "product", "read_sparse", "recorded"]

#: Formats whose arrays can be read where they lie; others must be converted, which C does.
_READ = ("csr", "csc")
_ARRAYS = ("data", "indices", "indptr")


def _is_ours(value: Any) -> bool:
    """Whether a value is a sparse matrix of this library."""
    return type(value) is functions.get("sparse_matrix")


def product(gate: Any, a: Any, b: Any, symbol: str) -> Thunk | None:
    """Answer to ``a @ b``, or ``*`` of SciPy's older matrices, where one is sparse and one traced."""
    if symbol not in ("@", "*"):
        return None
    for sparse, dense in ((a, b), (b, a)):
        if _multiplies(sparse, dense, symbol):
            seen = gate.sparse_operand(sparse)
            operands = (seen, b) if sparse is a else (a, seen)
            return partial(functions["sparse_matmul"], *operands)
    return None


def _multiplies(sparse: Any, dense: Any, symbol: str) -> bool:
    if _is_ours(sparse):
        return symbol == "@"
    if not (isinstance(dense, Tensor) and is_sparse(sparse)):
        return False
    return symbol == "@" or bool(dense.shape and is_matrix(sparse))


def recorded(gate: Reads, matrix: Any) -> Any:
    """Return a sparse matrix of inputs in place of one from outside that a recording reads."""
    place = gate.ledger.place_of(matrix)
    if place is None:  # made by the run itself, of what it has read
        return matrix
    names = vars(matrix)

    def read(name: str) -> Any:
        return gate.ledger.whole(gate.ledger.outside(names[name], place.own(name)))

    if _is_ours(matrix):
        return type(matrix)(*map(read, names))
    if matrix.format not in _READ:
        gate.ledger.abandon(f"it converts {place}, a sparse matrix in the format {matrix.format!r}")
    if not names.keys() >= {*_ARRAYS, "_shape"}:
        gate.ledger.abandon(f"{place} is a sparse matrix that keeps its arrays elsewhere")
    return functions["sparse_matrix"](*map(read, (*_ARRAYS, "_shape")), matrix.format == "csc")


def attribute_of(gate: Reads, matrix: Any, name: str) -> Thunk | None:
    """Answer to an attribute of a sparse matrix; None where there is nothing special about it.

    The transposed one of SciPy's lies at a place of its own, so that its arrays, which are those of the
    matrix, are read anew in each call.
    """
    if _is_ours(matrix):
        return partial(getattr, recorded(gate, matrix), name)
    if name != "T" or not is_sparse(matrix) or (place := gate.ledger.place_of(matrix)) is None:
        return None
    return constant(gate.ledger.outside(matrix.T, place.inside("T")))


def read_sparse(
    gate: Reads, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ours: bool
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return what a recording calls for a function of SciPy's sparse matrices, and with what.

    Inputs stand in place of the arrays of those from outside.
    """
    given = (*args, *kwargs.values())
    if type(function) is not FunctionType or not any(map(is_sparse, given)):
        return function, args, kwargs
    if not ours:
        found = replacement_of(function)
        if found is None:
            return function, args, kwargs
        if not holds_tensor(given):
            gate.ledger.abandon(f"it calls {function.__name__} of sparse matrices alone")
        function = found.function
    read = [recorded(gate, a) if is_sparse(a) else a for a in given]
    return function, tuple(read[: len(args)]), dict(zip(kwargs, read[len(args) :]))
