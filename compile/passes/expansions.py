"""Expansions: entries that stand for several simpler ones, written out so that these fuse.

A primitive declares its expansion in plain NumPy. It is written out here, when all derivatives have been
taken: the tape keeps what the user wrote, and derivatives come from the rules of the primitive, which
know more than those of its parts (a norm has a subgradient at zero).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.compile.passes.reductions import reduction_of
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import Abandoned
from tapegrad.tape.core.location import current_line
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.content import bodies
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.rewriter import Rewriter
from tapegrad.tape.program.staging import StagingTrace

__all__ = ["expand"]


_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


def expand(program: Program) -> Program:
    """Write out the entries that stand for several."""
    rewriter = Rewriter(program)
    for entry in program.entries:
        _place(rewriter, entry, rewriter.operands(entry))
    return rewriter.finish()


def _place(rewriter: Rewriter, entry: Node, operands: tuple[Any, ...]) -> None:
    """Append an entry, or what it stands for."""
    if operands and type(operands[0]) is tuple:  # the entry picks from several results
        rewriter.known[entry] = operands[0][entry.params["index"]]
        return
    parts = _recorded(rewriter, entry, operands) if _has_parts(rewriter, entry, operands) else None
    if parts is None:
        rewriter.keep(entry, operands)
        return
    trace, results = parts
    nodes = (o for o in operands if type(o) is Node)
    rewriter.known.update(zip(trace.inputs, nodes))
    rewriter.weak |= trace.weak
    for part in trace.entries:
        _place(rewriter, part, rewriter.operands(part))
    made = rewriter.known_as(results)
    rewriter.known[entry] = made if entry.primitive.multiple else made[0]


def _has_parts(rewriter: Rewriter, entry: Node, operands: tuple[Any, ...]) -> bool:
    """Whether an entry is to be written out: what kernels have no dtype for is left to NumPy."""
    if entry.primitive.expansion is None or reduction_of(entry) is not None:
        return False
    if any(True for _ in bodies(entry.params)):
        return True
    nodes = [o for o in operands if type(o) is Node]
    if any(o in rewriter.weak or 0 in o.shape for o in nodes):
        return False
    floats = {o.dtype for o in operands if getattr(o, "dtype", np.dtype(int)).kind == "f"}
    return floats == {entry.dtype} and entry.dtype in _DTYPES


def _recorded(
    rewriter: Rewriter, entry: Node, operands: tuple[Any, ...]
) -> tuple[StagingTrace, tuple[Node, ...]] | None:
    """Record the expansion of an entry; the values it computes with are of no importance."""

    def as_input(operand: Any) -> Any:
        if type(operand) is not Node:
            return operand
        array = example(operand.shape, operand.dtype)
        return trace.variable(array, original=array.item() if operand in rewriter.weak else None)

    line = current_line.set(entry.where)
    try:
        with new_trace(StagingTrace) as trace, np.errstate(all="ignore"):
            found = entry.primitive.expansion(*map(as_input, operands), **entry.params)
            found = found if entry.primitive.multiple else (found,)
            ours = all(isinstance(r, Tensor) and r.live_trace is trace for r in found)
    except Abandoned:
        return None
    finally:
        current_line.reset(line)
    if not ours or trace.guards:
        return None
    nodes = tuple(r.node for r in found)
    if not entry.primitive.multiple and (nodes[0].shape, nodes[0].dtype) != (
        entry.shape,
        entry.dtype,
    ):
        return None
    # Each result is a value of its own.
    return (
        (trace, nodes) if len({*nodes, *trace.inputs}) == len(nodes) + len(trace.inputs) else None
    )
