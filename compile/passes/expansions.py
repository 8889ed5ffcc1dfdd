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
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.trace import new_trace
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
    parts = _recorded(entry, operands) if _has_parts(rewriter, entry, operands) else None
    if parts is None:
        rewriter.keep(entry, operands)
        return
    trace, result = parts
    nodes = (o for o in operands if type(o) is Node)
    rewriter.known.update(zip(trace.inputs, nodes))
    rewriter.weak |= trace.weak
    for part in trace.entries:
        part.where = entry.where
        _place(rewriter, part, rewriter.operands(part))
    (rewriter.known[entry],) = rewriter.known_as((result,))


def _has_parts(rewriter: Rewriter, entry: Node, operands: tuple[Any, ...]) -> bool:
    """Whether an entry is to be written out: what kernels have no dtype for is left to NumPy."""
    if entry.primitive.expansion is None or reduction_of(entry) is not None:
        return False
    nodes = [o for o in operands if type(o) is Node]
    if any(o in rewriter.weak or 0 in o.shape for o in nodes):
        return False
    floats = {o.dtype for o in operands if getattr(o, "dtype", _DTYPES[0]).kind == "f"}
    return floats == {entry.dtype} and entry.dtype in _DTYPES


def _recorded(entry: Node, operands: tuple[Any, ...]) -> tuple[StagingTrace, Node] | None:
    """Record the expansion of an entry; the values it computes with are of no importance."""
    with new_trace(StagingTrace) as trace, np.errstate(all="ignore"):
        arguments = [
            trace.variable(example(o.shape, o.dtype)) if type(o) is Node else o for o in operands
        ]
        result = entry.primitive.expansion(*arguments, **entry.params)
        ours = isinstance(result, Tensor) and result.live_trace is trace
    if not ours or trace.guards or trace.problem or result.node in trace.inputs:
        return None
    node: Node = result.node
    return (trace, node) if (node.shape, node.dtype) == (entry.shape, entry.dtype) else None
