"""What a recorded function reads: names, attributes, items, and the operands of operators.

Each answer notes the places that it depends on, by the ledger, and puts inputs in place of arrays.
"""

from __future__ import annotations

import operator
import sys
from collections import namedtuple
from functools import partial
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.python import special
from tapegrad.tape.python.checks import CONTAINERS, shown
from tapegrad.tape.python.imaging import PLAIN
from tapegrad.tape.python.known_code import is_library, is_ours
from tapegrad.tape.python.ledger import Ledger
from tapegrad.tape.python.operators import COMPARE_METHODS, METHODS, UNARY_METHODS
from tapegrad.tape.python.places import ABSENT, Place, declared, own, slot
from tapegrad.tape.python.promotion import indexes
from tapegrad.tape.python.purity import IMMUTABLE
from tapegrad.tape.python.reading import Reader
from tapegrad.tape.python.sparse_operands import attribute_of, recorded
from tapegrad.tape.python.speaking import speakers
from tapegrad.tape.python.thunks import Thunk, chain, constant

__all__ = ["CHANGES", "DISPATCHED", "HEAP", "RANDOM", "Reads"]

DISPATCHED = type(np.sum)
HEAP = 1 << 9  # the flag of classes that are not C's own
CHANGES = "it changes what is outside it"
RANDOM = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)
#: What the class of a named tuple has for each part.
_NAMED_PART = type(namedtuple("_Example", "part").part)  # type: ignore[attr-defined]


class Reads(Reader):
    """The part of a recorder that notes what is read.

    Attributes
    ----------
    ledger : Ledger
    """

    ledger: Ledger

    def _names(self) -> tuple[dict[str, Any], Any]:
        frame = sys._getframe(2)
        return frame.f_globals, frame.f_locals if frame.f_locals is not frame.f_globals else {}

    def before_name(self, name: str) -> None:
        names, own_names = self._names()
        if name not in own_names:
            place = Place.name(names, name)
            if place.read() is ABSENT:
                self.ledger.check(place, "same", ABSENT)

    def read_name(self, value: Any, name: str) -> Any:
        names, own_names = self._names()
        if name in own_names:
            return value
        return self.entering(self.ledger.outside(value, Place.name(names, name)))

    def entering(self, value: Any) -> Any:
        """Return what goes on in place of something that was loaded."""
        return value

    def before_cell(self, cell: CellType, name: str) -> None:
        if self.ledger.is_outer(cell):
            place = Place.cell(cell, name)
            if place.read() is ABSENT:
                self.ledger.check(place, "same", ABSENT)

    def read_cell(self, value: Any, cell: CellType, name: str) -> Any:
        if not self.ledger.is_outer(cell):
            return self.entering(value)
        return self.entering(self.ledger.outside(value, Place.cell(cell, name)))

    def made(self, value: Any) -> Any:
        if type(value) in CONTAINERS:
            if type(value) in (dict, set) and any(map(self.ledger.speaks, value)):
                self.ledger.abandon("a key is an object that answers by code")
            return value
        return self.ledger.make(value)

    def hashed(self, key: Any) -> None:
        self._ask_key(key)

    def comprehension(self, function: FunctionType) -> FunctionType:
        return self.image(self.ledger.make(function))

    # Attributes and items --------------------------------------------------------------------------

    def attribute(self, owner: Any, name: str) -> Thunk:
        return self._attribute(owner, name, None)

    def _attribute(self, owner: Any, name: str, ask: Thunk | None) -> Thunk:
        kind = type(owner)
        if isinstance(owner, Tensor) or kind in PLAIN:
            if name == "base":
                self.ledger.abandon("it asks whose memory an array lies in")
            return super().attribute(owner, name) if ask is None else ask
        if (known := attribute_of(self, owner, name)) is not None:
            return known
        if kind is super:
            held, place = self._held_above(owner, name)
        else:
            held, place = self._held(owner, kind, name)
        answer = super().attribute(owner, name) if ask is None else ask
        if place is None:
            return answer
        return chain(answer, lambda value: constant(self._known(value, held, place)))

    def _known(self, value: Any, held: Any, place: Place) -> Any:
        if value is held:
            return self.ledger.outside(value, place)
        if type(value) is np.ndarray:
            return self.ledger.tensor_for(value)
        return value

    def _held(self, owner: Any, kind: type, name: str) -> tuple[Any, Place | None]:
        """Note where an attribute was found; return what lies there, and where."""
        ledger, place = self.ledger, self.ledger.place_of(owner)
        if name == "__dict__" and not isinstance(owner, FunctionType):
            if special.is_a(owner, type):
                ledger.abandon("it reads the namespace of a class")
            names = ledger.name(special.own_names(owner))
            if place is not None:
                ledger.remember(names, place.names())
            return None, None
        if special.is_a(owner, ModuleType):
            if place is None:  # a module that the run has imported
                place = Place.constant(owner, owner.__name__)
            held = own(owner, name)
            if held is ABSENT and owner.__name__ == "tapegrad":
                getattr(owner, name, None)  # what is loaded now will be there at the next call
                held = own(owner, name)
            if held is ABSENT:
                ledger.check(place.own(name), "same", ABSENT)
                ledger.of_class(kind, name)
                ledger.check(place.own("__getattr__"), "same", own(owner, "__getattr__"))
                return None, None
            return held, place.own(name)
        if special.is_a(owner, type):
            return self._held_by_class(owner, kind, name)
        if not special.in_python(kind):
            return self._held_by_c(owner, kind, name, place)
        found = special.lookup(kind, name, ABSENT)
        if isinstance(owner, tuple) and type(found) is _NAMED_PART:
            return None, None  # it was read with the tuple
        ledger.of_class(kind, "__getattribute__")
        if found is ABSENT or special.written(kind, "__getattr__") is not None:
            ledger.of_class(kind, "__getattr__")
        _, declared_at = ledger.held_by(kind, name)
        ledger.ask(found, "__get__", "__set__", "__delete__")
        if special.written(type(found), "__get__") is not None and declared_at is not None:
            ledger.remember(found, declared_at)  # its image reads of it
        if found is not ABSENT and special.outranks(found):
            return self._held_by_descriptor(owner, found, name, place)
        held = own(owner, name)
        place = ledger.origin(owner)
        if place is not None:
            if held is not ABSENT:
                return held, place.own(name)
            ledger.check(place.own(name), "same", ABSENT)
        elif held is not ABSENT:
            return None, None
        if found is ABSENT or declared_at is None:
            return None, None
        if type(found) in (staticmethod, classmethod):
            ledger.remember(found.__func__, declared_at.inside("__func__"))
            return None, None
        return found, declared_at

    def _held_above(self, owner: Any, name: str) -> tuple[Any, Place | None]:
        """Note where ``super()`` finds an attribute."""
        classes = special.classes_of(owner.__self_class__ or type(None))
        self.ledger.order(owner.__self_class__ or type(None))
        start = owner.__thisclass__
        above = classes[classes.index(start) + 1 :] if start in classes else ()
        for base in above:
            if base is not object:
                held = declared(base, name)
                if self.ledger.is_own(base):
                    if held is not ABSENT:
                        return None, None
                    continue
                place = Place.constant(base, base.__qualname__).declared(name)
                self.ledger.check(place, "same", held)
                if held is not ABSENT:
                    return held, place
        return None, None

    def _held_by_class(self, owner: type, kind: type, name: str) -> tuple[Any, Place | None]:
        root = Place.constant(owner, owner.__qualname__)
        if kind is not type:
            self.ledger.of_class(kind, name)
        found, place = self.ledger.held_by(owner, name)
        self.ledger.ask(found, "__get__")
        if found is ABSENT and kind is not type:
            self.ledger.of_class(kind, "__getattr__")
        of_meta = special.lookup(kind, name)
        if special.is_a(of_meta, property):
            return None, None
        if found is ABSENT:
            if name in ("__name__", "__qualname__", "__module__", "__mro__", "__bases__"):
                return getattr(owner, name), root.inside(name)
            return None, None
        if place is None or type(found) in (staticmethod, classmethod):
            return None, None
        return found, place

    def _held_by_c(
        self, owner: Any, kind: type, name: str, place: Place | None
    ) -> tuple[Any, Place | None]:
        """An attribute of an object of C's: methods are looked at when they are called."""
        if place is None or isinstance(owner, IMMUTABLE):
            return None, None
        if isinstance(owner, RANDOM):
            self.ledger.abandon("it draws random numbers, which a plan would not draw anew")
        if kind in (FunctionType, MethodType, partial):
            if name in ("__func__", "__self__", "func", "args", "keywords", "__wrapped__"):
                held = getattr(owner, name, ABSENT)
                return held, place.inside(name)
            held = own(owner, name) if kind is FunctionType else ABSENT
            if held is not ABSENT:
                return held, place.own(name)
            value = getattr(owner, name, ABSENT)
            return value, place.inside(name)
        found = special.lookup(kind, name, ABSENT)
        if found is ABSENT:
            held = own(owner, name)
            if held is ABSENT:
                self.ledger.check(place.own(name), "same", ABSENT)
                return None, None
            return held, place.own(name)
        if type(found) in (MethodDescriptorType, WrapperDescriptorType):
            return None, None
        if kind in (BuiltinFunctionType, np.ufunc, DISPATCHED):
            return None, None
        return self.ledger.abandon(f"it reads {name} of an object of type {kind.__name__}")

    def _held_by_descriptor(
        self, owner: Any, found: Any, name: str, place: Place | None
    ) -> tuple[Any, Place | None]:
        if place is None:
            return None, None
        if special.is_a(found, property):
            if type(found.fget) is not FunctionType or self.callee(found.fget) is None:
                self.ledger.abandon(f"it reads {place}.{name}, a property that has no image")
            return None, None
        if special.written(type(found), "__get__") is not None:
            return None, None
        held = slot(owner, name)
        if held is not ABSENT:
            return held, place.slot(name)
        if name in ("__class__", "__doc__", "__module__", "__weakref__"):
            return None, None
        if type(found) is not MemberDescriptorType:
            return self.ledger.abandon(f"it reads {place}.{name}, which code of C's answers")
        self.ledger.check(place.slot(name), "same", ABSENT)
        return None, None

    def item(self, owner: Any, key: Any) -> Thunk:
        kind = type(owner)
        place = self.ledger.place_of(owner)
        if special.in_python(kind) and not isinstance(owner, (Tensor, type)):
            self.ledger.ask(owner, "__getitem__", "__missing__")
        self._ask_key(key)
        if kind is np.ndarray and owner.dtype.kind in NUMERIC and indexes(key):
            seen = self.see(owner)  # an array that this run has made stays what it is
            owner = seen if isinstance(seen, Tensor) else Tensor(seen, constant=True)
        if place is None or isinstance(owner, (Tensor, np.ndarray)) or kind in PLAIN:
            return super().item(owner, key)
        if kind not in (list, tuple, dict):
            if special.written(kind, "__getitem__") is not None or isinstance(owner, IMMUTABLE):
                return super().item(owner, key)
            if isinstance(owner, (type, tuple)) or is_ours(owner):
                return super().item(owner, key)
            return self.ledger.abandon(f"it reads an item of {place}")  # type: ignore[no-any-return]
        if type(key) is slice:
            return super().item(self.ledger.whole(owner), key)
        if isinstance(key, Tensor):
            key = operator.index(key) if kind is not dict else _plain_key(key)
        if shown(key) is None:
            self.ledger.identity(key)
        try:
            value = owner[key]
        except (LookupError, TypeError):
            self.ledger.whole(owner)
            return super().item(owner, key)
        return constant(self.ledger.outside(value, place.item(key)))

    def _ask_key(self, key: Any) -> None:
        """A key is hashed, compared or taken for an index by code of C's."""
        if self.ledger.speaks(key):
            self.ledger.abandon("a key or an index is an object that answers by code")

    # Operators --------------------------------------------------------------------------------------

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        if type(a) not in PLAIN or type(b) not in PLAIN:
            name = METHODS[symbol.removesuffix("=")]
            for value in (a, b):
                self.ledger.ask(value, f"__{name}__", f"__r{name}__", f"__i{name}__")
            place = self.ledger.place_of(a)
            if symbol[-1] == "=" and place is not None and type(a) in (list, set, dict):
                self.ledger.abandon(f"{CHANGES} ({place})")
            a, b = self._operand(a), self._operand(b)
        return super().binary(a, b, symbol)

    def _operand(self, value: Any) -> Any:
        kind = type(value)
        if kind in CONTAINERS or kind is np.ndarray:
            return self.ledger.whole(value)
        if self.ledger.place_of(value) is None or special.in_python(kind):
            return value
        if not isinstance(value, (*IMMUTABLE, FunctionType, ModuleType, type, BuiltinFunctionType)):
            self.ledger.abandon(f"it computes with an object of type {kind.__name__}")
        return value

    def sparse_operand(self, matrix: Any) -> Any:
        return recorded(self, matrix)

    def unary(self, value: Any, symbol: str) -> Thunk:
        if type(value) not in PLAIN:
            self.ledger.ask(value, UNARY_METHODS[symbol])
        return super().unary(self._operand(value), symbol)

    def compare(self, a: Any, b: Any, symbol: str) -> Thunk:
        if type(a) not in PLAIN or type(b) not in PLAIN:
            for value in (a, b):
                self.ledger.ask(value, *COMPARE_METHODS[symbol], "__eq__")
                if special.written(type(value), "__eq__") is None:
                    self._identify(value)
            if any(type(v) in CONTAINERS and self.ledger.speaks(v) for v in (a, b)):
                self.ledger.abandon("it compares containers of objects that answer by code")
            a, b = self._operand(a), self._operand(b)
            for value in (*speakers(a), *speakers(b)):
                self.ledger.identity(value)  # parts of containers, which are known by now
        return super().compare(a, b, symbol)

    def _identify(self, value: Any) -> None:
        if type(value) not in CONTAINERS and not isinstance(value, (Tensor, np.ndarray)):
            self.ledger.identity(value)

    def is_(self, a: Any, b: Any) -> bool:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return self.ledger.same_array(a, b)
        for value in (a, b):
            if self.ledger.is_copy(value) and a is not b and None not in (a, b):
                self.ledger.abandon("it asks which object an argument is")
            self._identify(value) if type(value) not in CONTAINERS else self.ledger.identity(value)
        return super().is_(a, b)

    def contains(self, item: Any, container: Any) -> Thunk:
        self.ledger.ask(container, "__contains__", "__iter__", "__getitem__")
        kind = type(container)
        if kind in CONTAINERS:
            container = self.ledger.whole(container)
            for value in (item, *container):
                if shown(value) is None and not isinstance(value, Tensor):
                    if self.ledger.speaks(value):
                        self.ledger.abandon("it looks for an object that answers by code")
                    self._identify(value)
        else:
            self._operand(container)
        return super().contains(item, container)

    def truth(self, value: Any) -> Any:
        kind = type(value)
        if kind not in PLAIN and not isinstance(value, Tensor):
            self.ledger.ask(value, "__bool__", "__len__")
            if kind in CONTAINERS:
                self.ledger.whole(value)
            elif self.ledger.place_of(value) is not None and not special.in_python(kind):
                self._operand(value)
        return super().truth(value)

    def asked(self, value: Any, names: tuple[str, ...]) -> None:
        self.ledger.ask(value, *names)

    # Protocols ---------------------------------------------------------------------------------------

    def iterate(self, value: Any) -> Any:
        kind = type(value)
        if kind in PLAIN or isinstance(value, Tensor):
            return super().iterate(value)
        if kind in CONTAINERS:
            return super().iterate(self.ledger.whole(value))
        self.ledger.ask(value, "__iter__", "__getitem__", "__next__", "__len__")
        if self.ledger.place_of(value) is not None:
            written = any(special.written(kind, n) is not None for n in ("__iter__", "__getitem__"))
            if not written and not isinstance(value, (*IMMUTABLE, type, tuple)):
                self.ledger.abandon(f"it iterates over an object of type {kind.__name__}")
        return super().iterate(value)

    def delegate(self, value: Any) -> Any:
        if self.ledger.place_of(value) is not None and isinstance(value, GeneratorType):
            self.ledger.abandon("it takes from a generator")
        return super().delegate(value)

    def mapping(self, value: Any) -> Any:
        self.ledger.ask(value, "keys", "__getitem__")
        if type(value) is not dict:
            self._operand(value)
        return super().mapping(self.ledger.whole(value))

    def enter(self, manager: Any) -> Any:
        self.ledger.ask(manager, "__enter__", "__exit__")
        kind = type(manager)
        written = special.written(kind, "__enter__") is not None and not is_library(kind)
        if not written and kind is not np.errstate and not is_ours(kind):
            self.ledger.abandon(f"it enters an object of type {kind.__name__}")
        return super().enter(manager)

    def convert(self, value: Any, kind: str) -> Thunk:
        self._written(value)
        return super().convert(value, kind)

    def format(self, value: Any, spec: str) -> Thunk:
        self._written(value)
        return super().format(value, spec)

    def _written(self, value: Any) -> None:
        kind = type(value)
        if kind is np.ndarray:
            self.ledger.abandon("it prints an array, by NumPy's options")
        if kind in PLAIN or isinstance(value, Tensor):
            return
        if kind in CONTAINERS:
            if shown(self.ledger.whole(value)) is None:
                self.ledger.abandon("it prints what a container holds")
            return
        self.ledger.ask(value, "__format__", "__str__", "__repr__")
        if self.ledger.place_of(value) is not None:
            self.ledger.identity(value)

    def before_import(self, level: int, names: tuple[str, ...] | None, name: str) -> None:
        if level == 0 and name in sys.modules:
            self.ledger.outside(sys.modules[name], Place.module(name))
        else:
            self.ledger.abandon(f"it imports {name}")

    def imported(self, module: Any, name: str) -> Any:
        if self.ledger.place_of(module) is None:
            return self.ledger.outside(module, Place.module(module.__name__))
        return module

    def imported_from(self, value: Any, module: Any, name: str) -> Any:
        held, place = self._held(module, type(module), name)
        return value if place is None else self._known(value, held, place)

    def match(self, subject: Any, instruction: str) -> None:
        if type(subject) in CONTAINERS and self.ledger.whole(subject) is not subject:
            self.ledger.abandon("a pattern takes arrays from a container")
        elif self.ledger.place_of(subject) is not None and type(subject) not in CONTAINERS:
            self._operand(subject)

    def caught(self, exception: Any, kinds: Any) -> None:
        self.ledger.order(type(exception))
        self.ledger.whole(kinds)

    def match_keys(self, subject: Any, keys: tuple[Any, ...]) -> None:
        if type(subject) is not dict:
            self.ledger.abandon("a pattern reads items of an object")

    def match_class(self, subject: Any, cls: Any, names: tuple[str, ...], count: int) -> None:
        if isinstance(subject, Tensor):
            self.ledger.abandon("a pattern asks for the class of a value")
        own_args = self.ledger.of_class(cls, "__match_args__") if count else ()
        for name in (*(own_args[:count] if own_args is not ABSENT else ()), *names):
            held, place = self._held(subject, type(subject), name)
            if place is not None and self.ledger.outside(held, place) is not held:
                self.ledger.abandon("a pattern takes arrays from an object")


def _plain_key(key: Tensor) -> Any:
    hash(key)  # which makes its value a guard
    value: Any = key
    while isinstance(value, Tensor):
        value = value.value
    return value[()]
