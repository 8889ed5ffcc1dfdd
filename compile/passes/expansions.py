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
from tapegrad.tape.core.bundles import output_p
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
    bundles: Bundles = {}
    for entry in program.entries:
        _place(rewriter, entry, bundles)
    return rewriter.finish()


#: The results of entries with several that were written out.
Bundles = dict[Node, tuple[Any, ...]]


def _place(rewriter: Rewriter, entry: Node, bundles: Bundles) -> None:
    """Append an entry, or what it stands for."""
    if entry.primitive is output_p and entry.operands[0] in bundles:
        rewriter.known[entry] = bundles[entry.operands[0]][entry.params["index"]]
        return
    operands = rewriter.operands(entry)
    parts = _recorded(entry, operands) if _has_parts(rewriter, entry, operands) else None
    if parts is None:
        rewriter.keep(entry, operands)
        return
    trace, results = parts
    nodes = (o for o in operands if type(o) is Node)
    rewriter.known.update(zip(trace.inputs, nodes))
    rewriter.weak |= trace.weak
    for part in trace.entries:
        part.where = entry.where
        _place(rewriter, part, bundles)
    if entry.primitive.multiple:
        bundles[entry] = rewriter.known_as(results)
    else:
        (rewriter.known[entry],) = rewriter.known_as(results)


def _has_parts(rewriter: Rewriter, entry: Node, operands: tuple[Any, ...]) -> bool:
    """Whether an entry is to be written out: what kernels have no dtype for is left to NumPy."""
    if entry.primitive.expansion is None or reduction_of(entry) is not None:
        return False
    if entry.primitive.multiple:
        return True
    nodes = [o for o in operands if type(o) is Node]
    if any(o in rewriter.weak or 0 in o.shape for o in nodes):
        return False
    floats = {o.dtype for o in operands if getattr(o, "dtype", _DTYPES[0]).kind == "f"}
    return floats == {entry.dtype} and entry.dtype in _DTYPES


def _recorded(
    entry: Node, operands: tuple[Any, ...]
) -> tuple[StagingTrace, tuple[Any, ...]] | None:
    """Record the expansion of an entry; the values it computes with are of no importance."""
    with new_trace(StagingTrace) as trace, np.errstate(all="ignore"):
        arguments = [
            trace.variable(example(o.shape, o.dtype)) if type(o) is Node else o for o in operands
        ]
        made = entry.primitive.expansion(*arguments, **entry.params)
        if entry.primitive.multiple:
            results = tuple(_node_or_constant(r, trace) for r in made)
            return None if trace.guards or trace.problem else (trace, results)
        ours = isinstance(made, Tensor) and made.live_trace is trace
    if not ours or trace.guards or trace.problem or made.node in trace.inputs:
        return None
    node: Node = made.node
    return (trace, (node,)) if (node.shape, node.dtype) == (entry.shape, entry.dtype) else None


def _node_or_constant(result: Any, trace: StagingTrace) -> Any:
    ours = isinstance(result, Tensor) and result.live_trace is trace
    return result.node if ours else np.asarray(result)
