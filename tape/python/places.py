"""Places: where an outside value lies, so that it can be read again without running the user's code.

A place is a root (an argument, a cell, a global) and steps from there (attributes, items). What gates
are asked names the last step: :meth:`~tapegrad.tape.python.gate.Gate.attribute` gets an owner and a
name, and the gate knows the owner's place, since the owner was read before. Absence is a value, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import CellType, MemberDescriptorType, ModuleType
from typing import Any

from tapegrad.tape.python.special import is_a, lookup, own_names

__all__ = ["ABSENT", "Place", "stored"]


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


def _item(owner: Any, key: Any) -> Any:
    if type(owner) not in (list, tuple, dict, str, bytes, range):
        return ABSENT
    try:
        return owner[key]
    except LookupError:
        return ABSENT


def _global(names: dict[str, Any], name: str) -> Any:
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

    @classmethod
    def argument(cls, values: Any, key: Any) -> Place:
        """An argument, of the tuple or dict that holds it."""
        return cls(values, key, _item, f"argument {key}")

    @classmethod
    def cell(cls, cell: CellType, name: str) -> Place:
        """An outer function's variable."""
        return cls(cell, name, _cell, f"variable {name}")

    @classmethod
    def name(cls, names: dict[str, Any], name: str) -> Place:
        """A global name, or the builtin that it stands for."""
        return cls(names, name, _global, f"global {name}")

    def attribute(self, name: str) -> Place:
        """An attribute of what lies here."""
        return Place(self, name, stored, f"{self.text}.{name}")

    def item(self, key: Any) -> Place:
        """An item of the list, tuple or dict that lies here."""
        return Place(self, key, _item, f"{self.text}[{key!r}]")

    def read(self) -> Any:
        """Return what lies here now, or `ABSENT`."""
        owner = self.owner.read() if type(self.owner) is Place else self.owner
        return ABSENT if owner is ABSENT else self.step(owner, self.key)

    def __repr__(self) -> str:
        return self.text
