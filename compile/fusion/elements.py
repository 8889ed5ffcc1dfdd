"""Elements: what one entry does to one element, as an expression.

The text of a primitive is an expression in ``x``, ``y``, ``z``. Its operands are cast to the dtypes in
which NumPy's own loop would compute.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Expression, calls, parse
from tapegrad.compile.backends.interface import current
from tapegrad.compile.passes.reductions import reduction_of
from tapegrad.compile.passes.windows import windows_of
from tapegrad.tape.core.node import Node

__all__ = [
    "can_lower",
    "expression_of",
    "gains_alone",
    "text_of",
    "typed_expression_of",
]

DTypes = tuple[np.dtype[Any], ...]


def can_lower(entry: Node, weak: Any) -> bool:
    """Whether an entry can be part of a kernel, and vectorises there."""
    if entry.primitive.windows is not None:
        known = all(map(_is_known, (*entry.operands, entry)))
        casts = (np.can_cast(_dtype_of(o), entry.dtype, "same_kind") for o in entry.operands)
        return known and all(casts) and windows_of(entry) is not None
    if entry.primitive.family != "reduction":
        return expression_of(entry, weak) is not None
    how = reduction_of(entry)
    if how is None or not current().combines(how.combine):
        return False
    results = {how.each: entry.dtype, how.finish: entry.dtype, how.safe or "True": np.dtype(bool)}
    parts = (_parsed(text, (entry.dtype,), dtype, current()) for text, dtype in results.items())  # type: ignore[arg-type]
    return all(part is not None for part in parts)


def expression_of(entry: Node, weak: Any) -> Expression | None:
    """Return what an elementwise entry computes of ``x``, ``y``, ``z``, or None if kernels cannot."""
    return typed_expression_of(entry, weak)[0]


def typed_expression_of(entry: Node, weak: Any) -> tuple[Expression | None, DTypes]:
    """Return the expression, and the dtypes of its operands."""
    dtypes = _loop_dtypes(entry, weak) if entry.primitive.kernel is not None else None
    if dtypes is None:
        return None, ()
    return _parsed(entry.primitive.kernel, dtypes, entry.dtype, current()), dtypes  # type: ignore[arg-type]


def text_of(text: str, dtype: np.dtype[Any], result: np.dtype[Any] | None = None) -> Expression:
    """Return the expression of a text in ``x`` that a reduction is declared with."""
    expression = _parsed(text, (dtype,), result or dtype, current())  # type: ignore[arg-type]
    assert expression is not None
    return expression


@cache
def _parsed(text: str, dtypes: DTypes, dtype: np.dtype[Any], backend: Any) -> Expression | None:
    """Return the expression of a text, or None if a back end cannot compute it."""
    if not all(d in backend.DTYPES for d in (*dtypes, dtype)):
        return None
    expression = parse(text, dtypes, dtype)
    return expression if all(map(backend.supports, calls(expression))) else None


def gains_alone(entry: Node, weak: Any) -> bool:
    """Whether an entry is worth a kernel of its own: NumPy's loop for it is slow."""
    expression = expression_of(entry, weak)
    return expression is not None and any(map(current().gains, calls(expression)))


# Dtypes ------------------------------------------------------------------------------------------


def _loop_dtypes(entry: Node, weak: Any) -> DTypes | None:
    """Return the dtypes in which the operands of an elementwise entry are computed with, or None."""
    primitive, operands = entry.primitive, entry.operands
    if primitive.family != "elementwise" or not all(map(_is_known, operands)):
        return None
    if primitive.ufunc is None:
        return tuple(_dtype_of(o) for o in operands)
    if entry.params:
        return None
    dtypes = _resolved(primitive.ufunc, tuple(_as_promoted(o, weak) for o in operands))
    if dtypes is None or not all(_fits(o, d, weak) for o, d in zip(operands, dtypes)):
        return None
    return dtypes


def _is_known(operand: Any) -> bool:
    """Whether kernels can take an operand as it is."""
    return _is_python(operand) or getattr(operand, "dtype", None) in current().DTYPES


def _is_python(operand: Any) -> bool:
    return type(operand) in (float, int, bool)


def _dtype_of(operand: Any) -> np.dtype[Any]:
    return np.asarray(operand).dtype if _is_python(operand) else operand.dtype  # type: ignore[no-any-return]


def _as_promoted(operand: Any, weak: Any) -> Any:
    """Return how NumPy's promotion sees an operand: a dtype, or a Python type for weak ones."""
    if type(operand) is Node and operand in weak:
        return float if operand.dtype.kind == "f" else int
    if _is_python(operand):
        return np.dtype(bool) if type(operand) is bool else type(operand)
    return operand.dtype


@cache
def _resolved(ufunc: np.ufunc, promoted: tuple[Any, ...]) -> DTypes | None:
    try:
        dtypes = ufunc.resolve_dtypes((*promoted, None))[:-1]
    except TypeError:
        return None
    # NumPy compares two of Python's integers as objects; those in kernels have 64 bits.
    return tuple(np.dtype(np.int64) if d.kind == "O" else d for d in dtypes)


def _fits(operand: Any, dtype: np.dtype[Any], weak: Any) -> bool:
    """Whether a Python integer is the same number in `dtype`: NumPy compares with it exactly."""
    if dtype.kind not in "iu":
        return True
    if type(operand) is int:
        return bool(np.iinfo(dtype).min <= operand <= np.iinfo(dtype).max)
    return type(operand) is not Node or operand not in weak or dtype == np.int64
