"""Tensors that stand for Python's floats: what ``float(x)`` and ``math.sin(x)`` give in traced code.

A Python float is weak in NumPy's promotion: a float32 array times a float is a float32 array. Between
Python's numbers, operators give floats and raise what Python raises. So these tensors are a class of
their own, which knows both; to traces they are tensors like any other.

>>> import numpy as np, tapegrad as tg
>>> def f(x):
...     s = as_float(x * 3)
...     print((s * np.ones(2, np.float32)).dtype, type(s * 2))
...     return s / (s - 1.5)
>>> tg.grad(f, adapt=False)(np.float64(1.0))
float32 <class 'tapegrad.tape.array.floats.Float'>
np.float64(-2.0)
>>> tg.grad(f, adapt=False)(np.float64(0.5))
Traceback (most recent call last):
ZeroDivisionError: float division by zero
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.primitive import functions, primitives

__all__ = [
    "Float", "as_float", "check_outcome", "known_number", "sets_guards", "weakened",
]  # fmt: skip


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

    @property  # type: ignore[misc]
    def real(self) -> Any:  # type: ignore[override]
        """The number itself."""
        return self

    @property  # type: ignore[misc]
    def imag(self) -> Any:  # type: ignore[override]
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
    trace = a.live_trace
    if hasattr(trace, "weak"):
        trace.weak.add(a.node)
        return a
    a.__class__ = Float
    return a


def weakened(resolve: Callable[..., Any], args: tuple[Any, ...], nout: int = 1) -> tuple[Any, ...]:
    """Return operands with values of the dtype that NumPy computes in where Python's floats stand.

    ``resolve((dtype, ..., None))`` gives the dtypes of the operands, as ``np.ufunc.resolve_dtypes``.
    """
    kinds: list[Any] = []
    for a in args:
        if isinstance(a, Float) or type(a) in (int, float):
            kinds.append(int if type(a) is int else float)
        else:
            kinds.append(a.dtype if hasattr(a, "dtype") else np.asarray(a).dtype)
    loop = resolve((*kinds, *(None,) * nout))
    return tuple(
        functions["cast"](a, d) if isinstance(a, Float) and a.dtype != d else a
        for a, d in zip(args, loop)
    )


# Operators -----------------------------------------------------------------------------------------

_NUMBERS = frozenset({Float, float, int, bool})
#: Python's operators, and NumPy's functions.
_ARITHMETIC = {
    "add": (operator.add, np.add), "sub": (operator.sub, np.subtract),
    "mul": (operator.mul, np.multiply), "truediv": (operator.truediv, np.divide),
    "pow": (operator.pow, np.power), "mod": (operator.mod, np.remainder),
    "floordiv": (operator.floordiv, np.floor_divide),
}  # fmt: skip
_COMPARISONS = {
    "eq": (operator.eq, np.equal), "ne": (operator.ne, np.not_equal), "lt": (operator.lt, np.less),
    "le": (operator.le, np.less_equal), "gt": (operator.gt, np.greater),
    "ge": (operator.ge, np.greater_equal),
}  # fmt: skip


def _simply(python: Callable[..., Any], ufunc: np.ufunc, x: Any, y: Any) -> Any:
    """Compute what raises nothing, whatever the numbers."""
    if type(x) is not Float:
        x = float(x)
    elif type(y) is not Float:
        y = float(y)
    return as_float(bind(primitives[ufunc.__name__], x, y))


def _carefully(python: Callable[..., Any], ufunc: np.ufunc, *args: Any) -> Any:
    """Compute as Python does between its numbers; it raises what it raises."""
    numbers = [known_number(a) for a in args]
    known = None not in numbers
    if known:
        result = python(*numbers)
        if isinstance(result, complex):
            return _complex(result, args)
    args = tuple(a if isinstance(a, Tensor) else float(a) for a in args)
    out = bind(primitives[ufunc.__name__], *args)
    if known:
        check_outcome(out, args)
    return as_float(out)


def _complex(result: complex, args: tuple[Any, ...]) -> Any:
    """Return the complex power of a negative number; what is differentiated stays traced."""
    for a in args:
        if isinstance(a, Tensor) and (not is_differentiated(a) or sets_guards(a)):
            a.consume("float")
    if not any(map(is_differentiated, args)):
        return result
    base, exponent = args
    base = functions["cast"](base, np.dtype(complex)) if isinstance(base, Tensor) else complex(base)
    return bind(primitives["power"], base, exponent)


def _compare(python: Callable[..., Any], ufunc: np.ufunc, x: Any, y: Any) -> Any:
    """Compare numbers: a bool, but in a batch, where each example has its own outcome."""
    numbers = (known_number(x), known_number(y))
    if None in numbers:
        return functions[ufunc](x, y)
    if sets_guards(x) or sets_guards(y):
        return bool(functions[ufunc](x, y))
    return python(*numbers)


def _binary(name: str, python: Any, ufunc: np.ufunc, between: Any, *, turned: bool = False) -> Any:
    """Make a method for a binary operator, or for the one with its operands turned round."""
    inherited = getattr(Tensor, name)

    def method(self: Float, other: Any, *modulus: Any) -> Any:
        operands = (other, self) if turned else (self, other)
        if type(other) in _NUMBERS and not modulus:
            return between(python, ufunc, *operands)
        if isinstance(other, Tensor | np.ndarray | np.generic):
            return functions[ufunc](*operands)
        if isinstance(other, list | tuple):
            return NotImplemented
        return inherited(self, other, *modulus)

    method.__name__ = name
    return method


def _unary(ufunc: np.ufunc) -> Any:
    return lambda self: as_float(bind(primitives[ufunc.__name__], self))


def _divmod(self: Float, other: Any) -> Any:
    return _pair(self, other) if type(other) in _NUMBERS else Tensor.__divmod__(self, other)


def _rdivmod(self: Float, other: Any) -> Any:
    return _pair(other, self) if type(other) in _NUMBERS else Tensor.__rdivmod__(self, other)


def _pair(x: Any, y: Any) -> Any:
    first, second = known_number(x), known_number(y)
    if first is not None and second is not None:
        divmod(first, second)  # raises
    return x // y, x % y


for _name, (_python, _ufunc) in _ARITHMETIC.items():
    _between = _simply if _name in ("add", "sub", "mul") else _carefully
    _method = _binary(f"__{_name}__", _python, _ufunc, _between)
    setattr(Float, f"__{_name}__", _method)
    setattr(Float, f"__i{_name}__", _method)  # numbers do not change
    _method = _binary(f"__r{_name}__", _python, _ufunc, _between, turned=True)
    setattr(Float, f"__r{_name}__", _method)
for _name, (_python, _ufunc) in _COMPARISONS.items():
    setattr(Float, f"__{_name}__", _binary(f"__{_name}__", _python, _ufunc, _compare))
for _name, _sign in {"neg": np.negative, "pos": np.positive, "abs": np.absolute}.items():
    setattr(Float, f"__{_name}__", _unary(_sign))
for _name, _pairs in {"divmod": _divmod, "rdivmod": _rdivmod}.items():
    setattr(Float, f"__{_name}__", _pairs)
