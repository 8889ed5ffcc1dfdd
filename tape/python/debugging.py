"""Debuggers step through images as through functions: they pass over the frames of gates."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

__all__ = ["is_plain_hook", "pass_over", "stop", "stops"]


def _modules(gate: object) -> set[str]:
    ours = __name__.rpartition(".")[0]
    modules = {cls.__module__ for cls in type(gate).__mro__}
    return {f"{ours}.*", *(name for name in modules if name.startswith(ours.partition(".")[0]))}


def pass_over(gate: object) -> None:
    """Have the debugger that traces this thread, if it is one of Python's, pass over `gate`."""
    debugger = getattr(sys.gettrace(), "__self__", None)
    bdb = sys.modules.get("bdb")
    if bdb is not None and isinstance(debugger, bdb.Bdb):
        debugger.skip = {*(debugger.skip or ()), *_modules(gate)}


def stops(function: FunctionType) -> bool:
    """Whether `function` is ``pdb.set_trace``."""
    return function.__module__ == "pdb" and function.__name__ == "set_trace"


def is_plain_hook() -> bool:
    """Whether ``breakpoint()`` means ``pdb.set_trace()``."""
    plain = os.environ.get("PYTHONBREAKPOINT", "") in ("", "pdb.set_trace")
    return plain and sys.breakpointhook is sys.__breakpointhook__


def stop(gate: object, keywords: dict[str, Any]) -> Callable[[], None]:
    """Return what does ``pdb.set_trace(**keywords)`` in the user's frame."""

    def set_trace() -> None:
        import pdb  # it is large, and only wanted here

        debugger = pdb.Pdb(skip=_modules(gate))
        if keywords.get("header") is not None:
            debugger.message(keywords["header"])
        debugger.set_trace(sys._getframe(1))

    return set_trace
