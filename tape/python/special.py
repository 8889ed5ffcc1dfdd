"""Operations whose meaning a class may define in Python: what to call in their place.

The functions here are the methods of a gate that makes images. Each answers to an operation with a
thunk that does what the interpreter would do, except that special methods, properties and descriptors
written in Python run as their images, and directly above the user's frame. Where no class involved has
any, that is the operation itself. Nothing of the user's runs before the thunk is called.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Iterator
from functools import lru_cache, partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from tapegrad.tape.python.operators import (
    BINARY,
    COMPARE,
    COMPARE_METHODS,
    CONVERT,
    METHODS,
    UNARY,
    UNARY_METHODS,
)
from tapegrad.tape.python.thunks import Thunk, chain, constant, stand_in

if TYPE_CHECKING:
    from tapegrad.tape.python.imaging import Imaging

__all__ = [
    "Answer",
    "attribute",
    "binary",
    "bound",
    "classes_of",
    "compare",
    "construct",
    "contains",
    "convert",
    "delegate",
    "delete_attribute",
    "delete_item",
    "enter",
    "format",
    "in_python",
    "is_a",
    "is_heap",
    "item",
    "iterate",
    "lookup",
    "mapping",
    "members",
    "names_of",
    "outranks",
    "own_names",
    "store_attribute",
    "store_item",
    "super_attribute",
    "truth",
    "unary",
    "written",
]


_HEAP = 1 << 9  # the flag of classes that are not C's own
_UNCHANGING = 1 << 8  # the flag of classes whose attributes cannot be set
_ABSTRACT = 1 << 20  # the flag of classes that refuse to have instances

# Asked past the metaclass, which might be written in Python.
_flags = type.__dict__["__flags__"].__get__
classes_of = type.__dict__["__mro__"].__get__
names_of = type.__dict__["__dict__"].__get__


def is_heap(cls: type) -> bool:
    """Whether a class may have methods in Python: classes of C's own cannot be changed."""
    return bool(_flags(cls) & _HEAP)


def in_python(cls: type) -> bool:
    """Whether a class was made by Python code: those of C's, on the heap or not, cannot be changed."""
    return _flags(cls) & (_HEAP | _UNCHANGING) == _HEAP


def is_a(value: Any, cls: type) -> bool:
    """Whether `value` is an instance of `cls`, whatever it says of itself."""
    return cls in classes_of(type(value))


def lookup(cls: type, name: str, default: Any = None) -> Any:
    """Return what a class or its bases hold under `name`, as it lies there, or `default`."""
    for base in classes_of(cls):
        names = names_of(base)
        if name in names:
            return names[name]
    return default


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Give all that lies on a class and its bases, with its name."""
    for base in classes_of(cls):
        yield from list(names_of(base).items())


def written(cls: type, name: str) -> FunctionType | None:
    """Return the special method `name` of a class if it is written in Python."""
    if type(cls) is type and type(getattr(cls, name, None)) is not FunctionType:
        return None  # the interpreter's own look-up is fast, but hides what is a static method
    found = lookup(cls, name)
    return found if type(found) is FunctionType else None


def bound(gate: Imaging, name: str, value: Any) -> Any:
    """Return the special method `name` of `value`, as its image; None without."""
    cls = type(value)
    found = lookup(cls, name)
    if type(found) is FunctionType:
        return MethodType(gate.image(found), value)
    if found is None or lookup(type(found), "__get__") is None:
        return found
    # To descriptors, None as an instance means that there is none.
    return partial(found, value) if value is None else found.__get__(value, cls)


def _methods(gate: Imaging, value: Any, *names: str) -> dict[str, Any]:
    return {n: bound(gate, n, value) for n in names if lookup(type(value), n) is not None}


def _unless_done(ways: Iterator[Thunk], result: Any) -> Thunk:
    return _first_that_knows(ways) if result is NotImplemented else constant(result)


def _first_that_knows(ways: Iterator[Thunk]) -> Thunk:
    return chain(next(ways), partial(_unless_done, ways))


def _not(result: Any) -> Thunk:
    return constant(result) if result is NotImplemented else partial(operator.not_, result)


def _ways(gate: Imaging, asked: list[tuple[str, Any, Any]], last: Thunk) -> Iterator[Thunk]:
    """The methods that `asked` names with their operands, each made when the one before gave up."""
    for name, value, other in asked:
        if name == "__ne__" and lookup(type(value), name) is object.__ne__:
            yield chain(partial(bound(gate, "__eq__", value), other), _not)
        elif (method := bound(gate, name, value)) is not None:
            yield partial(method, other)
    yield last


def _derived(cls: type, other: type) -> bool:
    return cls is not other and other in classes_of(cls)


def _concatenates(cls: type) -> bool:
    # Sequences of C's are asked last: they add by another slot than numbers do.
    return not written(cls, "__add__") and lookup(cls, "__add__") and not lookup(cls, "__radd__")


def binary(gate: Imaging, a: Any, b: Any, symbol: str) -> Thunk:
    """``a + b``, or ``a += b`` for the symbol ``+=``."""
    first, second = type(a), type(b)
    if first in gate.plain and second in gate.plain:
        return partial(BINARY[symbol], a, b)
    name = METHODS[symbol.removesuffix("=")]
    forward, backward, in_place = f"__{name}__", f"__r{name}__", f"__i{name}__"
    updates = [(in_place, a, b)] if symbol.endswith("=") else []
    here, there = [(forward, a, b)], [(backward, b, a)] if first is not second else []
    if not any(written(type(value), name) for name, value, _ in (*updates, *here, *there)):
        return partial(BINARY[symbol], a, b)
    asked = [*updates, *here, *there]
    if name in ("add", "mul") and _concatenates(first):
        asked = [*there, *updates, *here]
    elif _derived(second, first) and lookup(second, backward) is not lookup(first, backward):
        asked = [*updates, *there, *here]
    # If none of them knows how, operands without any methods raise the TypeError.
    return _first_that_knows(_ways(gate, asked, partial(BINARY[symbol], stand_in(a), stand_in(b))))


def compare(gate: Imaging, a: Any, b: Any, symbol: str) -> Thunk:
    """``a < b``."""
    first, second = type(a), type(b)
    if first in gate.plain and second in gate.plain:
        return partial(COMPARE[symbol], a, b)
    name, swapped = COMPARE_METHODS[symbol]
    names = ("__ne__", "__eq__") if symbol == "!=" else (name, swapped)
    if not any(written(cls, name) for cls in (first, second) for name in names):
        return partial(COMPARE[symbol], a, b)
    asked = [(name, a, b), (swapped, b, a)]
    if _derived(second, first):
        asked.reverse()
    if symbol in ("==", "!="):
        last = constant((a is b) == (symbol == "=="))
    else:
        last = partial(COMPARE[symbol], stand_in(a), stand_in(b))
    return _first_that_knows(_ways(gate, asked, last))


def unary(gate: Imaging, value: Any, symbol: str) -> Thunk:
    """``-value``."""
    method = written(type(value), UNARY_METHODS[symbol])
    return partial(UNARY[symbol], value) if method is None else partial(gate.image(method), value)


def truth(gate: Imaging, value: Any) -> Any:
    """Return what to test in place of `value`."""
    cls = type(value)
    if cls in gate.plain:
        return value
    name = "__len__" if lookup(cls, "__bool__") is None else "__bool__"
    if written(cls, name) is None:
        return value
    return stand_in(value, **_methods(gate, value, name))


def iterate(gate: Imaging, value: Any) -> Any:
    """Return what to iterate over, once, in place of `value`."""
    cls = type(value)
    if cls in gate.plain:
        return value
    method = written(cls, "__iter__")
    if method is not None:
        start = chain(partial(gate.image(method), value), partial(_constant_iterator, gate))
        return stand_in(value, __iter__=start, **_methods(gate, value, "__len__"))
    if lookup(cls, "__iter__") is None and written(cls, "__getitem__") is not None:
        return stand_in(value, **_methods(gate, value, "__getitem__", "__len__"))
    return value


def _constant_iterator(gate: Imaging, iterator: Any) -> Thunk:
    method = written(type(iterator), "__next__")
    if method is None:
        return constant(iterator)
    return constant(_Stepping(MethodType(gate.image(method), iterator)))


class _Stepping:
    """An iterator whose steps are an image of the user's."""

    __slots__ = ("__next__",)

    def __init__(self, step: Thunk) -> None:
        self.__next__ = step

    def __iter__(self) -> _Stepping:
        return self


def delegate(gate: Imaging, value: Any) -> Any:
    """Return what ``yield from`` iterates over; a generator gets what is thrown and sent, too."""
    return value if lookup(type(value), "throw") else iterate(gate, value)


def mapping(gate: Imaging, value: Any) -> Any:
    """Return what to unpack by ``**`` in place of `value`."""
    cls = type(value)
    if written(cls, "keys") is None and written(cls, "__getitem__") is None:
        return value
    return stand_in(value, **_methods(gate, value, "keys", "__getitem__"))


def contains(gate: Imaging, item: Any, container: Any) -> Thunk:
    """``item in container``."""
    if written(type(container), "__contains__") is not None:
        container = stand_in(container, **_methods(gate, container, "__contains__"))
    elif lookup(type(container), "__contains__") is None:
        container = iterate(gate, container)
    return partial(operator.contains, container, item)


def enter(gate: Imaging, manager: Any) -> Any:
    """Return what ``with`` enters in place of `manager`."""
    cls = type(manager)
    if written(cls, "__enter__") is None and written(cls, "__exit__") is None:
        return manager
    return stand_in(manager, **_methods(gate, manager, "__enter__", "__exit__"))


def convert(gate: Imaging, value: Any, kind: str) -> Thunk:
    """``str(value)``, ``repr(value)`` or ``ascii(value)``, by the letter that f-strings have for it."""
    cls = type(value)
    if kind == "s" and written(cls, "__str__") is not None:
        return partial(str, stand_in(value, **_methods(gate, value, "__str__")))
    if kind == "s" and lookup(cls, "__str__") is not object.__str__:
        return partial(str, value)
    if written(cls, "__repr__") is not None:
        return partial(CONVERT[kind], stand_in(value, **_methods(gate, value, "__repr__")))
    return partial(CONVERT[kind], value)


def format(gate: Imaging, value: Any, spec: str) -> Thunk:
    """``format(value, spec)``."""
    cls = type(value)
    if cls in gate.plain:
        return partial(builtins.format, value, spec)
    if written(cls, "__format__") is not None:
        return partial(
            builtins.format, stand_in(value, **_methods(gate, value, "__format__")), spec
        )
    if spec == "" and lookup(cls, "__format__") is object.__format__:
        return convert(gate, value, "s")
    return partial(builtins.format, value, spec)


def item(gate: Imaging, owner: Any, key: Any) -> Thunk:
    """``owner[key]``."""
    cls = type(owner)
    method = written(cls, "__getitem__")
    if method is not None:
        return partial(gate.image(method), owner, key)
    if is_a(owner, type) and lookup(cls, "__getitem__") is None:
        found = lookup(owner, "__class_getitem__")
        if type(found) is classmethod and type(found.__func__) is FunctionType:
            return partial(gate.image(found.__func__), owner, key)
    if is_a(owner, dict) and type(key) in gate.plain and not dict.__contains__(owner, key):
        method = written(cls, "__missing__")
        if method is not None:
            return partial(gate.image(method), owner, key)
    return partial(operator.getitem, owner, key)


def store_item(gate: Imaging, value: Any, owner: Any, key: Any) -> Thunk:
    """``owner[key] = value``."""
    method = written(type(owner), "__setitem__")
    if method is not None:
        return partial(gate.image(method), owner, key, value)
    return partial(operator.setitem, owner, key, value)


def delete_item(gate: Imaging, owner: Any, key: Any) -> Thunk:
    """``del owner[key]``."""
    method = written(type(owner), "__delitem__")
    if method is not None:
        return partial(gate.image(method), owner, key)
    return partial(operator.delitem, owner, key)


class Answer:
    """An object with one attribute, `value`, which a thunk gives when it is asked for."""

    __slots__ = ("_ask",)
    value = property(operator.methodcaller("_ask"))

    def __init__(self, ask: Thunk) -> None:
        self._ask = ask


def own_names(owner: Any) -> Any:
    """Return what an instance holds under its own names."""
    try:
        return object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return ()


def _described(gate: Imaging, found: Any, kind: str, *operands: Any) -> Thunk | None:
    """What a property or a descriptor in Python that was found on a class runs, if it does."""
    if found is None or found is _NOTHING or type(found) is FunctionType:
        return None
    if is_a(found, property):
        function = getattr(found, {"get": "fget", "set": "fset", "delete": "fdel"}[kind])
        operands = operands[:1] if kind == "get" else operands
        return partial(gate.image(function), *operands) if type(function) is FunctionType else None
    method = written(type(found), f"__{kind}__")
    return None if method is None else partial(gate.image(method), found, *operands)


def outranks(found: Any) -> bool:
    """Whether what was found on the class goes before what the instance holds."""
    return (
        lookup(type(found), "__set__") is not None or lookup(type(found), "__delete__") is not None
    )


@lru_cache(maxsize=1024)
def _with_fallback(name: str) -> type:
    ask = property(operator.methodcaller("_tapegrad_ask"))
    return type("_WithFallback", (), {"__slots__": ("_tapegrad_ask", "__getattr__"), name: ask})


#: What is not there: a class may hold None under a name.
_NOTHING = object()


def attribute(gate: Imaging, owner: Any, name: str) -> Thunk:
    """``owner.name``."""
    cls = type(owner)
    if cls is ModuleType:
        return _module_attribute(gate, owner, name)
    if cls is super:
        return super_attribute(gate, owner, name)
    if type in classes_of(cls):
        return _class_attribute(gate, owner, name)
    if not is_heap(cls):
        return partial(getattr, owner, name)
    if written(cls, "__getattribute__") is not None:
        methods = _methods(gate, owner, "__getattribute__", "__getattr__")
        return partial(getattr, stand_in(owner, **methods), name)
    found, missing = lookup(cls, name, _NOTHING), written(cls, "__getattr__")
    ask = _described(gate, found, "get", owner, cls)
    if ask is not None and (outranks(found) or name not in own_names(owner)):
        if missing is None:
            return ask
        both: Any = _with_fallback(name)()
        both._tapegrad_ask, both.__getattr__ = ask, MethodType(gate.image(missing), owner)
        return partial(getattr, both, name)
    if found is _NOTHING and missing is not None and name not in own_names(owner):
        return partial(gate.image(missing), owner, name)
    return partial(getattr, owner, name)


def _module_attribute(gate: Imaging, owner: ModuleType, name: str) -> Thunk:
    missing = owner.__dict__.get("__getattr__")
    unknown = name not in owner.__dict__ and lookup(ModuleType, name) is None
    if unknown and type(missing) is FunctionType:
        return partial(gate.image(missing), name)
    return partial(getattr, owner, name)


def _class_attribute(gate: Imaging, owner: type, name: str) -> Thunk:
    found = lookup(owner, name)
    of_meta = lookup(type(owner), name)
    if is_a(of_meta, property):
        return _described(gate, of_meta, "get", owner, type(owner)) or partial(getattr, owner, name)
    ask = None if is_a(found, property) else _described(gate, found, "get", None, owner)
    if ask is None or of_meta is not None:  # the metaclass goes before
        return partial(getattr, owner, name)
    return ask


def super_attribute(gate: Imaging, owner: Any, name: str) -> Thunk:
    """``super().name``."""
    start, value, cls = owner.__thisclass__, owner.__self__, owner.__self_class__
    if cls is not None and name != "__class__":
        classes = classes_of(cls)
        for base in classes[classes.index(start) + 1 :]:
            if name in names_of(base):
                instance = None if value is cls else value
                found = names_of(base)[name]
                if instance is None and is_a(found, property):
                    break
                ask = _described(gate, found, "get", instance, cls)
                return partial(getattr, owner, name) if ask is None else ask
    return partial(getattr, owner, name)


def store_attribute(gate: Imaging, value: Any, owner: Any, name: str) -> Thunk:
    """``owner.name = value``."""
    cls = type(owner)
    method = written(cls, "__setattr__")
    if method is not None:
        return partial(gate.image(method), owner, name, value)
    ask = _described(gate, lookup(cls, name), "set", owner, value)
    return partial(setattr, owner, name, value) if ask is None else ask


def delete_attribute(gate: Imaging, owner: Any, name: str) -> Thunk:
    """``del owner.name``."""
    cls = type(owner)
    method = written(cls, "__delattr__")
    if method is not None:
        return partial(gate.image(method), owner, name)
    ask = _described(gate, lookup(cls, name), "delete", owner)
    return partial(delattr, owner, name) if ask is None else ask


def construct(gate: Imaging, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
    """``cls(*args, **kwargs)`` for a class that ``type`` itself makes instances of."""
    new = lookup(cls, "__new__")
    in_python = type(new) is staticmethod and type(new.__func__) is FunctionType

    def initialise(instance: Any) -> Thunk:
        instance = instance if in_python else gate.made(instance)
        if not is_a(instance, cls):
            return constant(instance)
        init = partial(bound(gate, "__init__", instance), *args, **kwargs)
        return chain(init, partial(_initialised, instance))

    if new is object.__new__ and not _flags(cls) & _ABSTRACT and written(cls, "__init__"):
        return initialise(object.__new__(cls))
    make = gate.image(new.__func__) if in_python else cls.__new__
    return chain(partial(make, cls, *args, **kwargs), initialise)


def _initialised(instance: Any, result: Any) -> Thunk:
    if result is None:
        return constant(instance)
    return type("", (), {"__init__": staticmethod(constant(result))})  # raises the TypeError
