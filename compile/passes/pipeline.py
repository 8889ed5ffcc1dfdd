"""Passes over programs, each a function from program to program, in the order of ``PIPELINE``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Call, Expression, Name, parse
from tapegrad.compile.passes.expansions import expand
from tapegrad.compile.passes.layout import Layout, shown
from tapegrad.compile.passes.pairs import split_complex
from tapegrad.compile.passes.uniform import repeated, uniform_value
from tapegrad.compile.passes.unrolled import multiply_at_once, sum_at_once
from tapegrad.compile.passes.windows import windows_of
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program, broadcast_shape
from tapegrad.tape.program.rewriter import Rewriter

__all__ = ["PIPELINE", "first_equal", "optimise", "optimised"]

_ANY = np.dtype(float)


def simplify(program: Program) -> Program:
    """Remove what is exactly nothing: factors of one, casts, reshapes and slices to what is there."""
    rewriter = Rewriter(program)
    seen, results, inputs = shown(program), set(program.results()), set(program.inputs)
    for entry in program.entries:
        operands = rewriter.operands(entry)
        same = None
        # What results are views of stays, unless it is found that the results are something else.
        if entry not in seen or entry in results:
            # Two results of the function may not become one array, nor may one become an argument.
            taken = seen | inputs if entry in results else set()
            same = _equal_to(entry, operands, taken)
        # A Python number may not stand for a NumPy scalar: it is weak in promotion.
        weak = type(same) is Node and same in rewriter.weak
        if same is not None and weak == (entry in rewriter.weak):
            rewriter.known[entry] = same
            seen.update(_memory_of(same) if entry in results else ())
            continue
        new = rewriter.keep(entry, operands)
        if entry in seen:
            seen.add(new)
    return rewriter.finish()


def _memory_of(value: Any) -> list[Node]:
    """Return a value and what it is a view of; of a constant, each result is a copy."""
    found = []
    while type(value) is Node:
        found.append(value)
        value = value.operands[0] if value.primitive is not None and value.primitive.view else None
    return found


def _equal_to(entry: Node, operands: tuple[Any, ...], taken: set[Node]) -> Any:
    """Return the earliest value or constant that the result of an entry equals bit for bit, or None.

    Its memory is none of the values in `taken`.
    """
    found: list[Any] = []
    if entry.primitive.kernel is not None and entry.dtype.kind != "c":  # texts are of real numbers
        ones = {letter for letter, operand in zip("xyz", operands) if _is_one(operand)}
        name = _unchanged(parse(entry.primitive.kernel, (_ANY,) * 3, _ANY), ones)
        found = [dict(zip("xyz", operands)).get(name)]
    elif entry.primitive.view:
        found = _shown_by(entry, operands[0])
    elif entry.primitive.windows is not None:
        windows = windows_of(entry)
        found = [operands[-1]] if windows and windows[-1] is None else []  # it covers the others
    for value in reversed(found):
        known = type(value) is Node or type(value) is np.ndarray
        same = known and (value.shape, value.dtype) == (entry.shape, entry.dtype)
        if same and taken.isdisjoint(_memory_of(value)):
            return value
    return None


def _is_one(operand: Any) -> bool:
    value = uniform_value(operand) if type(operand) is not Node else None
    return value is not None and bool(value == 1)


def _unchanged(expression: Expression, ones: set[str]) -> str:
    """Return the name of the operand that an expression gives back, if some are one, or ""."""
    if type(expression) is Name:
        return expression.name
    if type(expression) is Call and expression.function in ("multiply", "divide"):
        left, right = (_unchanged(a, ones) for a in expression.arguments)
        if right in ones:
            return left
        if left in ones and expression.function == "multiply":
            return right
    return ""


def _shown_by(entry: Node, operand: Any) -> list[Any]:
    """Return the values that a view shows all elements of, in order, by whatever ways."""
    if type(operand) is not Node:
        return []
    if entry.primitive.shows != "reshaped":
        layout = Layout.fresh(operand.shape, operand.dtype)
        whole = (
            operand.shape == entry.shape and layout.of_view(entry.primitive, entry.params) == layout
        )
        return [operand] if whole else [_part_shown(entry, operand)]
    found = [operand]
    while type(operand) is Node and operand.primitive is not None and operand.primitive.view:
        further = operand.operands[0]
        operand = (
            further if operand.primitive.shows == "reshaped" else _part_shown(operand, further)
        )
        found.append(operand)
    return found


def _part_shown(entry: Node, joined: Any) -> Any:
    """Return the one of several joined arrays that a slice of them shows, or None."""
    if entry.primitive.name != "basic_index" or type(joined) is not Node:
        return None
    if joined.primitive is None or joined.primitive.name != "concatenate":
        return None
    spec, axis = entry.params["spec"], joined.params["axis"]
    whole = ("slice", None, None, None)
    if len(spec) <= axis or any(cut != whole for i, cut in enumerate(spec) if i != axis):
        return None
    start = 0
    for part in joined.operands:
        stop = start + part.shape[axis]
        if spec[axis] == ("slice", start, stop, None):
            return part
        start = stop
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
        if operand.primitive.shows != "repeated":
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


def first_equal(program: Program) -> dict[Node, Node]:
    """Return, for each entry, the first one that computes the same."""
    found: dict[Node, Node] = {}
    first: dict[Any, Node] = {}
    for entry in program.entries:
        inputs = tuple(found.get(o, o) if type(o) is Node else o for o in entry.operands)
        try:
            found[entry] = first.setdefault(_key(entry, inputs), entry)
        except TypeError:  # a parameter that cannot be compared
            found[entry] = entry
    return found


def merge_equal(program: Program) -> Program:
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
        # Two results of the function may not become one array, or views of one; numbers may.
        alike = (earlier in rewriter.weak) == (entry in rewriter.weak)
        if earlier is not None and alike and (entry not in seen or entry.shape == ()):
            rewriter.known[entry] = earlier
            continue
        new = rewriter.keep(entry, inputs)
        if earlier is None:
            first[key] = new
    return rewriter.finish()


def drop_dead(program: Program) -> Program:
    """Remove entries whose results nobody needs."""
    return program.select(program.outputs)


#: The passes in order; each takes and returns a program.
PIPELINE: tuple[Callable[[Program], Program], ...] = (
    drop_dead,
    expand,
    split_complex,
    repeated,
    fold_broadcasts,
    simplify,
    fold_broadcasts,
    merge_equal,
    multiply_at_once,
    sum_at_once,
    merge_equal,
    drop_dead,
)


def optimised(program: Program) -> Program:
    """Return the program after all passes, made once for each program."""
    return program.memo("optimised", lambda: optimise(program))  # type: ignore[no-any-return]


def optimise(program: Program, check: Callable[[Program], None] | None = None) -> Program:
    """Run all passes, and `check` after each."""
    for step in PIPELINE:
        program = step(program)
        if check is not None:
            check(program)
    return program
