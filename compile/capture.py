"""What a function reads from outside its arguments: its closure, defaults, globals, ``self``.

``survey`` follows the names in the function's code, through containers, instance attributes and the
functions that it calls. What it finds decides whether a plan still stands for the function: scalars
and structure must be as they were, arrays are read anew at each call.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.tape.tensor import Tensor

__all__ = ["Captures", "survey"]

_MOST = 2000
_SCALARS = (int, float, complex, str, bytes, bool, type(None), np.generic, np.dtype)


class Reference:
    """A place that a function reads: how to read it again, and what was there."""

    __slots__ = ("expected", "key", "kind", "owner")

    def __init__(self, kind: str, owner: Any, key: Any, expected: Any) -> None:
        self.kind = kind
        self.owner = owner
        self.key = key
        self.expected = expected

    def read(self) -> Any:
        """Return what is there now; a missing thing is the reference itself, which equals nothing."""
        try:
            if self.kind == "cell":
                return self.owner.cell_contents
            if self.kind == "item":
                return self.owner[self.key]
            return getattr(self.owner, self.key)
        except (KeyError, IndexError, AttributeError, ValueError):
            return self

    def holds(self) -> bool:
        """Whether the same is there as at the survey."""
        now, then = self.read(), self.expected
        if now is then:
            return True
        if isinstance(then, _SCALARS) and type(now) is type(then):
            return bool(now == then) or (now != now and then != then)
        return isinstance(then, np.ndarray) and _alike(now, then)


def _alike(a: Any, b: Any) -> bool:
    return (
        type(a) is np.ndarray
        and a.shape == b.shape
        and a.dtype == b.dtype
        and a.strides == b.strides
    )


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
    tensors : bool
        Whether a tensor was found.
    generators : list
        Random generators.
    """

    references: list[Reference] = field(default_factory=list)
    arrays: list[Reference] = field(default_factory=list)
    sizes: list[tuple[Any, int]] = field(default_factory=list)
    tensors: bool = False
    generators: list[Any] = field(default_factory=list)

    def hold(self) -> bool:
        """Whether everything but the contents of arrays is as it was."""
        return all(r.holds() for r in self.references) and all(
            len(container) == size for container, size in self.sizes
        )

    def random_state(self) -> Any:
        """Return a value that changes when a random number is drawn."""
        legacy = np.random.mtrand._rand._bit_generator  # type: ignore[attr-defined]
        return [repr(g.state) for g in (legacy, *self.generators)] + [_python_random()]


def _python_random() -> Any:
    module = sys.modules.get("random")
    return None if module is None else hash(module.getstate())


class _Surveyor:
    """Walks what a function can reach by the names in its code."""

    def __init__(self) -> None:
        self.found = Captures()
        self.seen: set[int] = set()
        self.kept: list[Any] = []  # keeps ids unique while the survey runs

    def function(self, function: Any, names: frozenset[str] = frozenset()) -> None:
        if isinstance(function, types.MethodType):
            self.value(None, function.__self__, _names(function.__func__.__code__))
            function = function.__func__
        if not isinstance(function, types.FunctionType) or not self._new(function):
            wrapped = getattr(function, "__wrapped__", None)
            if wrapped is not None and self._new(function):
                self.function(wrapped)
            return
        own = _is_ours(function)
        code = function.__code__
        names = names | _names(code)
        for name, cell in zip(code.co_freevars, function.__closure__ or ()):
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            self.value(None if own else Reference("cell", cell, name, content), content, names)
        if own:
            return
        for i, default in enumerate(function.__defaults__ or ()):
            self.value(Reference("item", function.__defaults__, i, default), default, names)
        for key, default in (function.__kwdefaults__ or {}).items():
            self.value(Reference("item", function.__kwdefaults__, key, default), default, names)
        space = function.__globals__
        for name in sorted(names):
            if name in space:
                self.value(Reference("item", space, name, space[name]), space[name], names)

    def value(self, reference: Reference | None, value: Any, names: frozenset[str]) -> None:
        if len(self.kept) > _MOST:
            return
        if reference is not None:
            self.found.references.append(reference)
        if isinstance(value, _SCALARS):
            return
        if isinstance(value, np.ndarray):
            if reference is not None:
                self.found.arrays.append(reference)
            return
        if type(value) is Tensor:
            self.found.tensors = True
            return
        if isinstance(value, types.FunctionType | types.MethodType):
            self.function(value)
            return
        if not self._new(value):
            return
        if isinstance(value, np.random.Generator):
            self.found.generators.append(value.bit_generator)
        elif isinstance(value, np.random.RandomState):
            self.found.generators.append(value._bit_generator)
        elif isinstance(value, dict):
            self.found.sizes.append((value, len(value)))
            for key, child in value.items():
                self.value(Reference("item", value, key, child), child, names)
        elif isinstance(value, list | tuple):
            self.found.sizes.append((value, len(value)))
            for i, child in enumerate(value):
                self.value(Reference("item", value, i, child), child, names)
        elif isinstance(value, types.ModuleType):
            self._module(value, names)
        elif hasattr(value, "__wrapped__"):
            self.function(value.__wrapped__)
        else:
            self._instance(value, names)

    def _module(self, module: types.ModuleType, names: frozenset[str]) -> None:
        if _is_library(module.__name__):
            return
        space = vars(module)
        for name in sorted(names & space.keys()):
            self.value(Reference("item", space, name, space[name]), space[name], names)

    def _instance(self, value: Any, names: frozenset[str]) -> None:
        call = type(value).__dict__.get("__call__")
        if _is_library(type(value).__module__):
            return
        if isinstance(call, types.FunctionType):
            names = names | _names(call.__code__)
        space = getattr(value, "__dict__", None)
        if isinstance(space, dict):
            for name in sorted(names & space.keys()):
                self.value(Reference("item", space, name, space[name]), space[name], names)
        for name in sorted(names):
            method = getattr(type(value), name, None)
            if isinstance(method, types.FunctionType):
                self.function(method)
                self._more(space, _names(method.__code__) - names)

    def _more(self, space: Any, names: frozenset[str]) -> None:
        """Read the attributes that a method of an instance names."""
        if isinstance(space, dict):
            for name in sorted(names & space.keys()):
                self.value(Reference("item", space, name, space[name]), space[name], names)

    def _new(self, value: Any) -> bool:
        if id(value) in self.seen:
            return False
        self.seen.add(id(value))
        self.kept.append(value)
        return True


def _names(code: Any) -> frozenset[str]:
    """Return the global names and attributes in a code object and those nested in it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return frozenset(names)


def _is_ours(function: types.FunctionType) -> bool:
    module = function.__globals__.get("__name__", "")
    return module.partition(".")[0] == "tapegrad" and not module.startswith("tapegrad.demo")


def _is_library(name: str) -> bool:
    root = name.partition(".")[0]
    return root in {"numpy", "tapegrad", "builtins", "numba"} or root in sys.stdlib_module_names


def survey(function: Callable[..., Any]) -> Captures:
    """Find out what `function` reads from outside its arguments."""
    surveyor = _Surveyor()
    surveyor.function(function)
    if not isinstance(function, types.FunctionType | types.MethodType):
        surveyor.value(None, function, frozenset())
    return surveyor.found
