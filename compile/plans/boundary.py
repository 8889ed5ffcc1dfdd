"""Where a program meets its user: what a plan does beside computing the outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile.passes.layout import Layout
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.staging import Guard

__all__ = ["Boundary", "guard_holds"]


@dataclass(slots=True, frozen=True)
class Boundary:
    """What is known of the inputs and outputs of a program.

    The outputs are the results, then a value for each guard, then the last versions of inputs that are
    written into.

    Attributes
    ----------
    results : int
        How many outputs are results.
    guards : sequence of Guard
        What Python consumed while the program was recorded.
    writes : sequence of int
        Which inputs are written into.
    scalars : collection of Node
        Inputs that are NumPy scalars.
    layouts : mapping
        How the inputs lie in memory; those that are not named are C-contiguous.
    names : sequence of str
        What to call the inputs.
    donated : sequence of int
        Inputs whose memory may become that of results.
    """

    results: int
    guards: Sequence[Guard] = ()
    writes: Sequence[int] = ()
    scalars: Collection[Node] = ()
    layouts: Mapping[Node, Layout] = field(default_factory=dict)
    names: Sequence[str] = ()
    donated: Sequence[int] = ()


def guard_holds(guard: Guard, value: Any) -> bool:
    """Whether Python code would see in `value` what the recording saw."""
    if guard.kind == "bool":
        return bool(value) == bool(guard.seen)
    if guard.kind == "shape":
        return np.shape(value) == tuple(guard.seen)
    value = np.asarray(value)
    if value.shape != np.shape(guard.seen):
        return False
    # The bits: code may have seen the sign of a zero, or printed a nan.
    return value.tobytes() == guard.seen.tobytes() and value.dtype == guard.seen.dtype
