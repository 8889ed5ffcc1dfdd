"""Lowering: one fused group becomes one nest of loops, and the call of its kernel.

A nest depends on ranks, dtypes, the broadcast pattern and the layout, never on sizes: two groups that
differ only in sizes or in constants have the same nest, and so one kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from tapegrad.compile.backends.expressions import (
    Call,
    Constant,
    Expression,
    Name,
    cast,
    names,
    substitute,
)
from tapegrad.compile.backends.loop_nest import Argument, LoopNest, Reduced, Value, Window
from tapegrad.compile.fusion import elements
from tapegrad.compile.fusion.groups import Group
from tapegrad.compile.passes.layout import Layout, contiguous_strides
from tapegrad.compile.passes.reductions import reduction_of
from tapegrad.compile.passes.uniform import uniform_value
from tapegrad.compile.passes.windows import Ranges, windows_of
from tapegrad.tape.core.node import Node

__all__ = ["KernelCall", "Partial", "Passed", "lower"]

#: Numbers that are part of the nest; all others are arguments, so that they share a kernel.
_LITERALS = frozenset({0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5})


class Passed(NamedTuple):
    """A value that a kernel takes or fills, and the shape in which it is passed; () for a number."""

    value: Any
    shape: tuple[int, ...]


class Partial(NamedTuple):
    """The result of a reduction as an array that a kernel fills.

    Attributes
    ----------
    value : Node
    shape : tuple of int
        In which it is passed.
    initial : float or None
        What the array must be filled with before, if anything.
    """

    value: Node
    shape: tuple[int, ...]
    initial: float | None


@dataclass(slots=True)
class KernelCall:
    """A kernel and what it is called with.

    Attributes
    ----------
    nest : LoopNest
    sizes : tuple of int
        Of its loops.
    operands, outputs : list of Passed
        Outputs that are written over an operand are not among them.
    partials : list of Partial
    bounds : list of int
        Of its windows.
    returned : list of Node
        Values without axes, which the kernel returns.
    finishes : dict of Node to Expression
        What becomes of totals, called ``x``, that a kernel leaves unfinished.
    """

    nest: LoopNest
    sizes: tuple[int, ...]
    bounds: list[int]
    operands: list[Passed]
    outputs: list[Passed]
    partials: list[Partial]
    returned: list[Node]
    finishes: dict[Node, Expression]


@dataclass(slots=True)
class _Argument:
    """An argument before the axes of the space have become loops."""

    value: Any
    name: str
    dtype: np.dtype[Any]
    axes: tuple[bool, ...] = ()  # along which axes of the space it varies
    strides: tuple[int, ...] | None = None  # along these, if it is not made for the kernel
    sizes: tuple[int, ...] = ()  # along the axes of the space, if these are not the space's
    window: str = ""
    over: str = ""


#: Start and stop of a window along each axis of the space.
_Bounds = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Builder:
    """Collects arguments, values and reductions of one group.

    Attributes
    ----------
    known : dict
        The names of nodes, constant arrays and numbers.
    runs : dict
        For each value its run, and whether it is one of a row.
    reduced : dict of Node to Reduced
        Over axes of the space.
    """

    group: Group
    layouts: dict[Node, Layout]
    weak: Any
    windows: dict[_Bounds, str] = field(default_factory=dict)
    operands: list[_Argument] = field(default_factory=list)
    outputs: list[_Argument] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    reduced: dict[Node, Reduced] = field(default_factory=dict)
    finishes: dict[Node, Expression] = field(default_factory=dict)
    known: dict[Any, Name] = field(default_factory=dict)
    runs: dict[str, tuple[int, bool]] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        return len(self.group.space)

    # Operands ------------------------------------------------------------------------------------

    def operand(self, value: Any, dtype: np.dtype[Any], *, drops: bool = False) -> Expression:
        """Return an operand in the dtype `dtype`; with `drops`, its axes are those of the rows."""
        if type(value) is Node and value in self.known:
            return cast(self.known[value], dtype)
        number = None if type(value) is Node else uniform_value(value)
        if number is not None:
            return self._number(number, dtype)
        axes = self._axes(value.shape, drops)
        key = (value if type(value) is Node else id(value), axes)
        if key not in self.known:
            layout = self.layouts[value] if type(value) is Node else Layout.of(value)
            strides = self._strides(layout, axes)
            self._argument(key, _Argument(value, "a", value.dtype, axes, strides))
        return cast(self.known[key], dtype)

    def laid(self, value: Any, ranges: Ranges, below: Expression | None, entry: Node) -> Expression:
        """Return what an element is when an operand is laid over something, or over nothing."""
        bounds = tuple((start, stop) for start, stop, _ in ranges)
        everywhere = bounds == tuple((0, n) for n in self.group.space)
        window = "" if everywhere else self.windows.setdefault(bounds, f"in{len(self.windows)}")
        number = None if type(value) is Node else uniform_value(value)
        axes: tuple[bool, ...] = ()
        if number is not None:
            element = self._number(number, entry.dtype)
        else:
            own = [i for i, (_, _, has) in enumerate(ranges) if has]
            shape = value.shape[max(len(value.shape) - len(own), 0) :]
            extents = dict(zip(own[len(own) - len(shape) :], shape))
            axes = tuple(extents.get(i, 1) != 1 for i in range(self.rank))
            key = (value if type(value) is Node else id(value), axes, window)
            if key not in self.known:
                layout = self.layouts[value] if type(value) is Node else Layout.of(value)
                sizes = tuple(extents.get(i, 1) for i in range(self.rank))
                strides = self._strides(layout, axes)
                own_part = _Argument(value, "a", value.dtype, axes, strides, sizes, window)
                self._argument(key, own_part)
            element = cast(self.known[key], entry.dtype)
        # An array that is read through a window is zero outside of it.
        if everywhere or (below is None and any(axes)):
            return element
        below = below or Constant(entry.dtype.type(0).item(), entry.dtype)
        return Call("where", (Name(window, np.dtype(bool)), element, below), entry.dtype)

    def _argument(self, key: Any, argument: _Argument) -> None:
        argument.name += str(len(self.operands))
        self.operands.append(argument)
        self.known[key] = Name(argument.name, argument.dtype)

    def _axes(self, shape: tuple[int, ...], drops: bool) -> tuple[bool, ...]:
        """Say along which axes of the space an operand varies."""
        along = [i for i in range(self.rank) if not (drops and i in self.group.reduced)]
        sizes = dict(zip(along[len(along) - len(shape) :], shape))
        return tuple(sizes.get(i, 1) != 1 for i in range(self.rank))

    @staticmethod
    def _strides(layout: Layout, axes: tuple[bool, ...]) -> tuple[int, ...]:
        """Return the strides along the axes of the space."""
        steps = iter([s for n, s in zip(layout.shape, layout.strides) if n != 1])
        return tuple(next(steps) if varies else 0 for varies in axes)

    def _number(self, value: Any, dtype: np.dtype[Any]) -> Expression:
        number = np.asarray(value).astype(dtype)[()]
        negative_zero = number == 0 and np.signbit(np.float64(number))
        if dtype.kind == "b" or (float(number) in _LITERALS and not negative_zero):
            return Constant(number.item(), dtype)
        key = ("number", repr(number), dtype)
        if key not in self.known:
            self._argument(key, _Argument(number, "s", dtype))
        return self.known[key]

    # Entries -------------------------------------------------------------------------------------

    def _run(self, expression: Expression, of_row: bool) -> int:
        """Return in which run over a row a value can be computed, or after which for one of a row."""
        run = 0
        for name in names(expression):
            own, from_row = self.runs.get(name, (0, False))
            run = max(run, own + (from_row and not of_row))
        return run

    def _value(self, entry: Node, expression: Expression) -> None:
        name = f"t{len(self.runs)}"
        of_row = entry in self.group.per_row
        self.values[name] = Value(name, expression, self._run(expression, of_row), of_row)
        self.runs[name] = (self.values[name].run, of_row)
        self.known[entry] = Name(name, entry.dtype)

    def elementwise(self, entry: Node) -> None:
        """Note the value of an elementwise entry."""
        expression, dtypes = elements.typed_expression_of(entry, self.weak)
        assert expression is not None
        drops = entry in self.group.per_row and entry.shape == self.group.dropped_shape
        operands = (self.operand(o, d, drops=drops) for o, d in zip(entry.operands, dtypes))
        self._value(entry, substitute(expression, dict(zip("xyz", operands))))

    def placed(self, entry: Node) -> None:
        """Note the value of an entry that lays its operands side by side, or over each other."""
        expression: Expression | None = None
        for operand, ranges in zip(entry.operands, windows_of(entry) or ()):
            if ranges is None:
                expression = self.operand(operand, entry.dtype)
            else:
                expression = self.laid(operand, ranges, expression, entry)
        assert expression is not None
        self._value(entry, expression)

    def alias(self, entry: Node) -> None:
        """Note that a value of a row goes by another shape."""
        self._value(entry, self.operand(entry.operands[0], entry.dtype))

    def reduction(self, entry: Node, needed: set[Node]) -> None:
        """Note a reduction: over the space, over the elements of each row, or over rows."""
        how, group = reduction_of(entry), self.group
        assert how is not None
        of_rows, leaves_rows = entry.operands[0] in group.per_row, entry in group.per_row
        operand = self.operand(entry.operands[0], entry.dtype)
        gone = tuple(of_rows or i in entry.params["axis"] for i in range(self.rank))
        name, run = f"r{len(self.reduced)}", self._run(operand, of_rows)
        finish = None if how.finish == "x" else elements.text_of(how.finish, entry.dtype)
        if finish is not None and not leaves_rows:
            self.finishes[entry] = finish
        self.reduced[entry] = Reduced(
            name,
            operand,
            elements.text_of(how.each, entry.dtype),
            how.combine,
            how.initial,
            finish if leaves_rows else None,
            elements.text_of(how.safe, entry.dtype, np.dtype(bool)) if how.safe else None,
            how.rounding,
            gone,
            (),
            run,
            of_rows,
            not all(gone) and (entry in needed or not leaves_rows),
        )
        if leaves_rows:
            self.known[entry] = Name(name, entry.dtype)
            self.runs[name] = (run, True)

    def output(self, entry: Node) -> None:
        """Note that a value is written to an array."""
        value = self.values[self.known[entry].name]
        reduced = self.group.reduced
        axes = tuple(not value.of_row or i not in reduced for i in range(self.rank))
        out = _Argument(entry, f"o{len(self.outputs)}", entry.dtype, axes)
        self.outputs.append(out)
        self.values[value.name] = replace(value, stored=out.name)


def lower(
    group: Group, layouts: dict[Node, Layout], weak: Any, needed: set[Node],
    over: Mapping[Node, Node] = MappingProxyType({}),
) -> KernelCall:  # fmt: skip
    """Return the kernel of a group.

    Parameters
    ----------
    group : Group
    layouts : dict
        How the values from outside lie in memory.
    weak : set of Node
        Inputs that are Python numbers.
    needed : set of Node
        The values that are used outside the group.
    over : dict of Node to Node
        The operands in whose place outputs are written.
    """
    builder = _Builder(group, layouts, weak)
    returned: list[Node] = []
    for entry in group.entries:
        if entry.primitive.family == "reduction":
            builder.reduction(entry, needed)
            continue
        if entry.primitive.windows is not None:
            builder.placed(entry)
        elif entry.primitive.view:
            builder.alias(entry)
        else:
            builder.elementwise(entry)
        if entry in needed and not group.space:
            returned.append(entry)
        elif entry in needed:
            builder.output(entry)
    for out in builder.outputs:
        if out.value in over:
            varying = tuple(n != 1 for n in group.space)
            out.over = builder.known[over[out.value], varying].name
    return _with_loops(group, builder, returned)


# Axes and loops ----------------------------------------------------------------------------------


def _with_loops(group: Group, builder: _Builder, returned: list[Node]) -> KernelCall:
    """Make the axes of the space loops, those over rows first."""
    blocks = _collapse(group, builder)
    rows = [b for b in blocks if group.reduced and b[0] not in group.reduced]
    loops = rows + [b for b in blocks if b not in rows]
    sizes = tuple(math.prod(group.space[i] for i in b) for b in loops)

    def dims(axes: tuple[bool, ...]) -> tuple[int, ...]:
        """Return the loop that each axis of an array belongs to which varies along `axes`."""
        return tuple(loops.index(b) for b in blocks if axes and axes[b[0]])

    def argument(a: _Argument) -> Argument:
        return Argument(
            a.name, a.dtype, dims(a.axes), *_order(a, blocks, group.space), a.window, a.over
        )

    def passed(a: _Argument) -> Passed:
        own = a.sizes or group.space
        shape = (
            math.prod(own[i] for i in block) for block in blocks if a.axes and a.axes[block[0]]
        )
        return Passed(a.value, tuple(shape))

    windows, bounds = [], []
    for ranges, name in builder.windows.items():
        found = _bounds(ranges, loops, group.space)
        windows.append(Window(name, tuple(found)))
        bounds += [number for pair in found.values() for number in pair]

    reduced: dict[Node, Reduced] = {}
    for node, r in builder.reduced.items():
        gone = tuple(r.gone[b[0]] for b in loops)
        left = dims(tuple(not g for g in r.gone))
        # What is left of axes of size 1 is one number.
        stored = r.stored and not all(gone)
        reduced[node] = replace(r, gone=gone, dims=left, stored=stored)
    nest = LoopNest(
        len(sizes),
        len(rows),
        loops != blocks or bool(windows),
        tuple(map(argument, builder.operands)),
        tuple(map(argument, builder.outputs)),
        tuple(builder.values.values()),
        tuple(reduced.values()),
        (
            *(builder.known[node].name for node in returned),
            *(r.name for r in reduced.values() if r.full),
        ),
        tuple(windows),
    )
    partials = [
        Partial(node, tuple(sizes[d] for d in r.dims), None if r.local else r.initial)
        for node, r in reduced.items()
        if r.stored
    ]
    return KernelCall(
        nest,
        sizes,
        bounds,
        list(map(passed, builder.operands)),
        [passed(out) for out in builder.outputs if not out.over],
        partials,
        [*returned, *(node for node, r in reduced.items() if r.full)],
        builder.finishes,
    )


def _collapse(group: Group, builder: _Builder) -> list[list[int]]:
    """Merge neighbouring axes that everything treats alike; return the blocks of axes."""
    space = group.space
    arrays = [o for o in builder.operands if o.axes]

    def signature(i: int) -> Any:
        return (
            i in group.reduced,
            tuple(o.axes[i] for o in arrays),
            tuple(r.gone[i] for r in builder.reduced.values()),
        )

    def follows(i: int, before: int) -> bool:
        """Whether each array goes on along one axis where it ends along the one before."""
        if any(ranges[i] != (0, space[i]) for ranges in builder.windows):
            return False
        return all(
            o.strides[before] == o.strides[i] * space[i] for o in arrays if o.strides and o.axes[i]
        )

    blocks: list[list[int]] = []
    last = 0  # of the block, the axis along which something varies
    for i, n in enumerate(space):
        empty = any(ranges[i] != (0, n) for ranges in builder.windows)
        if n == 1 and blocks and not empty and not any(o.axes[i] for o in arrays):
            blocks[-1].append(i)  # an axis of size 1 changes nothing
            continue
        if blocks and signature(blocks[-1][0]) == signature(i) and follows(i, last):
            blocks[-1].append(i)
        else:
            blocks.append([i])
        last = i
    return blocks


def _bounds(
    ranges: _Bounds, loops: list[list[int]], space: tuple[int, ...]
) -> dict[int, tuple[int, int]]:
    """Return start and stop of a window along the loops that it does not cover."""
    found = {}
    for loop, block in enumerate(loops):
        # Only along the first axis of a block may something be left out.
        inner = math.prod(space[i] for i in block[1:])
        start, stop = ranges[block[0]]
        if (start, stop) != (0, space[block[0]]):
            found[loop] = (start * inner, stop * inner)
    return found


def _order(a: _Argument, blocks: list[list[int]], space: tuple[int, ...]) -> tuple[bool, bool]:
    """Return whether an argument is C-contiguous, and whether its last axis is."""
    if a.strides is None:
        return True, True
    sizes, steps = [], []
    for block in blocks:
        varying = [i for i in block if a.axes and a.axes[i]]
        if varying:
            sizes.append(math.prod((a.sizes or space)[i] for i in varying))
            steps.append(a.strides[varying[-1]])
    expected = contiguous_strides(tuple(sizes), a.dtype.itemsize)
    return tuple(steps) == expected, steps[-1:] == list(expected[-1:])
