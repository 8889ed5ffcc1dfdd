"""Programs compiled: what ``Program.compile`` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.backends.interface import current
from tapegrad.compile.jitted.jit import tell_once
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.pipeline import optimised
from tapegrad.compile.plans.boundary import Boundary
from tapegrad.compile.plans.building import build
from tapegrad.tape.core.journal import Watch
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["compile_program"]


def compile_program(program: Program) -> Callable[..., tuple[Any, ...]]:
    """Return a compiled function from arrays to the outputs of a program.

    Without Numba, NumPy runs the entries.
    """
    if current().usable():
        run = _planned(optimised(program))
    else:
        tell_once(current().problems[0])
        run = _replayed(program)

    def checked(*arrays: Any) -> tuple[Any, ...]:
        if len(arrays) != len(program.inputs):
            raise TypeError(
                f"the compiled program takes {len(program.inputs)} arrays, got {len(arrays)}"
            )
        pairs = enumerate(zip(arrays, program.inputs))
        return run([_as_input(array, node, i) for i, (array, node) in pairs])

    return checked


def _as_input(value: Any, node: Node, position: int) -> Any:
    array = np.asarray(value, dtype=node.dtype)
    if array.shape != node.shape:
        raise ValueError(
            f"the program was recorded with an input {position} of shape {node.shape}, got "
            f"{array.shape}"
        )
    return array if array.flags.aligned else array.copy()


def _planned(program: Program) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Run plans: one for each way that the arrays lie in memory, made at the first such call."""
    plans: dict[Any, Callable[..., tuple[Any, ...]]] = {}

    def run(values: list[Any]) -> tuple[Any, ...]:
        key = tuple([value.strides for value in values])
        plan = plans.get(key)
        if plan is None:
            layouts = {node: Layout.of(value) for node, value in zip(program.inputs, values)}
            boundary = Boundary(len(program.outputs), layouts=layouts)
            watch = Watch()
            plan = plans[key] = build(program, boundary).run
            watch.tell(lambda: f"planned a program of {len(program)} entries")
        return plan(*values)

    return run


def _replayed(program: Program) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Run the entries; results are nobody else's arrays."""

    def run(values: list[Any]) -> tuple[Any, ...]:
        return tuple(np.array(out)[()] for out in program(*values))

    return run
