"""A gate that has all that is written in Python run as images, and changes nothing else."""

from __future__ import annotations

from types import FunctionType, NoneType
from typing import Any, ClassVar

import numpy as np

from tapegrad.tape.python import calls, special
from tapegrad.tape.python.gate import Gate
from tapegrad.tape.python.images import Images
from tapegrad.tape.python.rewriting import LIGHT
from tapegrad.tape.python.thunks import Thunk

__all__ = ["PLAIN", "Imaging"]

#: Types whose operations run no code of the user's.
PLAIN: frozenset[type] = frozenset(
    (int, float, complex, bool, str, bytes, NoneType, slice, range, np.ndarray)
    + tuple(kind for kind in np.sctypeDict.values() if kind is not np.object_)
)


class Imaging(Gate):
    """The base of the transformations' gates.

    Examples
    --------
    A gate that notes the names of what is called:

    >>> class Names(Imaging):
    ...     def __init__(self):
    ...         self.seen = []
    ...
    ...     def callee(self, function):
    ...         self.seen.append(function.__name__)
    ...         return super().callee(function)
    >>> gate = Names()
    >>> user = {"__name__": "user"}  # functions of tapegrad have no images
    >>> gate.run(eval("lambda x: abs(min(x, -3))", user), 2)
    3
    >>> gate.seen
    ['<lambda>', 'min', 'abs']
    """

    #: The images of what is called: their level, and which packages are never read.
    images: ClassVar[Images] = Images(LIGHT)
    #: Types whose operations are not looked at: they have no methods that images could be made of.
    plain: ClassVar[frozenset[type]] = PLAIN

    def image(self, function: FunctionType) -> FunctionType:
        """Return what runs in place of a Python function, wherever it is called from."""
        return self.images.image(function)

    def cached(self, function: Any) -> Any:
        """Return what to call in place of a ``functools.lru_cache``; None as `callee` does."""
        return function

    def callee(self, function: Any) -> Any:
        try:
            answer = calls.ANSWERS[type(function)]
        except KeyError:
            answer = calls.answer(type(function))
        return function if answer is None else answer(self, function)

    def call_with(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        return calls.shown(self, function, args, kwargs)

    def raised(self, exception: Any) -> Thunk:
        if special.is_a(exception, type) and self.callee(exception) is not exception:
            return self.call_with(exception, (), {})
        return super().raised(exception)

    def comprehension(self, function: FunctionType) -> FunctionType:
        return self.image(function)

    def attribute(self, owner: Any, name: str) -> Thunk:
        return special.load_attribute(self, owner, name)

    def item(self, owner: Any, key: Any) -> Thunk:
        return special.item(self, owner, key)

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        if type(a) in self.plain and type(b) in self.plain:
            return super().binary(a, b, symbol)
        return special.binary(self, a, b, symbol)

    def unary(self, value: Any, symbol: str) -> Thunk:
        return special.unary(self, value, symbol)

    def compare(self, a: Any, b: Any, symbol: str) -> Thunk:
        if type(a) in self.plain and type(b) in self.plain:
            return super().compare(a, b, symbol)
        return special.compare(self, a, b, symbol)

    def contains(self, item: Any, container: Any) -> Thunk:
        return special.contains(self, item, container)

    def truth(self, value: Any) -> Any:
        return value if type(value) in self.plain else special.truth(self, value)

    def iterate(self, value: Any) -> Any:
        return value if type(value) in self.plain else special.iterate(self, value)

    def delegate(self, value: Any) -> Any:
        return value if special.lookup(type(value), "throw") else self.iterate(value)

    def mapping(self, value: Any) -> Any:
        return value if type(value) is dict else special.mapping(self, value)

    def enter(self, manager: Any) -> Any:
        return special.enter(self, manager)

    def convert(self, value: Any, kind: str) -> Thunk:
        return special.convert(self, value, kind)

    def format(self, value: Any, spec: str) -> Thunk:
        if type(value) in self.plain:
            return super().format(value, spec)
        return special.format_value(self, value, spec)

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        return special.store_attribute(self, owner, name, value)

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        return special.store_item(self, owner, key, value)

    def delete_attribute(self, owner: Any, name: str) -> Thunk:
        return special.delete_attribute(self, owner, name)

    def delete_item(self, owner: Any, key: Any) -> Thunk:
        return special.delete_item(self, owner, key)
