"""Python's operators by the symbols that gates are asked with: as functions, and their methods."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

__all__ = [
    "BINARY",
    "COMPARE",
    "COMPARE_METHODS",
    "CONVERT",
    "METHODS",
    "UNARY",
    "UNARY_METHODS",
    "words",
]

#: Binary operators, and what their methods are called between the underscores.
METHODS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "@": "matmul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "**": "pow",
    "<<": "lshift",
    ">>": "rshift",
    "&": "and",
    "|": "or",
    "^": "xor",
}
_PLAIN_NAMES = {"and": "and_", "or": "or_"}
#: Binary operators and the in-place ones ("+="), as functions.
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    **{s: getattr(operator, _PLAIN_NAMES.get(n, n)) for s, n in METHODS.items()},
    **{s + "=": getattr(operator, "i" + n) for s, n in METHODS.items()},
}
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
}
COMPARE_METHODS = {
    "<": ("__lt__", "__gt__"),
    "<=": ("__le__", "__ge__"),
    "==": ("__eq__", "__eq__"),
    "!=": ("__ne__", "__ne__"),
    ">": ("__gt__", "__lt__"),
    ">=": ("__ge__", "__le__"),
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
}
UNARY_METHODS = {"-": "__neg__", "+": "__pos__", "~": "__invert__"}
CONVERT: dict[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}


def words(text: str) -> frozenset[str]:
    """Return the words of a text: how tables of names are written."""
    return frozenset(text.split())
