"""The seam: all that fusion and plans know of what makes machine code of nests.

A back end is a module, or another object, with the functions of :class:`Backend`. Its language (the
names of dtypes and functions, buffers, threads) stays behind them.

>>> from tapegrad.compile.backends import interface
>>> interface.current().__name__
'tapegrad.compile.backends.llvm'
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from tapegrad.compile.backends.expressions import Call
from tapegrad.compile.backends.loop_nest import LoopNest
from tapegrad.compile.backends.repetition import Code, Loop
from tapegrad.tape.core.slots import Recurrence

__all__ = ["Backend", "Kernel", "Layout", "current", "using"]

#: Sizes, strides and dtype of an array.
Layout: TypeAlias = "tuple[tuple[int, ...], tuple[int, ...], np.dtype[Any]]"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A nest, made executable for certain sizes.

    Attributes
    ----------
    call : callable
        Takes `leading`, the bounds of windows, the operands, the outputs, and the arrays of partial
        reductions. Those that are not local are filled with what they start from. Returns what the nest
        returns: None, a number, or a tuple of numbers.
    leading : tuple of int
    exact : callable or None
        If there is one, `call` returns one more number: whether an argument was too large for the
        functions it uses. Then all is to be done again by `exact`, which takes the same arguments.
    source : str
        For people who ask what is run.
    origin : str
        "compiled" if that was to be done, "loaded" if it was on disk, "known" if in this process.
    """

    call: Callable[..., Any]
    leading: tuple[int, ...]
    exact: Callable[..., Any] | None
    source: str
    origin: str


class Backend(Protocol):
    """What a back end has and does."""

    #: What its kernels compute with.
    DTYPES: frozenset[np.dtype[Any]]
    #: Why it cannot be used, as far as that has been tried.
    problems: list[str]

    def __hash__(self) -> int:
        """Modules are hashable; what is known of a back end is kept by it."""

    def usable(self) -> bool:
        """Whether it can be used; if not, `problems` says why."""

    def supports(self, call: Call) -> bool:
        """Whether a kernel can compute a call as NumPy does, within the stated error."""

    def gains(self, call: Call) -> bool:
        """Whether a kernel is faster at a call than NumPy's own loop, with nothing to fuse it with."""

    def repeats(self, nest: LoopNest) -> bool:
        """Whether its kernel may have to be run again, by ``Kernel.exact``."""

    def combines(self, function: str) -> bool:
        """Whether a reduction can combine with a function of two numbers."""

    def same_layouts(self, layouts: Sequence[Layout]) -> Callable[..., bool]:
        """Return a function that takes as many arrays, and says whether they are laid out so.

        A layout is sizes, strides and dtype.
        """

    def recurrence(
        self, rule: Recurrence, dtype: np.dtype[Any], of_rows: bool, reverse: bool
    ) -> Callable[..., None]:
        """Return the kernel of a recurrence, along the last axis or the middle one of three.

        It takes three sizes, operands of any layout, and the C-contiguous result.
        """

    def loop(self, steps: Loop) -> Code | None:
        """Return a loop as machine code; None if Python is to run it."""

    def compile(self, nest: LoopNest, sizes: tuple[int, ...]) -> Kernel:
        """Return the kernel of a nest for the sizes of its loops."""


#: The back end in use, or the name of its module in this folder: the one setting.
_setting: Any = os.environ.get("TAPEGRAD_BACKEND", "llvm")


def current() -> Backend:
    """Return the back end in use."""
    global _setting
    if isinstance(_setting, str):
        _setting = importlib.import_module(f"tapegrad.compile.backends.{_setting}")
    return _setting  # type: ignore[no-any-return]


@contextmanager
def using(backend: Backend | str) -> Iterator[None]:
    """Compile with another back end inside a ``with`` block; what is compiled stays as it is."""
    global _setting
    before, _setting = _setting, backend
    try:
        yield
    finally:
        _setting = before
