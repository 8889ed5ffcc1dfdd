"""Kernels: nests to machine code, once for each source and each set of kinds."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

from tapegrad.compile.backends import disk
from tapegrad.compile.backends.interface import Kernel
from tapegrad.compile.backends.llvm import machine
from tapegrad.compile.backends.llvm.dialect import TYPES
from tapegrad.compile.backends.llvm.entry import ARRAY, TABLE_START, entry
from tapegrad.compile.backends.llvm.loops import FLAG, Source, has_limits, write
from tapegrad.compile.backends.llvm.parts import InParts, parts_of
from tapegrad.compile.backends.llvm.steps import step
from tapegrad.compile.backends.llvm.translation import Parameter, translate
from tapegrad.compile.backends.loop_nest import LoopNest
from tapegrad.tape.core.journal import Watch
from tapegrad.tape.core.threads import held_at_fork

__all__ = ["compile_nest", "compile_source", "loaded", "parameters_of", "step_of"]

#: How many nests are remembered after the plans that use their kernels are gone.
REMEMBERED = 2000

_nests: OrderedDict[LoopNest, _Compiled] = OrderedDict()
#: Machine code by source and parameters, since nests may be written alike; it lives while it is used.
_kernels: WeakValueDictionary[Any, Callable[..., Any]] = WeakValueDictionary()
#: LLVM's own locks are taken under this one, so that no child process finds them held.
_mutex = held_at_fork(threading.RLock())


@dataclass(slots=True, frozen=True)
class _Compiled:
    """A nest as source and machine code."""

    source: Source
    code: Callable[..., Any]
    limited: bool


def compile_nest(nest: LoopNest, sizes: tuple[int, ...]) -> Kernel:
    """Return the kernel of a nest for the sizes of its loops, on several threads if they are large."""
    known, origin = _compiled(nest)
    parts = parts_of(nest, sizes)
    leading = (0,) * nest.turned + sizes if parts == 1 else ()

    def prepared(code: Callable[..., Any], flagged: bool) -> Callable[..., Any]:
        return code if parts == 1 else InParts.of(nest, code, sizes, parts, flagged)

    exact = _Exact(nest, lambda code: prepared(code, False)) if known.limited else None
    return Kernel(prepared(known.code, known.limited), leading, exact, known.source.text, origin)


def _compiled(nest: LoopNest) -> tuple[_Compiled, str]:
    known, origin = _nests.get(nest), "known"
    if known is None:
        source = write(nest)
        code, origin = compile_source(source.text, parameters_of(nest))
        known = _nests[nest] = _Compiled(source, code, has_limits(nest))
        while len(_nests) > REMEMBERED:
            _nests.popitem(last=False)
    return known, origin


def step_of(nest: LoopNest) -> tuple[Callable[..., Any], bool, str]:
    """Return the machine code of a nest, whether it returns a flag, and where it comes from."""
    known, origin = _compiled(nest)
    return known.code, known.limited, origin


class _Exact:
    """A kernel with exact functions, compiled when an argument first leaves the fast ones' range."""

    def __init__(self, nest: LoopNest, prepared: Callable[[Any], Callable[..., Any]]) -> None:
        self.nest = nest
        self.prepared = prepared
        self.call: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        if self.call is None:
            source, watch = write(self.nest, exact=True), Watch()
            code, origin = compile_source(source.text, parameters_of(self.nest))
            watch.tell(lambda: f"kernel {origin}, with the exact form of its functions")
            self.call = self.prepared(code)
        return self.call(*args)


def parameters_of(nest: LoopNest) -> tuple[Parameter, ...]:
    """Return what the kernel of a nest takes."""
    names = ["first"] * nest.turned + _loops(nest.rank) + list(nest.bounds)
    found = [Parameter(name, "int64") for name in names]
    for a in (*nest.operands, *nest.filled):
        found.append(Parameter(a.name, TYPES[a.dtype], len(a.dims) or -1, a.contiguous, a.in_rows))
    for r in nest.partials:
        found.append(Parameter(r.name, TYPES[r.dtype], len(r.dims) or -1))
    return tuple(found)


def _loops(rank: int) -> list[str]:
    return [f"n{i}" for i in range(rank)]


def compile_source(text: str, parameters: tuple[Parameter, ...]) -> tuple[Callable[..., Any], str]:
    """Return the machine code of a kernel's text as a function, and where it comes from."""
    return loaded((text, parameters), lambda: module(text, parameters))


def loaded(key: Any, make: Callable[[], str]) -> tuple[Callable[..., Any], str]:
    """Return the machine code of a module as a function, and where it comes from.

    Parameters
    ----------
    key : object
        What decides, together with the text of this back end, what the module is.
    make : callable
        Returns the module.
    """
    found = _kernels.get(key)
    if found is not None:
        return found, "known"
    with _mutex:
        found = _kernels.get(key)
        if found is not None:
            return found, "known"
        name = _digest(repr((key, ARRAY, TABLE_START)), machine.target(), _version())
        code, origin = disk.read(name), "loaded"
        if code is None:
            code, origin = machine.object_code(make()), "compiled"
            disk.write(name, code)
        found = _kernels[key] = machine.load(code)
    return found, origin


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=20).hexdigest()


@cache
def _version() -> str:
    """Return what stands for the text of this back end, which decides what code is made."""
    folder = os.path.dirname(__file__)
    paths = sorted(
        os.path.join(where, name)
        for where in (folder, os.path.join(folder, "vecmath"))
        for name in os.listdir(where)
        if name.endswith(".py")
    )
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    return _digest(*texts)


def module(text: str, parameters: tuple[Parameter, ...]) -> str:
    """Return the module of a kernel's text in LLVM's language."""
    function = translate(text, parameters)
    counts = [p.name for p in parameters if p.name in _loops(len(parameters))]
    flagged = text.rstrip().endswith(f" {FLAG}")
    ways_in = [entry(function, parameters, counts), step(function, parameters, flagged=flagged)]
    return "\n".join([function.text, *ways_in])
