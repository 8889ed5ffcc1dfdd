"""Notices calls that a plan could not repeat: printing, clocks, files, random numbers.

While a function is recorded, Python tells of each call. A function that makes such a call on the
recorded path is run as it is; one that only could make it (``if verbose: print(x)``) is compiled.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tapegrad.compile.survey.mirror import is_image

__all__ = ["Effects", "watched"]

#: Built-in functions that talk to the world.
_BUILTINS = frozenset({"print", "input", "open", "breakpoint", "exec", "eval", "__import__"})
#: Modules of which every function does, or depends on more than its arguments.
_MODULES = frozenset({
    "_datetime", "_io", "_pydatetime", "_random", "_socket", "_ssl", "_uuid", "_warnings",
    "datetime", "io", "logging", "nt", "os", "posix", "random", "secrets", "shutil", "socket", "ssl",
    "subprocess", "tempfile", "time", "uuid", "warnings",
})  # fmt: skip
#: What runs in the name of others: callers whose calls do not count.
_SKIPPED = frozenset({"tapegrad", "importlib", "contextlib", "functools"})
_IMPORT = importlib._bootstrap._find_and_load.__code__  # type: ignore[attr-defined]
_RANDOM = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)


class Effects:
    """What has been noticed.

    Attributes
    ----------
    first : str
        The first call that cannot be repeated, or nothing.
    ran : set of code
        The code of the functions that ran as they are, not as mirror images.
    """

    def __init__(self) -> None:
        self.first = ""
        self.ran: set[Any] = set()
        #: The frame of an import that runs: it happens once, with a plan or without.
        self.importing: Any = None

    def notice(self, frame: Any, event: str, called: Any) -> None:
        """Take note of a call; Python calls this."""
        if self.importing is not None:
            if frame is self.importing and event == "return":
                self.importing = None
            return
        if event == "call" and frame.f_code is _IMPORT:
            self.importing = frame
            return
        if event == "call" and not is_image(frame):
            self.ran.add(frame.f_code)
        if self.first or (event != "c_call" and event != "call"):
            return
        caller = frame if event == "c_call" else frame.f_back
        module = _module(caller) if caller is not None else ""
        if module.partition(".")[0] in _SKIPPED or module == "numpy._core._ufunc_config":
            return
        if event == "call":
            owner = _module(frame)
            if owner.partition(".")[0] in _MODULES:
                self.first = f"{owner}.{frame.f_code.co_name}"
            return
        self._built_in(called, caller)

    def _built_in(self, called: Any, caller: Any) -> None:
        owner = getattr(called, "__self__", None)
        module = getattr(called, "__module__", None) or type(owner).__module__
        if isinstance(owner, type):
            module = owner.__module__
        name = getattr(called, "__name__", "?")
        if module == "builtins":
            if name in _BUILTINS:
                self.first = name
        elif (
            module.partition(".")[0] in _MODULES
            or isinstance(owner, _RANDOM)
            or (
                (name.startswith("start_new") or name == "start_joinable_thread")
                and not _ours(caller)
            )
        ):
            self.first = f"{module}.{name}"


def _ours(caller: Any) -> bool:
    """Whether ``Thread.start`` begins a thread of this library, to share work with."""
    within = caller.f_back if _module(caller) == "threading" else None
    return within is not None and _module(within).partition(".")[0] == "tapegrad"


def _module(frame: Any) -> str:
    name = frame.f_globals.get("__name__", "")
    return name if type(name) is str else ""


@contextmanager
def watched() -> Iterator[Effects]:
    """Notice calls while the block runs, in this thread; a profiler that runs is paused.

    So is the garbage collector, whose callbacks and finalizers are not the function's calls.
    """
    effects = Effects()
    collecting = gc.isenabled()
    gc.disable()
    before = sys.getprofile()
    pausable = hasattr(before, "disable") and hasattr(before, "enable")
    if pausable:
        before.disable()  # type: ignore[union-attr]
    sys.setprofile(effects.notice)
    try:
        yield effects
    finally:
        sys.setprofile(None)
        if collecting:
            gc.enable()
        if pausable:
            before.enable()  # type: ignore[union-attr]
        elif before is not None:
            sys.setprofile(before)
