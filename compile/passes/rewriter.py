"""What passes are made with: a new list of entries under a substitution of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.compile.passes.program import Program, with_entries
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.staging import Entry, Guard

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
        self.entries: list[Entry] = []
        self.known: dict[Node, Any] = {}

    def operands(self, entry: Entry) -> tuple[Any, ...]:
        return tuple(
            self.known.get(operand, operand) if type(operand) is Node else operand
            for operand in entry.inputs
        )

    def keep(self, entry: Entry, inputs: tuple[Any, ...]) -> None:
        if inputs != entry.inputs if _plain(inputs, entry.inputs) else True:
            entry = Entry(entry.primitive, inputs, entry.params, entry.output, entry.where)
        self.entries.append(entry)

    def add(self, name: str, inputs: tuple[Any, ...], params: Any, like: Node, where: Any) -> Node:
        """Append a new entry; its result has shape and dtype of the node `like`."""
        node = Node(None, (), {}, (), like.shape, like.dtype)
        self.entries.append(Entry(primitives[name], inputs, params, node, where))
        return node

    def finish(self) -> Program:
        known = self.known
        program = with_entries(self.program, self.entries)
        program.outputs = [known.get(o, o) if type(o) is Node else o for o in program.outputs]
        program.guards = [
            Guard(known.get(g.node, g.node), g.kind, g.seen, g.where, g.position)
            for g in program.guards
        ]
        program.writes = [(old, known.get(new, new)) for old, new in program.writes]
        return program


def _plain(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether two operand tuples can be compared with == (no arrays among them)."""
    return not any(isinstance(x, np.ndarray) for x in (*a, *b))
