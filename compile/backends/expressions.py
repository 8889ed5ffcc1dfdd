"""Expressions: what a kernel computes for one element, as trees in which every dtype is explicit.

A tree is made of names, constants, casts, and calls of functions by NumPy's names. The text of a
primitive is parsed once; its numbers take the dtype that they meet, and no back end has to infer any.

>>> import numpy as np
>>> from tapegrad.compile.backends.expressions import evaluate, parse
>>> tree = parse("1 / (1 + exp(-x))", (np.dtype("f4"),), np.dtype("f4"))
>>> evaluate(tree, {"x": np.float32(0)})
np.float32(0.5)
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "Call", "Cast", "Constant", "Expression", "Name", "calls", "cast", "evaluate", "names", "parse",
    "substitute",
]  # fmt: skip

DType: TypeAlias = "np.dtype[Any]"

_BOOL = np.dtype(bool)


@dataclass(frozen=True, slots=True)
class Name:
    """A value that has a name in the kernel."""

    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that is part of the kernel."""

    value: float | int | bool
    dtype: DType


@dataclass(frozen=True, slots=True)
class Cast:
    """A value in another dtype; as a boolean, whether it is not zero."""

    operand: Expression
    dtype: DType


@dataclass(frozen=True, slots=True)
class Call:
    """A function of values.

    Attributes
    ----------
    function : str
        What NumPy calls it: a ufunc, or ``where``, which must not evaluate more than it needs.
    arguments : tuple of Expression
    dtype : numpy.dtype
        Of the result.
    loose : bool
        Whether a loop may take this call in any order with its like, as the sums of a vectorised loop
        are. All other calls are rounded one by one, and no two are contracted to one.
    """

    function: str
    arguments: tuple[Expression, ...]
    dtype: DType
    loose: bool = False


Expression: TypeAlias = Name | Constant | Cast | Call


def cast(expression: Expression, dtype: DType) -> Expression:
    """Return an expression in another dtype."""
    if expression.dtype == dtype:
        return expression
    if type(expression) is Constant:
        return Constant(np.asarray(expression.value).astype(dtype).item(), dtype)
    return Cast(expression, dtype)


def parts(expression: Expression) -> tuple[Expression, ...]:
    """Return what an expression is directly made of."""
    if type(expression) is Call:
        return expression.arguments
    return (expression.operand,) if type(expression) is Cast else ()


def _nodes(expression: Expression) -> Iterator[Expression]:
    yield expression
    for part in parts(expression):
        yield from _nodes(part)


def names(expression: Expression) -> tuple[str, ...]:
    """Return the names in an expression, each once, in order."""
    return tuple(dict.fromkeys(n.name for n in _nodes(expression) if type(n) is Name))


def calls(expression: Expression) -> tuple[Call, ...]:
    """Return the calls in an expression."""
    return tuple(node for node in _nodes(expression) if type(node) is Call)


def substitute(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    """Return an expression with other expressions of the same dtypes in place of names."""
    if type(expression) is Name:
        return values.get(expression.name, expression)
    if type(expression) is Cast:
        return cast(substitute(expression.operand, values), expression.dtype)
    if type(expression) is Call:
        return replace(
            expression, arguments=tuple(substitute(a, values) for a in expression.arguments)
        )
    return expression


def evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Return the value of an expression by NumPy, for numbers or arrays that have the names' dtypes."""
    if type(expression) is Name:
        return values[expression.name]
    if type(expression) is Constant:
        return expression.dtype.type(expression.value)
    arguments = [evaluate(part, values) for part in parts(expression)]
    if type(expression) is Cast:
        return np.asarray(arguments[0]).astype(expression.dtype)[()]
    assert type(expression) is Call
    function: Callable[..., Any] = getattr(np, expression.function)
    return np.asarray(function(*arguments)).astype(expression.dtype, copy=False)[()]


# Reading -----------------------------------------------------------------------------------------

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
    ast.Pow: "power", ast.FloorDiv: "floor_divide", ast.Mod: "remainder",
    ast.BitAnd: "bitwise_and", ast.BitOr: "bitwise_or", ast.BitXor: "bitwise_xor",
    ast.LShift: "left_shift", ast.RShift: "right_shift",
    ast.And: "logical_and", ast.Or: "logical_or", ast.Not: "logical_not",
    ast.Gt: "greater", ast.GtE: "greater_equal", ast.Lt: "less", ast.LtE: "less_equal",
    ast.Eq: "equal", ast.NotEq: "not_equal",
}  # fmt: skip
_BUILTINS = {"abs": "absolute", "max": "maximum", "min": "minimum"}
_NUMBERS = {"inf": math.inf, "nan": math.nan, "pi": math.pi}

_LOGICAL = frozenset({"logical_and", "logical_or", "logical_xor", "logical_not"})
#: Functions whose result is a truth value, whatever their operands are.
PREDICATES = _LOGICAL | {
    "greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "isnan", "isinf",
    "isfinite", "signbit",
}  # fmt: skip


@cache
def parse(text: str, operands: tuple[DType, ...], dtype: DType) -> Expression:
    """Return the tree of a primitive's text.

    Parameters
    ----------
    text : str
        A Python expression in ``x``, ``y``, ``z``, with functions by NumPy's names.
    operands : tuple of numpy.dtype
        The dtypes of ``x``, ``y``, ``z``.
    dtype : numpy.dtype
        Of the result. Arithmetic is done in it; what is compared is so in a dtype of its own.
    """
    return _Reader(dict(zip("xyz", operands))).expression(ast.parse(text, mode="eval").body, dtype)


class _Reader:
    """Turns syntax into expressions of a wanted dtype."""

    def __init__(self, operands: dict[str, DType]) -> None:
        self.operands = operands

    def expression(self, node: ast.expr, dtype: DType) -> Expression:
        if isinstance(node, ast.Constant):
            return self._number(node.value, dtype)
        if isinstance(node, ast.Name):
            if node.id in self.operands:
                return cast(Name(node.id, self.operands[node.id]), dtype)
            return self._number(_NUMBERS[node.id], dtype)
        function, arguments = self._application(node)
        number = getattr(arguments[0], "value", None) if function == "negative" else None
        if isinstance(number, int | float) and number:  # of two equal zeros one is a constant
            return self._number(-number, dtype)
        if function in PREDICATES:
            own = _BOOL if function in _LOGICAL else self._common(arguments)
            made = tuple(self.expression(a, own) for a in arguments)
            return cast(Call(function, made, _BOOL), dtype)
        wanted = [dtype] * len(arguments)
        if function == "where":
            wanted[0] = _BOOL
        made = tuple(self.expression(a, d) for a, d in zip(arguments, wanted))
        return Call(function, made, dtype)

    @staticmethod
    def _number(value: Any, dtype: DType) -> Constant:
        return Constant(np.asarray(value).astype(dtype).item(), dtype)

    @staticmethod
    def _application(node: ast.expr) -> tuple[str, list[ast.expr]]:
        """Return the function that a piece of syntax applies, and to what."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return _BUILTINS.get(node.func.id, node.func.id), node.args
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)], [node.left, node.right]
        if isinstance(node, ast.BoolOp) and len(node.values) == 2:
            return _OPERATORS[type(node.op)], node.values
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return _OPERATORS[type(node.ops[0])], [node.left, node.comparators[0]]
        if isinstance(node, ast.IfExp):
            return "where", [node.test, node.body, node.orelse]
        if isinstance(node, ast.UnaryOp):
            names = {ast.USub: "negative", ast.Not: "logical_not", ast.Invert: "invert"}
            return names[type(node.op)], [node.operand]
        raise SyntaxError(f"a kernel cannot be made of {ast.unparse(node)!r}")

    def _common(self, nodes: list[ast.expr]) -> DType:
        """Return the dtype in which operands are compared: that of what they are made of."""
        found = [
            self.operands[n.id]
            for node in nodes
            for n in ast.walk(node)
            if isinstance(n, ast.Name) and n.id in self.operands
        ]
        return np.result_type(*found) if found else np.dtype(float)
