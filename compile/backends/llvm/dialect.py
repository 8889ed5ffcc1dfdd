"""Numba's dialect: how expressions are written as the source of a kernel.

What NumPy calls ``exp`` is ``exp_f64`` or ``exp_f32`` here, a function of ``vecmath``; arithmetic is
Python's, and a few functions are single instructions. Nothing here needs Numba to be installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Call, Cast, Constant, Expression, Name
from tapegrad.compile.backends.llvm.vecmath import LIMITS, NAMES

__all__ = [
    "TYPES",
    "ExpressionWriter",
    "combines",
    "gains",
    "is_dear",
    "limit_of",
    "number",
    "supports",
]

#: How Numba calls the dtypes that kernels compute with.
TYPES = {
    np.dtype(code): name
    for code, name in {
        "?": "boolean", "b": "int8", "h": "int16", "i": "int32", "l": "int64", "q": "int64",
        "B": "uint8", "H": "uint16", "I": "uint32",
        "f": "float32", "d": "float64",
    }.items()
}  # fmt: skip

_COMPARISONS = {
    "greater": "{} > {}", "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}",
    "equal": "{} == {}", "not_equal": "{} != {}", "isnan": "{0} != {0}",
}  # fmt: skip
_LOGIC = {
    "logical_and": "{} & {}", "logical_or": "{} | {}", "logical_xor": "{} != {}",
    "logical_not": "not {}",
}  # fmt: skip
_BITS = {"bitwise_and": "{} & {}", "bitwise_or": "{} | {}", "bitwise_xor": "{} ^ {}"}
_ARITHMETIC = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}",
    "negative": "-{}",
}  # fmt: skip
#: What is written with operators; an operand that is so too stands in parentheses.
_OPERATORS = {
    **_COMPARISONS, **_LOGIC, **_BITS, **_ARITHMETIC, "where": "{1} if {0} else {2}",
}  # fmt: skip
#: What is written as calls that do not depend on the dtype.
_CALLS = {"absolute": "abs({})", "isinf": "(abs({}) == inf)", "isfinite": "(abs({}) < inf)"}
#: Functions that become one machine instruction.
_INSTRUCTIONS = frozenset(
    {"maximum", "minimum", "fmax", "fmin", "copysign", "rint", "floor", "ceil", "trunc"}
)
#: How a call is written that may be taken in any order.
_LOOSE = {
    "add": "add_reassoc", "multiply": "mul_reassoc",
    **{name: name for name in ("maximum", "minimum", "fmax", "fmin")},
}  # fmt: skip

_LIMITS = {(name, np.dtype(dtype)): limit for (name, dtype), limit in LIMITS.items()}
_OF_FLOATS = frozenset({*_ARITHMETIC, *_CALLS, *_COMPARISONS, "where", *_INSTRUCTIONS, *NAMES})
#: Machine integers narrower than 64 bits would not wrap around as NumPy's.
_OF_INTEGERS = frozenset({"add", "subtract", "multiply", "negative", "absolute", "where", *_BITS})
_OF_BOOLEANS = frozenset({*_LOGIC, *_COMPARISONS, *_BITS, "multiply", "where"})


def supports(call: Call) -> bool:
    """Whether a call has a form that vectorises and means what NumPy's loop does."""
    dtype = call.arguments[-1].dtype
    if not all(e.dtype in TYPES for e in (call, *call.arguments)):
        return False
    if dtype.kind == "f":
        return call.function in _OF_FLOATS
    if dtype.kind == "b":
        return call.function in _OF_BOOLEANS
    if call.function in _COMPARISONS:
        return True
    return call.function in _OF_INTEGERS and dtype.itemsize == 8


def gains(call: Call) -> bool:
    """Whether a kernel is faster at a call than NumPy's own loop, with nothing to fuse it with."""
    return (is_dear(call) and call.function != "sqrt") or call.function in _INSTRUCTIONS


def combines(function: str) -> bool:
    """Whether a reduction can combine with a function of two numbers."""
    return function in _LOOSE


def is_dear(call: Call) -> bool:
    """Whether a call takes so long that its result is rather kept than computed again."""
    return call.function in NAMES and call.function not in {*_OPERATORS, *_CALLS, *_INSTRUCTIONS}


def limit_of(call: Call) -> float | None:
    """Return the magnitude of the argument up to which the vectorising form is right, or None."""
    return _LIMITS.get((call.function, call.dtype))


class ExpressionWriter:
    """Writes the expressions of one kernel.

    Parameters
    ----------
    local : callable
        Gives for the name of a value that of the variable which holds it.
    exact : bool
        Whether functions that are right only up to a limit are written in their exact form.

    Attributes
    ----------
    functions : set of (name, suffix)
        What the kernel must know: instructions with an empty suffix, functions of ``vecmath`` with that
        of their dtype.
    """

    def __init__(self, local: Callable[[str], str], exact: bool) -> None:
        self.local = local
        self.exact = exact
        self.functions: set[tuple[str, str]] = set()

    def __call__(self, expression: Expression) -> str:
        """Return the source of an expression."""
        if type(expression) is Name:
            return self.local(expression.name)
        if type(expression) is Constant:
            return number(expression.value, expression.dtype)
        if type(expression) is Cast:
            if expression.dtype.kind == "b":
                return f"{self._inside(expression.operand)} != 0"
            return f"{TYPES[expression.dtype]}({self(expression.operand)})"
        assert type(expression) is Call
        return self._call(expression)

    def _call(self, call: Call) -> str:
        function = call.function
        if call.loose and function in _LOOSE:
            return self.instruction(_LOOSE[function], *map(self, call.arguments))
        if function == "multiply" and call.dtype.kind == "b":
            function = "logical_and"
        if function in _OPERATORS:
            return _OPERATORS[function].format(*map(self._inside, call.arguments))
        arguments = [self(a) for a in call.arguments]
        if function in _CALLS:
            return _CALLS[function].format(*arguments)
        if function in _INSTRUCTIONS:
            return self.instruction(function, *arguments)
        if self.exact and limit_of(call) is not None:
            return f"np.{function}({', '.join(arguments)})"
        suffix = "f32" if call.dtype == np.float32 else "f64"
        self.functions.add((function, suffix))
        return f"{function}_{suffix}({', '.join(arguments)})"

    def instruction(self, name: str, *arguments: str) -> str:
        """Return the source of a function that is a single instruction."""
        self.functions.add((name, ""))
        return f"{name}({', '.join(arguments)})"

    def combine(self, function: str, total: str, value: str) -> str:
        """Return the source of one step of a reduction, which may be taken in any order."""
        return self.instruction(_LOOSE[function], total, value)

    def _inside(self, expression: Expression) -> str:
        text = self(expression)
        if type(expression) is Call and not expression.loose:
            return f"({text})" if expression.function in _OPERATORS else text
        if type(expression) is Cast and expression.dtype.kind == "b":
            return f"({text})"
        negative = type(expression) is Constant and text.startswith("-")
        return f"({text})" if negative else text


def number(value: Any, dtype: np.dtype[Any]) -> str:
    """Return the source of a constant."""
    if dtype.kind == "b":
        return str(bool(value))
    text = repr(float(value)) if dtype.kind == "f" else repr(int(value))
    return text if dtype in (np.float64, np.int64) else f"{TYPES[dtype]}({text})"
