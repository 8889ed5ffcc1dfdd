"""Passes over programs, each a function from program to program, in the order of ``PIPELINE``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.passes.expansions import expand
from tapegrad.compile.passes.uniform import uniform_value
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program, broadcast_shape
from tapegrad.tape.program.rewriter import Rewriter

__all__ = ["PIPELINE", "optimise"]


def _is_one(operand: Any) -> bool:
    value = uniform_value(operand) if type(operand) is not Node else None
    return value is not None and bool(value == 1)


def shown(program: Program) -> set[Node]:
    """Return the outputs and what they are views of: whose memory users see."""
    found = set(program.results())
    for entry in reversed(program.entries):
        if entry in found and entry.primitive.view:
            found.update(o for o in entry.operands if type(o) is Node)
    return found


def simplify(program: Program) -> Program:
    """Remove what is exactly nothing: factors of one, casts and reshapes to what is there."""
    rewriter = Rewriter(program)
    seen = shown(program)
    for entry in program.entries:
        inputs = rewriter.operands(entry)
        same = None if entry in seen else _identity(entry, inputs)
        # A Python number may not stand for a NumPy scalar: it is weak in promotion.
        if same is not None and (same in rewriter.weak) == (entry in rewriter.weak):
            rewriter.known[entry] = same
            continue
        rewriter.keep(entry, inputs)
    return rewriter.finish()


def _identity(entry: Node, inputs: tuple[Any, ...]) -> Any:
    """Return the operand that the result of an entry equals bit for bit, or None."""
    name = entry.primitive.name
    candidate = None
    if name == "multiply":
        if _is_one(inputs[1]):
            candidate = inputs[0]
        elif _is_one(inputs[0]):
            candidate = inputs[1]
    elif (
        (name == "divide" and _is_one(inputs[1]))
        or name
        in (
            "cast",
            "reshape",
            "broadcast_to",
            "positive",
            "copy",
            "stop_gradient",
        )
        or (name == "transpose" and entry.params["axes"] == tuple(range(len(entry.shape))))
    ):
        candidate = inputs[0]
    if (
        type(candidate) is Node
        and candidate.shape == entry.shape
        and candidate.dtype == entry.dtype
    ):
        return candidate
    return None


def fold_broadcasts(program: Program) -> Program:
    """Let elementwise operations broadcast for themselves what ``broadcast_to`` repeats."""
    made = set(program.entries)
    rewriter = Rewriter(program)
    for entry in program.entries:
        inputs = entry.operands
        if entry.primitive.family == "elementwise":
            for i, operand in enumerate(inputs):
                less = (*inputs[:i], _unrepeated(operand, made), *inputs[i + 1 :])
                if broadcast_shape(less) == entry.shape:  # something must have the shape
                    inputs = less
        rewriter.keep(entry, rewriter.known_as(inputs))
    return rewriter.finish()


def _unrepeated(operand: Any, made: set[Node]) -> Any:
    while type(operand) is Node and operand in made:
        if operand.primitive.name != "broadcast_to":
            break
        operand = operand.operands[0]
    return operand


def _key(entry: Node, inputs: tuple[Any, ...]) -> Any:
    parts: list[tuple[str, Any]] = []
    for operand in inputs:
        if type(operand) is Node:
            parts.append(("node", id(operand)))
        elif isinstance(operand, np.ndarray):
            parts.append(("array", id(operand)))
        else:
            parts.append((type(operand).__name__, repr(operand)))
    return (entry.primitive.name, tuple(parts), tuple(sorted(entry.params.items())))


def share(program: Program) -> Program:
    """Compute equal expressions once."""
    rewriter = Rewriter(program)
    first: dict[Any, Node] = {}
    seen = shown(program)
    for entry in program.entries:
        inputs = rewriter.operands(entry)
        try:
            key = _key(entry, inputs)
            earlier = first.get(key)
        except TypeError:  # a parameter that cannot be compared
            rewriter.keep(entry, inputs)
            continue
        # Two results of the function may not become one array, or views of one.
        alike = (earlier in rewriter.weak) == (entry in rewriter.weak)
        if earlier is not None and alike and entry not in seen:
            rewriter.known[entry] = earlier
            continue
        kept = rewriter.keep(entry, inputs)
        if earlier is None:
            first[key] = kept
    return rewriter.finish()


def drop_dead(program: Program) -> Program:
    """Remove entries whose results nobody needs."""
    return program.select(program.outputs)


#: The passes in order; each takes and returns a program.
PIPELINE: tuple[Callable[[Program], Program], ...] = (
    drop_dead,
    expand,
    fold_broadcasts,
    simplify,
    fold_broadcasts,
    share,
    drop_dead,
)


def optimise(program: Program, check: Callable[[Program], None] | None = None) -> Program:
    """Run all passes, and `check` after each."""
    for step in PIPELINE:
        program = step(program)
        if check is not None:
            check(program)
    return program
