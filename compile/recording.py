"""Recording a function for ``jit``: what it did becomes a program, and the program a plan."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile import passes
from tapegrad.compile.capture import Captures, Reference, survey
from tapegrad.compile.layout import Layout
from tapegrad.compile.program import Program
from tapegrad.tape.node import Node
from tapegrad.tape.primitive import primitives
from tapegrad.tape.printing import tape_source
from tapegrad.tape.pytree import Structure, flatten, unflatten
from tapegrad.tape.staging import CannotStage, Entry, StagingTrace
from tapegrad.tape.tensor import Tensor
from tapegrad.tape.trace import new_trace
from tapegrad.tape.transforms import give_back

__all__ = ["Recording", "leaf_key", "record"]

#: Run on every program after every pass; the tests put ``program.verify`` here.
check: Callable[[Program], None] | None = None


def leaf_key(leaf: Any) -> Any:
    """Return what a plan depends on of one argument: kind, shape, layout and dtype, or the value."""
    kind = type(leaf)
    if kind is np.ndarray:
        return (leaf.shape, leaf.strides, leaf.dtype)
    if kind is float or kind is int:
        return kind
    if isinstance(leaf, np.generic):
        return ("scalar", leaf.dtype)
    return (kind, leaf)


def _is_traced(leaf: Any) -> bool:
    if type(leaf) is np.ndarray or isinstance(leaf, np.generic):
        return leaf.dtype.kind in "fiub"
    return type(leaf) is float or (type(leaf) is int and -(2**63) <= leaf < 2**63)


@dataclass(slots=True, eq=False)
class Recording:
    """One way through a function, executable.

    Attributes
    ----------
    program : Program
    plan : Plan
    traced : list of int
        Which leaves of the arguments the plan takes.
    captured : list of Reference
        Where the plan's further inputs are read.
    structure : Structure
        Of the result.
    watched : list of (Reference, array)
        Arrays that must have these contents.
    constants : list of array
        What the function computed outside its traced values.
    trusted : bool
        Whether the constants are known to be the same at each call.
    problem : str
        Why the recording may not be used.
    fast : callable, False or None
        Generated code that checks a call and runs the plan; False if there can be none.
    """

    program: Program
    plan: Any
    traced: list[int]
    captured: list[Reference]
    structure: Structure
    watched: list[tuple[Reference, Any]] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    trusted: bool = True
    problem: str = ""
    fast: Any = None

    def run(self, leaves: list[Any]) -> tuple[bool, Any]:
        """Execute; returns whether the guards held, and the result."""
        if not self.trusted:
            return False, None
        for reference, contents in self.watched:
            if not _same(reference.read(), contents):
                return False, None
        inputs = [leaves[i] for i in self.traced]
        for i, value in enumerate(inputs):
            if type(value) is not np.ndarray:
                inputs[i] = np.asarray(value)
            elif not value.flags.aligned:
                inputs[i] = value.copy()
        outs = self.plan.run(*inputs, *(r.read() for r in self.captured))
        if type(outs) is not tuple:
            return False, outs
        if self.structure == "*":
            return True, outs[0]
        return True, unflatten(self.structure, outs)

    def same_way(self, other: Recording) -> bool:
        """Whether two recordings took the same branches."""
        mine, theirs = self.program.guards, other.program.guards
        return len(mine) == len(theirs) and all(
            a.kind == b.kind and _same(a.seen, b.seen) for a, b in zip(mine, theirs)
        )

    def same_watched(self, other: Recording) -> bool:
        """Whether the arrays that two recordings watch had the same contents."""
        return all(_same(a, b) for (_, a), (_, b) in zip(self.watched, other.watched))

    def same_constants(self, other: Recording) -> bool:
        """Whether two recordings computed with the same constants."""
        return len(self.constants) == len(other.constants) and all(
            _same(a, b) for a, b in zip(self.constants, other.constants)
        )

    def explain(self, name: str) -> str:
        """Return the tape, the plan and the kernels as text."""
        program, plan = self.program, self.plan
        parts = [
            f"# {name}: {len(program.entries)} operations, {len(plan.kernels)} kernels, "
            f"{len(plan.library)} library steps, {len(program.guards)} guards",
            "",
            "# The tape, after all passes:",
            tape_source(
                program.entries, program.inputs, [o for o in program.outputs if type(o) is Node]
            ),
            "",
            "# The plan:",
            plan.source.rstrip(),
        ]
        if plan.library:
            steps = ", ".join(f"{e.primitive.name} ({e.where})" for e in plan.library)
            parts.append(f"# library steps: {steps}")
        for guard in program.guards:
            parts.append(f"# guard: {guard.kind} was {guard.seen}, consumed at {guard.where}")
        for i, kernel in enumerate(plan.kernels):
            parts += ["", f"# kernel {i}, over {kernel.sizes}:", kernel.source.rstrip()]
        return "\n".join(parts)


def _same(a: Any, b: Any) -> bool:
    if np.shape(a) != np.shape(b):
        return False
    kind = np.asarray(b).dtype.kind
    return np.array_equal(a, b, equal_nan=kind == "f")


def record(
    function: Callable[..., Any],
    captures: Captures,
    leaves: list[Any],
    structure: Structure,
    *,
    strict: bool,
) -> tuple[Recording, Any]:
    """Run `function` on real values and make a plan of what it did.

    Returns
    -------
    recording : Recording
    result
        What the function returned for these arguments.
    """
    traced = [i for i, leaf in enumerate(leaves) if _is_traced(leaf)]
    drawn = captures.random_state()
    before = [(r, np.array(r.read())) for r in captures.arrays]
    with new_trace(StagingTrace) as trace:
        given = list(leaves)
        for i in traced:
            weak = type(leaves[i]) in (float, int)
            given[i] = trace.variable(np.asarray(leaves[i]), weak=weak)
        cells = [given[i] for i in traced]
        first = [cell._node for cell in cells]
        args, kwargs = unflatten(structure, given)
        result = function(*args, **kwargs)
        out_leaves, out_structure = flatten(result)
        writes = []
        for cell, node, i in zip(cells, first, traced):
            if cell.node is not node and type(leaves[i]) is np.ndarray:
                if cell._trace is not trace:
                    raise CannotStage("a value from outside is written into an argument")
                writes.append((node, cell._node))
        outputs, values = _outputs(out_leaves, trace, cells, first, [leaves[i] for i in traced])
    program = Program(first, trace.entries, outputs, trace.guards, writes, trace.weak)
    for node, i in zip(first, traced):
        program.layouts[node] = Layout.of(np.asarray(leaves[i]))
    captured = _take_captures(program, captures)
    recording = Recording(program, None, traced, captured, out_structure)
    recording.problem = _problem(function, captures, drawn, before, program, leaves)
    _note_constants(recording, captures, before)
    program = passes.optimise(program, check)
    recording.program = program
    # The builder imports numba, which is loaded when something is compiled and not before.
    builder = importlib.import_module("tapegrad.compile.plan")
    recording.plan = builder.build(program, strict=strict)
    _write_back(writes, first, traced, leaves, cells)
    return recording, unflatten(out_structure, values)


def _write_back(
    writes: Any, first: list[Node], traced: list[int], leaves: list[Any], cells: list[Tensor]
) -> None:
    """Do to the caller's arrays what the function did to its arguments."""
    written = {id(old) for old, _ in writes}
    for cell, node, i in zip(cells, first, traced):
        if id(node) in written:
            leaves[i][...] = cell._value


def _outputs(
    out_leaves: list[Any],
    trace: StagingTrace,
    cells: list[Tensor],
    first: list[Node],
    given: list[Any],
) -> tuple[list[Any], list[Any]]:
    """Return the outputs as nodes or constants, and as values to give back."""
    outputs: list[Any] = []
    values: list[Any] = []
    for leaf in out_leaves:
        if type(leaf) is not Tensor:
            outputs.append(leaf)
            values.append(leaf)
            continue
        if leaf._trace is not trace:
            raise CannotStage("the function returns a tensor that is none of its own values")
        place = next((k for k, cell in enumerate(cells) if leaf.node is cell._node), None)
        if place is not None and (cells[place]._node is first[place] or leaf is cells[place]):
            outputs.append(first[place])  # the argument itself, whatever was written into it
            values.append(given[place])
            continue
        outputs.append(leaf._node)
        value = leaf.value
        values.append(give_back(np.array(value) if value.base is not None else value))
    return outputs, values


def _take_captures(program: Program, captures: Captures) -> list[Reference]:
    """Make the captured arrays that the program uses its inputs."""
    places = {id(r.read()): r for r in captures.arrays}
    nodes: dict[int, Node] = {}
    taken: list[Reference] = []

    def node_for(array: Any) -> Any:
        reference = places.get(id(array)) if type(array) is np.ndarray else None
        if reference is None or array.dtype.kind not in "fiub":
            return array
        if id(array) not in nodes:
            node = nodes[id(array)] = Node(None, (), {}, (), array.shape, array.dtype)
            program.inputs.append(node)
            program.layouts[node] = Layout.of(array)
            taken.append(reference)
        return nodes[id(array)]

    program.inputs = list(program.inputs)
    program.entries = [
        Entry(e.primitive, tuple(node_for(o) for o in e.inputs), e.params, e.output, e.where)
        if any(type(o) is np.ndarray and id(o) in places for o in e.inputs)
        else e
        for e in program.entries
    ]
    program.outputs = [node_for(o) for o in program.outputs]
    return taken


def _problem(
    function: Any,
    captures: Captures,
    drawn: Any,
    before: list[tuple[Reference, Any]],
    program: Program,
    leaves: list[Any],
) -> str:
    """Return why what was recorded may not stand for the function, or nothing."""
    if captures.random_state() != drawn:
        return "it draws random numbers, which a plan would not draw anew"
    if not captures.hold() or _grown(function, captures):
        return "it changes what is outside it (a global, an attribute, a list)"
    if any(not _same(r.read(), contents) for r, contents in before):
        return "it writes into an array that is not one of its arguments"
    if program.writes:
        arrays = [leaf for leaf in leaves if type(leaf) is np.ndarray]
        arrays += [r.read() for r in captures.arrays]
        for i, a in enumerate(arrays):
            if any(np.may_share_memory(a, b) for b in arrays[i + 1 :] if a is not b) or any(
                a is b for b in arrays[i + 1 :]
            ):
                return "it writes into an argument that shares memory with another"
    return ""


def _grown(function: Any, captures: Captures) -> bool:
    return len(survey(function).references) != len(captures.references)


def _rule_numbers() -> frozenset[float]:
    """Return the numbers that rules of the library write."""
    numbers: set[float] = set()
    for primitive in primitives.values():
        for rule in (*(primitive.vjps or ()), primitive.vjp, primitive.jvp):
            code = getattr(rule, "__code__", None)
            if code is not None:
                numbers.update(c for c in code.co_consts if type(c) in (int, float))
    return frozenset(numbers)


def _note_constants(
    recording: Recording, captures: Captures, before: list[tuple[Reference, Any]]
) -> None:
    """Find out what the program holds that was computed outside traced values.

    Arrays that the function reads and the program does not take as inputs must then have the contents
    that they had.
    """
    program = recording.program
    fresh: list[Any] = []
    for entry in program.entries:
        for operand in entry.inputs:
            if type(operand) is Node:
                continue
            if type(operand) is np.ndarray:
                if passes.uniform_value(operand) is None or operand.size == 1:
                    fresh.append(operand)
            elif operand == operand and operand not in _known_numbers():
                fresh.append(operand)
    fresh += [o for o in program.outputs if type(o) is np.ndarray]
    used = {id(r) for r in recording.captured}
    recording.watched = [(r, contents) for r, contents in before if fresh or id(r) not in used]
    recording.constants = [np.array(c) for c in fresh]
    recording.trusted = not any(type(c) is np.ndarray and c.ndim for c in fresh)


_numbers: list[frozenset[float]] = []


def _known_numbers() -> frozenset[float]:
    if not _numbers:
        _numbers.append(_rule_numbers() | {0, 1, 2, 3, 0.5, -1})
    return _numbers[0]
