"""Programs compiled: what ``Program.compile`` gives."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.passes.expansions import stage
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.pipeline import optimise
from tapegrad.compile.plans.boundary import Boundary
from tapegrad.tape.program.program import Program

__all__ = ["compile_program"]


def compile_program(program: Program) -> Callable[..., tuple[Any, ...]]:
    """Return a compiled function from arrays to the outputs of a program.

    There is a plan for each way that the arrays lie in memory, made at the first such call.
    """
    # The builder imports numba, which is loaded when something is compiled and not before.
    staged = program.memo("optimised", lambda: optimise(stage(program)))
    plans: dict[Any, Callable[..., tuple[Any, ...]]] = {}

    def run(*arrays: Any) -> tuple[Any, ...]:
        values = [_as_input(a, node, i) for i, (a, node) in enumerate(zip(arrays, program.inputs))]
        if len(arrays) != len(program.inputs):
            raise TypeError(
                f"the compiled program takes {len(program.inputs)} arrays, got {len(arrays)}"
            )
        key = tuple([value.strides for value in values])
        plan = plans.get(key)
        if plan is None:
            layouts = {node: Layout.of(value) for node, value in zip(staged.inputs, values)}
            builder = importlib.import_module("tapegrad.compile.plans.plan")
            plan = plans[key] = builder.build(
                staged, Boundary(len(staged.outputs), layouts=layouts)
            ).run
        return plan(*values)

    return run


def _as_input(value: Any, node: Any, position: int) -> Any:
    array = np.asarray(value, dtype=node.dtype)
    if array.shape != node.shape:
        raise ValueError(
            f"the program was recorded with an input {position} of shape {node.shape}, got "
            f"{array.shape}"
        )
    return array if array.flags.aligned else array.copy()
