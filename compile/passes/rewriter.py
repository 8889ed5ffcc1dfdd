"""What passes are made with: a new list of entries under a substitution of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.node import Node
from tapegrad.tape.core.node import entry as make_entry
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.program.program import Program, with_entries
from tapegrad.tape.program.staging import Guard

__all__ = ["Rewriter", "uniform_value"]


def uniform_value(operand: Any) -> Any:
    """Return the scalar that a constant operand repeats, or None."""
    if isinstance(operand, np.ndarray):
        if operand.size == 1 or (operand.size and not any(operand.strides)):
            return operand.reshape(-1)[0] if operand.size == 1 else operand[(0,) * operand.ndim]
        return None
    return operand


class Rewriter:
    """Builds a new list of entries under a substitution of values."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.entries: list[Node] = []
        #: What stands for each value of the old program that is not there any more.
        self.known: dict[Node, Any] = {}
        self.weak = set(program.weak)

    def known_as(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what stands for operands of the old program."""
        known = self.known
        return tuple(known.get(o, o) if type(o) is Node else o for o in operands)

    def operands(self, entry: Node) -> tuple[Any, ...]:
        """Return what stands for the operands of an entry."""
        return self.known_as(entry.operands)

    def keep(self, entry: Node, operands: tuple[Any, ...]) -> Node:
        """Append an entry, with other operands if they differ."""
        if all(a is b for a, b in zip(operands, entry.operands)):
            self.entries.append(entry)
            return entry
        return self.replace(entry, entry.primitive, operands, entry.params)

    def replace(
        self, entry: Node, primitive: Primitive, operands: tuple[Any, ...], params: Any
    ) -> Node:
        """Append what makes the value of an old entry."""
        new = self.add(primitive, operands, params, entry, entry.where)
        self.known[entry] = new
        if entry in self.weak:
            self.weak.add(new)
        return new

    def add(
        self, primitive: Primitive, operands: tuple[Any, ...], params: Any, like: Any, where: Any
    ) -> Node:
        """Append a new entry; its result has shape and dtype of `like`."""
        new = make_entry(primitive, operands, params, like.shape, like.dtype, where)
        self.entries.append(new)
        return new

    def finish(self) -> Program:
        """Return the new program."""
        known = self.known
        program = with_entries(self.program, self.entries)
        program.outputs = [known.get(o, o) if type(o) is Node else o for o in program.outputs]
        program.guards = [
            Guard(known.get(g.node, g.node), g.kind, g.seen, g.where) for g in program.guards
        ]
        program.writes = [(old, known.get(new, new)) for old, new in program.writes]
        program.weak = self.weak
        return program
