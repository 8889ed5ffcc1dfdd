"""From a program to its plan: the steps in order, the guards, what is written into inputs."""

from __future__ import annotations

from typing import Any

from tapegrad.compile.fusion.groups import Group, Step, partition
from tapegrad.compile.plans.boundary import Boundary
from tapegrad.compile.plans.memory import (
    Lifetimes,
    keep_freed_memory,
)
from tapegrad.compile.plans.plan import Plan
from tapegrad.compile.plans.writer import PlanWriter
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["build"]


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
    writer.too_early = _before_the_last_that_may_stop(steps, guarded)
    checked: set[Any] = set()
    needed = _needed_outside(steps, program)
    there = set(program.inputs)
    for step in (None, *steps):
        if step is not None:
            there = set(writer.step(step, needed))
            writer.let_go(writer.lifetimes.ending(step))
        for guard, node in guards:
            check = (node, guard.kind, repr(guard.seen))
            if node in there and check not in checked:
                checked.add(check)
                writer.guard(guard, node)
    script, inputs = writer.script, [writer.names[node] for node in program.inputs]
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
            stops = step.entry in guarded or not step.entry.primitive.view
        last = i if stops else last
    return set(steps[: last + 1])


def _needed_outside(steps: list[Group | Step], program: Program) -> set[Node]:
    """Return the values that leave the step that makes them."""
    needed = set(program.results())
    for step in steps:
        entries = step.entries if isinstance(step, Group) else [step.entry]
        own = set(entries)
        for entry in entries:
            needed.update(o for o in entry.operands if type(o) is Node and o not in own)
    return needed
