"""Windows: which entries lay their operands side by side or over each other, and where."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from tapegrad.tape.core.node import Node

__all__ = ["Ranges", "windows_of"]

#: How many operands are laid side by side in a kernel: each is looked for at every element.
MOST = 4

#: Start and stop of an operand along each axis of the result, and whether the operand has the axis.
Ranges: TypeAlias = tuple[tuple[int, int, bool], ...]


def windows_of(entry: Node) -> tuple[Ranges | None, ...] | None:
    """Return where each operand of an entry goes; None if it is no such entry.

    An operand that covers the whole result, axis by axis, has None.
    """
    declared = entry.primitive.windows
    if declared is None or 0 in entry.shape or not entry.shape:
        return None
    if len(entry.operands) > MOST:
        return None
    found = declared(tuple(np.shape(o) for o in entry.operands), entry.params)
    if found is None:
        return None
    full = tuple((0, n, True) for n in entry.shape)
    return tuple(None if ranges == full else ranges for ranges in found)
