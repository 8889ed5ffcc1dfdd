"""A program as NumPy source that runs.

Every entry is a line with the shape and the user's line as a comment. Programs that are parameters of
an entry are functions inside the function. Arrays that the program refers to are written out when they
are small, and are arguments with a default of None when they are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.array.paths import HOLE
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.content import is_program

if TYPE_CHECKING:
    from tapegrad.tape.program.program import Program

__all__ = ["program_source", "run_source"]

_SMALL = 16


class _Shared:
    """What a function and the functions inside it have in common: constants, and names of bodies."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self.functions: dict[str, int] = {}

    def constant(self, value: Any) -> str:
        for name, known in self.constants.items():
            if known is value:
                return name
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def function(self, letters: str) -> str:
        count = self.functions.get(letters, 0)
        self.functions[letters] = count + 1
        return f"{letters}{count}"


class _Function:
    """Writes one program as a function."""

    def __init__(self, program: Program, shared: _Shared) -> None:
        self.program = program
        self.shared = shared
        self.names: dict[Node, str] = {}
        self.lines: list[str] = []
        for i, node in enumerate(program.inputs):
            self.names[node] = f"x{i}"
        for i, entry in enumerate(program.entries):
            self.names[entry] = f"t{i}"

    def operand(self, value: Any) -> str:
        if type(value) is Node:
            return self.names[value]
        if isinstance(value, np.ndarray):
            if not value.size:
                return f"np.empty({value.shape}, {value.dtype.name!r})"
            if value.size <= _SMALL and np.isfinite(value).all():
                return f"np.array({value.tolist()!r}, {value.dtype.name!r})"
            return self.shared.constant(value)
        if isinstance(value, np.generic):
            number = value.item() if np.isfinite(value) else str(value.item())
            return f"np.{value.dtype.name}({number!r})"
        if isinstance(value, float) and not np.isfinite(value):
            return f"float({str(value)!r})"
        return repr(value)

    def parameter(self, key: str, value: Any) -> Any:
        """Return a parameter as text, and a program as the name of a function that is written."""
        if isinstance(value, np.dtype):
            return f"np.dtype({value.name!r})"
        if not is_program(value):
            return repr(value)
        name = self.shared.function(key)
        inner = _Function(value, self.shared)
        self.lines += [f"    {line}" for line in inner.text(name, bare=False)]
        return name

    def call(self, entry: Node) -> str:
        primitive, args = entry.primitive, [self.operand(o) for o in entry.operands]
        if primitive.source is not None:
            params = {
                key: self.parameter(key, v) if is_program(v) else v
                for key, v in entry.params.items()
            }
            return primitive.source(args, params)  # type: ignore[no-any-return]
        words = [f"{key}={self.parameter(key, value)}" for key, value in entry.params.items()]
        inside = ", ".join([*args, *words])
        if primitive.ufunc is not None:
            return f"np.{primitive.ufunc.__name__}({inside})"
        if callable(getattr(np, primitive.name, None)):
            return f"np.{primitive.name}({inside})"
        return f"primitives[{primitive.name!r}].forward({inside})"

    def text(self, name: str, *, bare: bool) -> list[str]:
        """Return the lines of the function; the only result is returned as it is, or in a tuple."""
        program = self.program
        heads = [f"    # {self.names[node]}: {_describe(node)}" for node in program.inputs]
        for entry in program.entries:
            text, out = self.call(entry), self.names[entry]
            # A write takes several statements, in which {out} stands for its result.
            written = "{out}" in text
            statements = text.format(out=out).split("\n") if written else [f"{out} = {text}"]
            where = f"  {entry.where}" if entry.where is not None else ""
            statements[-1] += f"  # {_describe(entry)}{where}"
            self.lines += [f"    {statement}" for statement in statements]
        results = [self.operand(value) for value in program.outputs]
        if not bare:
            returned = f"({', '.join(results)}{',' if len(results) == 1 else ''})"
        else:
            returned = ", ".join(results) or "None"
        arguments = [self.names[node] for node in program.inputs]
        if bare:
            arguments += [f"{constant}=None" for constant in self.shared.constants]
        head = f"def {name}({', '.join(arguments)}):"
        return [head, *heads, *self.lines, f"    return {returned}"]


def _describe(node: Node) -> str:
    if node.primitive is not None and node.primitive.multiple:
        count = node.shape[0]
        return f"{count} result{'' if count == 1 else 's'}"
    return f"{node.dtype.name}[{', '.join(map(str, node.shape))}]"


def program_source(program: Program, constants: dict[str, Any] | None = None) -> str:
    """Return a program as the source of a function.

    Parameters
    ----------
    program : Program
    constants : dict, optional
        Receives the arrays that are too large to be written out, by name.
    """
    shared = _Shared()
    lines = _Function(program, shared).text("tape", bare=True)
    if constants is not None:
        constants.update(shared.constants)
    return "\n".join(lines)


def run_source(source: str, *args: Any, **constants: Any) -> Any:
    """Run the source of a program; `constants` are the arrays that it does not write out."""
    space: dict[str, Any] = {"np": np, "primitives": primitives, "array": HOLE}
    exec(source, space)
    return space["tape"](*args, **constants)
