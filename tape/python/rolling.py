"""What a recorder does about loops: it takes the trips of long ones into its own hands.

The first trips run as they are written, so that names hold what they hold in all others. Before the
second or the third one, what is left is tried as one operation
(:mod:`tapegrad.tape.transforms.control.rolled`) on what the names hold there. If that works, the loop is
at its end, or before a trip that nobody has recorded, and the names get what they would hold. If not,
it goes on as it is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CellType, FrameType, FunctionType, MemberDescriptorType
from typing import Any, NoReturn, cast

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.kinds import kinds
from tapegrad.tape.core.later import later
from tapegrad.tape.core.pytree import parts_of
from tapegrad.tape.program.bodies import NotRecordable
from tapegrad.tape.program.holders import Attribute, Ends, Holder
from tapegrad.tape.program.trips import Writes, owner
from tapegrad.tape.python.checks import CONTAINERS
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.items import Items, items_of, together
from tapegrad.tape.python.loop_bodies import Loop
from tapegrad.tape.python.pending import Pending
from tapegrad.tape.python.places import ABSENT, own, slot
from tapegrad.tape.python.recorded_trips import is_followed
from tapegrad.tape.python.special import members, own_names
from tapegrad.tape.python.thunks import Thunk

__all__ = ["LEAST", "Rolling"]

#: Of how many trips there must be to take them together: short loops are faster side by side.
LEAST = 64
#: Fewer do if they would be so many entries, and no less than these.
MUCH, FEWEST = 512, 12
#: How often a ``while`` loop is done up to a trip that takes another way.
_SEGMENTS = 8
#: Before how many trips of a ``for`` loop the rest is tried.
_TRIES = 5
#: How far from the end of a list, to which they append, trips may read.
_DEEPEST = 8


def leave() -> NoReturn:
    """A recorded trip leaves the loop."""
    raise NotRecordable("it leaves the loop")


class Rolling:
    """The part of a recorder that is asked about loops."""

    trace: Any
    ledger: Any
    _looped: Any = None

    def call_with(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        return together(function, args, kwargs, super().call_with(function, args, kwargs))  # type: ignore[misc]

    def callee(self, function: Any) -> Any:
        return leave() if function is leave else super().callee(function)  # type: ignore[misc]

    def loop(self, value: Any, loop: Loop, cells: tuple[CellType, ...]) -> Any:
        """Return what a loop iterates over in place of `value`."""
        iterated = self.iterate(value)  # type: ignore[attr-defined]
        items = items_of(value)
        if items is None or items.length < min(FEWEST, LEAST):
            return iterated
        return _Trips(self, iter(iterated), items, loop, cells)

    def entries(self) -> int:
        """Return how many entries there are."""
        return len(self.ledger.trace.entries)

    def looped(self) -> Any:
        """Return what the names of a loop hold, some of whose trips were done; None for others."""
        found, self._looped = self._looped, None
        return found

    def turn(self, loop: Loop, cells: tuple[CellType, ...]) -> Any:
        """Do trips of a ``while`` loop, one of which begins; answer as `looped`."""
        frame = sys._getframe(1)
        turns = self.__dict__.setdefault("_turns", {})
        _, begun, done = turns.get((id(frame), loop), (frame, 0, 0))
        if begun > 0 and 0 <= done < _SEGMENTS:
            found = self._do(loop, cells, frame, [], (tuple, None, ()), [], 1 << 62)
            done = -1 if found is None else done + 1
            if found is not None:
                self._looped = found[0]
        turns[id(frame), loop] = frame, begun + 1, done
        return self.looped()

    def do(self, trips: _Trips, frame: FrameType) -> Any:
        """Do trips that are left; return how many, True for all, None if that is not possible."""
        items, done = trips.items, trips.done
        rows = [row[done : items.length] for row in items.rows]  # a slice is no copy
        given = rows, items.structure, items.numbers, items.length - done
        found = self._do(trips.loop, trips.cells, frame, *given)
        if found is None:
            return None
        self._looped, number = found
        return True if number is None else number

    def _do(self, loop: Loop, cells: Any, frame: FrameType, *items: Any) -> Any:
        body = FunctionType(loop.body(leave), frame.f_globals, frame.f_code.co_name, None, cells)
        self.ledger.make(body)
        names, place = frame.f_locals, (frame.f_code.co_filename, loop.line)
        values = {name: names[name] for name in loop.names if name in loop.needed and name in names}
        if any(name not in values for name in loop.kept):
            return None
        try:
            for value in values.values():
                if not is_followed(value):
                    raise NotRecordable(f"it uses an object of type {type(value).__name__}")
            after, number, lists = self._rolled(loop, body, values, *items)
        except (NotRecordable, Exception) as reason:  # whatever it is, the trips will say so
            self.ledger.trace.loops[place] = str(reason)
            return None
        self.ledger.trace.loops.pop(place, None)
        self.adopt(list(after.values()))
        if lists:
            pending = Pending(self, *lists)
            if self._returns_to_c(frame):
                pending.settle()
            else:
                current.set(cast(Any, pending))
        return tuple(after[name] for name in loop.kept), number

    def gives(self, image: Any) -> None:
        """Note an image that code of C's calls, which reads what it returns unseen."""
        code = getattr(getattr(image, "func", image), "__code__", None)
        if code is not None:
            self.ledger.given.add(code)

    def _returns_to_c(self, frame: FrameType | None) -> bool:
        """Whether a frame lies under a call of C's."""
        given = self.ledger.given
        while given and frame is not None:
            if frame.f_code in given:
                return True
            frame = frame.f_back
        return False

    def _rolled(self, loop: Loop, body: Any, values: dict[Any, Any], *items: Any) -> Any:
        written: dict[Any, Any] = {}
        changed: dict[str, Any] = {}
        holders: list[Holder] = []
        while True:
            held = {**values, **{holder: holder.value() for holder in holders}}
            seen = {key: self.see_all(value) for key, value in held.items()}  # type: ignore[attr-defined]
            _check_apart(written, held, seen)
            try:
                after, number, lists = later.rolled(
                    (body, loop.names, loop.kept, seen, *items)
                    + (written, changed, holders, self._store)
                )
                break
            except Writes as write:
                if isinstance(write.target, Holder):
                    _take(write.target, holders)
                    continue
                for attribute in _attributes_of(write.instances):
                    held.setdefault(attribute, attribute.value())
                    seen.setdefault(attribute, self.see_all(held[attribute]))  # type: ignore[attr-defined]
                is_nest = type(write.target) in (list, dict)
                key = _holder_of(write.target, held, seen)
                if key is None or key in written or key in changed:
                    raise
                if is_nest:
                    changed[key] = write.target
                    continue
                if type(held[key]) is np.ndarray:  # so that all who read it see the tensor
                    self.promote(held[key])  # type: ignore[attr-defined]
                written[key] = self.see(held[key])  # type: ignore[attr-defined]
                if isinstance(key, Attribute) and key not in holders:
                    holders.append(key)
                if any(owner(row) is owner(written[key]) for row in items[0]):
                    raise NotRecordable("it writes into what it goes over") from None
        for holder in holders:
            if isinstance(holder, Attribute) and holder not in written:
                self.store_attribute(after[holder], holder.owner, holder.name)()  # type: ignore[attr-defined]
        names = {name: value for name, value in after.items() if type(name) is str}
        kept = {name: values[name] for name in written if type(name) is str}
        return {**names, **kept}, number, lists

    def _finish(self) -> Any:
        self.__dict__.pop("_turns", None)  # frames hold on to what is theirs
        return super()._finish()  # type: ignore[misc]

    def adopt(self, value: Any) -> None:
        """Note the instances in a nest that was put together for a name."""
        if type(value) in CONTAINERS or kinds[type(value)] is not None:
            if type(value) not in CONTAINERS:
                self.ledger.make(value)
            for part in parts_of(value):
                self.adopt(part)

    def _store(self, value: Any, array: Any) -> None:
        self.store_item(value, array, ...)()  # type: ignore[attr-defined]


def _take(holder: Holder, holders: list[Holder]) -> None:
    """Put a holder among others; of two for the ends of a list the one that reaches further stays."""
    for other in list(holders):
        if isinstance(holder, Ends) and isinstance(other, Ends) and other.owner is holder.owner:
            holders.remove(other)
            holder = Ends(holder.owner, max(holder.depth, other.depth))
    if isinstance(holder, Ends) and holder.depth > min(len(holder.owner), _DEEPEST):
        raise NotRecordable("it reads a list, to which it appends, far from its end")
    holders.append(holder)


def _attributes_of(instances: list[Any]) -> Iterator[Attribute]:
    """Yield the attributes of instances that hold arrays."""
    for instance in instances:
        slots = [n for n, m in members(type(instance)) if type(m) is MemberDescriptorType]
        for name in dict.fromkeys((*own_names(instance), *slots)):
            held = [h for h in (own(instance, name), slot(instance, name)) if h is not ABSENT]
            if len(held) == 1 and isinstance(held[0], Tensor | np.ndarray):
                yield Attribute(instance, name)


def _holders_of(target: Any, held: dict[Any, Any], seen: dict[Any, Any]) -> list[Any]:
    """Return what holds an array, a list or a dict; `seen` is what traces see in place of `held`."""
    if type(target) in (list, dict):
        return [key for key, value in held.items() if value is target]
    found = []
    for key, *both in zip(held, held.values(), seen.values()):
        parts = [part for value in both for part in (value if isinstance(key, Ends) else (value,))]
        arrays = [part for part in parts if isinstance(part, Tensor | np.ndarray)]
        if any(owner(array) is owner(target) for array in arrays):
            found.append(key)
    return found


def _holder_of(target: Any, held: dict[Any, Any], seen: dict[Any, Any]) -> Any:
    """Return what alone holds all of what is written into: a name or an attribute."""
    found = _holders_of(target, held, seen)
    if len(found) != 1 or isinstance(found[0], Ends):
        return None
    if type(target) not in (list, dict) and held[found[0]].shape != owner(target).shape:
        return None
    return found[0]


def _check_apart(written: dict[Any, Any], held: dict[Any, Any], seen: dict[Any, Any]) -> None:
    """Refuse arrays that are written into and held twice."""
    for array in written.values():
        if len(_holders_of(array, held, seen)) > 1:
            raise NotRecordable("an array is held twice that it writes into")


class _Trips(Iterator[Any]):
    """The items of a loop; before some of them, trips are tried as one operation."""

    def __init__(
        self,
        gate: Rolling,
        inner: Iterator[Any],
        items: Items,
        loop: Loop,
        cells: tuple[CellType, ...],
    ) -> None:
        self.gate, self.inner, self.items, self.loop, self.cells = gate, inner, items, loop, cells
        self.done = 0
        self.place: Any = None
        #: Before which trips it is tried.
        self.tries = [1, 2]
        self.before = 0

    def _is_worth_it(self) -> bool:
        """Whether what is left is long enough, by its trips or by what they do."""
        left = self.items.length - self.done
        return left >= LEAST or left * (self.gate.entries() - self.before) >= MUCH

    def __next__(self) -> Any:
        if self.place is not None:
            self._settle()
        if self.done == 0:
            self.before = self.gate.entries()
        elif self.done in self.tries and self._is_worth_it():
            found = self.gate.do(self, sys._getframe(1))
            if found is True:
                raise StopIteration
            if found is not None:
                self.place = later.python_integer(found + self.done)
                return self.items.at(self.place)
        self.done += 1
        return next(self.inner)

    def _settle(self) -> None:
        """Go on as it is written after a trip that took another way, and did not end the loop."""
        place, self.place = int(self.place), None
        for _ in range(place + 1 - self.done):
            next(self.inner)
        self.done = place + 1
        if len(self.tries) < _TRIES and self.items.length - self.done > LEAST:
            self.tries.append(self.done + 1)
