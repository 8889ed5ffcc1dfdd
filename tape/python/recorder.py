"""The gate of a run that is recorded: all that the function reads is noted, and nothing is changed.

- Arrays that lie outside are inputs of the recording: tensors stand for them.
- Numbers, texts and the like go on as they are; that they are the same is a check.
- Objects go on as they are. What is read of them is noted: attributes, items, methods.
- What would change something outside, or does nobody knows what, abandons the recording.

Transformations inside of the function read it by gates of the same kind, with the same ledger.
"""

from __future__ import annotations

import abc
import operator
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, ClassVar

import numpy as np

from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.replacements import Replacement
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.python import calls, special
from tapegrad.tape.python.images import Images, original
from tapegrad.tape.python.imaging import PLAIN
from tapegrad.tape.python.ledger import CONTAINERS, Ledger, shown
from tapegrad.tape.python.operators import (
    COMPARE_METHODS,
    METHODS,
    UNARY_METHODS,
)
from tapegrad.tape.python.places import ABSENT, Place, own, slot
from tapegrad.tape.python.purity import (
    CHANGING,
    COMPUTING,
    IMMUTABLE,
    PURE,
    READING,
    SEEDED,
    TYPES,
    WITHOUT_EFFECT,
    words,
)
from tapegrad.tape.python.reading import Reader, replacement
from tapegrad.tape.python.rewriting import FULL
from tapegrad.tape.python.thunks import Thunk, chain, constant

__all__ = ["Recorder"]

_Arguments = tuple[Any, ...]
_HEAP = 1 << 9
_CHANGES = "it changes what is outside it"
_RANDOM = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_DISPATCHED = type(np.sum)
#: What the gate asks in place of a method of C's that is called by its name.
_WRAPPED = {
    "__getattribute__": "attribute",
    "__setattr__": "store_attribute",
    "__delattr__": "delete_attribute",
    "__getitem__": "item",
    "__setitem__": "store_item",
    "__delitem__": "delete_item",
}
_READING_METHODS = words(
    "__abs__ __add__ __and__ __bool__ __contains__ __eq__ __float__ __floordiv__ "
    "__format__ __ge__ __gt__ __hash__ __index__ __int__ __iter__ __le__ __len__ __lt__ "
    "__matmul__ __mod__ __mul__ __ne__ __neg__ __or__ __pos__ __pow__ __radd__ __repr__ "
    "__rmul__ __rsub__ __rtruediv__ __str__ __sub__ __truediv__ __xor__"
)
#: Methods of classes of C's that make an instance of their arguments alone.
_MAKERS = words("__new__ combine from_bytes fromhex fromisoformat fromkeys maketrans")
#: Methods of arrays that talk to the world.
_SPEAKING = words("dump dumps tofile setflags")
#: Functions that do not care what their arguments' methods say.
_DEAF = frozenset(
    (callable, id, isinstance, issubclass, type, super, property, object, partial, getattr, hasattr)
)


class Recorder(Reader):
    """The gate of one run that is recorded, or of a transformation in it.

    Attributes
    ----------
    ledger : Ledger
    """

    images: ClassVar[Images] = Images(FULL)
    #: Callables of this library that hold a user's function: what is read in their place.
    inside: ClassVar[dict[type, Callable[[Any], Any]]] = {}

    def __init__(self, trace: Any, arguments: Any = (), ledger: Ledger | None = None) -> None:
        super().__init__(trace, arguments)
        if ledger is None:
            assert isinstance(self.outer, Recorder)
            ledger = self.outer.ledger
        self.ledger = ledger
        #: Generators of random numbers that the run has made from a seed.
        self._drawing: dict[int, Any] = {}

    def begin(self, function: Any) -> None:
        self.ledger.begin(function)

    def _lower(self, owner: Any, tensor: Tensor) -> None:
        # What the recorded function itself has filled is its own, and part of the recording.
        if self.trace is not self.ledger.trace:
            super()._lower(owner, tensor)

    # Calls ----------------------------------------------------------------------------------------

    def image(self, function: FunctionType) -> FunctionType:
        return super().image(self.ledger.enter(function))

    def callee(self, function: Any) -> Any:
        kind = type(function)
        if kind is FunctionType:
            if replacement(function) is not None:
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
        if kind.__flags__ & _HEAP and not isinstance(function, (type, np.vectorize)):
            self.ledger.ask(function, "__call__")
            method = special.written(kind, "__call__")
            if method is not None and not _is_ours(method):
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
        if cls.__flags__ & _HEAP:
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
        if kind in (operator.attrgetter, operator.itemgetter, operator.methodcaller) and args:
            return self._got(function, args[0])
        if function is vars and len(args) == 1 and not isinstance(args[0], Tensor):
            return self.attribute(args[0], "__dict__")
        owner = getattr(function, "__self__", None) if kind in _BOUND else None
        if kind in (MethodDescriptorType, WrapperDescriptorType) and args:
            return self._again(function.__get__(args[0]), args[1:], kwargs)
        if kind is BuiltinFunctionType and isinstance(owner, Ledger):
            return super().call_with(function, args, kwargs)
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
                return partial(function, *args, **kwargs)
        elif _in(function, SEEDED):
            self._permit(function, args, kwargs)
            made = function(*args, **kwargs)
            self._drawing[id(made)] = made
            return constant(made)
        elif (function is type or function is isinstance) and args and isinstance(args[0], Tensor):
            kind = self.kind_of(args[0])
            return constant(kind) if function is type else partial(issubclass, kind, *args[1:])
        else:
            self._permit(function, args, kwargs)
        args = tuple([self._given(function, a) for a in args])
        kwargs = {name: self._given(function, a) for name, a in kwargs.items()}
        return super().call_with(function, args, kwargs)

    def _again(self, function: Any, args: _Arguments, kwargs: dict[str, Any]) -> Thunk:
        what = self.callee(function)
        if what is not None:
            return partial(what, *args, **kwargs)
        return self.call_with(function, args, kwargs)

    def _got(self, function: Any, owner: Any) -> Thunk:
        """What getters of ``operator`` read."""
        _, names = function.__reduce__()[:2]
        kind = type(function)
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

    def _wrapped(self, function: Any, owner: Any, args: _Arguments) -> Thunk:
        """``object.__setattr__(x, name, value)``: what the statement does."""
        hook = _WRAPPED[function.__name__]
        place = self.ledger.place_of(owner)
        if hook.startswith(("store", "delete")):
            if place is not None:
                self.ledger.abandon(f"{_CHANGES} ({place})")
            return partial(function, *args)
        if hook == "attribute":
            return self._attribute(owner, args[0], partial(function, *args))
        return getattr(self, hook)(owner, *args)  # type: ignore[no-any-return]

    def _method(self, method: Any, owner: Any, args: _Arguments) -> Any:
        """Return what to call for a method of an object of C's, or abandon the recording."""
        name, kind = method.__name__, type(owner)
        place = self.ledger.place_of(owner)
        if isinstance(owner, np.ndarray):
            if name in _SPEAKING:
                self.ledger.abandon(f"it calls {name} of an array")
            return method
        known = next((k for k in kind.__mro__ if k in READING), None)
        if known is not None:
            if name in READING[known] or name in _READING_METHODS:
                whole = self.ledger.whole(owner) if kind in CONTAINERS else owner
                if place is not None and kind not in CONTAINERS:
                    self.ledger.abandon(f"it reads {place}, an object of type {kind.__name__}")
                return method if whole is owner else getattr(whole, name)
            if name in CHANGING.get(known, ()) or name in (
                "__init__",
                "__setitem__",
                "__delitem__",
            ):
                if place is not None:
                    self.ledger.abandon(f"{_CHANGES} ({place}, by {name})")
                return method
        if isinstance(owner, _RANDOM):
            if id(owner) in self._drawing:
                return method
            self.ledger.abandon("it draws random numbers, which a plan would not draw anew")
        if isinstance(owner, IMMUTABLE) or name in ("__init__", "__init_subclass__"):
            if name in _READING_METHODS or isinstance(owner, IMMUTABLE) or place is None:
                return method
        if isinstance(owner, (GeneratorType, *_ITERATORS)) and place is None:
            return method
        if place is None and kind in CHANGING and name in CHANGING[kind]:
            return method
        if place is None and isinstance(owner, (property, BaseException, super)):
            return method
        if kind.__flags__ & _HEAP and name in ("__eq__", "__ne__", "__hash__"):
            self.ledger.identity(owner)
            return method
        return self.ledger.abandon(f"it calls {name} of an object of type {kind.__name__}")

    def _permit(self, function: Any, args: _Arguments, kwargs: dict[str, Any]) -> None:
        """Abandon the recording if nobody knows what a function does."""
        kind = type(function)
        if (function is isinstance or function is issubclass) and len(args) == 2:
            self._ask_kinds(args[1])
        if function is np.errstate and not _QUIET.issuperset(map(_text, kwargs.values())):
            self.ledger.abandon("it asks NumPy for more than warnings")
        if (
            _in(function, SEEDED)
            and args
            and (type(args[0]) is int or id(args[0]) in self._drawing)
        ):
            return
        if kind is np.ufunc or (kind is _DISPATCHED and function in WITHOUT_EFFECT):
            return
        if isinstance(function, type):
            if function in TYPES or issubclass(function, BaseException):
                return
            if function.__flags__ & _HEAP and not _is_library(function):
                new = special.lookup(function, "__new__")
                made = getattr(new, "__self__", None)
                if type(new) is staticmethod or made in TYPES:
                    return
            if _is_ours(function):
                return
            self.ledger.abandon(f"it makes an object of type {function.__name__}")
        if kind is FunctionType or kind.__flags__ & _HEAP:
            if _is_ours(function) or replacement(function) is not None:
                return
            if isinstance(function, np.vectorize):
                return
        elif kind is BuiltinFunctionType or kind is MethodWrapperType or kind is _DISPATCHED:
            owner = getattr(function, "__self__", None)
            if isinstance(owner, type) and function.__name__ in _MAKERS:
                return
            if isinstance(owner, Tensor) or _in(function, PURE):
                return
            if _module(function) in COMPUTING and type(functions.find(function)) is Replacement:
                return
        elif not callable(function):
            return
        name = getattr(function, "__qualname__", None) or kind.__qualname__
        module = getattr(function, "__module__", None)
        named = name if module in (None, "builtins") else f"{module}.{name}"
        self.ledger.abandon(f"it calls {named}, which a plan would not do anew")

    def _ask_kinds(self, kinds: Any) -> None:
        """Note what ``isinstance`` asks of classes that answer for themselves."""
        for kind in kinds if type(kinds) is tuple else getattr(kinds, "__args__", (kinds,)):
            if type(kind) is tuple:
                self._ask_kinds(kind)
            elif special.is_a(kind, abc.ABCMeta):
                place = Place.constant(abc.get_cache_token, "the registry of abstract classes")
                self.ledger.check(place.called((), {}), "shown", shown(abc.get_cache_token()))
            elif special.written(type(kind), "__instancecheck__") is not None:
                self.ledger.abandon("it asks a class that answers isinstance by code")

    def _given(self, function: Any, value: Any) -> Any:
        """Return what a function gets that has no image."""
        kind = type(value)
        if kind in CONTAINERS or kind is np.ndarray:
            return self.ledger.whole(value)
        if kind in PLAIN or isinstance(value, Tensor):
            return value
        ours = _is_ours(function)
        if kind in (FunctionType, MethodType, partial):
            return calls.callback(self, value) if ours else value
        if ours and kind not in (type, ModuleType) and kind.__flags__ & _HEAP:
            return self._nest(value)
        if self.ledger.place_of(value) is not None:
            if isinstance(value, GeneratorType) or not kind.__flags__ & _HEAP:
                if not isinstance(
                    value, (*IMMUTABLE, type, ModuleType, BuiltinFunctionType, np.ufunc)
                ):
                    if not _in(function, _DEAF) and type(value) is not _DISPATCHED:
                        self.ledger.abandon(f"it reads an object of type {kind.__name__}")
            elif not _in(function, _DEAF) and not calls.is_shown(function):
                self.ledger.identity(value)
        return value

    def _nest(self, value: Any) -> Any:
        """Return a nest with inputs in place of the arrays in its instances."""
        leaves, structure = flatten(value)
        if len(leaves) == 1 and leaves[0] is value:
            return value
        place = self.ledger.place_of(value)
        if place is None:
            return value
        parts = [self._nest_leaf(value, place, path) for path in special.own_names(value)]
        del parts
        leaves, structure = flatten(value)
        return unflatten(structure, [self.ledger.tensor_for(leaf) for leaf in leaves])

    def _nest_leaf(self, value: Any, place: Place, name: str) -> Any:
        part = self.ledger.outside(own(value, name), place.own(name))
        return self._nest(part) if type(part).__flags__ & _HEAP else self.ledger.whole(part)

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

    # Names ----------------------------------------------------------------------------------------

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
        return self.ledger.outside(value, Place.name(names, name))

    def before_cell(self, cell: CellType, name: str) -> None:
        if self.ledger.is_outer(cell):
            place = Place.cell(cell, name)
            if place.read() is ABSENT:
                self.ledger.check(place, "same", ABSENT)

    def read_cell(self, value: Any, cell: CellType, name: str) -> Any:
        if not self.ledger.is_outer(cell):
            return value
        return self.ledger.outside(value, Place.cell(cell, name))

    def made(self, value: Any) -> Any:
        return value if type(value) in CONTAINERS else self.ledger.make(value)

    def comprehension(self, function: FunctionType) -> FunctionType:
        return self.image(self.ledger.make(function))

    # Attributes and items --------------------------------------------------------------------------

    def attribute(self, owner: Any, name: str) -> Thunk:
        return self._attribute(owner, name, None)

    def _attribute(self, owner: Any, name: str, ask: Thunk | None) -> Thunk:
        kind = type(owner)
        if isinstance(owner, Tensor) or kind in PLAIN or kind is super:
            return super().attribute(owner, name) if ask is None else ask
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
        if special.is_a(owner, ModuleType):
            if place is None:  # a module that the run has imported
                place = Place.constant(owner, owner.__name__)
            held = own(owner, name)
            if held is ABSENT:
                ledger.check(place.own(name), "same", ABSENT)
                ledger.of_class(kind, name)
                ledger.check(place.own("__getattr__"), "same", own(owner, "__getattr__"))
                return None, None
            return held, place.own(name)
        if special.is_a(owner, type):
            return self._held_by_class(owner, kind, name)
        if not kind.__flags__ & _HEAP:
            return self._held_by_c(owner, kind, name, place)
        if name == "__dict__":
            names = special.own_names(owner)
            if place is not None:
                ledger.remember(names, place.names())
            return None, None
        found = special.lookup(kind, name, ABSENT)
        for method in ("__getattribute__", "__getattr__"):
            if special.written(kind, method) is not None:
                ledger.of_class(kind, method)
        ledger.of_class(kind, name)
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
        if found is ABSENT:
            return None, None
        cls = Place.constant(kind, kind.__qualname__)
        if type(found) in (staticmethod, classmethod):
            ledger.remember(found.__func__, cls.of_class(name).inside("__func__"))
            return None, None
        return found, cls.of_class(name)

    def _held_by_class(self, owner: type, kind: type, name: str) -> tuple[Any, Place | None]:
        root = Place.constant(owner, owner.__qualname__)
        if kind is not type:
            self.ledger.of_class(kind, name)
        found = self.ledger.of_class(owner, name)
        of_meta = special.lookup(kind, name)
        if special.is_a(of_meta, property):
            return None, None
        if found is ABSENT:
            if name in ("__name__", "__qualname__", "__module__", "__mro__", "__bases__"):
                return getattr(owner, name), root.inside(name)
            return None, None
        if type(found) in (staticmethod, classmethod):
            return None, None
        return found, root.of_class(name)

    def _held_by_c(
        self, owner: Any, kind: type, name: str, place: Place | None
    ) -> tuple[Any, Place | None]:
        """An attribute of an object of C's: methods are looked at when they are called."""
        if place is None or isinstance(owner, IMMUTABLE):
            return None, None
        if isinstance(owner, _RANDOM):
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
        if kind in (BuiltinFunctionType, np.ufunc, _DISPATCHED):
            return None, None
        return self.ledger.abandon(f"it reads {name} of an object of type {kind.__name__}")

    def _held_by_descriptor(
        self, owner: Any, found: Any, name: str, place: Place | None
    ) -> tuple[Any, Place | None]:
        if place is None or special.is_a(found, property):
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
        if kind.__flags__ & _HEAP and not isinstance(owner, (Tensor, type)):
            self.ledger.ask(owner, "__getitem__", "__missing__")
        if place is None or isinstance(owner, (Tensor, np.ndarray)) or kind in PLAIN:
            return super().item(owner, key)
        if kind not in (list, tuple, dict):
            if special.written(kind, "__getitem__") is not None or isinstance(owner, IMMUTABLE):
                return super().item(owner, key)
            if isinstance(owner, type):
                return super().item(owner, key)
            return self.ledger.abandon(f"it reads an item of {place}")  # type: ignore[no-any-return]
        if type(key) is slice:
            return super().item(self.ledger.whole(owner), key)
        if isinstance(key, Tensor):
            key = operator.index(key) if kind is not dict else _plain_key(key)
        if shown(key) is None:
            if special.written(type(key), "__hash__") or special.written(type(key), "__eq__"):
                self.ledger.abandon("a key is an object that compares by code")
            self.ledger.identity(key)
        try:
            value = owner[key]
        except (LookupError, TypeError):
            self.ledger.whole(owner)
            return super().item(owner, key)
        return constant(self.ledger.outside(value, place.item(key)))

    # Operators --------------------------------------------------------------------------------------

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        if type(a) not in PLAIN or type(b) not in PLAIN:
            name = METHODS[symbol.removesuffix("=")]
            for value in (a, b):
                self.ledger.ask(value, f"__{name}__", f"__r{name}__", f"__i{name}__")
            place = self.ledger.place_of(a)
            if symbol[-1] == "=" and place is not None and type(a) in (list, set, dict):
                self.ledger.abandon(f"{_CHANGES} ({place})")
            a, b = self._operand(a), self._operand(b)
        return super().binary(a, b, symbol)

    def _operand(self, value: Any) -> Any:
        kind = type(value)
        if kind in CONTAINERS or kind is np.ndarray:
            return self.ledger.whole(value)
        if self.ledger.place_of(value) is None or kind.__flags__ & _HEAP:
            return value
        if not isinstance(value, (*IMMUTABLE, FunctionType, ModuleType, type, BuiltinFunctionType)):
            self.ledger.abandon(f"it computes with an object of type {kind.__name__}")
        return value

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
            a, b = self._operand(a), self._operand(b)
        return super().compare(a, b, symbol)

    def _identify(self, value: Any) -> None:
        kind = type(value)
        if kind not in CONTAINERS and not isinstance(value, (Tensor, np.ndarray)):
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
                    if special.written(type(value), "__eq__") is not None:
                        self.ledger.abandon("it looks for an object that compares by code")
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
            elif self.ledger.place_of(value) is not None and not kind.__flags__ & _HEAP:
                self._operand(value)
        return super().truth(value)

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
            if not written and not isinstance(value, (*IMMUTABLE, type)):
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
        written = special.written(kind, "__enter__") is not None and not _is_library(kind)
        if not written and kind is not np.errstate and not _is_ours(kind):
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
        if kind in PLAIN or isinstance(value, Tensor):
            return
        if kind in CONTAINERS:
            if shown(self.ledger.whole(value)) is None:
                self.ledger.abandon("it prints what a container holds")
            return
        self.ledger.ask(value, "__format__", "__str__", "__repr__")
        if self.ledger.place_of(value) is not None:
            self.ledger.identity(value)

    # Changes -----------------------------------------------------------------------------------------

    def _own_only(self, owner: Any, *names: str) -> None:
        self.ledger.ask(owner, *names)
        if self.ledger.place_of(owner) is not None and not isinstance(owner, Tensor):
            kind = type(owner)
            if special.written(kind, names[0]) is None:
                self.ledger.abandon(f"{_CHANGES} ({self.ledger.place_of(owner)})")

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        found = special.lookup(type(owner), name)
        self.ledger.ask(owner, "__setattr__", name)
        described = special.is_a(found, property) or (
            found is not None and special.written(type(found), "__set__") is not None
        )
        if not described:
            self._own_only(owner, "__setattr__")
        if isinstance(owner, (type, ModuleType)) and self.ledger.place_of(owner) is not None:
            self.ledger.abandon(f"{_CHANGES} ({self.ledger.place_of(owner)})")
        return super().store_attribute(value, owner, name)

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        if not isinstance(owner, np.ndarray):
            self._own_only(owner, "__setitem__")
        return super().store_item(value, owner, key)

    def store_name(self, value: Any, name: str) -> Any:
        return self.ledger.abandon(f"{_CHANGES} (the global name {name})")

    def store_cell(self, value: Any, cell: CellType, name: str) -> Any:
        if self.ledger.is_outer(cell):
            self.ledger.abandon(f"{_CHANGES} (the variable {name})")
        return value

    def delete_attribute(self, owner: Any, name: str) -> Thunk:
        self._own_only(owner, "__delattr__")
        return super().delete_attribute(owner, name)

    def delete_item(self, owner: Any, key: Any) -> Thunk:
        self._own_only(owner, "__delitem__")
        return super().delete_item(owner, key)

    def delete_name(self, name: str) -> None:
        self.ledger.abandon(f"{_CHANGES} (the global name {name})")

    def delete_cell(self, cell: CellType, name: str) -> None:
        if self.ledger.is_outer(cell):
            self.ledger.abandon(f"{_CHANGES} (the variable {name})")

    # Imports and patterns ------------------------------------------------------------------------------

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


_QUIET = frozenset(("ignore", "warn"))
_CYTHON = type(np.random.Generator.normal)
_BOUND = (BuiltinFunctionType, MethodWrapperType, MethodType)
_ITERATORS = tuple(
    type(value)
    for value in (
        iter([]), iter(()), iter({}), iter(set()), iter(""), iter(range(0)), iter({}.items()),
        iter({}.values()), reversed([]), enumerate(()), zip(), map(abs, ()), filter(None, ()),
        iter(b""), np.nditer(np.zeros(1)), np.zeros(1).flat, {}.keys(), {}.values(), {}.items(),
    )
)  # fmt: skip


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


def _in(function: Any, table: frozenset[Any]) -> bool:
    try:
        return function in table
    except TypeError:
        return False


def _is_ours(function: Any) -> bool:
    kind = function if isinstance(function, type) else type(function)
    if kind in (FunctionType, MethodType):
        return str(function.__module__).partition(".")[0] == "tapegrad"
    return str(kind.__module__).partition(".")[0] == "tapegrad"


def _is_library(cls: type) -> bool:
    return str(cls.__module__).partition(".")[0] in ("numpy", "numba", "llvmlite")


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _module(function: Any) -> str:
    return str(getattr(function, "__module__", "")).partition(".")[0]


def _plain_key(key: Tensor) -> Any:
    hash(key)  # which makes its value a guard
    value: Any = key
    while isinstance(value, Tensor):
        value = value.value
    return value[()]
