"""Places: where an outside value lies, so that it can be read again without running the user's code.

A place is a root (an argument, a cell, a global) and steps from there (attributes, items). What gates
are asked names the last step: :meth:`~tapegrad.tape.python.gate.Gate.attribute` gets an owner and a
name, and the gate knows the owner's place, since the owner was read before. Absence is a value, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CellType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np

from tapegrad.tape.core.pytree import flatten
from tapegrad.tape.python.speaking import answers_by_code
from tapegrad.tape.python.special import classes_of, is_a, lookup, names_of, own_names

__all__ = [
    "ABSENT",
    "Place",
    "declared",
    "inside",
    "item",
    "itself",
    "mode",
    "named",
    "of_class",
    "order",
    "own",
    "quiet",
    "silence",
    "slot",
    "stored",
]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


#: What a place holds that is empty.
ABSENT = _Absent()


def stored(owner: Any, name: str) -> Any:
    """Return the attribute as it lies in the instance, the module or the class, or `ABSENT`.

    Slots and names in an instance are values. Of what lies in a class, a method or property is
    returned as that object itself, unbound and not asked.

    >>> class Box:
    ...     size = 3
    >>> stored(Box(), "size"), stored(Box(), "weight")
    (3, ABSENT)
    """
    found = lookup(type(owner), name, ABSENT)
    if type(found) is MemberDescriptorType:
        try:
            return found.__get__(owner)
        except AttributeError:
            return ABSENT
    if is_a(owner, type):
        return lookup(owner, name, found)
    names = owner.__dict__ if is_a(owner, ModuleType) else own_names(owner)
    if name in names:
        return dict.__getitem__(names, name)
    return found


def own(owner: Any, name: str) -> Any:
    """Return what an instance, a module or a class holds under its own names, or `ABSENT`."""
    names = owner.__dict__ if is_a(owner, ModuleType) else own_names(owner)
    return dict.__getitem__(names, name) if name in names else ABSENT


def slot(owner: Any, name: str) -> Any:
    """Return what a slot of an instance holds, or `ABSENT`."""
    found = lookup(type(owner), name, ABSENT)
    if type(found) is not MemberDescriptorType:
        return ABSENT
    try:
        return found.__get__(owner)
    except AttributeError:
        return ABSENT


def of_class(cls: type, name: str) -> Any:
    return lookup(cls, name, ABSENT)


def order(cls: type, _: Any) -> Any:
    return classes_of(cls)


def silence(cls: type, _: Any) -> Any:
    return not answers_by_code(cls)


def inside(owner: Any, name: str) -> Any:
    return getattr(owner, name, ABSENT)


def itself(owner: Any, _: Any) -> Any:
    return owner


def _parts(owner: Any, _: Any) -> Any:
    return tuple(tuple.__iter__(owner)) if is_a(owner, tuple) else ABSENT


def declared(cls: type, name: str) -> Any:
    """Return what a class itself holds under a name, or `ABSENT`."""
    return names_of(cls).get(name, ABSENT)


def _leaves(owner: Any, structure: Any) -> Any:
    leaves, found = flatten(owner)
    return leaves if found == structure else ABSENT


def _called(function: Any, key: Any) -> Any:
    args, kwargs = key
    return function(*args, **dict(kwargs))


def _names_of(owner: Any, _: Any) -> Any:
    return own_names(owner)


def item(owner: Any, key: Any) -> Any:
    if type(owner) not in (list, tuple, dict, str, bytes, range):
        return ABSENT
    try:
        return owner[key]
    except LookupError:
        return ABSENT


def named(names: dict[str, Any], name: str) -> Any:
    builtins = names.get("__builtins__", {})
    held = builtins if type(builtins) is dict else builtins.__dict__
    return names.get(name, held.get(name, ABSENT))


def _cell(cell: CellType, _: str) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


@dataclass(frozen=True, eq=False)
class Place:
    """A path from a root to where a value lies.

    Examples
    --------
    >>> settings = {"rates": [0.1, 0.2]}
    >>> place = Place.argument((settings,), 0).item("rates").item(1)
    >>> place, place.read()
    (argument 0['rates'][1], 0.2)
    >>> settings["rates"] = []
    >>> place.read()
    ABSENT
    """

    owner: Any  # the place before, or a root's object
    key: Any
    step: Callable[[Any, Any], Any]
    text: str

    def __eq__(self, other: object) -> bool:
        if type(other) is not Place or self.step is not other.step:
            return False
        same = self.owner is other.owner or (
            type(self.owner) is Place and self.owner == other.owner
        )
        return same and type(self.key) is type(other.key) and bool(self.key == other.key)

    def __hash__(self) -> int:
        owner = hash(self.owner) if type(self.owner) is Place else id(self.owner)
        return hash((owner, self.step, self.key))

    @classmethod
    def constant(cls, value: Any, text: str) -> Place:
        """A place that holds this object for good: a class, a function."""
        return cls(value, None, itself, text)

    @classmethod
    def argument(cls, values: Any, key: Any) -> Place:
        """An argument, of the tuple or dict that holds it."""
        return cls(values, key, item, f"argument {key}")

    @classmethod
    def cell(cls, cell: CellType, name: str) -> Place:
        """An outer function's variable."""
        return cls(cell, name, _cell, f"variable {name}")

    @classmethod
    def name(cls, names: dict[str, Any], name: str) -> Place:
        """A global name, or the builtin that it stands for."""
        return cls(names, name, named, f"global {name}")

    def attribute(self, name: str) -> Place:
        """An attribute of what lies here."""
        return Place(self, name, stored, f"{self.text}.{name}")

    def own(self, name: str) -> Place:
        """What lies here holds the attribute under its own names: an instance, a module."""
        return Place(self, name, own, f"{self.text}.{name}")

    def slot(self, name: str) -> Place:
        """What lies here has a slot of this name."""
        return Place(self, name, slot, f"{self.text}.{name}")

    def of_class(self, name: str) -> Place:
        """What lies here is a class, and this what it or its bases hold."""
        return Place(self, name, of_class, f"{self.text}.{name}")

    def order(self) -> Place:
        """What lies here is a class, and this the order in which it and its bases are looked up."""
        return Place(self, None, order, f"the bases of {self.text}")

    def silence(self) -> Place:
        """What lies here is a class, and this whether C's code gets no answer by code from it."""
        return Place(self, None, silence, f"the special methods of {self.text}")

    def inside(self, name: str) -> Place:
        """A part of an object of C's, whose attributes run no code: a function's defaults."""
        return Place(self, name, inside, f"{self.text}.{name}")

    def parts(self) -> Place:
        """What lies here is a named tuple, and this the tuple of its parts."""
        return Place(self, None, _parts, self.text)

    def declared(self, name: str) -> Place:
        """What lies here is a class, and this what it holds itself, whatever its bases hold."""
        return Place(self, name, declared, f"{self.text}.{name}")

    def leaves(self, structure: Any) -> Place:
        """What lies here is a nest of this structure, and this the list of its leaves."""
        return Place(self, structure, _leaves, f"{self.text} leaves")

    def called(self, args: Any, kwargs: Any) -> Place:
        """What lies here is a cache, and this its answer."""
        key = tuple(args), tuple(kwargs.items())
        return Place(self, key, _called, f"{self.text}(...)")

    @classmethod
    def module(cls, name: str) -> Place:
        """A module that is imported already."""
        return cls(sys.modules, name, item, f"module {name}")

    def names(self) -> Place:
        """The dict of an instance's attributes."""
        return Place(self, None, _names_of, f"{self.text}.__dict__")

    def item(self, key: Any) -> Place:
        """An item of the list, tuple or dict that lies here."""
        return Place(self, key, item, f"{self.text}[{key!r}]")

    def read(self) -> Any:
        """Return what lies here now, or `ABSENT`."""
        owner = self.owner.read() if type(self.owner) is Place else self.owner
        return ABSENT if owner is ABSENT else self.step(owner, self.key)

    def __repr__(self) -> str:
        return self.text


_core: Any = getattr(np, "_core", None)
#: Returns NumPy's error mode, or None for the default.
mode: Callable[[None], Any] = (
    _core.umath._extobj_contextvar.get
    if hasattr(getattr(_core, "umath", None), "_extobj_contextvar")
    else (lambda _: 0)  # where only `quiet` can tell
)
_SILENT = frozenset(("ignore", "warn"))


def quiet() -> bool:
    """Whether NumPy does no more than warn of a division by zero and the like."""
    return _SILENT.issuperset(np.geterr().values())
