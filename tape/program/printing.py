"""A tape as NumPy source that runs.

Every entry is a line with the shape and the user's line as a comment. Arrays that the tape refers to
are written out when they are small, and are arguments with a default of None when they are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.mutation import HOLE
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives

__all__ = ["run_source", "tape_source"]

_SMALL = 16


class _Names:
    """Gives nodes and constants their names."""

    def __init__(self) -> None:
        self.names: dict[Node, str] = {}
        self.constants: dict[str, Any] = {}

    def node(self, node: Node, letter: str) -> str:
        if node not in self.names:
            self.names[node] = f"{letter}{sum(n[0] == letter for n in self.names.values())}"
        return self.names[node]

    def operand(self, value: Any) -> str:
        if type(value) is Node:
            return self.node(value, "x")
        if isinstance(value, np.ndarray):
            if not value.size:
                return f"np.empty({value.shape}, {value.dtype.name!r})"
            if value.size <= _SMALL and np.isfinite(value).all():
                return f"np.array({value.tolist()!r}, {value.dtype.name!r})"
            name = f"c{len(self.constants)}"
            self.constants[name] = value
            return name
        if isinstance(value, float) and not np.isfinite(value):
            return f"float({str(float(value))!r})"
        if isinstance(value, np.generic):
            return f"np.{value.dtype.name}({value.item()!r})"
        return repr(value)


def _call(entry: Node, args: list[str]) -> str:
    primitive = entry.primitive
    if primitive.source is not None:
        return primitive.source(args, entry.params)
    words = [f"{key}={_parameter(value)}" for key, value in entry.params.items()]
    if primitive.ufunc is not None:
        return f"np.{primitive.ufunc.__name__}({', '.join([*args, *words])})"
    if callable(getattr(np, primitive.name, None)):
        return f"np.{primitive.name}({', '.join([*args, *words])})"
    return f"primitives[{primitive.name!r}].forward({', '.join([*args, *words])})"


def _parameter(value: Any) -> str:
    if isinstance(value, np.dtype):
        return f"np.dtype({value.name!r})"
    return repr(value)


def _describe(node: Node) -> str:
    return f"{node.dtype.name}[{', '.join(map(str, node.shape))}]"


def tape_source(
    entries: Sequence[Node],
    inputs: Iterable[Node],
    outputs: Sequence[Node] | None = None,
    constants: dict[str, Any] | None = None,
) -> str:
    """Return entries as the source of a function.

    Parameters
    ----------
    entries : list of Node
    inputs : list of Node
        Its arguments.
    outputs : list of Node, optional
        What it returns; by default the last result.
    constants : dict, optional
        Receives the arrays that are too large to be written out, by name.
    """
    names = _Names()
    heads = [f"{names.node(node, 'x')}: {_describe(node)}" for node in inputs]
    lines = []
    for entry in entries:
        args = [names.operand(a) for a in entry.operands]
        text = _call(entry, args)
        out = names.node(entry, "t")
        where = f"  {entry.where}" if entry.where is not None else ""
        # A write takes several statements, in which {out} stands for its result.
        statements = text.format(out=out).split("\n") if "{out}" in text else [f"{out} = {text}"]
        statements[-1] += f"  # {_describe(entry)}{where}"
        lines += [f"    {statement}" for statement in statements]
    results = [entries[-1]] if outputs is None and entries else list(outputs or [])
    returned = ", ".join(names.operand(node) for node in results) or "None"
    arguments = ", ".join(h.partition(":")[0] for h in heads)
    extra = ", ".join(f"{name}=None" for name in names.constants)
    signature = ", ".join(part for part in (arguments, extra) if part)
    if constants is not None:
        constants.update(names.constants)
    comment = [f"    # {h}" for h in heads]
    return "\n".join([f"def tape({signature}):", *comment, *lines, f"    return {returned}"])


def run_source(source: str, *args: Any, **constants: Any) -> Any:
    """Run the source of a tape; `constants` are the arrays that it does not write out."""
    space: dict[str, Any] = {"np": np, "primitives": primitives, "array": HOLE}
    exec(source, space)
    return space["tape"](*args, **constants)
