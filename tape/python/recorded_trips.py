"""Readers of one trip of a loop, which is recorded once in place of many.

The trip may change only what it has made itself, and take nothing from an iterator that it has not
made: what it did elsewhere would have happened once. Whatever is not known to change nothing ends the
recording; then the loop runs as it is written.
"""

from __future__ import annotations

import operator
from functools import cache, partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.program.holders import Attribute, Ends
from tapegrad.tape.program.trips import Writes, known
from tapegrad.tape.python import special
from tapegrad.tape.python.imaging import PLAIN
from tapegrad.tape.python.operators import words
from tapegrad.tape.python.places import ABSENT, own, slot
from tapegrad.tape.python.promotion import owner_of
from tapegrad.tape.python.recorded_bodies import OfBody, hashes, in_place
from tapegrad.tape.python.slices import with_rows
from tapegrad.tape.python.thunks import Thunk, chain, constant

__all__ = ["is_followed", "of_trip"]

#: Types whose in-place operators change them.
_CHANGING = (list, dict, set, bytearray)
#: Classes and functions that make a new object of C's.
_MAKERS: frozenset[Any] = frozenset(
    (list, dict, set, tuple, frozenset, zip, enumerate, reversed, range, map, filter, iter, sorted)
)
#: Methods of objects of C's that change nothing.
_ASKING = words(
    "__contains__ __eq__ __ge__ __getitem__ __gt__ __iter__ __le__ __len__ __lt__ __ne__ copy count "
    "difference get index intersection isdisjoint issubset issuperset items keys union values"
)


def _is_traced(key: Any) -> bool:
    if type(key) is slice:
        return any(isinstance(part, Tensor) for part in (key.start, key.stop))
    return isinstance(key, Tensor) or (type(key) is tuple and any(map(_is_traced, key)))


#: Objects of C's that give nothing of other objects but what a gate sees.
_FOLLOWED = (
    Tensor, np.ndarray, np.generic, np.dtype, np.ufunc, type(np.sum), list, dict, tuple, set,
    frozenset, bytearray, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType,
    MethodWrapperType, MethodDescriptorType, WrapperDescriptorType, partial, np.vectorize,
)  # fmt: skip


def is_followed(value: Any) -> bool:
    """Whether all that a trip reads or changes by means of a value is seen.

    An iterator is advanced; a view of a dict, a memoryview and their kin show what is changed elsewhere.
    """
    kind = type(value)
    if isinstance(value, Tensor) or kind in PLAIN or isinstance(value, _FOLLOWED):
        return True
    return special.in_python(kind) and not hasattr(kind, "__next__")


def _is_list(args: tuple[Any, ...]) -> bool:
    return len(args) == 1 and type(args[0]) is list


class OfTrip(OfBody):
    """What a recorder does besides while it records one trip of a loop."""

    ledger: Any

    def _note(self, value: Any) -> Any:
        self.things_made()[id(value)] = value
        return value

    def own(self, nest: Any) -> None:
        """Note a list or a dict, and those in it, as made by the trip."""
        if type(nest) in (list, dict, tuple):
            self._note(nest)
            for part in nest.values() if type(nest) is dict else nest:
                self.own(part)

    def _noted(self, value: Any) -> Thunk:
        return constant(self._note(value))

    def _may_change(self, value: Any) -> None:
        if not isinstance(value, (Tensor, np.ndarray)) and id(value) not in self.things_made():
            if type(value) in (list, dict) and not self.ledger.is_namespace(value):
                raise Writes(value)
            self.trip.give_up(f"it changes an object of type {type(value).__name__}")

    @property
    def trip(self) -> Any:
        """The trace of the trip, also where a transformation in it reads."""
        reader: Any = self
        while not reader.trace.is_trip:
            reader = reader.outer
        return reader.trace

    # What comes in ---------------------------------------------------------------------------------

    def entering(self, value: Any) -> Any:
        """Refuse what lets something from outside be seen or changed by another name."""
        if not is_followed(value) and id(value) not in self.things_made():
            self.trip.give_up(f"it uses an object of type {type(value).__name__}")
        return value

    def _entered(self, value: Any) -> Thunk:
        return constant(self.entering(value))

    def made(self, value: Any) -> Any:
        return self._note(super().made(value))  # type: ignore[misc]

    def attribute(self, owner: Any, name: str) -> Thunk:
        if name != "append":
            self._touch(owner)
        return chain(super().attribute(owner, name), self._entered)  # type: ignore[misc]

    def item(self, owner: Any, key: Any) -> Thunk:
        if type(owner) is list and id(owner) not in self.things_made():
            found = self._item_of_list(owner, key)
            if found is not None:
                return found
        else:
            self._touch(owner)
        if type(owner) is np.ndarray and owner.dtype.kind in NUMERIC and _is_traced(key):
            seen = self.see(owner)  # type: ignore[attr-defined]
            if seen is owner:  # all of its elements count, not that of this trip
                owner = Tensor(owner, constant=True)
        rows = self._rows_of(owner, key)
        if rows is not None:
            return partial(self._window, owner, rows)
        return chain(super().item(owner, key), self._entered)  # type: ignore[misc]

    def _rows_of(self, owner: Any, key: Any) -> Any:
        """Return a key with rows in place of a slice that depends on the trip; None for others."""
        if type(owner) is np.ndarray and id(owner_of(owner)) in self.things_made():
            return None
        is_array = isinstance(owner, (Tensor, np.ndarray)) and owner.dtype.kind in NUMERIC
        return with_rows(owner, key) if is_array and self.trace is self.trip else None

    def _window(self, array: Any, rows: tuple[Any, ...]) -> Any:
        seen = self.see(array)  # type: ignore[attr-defined]
        source = seen if isinstance(seen, Tensor) else Tensor(seen, constant=True)
        window = source[rows]
        self.trip.look_through(window, source)
        return window

    def iterate(self, value: Any) -> Any:
        self._touch(value)
        return super().iterate(value)  # type: ignore[misc]

    def truth(self, value: Any) -> Any:
        self._touch(value)
        return super().truth(value)  # type: ignore[misc]

    def is_(self, a: Any, b: Any) -> bool:
        """Refuse to tell a value that is carried from one that is older than the trip."""
        arrays = [v for v in (a, b) if isinstance(v, (Tensor, np.ndarray))]
        is_asked = a is not b and len(arrays) == 2 and any(map(self.trip.stands_in, arrays))
        if is_asked and not any(map(self.trip.is_new, arrays)):
            self.trip.give_up("it asks which object an array is")
        return super().is_(a, b)  # type: ignore[misc,no-any-return]

    def contains(self, item: Any, container: Any) -> Thunk:
        if isinstance(item, (Tensor, np.ndarray)) and np.ndim(item):
            self.trip.give_up("it looks for an array")
        self._touch(container)
        return super().contains(item, container)  # type: ignore[misc,no-any-return]

    def compare(self, a: Any, b: Any, symbol: str) -> Thunk:
        self._touch((a, b))
        return super().compare(a, b, symbol)  # type: ignore[misc,no-any-return]

    def convert(self, value: Any, kind: str) -> Thunk:
        self._touch(value)
        return super().convert(value, kind)  # type: ignore[misc,no-any-return]

    def format(self, value: Any, spec: str) -> Thunk:
        self._touch(value)
        return super().format(value, spec)  # type: ignore[misc,no-any-return]

    def match(self, subject: Any, instruction: str) -> None:
        self._touch(subject)
        super().match(subject, instruction)  # type: ignore[misc]

    def _touch(self, value: Any, depth: int = 0) -> None:
        """Note lists from outside that the trip uses: it may not append to these."""
        kind = type(value)
        if isinstance(value, (list, dict)):
            self.trip.touched.add(id(value))
        elif special.in_python(kind) and self.ledger.is_own(value):
            self.trip.instances[id(value)] = value
        if kind in (list, tuple, dict) and depth < 100:
            for part in value.values() if kind is dict else value:
                self._touch(part, depth + 1)

    # Lists to which it appends -----------------------------------------------------------------------

    def _append(self, owner: list[Any], value: Any) -> None:
        trip = self.trip
        if self.trace is not trip:
            trip.give_up("it appends inside a transformation")
        trip.appended.append((owner, value))
        if id(owner) in trip.ends:
            trip.ends[id(owner)].append(value)
        elif id(owner) in trip.reached:
            raise Writes(Ends(owner, trip.reached[id(owner)]))

    def _reach(self, owner: list[Any], depth: int) -> None:
        """Note that a list is read so far from its end, or how long it is.

        If the trip appends to it, what it reads there is another element in each trip.
        """
        trip = self.trip
        depth = max(depth, trip.reached.get(id(owner), 0))
        trip.reached[id(owner)] = depth
        if any(owned is owner for owned, _ in trip.appended):
            raise Writes(Ends(owner, depth))

    def _item_of_list(self, owner: list[Any], key: Any) -> Thunk | None:
        """Return an element that is known by its distance from the end; None for any other."""
        ends = self.trip.ends.get(id(owner))
        if type(key) is not int and not (isinstance(key, Tensor) and not np.ndim(key)):
            self._touch(owner)
            return None
        if type(key) is int and 0 <= key < len(owner):  # from before the loop
            self.trip.reached.setdefault(id(owner), 0)
            return None
        if ends is None:
            back = int(known(key))
            self._reach(owner, -back if back < 0 else len(owner) - back)
            return None
        if type(key) is int and key < 0:
            back = -key
        else:
            if not int(known(key)) >= 0:
                self.trip.give_up("it reads a list by an index that is negative")
            back = operator.index(ends.length - key)  # the same in all trips
        if not 0 < back <= len(ends.elements):
            if back < 1 or back > known(ends.length):
                self.trip.give_up("it reads an element that a list does not have")
            raise Writes(Ends(owner, ends.depth + back - len(ends.elements)))
        return constant(ends.elements[-back])

    def _length_of_list(self, owner: list[Any]) -> Thunk | None:
        ends = self.trip.ends.get(id(owner))
        if ends is None:
            self._reach(owner, 0)
            return None
        return constant(ends.length)

    # What is changed -------------------------------------------------------------------------------

    def store_cell(self, value: Any, cell: Any, name: str) -> Any:
        return self.trip.give_up(f"it changes the variable {name}")

    def delete_cell(self, cell: Any, name: str) -> Any:
        return self.trip.give_up(f"it changes the variable {name}")

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        self._may_change(owner.base if type(owner) is np.flatiter else owner)
        rows = self._rows_of(owner, key)
        if rows is not None:
            key = rows
        return super().store_item(value, owner, key)

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        kind = type(owner)
        is_outer = id(owner) not in self.things_made() and not isinstance(owner, np.ndarray)
        if not is_outer or not special.in_python(kind) or isinstance(owner, (Tensor, type)):
            self._may_change(owner)
            return super().store_attribute(value, owner, name)
        found = special.lookup(kind, name)
        if special.written(kind, "__setattr__") is None and not special.is_a(found, property):
            self._change_attribute(Attribute(owner, name), found)
        elif special.written(kind, "__setattr__") is not None:
            self._may_change(owner)
        return super().store_attribute(value, owner, name)

    def _change_attribute(self, attribute: Attribute, found: Any) -> None:
        """End the recording unless the attribute is known to change from trip to trip."""
        trip, owner = self.trip, attribute.owner
        if attribute in trip.attributes:
            return
        is_slot = type(found) is MemberDescriptorType
        if not self.ledger.is_own(owner) or id(owner) in trip.rebuilt:
            trip.give_up(f"it changes an object of type {type(owner).__name__}")
        held = slot(owner, attribute.name) if is_slot else own(owner, attribute.name)
        if held is ABSENT or (found is not None and not is_slot and special.outranks(found)):
            trip.give_up(f"it sets {attribute}, which was not there")
        raise Writes(attribute)

    def delete_item(self, owner: Any, key: Any) -> Thunk:
        self._may_change(owner)
        return super().delete_item(owner, key)  # type: ignore[misc,no-any-return]

    def delete_attribute(self, owner: Any, name: str) -> Thunk:
        self._may_change(owner)
        return super().delete_attribute(owner, name)  # type: ignore[misc,no-any-return]

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        self._touch((a, b))
        if in_place(symbol) and isinstance(a, _CHANGING):
            self._may_change(a)
        return super().binary(a, b, symbol)

    # Calls -----------------------------------------------------------------------------------------

    def call_with(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        owner = getattr(function, "__self__", None)
        if type(owner).__module__.startswith("numpy.random"):
            self.trip.give_up("it draws random numbers")
        if owner is not None and type(function) in (BuiltinFunctionType, MethodWrapperType):
            plain = isinstance(owner, (Tensor, np.ndarray, ModuleType, type, *PLAIN))
            is_own = id(owner) in self.things_made()
            if type(owner) is list and function.__name__ == "append" and args and not is_own:
                return partial(self._append, owner, *args)
            if not plain and function.__name__ not in _ASKING:
                self._may_change(owner)
        if (
            function is len
            and [*map(type, args)] == [list]
            and id(args[0]) not in self.things_made()
        ):
            found = self._length_of_list(args[0])
            return super().call_with(function, args, kwargs) if found is None else found
        self._touch((owner, *args, *kwargs.values()))
        if function is next:
            self.trip.give_up("it takes values from an iterator")
        answer = super().call_with(function, args, kwargs)
        is_class = isinstance(function, type) and not issubclass(function, np.generic)
        if is_class or (hashes(function) and function in _MAKERS):
            return chain(answer, self._noted)
        return answer if owner is None else chain(answer, self._entered)


@cache
def of_trip(kind: Any) -> Any:
    """Return the class of readers that read like `kind`, and record trips."""
    return kind if issubclass(kind, OfTrip) else type(f"{kind.__name__}OfTrip", (OfTrip, kind), {})
