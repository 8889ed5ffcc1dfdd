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

from tapegrad.compile import scalars
from tapegrad.compile.fuse import Group
from tapegrad.compile.layout import Layout
from tapegrad.compile.passes import uniform_value
from tapegrad.tape.node import Node

__all__ = ["KernelPlan", "Operand", "generate"]

#: Scalars that are part of the source; all others are arguments, so that they share a kernel.
_LITERALS = frozenset({0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5})


@dataclass(slots=True)
class Operand:
    """An argument of a kernel.

    Attributes
    ----------
    value : Node or scalar or array
        What is passed.
    name : str
        Its name in the source.
    dtype : numpy.dtype
    axes : tuple of bool
        Along which axes of the kernel's space it varies; a scalar varies along none.
    shape : tuple of int or None
        The shape in which it is passed, if that differs from its own.
    contiguous : bool
    """

    value: Any
    name: str
    dtype: np.dtype[Any]
    axes: tuple[bool, ...] = ()
    shape: tuple[int, ...] | None = None
    contiguous: bool = True


@dataclass(slots=True)
class Reduced:
    """A reduction of a kernel: `axes` says which axes of the kernel's space are summed."""

    node: Node
    name: str
    kind: str
    value: str
    axes: tuple[bool, ...]

    @property
    def full(self) -> bool:
        """Whether nothing is left but one number."""
        return all(self.axes)


@dataclass(slots=True)
class KernelPlan:
    """A kernel's source and how it is called.

    Attributes
    ----------
    source : str
    exact_source : str or None
        With exact functions in place of the vectorising ones, for arguments beyond their limits.
    sizes : tuple of int
        Of the axes of the kernel's space.
    operands : list of Operand
    outputs : list of Operand
        Arrays that it writes, one element for each point of the space.
    reductions : list of Reduced
    functions : set of (name, suffix)
    returned : list of (Node, name)
        Values without axes, which the kernel returns: results of scalar code, then reductions to one
        number.
    """

    source: str
    exact_source: str | None
    sizes: tuple[int, ...]
    operands: list[Operand]
    outputs: list[Operand]
    reductions: list[Reduced]
    functions: set[tuple[str, str]] = field(default_factory=set)
    returned: list[tuple[Node, str]] = field(default_factory=list)


class _Builder:
    """Collects operands, lines and results of one group."""

    def __init__(self, group: Group, layouts: dict[Node, Layout], weak: Any) -> None:
        self.group = group
        self.layouts = layouts
        self.weak = weak
        self.rank = len(group.space)
        self.operands: list[Operand] = []
        self.names: dict[Any, str] = {}
        self.lines: list[tuple[str, str]] = []
        self.limits: list[tuple[str, float]] = []
        self.functions: set[tuple[str, str]] = set()

    def operand(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Return the text of an operand, cast to `dtype`."""
        if type(value) is Node and value in self.names:
            return _cast(self.names[value], value.dtype, dtype)
        scalar = None if type(value) is Node else uniform_value(value)
        if scalar is not None:
            return self._scalar(scalar, dtype)
        key = value if type(value) is Node else ("array", id(value))
        if key not in self.names:
            shape = value.shape
            own = value.dtype
            axes = (False,) * (self.rank - len(shape)) + tuple(n != 1 for n in shape)
            name = f"a{len(self.operands)}"
            layout = self.layouts[value] if type(value) is Node else Layout.of(value)
            self.operands.append(Operand(value, name, own, axes, None, layout.contiguous))
            self.names[key] = f"v_{name}" if any(axes) else name
        return _cast(self.names[key], value.dtype, dtype)

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

    def entry(self, entry: Any) -> str:
        """Append the line of an elementwise entry; return the name of its value."""
        dtypes = scalars.loop_dtypes(entry, self.weak)
        assert dtypes is not None
        texts = [self.operand(o, d) for o, d in zip(entry.inputs, dtypes)]
        out = entry.output.dtype
        kind = out if out.kind == "f" else dtypes[0]
        text, functions = scalars.expression(entry.primitive, texts, kind)
        self.functions |= functions
        limit = scalars.limit_of(entry, dtypes)
        if limit is not None:
            self.limits.append((texts[0], limit))
        name = f"t{len(self.lines)}"
        if out == np.float32 or entry.primitive.name == "cast":
            text = f"{_NUMBA_NAMES[out]}({text})"
        self.lines.append((name, text))
        self.names[entry.output] = name
        return name


_NUMBA_NAMES = {
    np.dtype(c): n
    for c, n in {
        "?": "boolean", "b": "int8", "h": "int16", "i": "int32", "l": "int64", "q": "int64",
        "B": "uint8", "H": "uint16", "I": "uint32", "f": "float32", "d": "float64",
    }.items()
}  # fmt: skip


def _cast(text: str, own: np.dtype[Any], wanted: np.dtype[Any]) -> str:
    if own == wanted:
        return text
    if wanted.kind == "b":
        return f"({text} != 0)"
    return f"{_NUMBA_NAMES[wanted]}({text})"


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
    outputs: list[Operand] = []
    reductions: list[Reduced] = []
    returned: list[tuple[Node, str]] = []
    for entry in group.entries:
        if entry.primitive.family == "reduction":
            value = builder.operand(entry.inputs[0], entry.inputs[0].dtype)
            axes = tuple(i in entry.params["axis"] for i in range(len(group.space)))
            name = f"r{len(reductions)}"
            reductions.append(Reduced(entry.output, name, entry.primitive.name, value, axes))
            builder.functions.add((scalars.REDUCTIONS[entry.primitive.name][1], ""))
            continue
        name = builder.entry(entry)
        if entry.output in needed and not group.space:
            returned.append((entry.output, name))
        elif entry.output in needed:
            out = Operand(entry.output, f"o{len(outputs)}", entry.output.dtype)
            out.axes = (True,) * len(group.space)
            outputs.append(out)
            builder.lines.append((f"{out.name}[...]", name))
    blocks = _collapse(group.space, builder.operands, outputs, reductions)
    sizes = tuple(int(np.prod([group.space[i] for i in b], dtype=np.int64)) for b in blocks)
    for operand in (*builder.operands, *outputs):
        _reshape(operand, group.space, blocks)
    for reduced in reductions:
        reduced.axes = tuple(reduced.axes[block[0]] for block in blocks)
    returned += [(r.node, r.name) for r in reductions if r.full]
    names = [name for _, name in returned]
    text = _source(builder, outputs, reductions, names, len(sizes), exact=False)
    exact = None
    if builder.limits:
        exact = _source(builder, outputs, reductions, names, len(sizes), exact=True)
    return KernelPlan(
        text, exact, sizes, builder.operands, outputs, reductions, builder.functions, returned
    )


def _collapse(
    space: tuple[int, ...],
    operands: list[Operand],
    outputs: list[Operand],
    reductions: list[Reduced],
) -> list[list[int]]:
    """Merge neighbouring axes that everything treats alike; return the blocks of axes."""

    def signature(i: int) -> Any:
        return (
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


def _reshape(operand: Operand, space: tuple[int, ...], blocks: list[list[int]]) -> None:
    """Note the shape in which an operand is passed: one axis for each block along which it varies."""
    if not operand.axes:
        return
    own = operand.axes
    operand.axes = tuple(own[block[0]] for block in blocks)
    shape = tuple(
        int(np.prod([space[i] for i in block], dtype=np.int64))
        for block, varies in zip(blocks, operand.axes)
        if varies
    )
    operand.shape = shape


def _source(
    builder: _Builder,
    outputs: list[Operand],
    reductions: list[Reduced],
    names: list[str],
    rank: int,
    *,
    exact: bool,
) -> str:
    """Write the loop nest."""
    limits = [] if exact else builder.limits
    arguments = [f"n{i}" for i in range(rank)]
    arguments += [o.name for o in builder.operands] + [o.name for o in outputs]
    arguments += [r.name for r in reductions if not r.full]
    lines = [f"def kernel({', '.join(arguments)}):"]
    indices = [f"i{i}" for i in range(rank)]
    if limits:
        lines.append("    beyond = False")
    for r in reductions:
        if r.full:
            lines.append(f"    {r.name} = {_start(r)}")
    loads: dict[int, list[str]] = {}
    for o in builder.operands:
        if any(o.axes):
            depth = max(i + 1 for i, varies in enumerate(o.axes) if varies)
            chosen = ", ".join(i for i, varies in zip(indices, o.axes) if varies)
            loads.setdefault(depth, []).append(f"v_{o.name} = {o.name}[{chosen}]")
    pad = "    "
    for i in range(rank):
        for r in reductions:
            if not r.full and _opens_at(r, i):
                lines.append(f"{pad}s_{r.name} = {_start(r)}")
        lines.append(f"{pad}for i{i} in range(n{i}):")
        pad += "    "
        lines += [pad + text for text in loads.get(i + 1, [])]
    body = _body(builder, outputs, reductions, indices, limits)
    lines += [pad + text for text in body]
    for i in reversed(range(rank)):
        pad = pad[:-4]
        for r in reductions:
            if not r.full and _opens_at(r, i):
                kept = ", ".join(x for x, gone in zip(indices, r.axes) if not gone)
                lines.append(f"{pad}{r.name}[{kept}] = s_{r.name}")
    returned = names + (["beyond"] if limits else [])
    if returned:
        lines.append(f"    return {', '.join(returned)}")
    text = "\n".join(lines) + "\n"
    return _with_exact_functions(text, builder.functions) if exact else text


def _opens_at(r: Reduced, i: int) -> bool:
    """Whether the summed axes are the innermost ones, and begin at axis `i`."""
    return all(r.axes[i:]) and not any(r.axes[:i])


def _is_suffix(r: Reduced) -> bool:
    return any(_opens_at(r, i) for i in range(len(r.axes)))


def _start(r: Reduced) -> str:
    text = scalars.REDUCTIONS[r.kind][0]
    return f"{_NUMBA_NAMES[r.node.dtype]}({text})"


def _body(
    builder: _Builder,
    outputs: list[Operand],
    reductions: list[Reduced],
    indices: list[str],
    limits: list[tuple[str, float]],
) -> list[str]:
    """Return the lines that are run at each point of the space."""
    everywhere = ", ".join(indices) or "()"
    lines = []
    for name, text in builder.lines:
        target = name.replace("[...]", f"[{everywhere}]")
        lines.append(f"{target} = {text}")
    for value, limit in dict.fromkeys(limits):
        lines.append(f"beyond |= abs({value}) > {limit!r}")
    for r in reductions:
        combine = scalars.REDUCTIONS[r.kind][1]
        if r.full:
            lines.append(f"{r.name} = {combine}({r.name}, {r.value})")
        elif _is_suffix(r):
            lines.append(f"s_{r.name} = {combine}(s_{r.name}, {r.value})")
        else:
            kept = ", ".join(x for x, gone in zip(indices, r.axes) if not gone)
            lines.append(f"{r.name}[{kept}] = {combine}({r.name}[{kept}], {r.value})")
    return lines


def _with_exact_functions(text: str, functions: set[tuple[str, str]]) -> str:
    for name, suffix in functions:
        if suffix and (name, "float32" if suffix == "f32" else "float64") in scalars.LIMITS:
            text = text.replace(f"{name}_{suffix}(", f"np.{name}(")
    return text
