"""How the values of ``jit`` look to Python: as what the user's code would have in their place.

Python's numbers stay Python's numbers: between them, operators compute as Python does. What Python
consumes of a value becomes a guard, and where arrays can do more than tensors, the recording is given
up and the function goes on with the values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import belongs, bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import Appearance
from tapegrad.tape.core.location import stores_item
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.state import state
from tapegrad.tape.core.traced import Traced

__all__ = ["StagedAppearance", "inside", "is_number"]


class StagedAppearance(Appearance):
    """The appearance of values that a :class:`StagingTrace` traces."""

    __slots__ = ()

    # What a value stands for ---------------------------------------------------------------------

    def stands_for_number(self, value: Traced) -> bool:
        """Arrays without axes that were passed are none."""
        passed = type(value.live_trace.passed.get(value.node)) is np.ndarray
        return not passed and super().stands_for_number(value)

    def number_type(self, value: Traced) -> type | None:
        """Python's numbers are weak in promotion."""
        trace = value.live_trace
        return type(trace.example(value)) if value.node in trace.weak else None

    def repeats(self, value: Traced) -> bool:
        """Integers repeat lists; NumPy's do, too."""
        return isinstance(value.live_trace.example(value), int | np.integer)

    def hash(self, value: Traced) -> int:
        """Find numbers by their value, which becomes a guard."""
        trace = value.live_trace
        if trace.closed or not isinstance(trace.example(value), np.generic | int | float):
            return object.__hash__(value)
        value.consume("hash")
        return hash(trace.example(value))

    def text(self, value: Traced, form: Any) -> str:
        """Return what the value is printed as."""
        value.consume("text")
        return str(form(value.live_trace.example(value)))

    def flags(self, value: Traced) -> Any:
        """What is true of one array need not be true of the next."""
        return self.attribute(value, "flags")

    def attribute(self, value: Traced, name: str) -> Any:
        """Return an attribute that arrays have and tensors do not."""
        trace = value.live_trace
        example = trace.example(value)
        if not hasattr(example, name):
            kind = type(example)
            module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            raise AttributeError(f"'{module}{kind.__name__}' object has no attribute {name!r}")
        return trace.give_up(f"the attribute {name} of a traced value is used")

    # Values that leave the trace -----------------------------------------------------------------

    def consume(self, value: Traced, kind: str) -> Any:
        """Note that Python saw this value."""
        below = super().consume(value, kind)
        value.live_trace.guard(value, kind, below)
        return below

    def peek(self, value: Traced) -> Any:
        """Looking at a value would be a guard."""
        return None

    def array(self, value: Traced, what: str) -> Any:
        """Give NumPy the values; storing them into a plain array is refused."""
        if stores_item():
            return super().array(value, what)
        return value.live_trace.give_up(f"{what} of a traced value")

    def is_lost(self, value: Traced) -> bool:
        """What Python takes is a guard, and the derivative is that of a new recording."""
        return False

    def apply_foreign(
        self, value: Traced, name: str, function: Any, args: Any, kwargs: Any, why: str = ""
    ) -> Any:
        """Apply the function to the values."""
        return value.live_trace.give_up(f"{name} is not on record as a primitive")

    # Python's operators --------------------------------------------------------------------------

    def between_numbers(self, value: Traced, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply an operator; between Python numbers its result is one, too."""
        trace = value.live_trace
        body = state.get().body
        if body is not None and body.level >= trace.level:  # a function is recorded inside
            args = tuple(map(partial(inside, body), args))
            value = args[0 if isinstance(args[0], Tensor) else -1]
            if trace is not body:
                return body.appearance.between_numbers(value, ufunc, args)
        if value.node not in trace.weak:
            return NotImplemented
        if not all(is_number(a, trace) for a in args):
            if all(type(a) is complex or is_number(a, trace) for a in args):
                trace.give_up("it computes with complex numbers of Python's")
            return NotImplemented
        if ufunc is np.divmod:
            x, y = (a.value.item() if isinstance(a, Tensor) else a for a in args)
            divmod(x, y)  # raises
            return tuple(
                _compute(trace, primitives[n], args) for n in ("floor_divide", "remainder")
            )
        primitive = primitives[ufunc.__name__]
        if primitive.name in _COMPARISONS:  # Python's have a bool for a result, a guard
            return bool(trace.process(primitive, args, {}))
        return _compute(trace, primitive, args)


def inside(body: Any, a: Any) -> Any:
    """Return an operand as the trace of a body computes with it."""
    return body.lift(a) if isinstance(a, Tensor) and not belongs(a, body) else a


def is_number(a: Any, trace: Any) -> bool:
    """Whether an operand is a Python number, or stands for one."""
    if type(a) is float or type(a) is int or type(a) is bool:
        return True
    return belongs(a, trace) and a.node in trace.weak


def _compute(trace: Any, primitive: Primitive, args: tuple[Any, ...]) -> Any:
    """Compute as Python does; where NumPy would differ, a guard or the values decide."""
    args = tuple(int(a) if type(a) is bool else a for a in args)
    numbers = [a.value.item() if isinstance(a, Tensor) else a for a in args]
    result = _OPERATORS[primitive.name](*numbers)  # raises what Python raises
    if type(result) not in (float, int) or not _is_exact(primitive.name, numbers, result):
        for a in args:
            if isinstance(a, Tensor):
                a.consume("value")
        return result
    for condition in _conditions(primitive.name, args, numbers):
        bool(condition)  # a guard: the same code is right for other numbers
    out = trace.process(primitive, args, {})
    if type(result) is float and primitive.name == "power":
        bool(bind(primitives["isfinite"], out))
    trace.weak.add(out.node)
    return out


#: What Python computes where the named primitives stand between its numbers.
_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "floor_divide": operator.floordiv, "remainder": operator.mod,
    "power": operator.pow, "negative": operator.neg, "absolute": operator.abs,
    "positive": operator.pos, "invert": operator.invert, "left_shift": operator.lshift,
    "right_shift": operator.rshift, "bitwise_and": operator.and_, "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
}  # fmt: skip
_COMPARISONS = frozenset({"equal", "greater", "greater_equal", "less", "less_equal", "not_equal"})
_BITS = frozenset(name for name in _OPERATORS if name[:3] in ("bit", "inv", "lef", "rig"))
_DIVISIONS = frozenset({"divide", "floor_divide", "remainder"})
#: Integers below this are added and multiplied exactly by 64-bit machines, as by Python.
_SMALL = 2**31


def _is_exact(name: str, numbers: list[Any], result: Any) -> bool:
    """Whether machine numbers give what Python gave, for numbers like these."""
    if name in _BITS or any(type(n) is int and abs(n) >= _SMALL for n in numbers):
        return False
    if name == "power":
        return all(type(n) is float for n in numbers[:1]) and numbers[0] > 0
    if name in ("floor_divide", "remainder"):
        return all(type(n) is int for n in numbers)
    return True


def _conditions(name: str, args: tuple[Any, ...], numbers: list[Any]) -> Iterator[Any]:
    """Yield what must be true of other numbers, as traced values."""
    for a, n in zip(args, numbers):
        if isinstance(a, Tensor) and type(n) is int:
            yield bind(primitives["less"], a, _SMALL)
            yield bind(primitives["greater"], a, -_SMALL)
    if name in _DIVISIONS and isinstance(args[1], Tensor):
        yield bind(primitives["not_equal"], args[1], 0)
    if name == "power" and isinstance(args[0], Tensor):
        yield bind(primitives["greater"], args[0], 0)
