"""From a program to its plan: the steps in order, the guards, what is written into inputs."""

from __future__ import annotations

from typing import Any

from tapegrad.compile.fusion.groups import Group, Step, needed_outside, partition
from tapegrad.compile.plans.boundary import Boundary
from tapegrad.compile.plans.memory import Lifetimes, keep_freed_memory
from tapegrad.compile.plans.plan import Part, Plan
from tapegrad.compile.plans.writer import PlanWriter
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["build"]

#: Families whose functions raise for shapes, which are known, but for no values.
_NEVER_RAISE = frozenset({"structural", "linear", "bilinear", "reduction"})


def build(program: Program, boundary: Boundary | None = None, *, strict: bool = False) -> Plan:
    """Make the plan of a program.

    Parameters
    ----------
    program : Program
        After all passes.
    boundary : Boundary, optional
        By default all outputs are results, and all inputs C-contiguous arrays.
    strict : bool
        Whether a kernel that does not compile raises.
    """
    keep_freed_memory()
    boundary = boundary or Boundary(len(program.outputs))
    results = program.outputs[: boundary.results]
    rest = iter(program.outputs[boundary.results :])
    guards = list(zip(boundary.guards, rest))
    steps = partition(program)
    writer = PlanWriter(program, boundary, strict, Lifetimes(program, steps), build)
    writer.inputs()
    guarded = {
        node for node in program.outputs[boundary.results :][: len(guards)] if type(node) is Node
    }
    new_versions = program.outputs[boundary.results + len(guards) :]
    writer.targets = {
        new: program.inputs[i] for i, new in zip(boundary.writes, new_versions) if type(new) is Node
    }
    writer.donated = [program.inputs[i] for i in boundary.donated]
    writer.too_early = _before_the_last_that_may_stop(steps, guarded)
    checked: set[Any] = set()
    needed = needed_outside(steps, program)
    there, parts, script = list(program.inputs), [Part(0, [], [])], writer.script
    for step in (None, *steps):
        if step is not None:
            line = len(script.lines)
            there = writer.step(step, needed)
            entries = step.entries if isinstance(step, Group) else [step.entry]
            parts.append(Part(line, entries, there))
            writer.let_go(writer.lifetimes.ending(step))
        for guard, node in guards:
            check = (node, guard.kind, repr(guard.seen))
            if node in there and check not in checked:
                checked.add(check)
                writer.guard(guard, node)
    parts.append(Part(len(script.lines), [], []))
    inputs = [writer.names[node] for node in program.inputs]
    for i, new in zip(boundary.writes, rest):
        value = writer.name(new)
        if value != inputs[i]:  # else it was written there
            script.add(f"{inputs[i]}[...] = {value}")
    script.tuple("return ", [writer.output(o) for o in results])
    return Plan(
        script.function("plan", inputs),
        script.source("plan", inputs),
        writer.kernels,
        writer.library_steps,
        writer.bodies,
        writer.origins,
        [i for i in boundary.donated if program.inputs[i] in writer.overwritten],
        parts,
    )


def _before_the_last_that_may_stop(
    steps: list[Group | Step], guarded: set[Node]
) -> set[Group | Step]:
    """Return the steps up to the last that may raise, or that makes the value of a guard."""
    last = -1
    for i, step in enumerate(steps):
        if isinstance(step, Group):
            stops = not guarded.isdisjoint(step.entries)
        else:
            stops = step.entry in guarded or _may_raise(step.entry)
        last = i if stops else last
    return set(steps[: last + 1])


def _may_raise(entry: Node) -> bool:
    """Whether NumPy's function may raise for some values of the recorded shapes and dtypes."""
    if entry.primitive.family == "elementwise":
        return entry.dtype.kind not in "fcb"  # integers raise for negative exponents
    return entry.primitive.family not in _NEVER_RAISE
