"""A function with the arrays that it captures replaced by traced values.

Arrays in the closure, the defaults and the globals of a function are inputs of its plan like its
arguments, whatever it does with them: ``np.exp(w)`` is recorded, ``if w[0] > 0`` is a guard. To that
end the recording runs a mirror image: the same code over other cells and a namespace that shows traced
values where arrays are. The user's own functions and objects are not touched.
"""

from __future__ import annotations

import builtins
import collections
import functools
import types
from typing import Any

import numpy as np

from tapegrad.compile.survey.capture import SETTLED, Captures, Reference, attribute, is_library
from tapegrad.compile.survey.code import facts_of
from tapegrad.compile.survey.healing import Healer
from tapegrad.tape.array.application import belongs
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.transforms.transformed import Transformed

__all__ = ["Mirror", "is_image"]


class _Globals(dict[str, Any]):
    """A namespace that shows another one, with traced values where arrays are."""

    def __init__(self, mirror: Mirror, space: dict[str, Any]) -> None:
        super().__init__({k: v for k, v in space.items() if k[:2] == k[-2:] == "__"})
        self.setdefault("__builtins__", builtins)
        self.mirror = mirror
        self.space = space

    def __getitem__(self, name: str) -> Any:
        if name not in self.space:
            if name == "isinstance" or name == "type":
                return getattr(self.mirror, name)
            raise KeyError(name)  # Python looks among the built-in names next
        return self.mirror.value("item", self.space, name, self.space[name])


class Mirror:
    """Makes mirror images.

    Attributes
    ----------
    cells : dict
        Array id to (traced value, the reference that leads to the array, the array).
    covered : set of int
        Ids of the references that the images do not read.
    """

    def __init__(self, trace: StagingTrace, captures: Captures) -> None:
        self.trace = trace
        self.places = {(r.kind, id(r.owner), r.key): r for r in captures.arrays}
        #: Containers and instances may be copied only if nobody changes them.
        self.copies = not captures.writes
        self.raw = _seen_raw(captures.objects) if self.copies else {}
        self.cells: dict[int, tuple[Tensor, Reference, Any]] = {}
        self.covered: set[int] = set()
        self.images: dict[int, tuple[Any, Any]] = {}
        #: Images of containers: what they are images of, and their first contents.
        self.copied: list[tuple[Any, Any, list[tuple[Any, Any]]]] = []
        self.isinstance = functools.partial(_isinstance, trace)
        self.type = _Type("type", (), {"trace": trace})

    def value(self, kind: str, owner: Any, key: Any, value: Any) -> Any:
        """Return the image of what is at a place."""
        if type(value) is np.ndarray:
            return self._array(kind, owner, key, value)
        known = self.images.get(id(value))
        if known is not None:
            return known[1]
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, types.MethodType):
            function, instance = value.__func__, value.__self__
            return types.MethodType(
                self.value("attr", value, "__func__", function),
                self.value("attr", value, "__self__", instance),
            )
        if type(value) is functools.partial:
            function = self.value("attr", value, "func", value.func)
            return functools.partial(function, *value.args, **value.keywords)
        if isinstance(value, Transformed):
            image = value.of(self.value("attr", value, "function", value.function))
            self.images[id(value)] = (value, image)
            return image
        return self._container(value) if self.copies else value

    def _array(self, kind: str, owner: Any, key: Any, array: Any) -> Any:
        reference = self.places.get((kind, id(owner), key))
        if reference is None or array.dtype.kind not in "fiub":
            return array
        self.covered.add(id(reference))
        if id(array) not in self.cells:
            self.cells[id(array)] = (self.trace.variable(array), reference, array)
        return self.cells[id(array)][0]

    def function(self, function: types.FunctionType) -> Any:
        """Return the image of a function."""
        facts = facts_of(function.__code__)
        space = function.__globals__
        module = str(space.get("__name__", ""))
        ours = module.partition(".")[0] == "tapegrad" and not module.startswith("tapegrad.demo")
        if facts.assigns_globals or facts.hides or module.partition(".")[0] == "numpy":
            return function
        cells = [types.CellType() for _ in function.__code__.co_freevars]
        image = types.FunctionType(
            function.__code__,
            space if ours else _Globals(self, space),
            function.__name__,
            function.__defaults__,
            tuple(
                own if name in facts.assigned else cell
                for name, own, cell in zip(
                    function.__code__.co_freevars, function.__closure__ or (), cells
                )
            ),
        )
        self.images[id(function)] = (function, image)
        image.__dict__ = function.__dict__
        image.__kwdefaults__ = function.__kwdefaults__
        image.__qualname__ = function.__qualname__
        names = function.__code__.co_freevars
        for name, cell, own in zip(names, cells, function.__closure__ or ()):
            try:
                content = own.cell_contents
            except ValueError:
                continue
            cell.cell_contents = self.value("cell", own, name, content)
        if function.__defaults__:
            image.__defaults__ = tuple(
                self.value("item", function.__defaults__, i, d)
                for i, d in enumerate(function.__defaults__)
            )
        if function.__kwdefaults__:
            image.__kwdefaults__ = {
                k: self.value("item", function.__kwdefaults__, k, d)
                for k, d in function.__kwdefaults__.items()
            }
        return image

    def _container(self, value: Any) -> Any:
        """Return the image of a container or an instance that nobody changes."""
        kind = type(value)
        if id(value) in self.raw:
            return value
        if kind is dict:
            image: Any = {}
            self.images[id(value)] = (value, image)
            image.update((k, self.value("item", value, k, v)) for k, v in value.items())
            return self._noted(value, image)
        if kind is list:
            image = []
            self.images[id(value)] = (value, image)
            image.extend(self.value("item", value, i, v) for i, v in enumerate(value))
            return self._noted(value, image)
        if kind is tuple:
            image = tuple(self.value("item", value, i, v) for i, v in enumerate(value))
            if all(a is b for a, b in zip(image, value)):
                image = value
            self.images[id(value)] = (value, image)
            return image
        if _is_plain_instance(kind) and type(getattr(value, "__dict__", None)) is dict:
            image = object.__new__(kind)
            self.images[id(value)] = (value, image)
            space = value.__dict__
            image.__dict__.update((k, self.value("item", space, k, v)) for k, v in space.items())
            self._noted(space, image.__dict__)
            return image
        return value

    def _noted(self, value: Any, image: Any) -> Any:
        self.copied.append((value, image, _items(image)))
        return image

    def give_back(self, healer: Healer) -> bool:
        """Do to the user's containers what was done to their images, which no name in the code told.

        Returns
        -------
        bool
            Whether there was anything to do.
        """
        healer.know(self.images.values())
        healer.know((original, image) for original, image, _ in self.copied)
        changed = False
        for original, image, contents in self.copied:
            now = _items(image)
            if len(now) == len(contents) and all(
                a is c and b is d for (a, b), (c, d) in zip(now, contents)
            ):
                continue
            changed = True
            values = [(k, healer.clean(v)) for k, v in now]
            if type(original) is list:
                original[:] = [v for _, v in values]
            else:
                original.clear()
                original.update(values)
        return changed


def _items(container: Any) -> list[tuple[Any, Any]]:
    """Return places and contents; the places of a list count for nothing."""
    if type(container) is list:
        return [(None, v) for v in container]
    return list(container.items())


def is_image(frame: Any) -> bool:
    """Whether a frame runs the image of a function."""
    return type(frame.f_globals) is _Globals


def _seen_raw(objects: list[Any]) -> dict[int, Any]:
    """Return, by their ids, objects that the function can also reach by a way without images."""
    stack: list[Any] = []
    for value in objects:
        kind = type(value)
        if kind is dict:
            stack += value  # a key is the user's object
        elif kind is types.FunctionType:
            stack += _attributes(value)
        elif kind not in (list, tuple) and not _is_plain_instance(kind):
            stack += _children(value)
    found: dict[int, Any] = {}
    while stack:
        value = stack.pop()
        if isinstance(value, (*SETTLED, np.ndarray)) or id(value) in found:
            continue
        found[id(value)] = value
        stack += _children(value)
    return found


def _children(value: Any) -> list[Any]:
    """Return what a container or an instance holds."""
    kind = type(value)
    if isinstance(value, type | types.ModuleType) or kind.__module__.startswith("tapegrad"):
        return []
    if isinstance(value, types.FunctionType):
        cells = value.__closure__ or ()
        return [*_attributes(value), *(content for cell in cells for content in _contents(cell))]
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if isinstance(value, functools.partial):
        return [*value.args, *value.keywords.values()]
    held: list[Any] = [attribute(value, "__wrapped__")]
    if isinstance(value, dict | types.MappingProxyType):
        held += [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset | collections.deque):
        held += value
    if not is_library(kind.__module__) or kind.__module__ == "collections":
        names = [n for base in kind.__mro__ for n in _slots(base)]
        held += [getattr(value, name) for name in names if hasattr(value, name)]
        held += (attribute(value, "__dict__") or {}).values()
    return held


def _attributes(function: types.FunctionType) -> list[Any]:
    """Return the attributes of a function, but for the one that it wraps, which its code names."""
    return [v for name, v in vars(function).items() if name != "__wrapped__"]


def _contents(cell: types.CellType) -> list[Any]:
    """Return what a cell holds, if anything."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def _slots(base: type) -> list[str]:
    """Return the names of the slots of a class."""
    return [n for n, member in vars(base).items() if isinstance(member, types.MemberDescriptorType)]


def _is_plain_instance(kind: type) -> bool:
    """Whether instances are no more than their attributes."""
    heap = all(
        base is object or (base.__flags__ & (1 << 9) and base.__module__ != "builtins")
        for base in kind.__mro__
    )
    custom = any(
        name in vars(base)
        for base in kind.__mro__[:-1]
        for name in ("__del__", "__setattr__", "__getattribute__", "__slots__")
    )
    module = str(kind.__module__).partition(".")[0]
    if not heap or custom or module in ("tapegrad", "numpy", "threading"):
        return False
    try:
        object.__new__(kind)
    except TypeError:  # a type of an extension module
        return False
    return True


def _stands_for(trace: StagingTrace, value: Any) -> Any:
    """Return what the user's code would have in place of a traced value."""
    if belongs(value, trace):
        return trace.example(value)
    return value


def _isinstance(trace: StagingTrace, value: Any, kinds: Any) -> bool:
    """Answer ``isinstance`` for a traced value as for what it stands for."""
    return isinstance(_stands_for(trace, value), kinds)


class _Type(type):
    """Makes stand-ins for ``type`` that see in a traced value what it stands for."""

    trace: StagingTrace

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1:
            return type(_stands_for(cls.trace, args[0]))
        return type(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, type)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, type)
