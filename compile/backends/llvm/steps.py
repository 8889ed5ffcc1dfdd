"""Steps of loops: how a kernel takes its arguments where no Python is between one call and the next.

They stand in a row of cells of eight bytes: of an array the address and what the kernel takes of its
sizes and strides, of a number the address. Where a result goes that is a number is an address, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.compile.backends.llvm.scalars import LLVM
from tapegrad.compile.backends.llvm.translation import Function, Parameter, result_type, stored

__all__ = ["CELL", "cells_of", "step"]

#: Bytes of a cell.
CELL = 8


def cells_of(parameters: Sequence[Parameter]) -> int:
    """Return how many cells the arguments of a kernel take."""
    return sum(1 + p.described for p in parameters)


def step(function: Function, parameters: Sequence[Parameter], *, flagged: bool) -> str:
    """Return the code of the function ``step``, which runs ``loops`` on what stands in cells.

    Parameters
    ----------
    function : Function
    parameters : sequence of Parameter
    flagged : bool
        Whether the last of what it returns is a flag, which stays set once it is.
    """
    lines: list[str] = []
    at = 0

    def value(instruction: str) -> str:
        lines.append(f"%s{len(lines)} = {instruction}")
        return f"%s{len(lines) - 1}"

    def cell(type_: str) -> str:
        nonlocal at
        place = value(f"getelementptr i8, ptr %cells, i64 {CELL * at}")
        at += 1
        return value(f"load {type_}, ptr {place}")

    given = []
    for p in parameters:
        pointer = cell("ptr")
        if p.rank >= 0:
            given.append(f"ptr {pointer}")
            given += [f"i64 {cell('i64')}" for _ in range(p.described)]
            continue
        number = value(f"load {stored(p.kind)}, ptr {pointer}")
        if p.kind == "boolean":
            number = value(f"icmp ne i8 {number}, 0")
        given.append(f"{LLVM[p.kind]} {number}")
    type_ = result_type(function.returned)
    call = f"call {type_} @loops({', '.join(given)})"
    result = ""
    if function.returned:
        result = value(call)
    else:
        lines.append(call)
    for i, kind in enumerate(function.returned):
        part = value(f"extractvalue {type_} {result}, {i}")
        pointer = cell("ptr")
        if kind == "boolean":
            part = value(f"zext i1 {part} to i8")
            if flagged and i == len(function.returned) - 1:
                before = value(f"load i8, ptr {pointer}")
                part = value(f"or i8 {before}, {part}")
        lines.append(f"store {stored(kind)} {part}, ptr {pointer}")
    body = "\n".join([*lines, "ret void"])
    return f"define void @step(ptr %cells) nounwind {{\n{body}\n}}\n"
