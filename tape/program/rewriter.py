"""How programs are rewritten: new entries under a substitution of values."""

from __future__ import annotations

from typing import Any

from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.program.program import Program

__all__ = ["Rewriter"]


class Rewriter:
    """Builds a program from another one.

    Attributes
    ----------
    entries : list of Node
        What there is of the new program.
    known : dict
        What stands for each value of the old program that is not there any more.
    weak : set of Node
        Python numbers of the old program and of the new one.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.entries: list[Node] = []
        self.known: dict[Node, Any] = {}
        self.weak = set(program.weak)

    def known_as(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what stands for operands of the old program."""
        known = self.known
        return tuple(known.get(o, o) if type(o) is Node else o for o in operands)

    def operands(self, old: Node) -> tuple[Any, ...]:
        """Return what stands for the operands of an entry."""
        return self.known_as(old.operands)

    def keep(self, old: Node, operands: tuple[Any, ...]) -> Node:
        """Append an entry, with other operands if they differ."""
        if all(a is b for a, b in zip(operands, old.operands)):
            self.entries.append(old)
            return old
        return self.replace(old, old.primitive, operands, old.params)

    def replace(
        self, old: Node, primitive: Primitive, operands: tuple[Any, ...], params: Any
    ) -> Node:
        """Append what makes the value of an old entry."""
        new = self.add(primitive, operands, params, old, old.where)
        self.known[old] = new
        if old in self.weak:
            self.weak.add(new)
        return new

    def add(
        self, primitive: Primitive, operands: tuple[Any, ...], params: Any, like: Any, where: Any
    ) -> Node:
        """Append a new entry; its result has shape and dtype of `like`."""
        new = entry(primitive, operands, params, like.shape, like.dtype, where)
        self.entries.append(new)
        return new

    def finish(self) -> Program:
        """Return the new program."""
        program = self.program
        return Program(program.inputs, self.entries, self.known_as(program.outputs), self.weak)
