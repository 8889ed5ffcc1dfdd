"""Which values of a program depend on which of its inputs, through any number of trips of a loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["ANY", "FLOATS", "carried_along", "reached"]

#: Kinds of dtypes through which derivatives flow (bundles are of objects), and all that there are.
FLOATS = "fcO"
ANY = "fcOiub"


def reached(program: Program, sources: Iterable[Any], kinds: str = ANY) -> set[Node]:
    """Return the values that depend on some nodes, through values of these kinds."""
    found = set(sources)
    for entry in program.entries:
        if entry.dtype.kind in kinds and any(
            type(o) is Node and o in found for o in entry.operands
        ):
            found.add(entry)
    return found


def carried_along(
    program: Program, carried: int, flags: Sequence[bool], kinds: str
) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Return which inputs and outputs of a loop's body depend on what is flagged, after any trip.

    Parameters
    ----------
    program : Program
        The first `carried` inputs get the values of as many first outputs in the next trip.
    carried : int
    flags : sequence of bool
        One for each input.
    kinds : str
        Of the dtypes that count.
    """
    inputs = list(flags)
    while True:
        found = reached(program, (n for n, f in zip(program.inputs, inputs) if f), kinds)
        outputs = [type(o) is Node and o in found for o in program.outputs]
        grown = [one or other for one, other in zip(inputs[:carried], outputs)]
        if grown == inputs[:carried]:
            return tuple(inputs), tuple(outputs)
        inputs[:carried] = grown
