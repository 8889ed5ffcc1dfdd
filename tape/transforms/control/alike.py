"""Programs that must fit each other: what they return, and what they read from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.bodies import Body
from tapegrad.tape.program.program import Program
from tapegrad.tape.transforms.control.sharing import shared

__all__ = ["Result", "common_dtype", "joined", "plain", "results_of", "with_dtypes"]


class Result(NamedTuple):
    """What is known of a result: a Python number has no dtype of its own."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_number: bool

    @classmethod
    def of(cls, output: Any, weak: frozenset[Node]) -> Result:
        """Describe an output of a program."""
        if type(output) is Node:
            return cls(output.shape, output.dtype, output in weak)
        array = np.asarray(output)
        return cls(array.shape, array.dtype, type(output) in (float, int))

    def fits(self, dtype: np.dtype[Any]) -> bool:
        """Whether the result may be of a dtype: a Python number if NumPy's promotion gives it that."""
        if not self.is_number:
            return self.dtype == dtype
        return np.result_type(dtype, self.dtype.type(0).item()) == dtype

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


def results_of(program: Program) -> list[Result]:
    """Describe the outputs of a program."""
    return [Result.of(output, program.weak) for output in program.outputs]


def common_dtype(results: Sequence[Result]) -> np.dtype[Any] | None:
    """Return the dtype of a result that is one or another of these, or None if there is none."""
    if len({result.shape for result in results}) > 1:
        return None
    dtypes = {r.dtype for r in results if not r.is_number} or {r.dtype for r in results}
    if len(dtypes) > 1:
        return None
    (dtype,) = dtypes
    return dtype if all(r.fits(dtype) for r in results) else None


def with_dtypes(program: Program, dtypes: Sequence[np.dtype[Any]]) -> Program:
    """Return a program whose outputs are arrays of given dtypes."""
    entries, outputs = list(program.entries), []
    for output, dtype in zip(program.outputs, dtypes):
        if type(output) is not Node:
            output = np.asarray(output, dtype)
        elif output.dtype != dtype:
            output = entry(primitives["cast"], (output,), {"dtype": dtype}, output.shape, dtype)
            entries.append(output)
        outputs.append(output)
    return Program(program.inputs, entries, outputs, program.weak)


def joined(bodies: Sequence[Body], count: int) -> tuple[list[Program], list[Tensor]]:
    """Return programs that take the same further inputs, and the values from outside for these.

    Parameters
    ----------
    bodies : sequence of Body
        Functions with the same arguments.
    count : int
        How many inputs stand for these; the others are what each function reads from outside.
    """
    hidden = {key: value for body in bodies for key, value in body.hidden.items()}
    owners = {key: next(body for body in bodies if key in body.hidden) for key in hidden}
    programs = []
    for body in bodies:
        program = body.program
        inputs, weak = list(program.inputs[:count]), set(program.weak)
        for key, owner in owners.items():
            node = owner.program.inputs[count + list(owner.hidden).index(key)]
            if key in body.hidden:
                node = program.inputs[count + list(body.hidden).index(key)]
            else:  # an input that this program does not use
                like, node = node, Node(None, (), {}, (), node.shape, node.dtype)
                if like in owner.program.weak:
                    weak.add(node)
            inputs.append(node)
        programs.append(shared(Program(inputs, program.entries, program.outputs, weak)))
    return programs, list(hidden.values())


def plain(result: Any) -> Any:
    """Return a result where all lies below the trace of the caller: scalars in NumPy's way."""
    return result[()] if type(result) is np.ndarray else result
