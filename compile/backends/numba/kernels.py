"""Kernels: source text to machine code, once for each source and each set of types.

Only this module and ``vecmath`` import numba, and this module is imported when the first kernel is
compiled.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tapegrad.compile.backends.numba.vecmath import intrinsics, lookup

__all__ = ["Statistics", "compiled", "kernel_type", "statistics"]


class Statistics:
    """Counts of what was compiled and what was found compiled."""

    def __init__(self) -> None:
        self.compiled = 0
        self.reused = 0


statistics = Statistics()
_kernels: dict[Any, Callable[..., Any]] = {}
_mutex = threading.RLock()


def _renew_mutex() -> None:
    global _mutex
    _mutex = threading.RLock()  # a thread that did not survive the fork may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_mutex)


def kernel_type(dtype: np.dtype[Any], rank: int, contiguous: bool) -> Any:
    """Return the Numba type of an argument: a scalar for rank 0."""
    base = numba.from_dtype(dtype)
    if rank == 0:
        return base
    return numba.types.Array(base, rank, "C" if contiguous else "A")


def _namespace(functions: set[tuple[str, str]]) -> dict[str, Any]:
    space: dict[str, Any] = {
        "np": np,
        "inf": np.inf,
        **{n: getattr(numba.types, n) for n in (
            "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
            "boolean",
        )},
    }  # fmt: skip
    for name, suffix in functions:
        if suffix:
            dtype = "float32" if suffix == "f32" else "float64"
            space[f"{name}_{suffix}"] = lookup(name, dtype)
        else:
            space[name] = getattr(intrinsics, name)
    return space


def compiled(
    source: str, functions: set[tuple[str, str]], argument_types: tuple[Any, ...]
) -> tuple[Callable[..., Any], bool]:
    """Return the machine code of a kernel as a callable, and whether it had to be compiled.

    Parameters
    ----------
    source : str
        Source of a function called ``kernel``.
    functions : set of (name, suffix)
        The mathematics that it calls.
    argument_types : tuple
        Numba types of its arguments; it may be called with these only, since nothing checks them.
    """
    key = (source, argument_types)
    found = _kernels.get(key)
    if found is not None:
        statistics.reused += 1
        return found, False
    with _mutex:
        found = _kernels.get(key)
        if found is not None:
            statistics.reused += 1
            return found, False
        space = _namespace(functions)
        exec(compile(source, "<tapegrad kernel>", "exec"), space)
        # No fast-math: it would break the argument reductions of vecmath and change answers.
        dispatcher = numba.njit(nogil=True, error_model="numpy")(space["kernel"])
        _promise_no_overlap(dispatcher)
        dispatcher.compile(argument_types)
        # Past the dispatcher's type resolution, which costs more than a small kernel's work.
        entry = dispatcher.overloads[dispatcher.signatures[0]].entry_point
        _kernels[key] = entry
        _keep_alive.append(dispatcher)
        statistics.compiled += 1
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


#: The entry points borrow the code that the dispatchers own.
_keep_alive: list[Any] = []
