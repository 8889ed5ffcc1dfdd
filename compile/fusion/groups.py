"""Fusion: which entries become one kernel.

A group is a set of elementwise entries and reductions over one iteration space. An entry joins a group
if its iteration space is the group's and no value would have to leave the group and come back. What
joins none is a step of its own: a view or a library call.

Where a reduction leaves some axes and the last axis is not among them, its results belong to the
*rows* of the space, and the group may go on with them: with operations on the rows, and with operations
on the elements that use them (a softmax, a norm and its gradient, the normalisation of channels). The
kernel then runs over each row several times.

What hangs together is grouped first (`components.py`). Of small groups that have nothing in common
several then become one, since a call of a kernel takes longer than what it does: equal ones in equal
numbers, so that these share a kernel, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tapegrad.compile.fusion import elements
from tapegrad.compile.fusion.components import components
from tapegrad.compile.passes.layout import shown
from tapegrad.compile.passes.reductions import leaves_rows, reduction_of
from tapegrad.compile.passes.windows import windows_of
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["Group", "Step", "needed_outside", "partition", "space"]

#: Groups over no axes with fewer operations than this are left to NumPy: a kernel costs compile time.
FEWEST_SCALAR_OPERATIONS = 3
#: Kernels larger than these take longer to compile than they save: compile time grows faster than
#: their size, and equal parts of an unrolled loop share a kernel when they are cut alike.
MOST_ENTRIES = 96
MOST_OPERANDS = 24
#: How many of the latest groups of one component an entry that needs none of them is offered, and
#: how many of the latest small groups another one that has nothing to do with them.
LATEST = 4
#: Up to so many elements a call takes longer than what it does.
FEW_ELEMENTS = 4096


@dataclass(slots=True, eq=False)
class Group:
    """Entries that become one kernel.

    Attributes
    ----------
    space : tuple of int
        The iteration space.
    entries : list of Node
    needs : set
        The steps whose results it uses.
    number : int
        Position among the steps, in order of creation.
    above : int
        A bit for each step that it needs, directly or through others.
    operands : set of Node
        The values from outside.
    reduced : tuple of int
        Over which axes the reductions run whose results the group uses itself; () if there are none.
    per_row : set of Node
        The values that it has for each row.
    """

    space: tuple[int, ...]
    entries: list[Node] = field(default_factory=list)
    needs: set[Any] = field(default_factory=set)
    number: int = 0
    above: int = 0
    operands: set[Node] = field(default_factory=set)
    reduced: tuple[int, ...] = ()
    per_row: set[Node] = field(default_factory=set)

    @property
    def keepdims_shape(self) -> tuple[int, ...]:
        """The shape of a value of the rows with the reduced axes kept."""
        return tuple(1 if i in self.reduced else n for i, n in enumerate(self.space))

    @property
    def dropped_shape(self) -> tuple[int, ...]:
        """The shape of a value of the rows without the reduced axes."""
        return tuple(n for i, n in enumerate(self.space) if i not in self.reduced)


@dataclass(slots=True, eq=False)
class Step:
    """An entry that is executed by NumPy: a view or a library call."""

    entry: Node
    needs: set[Any] = field(default_factory=set)
    number: int = 0
    above: int = 0


def space(entry: Node) -> tuple[int, ...]:
    """Return the iteration space of an entry: the shape of a reduction's operand."""
    if entry.primitive.family == "reduction":
        operand = entry.operands[0]
        return operand.shape if type(operand) is Node else entry.shape
    return entry.shape


class _Partition:
    """The steps found so far, and what each needs."""

    def __init__(
        self, shown: set[Node], entries: Iterable[Node], component: dict[Node, Node]
    ) -> None:
        self.shown = shown
        self.steps: list[Group | Step] = []
        self.maker: dict[Node, Group | Step] = {}
        self.component = component
        self.by_space: dict[Any, list[Group]] = {}  # and by component
        self.reduced: set[Node] = set()
        #: The numbers of steps that another step needs.
        self.used: set[int] = set()
        self.places = {entry: i for i, entry in enumerate(entries)}

    def new(self, step: Group | Step) -> Any:
        step.number = len(self.steps)
        self.steps.append(step)
        return step

    def sources(self, entry: Node) -> set[Any]:
        return {self.maker[o] for o in entry.operands if type(o) is Node and o in self.maker}

    def add(self, step: Group | Step, sources: set[Any]) -> None:
        """Note that `step` needs `sources`, and tell everything that needs `step`."""
        step.needs |= sources - {step}
        self.used.update(source.number for source in sources if source is not step)
        above = _with_all_above(sources - {step})
        if not above & ~step.above:
            return
        step.above |= above
        if isinstance(step, Group):  # only a group grows after others have used it
            for other in self.steps:
                if other.above >> step.number & 1:
                    other.above |= step.above

    def place(self, entry: Node) -> None:
        """Put an entry that can be lowered into a group, an old or a new one."""
        sources = self.sources(entry)
        group = self._choose_rows(entry, sources)
        if group is not None:
            self._join(group, entry, sources)
            if entry.primitive.family != "reduction":
                group.per_row.add(entry)
            return
        groups = self.by_space.setdefault((space(entry), self.component[entry]), [])
        group = self._choose(groups, entry, sources)
        if group is None:
            group = self.new(Group(space(entry)))
            groups.append(group)
        sources = {source for source in sources if not self._take_in(group, source, entry)}
        self._join(group, entry, sources)
        if entry.primitive.family == "reduction":
            _note_rows(group, entry)

    def _take_in(self, group: Group, other: Any, entry: Node) -> bool:
        """Let a group join another that is about to use it, and is the first to do so."""
        if other is group or not isinstance(other, Group) or other.space != group.space:
            return False
        if other.number in self.used or other.reduced or other.above >> group.number & 1:
            return False
        if any(e in self.reduced for e in other.entries):
            return False
        if any(self.maker.get(o) is other for o in _read_elsewhere(entry)):
            return False
        if not _fit_together(group, other, self._outside(entry, group)):
            return False
        self.by_space[group.space, self.component[entry]].remove(other)
        self._unite(group, other)
        return True

    def _unite(self, group: Group, other: Group) -> None:
        """Move all that a group holds to another one."""
        entries = {*group.entries, *other.entries}
        group.entries = sorted(entries, key=self.places.__getitem__)
        group.operands = (group.operands | other.operands) - entries
        group.reduced = group.reduced or other.reduced
        group.per_row |= other.per_row
        for moved in other.entries:
            self.maker[moved] = group
        self.add(group, other.needs)
        if other.number in self.used:
            self._replace(other, group)
        other.entries, other.needs = [], set()

    def _replace(self, old: Group, new: Group) -> None:
        """Let everything that needs a group need another one in its place."""
        self.used.add(new.number)
        above = new.above | 1 << new.number
        for step in self.steps:
            if step.above >> old.number & 1:
                step.above |= above
                if old in step.needs:
                    step.needs = (step.needs - {old}) | {new}

    def keep_company(self) -> None:
        """Make one group of several small ones that have nothing in common.

        Those that compute the same are united in equal numbers. What there is as often as something
        else (once, or in each step of an unrolled loop) joins this.
        """
        alike: dict[Any, list[Group]] = {}
        for step in self.steps:
            if isinstance(step, Group) and step.entries and math.prod(step.space) <= FEW_ELEMENTS:
                what = step.space, tuple(entry.primitive for entry in step.entries)
                alike.setdefault(what, []).append(step)
        rows: dict[Any, list[list[Group]]] = {}
        for (shape, _), groups in alike.items():
            groups = self._in_equal_numbers(groups)
            others = rows.setdefault((shape, len(groups)), [])
            for row in others[-LATEST:]:
                if all(self._may_unite(*pair) for pair in zip(row, groups)):
                    groups = self._united(row, groups)
                    break
            if groups:
                others.append(groups)

    def _in_equal_numbers(self, groups: list[Group]) -> list[Group]:
        """Unite groups that compute the same, as many as a kernel holds and equally many in each."""
        most, operands = 0, set[Node]()
        for group in groups:
            operands |= group.operands
            if len(operands) > MOST_OPERANDS or (most + 1) * len(group.entries) >= MOST_ENTRIES:
                break
            most += 1
        number = -(-len(groups) // max(most, 1))
        size = -(-len(groups) // number)
        result: list[Group] = []
        held = size
        for group in groups:
            if held < size and self._may_unite(result[-1], group):
                self._unite(result[-1], group)
                held += 1
            else:
                result.append(group)
                held = 1
        return result

    def _united(self, row: list[Group], groups: list[Group]) -> list[Group]:
        """Unite groups with those at the same place in a row; return the ones that could not be."""
        left = []
        for group, other in zip(row, groups):
            if self._may_unite(group, other):
                self._unite(group, other)
            else:
                left.append(other)  # uniting the ones before has put one above the other
        return left

    def _may_unite(self, group: Group, other: Group) -> bool:
        if group.above >> other.number & 1 or other.above >> group.number & 1:
            return False
        if group.reduced != other.reduced and all(
            any(entry in self.reduced for entry in each.entries) for each in (group, other)
        ):
            return False
        return _fit_together(group, other, set())

    def place_alias(self, entry: Node) -> bool:
        """Put a view that changes only the shape of values of rows where these are, if it can be."""
        operand = entry.operands[0] if entry.primitive.shows == "reshaped" else None
        group = self.maker.get(operand) if type(operand) is Node else None
        if not isinstance(group, Group) or operand not in group.per_row or entry in self.shown:
            return False
        if entry.shape not in (group.keepdims_shape, group.dropped_shape):
            return False
        self._join(group, entry, {group})
        group.per_row.add(entry)
        return True

    def _join(self, group: Group, entry: Node, sources: set[Any]) -> None:
        group.entries.append(entry)
        group.operands |= self._outside(entry, group)
        self.add(group, sources)
        self.maker[entry] = group
        if entry.primitive.family == "reduction":
            self.reduced.add(entry)

    def _outside(self, entry: Node, group: Group) -> set[Node]:
        return {o for o in entry.operands if type(o) is Node and self.maker.get(o) is not group}

    def _choose(self, groups: list[Group], entry: Node, sources: set[Any]) -> Group | None:
        """Return a group that the entry can join: preferably one that makes its operands."""
        making = [g for g in groups if g in sources]
        others = [g for g in groups[-LATEST:] if g not in sources and _is_company(g, entry)]
        for group in [*reversed(making), *others]:
            if self._fits(group, entry, sources, group.keepdims_shape):
                return group
        return None

    def _choose_rows(self, entry: Node, sources: set[Any]) -> Group | None:
        """Return a group that has a row for each element that the entry makes or reduces."""
        shape = space(entry)
        if entry.primitive.windows is not None:
            return None
        if entry.primitive.family == "reduction" and len(entry.params["axis"]) < len(shape):
            return None
        for group in sorted(sources, key=lambda s: -s.number):
            if not isinstance(group, Group) or not group.reduced:
                continue
            if shape not in (group.keepdims_shape, group.dropped_shape):
                continue
            if any(o in group.per_row for o in _nodes(entry)) and self._fits(
                group, entry, sources, shape
            ):
                return group
        return None

    def _fits(self, group: Group, entry: Node, sources: set[Any], rows: tuple[int, ...]) -> bool:
        """Whether an entry can join a group; of its rows it can use values of shape `rows`."""
        if len(group.entries) >= MOST_ENTRIES:
            return False
        if len(group.operands | self._outside(entry, group)) > MOST_OPERANDS:
            return False
        how = reduction_of(entry) if entry.primitive.family == "reduction" else None
        if how is not None and how.safe and group.reduced not in ((), _axes(entry)):
            return False  # what runs over a row anew has the loops of the rows
        elsewhere = _read_elsewhere(entry)
        for operand in _nodes(entry):
            if self.maker.get(operand) is not group:
                continue
            if operand in elsewhere:
                return False  # the loop is not there yet, or was there before
            if operand in group.per_row:
                if operand.shape != rows:
                    return False
            elif operand in self.reduced:
                return False  # its value is there only when the loops have ended
        # No value may leave the group and come back.
        return not _with_all_above(sources - {group}) >> group.number & 1


def _fit_together(group: Group, other: Group, more: set[Node]) -> bool:
    """Whether one kernel can hold two groups, and something that has more operands."""
    operands = (group.operands | other.operands | more) - {*group.entries, *other.entries}
    entries = len(group.entries) + len(other.entries)
    return len(operands) <= MOST_OPERANDS and entries < MOST_ENTRIES


def _is_company(group: Group, entry: Node) -> bool:
    """Whether an entry gains by joining a group of its component from which it needs nothing.

    If there is much to do, to read something together is a gain; to save a call is none.
    """
    if math.prod(group.space) <= FEW_ELEMENTS:
        return True
    return any(node in group.operands for node in _nodes(entry) if node.shape == group.space)


def _read_elsewhere(entry: Node) -> list[Node]:
    """Return the values whose elements an entry does not read where it puts its own."""
    windows = windows_of(entry) or ()
    pairs = zip(entry.operands, windows)
    return [o for o, window in pairs if window is not None and type(o) is Node]


def _note_rows(group: Group, entry: Node) -> None:
    """Note that a reduction gives a value for each row, if it does."""
    axes = _axes(entry)
    if group.reduced in ((), axes) and leaves_rows(group.space, axes):
        group.reduced = axes
        group.per_row.add(entry)


def _axes(entry: Node) -> tuple[int, ...]:
    return tuple(sorted(entry.params["axis"]))


def _nodes(entry: Node) -> list[Node]:
    return [o for o in entry.operands if type(o) is Node]


def _with_all_above(steps: set[Any]) -> int:
    bits = 0
    for step in steps:
        bits |= step.above | 1 << step.number
    return bits


def partition(program: Program, *, small: bool = False) -> list[Group | Step]:
    """Return the steps that execute a program, in an order that respects what they need.

    With `small`, also groups that are not worth the call of a kernel from Python are groups.
    """
    lowered = [entry for entry in program.entries if elements.can_lower(entry, program.weak)]
    parts = _Partition(shown(program), program.entries, components(lowered, space))
    for entry in program.entries:
        if entry in parts.component:
            parts.place(entry)
        elif not parts.place_alias(entry):
            sources = parts.sources(entry)
            step = parts.new(Step(entry))
            parts.add(step, sources)
            parts.maker[entry] = step
    parts.keep_company()
    steps = [step for step in parts.steps if isinstance(step, Step) or step.entries]
    return _ordered(steps if small else _without_small(steps, program))


def needed_outside(steps: list[Group | Step], program: Program) -> set[Node]:
    """Return the values that leave the step that makes them."""
    needed = set(program.results())
    for step in steps:
        entries = step.entries if isinstance(step, Group) else [step.entry]
        own = set(entries)
        for entry in entries:
            needed.update(o for o in entry.operands if type(o) is Node and o not in own)
    return needed


def _without_small(steps: list[Group | Step], program: Program) -> list[Group | Step]:
    """Turn groups that are not worth a kernel back into single steps."""
    result: list[Group | Step] = []
    replaced: dict[Any, list[Step]] = {}
    for step in steps:
        if isinstance(step, Group) and not _worth_it(step, program):
            singles: list[Step] = []
            makers: dict[Node, Step] = {}
            for entry in step.entries:
                own = {makers[o] for o in entry.operands if type(o) is Node and o in makers}
                single = Step(entry, own | step.needs)
                makers[entry] = single
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


def _worth_it(group: Group, program: Program) -> bool:
    if group.space == ():
        return len(group.entries) >= FEWEST_SCALAR_OPERATIONS
    # One operation that NumPy does as fast: nothing is saved by compiling it.
    only = group.entries[0]
    return len(group.entries) > 1 or elements.gains_alone(only, program.weak)


def _ordered(steps: list[Group | Step]) -> list[Group | Step]:
    """Sort steps so that each comes after what it needs, and else as they were."""
    place = {step: i for i, step in enumerate(steps)}
    done: set[Any] = set()
    result: list[Group | Step] = []
    for step in steps:
        stack = [step]
        while stack:
            current = stack[-1]
            missing = [n for n in current.needs if n not in done]
            if missing:
                stack.extend(sorted(missing, key=place.__getitem__, reverse=True))
                continue
            stack.pop()
            if current not in done:
                done.add(current)
                result.append(current)
    return result
