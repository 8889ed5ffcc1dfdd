"""Programs to programs: reverse mode, forward mode, batches.

Each runs the program under a transformation, inside a trace that records what is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import belongs, lower
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Shaped
from tapegrad.tape.core.reverse import sweep_by_line
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.program import Program
from tapegrad.tape.transforms.batching import BatchTrace
from tapegrad.tape.transforms.forward_mode import JVPTrace

__all__ = ["batch", "forward", "reverse"]


def reverse(program: Program, wrt: Sequence[int], *, imperative: bool) -> Program:
    """Return the program that also pulls cotangents back; see :meth:`Program.reverse`."""
    _check_floats(program, wrt, "reverse")
    count = len(program.inputs)

    def run(*values: Any) -> list[Any]:
        primals, cotangents = values[:count], iter(values[count:])
        trace: Any = state.get().body
        trace.is_swept = "imperative" if imperative else "functional"
        outputs = program(*primals)
        trace.is_swept = ""
        roots = []
        for out in outputs:
            if _is_float(out):
                g = next(cotangents)
                if isinstance(out, Tensor) and not out.node.constant:
                    roots.append((out.node, g))
        pulled = sweep_by_line(roots, imperative=imperative)
        parts = [pulled.get(primals[i].node) for i in wrt]
        zeros = [np.zeros(primals[i].shape, primals[i].dtype) for i in wrt]
        return [*outputs, *(z if part is None else part for part, z in zip(parts, zeros))]

    inputs = [*program.inputs, *(_like(o) for o in program.outputs if _is_float(o))]
    return record_program(run, inputs, program.weak)


def forward(program: Program, wrt: Sequence[int]) -> Program:
    """Return the program that also pushes tangents forward; see :meth:`Program.forward`."""
    _check_floats(program, wrt, "forward")
    count = len(program.inputs)

    def run(*values: Any) -> list[Any]:
        with new_trace(JVPTrace) as trace:
            given = list(values[:count])
            for i, tangent in zip(wrt, values[count:]):
                given[i] = trace.variable(given[i], tangent=tangent)
            outputs = program(*given)
            tangents = [_tangent(out, trace) for out in outputs if _is_float(out)]
            return [*(lower(out, trace) for out in outputs), *tangents]

    inputs = [*program.inputs, *(_like(program.inputs[i]) for i in wrt)]
    return record_program(run, inputs, program.weak)


def batch(program: Program, size: int, batched: Sequence[bool]) -> Program:
    """Return the program of many examples at once; see :meth:`Program.batch`."""
    if len(batched) != len(program.inputs):
        raise ValueError(f"batch: {len(batched)} flags for {len(program.inputs)} inputs")

    def run(*values: Any) -> list[Any]:
        with new_trace(BatchTrace, size) as trace:
            given = [trace.variable(v) if b else v for v, b in zip(values, batched)]
            return [_batch_of(out, trace, size) for out in program(*given)]

    inputs = [
        Shaped((size, *node.shape), node.dtype) if b else node
        for node, b in zip(program.inputs, batched)
    ]
    return record_program(run, inputs, program.weak)


def _check_floats(program: Program, wrt: Sequence[int], what: str) -> None:
    for i in wrt:
        if program.inputs[i].dtype.kind not in CONTINUOUS:
            raise TypeError(
                f"{what}: input {i} is of dtype {program.inputs[i].dtype}; only floats have derivatives"
            )


def _like(value: Any) -> Any:
    """Return what has shape and dtype of an output, which may be a Python number."""
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    return Shaped(value.shape if hasattr(value, "shape") else (), dtype)


def _is_float(value: Any) -> bool:
    return _like(value).dtype.kind in CONTINUOUS  # type: ignore[no-any-return]


def _tangent(out: Any, trace: JVPTrace) -> Any:
    if belongs(out, trace):
        return out.node
    return zeros(_like(out))


def _batch_of(out: Any, trace: BatchTrace, size: int) -> Any:
    if belongs(out, trace):
        return out.value
    value = lower(out, trace)
    return np.broadcast_to(value, (size, *np.shape(value)))
