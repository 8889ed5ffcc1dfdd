"""What to call in place of a callable: images of whatever of it is written in Python.

Of functions of C's, two kinds are known. Some call what they are given (``sorted(key=)``, ``map``,
``functools.reduce``): they are given images. Others ask a special method of it (``len``, ``str``):
they are given a stand-in whose method is the image. All others are called as they are.
"""

from __future__ import annotations

import _thread
import builtins
import functools
import itertools
import math
import operator
from collections.abc import Callable
from functools import partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.python import debugging, special
from tapegrad.tape.python.gate import Gate, current
from tapegrad.tape.python.operators import BINARY, COMPARE, UNARY
from tapegrad.tape.python.thunks import Thunk, constant, stand_in
from tapegrad.tape.python.walks import walk_back

if TYPE_CHECKING:
    from tapegrad.tape.python.imaging import Imaging

__all__ = ["ANSWERS", "CACHED", "answer", "callback", "is_shown", "shown", "takes_numbers"]

CACHED = type(functools.lru_cache(abs))

Answer = Callable[["Imaging", Any], Any]


def answer(kind: type) -> Answer:
    """Return what answers `Gate.callee` for callables of a type that `ANSWERS` does not list."""
    return _class if issubclass(kind, type) else _object


def _image(gate: Imaging, function: FunctionType) -> Any:
    image = gate.image(function)
    return None if image is function and debugging.stops(function) else image


def _method(gate: Imaging, method: MethodType) -> Any:
    image = gate.callee(method.__func__)
    if image is method.__func__:
        return method
    return None if image is None else MethodType(image, method.__self__)


def _partial(gate: Imaging, function: partial[Any]) -> Any:
    image = gate.callee(function.func)
    if image is function.func:
        return function
    return None if image is None else partial(image, *function.args, **function.keywords)


def _static(gate: Imaging, method: staticmethod[Any, Any]) -> Any:
    return gate.callee(method.__func__)


def _builtin(gate: Imaging, function: Any) -> Any:
    return None if id(function) in _SHOWN or _sorts(function) else function


def _sorts(function: Any) -> bool:
    return function.__name__ == "sort" and special.is_a(function.__self__, list)


def _cached(gate: Imaging, function: Any) -> Any:
    return gate.cached(function)


def _class(gate: Imaging, cls: Any) -> Any:
    if not special.is_heap(cls):
        return None if id(cls) in _SHOWN else cls
    kind = type(cls)
    if kind is not type:
        method = special.written(kind, "__call__")
        if method is not None:
            return MethodType(gate.image(method), cls)
    new = special.lookup(cls, "__new__")
    plain = type(new) is not staticmethod or type(new.__func__) is not FunctionType
    if plain and special.written(cls, "__init__") is None and id(cls) not in _SHOWN:
        # Where everything is asked about, what a class makes is noted, too.
        return None if kind is type and "displays" in gate.images.level.always else cls
    return None


def _object(gate: Imaging, value: Any) -> Any:
    method = special.written(type(value), "__call__")
    return value if method is None else MethodType(gate.image(method), value)


#: What answers `Gate.callee`, by type; None where the callable is called as it is.
ANSWERS: dict[type, Answer | None] = {
    FunctionType: _image,
    MethodType: _method,
    partial: _partial,
    staticmethod: _static,
    type: _class,
    BuiltinFunctionType: _builtin,
    CACHED: _cached,
    MethodDescriptorType: None,
    MethodWrapperType: None,
    WrapperDescriptorType: None,
    GetSetDescriptorType: None,
    np.ufunc: None,
    type(np.sum): None,
}


def shown(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    """Return what to call for ``function(*args, **kwargs)``."""
    show = _SHOWN.get(id(function)) or _SHOWN_TYPES.get(type(function))
    if show is not None:
        return show(gate, function, args, kwargs)
    if special.is_a(function, type) and special.is_heap(function):
        return special.construct(gate, function, args, kwargs)
    return Gate.call_with(gate, function, args, kwargs)


def is_shown(function: Any) -> bool:
    """Whether a function of C's is known to call or to ask its arguments, which it gets as images."""
    return id(function) in _SHOWN


def takes_numbers(function: Any) -> bool:
    """Whether a function of C's takes objects that say by ``__float__`` which number they are."""
    return _SHOWN.get(id(function)) is _of_numbers


def callback(gate: Imaging, function: Any) -> Any:
    """Return what to give in place of `function` to code of C's that calls it."""
    image = gate.callee(function)
    gate.gives(image)
    if image is function:
        return function
    if image is None:  # a class: no function of C's alone could make an instance by images

        def call(*args: Any, **kwargs: Any) -> Any:
            result = gate.call_with(function, args, kwargs)()
            current.get().settle()
            return result

        return call
    if type(image) is FunctionType:
        image.__dict__.update(function.__dict__)
        image.__qualname__ = function.__qualname__
        image.__doc__ = function.__doc__
    return image


Show = Callable[["Imaging", Any, tuple[Any, ...], dict[str, Any]], Thunk]


def _given(*functions: int | str, over: slice | None = None) -> Show:
    """Show callables that call what is given at `functions` and iterate over what is given at `over`."""

    def show(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        iterated = range(len(args))[over] if over else ()
        new = (
            callback(gate, a) if i in functions else gate.iterate(a) if i in iterated else a
            for i, a in enumerate(args)
        )
        named = {n: callback(gate, v) if n in functions else v for n, v in kwargs.items()}
        return partial(function, *new, **named)

    return show


def _asking(gate: Imaging, value: Any, names: tuple[str, ...]) -> Any:
    """A stand-in for `value`, if the first of these methods that it has is written in Python."""
    cls = type(value)
    if cls not in gate.plain and special.is_heap(cls):
        gate.asked(value, names)
        for name in names:
            if special.lookup(cls, name) not in (None, getattr(object, name, None)):
                if special.written(cls, name) is not None:
                    return stand_in(value, **{name: special.bound(gate, name, value)})
                break
    return value


def _asked(*names: str) -> Show:
    """Show callables that ask a special method of their first argument."""

    def show(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        if args:
            args = (_asking(gate, args[0], names), *args[1:])
        return partial(function, *args, **kwargs)

    return show


def _of_numbers(
    gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Thunk:
    """Show callables that take what an object's ``__float__`` returns: it may be traced."""
    if not gate.traces or kwargs or not any(special.written(type(a), "__float__") for a in args):
        asked = (_asking(gate, a, ("__float__", "__index__")) for a in args)
        return partial(function, *asked, **kwargs)  # with no frame of ours between

    def call() -> Any:
        numbers = [_number_of(gate, a) for a in args]
        return gate.call_with(function, tuple(numbers), {})()

    return call


def _number_of(gate: Imaging, value: Any) -> Any:
    """Return what ``value.__float__()`` returns, if it is written in Python."""
    method = special.written(type(value), "__float__")
    if method is None:
        return value
    number = gate.image(method)(value)
    if gate.is_traced_number(number):
        return gate.call_with(float, (number,), {})()
    return float(stand_in(value, __float__=constant(number)))  # or Python's error


def _operation(hook: str, *order: int, after: tuple[Any, ...] = ()) -> Show:
    """Show callables that do what an instruction does: the gate's hook for that is asked."""

    def show(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        if len(args) != len(order) or kwargs:
            return partial(function, *args, **kwargs)
        return getattr(gate, hook)(*(args[i] for i in order), *after)

    return show


def _getattr(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    if len(args) not in (2, 3) or kwargs or type(args[1]) is not str:
        return partial(function, *args, **kwargs)
    ask = gate.attribute(*args[:2])
    if len(args) == 2 and function is getattr:
        return ask
    return partial(function, special.Answer(ask), "value", *args[2:])


def _smallest(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    show = _given("key", over=slice(0, 1)) if len(args) == 1 else _given("key")
    return show(gate, function, args, kwargs)


def _iterator(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    show = _given(over=_FIRST) if len(args) == 1 else _given(0)
    return show(gate, function, args, kwargs)


def _reversed(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    back = walk_back(args[0]) if len(args) == 1 else None
    if back is not None:
        return partial(function, stand_in(args[0], __reversed__=constant(back)))
    return _asked("__reversed__")(gate, function, args, kwargs)


def _begin_thread(
    gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Thunk:
    """What a thread runs is no image; it has the context of the transformation that begins it."""
    if not args:
        return partial(function, **kwargs)
    return partial(function, partial(gate.elsewhere().run, args[0]), *args[1:], **kwargs)


def _build_class(
    gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Thunk:
    """The body of a class is part of the function that it stands in, and runs as its image."""
    return partial(function, gate.image(args[0]), *args[1:], **kwargs)


def _breakpoint(
    gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Thunk:
    if args or not debugging.is_plain_hook():
        return partial(function, *args, **kwargs)
    return debugging.stop(gate, kwargs)


def _print(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    new = (_asking(gate, value, ("__str__", "__repr__")) for value in args)
    return partial(function, *new, **kwargs)


def _python(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    if debugging.stops(function):
        return debugging.stop(gate, kwargs)
    return partial(gate.image(function), *args, **kwargs)


def _inner(gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    """What is bound or partial, and whose function wants to be shown the arguments."""
    if type(function) is partial:
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        return gate.call_with(function.func, args, kwargs)
    if type(function) is MethodType:
        args = (function.__self__, *args)
    return gate.call_with(function.__func__, args, kwargs)


def _builtin_method(
    gate: Imaging, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Thunk:
    if _sorts(function):
        return _given("key")(gate, function, args, kwargs)
    return partial(function, *args, **kwargs)


_FIRST, _REST, _ALL = slice(0, 1), slice(1, None), slice(None)
_SHOWS: dict[Any, Show] = {
    builtins.__build_class__: _build_class,
    breakpoint: _breakpoint,
    map: _given(0, over=_REST),
    functools.cmp_to_key: _given(0),
    **dict.fromkeys((max, min), _smallest),
    sorted: _given("key", over=_FIRST),
    iter: _iterator,
    **dict.fromkeys(
        (
            filter,
            functools.reduce,
            itertools.starmap,
            itertools.takewhile,
            itertools.dropwhile,
            itertools.filterfalse,
        ),
        _given(0, over=slice(1, 2)),
    ),
    itertools.accumulate: _given(1, "func", over=_FIRST),
    itertools.groupby: _given(1, "key", over=_FIRST),
    **dict.fromkeys(
        (zip, itertools.chain, itertools.product, itertools.zip_longest, itertools.compress),
        _given(over=_ALL),
    ),
    **dict.fromkeys(
        (itertools.islice, itertools.cycle, itertools.pairwise, itertools.tee), _given(over=_FIRST)
    ),
    **dict.fromkeys((list, tuple, set, frozenset, enumerate, sum, any, all), _given(over=_FIRST)),
    **dict.fromkeys((len, operator.length_hint), _asked("__len__")),
    **dict.fromkeys((repr, ascii), _asked("__repr__")),
    str: _asked("__str__", "__repr__"),
    print: _print,
    bool: _asked("__bool__", "__len__"),
    int: _asked("__int__", "__index__", "__trunc__"),
    complex: _asked("__complex__", "__float__", "__index__"),
    **dict.fromkeys((float, np.float64, np.float32), _of_numbers),
    **{f: _of_numbers for f in vars(math).values() if type(f) is BuiltinFunctionType},
    math.trunc: _asked("__trunc__"),
    math.floor: _asked("__floor__", "__float__"),
    math.ceil: _asked("__ceil__", "__float__"),
    operator.index: _asked("__index__"),
    **{f: _asked(f"__{f.__name__}__") for f in (abs, hash, next, round, bytes, dir)},
    reversed: _reversed,
    **{f: _operation("binary", 0, 1, after=(s,)) for s, f in BINARY.items()},
    **{f: _operation("compare", 0, 1, after=(s,)) for s, f in COMPARE.items()},
    **{f: _operation("unary", 0, after=(s,)) for s, f in UNARY.items()},
    pow: _operation("binary", 0, 1, after=("**",)),
    format: _operation("format", 0, 1),
    operator.contains: _operation("contains", 1, 0),
    operator.getitem: _operation("item", 0, 1),
    operator.setitem: _operation("store_item", 2, 0, 1),
    operator.delitem: _operation("delete_item", 0, 1),
    setattr: _operation("store_attribute", 2, 0, 1),
    delattr: _operation("delete_attribute", 0, 1),
    **dict.fromkeys((getattr, hasattr), _getattr),
    **{
        getattr(_thread, name): _begin_thread
        for name in ("start_new_thread", "start_joinable_thread")
        if hasattr(_thread, name)
    },
}
#: By identity, which asks nothing of the user's objects.
_SHOWN: dict[int, Show] = {id(function): show for function, show in _SHOWS.items()}
_SHOWN_TYPES: dict[type, Show] = {
    FunctionType: _python,
    MethodType: _inner,
    partial: _inner,
    staticmethod: _inner,
    BuiltinFunctionType: _builtin_method,
}
