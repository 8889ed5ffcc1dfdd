"""Fusion: which entries become one kernel.

A group is a set of elementwise entries and reductions over one iteration space. An entry joins a group
if its iteration space is the group's and no value would have to leave the group and come back. What
joins none is a step of its own: a view or a library call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tapegrad.compile import scalars
from tapegrad.compile.program import Program, users
from tapegrad.tape.node import Node
from tapegrad.tape.staging import Entry

__all__ = ["Group", "Step", "partition", "space"]

#: Groups of scalars with fewer operations than this are left to NumPy: a kernel costs compile time.
FEWEST_SCALAR_OPERATIONS = 3


@dataclass(slots=True, eq=False)
class Group:
    """Entries that become one kernel.

    Attributes
    ----------
    space : tuple of int
        The iteration space.
    entries : list of Entry
    needs : set
        The steps whose results it uses.
    """

    space: tuple[int, ...]
    entries: list[Entry] = field(default_factory=list)
    needs: set[Any] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Step:
    """An entry that is executed by NumPy: a view or a library call."""

    entry: Entry
    needs: set[Any] = field(default_factory=set)


def space(entry: Entry) -> tuple[int, ...]:
    """Return the iteration space of an entry: the shape of a reduction's operand."""
    if entry.primitive.family == "reduction":
        operand = entry.inputs[0]
        return operand.shape if type(operand) is Node else entry.output.shape
    return entry.output.shape


def _reaches(start: Any, goal: Any) -> bool:
    """Whether `start` needs `goal`, directly or through others."""
    seen = {start}
    stack = [start]
    while stack:
        for step in stack.pop().needs:
            if step is goal:
                return True
            if step not in seen:
                seen.add(step)
                stack.append(step)
    return False


def partition(program: Program) -> list[Group | Step]:
    """Return the steps that execute a program, in an order that respects what they need."""
    maker: dict[Node, Any] = {}
    by_space: dict[tuple[int, ...], list[Group]] = {}
    steps: list[Group | Step] = []
    reduced: set[Node] = set()
    for entry in program.entries:
        sources = {maker[o] for o in entry.inputs if type(o) is Node and o in maker}
        if not scalars.can_lower(entry, program.weak):
            step = Step(entry, sources)
            steps.append(step)
            maker[entry.output] = step
            continue
        where = space(entry)
        group = _choose(by_space.setdefault(where, []), entry, sources, reduced)
        if group is None:
            group = Group(where)
            by_space[where].append(group)
            steps.append(group)
        group.entries.append(entry)
        group.needs |= sources - {group}
        maker[entry.output] = group
        if entry.primitive.family == "reduction":
            reduced.add(entry.output)
    return _ordered(_without_small(steps, program))


def _choose(
    groups: list[Group], entry: Entry, sources: set[Any], reduced: set[Node]
) -> Group | None:
    """Return a group that the entry can join: preferably one that makes its operands."""
    for group in sorted(groups, key=lambda g: g not in sources):
        inside = [o for o in entry.inputs if type(o) is Node and o in reduced]
        if group in sources and any(_made_in(o, group) for o in inside):
            continue  # the reduction's value is there only when the loop has ended
        if not any(s is not group and _reaches(s, group) for s in sources):
            return group
    return None


def _made_in(node: Node, group: Group) -> bool:
    return any(entry.output is node for entry in group.entries)


def _without_small(steps: list[Group | Step], program: Program) -> list[Group | Step]:
    """Turn groups that are not worth a kernel back into single steps."""
    result: list[Group | Step] = []
    replaced: dict[Any, list[Step]] = {}
    used = users(program)
    for step in steps:
        if isinstance(step, Group) and not _worth_it(step, used):
            singles: list[Step] = []
            makers: dict[Node, Step] = {}
            for entry in step.entries:
                own = {makers[o] for o in entry.inputs if type(o) is Node and o in makers}
                single = Step(entry, own | step.needs)
                makers[entry.output] = single
                singles.append(single)
            replaced[step] = singles
            result.extend(singles)
        else:
            result.append(step)
    for step in result:
        for old, new in replaced.items():
            if old in step.needs:
                step.needs = (step.needs - {old}) | set(new)
    return result


def _worth_it(group: Group, used: dict[Node, list[Entry]]) -> bool:
    if group.space == ():
        return len(group.entries) >= FEWEST_SCALAR_OPERATIONS
    # One operation that NumPy does as fast: nothing is saved by compiling it.
    only = group.entries[0]
    return len(group.entries) > 1 or scalars.gains_alone(only)


def _ordered(steps: list[Group | Step]) -> list[Group | Step]:
    """Sort steps so that each comes after what it needs."""
    done: set[Any] = set()
    result: list[Group | Step] = []

    def visit(step: Any) -> None:
        stack = [(step, iter(sorted(step.needs, key=steps.index)))]
        while stack:
            current, needed = stack[-1]
            following = next((n for n in needed if n not in done), None)
            if following is not None:
                stack.append((following, iter(sorted(following.needs, key=steps.index))))
                continue
            stack.pop()
            if current not in done:
                done.add(current)
                result.append(current)

    for step in steps:
        if step not in done:
            visit(step)
    return result
