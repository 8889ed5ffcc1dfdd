"""What a recorded function calls: its image, what only computes, or the end of the recording.

Functions of C's are looked up in the tables of :mod:`~tapegrad.tape.python.purity`. They get inputs in
place of the arrays that they are given, also of those in containers.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, ClassVar

import numpy as np

from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.replacements import replacement_of
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.kinds import is_read_in_c, kinds
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.pytree import flatten, parts_of, unflatten
from tapegrad.tape.python import calls, special
from tapegrad.tape.python.checks import CONTAINERS, shown
from tapegrad.tape.python.gate import Gate
from tapegrad.tape.python.images import original
from tapegrad.tape.python.imaging import PLAIN
from tapegrad.tape.python.known_code import is_ours
from tapegrad.tape.python.permissions import Permissions, is_code, is_in, module_of, runs_unseen
from tapegrad.tape.python.places import Place
from tapegrad.tape.python.purity import (
    IMMUTABLE,
    SEEDED,
)
from tapegrad.tape.python.reads import CHANGES, DISPATCHED
from tapegrad.tape.python.sparse_operands import read_sparse
from tapegrad.tape.python.speaking import BLIND
from tapegrad.tape.python.thunks import Thunk, chain, constant

__all__ = ["Calls"]

_Arguments = tuple[Any, ...]
#: What the gate asks in place of a method of C's that is called by its name.
_WRAPPED = {
    "__getattribute__": "attribute",
    "__setattr__": "store_attribute",
    "__delattr__": "delete_attribute",
    "__getitem__": "item",
    "__setitem__": "store_item",
    "__delitem__": "delete_item",
}
#: Outside objects about which identity says all.
_TOLD = (*IMMUTABLE, type, ModuleType, BuiltinFunctionType, np.ufunc, DISPATCHED)
_CYTHON = type(np.random.Generator.normal)
_BOUND = (BuiltinFunctionType, MethodWrapperType, MethodType)


class Calls(Permissions):
    """The part of a recorder that decides what is called.

    Attributes
    ----------
    inside : dict
        Callables of this library that hold a user's function: what is read in their place.
    """

    inside: ClassVar[dict[type, Callable[[Any], Any]]] = {}

    # Calls ----------------------------------------------------------------------------------------

    call = Gate.call  # all calls are looked at, those of ufuncs, too

    def image(self, function: FunctionType) -> FunctionType:
        image = super().image(self.ledger.enter(function))
        return self.ledger.make(image) if self.ledger.is_own(function) else image  # type: ignore[no-any-return]

    def callee(self, function: Any) -> Any:
        kind = type(function)
        if kind is FunctionType:
            if replacement_of(function) is not None:
                return None
            image = self.image(function)
            return None if original(image.__code__) is image.__code__ else image
        if kind is MethodType:
            method = self._open(function)
            image = self.callee(method.__func__)
            return None if image is None else MethodType(image, method.__self__)
        if kind in self.inside:
            self.ledger.identity(function)
            return self.callee(self.inside[kind](function))
        if special.in_python(kind) and not isinstance(function, (type, np.vectorize)):
            self.ledger.ask(function, "__call__")
            method = special.written(kind, "__call__")
            if method is not None and not is_ours(method):
                return MethodType(self.image(method), function)
        elif isinstance(function, type):
            self._ask_to_make(function)
            metaclass = type(function)
            if metaclass is not type:
                self.ledger.ask(function, "__call__")
                method = special.written(metaclass, "__call__")
                if method is not None:
                    return MethodType(self.image(method), function)
        return None

    def _ask_to_make(self, cls: type) -> None:
        if special.in_python(cls):
            for name in ("__new__", "__init__"):
                self.ledger.of_class(cls, name)

    def _open(self, function: Any) -> Any:
        """Return a bound method or a partial with inputs in place of the arrays in it."""
        place = self.ledger.place_of(function)
        if place is None:
            return function
        names = (
            ("func", "args", "keywords") if type(function) is partial else ("__func__", "__self__")
        )
        old = [getattr(function, name) for name in names]
        new = [
            self.ledger.whole(self.ledger.outside(part, place.inside(name)))
            for part, name in zip(old, names)
        ]
        if all(a is b for a, b in zip(old, new)):
            return function
        if type(function) is MethodType:
            return MethodType(*new)
        return partial(new[0], *new[1], **new[2])

    def call_with(self, function: Any, args: _Arguments, kwargs: dict[str, Any]) -> Thunk:
        kind = type(function)
        if kind is partial:
            opened = self._open(function)
            return self._again(opened.func, (*opened.args, *args), {**opened.keywords, **kwargs})
        if kind is MethodType and type(function.__func__) is not _CYTHON:
            return self._again(function.__func__, (function.__self__, *args), kwargs)
        if kind is calls.CACHED:
            return self._cached(function, args, kwargs)
        if kind is np.vectorize:
            return partial(
                functions.find(np.vectorize.__call__), self._vectorised(function), *args, **kwargs
            )
        if kind in (operator.attrgetter, operator.itemgetter, operator.methodcaller) and args:
            return self._got(function, args[0])
        if function is vars and len(args) == 1 and not isinstance(args[0], Tensor):
            return self.attribute(args[0], "__dict__")
        owner = getattr(function, "__self__", None) if kind in _BOUND else None
        if kind in (MethodDescriptorType, WrapperDescriptorType) and args:
            return self._again(function.__get__(args[0]), args[1:], kwargs)
        if kind is MethodWrapperType and function.__name__ in _WRAPPED and not kwargs:
            return self._wrapped(function, owner, args)
        if owner is not None and not isinstance(owner, (ModuleType, type, Tensor)):
            lies = self.ledger.place_of(function)
            if lies is not None:
                owner = self.ledger.outside(owner, lies.inside("__self__"))
                if isinstance(owner, Tensor):
                    return self._again(getattr(owner, function.__name__), args, kwargs)
            function = self._method(function, owner, args)
            if kind is MethodType:
                args = tuple([self.see_all(a) for a in args])
                kwargs = {name: self.see_all(a) for name, a in kwargs.items()}
                return partial(function, *args, **kwargs)
        elif is_in(function, SEEDED):
            self._permit(function, args, kwargs)
            made = function(*args, **kwargs)
            self.ledger.drawing[id(made)] = made
            return constant(made)
        elif (function is type or function is isinstance) and args and isinstance(args[0], Tensor):
            kind = self.kind_of(args[0])
            if function is type:
                return constant(kind)
            return constant(issubclass(kind, args[1]) or isinstance(args[0], args[1]))
        else:
            self._permit(function, args, kwargs)
        function, args, kwargs = read_sparse(self, function, args, kwargs, is_ours(function))
        if function is type and len(args) == 3:
            self._ask_bases(args[1], type)
        if function is builtins.__build_class__:
            self._ask_bases(args[2:], kwargs.get("metaclass", type))
            return chain(super().call_with(function, args, kwargs), self._note_class)
        if function is id or function is hash:
            self._ask_identity(args)
        elif not is_ours(function) and not self._is_deaf(function, owner, args, kwargs):
            if type(owner) in CONTAINERS and self.ledger.speaks(owner):
                self.ledger.abandon(f"{function.__name__} asks objects that answer by code")
            args = tuple([self._silent(function, i, a) for i, a in enumerate(args)])
            kwargs = {name: self._silent(function, 1, a) for name, a in kwargs.items()}
        args = tuple([self._given(function, a) for a in args])
        kwargs = {name: self._given(function, a) for name, a in kwargs.items()}
        return super().call_with(function, args, kwargs)

    def _note_class(self, cls: Any) -> Thunk:
        """Note a class that was made; code of a metaclass may have returned any other."""
        if special.is_a(cls, type):
            for member in special.names_of(cls).values():
                if runs_unseen(special.written(type(member), "__set_name__")):
                    self.ledger.abandon("a class that it makes calls __set_name__")
        return constant(self.ledger.make(cls) if type(cls) is type else cls)

    def _again(self, function: Any, args: _Arguments, kwargs: dict[str, Any]) -> Thunk:
        what = self.callee(function)
        if what is not None:
            return partial(what, *args, **kwargs)
        return self.call_with(function, args, kwargs)

    def _got(self, function: Any, owner: Any) -> Thunk:
        """What getters of ``operator`` read."""
        made, names = function.__reduce__()[:2]
        kind = type(function)
        if made is not kind:
            self.ledger.abandon("it calls operator.methodcaller with named arguments")
        if kind is operator.methodcaller:
            return chain(
                self.attribute(owner, names[0]),
                lambda method: self._again(method, names[1:], {}),
            )

        def step(value: Any, name: Any) -> Thunk:
            if kind is operator.itemgetter:
                return self.item(value, name)
            first, *rest = name.split(".")
            return chain(
                self.attribute(value, first), *(partial(self._attribute_of, part) for part in rest)
            )

        if len(names) == 1:
            return step(owner, names[0])
        return chain(*_each([partial(step, owner, name) for name in names]))

    def _attribute_of(self, name: str, value: Any) -> Thunk:
        return self.attribute(value, name)

    def _cached(self, function: Any, args: _Arguments, kwargs: dict[str, Any]) -> Thunk:
        """A cache's answer is an outside object; what is not in it would be put there."""
        if shown((args, kwargs)) is None:
            return self._again(function.__wrapped__, args, kwargs)
        before = function.cache_info()
        value = function(*args, **kwargs)
        if function.cache_info().misses != before.misses:
            self.ledger.abandon(f"{function.__name__} puts its result into a cache")
        place = Place.constant(function, function.__name__).called(args, kwargs)
        return constant(self.ledger.outside(value, place))

    def _vectorised(self, function: Any) -> Any:
        """Return an ``np.vectorize`` whose function is the image."""
        place = self.ledger.place_of(function)
        names = dict(vars(function))
        if place is not None:
            names = {n: self.ledger.outside(v, place.own(n)) for n, v in names.items()}
            names = {n: self.ledger.whole(v) for n, v in names.items()}
        new = object.__new__(np.vectorize)
        new.__dict__.update(names, pyfunc=calls.callback(self, names["pyfunc"]))
        return new

    def _wrapped(self, function: Any, owner: Any, args: _Arguments) -> Thunk:
        """``object.__setattr__(x, name, value)``: what the statement does."""
        hook = _WRAPPED[function.__name__]
        place = self.ledger.place_of(owner)
        if hook == "store_item" and isinstance(owner, np.ndarray) and len(args) == 2:
            return self.store_item(args[1], owner, args[0])
        if hook.startswith(("store", "delete")):
            self._own_classes_only(owner)
            if place is not None:
                self.ledger.abandon(f"{CHANGES} ({place})")
            return partial(function, *args)
        if hook == "attribute":
            return self._attribute(owner, args[0], partial(function, *args))
        return getattr(self, hook)(owner, *args)  # type: ignore[no-any-return]

    def _own_classes_only(self, owner: Any) -> None:
        """End the recording if it changes a module, or a class that it has not made for certain."""
        if isinstance(owner, (type, ModuleType)) and not self.ledger.is_own(owner):
            self.ledger.abandon(f"{CHANGES} ({owner.__name__})")

    def _given(self, function: Any, value: Any) -> Any:
        """Return what a function gets that has no image."""
        kind = type(value)
        calls_back = module_of(function) in ("numpy", "tapegrad")
        if is_ours(function) and (kind in CONTAINERS or kinds[kind] is not None):
            value = self._nest(value)
        if kind in CONTAINERS:
            whole = self.ledger.whole(value)
            if calls_back and kind in (list, tuple) and any(map(is_code, whole)):
                return kind([self._given(function, part) for part in whole])
            return whole
        if kind is np.ndarray:
            return self.ledger.whole(value)
        if kind in PLAIN or isinstance(value, Tensor):
            return value
        if is_ours(function) and kinds[kind] is not None:
            return value
        if is_code(value):
            return calls.callback(self, value) if calls_back and not is_ours(value) else value
        if self.ledger.place_of(value) is None or is_in(function, BLIND):
            return value
        if special.in_python(kind):
            if not isinstance(value, tuple) and not calls.is_shown(function):
                self.ledger.identity(value)
        elif not isinstance(value, _TOLD):
            self.ledger.abandon(f"it reads an object of type {kind.__name__}")
        return value

    def _nest(self, value: Any) -> Any:
        """Return a nest with inputs in place of the arrays in it, whatever its parts are kept in."""
        kind = type(value)
        if kind in CONTAINERS or kind is np.ndarray:
            whole = self.ledger.whole(value)
            if kind in (list, tuple):
                parts = [self._nest(part) for part in whole]
                return whole if _all_same(parts, whole) else kind(parts)
            if kind is dict:
                parts = [self._nest(part) for part in whole.values()]
                return whole if _all_same(parts, whole.values()) else dict(zip(whole, parts))
            return whole
        if kind in PLAIN or isinstance(value, Tensor) or kinds[kind] is None:
            return value
        place = self.ledger.place_of(value)
        if place is None:
            parts = list(parts_of(value))
            if not _all_same([self._nest(part) for part in parts], parts):
                self.ledger.abandon(f"an object of type {kind.__name__} holds one from outside")
            return value
        leaves, structure = flatten(value)
        if not is_read_in_c(structure):
            self.ledger.abandon(f"{place} is taken apart by code of its class")
        read = place.leaves(structure)
        self.ledger.check(read, "length", len(leaves))
        return unflatten(
            structure,
            [
                # A named tuple has inputs in it already, if what it lies in was read whole.
                v if self._is_input(v) else self.ledger.outside(v, read.item(i))
                for i, v in enumerate(leaves)
            ],
        )

    def _is_input(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.live_trace is self.ledger.trace

    def kind_of(self, tensor: Tensor) -> type:
        """Return the class of what a traced value stands for."""
        kind = stands_for(tensor)
        if kind is not None:
            return kind
        value: Any = tensor
        while isinstance(value, Tensor):
            if value.live_trace is self.ledger.trace:
                return type(self.ledger.trace.example(value))
            value = value.value
        return np.ndarray

    def take(self, value: Any) -> Any:
        return self.ledger.tensor_for(value) if type(value) is np.ndarray else value


def _each(steps: list[Callable[[], Thunk]]) -> Iterator[Any]:
    """Thunks that answer several steps one after the other, as a tuple."""
    results: list[Any] = []

    def then(index: int) -> Callable[[Any], Thunk]:
        def go(value: Any) -> Thunk:
            results.append(value)
            return steps[index]() if index < len(steps) else constant(tuple(results))

        return go

    yield steps[0]()
    for i in range(len(steps)):
        yield then(i + 1)


def _all_same(new: Iterable[Any], old: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(new, old))
