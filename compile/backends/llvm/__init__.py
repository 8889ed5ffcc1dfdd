"""The back end that compiles with LLVM: a function for each nest, on threads where there is much to do.

LLVM comes with llvmlite, which Numba is made of; Numba itself is not imported. llvmlite is imported when
the first kernel is compiled.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from tapegrad.compile.backends.interface import Kernel, Layout
from tapegrad.compile.backends.llvm.dialect import TYPES, combines, gains, supports
from tapegrad.compile.backends.loop_nest import LoopNest
from tapegrad.compile.backends.repetition import Code, Loop
from tapegrad.tape.core.slots import Recurrence

__all__ = [
    "DTYPES", "OLDEST", "combines", "compile", "gains", "loop", "problems", "recurrence", "repeats",
    "same_layouts", "supports", "usable",
]  # fmt: skip

DTYPES = frozenset(TYPES)

#: Older versions abort on some processors when they compile ``max`` and ``min``.
OLDEST = (0, 45)

#: Why LLVM cannot be used; empty until an import has failed.
problems: list[str] = []


@cache
def usable() -> bool:
    """Import llvmlite, and return whether it is there and new enough; if not, `problems` says why."""
    try:
        import llvmlite
    except Exception as error:  # NumPy may be too new for it, a library may be missing, ...
        problems.append(f"llvmlite cannot be imported ({error})")
        return False
    if tuple(map(int, llvmlite.__version__.split(".")[:2])) < OLDEST:
        problems.append(f"llvmlite {llvmlite.__version__} is too old: it takes 0.45, of numba 0.62")
    elif not importlib.import_module("tapegrad.compile.backends.llvm.entry").check_layout():
        problems.append("this Python keeps arrays in memory in another way than expected")
    return not problems


def repeats(nest: LoopNest) -> bool:
    """Whether a kernel has functions that are right only up to a limit."""
    module = importlib.import_module("tapegrad.compile.backends.llvm.loops")
    return module.has_limits(nest)  # type: ignore[no-any-return]


def compile(nest: LoopNest, sizes: tuple[int, ...]) -> Kernel:
    """Return the kernel of a nest for the sizes of its loops."""
    kernels = importlib.import_module("tapegrad.compile.backends.llvm.kernels")
    return kernels.compile_nest(nest, sizes)  # type: ignore[no-any-return]


def loop(steps: Loop) -> Code | None:
    """Return a loop as machine code."""
    module = importlib.import_module("tapegrad.compile.backends.llvm.tables")
    return module.loop(steps)  # type: ignore[no-any-return]


def recurrence(
    rule: Recurrence, dtype: np.dtype[Any], of_rows: bool, reverse: bool
) -> Callable[..., None]:
    """Return the kernel of a recurrence."""
    module = importlib.import_module("tapegrad.compile.backends.llvm.recurrences")
    return module.recurrence(rule, dtype, of_rows, reverse)  # type: ignore[no-any-return]


def same_layouts(layouts: Sequence[Layout]) -> Callable[..., bool]:
    """Return a function that takes as many arrays, and says whether they are laid out so."""
    module = importlib.import_module("tapegrad.compile.backends.llvm.layouts")
    return module.same_layouts(layouts)  # type: ignore[no-any-return]
