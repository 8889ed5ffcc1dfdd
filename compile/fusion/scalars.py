"""Scalar code: what one entry does to one element, as kernel text.

The text of a primitive is an expression in ``x``, ``y``, ``z``; here its names become the values of
the kernel and its functions those of ``vecmath``. Operands are cast to the dtype in which NumPy's own
loop would compute.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

import numpy as np

from tapegrad.compile.backends.numba.vecmath import LIMITS, NAMES
from tapegrad.compile.passes.expansions import is_norm_of_rows
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive

__all__ = [
    "NUMBA_NAMES",
    "REDUCTIONS",
    "can_lower",
    "expression",
    "functions_of",
    "functions_of_norm",
    "gains_alone",
    "limit_of",
    "loop_dtypes",
    "power_text",
    "root_text",
]

#: What kernels compute with.
_DTYPES = frozenset(np.dtype(c) for c in "?bhilqBHIfd")

#: How Numba calls them.
NUMBA_NAMES = {
    np.dtype(c): n
    for c, n in {
        "?": "boolean", "b": "int8", "h": "int16", "i": "int32", "l": "int64", "q": "int64",
        "B": "uint8", "H": "uint16", "I": "uint32", "f": "float32", "d": "float64",
    }.items()
}  # fmt: skip

#: Functions that need no vector mathematics, as Python text.
_INLINE = {
    "abs": "abs({0})",
    "where": "({1} if {0} else {2})",
    "isnan": "({0} != {0})",
    "isinf": "(abs({0}) == inf)",
    "isfinite": "(abs({0}) < inf)",
    "logical_and": "(({0} != 0) & ({1} != 0))",
    "logical_or": "(({0} != 0) | ({1} != 0))",
    "logical_xor": "(({0} != 0) != ({1} != 0))",
    "logical_not": "({0} == 0)",
    "deg2rad": "({0} * 0.017453292519943295)",
    "rad2deg": "({0} * 57.29577951308232)",
    "cast": "{0}",
}

#: Functions that become one machine instruction.
_INTRINSICS = frozenset(
    {"maximum", "minimum", "fmax", "fmin", "copysign", "rint", "floor", "ceil", "trunc"}
)

#: Reductions: start value and how two values are combined.
REDUCTIONS = {
    "sum": ("0", "add_reassoc"),
    "prod": ("1", "mul_reassoc"),
    "max": ("-inf", "maximum"),
    "min": ("inf", "minimum"),
    "vector_norm": ("0", "add_reassoc"),
}


@cache
def functions_of(kernel: str) -> frozenset[str]:
    """Return the names of the functions that a kernel text calls."""
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(kernel, mode="eval"))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    if any(isinstance(node, ast.Pow) for node in ast.walk(ast.parse(kernel, mode="eval"))):
        calls.add("power")
    return frozenset(calls)


@cache
def _operators_of(kernel: str) -> frozenset[type]:
    return frozenset(type(node) for node in ast.walk(ast.parse(kernel, mode="eval")))


def _weak_type(operand: Any, weak: Any) -> Any:
    """Return how NumPy's promotion sees an operand: a dtype, or a Python type for weak ones."""
    if type(operand) is Node:
        if operand in weak:
            return float if operand.dtype.kind == "f" else int
        return operand.dtype
    if type(operand) in (float, int, bool):
        return np.dtype(bool) if type(operand) is bool else type(operand)
    return operand.dtype


@cache
def _resolved(ufunc: np.ufunc, given: tuple[Any, ...]) -> tuple[np.dtype[Any], ...] | None:
    try:
        return ufunc.resolve_dtypes((*given, None))[:-1]
    except TypeError:
        return None


def loop_dtypes(entry: Node, weak: Any) -> tuple[np.dtype[Any], ...] | None:
    """Return the dtypes in which the operands of an elementwise entry are computed with."""
    primitive, out = entry.primitive, entry.dtype
    if primitive.name == "where":
        return (np.dtype(bool), out, out)
    if primitive.name == "cast":
        return (_weak_or_own(entry.operands[0]),)
    if primitive.ufunc is None:
        return (out,) * len(entry.operands)
    if entry.params:
        return None
    return _resolved(primitive.ufunc, tuple(_weak_type(o, weak) for o in entry.operands))


def _weak_or_own(operand: Any) -> np.dtype[Any]:
    return operand.dtype if hasattr(operand, "dtype") else np.asarray(operand).dtype


def can_lower(entry: Node, weak: Any) -> bool:
    """Whether an entry can be part of a kernel, and its text vectorises there."""
    primitive = entry.primitive
    if not all(_supported(o) for o in (*entry.operands, entry)):
        return False
    if primitive.family == "reduction":
        return _can_reduce(entry)
    if primitive.family != "elementwise" or primitive.kernel is None:
        return False
    dtypes = loop_dtypes(entry, weak)
    if dtypes is None or not all(d in _DTYPES for d in dtypes):
        return False
    if not all(_fits(o, d, weak) for o, d in zip(entry.operands, dtypes)):
        return False
    return _text_is_safe(primitive, dtypes, entry.dtype)


def _fits(operand: Any, dtype: np.dtype[Any], weak: Any) -> bool:
    """Whether a Python integer is the same number in `dtype`: NumPy compares with it exactly."""
    if dtype.kind not in "iu":
        return True
    if type(operand) is int:
        return bool(np.iinfo(dtype).min <= operand <= np.iinfo(dtype).max)
    return type(operand) is not Node or operand not in weak or dtype == np.int64


def _supported(operand: Any) -> bool:
    if type(operand) in (float, int, bool):
        return True
    return operand.dtype in _DTYPES


def _can_reduce(entry: Node) -> bool:
    operand, out = entry.operands[0], entry
    if entry.primitive.name not in REDUCTIONS or type(operand) is not Node:
        return False
    if entry.primitive.name == "vector_norm" and not is_norm_of_rows(entry):
        return False
    same = operand.dtype == out.dtype and out.dtype.kind == "f"
    return same and 0 not in operand.shape and len(entry.params["axis"]) > 0


def power_text(value: str, ord: float, suffix: str) -> str:
    """Return the text of ``abs(value) ** ord``."""
    if ord == 1:
        return f"abs({value})"
    if ord == 2:
        return f"{value} * {value}"
    if ord == 3:
        return f"abs({value}) * ({value} * {value})"
    if ord == 4:
        return f"({value} * {value}) * ({value} * {value})"
    return f"power_{suffix}(abs({value}), {_number(ord, suffix)})"


def root_text(value: str, ord: float, suffix: str) -> str:
    """Return the text of ``value ** (1 / ord)``."""
    if ord in (1, 2, 3):
        return (value, f"sqrt_{suffix}({value})", f"cbrt_{suffix}({value})")[int(ord) - 1]
    return f"power_{suffix}({value}, {_number(1.0 / ord, suffix)})"


def functions_of_norm(ord: float) -> set[str]:
    """Return the names of the functions in the texts above."""
    names = {1.0: "", 2.0: "sqrt", 3.0: "cbrt"}
    return {names.get(ord, "power")} - {""}


def _number(x: float, suffix: str) -> str:
    return f"float32({x!r})" if suffix == "f32" else repr(x)


def _text_is_safe(
    primitive: Primitive, dtypes: tuple[np.dtype[Any], ...], out: np.dtype[Any]
) -> bool:
    """Whether the text means on machine numbers what NumPy's loop does."""
    assert primitive.kernel is not None
    operators = _operators_of(primitive.kernel)
    if operators & {ast.FloorDiv, ast.Mod, ast.LShift, ast.RShift}:
        return False  # machine shifts do not go further than the word
    booleans = any(d == np.dtype(bool) for d in dtypes)
    if booleans and (
        (ast.Add in operators and out.kind == "b") or functions_of(primitive.kernel) & _INTRINSICS
    ):
        return False
    integers = any(d.kind in "iu" for d in dtypes)
    for name in functions_of(primitive.kernel):
        if name in _INLINE:
            continue
        if integers or not (name in _INTRINSICS or name in NAMES):
            return False
    if integers and out.kind in "iu":
        # Wrap-around of small integers is not what Numba's integers do.
        return out.itemsize == 8 and not operators & {ast.Div, ast.Pow}
    if integers and ast.Div in operators:
        return False
    return not booleans or not operators & {ast.Sub, ast.USub}


def gains_alone(entry: Node) -> bool:
    """Whether an entry is worth a kernel of its own: NumPy's loop for it is slow."""
    primitive = entry.primitive
    if primitive.kernel is None:
        return False
    return bool(functions_of(primitive.kernel) & NAMES - {"sqrt", "square", "reciprocal"})


def limit_of(entry: Node, dtypes: tuple[np.dtype[Any], ...]) -> float | None:
    """Return the magnitude up to which the vectorising form of an entry is right, or None."""
    if entry.primitive.family == "reduction" or entry.primitive.kernel is None:
        return None
    limits = [
        LIMITS[name, dtypes[0].name]
        for name in functions_of(entry.primitive.kernel)
        if (name, dtypes[0].name) in LIMITS
    ]
    return min(limits) if limits else None


class _Renamer(ast.NodeTransformer):
    """Replaces operand names and function calls in a kernel text."""

    def __init__(self, operands: dict[str, str], suffix: str) -> None:
        self.operands = operands
        self.suffix = suffix
        self.used: set[tuple[str, str]] = set()

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.operands.get(node.id, node.id), node.ctx)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.Pow):
            return self._call("power", [node.left, node.right])
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        assert isinstance(node.func, ast.Name)
        return self._call(node.func.id, node.args)

    def _call(self, name: str, args: list[ast.expr]) -> ast.AST:
        done = [self.visit(a) for a in args]
        if name in _INLINE:
            text = _INLINE[name].format(*(ast.unparse(a) for a in done))
            return ast.parse(text, mode="eval").body
        if name in _INTRINSICS:
            self.used.add((name, ""))
            return ast.Call(ast.Name(name, ast.Load()), done, [])
        self.used.add((name, self.suffix))
        return ast.Call(ast.Name(f"{name}_{self.suffix}", ast.Load()), done, [])


def expression(
    primitive: Primitive, operands: list[str], dtype: np.dtype[Any]
) -> tuple[str, set[tuple[str, str]]]:
    """Return the text of an elementwise primitive for named operands.

    Returns
    -------
    text : str
    functions : set of (name, suffix)
        What the kernel must know: intrinsics with an empty suffix, mathematics with that of the dtype.
    """
    assert primitive.kernel is not None
    suffix = "f32" if dtype == np.float32 else "f64"
    renamer = _Renamer(dict(zip("xyz", operands)), suffix)
    tree = renamer.visit(ast.parse(primitive.kernel, mode="eval").body)
    return ast.unparse(ast.fix_missing_locations(tree)), renamer.used
