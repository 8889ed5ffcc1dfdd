"""One trip of a loop of Python's as a program.

The trip is recorded with the values that it has in it, as ``jit`` records a function. What Python
consumes of them there becomes a *test*: the program stands for another trip only if Python would see
the same in it. So branches, conversions and what Python's numbers can raise are as in Python, or the
loop is run as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tapegrad.tape.array.application import belongs
from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.later import later
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.trace import Traced, new_trace
from tapegrad.tape.program.bodies import BodyTrace, NotRecordable
from tapegrad.tape.program.holders import Attribute, Ends, Holder
from tapegrad.tape.program.staged_values import StagedAppearance

__all__ = ["TripTrace", "Writes", "known", "owner", "run_trip"]


class Writes(NotRecordable):
    """A trip changes what is outside of the loop.

    Attributes
    ----------
    target
        The array or the tensor that owns the memory, a list, a dict, or a holder of values.
    instances : list
        Instances from outside that the trip has used.
    """

    def __init__(self, target: Any) -> None:
        is_holder = isinstance(target, Holder)
        what = target if is_holder else "an array from outside of the loop"
        super().__init__(f"it {'changes' if is_holder else 'writes into'} {what}")
        self.target = target
        self.instances: list[Any] = []


class TripTrace(BodyTrace):
    """The trace of one trip, on the values that it has.

    Attributes
    ----------
    tests : list of (Node, array)
        What Python consumed, and what it saw.
    carried : list
        The arrays and tensors in whose place values of this trace go in: nothing else that lies in
        their memory may be read.
    appended : list of (list, value)
        What is appended to lists from outside of the loop, which is not done.
    touched : set of int
        The identities of lists that are used otherwise.
    attributes : set of Attribute
        Those that hold what stands for their values.
    ends : dict of Ends
        Lists to which it appends, and whose ends it may read, by their identity.
    reached : dict of int
        How far back from its end each list was read that has no such ends.
    instances : dict
        Instances from outside that were used, by their identity.
    rebuilt : set of int
        The identities of instances that were put together for the names of the trip.
    """

    name = "a loop"
    appearance_of = StagedAppearance
    is_trip = True

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.tests: list[tuple[Node, Any]] = []
        self.carried: list[Any] = []
        self.appended: list[tuple[list[Any], Any]] = []
        self.touched: set[int] = set()
        self.attributes: set[Attribute] = set()
        self.ends: dict[int, Ends] = {}
        self.reached: dict[int, int] = {}
        self.instances: dict[int, Any] = {}
        self.rebuilt: set[int] = set()
        #: Copies that stand for slices of arrays, and the owners of these.
        self._windows: list[tuple[Tensor, Any]] = []
        self._stale: list[Tensor] = []
        #: What the inputs stand for that were made for values from outside, by their identity.
        self._lifted: dict[int, tuple[Any, Any]] = {}

    def compute(self, primitive: Primitive, values: list[Any], params: Any) -> Any:
        """Compute with the values."""
        return primitive.forward(*values, **params)

    def like(self, value: Any) -> Tensor:
        """Return an input that stands for a value, and has it."""
        number = known(value)
        kind: Any = stands_for(value) if isinstance(value, Tensor) else type(value)
        array = np.asarray(number)
        if array.dtype.kind not in NUMERIC or kind is bool:
            raise NotRecordable(f"a value of type {kind.__name__} and dtype {array.dtype}")
        if kind is np.ndarray:
            return self.variable(array)
        return self.variable(array, original=kind(array[()]) if kind in (float, int) else array[()])

    def stands_in(self, value: Any) -> bool:
        """Whether a value stands for one that is older than the trip."""
        return belongs(value, self) and any(value.node is node for node in self.inputs)

    def is_new(self, value: Any) -> bool:
        """Whether the trip has computed a value."""
        return belongs(value, self) and not self.stands_in(value)

    def lift(self, value: Traced) -> Any:
        """Return the input that stands for a value from outside."""
        if any(owner(value) is known for known in self.carried):
            raise NotRecordable("two names stand for one array that it writes into")
        inside = super().lift(value)
        self._lifted[id(inside)] = inside, value
        return inside

    def process(self, primitive: Any, args: Any, params: Any, constant: bool | None = None) -> Any:
        """Append an entry."""
        for a in args:
            if isinstance(a, np.ndarray) and any(owner(a) is known for known in self.carried):
                raise NotRecordable("two names stand for one array that it writes into")
            if self._stale and isinstance(a, Tensor) and any(owner(a) is w for w in self._stale):
                raise NotRecordable("it reads a slice after it has written into the array")
        return super().process(primitive, args, params, constant)

    def guard(self, tensor: Traced, kind: str, seen: Any) -> None:
        """Note what must be the same in other trips."""
        if kind not in ("bool", "int", "index"):
            raise NotRecordable(f"it asks for a value ({kind})")
        self.tests.append((tensor.node, np.array(seen)))

    def draw(self) -> None:
        """Refuse: other trips would draw other numbers."""
        raise NotRecordable("it draws random numbers")

    def enter(self, root: Tensor) -> None:
        """Refuse to write into an array that the trip has not made."""
        if any(root is window for window, _ in self._windows):
            raise NotRecordable("it writes into a slice that depends on the trip")
        self._stale += [window for window, source in self._windows if source is root]
        try:
            super().enter(root)
        except NotRecordable:
            raise Writes(self._lifted.get(id(root), (root, root))[1]) from None

    def look_through(self, window: Tensor, source: Any) -> None:
        """Note a copy that stands for a slice of an array."""
        self._windows.append((window, owner(source)))

    def is_window(self, value: Any) -> bool:
        """Whether a value is such a copy, or a view of it."""
        return any(owner(value) is window for window, _ in self._windows)

    def refuse_write(self, array: Any) -> NoReturn:
        """Refuse a plain store into an array that the trip has not made."""
        raise Writes(owner(array))


def known(value: Any) -> Any:
    """Return the value below all traces.

    Raises
    ------
    NotRecordable
        If it has many examples.
    """
    while isinstance(value, Tensor):
        if value.live_trace.appearance.hidden_axes:
            raise NotRecordable("it has many examples")
        value = value.value
    return value


def owner(value: Any) -> Any:
    """Return the array or the tensor that owns the memory of a value."""
    kind: Any = Tensor if isinstance(value, Tensor) else np.ndarray
    while isinstance(value.base, kind):
        value = value.base
    return value


def run_trip(function: Callable[[TripTrace], Any]) -> tuple[TripTrace, Any]:
    """Run a function of the trace of a trip; return the trace and what the function returned."""
    with new_trace(TripTrace) as trace, np.errstate(all="ignore"):
        result = later.read(trace, lambda: function(trace), (), {})
    return trace, result
