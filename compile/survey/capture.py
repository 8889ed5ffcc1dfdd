"""What a function reads from outside its arguments: its closure, defaults, globals, ``self``.

``survey`` follows the names in the function's code, through containers, attributes, classes, modules
and the functions that it calls. What it finds decides whether a plan still stands for the function:
scalars and structure must be as they were, arrays are read anew at each call. What cannot be followed
is named, and the function is run as it is.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile.survey.code import facts_of
from tapegrad.tape.array.tensor import Tensor

__all__ = ["SETTLED", "Captures", "Reference", "attribute", "is_library", "survey"]

#: From so many references on, installed packages are not followed; then, nothing is.
_MANY, _MOST = 1000, 4000
_SCALARS = (int, float, complex, str, bytes, bool, type(None), np.generic)
#: Types of values that never change; values of these are compared by identity or with ==.
SETTLED = (
    *_SCALARS, np.dtype, np.ufunc, enum.Enum, range, type(...), slice, re.Pattern, pathlib.PurePath,
    decimal.Decimal, fractions.Fraction, datetime.timedelta, datetime.date, datetime.tzinfo,
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.MemberDescriptorType, types.GetSetDescriptorType, types.GenericAlias, np.finfo, np.iinfo,
)  # fmt: skip
#: Where the library's transformations are.
_OWN = tuple(
    str(pathlib.Path(sys.modules[f"tapegrad.{name}"].__file__ or "").parent)
    for name in ("tape", "compile")
)
#: Modules whose objects have a state that no attribute read by the user's code shows.
_STATEFUL = frozenset({"_thread", "contextvars", "queue", "shelve", "threading", "weakref"})
#: Methods that do not run when an instance is used.
_NEVER = frozenset({"__init__", "__new__", "__repr__", "__str__", "__init_subclass__", "__del__"})


class _Missing:
    """Stands for a name that leads nowhere."""


MISSING = _Missing()


class Reference:
    """A place that a function reads: how to read it again, what was there, and whose code reads it."""

    __slots__ = ("expected", "holder", "key", "kind", "layout", "owner", "reader")

    def __init__(self, kind: str, owner: Any, key: Any, expected: Any, reader: Any = None) -> None:
        self.kind = kind
        self.owner = owner
        self.key = key
        self.expected = expected
        #: The code of the function of whose closure, defaults or globals it is, or None.
        self.reader = reader
        #: The class whose namespace the owner is, or None.
        self.holder: Any = None
        #: Of an array, which can be changed in place, too.
        self.layout = layout_of(expected) if type(expected) is np.ndarray else None

    def read(self) -> Any:
        """Return what is there now, or ``MISSING``."""
        try:
            if self.kind == "cell":
                return self.owner.cell_contents
            if self.kind == "item":
                return self.owner[self.key]
            if self.kind == "set":
                return frozenset(self.owner)
            return getattr(self.owner, self.key)
        except (KeyError, IndexError, AttributeError, ValueError):
            return MISSING

    def write(self, value: Any) -> None:
        """Replace what is there."""
        if self.kind == "cell":
            self.owner.cell_contents = value
        elif self.holder is not None:
            setattr(self.holder, self.key, value)
        elif self.kind == "item":
            self.owner[self.key] = value
        else:
            setattr(self.owner, self.key, value)

    def holds(self) -> bool:
        """Whether the same is there as at the survey."""
        now, then = self.read(), self.expected
        if self.layout is not None:
            return type(now) is np.ndarray and layout_of(now) == self.layout
        if now is then:
            return True
        if type(now) is not type(then):
            return False
        if isinstance(then, float | complex | np.generic):
            return repr(now) == repr(then)  # tells -0.0 from 0.0, and nan is nan
        return isinstance(then, (*_SCALARS, frozenset, slice)) and bool(now == then)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return str(self.key)


def layout_of(array: Any) -> tuple[Any, ...]:
    """Return what a plan depends on of an array."""
    return array.shape, array.strides, array.dtype


@dataclass(slots=True)
class Captures:
    """What a function reads.

    Attributes
    ----------
    references : list of Reference
    arrays : list of Reference
        Those that lead to arrays.
    sizes : list of (container, size)
        Containers that were read whole, with their lengths.
    writes : bool
        Whether code that was followed may change containers or attributes.
    generators : list
        Random generators.
    objects : list
        What was followed: containers, instances, functions.
    opaque : str
        What cannot be followed, or nothing.
    roots : frozenset
        Classes and functions that the function gets with its arguments.
    """

    references: list[Reference] = field(default_factory=list)
    arrays: list[Reference] = field(default_factory=list)
    sizes: list[tuple[Any, int]] = field(default_factory=list)
    writes: bool = False
    generators: list[Any] = field(default_factory=list)
    objects: list[Any] = field(default_factory=list)
    opaque: str = ""
    roots: frozenset[Any] = frozenset()

    def hold(self) -> bool:
        """Whether everything but the contents of arrays is as it was."""
        return (
            all(r.holds() for r in self.references)
            and all(len(container) == size for container, size in self.sizes)
            and self._same_aliases()
        )

    def _same_aliases(self) -> bool:
        """Whether references that led to one array still do, and others to others."""
        if len(self.arrays) < 2:
            return True
        then = [id(r.expected) for r in self.arrays]
        now = [id(r.read()) for r in self.arrays]
        return then == now or len(set(zip(then, now))) == len(set(then)) == len(set(now))

    def random_state(self) -> Any:
        """Return a value that changes when a random number is drawn."""
        legacy = np.random.mtrand._rand._bit_generator  # type: ignore[attr-defined]
        return [repr(g.state) for g in (legacy, *self.generators)] + [_python_random()]


def _python_random() -> Any:
    module = sys.modules.get("random")
    return None if module is None else hash(module.getstate())


class _Surveyor:
    """Walks what a function can reach by the names in its code.

    Names of attributes are looked up in every object that is reached, whoever names them: the places
    to look in are kept, and visited again while new names are found.
    """

    def __init__(self, most: int, *, installed: bool) -> None:
        self.found = Captures()
        self.most = most
        self.installed = installed
        self.seen: set[int] = set()
        self.attributes: set[str] = set()
        self.everything = False
        self.places: list[tuple[Callable[[str], None], Any, set[str]]] = []

    def run(self, function: Any, roots: frozenset[Any]) -> Captures:
        self.found.roots = roots
        self.children([function, *roots])
        done = False
        while not done:
            done = True
            for look, names, looked in list(self.places):
                wanted = self.attributes - looked
                if self.everything:
                    wanted |= names() - looked
                looked |= wanted
                for name in sorted(wanted):
                    done = False
                    look(name)
            if len(self.found.references) > self.most:
                self.found.opaque = "more than it is worth to follow"
                break
        return self.found

    def function(self, function: types.FunctionType) -> None:
        facts = facts_of(function.__code__)
        if hasattr(function, "registry") and hasattr(function, "dispatch"):
            self.found.opaque = "the class of a value, to choose a function (singledispatch)"
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            self.value(Reference("cell", cell, name, content, function.__code__), content)
        module = function.__globals__.get("__name__", "")
        if is_library(module) or not self._is_near(module):
            return  # what it was made from is the user's, the rest is not
        for key in ("__defaults__", "__kwdefaults__"):
            defaults = getattr(function, key)
            if defaults:
                self.value(Reference("attr", function, key, defaults), defaults)
        self.attributes |= facts.attributes
        self.everything = self.everything or facts.reflects
        self.found.writes = self.found.writes or facts.writes
        if facts.hides:
            self.found.opaque = facts.hides
        self.place(function.__dict__)
        space = function.__globals__
        for name in sorted(facts.globals):
            if name in space:
                content = space[name]
                self.value(Reference("item", space, name, content, function.__code__), content)
        package = space.get("__package__") or ""
        for name in sorted(facts.modules):
            module = sys.modules.get(name) or sys.modules.get(f"{package}.{name}")
            if module is not None:
                self.value(None, module)

    def value(self, reference: Reference | None, value: Any) -> None:
        if len(self.found.references) > self.most:
            return
        if reference is not None and not _is_fixed(reference):
            self.found.references.append(reference)
        if isinstance(value, np.ndarray):
            if type(value) is not np.ndarray or value.dtype.kind not in "fiubcSUmMV":
                self.opaque(reference, value)
            elif reference is not None:
                self.found.arrays.append(reference)
            return
        bound = None if isinstance(value, types.MethodType) else attribute(value, "__self__")
        if bound is not None and callable(value) and not isinstance(bound, types.ModuleType):
            # It may change its container, behind the back of the mirror.
            self.found.writes |= isinstance(bound, list | dict | set | collections.deque)
            self.value(None, bound)  # a method of an object: list.append, Generator.normal
            return
        if isinstance(value, (*SETTLED, Tensor)) or not self._new(value):
            return
        self._followed(reference, value)

    def _followed(self, reference: Reference | None, value: Any) -> None:
        """Follow what is neither a number nor an array."""
        if isinstance(value, types.FunctionType):
            self.function(value)
        elif isinstance(value, types.MethodType):
            self.value(None, value.__func__)
            self.value(None, value.__self__)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self.value(None, part)
            self.children([value.keywords])
        elif isinstance(value, property):
            self.children([value.fget])
        elif isinstance(value, staticmethod | classmethod):
            self.value(None, value.__func__)
        elif isinstance(value, functools.cached_property):
            self.value(None, value.func)
        elif isinstance(value, np.random.Generator):
            self.found.generators.append(value.bit_generator)
        elif isinstance(value, np.random.RandomState):
            self.found.generators.append(value._bit_generator)  # it has no public name
        elif isinstance(value, np.random.BitGenerator):
            self.found.generators.append(value)
        elif isinstance(value, types.ModuleType):
            if not is_library(value.__name__) and self._is_near(value.__name__):
                self.place(vars(value))
        elif isinstance(value, type):
            self.class_(value)
        else:
            self._object(reference, value)

    def _object(self, reference: Reference | None, value: Any) -> None:
        """Follow a container or an instance."""
        if isinstance(value, dict | types.MappingProxyType):
            self.found.sizes.append((value, len(value)))
            for key, child in list(value.items()):
                self.value(Reference("item", value, key, child), child)
        elif isinstance(value, list | tuple | collections.deque):
            if not isinstance(value, tuple):
                self.found.sizes.append((value, len(value)))
            for i, child in enumerate(list(value)):
                self.value(Reference("item", value, i, child), child)
        elif isinstance(value, collections.ChainMap):
            self.children([value.maps])
        elif isinstance(value, collections.UserDict | collections.UserList):
            self.children([value.data])
        elif isinstance(value, set | frozenset):
            self.found.references.append(Reference("set", value, "a set", frozenset(value)))
        elif (wrapped := attribute(value, "__wrapped__")) is not None:
            self.value(None, wrapped)
            return
        elif type(value).__module__ in _STATEFUL:
            self.opaque(reference, value)
        elif not isinstance(attribute(value, "__dict__"), dict) and not _has_slots(value):
            descriptor = hasattr(type(value), "__get__")
            if not descriptor and not type(value).__module__.startswith("tapegrad."):
                self.opaque(reference, value)
        if type(value).__module__ not in ("builtins", "collections"):
            self.instance(value)

    def children(self, values: list[Any]) -> None:
        for value in values:
            self.value(None, value)

    def opaque(self, reference: Reference | None, value: Any) -> None:
        name = "" if reference is None else f"{reference.name}, "
        self.found.opaque = self.found.opaque or f"{name}an object of type {type(value).__name__}"

    def place(self, space: Any, holder: type | None = None) -> None:
        """Look up names in a namespace, perhaps of a class."""

        def look(name: str) -> None:
            if name in space:
                reference = Reference("item", space, name, space[name])
                reference.holder = holder
                self.value(reference, space[name])

        self.places.append((look, lambda: set(space), set()))

    def class_(self, kind: type) -> None:
        """Look up names in a class and those that it comes from."""
        if is_library(kind.__module__) or not self._is_near(kind.__module__):
            return
        for base in kind.__mro__:
            if not is_library(base.__module__) and self._new(vars(base)):
                space = vars(base)
                self.place(space, base)
                for name, value in list(space.items()):
                    special = name.startswith("__") and name.endswith("__")
                    if special and name not in _NEVER and isinstance(value, types.FunctionType):
                        self.value(None, value)

    def instance(self, value: Any) -> None:
        """Look up names in an instance and in its class."""
        space = attribute(value, "__dict__")
        kind = type(value)
        self.class_(kind)

        def look(name: str) -> None:
            if isinstance(space, dict):
                if name in space:
                    self.value(Reference("item", space, name, space[name]), space[name])
                elif self.everything or any(name in vars(base) for base in kind.__mro__[:-1]):
                    self.found.references.append(Reference("item", space, name, MISSING))
            member = getattr(kind, name, None)
            if isinstance(member, types.MemberDescriptorType):
                reference = Reference("attr", value, name, MISSING)
                reference.expected = reference.read()
                self.value(reference, reference.expected)

        self.places.append((look, lambda: set(space or ()) | set(dir(kind)), set()))

    def _is_near(self, module: str) -> bool:
        """Whether a module is to be followed."""
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        return self.installed or not ("site-packages" in file or "dist-packages" in file)

    def _new(self, value: Any) -> bool:
        if id(value) in self.seen:
            return False
        self.seen.add(id(value))
        self.found.objects.append(value)  # which keeps ids unique
        return True


def _is_fixed(reference: Reference) -> bool:
    """Whether what is there cannot change, unless it is an array and changes in place."""
    if reference.layout is not None:
        return False
    if reference.kind == "item":
        return isinstance(reference.owner, tuple)
    # The variables of the library's own wrappers are assigned once.
    code = reference.reader
    return reference.kind == "cell" and code is not None and code.co_filename.startswith(_OWN)


def attribute(value: Any, name: str) -> Any:
    """Return an attribute, or None; without running code of the user's."""
    try:
        return object.__getattribute__(value, name)
    except (AttributeError, TypeError):
        return None


def _has_slots(value: Any) -> bool:
    return any("__slots__" in vars(base) for base in type(value).__mro__) and not is_library(
        type(value).__module__
    )


def is_library(name: str) -> bool:
    """Whether a module is Python's own, NumPy's or this library's."""
    root = str(name).partition(".")[0]
    if root == "__main__" or str(name).startswith("tapegrad.demo"):
        return False
    return root in {"numpy", "tapegrad", "builtins", "numba"} or root in sys.stdlib_module_names


def survey(function: Callable[..., Any], roots: frozenset[Any] = frozenset()) -> Captures:
    """Find out what `function` reads from outside its arguments.

    Parameters
    ----------
    function : callable
    roots : frozenset
        Classes of its arguments, and functions in these, which it may call.
    """
    found = _Surveyor(_MANY, installed=True).run(function, roots)
    if len(found.references) > _MANY:
        found = _Surveyor(_MOST, installed=False).run(function, roots)
    return found
