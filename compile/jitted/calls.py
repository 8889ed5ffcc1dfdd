"""Jitted functions inside traces and on imperative tensors.

A call with tensors is one entry, whose parameter is the program that was recorded for such a call. Its
plan computes the value; those of the programs that follow from it compute derivatives and batches. So
``grad(jit(f))`` runs compiled code both ways, and the user's function is not run again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.compile.jitted.nests import SETTLED
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.later import later
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.pytree import unflatten
from tapegrad.tape.core.state import state
from tapegrad.tape.transforms.calls import jit_call_p

__all__ = ["call_through"]


def call_through(jitted: Any, leaves: list[Any], structure: Any) -> Any:
    """Call a jitted function of which some arguments are tensors."""
    args, kwargs = unflatten(structure, leaves)
    if state.get().body is not None:
        return later.called(jitted._function)(*args, **kwargs)
    arrays = [bottom(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    recording = jitted.recording_of(arrays, structure) if _is_one_entry(leaves, arrays) else None
    if recording is None or not recording.is_pure:
        return later.called(jitted._function)(*args, **kwargs)
    operands = recording.inputs(leaves)
    results = iter(apply(jit_call_p, tuple(operands), {"program": recording.pure}))
    inputs = dict(zip(recording.recorded.inputs, operands))
    outputs = recording.recorded.outputs[: recording.boundary.results]
    outs = [_result(output, inputs, results) for output in outputs]
    return unflatten(recording.structure, outs)


def _result(output: Any, inputs: dict[Node, Any], results: Any) -> Any:
    """Return a leaf of the result: an argument itself, a constant, or what was computed."""
    if type(output) is not Node:
        return output.copy() if isinstance(output, np.ndarray) else output
    return inputs[output] if output in inputs else next(results)


def _is_one_entry(leaves: list[Any], arrays: list[Any]) -> bool:
    """Whether a call can be an entry: where it is staged, the outer jit compiles it with the rest; a
    batched value has another rank below, and is a batch for the operations of the function."""
    for leaf, array in zip(leaves, arrays):
        if not isinstance(leaf, (Tensor, np.ndarray, np.generic, *SETTLED)):
            return False
        while isinstance(leaf, Tensor):
            if leaf.live_trace.appearance.peek(leaf) is None or leaf.shape != array.shape:
                return False
            leaf = leaf.value
    return True


def bottom(value: Any) -> Any:
    """Return the array at the bottom of a stack of tensors."""
    while isinstance(value, Tensor):
        value = value.value
    return np.asarray(value)
