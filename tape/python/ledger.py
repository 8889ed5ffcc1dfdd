"""The ledger of a run that is recorded: what it read from outside, where that lay, and what it made.

A recording stands for a function as long as all that the function read is as it was. The ledger notes
each read as a *check* on a place. Arrays that were read are inputs of the recording; so are numbers
that were found to change. The run has no effect on anything outside: what would have one abandons the
recording (:class:`~tapegrad.tape.core.errors.Abandoned`), and the function runs as it is.
"""

from __future__ import annotations

from functools import partial
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.errors import Abandoned
from tapegrad.tape.python.checks import COMPARED, CONTAINERS, NUMBERS, SINGLE, Check, shown
from tapegrad.tape.python.places import ABSENT, Place, declared
from tapegrad.tape.python.purity import IMMUTABLE
from tapegrad.tape.python.speaking import answers_by_code, keeps_c_data, speakers
from tapegrad.tape.python.special import classes_of, in_python, is_a, lookup, written

__all__ = ["Ledger"]


def _held_by(function: Any) -> Any:
    if type(function) is MethodType:
        return function.__self__
    return function.func if type(function) is partial else None


_LASTING = (
    FunctionType, BuiltinFunctionType, ModuleType, type, np.ufunc, np.dtype, type(np.sum), NoneType,
    *SINGLE,
)  # fmt: skip


class Ledger:
    """What one run read, in order.

    Parameters
    ----------
    trace : StagingTrace
        Whose inputs the arrays become that are read.
    varying : set of str
        The texts of the places whose numbers are inputs, since they were seen to change.
    """

    def __init__(self, trace: Any, varying: set[str]) -> None:
        self.trace = trace
        self.varying = varying
        self.checks: dict[tuple[Place, str, Place | None], Check] = {}
        #: Where the program's further inputs lie, and what lay there.
        self.inputs: list[tuple[Place, Any, Tensor]] = []
        self._seen: dict[Place, Any] = {}
        self._where: dict[int, tuple[Any, Place]] = {}
        self._tensors: dict[int, tuple[Any, Tensor, Place]] = {}
        self._lying: dict[int, tuple[Tensor, Place]] = {}
        self._cells: dict[int, CellType] = {}
        self._entered: dict[int, Any] = {}
        self._own: dict[int, Any] = {}
        self._copies: dict[int, Any] = {}
        self._namespaces: dict[int, Any] = {}
        self._ordered: set[type] = set()
        #: Generators of random numbers that the run has made from a seed.
        self.drawing: dict[int, Any] = {}
        #: The code of images that were given to code of C's.
        self.given: set[CodeType] = set()

    def forget(self, owner: Any, name: str) -> None:
        """Drop what is known of an attribute that is about to change, which ends the recording.

        The function is then run as it is, which is right whatever the attribute is; if it counts its
        calls, the next one would be recorded again for nothing.
        """
        place = self.place_of(owner)
        for key, check in list(self.checks.items()):
            if check.place.owner == place and check.place.key == name and check.kind != "type":
                del self.checks[key]

    def abandon(self, reason: str) -> Any:
        """End the recording."""
        self.trace.give_up(reason)

    def _go_on(self) -> None:
        """End the recording again, if the user's code has caught its end."""
        if self.trace.problem:
            raise Abandoned(self.trace.problem)

    # What is known of objects ---------------------------------------------------------------------

    def place_of(self, value: Any) -> Place | None:
        """Return where an outside object lies; None for what this run has made."""
        self._go_on()
        known = self._where.get(id(value))
        return None if known is None else known[1]

    def remember(self, value: Any, place: Place) -> None:
        """Note where an object lies; at a second place, that it is the same."""
        known = self._where.setdefault(id(value), (value, place))[1]
        if known is not place:
            self.check(place, "with", known)

    def stands_at(self, copy: Any, place: Place) -> None:
        """Note a copy that goes on in place of an outside object: to change it is to change that."""
        self._where[id(copy)] = copy, place

    def make(self, value: Any) -> Any:
        """Note a function, a class or an instance that this run has made."""
        self._own[id(value)] = value
        return value

    def copy(self, value: Any) -> None:
        """Note a list or an instance that goes in as an argument in place of the caller's."""
        self._copies[id(value)] = value
        if type(value) not in CONTAINERS:
            self.make(value)

    def name(self, namespace: dict[str, Any]) -> dict[str, Any]:
        """Note a dict that holds the attributes of an instance."""
        self._namespaces[id(namespace)] = namespace
        return namespace

    def is_namespace(self, value: Any) -> bool:
        """Whether a dict holds the attributes of an instance."""
        return id(value) in self._namespaces

    def is_copy(self, value: Any) -> bool:
        """Whether a value goes in place of a caller's list or instance."""
        return id(value) in self._copies

    def is_own(self, value: Any) -> bool:
        """Whether this run has made a function, a class or an instance."""
        return id(value) in self._own

    def begin(self, function: Any) -> None:
        """Note what is run: a function that lies outside, unless the run has made it."""
        parts = [function]
        while (inner := _held_by(parts[-1])) is not None:
            parts.append(inner)
        if not any(id(part) in self._own or id(part) in self._where for part in parts):
            self.outside(function, Place.constant(function, getattr(function, "__name__", "f")))

    def origin(self, value: Any) -> Place | None:
        """Return where an instance lies; None if this run has made it, as it has tuples not known."""
        known = self._where.get(id(value))
        if known is None and id(value) not in self._own and not isinstance(value, tuple):
            self.abandon(f"nobody knows where an object of type {type(value).__name__} is from")
        return None if known is None else known[1]

    def tensor_for(self, array: Any) -> Any:
        """Return the input that stands for an array, or the array itself."""
        known = self._tensors.get(id(array))
        return array if known is None else known[1]

    def argument(self, array: Any, tensor: Tensor, place: Place) -> None:
        """Note an array among the arguments, which is an input already."""
        self._lying[id(tensor)] = tensor, place
        self._tensors.setdefault(id(array), (array, tensor, place))

    def check(self, place: Place, kind: str, seen: Any) -> None:
        """Note that a place must hold this."""
        other = seen if kind in ("with", "apart") else None  # there may be several of these
        self.checks.setdefault((place, kind, other), Check(place, kind, seen))

    # Reads ----------------------------------------------------------------------------------------

    def outside(self, value: Any, place: Place) -> Any:
        """Note that `value` was read at `place`; return what goes on in its place."""
        self._go_on()
        if place not in self._seen:
            self._seen[place] = self._read(value, place)
        return self._seen[place]

    def _read(self, value: Any, place: Place) -> Any:
        kind: type = type(value)
        if isinstance(value, Tensor):
            self.abandon(f"a tensor from outside the function takes part in it ({place})")
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        if kind in NUMBERS or (isinstance(value, np.generic) and value.dtype.kind in NUMERIC):
            if place.text in self.varying and not isinstance(value, np.bool_):
                self.check(place, "type", kind)
                return self._input(value, place)
            self.check(place, "equal", value)
        elif kind in COMPARED:
            self.check(place, "equal", value)
        elif kind in SINGLE or isinstance(value, _LASTING):
            self.check(place, "same", value)
            if not isinstance(value, SINGLE):
                self.remember(value, place)
        else:
            if isinstance(value, tuple) and kind is not tuple:
                return self._named(value, place)
            own_class = in_python(kind) and not isinstance(value, IMMUTABLE)
            ours = kind.__module__.startswith("tapegrad.")
            if own_class and keeps_c_data(kind) and not ours:
                self.abandon(f"{place} is a {kind.__name__}, of which only C knows what it holds")
            if kind in CONTAINERS or kind is MethodType or kind is partial or own_class:
                self.check(place, "type", kind)
            else:
                self.check(place, "same", value)
            self.remember(value, place)
        return value

    def _named(self, value: Any, place: Place) -> Any:
        """Read a named tuple whole; return one with inputs in place of the arrays in it."""
        kind = type(value)
        if any(written(kind, name) for name in ("__getitem__", "__iter__", "__len__")):
            self.abandon(f"{place} is a tuple that answers by code of its own")
        self.check(place, "type", kind)
        self.remember(value, place)
        parts, old = place.parts(), tuple(tuple.__iter__(value))
        self.check(parts, "length", len(old))
        new = [self.whole(self.outside(v, parts.item(i))) for i, v in enumerate(old)]
        if all(a is b for a, b in zip(new, old)):
            return value
        rebuilt = tuple.__new__(kind, new)
        self.stands_at(rebuilt, place)
        return rebuilt

    def _array(self, array: Any, place: Place) -> Any:
        if type(array) is not np.ndarray:
            self.abandon(f"{place} is an array of class {type(array).__name__}")
        if array.dtype.kind not in NUMERIC or not array.flags.aligned:
            self.abandon(f"{place} is an array of dtype {array.dtype}")
        known = self._tensors.get(id(array))
        if known is not None:
            self.check(place, "with", known[2])
            return known[1]
        self.check(place, "array", (array.shape, array.strides, array.dtype))
        return self._input(array, place)

    def _input(self, value: Any, place: Place) -> Tensor:
        new: Tensor = self.trace.variable(np.asarray(value), original=value)
        self.inputs.append((place, value, new))
        self._lying[id(new)] = new, place
        if type(value) is np.ndarray:
            self._tensors[id(value)] = value, new, place
        return new

    def whole(self, value: Any, depth: int = 0) -> Any:
        """Note all that a container holds, to any depth; return it with inputs in place of arrays."""
        kind = type(value)
        if kind is np.ndarray:
            return self.tensor_for(value)
        if kind not in CONTAINERS:
            return value
        if depth > 100:
            self.abandon("it reads a container that is nested more than 100 deep, or holds itself")
        place = self.place_of(value)
        if place is not None and (plain := shown(value)) is not None:
            self.check(place, "shown", plain)
            return value
        if kind in (set, frozenset):
            if place is not None:
                self.abandon(f"{place} is a set of objects")
            return value
        return self._rebuilt(value, place, depth)

    def _rebuilt(self, value: Any, place: Place | None, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            if place is not None:
                if (keys := shown(tuple(value))) is None:
                    self.abandon(f"{place} is a dict with keys that are objects")
                self.check(place, "keys", keys)
            old = list(value.values())
            parts = [self._part(k, v, place, depth) for k, v in value.items()]
        else:
            if place is not None:
                self.check(place, "length", len(value))
            old = list(value)
            parts = [self._part(i, v, place, depth) for i, v in enumerate(value)]
        if all(a is b for a, b in zip(parts, old)):
            return value
        new = dict(zip(value, parts)) if kind is dict else kind(parts)
        if place is not None:
            self.stands_at(new, place)
        return new

    def _part(self, key: Any, value: Any, place: Place | None, depth: int) -> Any:
        if place is not None:
            value = self.outside(value, place.item(key))
        return self.whole(value, depth + 1)

    def identity(self, value: Any) -> None:
        """Note that Python asked which object this is."""
        place = self.place_of(value)
        if place is not None:
            self.check(place, "same", value)

    def same_array(self, a: Tensor, b: Tensor) -> bool:
        """Whether two traced values stand for one array; the answer is noted."""
        if a is b:
            return True
        first, second = (self._place_of_input(t) for t in (a, b))
        if first is None or second is None:
            return False
        same = first.read() is second.read()
        self.check(first, "with" if same else "apart", second)
        return same

    def _place_of_input(self, tensor: Tensor) -> Place | None:
        value: Any = tensor
        while isinstance(value, Tensor):
            if id(value) in self._lying:
                return self._lying[id(value)][1]
            value = value.value
        return None

    # Functions and classes ------------------------------------------------------------------------

    def enter(self, function: FunctionType) -> FunctionType:
        """Note what a function from outside brings along; return it with inputs as its defaults."""
        if id(function) in self._own or str(function.__module__).startswith("tapegrad."):
            return function
        known = self._entered.get(id(function))
        if known is not None:
            return known[1]  # type: ignore[no-any-return]
        root = Place.constant(function, function.__qualname__)
        self.check(root.inside("__code__"), "same", function.__code__)
        for cell in function.__closure__ or ():
            self._cells[id(cell)] = cell
        given = function
        defaults, named = function.__defaults__, function.__kwdefaults__
        if defaults or named:
            new = self._defaults(root, "__defaults__", defaults)
            new_named = self._defaults(root, "__kwdefaults__", named)
            if new is not defaults or new_named is not named:
                given = FunctionType(
                    function.__code__,
                    function.__globals__,
                    function.__name__,
                    new,
                    function.__closure__,
                )
                given.__kwdefaults__ = new_named
                given.__qualname__ = function.__qualname__
                self.make(given)
        self._entered[id(function)] = function, given
        return given

    def _defaults(self, root: Place, name: str, defaults: Any) -> Any:
        place = root.inside(name)
        if not defaults:
            self.check(place, "same", defaults)
            return defaults
        self.outside(defaults, place)
        items = defaults.items() if type(defaults) is dict else enumerate(defaults)
        if type(defaults) is dict:
            self.check(place, "keys", shown(tuple(defaults)))
        else:
            self.check(place, "length", len(defaults))
        new = [(key, self.outside(value, place.item(key))) for key, value in items]
        if all(value is defaults[key] for key, value in new):
            return defaults
        return dict(new) if type(defaults) is dict else tuple(value for _, value in new)

    def is_outer(self, cell: CellType) -> bool:
        """Whether a variable is one of a function from outside."""
        return id(cell) in self._cells

    def of_class(self, cls: type, name: str) -> Any:
        """Note what a class holds under a name; return it as it lies there, or `ABSENT`."""
        return self.held_by(cls, name)[0]

    def held_by(self, cls: type, name: str) -> tuple[Any, Place | None]:
        """Do `of_class`; return where it lies, too: None in a class that this run has made."""
        self.order(cls)
        if not self.is_own(cls):
            place = Place.constant(cls, cls.__qualname__).of_class(name)
            found = lookup(cls, name, ABSENT)
            if not cls.__module__.startswith("tapegrad."):
                self.check(place, "same", found)
            return found, place
        for base in classes_of(cls):
            found = declared(base, name)
            if self.is_own(base):
                if found is not ABSENT:
                    return found, None
                continue
            place = Place.constant(base, base.__qualname__).declared(name)
            if in_python(base):
                self.check(place, "same", found)
            if found is not ABSENT:
                return found, place
        return ABSENT, None

    def order(self, cls: type) -> None:
        """Note the order in which a class and its bases are looked up, if that may change."""
        if cls not in self._ordered:
            self._ordered.add(cls)
            for each in classes_of(cls) if self.is_own(cls) else (cls,):
                bases = [base for base in classes_of(each) if base is not each and in_python(base)]
                if bases and not self.is_own(each) and not each.__module__.startswith("tapegrad."):
                    place = Place.constant(each, each.__qualname__).order()
                    self.check(place, "same", classes_of(each))

    def speaks(self, value: Any) -> bool:
        """Whether a value, or what a container holds, answers code of C's by code of its own.

        That it does not is noted, since its class may learn to.
        """
        try:
            kinds = {type(each) for each in speakers(value)}
        except RecursionError:  # it is nested too deep, or holds itself
            return True
        if any(map(answers_by_code, kinds)):
            return True
        for kind in kinds:
            self.silence(kind)
        return False

    def silence(self, cls: type) -> None:
        """Note that instances of a class do not answer code of C's by code."""
        for each in classes_of(cls) if self.is_own(cls) else (cls,):
            ours = each.__module__.startswith("tapegrad.")
            if in_python(each) and not self.is_own(each) and not ours:
                self.check(Place.constant(each, each.__qualname__).silence(), "same", True)

    def ask(self, value: Any, *names: str) -> None:
        """Note which special methods the class of a value has."""
        cls = type(value)
        if in_python(cls) and not is_a(value, Tensor):
            for name in names:
                self.of_class(cls, name)
