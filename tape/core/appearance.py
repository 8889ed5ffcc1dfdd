"""How the values of a trace look to Python code.

Python asks much of a value that is no primitive: whether it is a number, its text, its hash, its
truth, an attribute that only arrays have. An :class:`Appearance` answers for the values of one trace.
There is one default; ``vmap`` and ``jit`` put their own in its place, because their values stand for
others: for each of many examples, and for the values of later calls.

Every question is about a value, which is the first argument of the method that answers it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.location import stores_item, user_location
from tapegrad.tape.core.other_names import missing
from tapegrad.tape.core.state import state
from tapegrad.tape.core.traced import Traced

__all__ = ["Appearance", "cut", "is_cut", "is_differentiated"]

#: What NumPy asks of an object that is stored into an element of an array.
_CONVERSIONS = frozenset({"float", "int", "bool", "index"})


def is_differentiated(a: Any) -> bool:
    """Whether a derivative is lost if code takes the value of `a` for a constant."""
    while isinstance(a, Traced):
        if a.live_trace.appearance.is_lost(a):
            return True
        a = a.value
    return False


def is_cut(a: Any) -> bool:
    """Whether a derivative is lost, and not by what imperative code means by a conversion."""
    while isinstance(a, Traced):
        trace = a.live_trace
        if (trace.level or state.get().adapted) and trace.appearance.is_lost(a):
            return True
        a = a.value
    return False


def cut(what: str, becomes: str = "array") -> TracedArrayError:
    """Return the error for a derivative that would be lost in code that `what` names."""
    return TracedArrayError(
        f"{what}: a value that is being differentiated would become a plain {becomes} and lose its "
        f"derivative, at {user_location()}. Use what tapegrad differentiates in its place, or pass "
        "tg.stop_gradient(x) if no derivative is meant."
    )


def _is_computed(value: Traced) -> bool:
    """Whether a value is the result of an operation, and was not written into."""
    made_by = value.node.primitive
    return made_by is not None and made_by.name != "write"


class Appearance:
    """What the values of one trace look like: as what they are below it."""

    __slots__ = ("_arrays", "_as_passed", "originals")

    #: How many axes in front of the value below users do not see.
    hidden_axes = 0

    def __init__(self) -> None:
        #: Values without axes that stand for arrays, which can be written into, by id.
        self._arrays: dict[int, Traced] = {}
        #: Arguments that lie in memory as the user passed them.
        self._as_passed: list[Traced] = []
        #: Arguments, and what the user passed for them, by id.
        self.originals: dict[int, tuple[Traced, Any]] = {}

    def present(self, value: Traced, original: Any) -> None:
        """Note that `value` is an argument, for which the user passed `original`."""
        self.originals[id(value)] = value, original
        trace = getattr(original, "live_trace", None)
        if trace is None:
            is_array = isinstance(original, np.ndarray) and original.ndim == 0
        else:
            looks = trace.appearance
            is_array = original.shape == () and not looks.stands_for_number(original)
            if looks.lies_as_passed(original):
                self._as_passed.append(value)
        if is_array:
            self.note_array(value)

    def note_array(self, value: Traced) -> None:
        """Note that `value`, which has no axes, stands for an array and not for a number."""
        self._arrays[id(value)] = value

    def close(self) -> None:
        """Forget the arguments, which refer to the trace."""
        self._arrays.clear()
        self._as_passed.clear()
        self.originals.clear()

    # What a value stands for ---------------------------------------------------------------------

    def stands_for_number(self, value: Traced) -> bool:
        """Whether, without the trace, this would be a number or a NumPy scalar, which never change.

        All without axes are, but for those that were passed or made as arrays, and for views that are
        not elements: ``np.squeeze(x)``.
        """
        if value.shape != () or value.follows or id(value) in self._arrays:
            return False
        return value.base is None or value.is_element

    def number_type(self, value: Traced) -> type | None:
        """Return ``int`` or ``float`` if the value stands for such a number, else None."""
        return None

    def lies_as_passed(self, value: Traced) -> bool:
        """Whether the value lies in memory as the user passed it, each example by itself."""
        return any(value is argument for argument in self._as_passed)

    def is_replaced(self, value: Traced) -> bool:
        """Whether ``value += 1`` gives the name another value, and does not write into this one.

        Numbers do not change. In imperative code tensors without axes are written into; inside
        transformations constants stand for what NumPy has there, and in an adapted function what it
        has computed. A tensor that was made and then written into is no such value.
        """
        known = state.get()
        inside = (
            value.live_trace.level
            or (known.depth and value.constant)
            or (known.adapted and _is_computed(value))
        )
        return bool(inside) and self.stands_for_number(value)

    def repeats(self, value: Traced) -> bool:
        """Whether a list times the value is the list repeated."""
        return False

    def hash(self, value: Traced) -> int:
        """Return what dictionaries and sets find the value by."""
        return object.__hash__(value)

    def text(self, value: Traced, form: Any) -> str:
        """Return the value as text; `form` is ``str`` or ``repr``."""
        array = value.consume("text")
        return f"Tensor({repr(array)[6:-1]}, trace={value.live_trace.name})"

    def flags(self, value: Traced) -> Any:
        """Return what is known of the memory: its layout, and whether it may be written to."""
        return value.value.flags

    def attribute(self, value: Traced, name: str) -> Any:
        """Return an attribute that tensors do not have."""
        raise AttributeError(missing(name))

    # Values that leave the trace -----------------------------------------------------------------

    def consume(self, value: Traced, kind: str) -> Any:
        """Return the value below, for Python code that needs it (``if``, ``float``, ...)."""
        if value.live_trace.level and kind in _CONVERSIONS and stores_item():
            self.array(value, "a[i] = value")
        return value.value

    def peek(self, value: Traced) -> Any:
        """Return the value below if it may be looked at without consequences, else None."""
        return value.value

    def array(self, value: Traced, what: str) -> Any:
        """Refuse to turn the value into an array: its derivative would be lost."""
        raise TracedArrayError(
            f"{what}: a value traced by {value.live_trace.name} would become a plain array and be cut "
            f"off from its trace, at {user_location()}. If the value is stored into an array "
            "(a[i] = value), make that array a tensor: tg.zeros(shape, dtype=float), or "
            "np.zeros_like(x) of a traced x; if a NumPy function asked for the array, use a function "
            "that tapegrad differentiates. If no gradient is meant to flow, pass tg.stop_gradient(x)."
        )

    def is_lost(self, value: Traced) -> bool:
        """Whether a derivative is lost if Python code takes the value below."""
        return not value.live_trace.is_constant(value)

    def apply_foreign(
        self, value: Traced, name: str, function: Any, args: Any, kwargs: Any, why: str = ""
    ) -> Any:
        """Apply a function that is no primitive to arguments of which `value` is one.

        Parameters
        ----------
        value : Traced
        name : str
            Of the function, as users know it.
        function : callable
            Takes arrays.
        args, kwargs : tuple, dict
            Its arguments.
        why : str
            What the error says that refuses it.
        """
        raise TypeError(
            why
            or f"{name} has no differentiable form for tensors; use np.asarray(tensor) on an "
            "imperative tensor if no gradient is needed"
        )

    # Python's operators --------------------------------------------------------------------------

    def between_numbers(self, value: Traced, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply an operator if all operands stand for Python numbers; else NotImplemented."""
        return NotImplemented

    def with_foreign(self, value: Traced, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply an operator where the other operand is of a foreign type, or NotImplemented."""
        return NotImplemented
