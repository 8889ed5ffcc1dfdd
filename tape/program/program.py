"""A program: a tape with its inputs and outputs, and the check that it is one.

Passes take a program and return one. Values are nodes; each is an input, or an entry before its uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tapegrad.tape.core.node import Node
from tapegrad.tape.program.staging import Guard

__all__ = ["Program", "broadcast_shape", "users", "verify", "with_entries"]


@dataclass(slots=True)
class Program:
    """What a plan is made from.

    Attributes
    ----------
    inputs : list of Node
        Values given at each call: the leaves of the arguments, then the captured arrays.
    entries : list of Node
        In order of execution.
    outputs : list
        A node, or a constant, for each leaf of the result.
    guards : list of Guard
        What Python consumed while the program was recorded.
    writes : list of (Node, Node)
        An input that the function wrote into, and its last version.
    weak : set of Node
        Values that are Python numbers, weak in NumPy's promotion.
    scalars : set of Node
        Inputs that are NumPy scalars.
    layouts : dict
        How the inputs lie in memory.
    """

    inputs: list[Node]
    entries: list[Node]
    outputs: list[Any]
    guards: list[Guard] = field(default_factory=list)
    writes: list[tuple[Node, Node]] = field(default_factory=list)
    weak: set[Node] = field(default_factory=set)
    scalars: set[Node] = field(default_factory=set)
    layouts: dict[Node, Any] = field(default_factory=dict)

    def results(self) -> list[Node]:
        """Return the nodes that must be computed: outputs, guards and writes."""
        found = [o for o in self.outputs if type(o) is Node]
        return [*found, *(g.node for g in self.guards), *(new for _, new in self.writes)]

    def shown(self) -> set[Node]:
        """Return the results and what they are views of: whose memory users see."""
        shown = set(self.results())
        for entry in reversed(self.entries):
            if entry in shown and entry.primitive.view:
                shown.update(o for o in entry.operands if type(o) is Node)
        return shown


def with_entries(program: Program, entries: list[Node]) -> Program:
    """Return the program with other entries."""
    return replace(program, entries=entries)


def users(program: Program) -> dict[Node, list[Node]]:
    """Return the entries that use each node."""
    found: dict[Node, list[Node]] = {}
    for entry in program.entries:
        for operand in entry.operands:
            if type(operand) is Node:
                found.setdefault(operand, []).append(entry)
    return found


def broadcast_shape(operands: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape that operands are broadcast to."""
    return np.broadcast_shapes(*(np.shape(o) if type(o) is not Node else o.shape for o in operands))


def verify(program: Program) -> None:
    """Check that a program is well formed; the tests run it after every pass.

    Raises
    ------
    AssertionError
        If a value is used before it is made, made twice, or missing.
    """
    known = set(program.inputs)
    assert len(known) == len(program.inputs), "an input occurs twice"
    for entry in program.entries:
        for operand in entry.operands:
            if type(operand) is Node:
                assert operand in known, f"{entry} uses a value that is not made before it"
            else:
                assert isinstance(operand, np.ndarray | np.generic | float | int), (
                    f"{entry} has an operand of type {type(operand).__name__}"
                )
        if entry.primitive.family == "elementwise":
            assert broadcast_shape(entry.operands) == entry.shape, f"{entry}: another shape"
        assert entry not in known, f"{entry} makes a value that is made already"
        known.add(entry)
    for node in program.results():
        assert node in known, "a result is not made by the program"
