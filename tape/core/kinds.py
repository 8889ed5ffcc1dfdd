"""Kinds of nests besides tuples, lists and dicts: what an instance is made of, and how to rebuild it.

An instance is rebuilt from its parts without running code of its class: ``__init__`` and
``__post_init__`` ran when the user made it, and traced values are put in place afterwards. What an
instance holds besides its parts cannot be rebuilt, since nobody knows how it depends on them; such an
instance is a leaf. Results that ``functools.cached_property`` keeps are left out: they are computed anew
when they are asked for.
"""

from __future__ import annotations

import collections
import enum
import functools
import sys
import types
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol

__all__ = [
    "Exact",
    "Fields",
    "Kind",
    "NamedItems",
    "attributes_of",
    "is_read_in_c",
    "keys_of",
    "kinds",
    "register_pytree_node",
    "why_leaf",
]

_STRINGS = {str}
#: How the names of attributes begin under which the library keeps what it made for an instance.
_OURS = "_tapegrad_"


class Exact(tuple[Any, ...]):
    """Keys or other constants of a structure; equal only to the same values of the same types.

    Python's ``1 == True == 1.0`` would mix up structures whose nests differ.
    """

    types: Any

    def __new__(cls, values: Iterable[Any]) -> Exact:
        new = super().__new__(cls, values)
        new.types = tuple([_type_of(value) for value in new])
        return new

    def __eq__(self, other: object) -> bool:
        return type(other) is Exact and self.types == other.types and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple.__hash__(self), self.types))

    def __reduce__(self) -> Any:
        return (Exact, (tuple(self),))


def _type_of(value: Any) -> Any:
    """Return what must be equal besides the value."""
    kind = type(value)
    if kind is tuple:
        return (kind, tuple([_type_of(part) for part in value]))
    if kind is frozenset:
        return (kind, frozenset((part, _type_of(part)) for part in value))
    if isinstance(value, float | complex):
        return (kind, repr(value))  # tells -0.0 from 0.0
    return kind


def keys_of(tree: dict[Any, Any]) -> tuple[Any, ...]:
    """Return the keys of a dict, to be compared with those of others."""
    keys = tuple(tree)
    return keys if not keys or {*map(type, keys)} == _STRINGS else Exact(keys)


class Kind(Protocol):
    """How the instances of one class are taken apart."""

    def take(self, tree: Any) -> tuple[Any, Iterable[Any]] | None:
        """Return aux, which is hashable, and the parts; None if there is more than can be rebuilt."""

    def build(self, aux: Any, parts: Sequence[Any]) -> Any:
        """Return a new instance."""

    def steps(self, aux: Any) -> Sequence[str]:
        """Return how each part is reached, as text."""

    def constants(self, aux: Any) -> Iterable[Any]:
        """Return the user's objects in aux that are no names."""

    def holds_more(self, tree: Any) -> list[str]:
        """Return the names of attributes that are no parts, cached results among them."""


class NamedItems:
    """A subclass of tuple with names for its items."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.attributes = _Attributes(cls, ())

    def take(self, tree: Any) -> tuple[Any, Iterable[Any]] | None:
        if self.attributes.open and self.attributes.lost(tree):
            return None
        return None, tuple.__iter__(tree)

    def build(self, aux: Any, parts: Sequence[Any]) -> Any:
        return tuple.__new__(self.cls, parts)

    def steps(self, aux: Any) -> Sequence[str]:
        return [f".{name}" for name in self.cls._fields]  # type: ignore[attr-defined]

    def constants(self, aux: Any) -> Iterable[Any]:
        return ()

    def holds_more(self, tree: Any) -> list[str]:
        return self.attributes.further(tree)


class _Dict:
    """A subclass of dict: its items in their order, and the default of a defaultdict."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        bases = (collections.OrderedDict, collections.defaultdict, dict)
        self.base: Any = next(base for base in bases if issubclass(cls, base))
        self.attributes = _Attributes(cls, ())

    def take(self, tree: Any) -> tuple[Any, Iterable[Any]] | None:
        # ``self.__dict__ = self`` makes items of attributes.
        itself = getattr(tree, "__dict__", None) is tree
        if not itself and self.attributes.open and self.attributes.lost(tree):
            return None
        default = tree.default_factory if self.base is collections.defaultdict else None
        keys = tuple(self.base.__iter__(tree))
        keys = keys if {*map(type, keys)} == _STRINGS else Exact(keys)
        return (keys, default, itself), [dict.__getitem__(tree, key) for key in keys]

    def build(self, aux: Any, parts: Sequence[Any]) -> Any:
        keys, default, itself = aux
        new: Any = self.base.__new__(self.cls)
        for key, part in zip(keys, parts):
            self.base.__setitem__(new, key, part)
        if self.base is collections.defaultdict:
            new.default_factory = default
        if itself:
            object.__setattr__(new, "__dict__", new)
        return new

    def steps(self, aux: Any) -> Sequence[str]:
        return [f"[{key!r}]" for key in aux[0]]

    def constants(self, aux: Any) -> Iterable[Any]:
        return aux[1:2]

    def holds_more(self, tree: Any) -> list[str]:
        itself = getattr(tree, "__dict__", None) is tree
        return [] if itself else self.attributes.further(tree)


class Fields:
    """A dataclass, or one by attrs: the values of its fields.

    A field with ``metadata={"static": True}`` is a constant of the structure.
    """

    def __init__(self, cls: type, fields: Sequence[Any]) -> None:
        self.cls = cls
        self.names = tuple(f.name for f in fields if not f.metadata.get("static"))
        self.static = tuple(f.name for f in fields if f.metadata.get("static"))
        self.attributes = _Attributes(cls, (*self.names, *self.static))
        found = [vars(base).get(name) for base in cls.__mro__ for name in self.names]
        #: Whether all that there is are the fields, as they lie in the instance's dict.
        self.is_plain = (
            not (self.static or self.attributes.slots)
            and not any(hasattr(type(member), "__set__") for member in found)
            and cls.__getattribute__ is object.__getattribute__
        )

    def take(self, tree: Any) -> tuple[Any, Iterable[Any]] | None:
        if self.attributes.open and self.attributes.lost(tree):
            return None
        names, parts = self._present(tree, self.names)
        if not self.static:
            return (names, (), ()), parts
        static, values = self._present(tree, self.static)
        return (names, static, Exact(values)), parts

    @staticmethod
    def _present(tree: Any, names: tuple[str, ...]) -> tuple[tuple[str, ...], list[Any]]:
        """Return the fields that are set; those with ``init=False`` need not be."""
        try:
            return names, [object.__getattribute__(tree, name) for name in names]
        except AttributeError:
            names = tuple(name for name in names if _is_set(tree, name))
            return names, [object.__getattribute__(tree, name) for name in names]

    def build(self, aux: Any, parts: Sequence[Any]) -> Any:
        names, static, values = aux
        new: Any = object.__new__(self.cls)
        for name, part in zip((*names, *static), (*parts, *values)):
            object.__setattr__(new, name, part)
        return new

    def steps(self, aux: Any) -> Sequence[str]:
        return [f".{name}" for name in aux[0]]

    def constants(self, aux: Any) -> Iterable[Any]:
        return aux[2]

    def holds_more(self, tree: Any) -> list[str]:
        return self.attributes.further(tree)


class _Registered:
    """A class with functions of the user's."""

    def __init__(
        self,
        flatten: Callable[[Any], tuple[Iterable[Any], Hashable]],
        unflatten: Callable[[Any, tuple[Any, ...]], Any],
    ) -> None:
        self.flatten = flatten
        self.unflatten = unflatten

    def take(self, tree: Any) -> tuple[Any, Iterable[Any]] | None:
        parts, aux = self.flatten(tree)
        parts = tuple(parts)
        return (Exact((aux,)), len(parts)), parts

    def build(self, aux: Any, parts: Sequence[Any]) -> Any:
        return self.unflatten(aux[0][0], tuple(parts))

    def steps(self, aux: Any) -> Sequence[str]:
        return [f"[{i}]" for i in range(aux[1])]

    def constants(self, aux: Any) -> Iterable[Any]:
        return aux[0]

    def holds_more(self, tree: Any) -> list[str]:
        return []


class _Attributes:
    """Tells what the instances of a class hold besides their parts."""

    def __init__(self, cls: type, parts: tuple[str, ...]) -> None:
        self.parts = frozenset(parts)
        members = {
            name
            for base in cls.__mro__
            for name, member in vars(base).items()
            if isinstance(member, types.MemberDescriptorType)
        }
        self.slots = sorted(members - self.parts - {"default_factory"})
        #: Whether there can be others at all.
        self.open = bool(cls.__dictoffset__ or self.slots)
        self.cached = frozenset(
            name
            for base in cls.__mro__
            for name, member in vars(base).items()
            if isinstance(member, functools.cached_property)
        )

    def further(self, tree: Any) -> list[str]:
        """Return the names of attributes that are no parts."""
        space = getattr(tree, "__dict__", None)
        found: list[str] = []
        if space and space.keys() != self.parts:
            names = (name for name in space if name not in self.parts)
            found += [name for name in names if not name.startswith(_OURS)]
        if self.slots:
            found += [name for name in self.slots if _is_set(tree, name)]
        return found

    def lost(self, tree: Any) -> list[str]:
        """Return those that would be lost."""
        found = self.further(tree)
        return [name for name in found if name not in self.cached] if found else found


def _is_set(tree: Any, name: str) -> bool:
    try:
        object.__getattribute__(tree, name)
    except AttributeError:
        return False
    return True


def attributes_of(instance: Any) -> dict[str, Any]:
    """Return the attributes that an instance holds, by name."""
    found = {
        name: object.__getattribute__(instance, name)
        for base in type(instance).__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType) and _is_set(instance, name)
    }
    found.update(getattr(instance, "__dict__", ()))
    return {name: value for name, value in found.items() if not name.startswith(_OURS)}


#: The classes that users have registered.
_registered: dict[type, Kind] = {}


class _Known(dict[type, "Kind | None"]):
    """What classes have been asked for: a lookup is all that a leaf costs."""

    def __missing__(self, cls: type) -> Kind | None:
        if len(self) >= 1024:  # classes that programs make and drop are not kept for ever
            self.clear()
        found = self[cls] = _described(cls)
        return found


#: How the instances of a class are taken apart; None if they are leaves. Exact tuples, lists, dicts and
#: None are not looked up here.
kinds = _Known()


def _described(cls: type) -> Kind | None:
    if cls in _registered:
        return _registered[cls]
    if issubclass(cls, tuple):
        named = isinstance(getattr(cls, "_fields", None), tuple) and _is_python(cls, tuple)
        return NamedItems(cls) if named else None
    if issubclass(cls, dict):
        known = (dict, collections.OrderedDict, collections.defaultdict)
        return _Dict(cls) if _is_python(cls, *known) else None
    if isinstance(getattr(cls, "__dataclass_fields__", None), dict):
        # The module, which takes long to load, has been loaded.
        fields: Any = sys.modules["dataclasses"].fields(cls)
    else:
        fields = getattr(cls, "__attrs_attrs__", None)
    if not isinstance(fields, tuple) or issubclass(cls, enum.Enum) or not _is_python(cls):
        return None
    return Fields(cls, fields)


def _is_python(cls: type, *known: type) -> bool:
    """Whether a class is made of classes written in Python, and of `known` ones."""
    heap = 1 << 9  # Py_TPFLAGS_HEAPTYPE
    return all(base in (object, *known) or base.__flags__ & heap for base in cls.__mro__)


def why_leaf(tree: Any) -> str:
    """Return why an instance of a kind of nest is a leaf nevertheless, as the end of an error."""
    kind = None if type(tree) in (tuple, list, dict) else kinds[type(tree)]
    if kind is None:
        return ""
    names = ", ".join(map(repr, kind.holds_more(tree)))
    return (
        f". This {type(tree).__name__} is no nest because it holds attributes that are not its fields "
        f"({names}), and how they depend on the fields is not known. Make them fields, with "
        'metadata={"static": True} if they are constants, or register the class with '
        "tg.register_pytree_node"
    )


def register_pytree_node(
    cls: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Hashable]],
    unflatten: Callable[[Any, tuple[Any, ...]], Any],
) -> None:
    """Make the instances of a class nests, for every transformation.

    Parameters
    ----------
    cls : type
        Subclasses are not meant.
    flatten : callable
        Takes an instance; returns its parts (arrays, numbers or nests), and what else it takes to
        rebuild it: constants, hashable, which are compared where structures are.
    unflatten : callable
        ``unflatten(constants, parts)`` returns an instance. It gets traced values, and other objects
        too, and should check nothing.

    Raises
    ------
    ValueError
        If the class is a nest by nature, or has been registered.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> class Line:
    ...     def __init__(self, slope, name):
    ...         self.slope, self.name = slope, name
    >>> tg.register_pytree_node(Line, lambda a: ((a.slope,), a.name), lambda name, p: Line(*p, name))
    >>> tg.grad(lambda line: line.slope**2)(Line(3.0, "steep")).slope
    np.float64(6.0)
    """
    if not isinstance(cls, type):
        raise TypeError(f"register_pytree_node takes a class, not {cls!r}")
    for function in (flatten, unflatten):
        if not callable(function):
            raise TypeError(f"register_pytree_node takes functions, not {function!r}")
    if cls in (tuple, list, dict, type(None)):
        raise ValueError(f"{cls.__name__} is a nest by nature and cannot be registered")
    if cls in _registered:
        raise ValueError(f"{cls.__name__} has been registered already")
    _registered[cls] = _Registered(flatten, unflatten)
    kinds.clear()


def is_read_in_c(structure: Any) -> bool:
    """Whether taking apart what has this structure runs no code of users' classes."""
    if type(structure) is str:
        return True
    kind, _, parts = structure
    own = type(kinds[kind]) is _Registered if kind not in (list, tuple, dict) else False
    return not own and all(map(is_read_in_c, parts))
