"""Kernels: nests to machine code, once for each source and each set of types.

Only this module and ``vecmath`` import numba, and this module is imported when the first kernel is
compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from tapegrad.compile.backends.interface import Kernel
from tapegrad.compile.backends.loop_nest import Argument, LoopNest
from tapegrad.compile.backends.numba.dialect import TYPES
from tapegrad.compile.backends.numba.loops import Source, has_limits, write
from tapegrad.compile.backends.numba.parts import InParts, parts_of
from tapegrad.compile.backends.numba.vecmath import intrinsics
from tapegrad.compile.backends.numba.vecmath.formulas import lookup
from tapegrad.tape.core.threads import held_at_fork

__all__ = ["compile_nest"]

_nests: dict[LoopNest, _Compiled] = {}
#: Machine code by source and types: nests may be written alike.
_kernels: dict[Any, Callable[..., Any]] = {}
#: The entry points borrow the code that the dispatchers own.
_keep_alive: list[Any] = []
#: Numba's own locks are taken under this one, so that no child process finds them held.
_mutex = held_at_fork(threading.RLock())


@dataclass(slots=True, frozen=True)
class _Compiled:
    """A nest as source and machine code."""

    source: Source
    code: Callable[..., Any]
    limited: bool


def compile_nest(nest: LoopNest, sizes: tuple[int, ...]) -> Kernel:
    """Return the kernel of a nest for the sizes of its loops, on several threads if they are large."""
    known, new = _nests.get(nest), False
    if known is None:
        source = write(nest)
        code, new = _machine_code(source, _argument_types(nest))
        known = _nests[nest] = _Compiled(source, code, has_limits(nest))
    parts = parts_of(nest, sizes)
    leading = (0,) * nest.turned + sizes if parts == 1 else ()

    def prepared(code: Callable[..., Any], flagged: bool) -> Callable[..., Any]:
        return code if parts == 1 else InParts.of(nest, code, sizes, parts, flagged)

    exact = _Exact(nest, lambda code: prepared(code, False)) if known.limited else None
    return Kernel(prepared(known.code, known.limited), leading, exact, known.source.text, new)


class _Exact:
    """A kernel with exact functions, compiled when an argument first leaves the fast ones' range."""

    def __init__(self, nest: LoopNest, prepared: Callable[[Any], Callable[..., Any]]) -> None:
        self.nest = nest
        self.prepared = prepared
        self.call: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        if self.call is None:
            source = write(self.nest, exact=True)
            self.call = self.prepared(_machine_code(source, _argument_types(self.nest))[0])
        return self.call(*args)


def _argument_types(nest: LoopNest) -> tuple[Any, ...]:
    """Return the Numba types of a kernel's arguments."""
    types = [numba.types.int64] * (nest.turned + nest.rank)
    types += [_type_of(a) for a in (*nest.operands, *nest.outputs)]
    types += [_type_of(Argument(r.name, r.dtype, r.dims)) for r in nest.partials]
    return tuple(types)


def _type_of(argument: Argument) -> Any:
    base = numba.from_dtype(argument.dtype)
    if not argument.dims:
        return base
    return numba.types.Array(base, len(argument.dims), "C" if argument.contiguous else "A")


def _namespace(functions: frozenset[tuple[str, str]]) -> dict[str, Any]:
    space: dict[str, Any] = {"np": np, "inf": np.inf, "nan": np.nan}
    space.update((name, getattr(numba.types, name)) for name in TYPES.values())
    for name, suffix in functions:
        if suffix:
            dtype = "float32" if suffix == "f32" else "float64"
            space[f"{name}_{suffix}"] = lookup(name, dtype)
        else:
            space[name] = getattr(intrinsics, name)
    return space


def _machine_code(
    source: Source, argument_types: tuple[Any, ...]
) -> tuple[Callable[..., Any], bool]:
    """Return the machine code of a source as a callable, and whether it had to be compiled.

    It may be called with arguments of these types only, since nothing checks them.
    """
    key = (source.text, argument_types)
    found = _kernels.get(key)
    if found is not None:
        return found, False
    with _mutex:
        found = _kernels.get(key)
        if found is not None:
            return found, False
        space = _namespace(source.functions)
        exec(compile(source.text, "<tapegrad kernel>", "exec"), space)
        # No fast-math: it would break the argument reductions of vecmath and change answers.
        dispatcher = numba.njit(nogil=True, error_model="numpy")(space["kernel"])
        _promise_no_overlap(dispatcher)
        dispatcher.compile(argument_types)
        # Past the dispatcher's type resolution, which costs more than a small kernel's work.
        entry = dispatcher.overloads[dispatcher.signatures[0]].entry_point
        _kernels[key] = entry
        _keep_alive.append(dispatcher)
        return entry, True


def _promise_no_overlap(dispatcher: Any) -> None:
    """Tell LLVM that no array that a kernel writes overlaps another: all results are new arrays.

    Without it a loop with many results does not vectorise, because LLVM gives up comparing the
    addresses of all pairs. Numba has the flag, but no public option for it.
    """
    compiler: Any = getattr(dispatcher, "_compiler", None)
    ordinary = getattr(compiler, "_customize_flags", None)
    if ordinary is None:
        return

    def with_flag(flags: Any) -> Any:
        flags = ordinary(flags)
        flags.noalias = True
        return flags

    compiler._customize_flags = with_flag
