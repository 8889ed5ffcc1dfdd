"""Familiar types: what light images need not ask the gate about.

A light image asks about an attribute, an item or an operator only where an operand is of a type that is
not familiar: nobody has looked at it yet, or its class answers by code written in Python. While a gate
is watching, no type is familiar.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tapegrad.tape.array.replacements import replacement_of
from tapegrad.tape.core.threads import after_fork
from tapegrad.tape.python import special
from tapegrad.tape.python.operators import COMPARE_METHODS, METHODS, UNARY_METHODS
from tapegrad.tape.python.walks import WALKED
from tapegrad.tape.python.writer import familiar

if TYPE_CHECKING:
    from tapegrad.tape.python.images import Images

__all__ = ["meet", "unwatch", "watch"]

#: Far more than programs have; a program that makes classes without end begins anew.
_MOST = 1024
_OPERATIONS = frozenset(
    ["__getitem__", "__missing__", "__contains__", "__iter__", "__next__", "__len__", "keys"]
    + [f"__{way}{name}__" for name in METHODS.values() for way in ("", "r", "i")]
    + [name for names in COMPARE_METHODS.values() for name in names]
    + list(UNARY_METHODS.values())
)
_LOOKUPS = frozenset(["__getattr__", "__getattribute__"])

_watching: list[Any] = []
_lock = Lock()


@after_fork
def _renew() -> None:
    global _lock  # another thread may have held it
    _lock = Lock()


def watch(gate: Any) -> None:
    """Let light images ask about everything that they can ask about."""
    with _lock:
        _watching.append(gate)
        for types in familiar.values():
            types.clear()


def unwatch(gate: Any) -> None:
    """Undo one `watch`."""
    with _lock:
        _watching.remove(gate)


def meet(images: Images, value: Any) -> None:
    """Note that a light image has asked about `value`: if its class is harmless, for the last time."""
    cls = type(value)
    for kind in _harmless(images, cls):  # type: ignore[arg-type]
        with _lock:
            types = familiar[kind]
            if not _watching and cls not in types:
                if len(types) >= _MOST:
                    types.clear()
                types.add(cls)


@lru_cache(maxsize=_MOST)
def _harmless(images: Images, cls: type) -> tuple[str, ...]:
    """Of what kinds of operations a class runs no code that images are made of."""
    if cls is super:
        return ("operations",)
    if cls in (str, bytes):  # % makes text of what it is given
        return ("attributes", "iteration")
    if cls in WALKED:  # what is stored into an array meets an iterator that runs already
        return ("attributes", "operations")
    if not special.is_heap(cls):
        return ("attributes", "iteration", "operations")
    kinds = {"attributes", "iteration", "operations"}
    for name, found in special.members(cls):
        if type(found) is FunctionType:
            if (name in _OPERATIONS or name in _LOOKUPS) and _matters(images, found):
                kinds -= {"attributes"} if name in _LOOKUPS else {"iteration", "operations"}
        elif _describes(images, found):
            kinds.discard("attributes")
    return tuple(kinds)


def _describes(images: Images, found: Any) -> bool:
    """Whether what lies on a class is a property or a descriptor in Python."""
    if special.is_a(found, property):
        getter = found.fget
        return type(getter) is FunctionType and _matters(images, getter)
    method = special.written(type(found), "__get__")
    return method is not None and _matters(images, method)


def _matters(images: Images, function: FunctionType) -> bool:
    """Whether something else is called in place of a function: its image, or what is registered."""
    return not images.never_reads(function) or replacement_of(function) is not None
