"""Memory: how long the values of a plan are needed, and which steps may write where others have been."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from tapegrad.compile.fusion.groups import Group, Step
from tapegrad.compile.passes.windows import windows_of
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["LARGE", "Lifetimes", "bytes_held", "keep_freed_memory", "overwritable"]

#: Bytes of an array whose memory is given back before the plan ends, or taken for another.
LARGE = 1 << 15


def base_of(node: Node) -> Node:
    """Return what a value is a view of; itself, if it has memory of its own."""
    while node.primitive is not None and node.primitive.view and type(node.operands[0]) is Node:
        node = node.operands[0]
    return node


def bytes_held(node: Node) -> int:
    """Return the size of the memory that a value keeps alive: a view that of its base."""
    base = base_of(node)
    return math.prod(base.shape) * base.dtype.itemsize


class Lifetimes:
    """When the values of a program are used for the last time.

    Attributes
    ----------
    own : set of Node
        The values whose memory the plan has made for them alone; steps add to it as they are written.
    """

    def __init__(self, program: Program, steps: Sequence[Group | Step]) -> None:
        self.own: set[Node] = set()
        self._direct: dict[Node, Group | Step] = {}
        self._of_memory: dict[Node, Group | Step] = {}
        self._position = {step: i for i, step in enumerate(steps)}
        for step in steps:
            for entry in step.entries if isinstance(step, Group) else [step.entry]:
                for operand in entry.operands:
                    if type(operand) is Node:
                        self._direct[operand] = step
                        self._of_memory[base_of(operand)] = step
        self._kept = {base_of(node) for node in program.results()}
        for entry in program.entries:
            # Users' code may give back what it is given.
            if any(map(callable, entry.params.values())):
                self._kept.update(base_of(o) for o in entry.operands if type(o) is Node)
        for node in (*program.results(), *program.inputs):
            self._direct.pop(node, None)
        self._ends: dict[Group | Step, list[Node]] = {}
        for node, step in self._direct.items():
            if bytes_held(node) >= LARGE:
                self._ends.setdefault(step, []).append(node)

    def ending(self, step: Group | Step) -> list[Node]:
        """Return the large values that no step after this one uses."""
        return self._ends.get(step, [])

    def is_last(self, node: Node, step: Group | Step) -> bool:
        """Whether no step after this one uses the memory of a value, nor does anyone after the plan."""
        return node not in self._kept and self._of_memory.get(node) is step

    def is_over(self, node: Node, step: Group | Step) -> bool:
        """Whether neither a step from this one on uses the memory of a value, nor anyone afterwards."""
        last = self._of_memory.get(node)
        past = last is None or self._position[last] < self._position[step]
        return node not in self._kept and past

    def is_result(self, node: Node) -> bool:
        """Whether the memory of a value is that of a result."""
        return node in self._kept

    def may_be_overwritten(self, node: Node, step: Group | Step) -> bool:
        """Whether a step may write its result where an operand lies."""
        return node in self.own and base_of(node) is node and self.is_last(node, step)


def overwritable(group: Group) -> list[Node]:
    """Return the operands that a kernel reads at the element that it writes, and nowhere else."""
    if group.reduced or not group.space:
        return []
    read_elsewhere: set[Node] = set()
    for entry in group.entries:
        windows = windows_of(entry) or ()
        read_elsewhere.update(o for o, w in zip(entry.operands, windows) if w and type(o) is Node)
    # A view shows an element at another place.
    read_elsewhere.update(base_of(o) for o in group.operands if base_of(o) is not o)
    return [
        node
        for entry in group.entries
        for node in entry.operands
        if type(node) is Node
        and node in group.operands
        and node.shape == group.space
        and node not in read_elsewhere
    ]


@cache
def keep_freed_memory() -> None:
    """Have the allocator keep the memory of arrays that are freed, for the next call of a plan.

    glibc gives the memory of larger arrays back to the system, which clears it page by page when it is
    asked for again: that takes several times as long as computing with it. How large these are it
    learns from the largest that is freed: 32 MB is what it takes at most, of which no page is touched.
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)
