"""Passes over programs, each a function from program to program, in the order of ``PIPELINE``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.program import Program, with_entries
from tapegrad.tape.node import Node
from tapegrad.tape.primitive import primitives
from tapegrad.tape.staging import Entry, Guard

__all__ = ["PIPELINE", "optimise"]


def uniform_value(operand: Any) -> Any:
    """Return the scalar that a constant operand repeats, or None."""
    if isinstance(operand, np.ndarray):
        if operand.size == 1 or (operand.size and not any(operand.strides)):
            return operand.reshape(-1)[0] if operand.size == 1 else operand[(0,) * operand.ndim]
        return None
    return operand


class _Rewriter:
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


def _shaped(shape: tuple[int, ...], dtype: Any) -> Node:
    return Node(None, (), {}, (), shape, np.dtype(dtype))


def expand_statistics(program: Program) -> Program:
    """Write mean, var and std as sums, so that they fuse with what surrounds them."""
    rewriter = _Rewriter(program)
    for entry in program.entries:
        inputs = rewriter.operands(entry)
        name = entry.primitive.name
        x = inputs[0] if inputs else None
        fits = (
            type(x) is Node
            and x.dtype == entry.output.dtype
            and x.dtype in (np.dtype(np.float64), np.dtype(np.float32))
        )
        if type(x) is not Node or name not in ("mean", "var", "std") or not fits:
            rewriter.keep(entry, inputs)
            continue
        _expand(rewriter, entry, x)
    return rewriter.finish()


def _expand(rewriter: _Rewriter, entry: Entry, x: Node) -> None:
    params, out, where = entry.params, entry.output, entry.where
    axis, keepdims = params["axis"], params["keepdims"]
    count = float(np.prod([x.shape[a] for a in axis], dtype=np.int64))
    kept = _shaped(tuple(1 if i in axis else n for i, n in enumerate(x.shape)), x.dtype)
    if entry.primitive.name == "mean":
        total = rewriter.add("sum", (x,), {"axis": axis, "keepdims": keepdims}, out, where)
        rewriter.entries.append(Entry(primitives["divide"], (total, count), {}, out, where))
        return
    total = rewriter.add("sum", (x,), {"axis": axis, "keepdims": True}, kept, where)
    mean = rewriter.add("divide", (total, count), {}, kept, where)
    deviation = rewriter.add("subtract", (x, mean), {}, x, where)
    squares = rewriter.add("multiply", (deviation, deviation), {}, x, where)
    total = rewriter.add("sum", (squares,), {"axis": axis, "keepdims": keepdims}, out, where)
    free = np.float64(max(count - params["ddof"], 0.0)).astype(x.dtype)
    if entry.primitive.name == "var":
        rewriter.entries.append(Entry(primitives["divide"], (total, free), {}, out, where))
    else:
        variance = rewriter.add("divide", (total, free), {}, out, where)
        rewriter.entries.append(Entry(primitives["sqrt"], (variance,), {}, out, where))


def _is_one(operand: Any) -> bool:
    value = uniform_value(operand) if type(operand) is not Node else None
    return value is not None and bool(value == 1)


def simplify(program: Program) -> Program:
    """Remove what is exactly nothing: factors of one, casts and reshapes to what is there."""
    rewriter = _Rewriter(program)
    results = set(program.results())
    for entry in program.entries:
        inputs = rewriter.operands(entry)
        same = None if entry.output in results else _identity(entry, inputs)
        # A Python number may not stand for a NumPy scalar: it is weak in promotion.
        if same is not None and (same in program.weak) == (entry.output in program.weak):
            rewriter.known[entry.output] = same
            continue
        rewriter.keep(entry, inputs)
    return rewriter.finish()


def _identity(entry: Entry, inputs: tuple[Any, ...]) -> Any:
    """Return the operand that the result of an entry equals bit for bit, or None."""
    name, out = entry.primitive.name, entry.output
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
        )
        or (name == "transpose" and entry.params["axes"] == tuple(range(len(out.shape))))
    ):
        candidate = inputs[0]
    if type(candidate) is Node and candidate.shape == out.shape and candidate.dtype == out.dtype:
        return candidate
    return None


def fold_broadcasts(program: Program) -> Program:
    """Let elementwise operations broadcast for themselves what ``broadcast_to`` repeats."""
    made = {entry.output: entry for entry in program.entries}
    rewriter = _Rewriter(program)
    for entry in program.entries:
        inputs = entry.inputs
        if entry.primitive.family == "elementwise":
            inputs = tuple(_unrepeated(operand, made) for operand in inputs)
        rewriter.keep(entry, inputs)
    return rewriter.finish()


def _unrepeated(operand: Any, made: dict[Node, Entry]) -> Any:
    while type(operand) is Node and operand in made:
        entry = made[operand]
        if entry.primitive.name != "broadcast_to":
            break
        operand = entry.inputs[0]
    return operand


def _key(entry: Entry, inputs: tuple[Any, ...]) -> Any:
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
    rewriter = _Rewriter(program)
    first: dict[Any, Node] = {}
    results = set(program.results())
    for entry in program.entries:
        inputs = rewriter.operands(entry)
        try:
            key = _key(entry, inputs)
            earlier = first.get(key)
        except TypeError:  # a parameter that cannot be compared
            rewriter.keep(entry, inputs)
            continue
        # Two results of the function may not become one array.
        alike = (earlier in program.weak) == (entry.output in program.weak)
        if earlier is not None and alike and entry.output not in results:
            rewriter.known[entry.output] = earlier
            continue
        if earlier is None:
            first[key] = entry.output
        rewriter.keep(entry, inputs)
    return rewriter.finish()


def drop_dead(program: Program) -> Program:
    """Remove entries whose results nobody needs."""
    needed = set(program.results())
    kept: list[Entry] = []
    for entry in reversed(program.entries):
        if entry.output in needed:
            needed.update(operand for operand in entry.inputs if type(operand) is Node)
            kept.append(entry)
    return with_entries(program, kept[::-1])


#: The passes in order; each takes and returns a program.
PIPELINE: tuple[Callable[[Program], Program], ...] = (
    drop_dead,
    expand_statistics,
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
