"""Programs that were recorded before: what was derived from one, and compiled, serves the next call."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from tapegrad.tape.core.location import Location
from tapegrad.tape.program.program import Program

__all__ = ["shared"]

#: The programs of the last loops, by what they do and where that was written.
_known: OrderedDict[Any, Program] = OrderedDict()
_MOST = 64
#: Arrays of more elements are not compared.
_SMALL = 16


def shared(program: Program) -> Program:
    """Return the program that was recorded before at the same lines and does the same, or this one."""
    if any(np.size(constant) > _SMALL for constant in program.constants()):
        return program
    lines = [e.where for e in program.entries]
    places = [(w.code, w.offset) if isinstance(w, Location) else w for w in lines]
    key = (program, *places)
    try:
        found = _known.pop(key, program)
    except TypeError:  # a parameter that has no hash
        return program
    _known[key] = found  # the newest is the last
    while len(_known) > _MOST:
        _known.popitem(last=False)
    return found
