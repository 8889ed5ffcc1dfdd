"""``Tape.compile``: a recorded tape as a jitted function of some of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.jitted.jit import jit
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.trace import bind
from tapegrad.tape.program.tape import Tape
from tapegrad.tape.transforms.derivatives import vjp

__all__ = ["compile_tape"]


def compile_tape(
    tape: Tape, inputs: list[Node], outputs: list[Node], gradient: bool
) -> Callable[..., Any]:
    """Return a compiled function that runs the entries of `tape`.

    Parameters
    ----------
    tape : Tape
    inputs, outputs : list of Node
    gradient : bool
        Whether it returns ``(outputs, gradients)``.
    """
    entries = list(tape.entries)
    leaves = dict(tape.leaves)

    def tape_function(*values: Any) -> list[Any]:
        computed = dict(leaves)
        computed.update(zip(inputs, values))
        for entry in entries:
            args = [computed[a] if type(a) is Node else a for a in entry.operands]
            # What is compiled follows the rules of backward(), as tape.gradient does.
            computed[entry] = bind(entry.primitive.imperative, *args, **entry.params)
        return [computed[node] for node in outputs]

    def with_gradient(*values: Any) -> Any:
        results, pullback = vjp(tape_function, *values)
        return results, list(pullback([np.ones(r.shape, r.dtype) for r in results]))

    compiled = jit(with_gradient if gradient else tape_function)

    def checked(*arrays: Any) -> Any:
        if len(arrays) != len(inputs):
            raise TypeError(f"the compiled tape takes {len(inputs)} arrays, got {len(arrays)}")
        for array, node in zip(arrays, inputs):
            if np.shape(array) != node.shape:
                raise ValueError(
                    f"the tape was recorded with an input of shape {node.shape}, "
                    f"got {np.shape(array)}"
                )
        return compiled(*(np.asarray(a, dtype=n.dtype) for a, n in zip(arrays, inputs)))

    return checked
