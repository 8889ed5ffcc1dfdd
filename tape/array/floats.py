"""Tensors that stand for Python's floats: what ``float(x)`` and ``math.sin(x)`` give in traced code.

A Python float is weak in NumPy's promotion: a float32 array times a float is a float32 array. Between
Python's numbers, operators give floats and raise what Python raises. So these tensors are a class of
their own, which knows both; to traces they are tensors like any other.

>>> import numpy as np, tapegrad as tg
>>> s = as_float(tg.tensor(0.5) * 3.0)
>>> (s * np.ones(2, np.float32)).dtype, type(s * 2) is Float
(dtype('float32'), True)
>>> s / 0
Traceback (most recent call last):
ZeroDivisionError: float division by zero
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.application import apply
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.primitive import functions, primitives

__all__ = ["Float", "as_float", "check_outcome", "known_number", "sets_guards", "weakened"]


# The number behind a value -------------------------------------------------------------------------


def known_number(a: Any) -> Any:
    """Return the number that `a` stands for, without a trace of the look; None for many examples.

    What depends on the number needs a guard, see :func:`sets_guards`.
    """
    while isinstance(a, Tensor):
        if a.live_trace.appearance.hidden_axes:
            return None
        a = a.value
    return a.item() if isinstance(a, np.ndarray | np.generic) else a


def sets_guards(a: Any) -> bool:
    """Whether a later call may have another number in place of `a`, so that branches are noted."""
    while isinstance(a, Tensor):
        looks = a.live_trace.appearance
        if not looks.hidden_axes and looks.peek(a) is None:
            return True
        a = a.value
    return False


def check_outcome(result: Any, args: tuple[Any, ...]) -> None:
    """Note that Python raised nothing: with other numbers it would if the result were not finite."""
    if any(map(sets_guards, args)) and not bool(np.isfinite(result)):
        for a in args:
            if isinstance(a, Tensor):
                a.consume("float")


# The class -----------------------------------------------------------------------------------------


class Float(Tensor):
    """A tensor that stands for a Python float: without axes, in float64, weak in promotion."""

    __slots__ = ()

    @property
    def real(self) -> Any:
        """The number itself."""
        return self

    @property
    def imag(self) -> float:
        """Zero."""
        return 0.0

    def conjugate(self) -> Any:
        """Return the number itself."""
        return self

    def is_integer(self) -> bool:
        """Whether the number is whole; the outcome is consumed."""
        return bool(np.rint(self) == self)

    def as_integer_ratio(self) -> tuple[int, int]:
        """Return the number as a fraction; its value is consumed."""
        return float(self.consume("float")).as_integer_ratio()

    def hex(self) -> str:
        """Return the number in hexadecimal digits; its value is consumed."""
        return float(self.consume("float")).hex()

    def __hash__(self) -> int:
        return hash(self.consume("hash").item())


def as_float(a: Any) -> Any:
    """Return a new value in float64 without axes as one that stands for a Python float.

    A trace that knows Python's numbers by itself is told.
    """
    if not isinstance(a, Tensor):
        return float(a)
    weak = getattr(a.live_trace, "weak", None)
    if weak is not None:
        weak.add(a.node)
        return a
    new = Float.__new__(Float)
    new._copy_slots(a)
    return new


def weakened(ufunc: np.ufunc, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return operands with floats in the dtype that NumPy computes in where Python's floats stand."""
    kinds: list[Any] = []
    for a in args:
        if isinstance(a, Float) or type(a) in (int, float):
            kinds.append(int if type(a) is int else float)
        else:
            kinds.append(a.dtype if hasattr(a, "dtype") else np.asarray(a).dtype)
    loop = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    return tuple(
        functions["cast"](a, d) if isinstance(a, Float) and a.dtype != d else a
        for a, d in zip(args, loop)
    )


# Operators -----------------------------------------------------------------------------------------

_NUMBERS = (Float, float, int, bool)
#: Python's operator, and NumPy's function.
_ARITHMETIC: dict[str, tuple[Callable[..., Any], np.ufunc]] = {
    "add": (operator.add, np.add), "sub": (operator.sub, np.subtract),
    "mul": (operator.mul, np.multiply), "truediv": (operator.truediv, np.divide),
    "pow": (operator.pow, np.power), "mod": (operator.mod, np.remainder),
    "floordiv": (operator.floordiv, np.floor_divide),
}  # fmt: skip
_COMPARISONS: dict[str, tuple[Callable[..., Any], np.ufunc]] = {
    "eq": (operator.eq, np.equal), "ne": (operator.ne, np.not_equal), "lt": (operator.lt, np.less),
    "le": (operator.le, np.less_equal), "gt": (operator.gt, np.greater),
    "ge": (operator.ge, np.greater_equal),
}  # fmt: skip


def _is_number(a: Any) -> bool:
    return type(a) in _NUMBERS


def _between_numbers(python: Callable[..., Any], ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
    """Compute as Python does between its numbers, whose errors it raises."""
    numbers = [known_number(a) for a in args]
    known = None not in numbers
    if known:
        result = python(*numbers)
        if isinstance(result, complex):
            return _complex(result, args)
    args = tuple(a if isinstance(a, Tensor) else float(a) for a in args)
    out = functions[ufunc](*(_strong(a) for a in args))
    if known:
        check_outcome(out, args)
    return as_float(out)


def _strong(a: Any) -> Any:
    """Return a number as ufuncs take it whose operands are all numbers: as it is."""
    return a


def _complex(result: complex, args: tuple[Any, ...]) -> complex:
    if any(isinstance(a, Tensor) and a.live_trace.appearance.is_lost(a) for a in args):
        raise TracedArrayError(
            f"a negative number to a power that is no integer is complex, and its derivative would be "
            f"lost, at {user_location()}"
        )
    for a in args:
        if isinstance(a, Tensor):
            a.consume("float")
    return result


def _compare(python: Callable[..., Any], ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
    """Compare numbers: a bool, but in batches, where each example has its own outcome."""
    numbers = [known_number(a) for a in args]
    if None in numbers:
        return functions[ufunc](*args)
    if any(map(sets_guards, args)):
        return bool(functions[ufunc](*args))
    return python(*numbers)
