"""What a program is made of, as plain data: to compare and hash programs, and to pickle them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.core.node import Node, entry

if TYPE_CHECKING:
    from tapegrad.tape.program.program import Program

__all__ = ["bodies", "content_of", "dumped", "is_program", "loaded"]


def is_program(value: Any) -> bool:
    """Whether a parameter of an entry is a program."""
    return hasattr(value, "entries")


def bodies(params: Mapping[str, Any]) -> Iterator[tuple[str, Program]]:
    """Yield the programs among the parameters of an entry, with their names."""
    for name, value in params.items():
        if is_program(value):
            yield name, value


def content_of(program: Program) -> Any:
    """Return a hashable value that two programs share if they do the same, line by line.

    Constants count by their bits, bodies by their content; the user's lines do not count.
    """
    numbers = _numbers(program)
    return (
        tuple((n.shape, n.dtype.str, n in program.weak) for n in program.inputs),
        tuple(
            (
                e.primitive,
                tuple(_key(o, numbers) for o in e.operands),
                tuple(sorted(e.params.items())),
                e in program.weak,
            )
            for e in program.entries
        ),
        tuple(_key(o, numbers) for o in program.outputs),
    )


def _numbers(program: Program) -> dict[Node, int]:
    return {node: i for i, node in enumerate((*program.inputs, *program.entries))}


def _key(operand: Any, numbers: dict[Node, int]) -> Any:
    if type(operand) is Node:
        return numbers[operand]
    if isinstance(operand, np.ndarray | np.generic):
        return (type(operand).__name__, operand.dtype.str, operand.shape, operand.tobytes())
    return (type(operand).__name__, repr(operand))


def dumped(program: Program) -> tuple[Any, ...]:
    """Return a program as nests of plain values, of which :func:`loaded` makes it again.

    The user's lines are kept as text.
    """
    numbers = _numbers(program)

    def operand(value: Any) -> Any:
        return (True, numbers[value]) if type(value) is Node else (False, value)

    return (
        [(node.shape, node.dtype) for node in program.inputs],
        [
            (
                e.primitive,
                [operand(o) for o in e.operands],
                dict(e.params),
                e.shape,
                e.dtype,
                None if e.where is None else str(e.where),
            )
            for e in program.entries
        ],
        [operand(o) for o in program.outputs],
        [numbers[node] for node in program.weak],
    )


def loaded(
    inputs: list[Any], entries: list[Any], outputs: list[Any], weak: list[int]
) -> tuple[list[Node], list[Node], list[Any], frozenset[Node]]:
    """Return inputs, entries, outputs and weak nodes of a program from its :func:`dumped` form."""
    nodes = [Node(None, (), {}, (), shape, dtype) for shape, dtype in inputs]

    def operand(pair: Any) -> Any:
        is_node, value = pair
        return nodes[value] if is_node else value

    for primitive, operands, params, shape, dtype, where in entries:
        made = entry(primitive, tuple(map(operand, operands)), params, shape, dtype, where)
        nodes.append(made)
    count = len(inputs)
    return (
        nodes[:count],
        nodes[count:],
        list(map(operand, outputs)),
        frozenset(nodes[i] for i in weak),
    )
