"""Code generation: one fused group becomes the source of one loop nest.

The source depends on ranks, dtypes, the broadcast pattern and the layout, never on sizes: two groups
that differ only in sizes or in constants have the same source, and so one kernel.

A kernel takes the sizes of its axes, its operands (arrays and scalars) and the arrays that it writes;
it returns the reductions over all axes, and a flag if an argument was too large for the vectorising
form of a function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile.backends.numba.loops import source
from tapegrad.compile.fusion import scalars
from tapegrad.compile.fusion.groups import ALIASES, Group
from tapegrad.compile.fusion.nest import Nest, Operand, Reduced, Value
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.uniform import uniform_value
from tapegrad.tape.core.node import Node

__all__ = ["KernelPlan", "Operand", "generate"]

#: Scalars that are part of the source; all others are arguments, so that they share a kernel.
_LITERALS = frozenset({0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5})


#: What an element costs, measured: to load or store it from the cache, and one vectorised function.
_NS_AN_ARRAY, _NS_A_FUNCTION = 0.1, 0.8


@dataclass(slots=True)
class KernelPlan:
    """A kernel's source and how it is called.

    Attributes
    ----------
    source : str
    exact_source : str or None
        With exact functions in place of the vectorising ones, for arguments beyond their limits.
    sizes : tuple of int
        Of the kernel's loops.
    operands : list of Operand
    outputs : list of Operand
        Arrays that it writes: one element for each point of the space, or for each row.
    reductions : list of Reduced
    functions : set of (name, suffix)
    returned : list of (Node, name)
        Values without axes, which the kernel returns: results of scalar code, then reductions to one
        number.
    calls : int
        How many functions it computes for an element.
    turned : bool
        Whether its loops are in another order than the axes of its arrays; it then takes the first
        index of the outermost loop, too.
    """

    source: str
    exact_source: str | None
    sizes: tuple[int, ...]
    operands: list[Operand]
    outputs: list[Operand]
    reductions: list[Reduced]
    functions: set[tuple[str, str]] = field(default_factory=set)
    returned: list[tuple[Node, str]] = field(default_factory=list)
    calls: int = 0
    turned: bool = False

    @property
    def cost(self) -> float:
        """Roughly how many nanoseconds an element takes."""
        arrays = sum(any(o.axes) for o in (*self.operands, *self.outputs))
        return _NS_AN_ARRAY * arrays + _NS_A_FUNCTION * self.calls

    @property
    def partials(self) -> list[Reduced]:
        """The reductions that go into arrays."""
        return [r for r in self.reductions if r.stored]


class _Builder:
    """Collects operands, lines and results of one group."""

    def __init__(self, group: Group, layouts: dict[Node, Layout], weak: Any) -> None:
        self.group = group
        self.layouts = layouts
        self.weak = weak
        self.rank = len(group.space)
        self.operands: list[Operand] = []
        self.outputs: list[Operand] = []
        self.reductions: list[Reduced] = []
        self.names: dict[Any, str] = {}
        self.values: dict[str, Value] = {}
        self.functions: set[tuple[str, str]] = set()
        self._used: list[str] = []

    # Operands ------------------------------------------------------------------------------------

    def operand(self, value: Any, dtype: np.dtype[Any], drops: bool = False) -> str:
        """Return the text of an operand, cast to `dtype`.

        With `drops`, its axes are those of the rows alone.
        """
        if type(value) is Node and value in self.names:
            self._used.append(self.names[value])
            return _cast(self.names[value], value.dtype, dtype)
        scalar = None if type(value) is Node else uniform_value(value)
        if scalar is not None:
            return self._scalar(scalar, dtype)
        axes = self._axes(value.shape, drops)
        key = (value if type(value) is Node else id(value), axes)
        if key not in self.names:
            name = f"a{len(self.operands)}"
            layout = self.layouts[value] if type(value) is Node else Layout.of(value)
            self.operands.append(Operand(value, name, value.dtype, axes, None, layout.contiguous))
            self.names[key] = f"v_{name}" if any(axes) else name
        self._used.append(self.names[key])
        return _cast(self.names[key], value.dtype, dtype)

    def _axes(self, shape: tuple[int, ...], drops: bool) -> tuple[bool, ...]:
        """Say along which axes of the space an operand varies."""
        along = [i for i in range(self.rank) if not (drops and i in self.group.reduced)]
        sizes = dict(zip(along[len(along) - len(shape) :], shape))
        return tuple(sizes.get(i, 1) != 1 for i in range(self.rank))

    def _scalar(self, scalar: Any, dtype: np.dtype[Any]) -> str:
        number = np.asarray(scalar).astype(dtype)[()]
        if dtype.kind == "b":
            return str(bool(number))
        if float(number) in _LITERALS and not (number == 0 and np.signbit(np.float64(number))):
            text = repr(float(number)) if dtype.kind == "f" else repr(int(number))
            return f"float32({text})" if dtype == np.float32 else text
        key = ("scalar", repr(number), dtype)
        if key not in self.names:
            name = f"s{len(self.operands)}"
            self.operands.append(Operand(number, name, dtype))
            self.names[key] = name
        return self.names[key]

    # Entries -------------------------------------------------------------------------------------

    def _uses(self) -> tuple[str, ...]:
        used = tuple(dict.fromkeys(self._used))
        self._used.clear()
        return used

    def _level(self, uses: tuple[str, ...], row: bool) -> int:
        """Return in which run over a row a value can be computed, or after which for one of a row."""
        level = 0
        for name in uses:
            known = self.values.get(name)
            if known is not None:
                level = max(level, known.level + (known.row and not row))
        return level

    def _value(self, entry: Any, name: str, text: str, **slots: Any) -> Value:
        uses = self._uses()
        row = entry in self.group.rows
        value = Value(name, text, uses, self._level(uses, row), row, **slots)
        self.values[name] = value
        self.names[entry] = name
        return value

    def elementwise(self, entry: Any) -> Value:
        """Note the line of an elementwise entry."""
        dtypes = scalars.loop_dtypes(entry, self.weak)
        assert dtypes is not None
        drops = self._drops(entry)
        texts = [self.operand(o, d, drops) for o, d in zip(entry.operands, dtypes)]
        out = entry.dtype
        kind = out if out.kind == "f" else dtypes[0]
        text, functions = scalars.expression(entry.primitive, texts, kind)
        self.functions |= functions
        limit = scalars.limit_of(entry, dtypes)
        if out == np.float32 or entry.primitive.name == "cast":
            text = f"{scalars.NUMBA_NAMES[out]}({text})"
        value = self._value(entry, f"t{len(self.values)}", text, dtype=scalars.NUMBA_NAMES[out])
        value.dear = any(suffix for _, suffix in functions)
        if limit is not None:
            value.limit = (texts[0], limit)
        return value

    def alias(self, entry: Any) -> Value:
        """Note that a value of a row goes by another shape."""
        text = self.operand(entry.operands[0], entry.dtype)
        dtype = scalars.NUMBA_NAMES[entry.dtype]
        return self._value(entry, f"t{len(self.values)}", text, dtype=dtype)

    def _drops(self, entry: Any) -> bool:
        group = self.group
        return entry in group.rows and entry.shape == group.dropped

    def reduction(self, entry: Any, needed: set[Node]) -> None:
        """Note a reduction: over the space, over the elements of each row, or over rows."""
        operand, group = entry.operands[0], self.group
        over_rows = operand in group.rows
        text = self.operand(operand, operand.dtype)
        name = f"r{len(self.reductions)}"
        axes = tuple(over_rows or i in entry.params["axis"] for i in range(self.rank))
        row = entry in group.rows
        uses = self._uses()
        level = self._level(uses, over_rows)
        stored = not all(axes) and (entry in needed or not row)
        self.reductions.append(
            Reduced(entry, name, entry.primitive.name, text, uses, axes, level, over_rows, stored)
        )
        self.functions.add((scalars.REDUCTIONS[entry.primitive.name][1], ""))
        if entry.primitive.name == "vector_norm":
            ord = self.reductions[-1].ord = entry.params["ord"]
            suffix = "f32" if entry.dtype == np.float32 else "f64"
            self.functions |= {(name, suffix) for name in scalars.functions_of_norm(ord)}
            self.functions.add(("maximum", ""))
        if row:
            self.names[entry] = f"s_{name}"
            self.values[f"s_{name}"] = Value(f"s_{name}", "", (), level, True)

    def output(self, entry: Any, value: Value) -> None:
        """Note that a value is written to an array."""
        reduced = self.group.reduced
        axes = tuple(not value.row or i not in reduced for i in range(self.rank))
        out = Operand(entry, f"o{len(self.outputs)}", entry.dtype, axes)
        self.outputs.append(out)
        value.stored = out.name


def _cast(text: str, own: np.dtype[Any], wanted: np.dtype[Any]) -> str:
    if own == wanted:
        return text
    if wanted.kind == "b":
        return f"({text} != 0)"
    return f"{scalars.NUMBA_NAMES[wanted]}({text})"


def generate(group: Group, layouts: dict[Node, Layout], weak: Any, needed: set[Node]) -> KernelPlan:
    """Generate the kernel of a group.

    Parameters
    ----------
    group : Group
    layouts : dict
        How the values from outside lie in memory.
    weak : set of Node
        Inputs that are Python numbers.
    needed : set of Node
        The values that are used outside the group.
    """
    builder = _Builder(group, layouts, weak)
    returned: list[tuple[Node, str]] = []
    for entry in group.entries:
        if entry.primitive.family == "reduction":
            builder.reduction(entry, needed)
            continue
        alias = entry.primitive.name in ALIASES
        value = builder.alias(entry) if alias else builder.elementwise(entry)
        if entry in needed and not group.space:
            returned.append((entry, value.name))
        elif entry in needed:
            builder.output(entry, value)
    reductions = builder.reductions
    blocks = _collapse(group, builder.operands, reductions)
    rows = [b for b in blocks if group.reduced and b[0] not in group.reduced]
    loops = rows + [b for b in blocks if b not in rows]
    sizes = tuple(int(np.prod([group.space[i] for i in b], dtype=np.int64)) for b in loops)
    for operand in (*builder.operands, *builder.outputs):
        _reshape(operand, group.space, blocks, loops)
    for reduced in reductions:
        gone = reduced.axes
        reduced.dims = tuple(loops.index(b) for b in blocks if not gone[b[0]])
        reduced.axes = tuple(gone[b[0]] for b in loops)
        reduced.stored = reduced.stored and not reduced.full  # the other axes had size 1
    returned += [(r.node, r.name) for r in reductions if r.full]
    nest = Nest(
        len(sizes),
        len(rows),
        loops != blocks,
        builder.operands,
        builder.outputs,
        reductions,
        builder.values,
        [name for _, name in returned],
        builder.functions,
    )
    limited = any(value.limit for value in builder.values.values())
    return KernelPlan(
        source(nest),
        source(nest, exact=True) if limited else None,
        sizes,
        builder.operands,
        builder.outputs,
        reductions,
        builder.functions,
        returned,
        sum(value.dear and not value.row for value in builder.values.values()),
        nest.turned,
    )


def _collapse(group: Group, operands: list[Operand], reductions: list[Reduced]) -> list[list[int]]:
    """Merge neighbouring axes that everything treats alike; return the blocks of axes."""

    space = group.space

    def signature(i: int) -> Any:
        return (
            i in group.reduced,
            tuple(o.axes[i] for o in operands if o.axes),
            tuple(r.axes[i] for r in reductions),
        )

    if any(not o.contiguous for o in operands if o.axes):
        return [[i] for i in range(len(space))]
    blocks: list[list[int]] = []
    for i, n in enumerate(space):
        if n == 1 and blocks and not any(o.axes[i] for o in operands if o.axes):
            blocks[-1].append(i)  # an axis of size 1 changes nothing
            continue
        if blocks and signature(blocks[-1][0]) == signature(i):
            blocks[-1].append(i)
        else:
            blocks.append([i])
    return blocks


def _reshape(
    operand: Operand, space: tuple[int, ...], blocks: list[list[int]], loops: list[list[int]]
) -> None:
    """Note how an operand is passed: with one axis for each block along which it varies."""
    if not operand.axes:
        return
    varying = [block for block in blocks if operand.axes[block[0]]]
    operand.shape = tuple(
        int(np.prod([space[i] for i in block], dtype=np.int64)) for block in varying
    )
    operand.dims = tuple(loops.index(block) for block in varying)
    operand.axes = tuple(block in varying for block in loops)
