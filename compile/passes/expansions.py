"""Expansions: entries that stand for several simpler ones, written out so that these fuse.

``mean``, ``var``, ``std`` and the p-norms become sums; an extreme whose gradient is shared is, going
forward, an extreme. What is left to NumPy is what kernels have no dtype for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.algebra.norms import norm_of_total_p
from tapegrad.ops.algebra.total_norm import norm_of_totals_p
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Shaped, primitives
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.rewriter import Rewriter
from tapegrad.tape.program.staging import StagingTrace

__all__ = ["expand", "is_norm_of_rows", "stage"]

_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


def expand(program: Program) -> Program:
    """Write out the entries that stand for several."""
    rewriter = Rewriter(program)
    for entry in program.entries:
        inputs = rewriter.operands(entry)
        rule = _EXPANSIONS.get(entry.primitive.name)
        if rule is None or not all(_fits(x, entry) for x in inputs):
            rewriter.keep(entry, inputs)
            continue
        work = _Expansion(rewriter, entry, inputs)
        rule(work)
        if not work.finished:
            rewriter.keep(entry, inputs)
    return rewriter.finish()


def stage(program: Program) -> Program:
    """Record a program anew as ``jit`` records functions: primitives that have a form in which they
    fuse are written out."""
    with new_trace(StagingTrace) as trace:
        values = []
        for node in program.inputs:
            array = example(node.shape, node.dtype)
            values.append(
                trace.variable(array, original=array.item() if node in program.weak else None)
            )
        outputs = [o.node if isinstance(o, Tensor) else o for o in program(*values)]
    return Program(trace.inputs, trace.entries, outputs, trace.weak)


def is_norm_of_rows(entry: Node) -> bool:
    """Whether an entry is a p-norm of rows, which kernels compute without overflow or underflow."""
    ord, axis, shape = entry.params["ord"], entry.params["axis"], entry.operands[0].shape
    long = [i for i, n in enumerate(shape) if n > 1]
    return 0 < ord < math.inf and any(i not in axis for i in long) and long[-1] in axis


def _fits(x: Any, output: Node) -> bool:
    return type(x) is Node and x.dtype == output.dtype and x.dtype in _DTYPES and 0 not in x.shape


class _Expansion:
    """Writes the entries that replace one."""

    def __init__(self, rewriter: Rewriter, entry: Node, inputs: tuple[Any, ...]) -> None:
        self.rewriter = rewriter
        self.entry = entry
        self.inputs = inputs
        self.x = inputs[0]
        self.params = entry.params
        self.dtype = entry.dtype
        self.finished = False

    def add(self, name: str, *inputs: Any, of: Any = None, **params: Any) -> Node:
        """Append an elementwise entry or a reduction, whose result has the dtype `of`."""
        shape = self._shape(name, inputs, params)
        like = Shaped(shape, np.dtype(of or self.dtype))
        return self.rewriter.add(primitives[name], inputs, params, like, self.entry.where)

    def _shape(self, name: str, inputs: Any, params: Any) -> tuple[int, ...]:
        if primitives[name].family != "reduction":
            return np.broadcast_shapes(*(x.shape for x in inputs if type(x) is Node))
        axis, shape = params["axis"], inputs[0].shape
        if params["keepdims"]:
            return tuple(1 if i in axis else n for i, n in enumerate(shape))
        return tuple(n for i, n in enumerate(shape) if i not in axis)

    def finish(self, primitive: Any, *inputs: Any, **params: Any) -> None:
        """Append the entry that makes the result."""
        if isinstance(primitive, str):
            primitive = primitives[primitive]
        self.rewriter.replace(self.entry, primitive, inputs, params)
        self.finished = True

    def reduced(self) -> dict[str, Any]:
        """Return the axes of a reduction, and whether they are kept."""
        return {"axis": self.params["axis"], "keepdims": self.params["keepdims"]}


# Statistics --------------------------------------------------------------------------------------


def _count(work: _Expansion) -> float:
    return float(math.prod(work.x.shape[a] for a in work.params["axis"]))


def _mean(work: _Expansion) -> None:
    total = work.add("sum", work.x, **work.reduced())
    work.finish("divide", total, _count(work))


def _squares(work: _Expansion) -> tuple[Node, Any]:
    """Return the sum of squared deviations, and what it is divided by."""
    axis = work.params["axis"]
    total = work.add("sum", work.x, axis=axis, keepdims=True)
    mean = work.add("divide", total, _count(work))
    deviation = work.add("subtract", work.x, mean)
    squares = work.add("multiply", deviation, deviation)
    free = np.float64(max(_count(work) - work.params["ddof"], 0.0)).astype(work.dtype)
    return work.add("sum", squares, **work.reduced()), free


def _var(work: _Expansion) -> None:
    work.finish("divide", *_squares(work))


def _std(work: _Expansion) -> None:
    work.finish("sqrt", work.add("divide", *_squares(work)))


# Norms -------------------------------------------------------------------------------------------


def _power(work: _Expansion, x: Node, ord: float) -> Node:
    """Append the powers of numbers that are not negative, as ``ops.norms`` computes them."""
    if ord == 1:
        return x
    if ord in (2, 3, 4):
        square = work.add("multiply", x, x)
        if ord == 2:
            return square
        return work.add("multiply", square, x if ord == 3 else square)
    if ord == 0.5:
        return work.add("sqrt", x)
    return work.add("power", x, ord)


def _finish_root(work: _Expansion, total: Node, ord: float) -> Node:
    if ord == 1:
        return total
    if ord == 2:
        return work.add("sqrt", total)
    if ord == 3:
        return work.add("cbrt", total)
    return work.add("power", total, 1.0 / ord)


def _vector_norm(work: _Expansion) -> None:
    ord, axis, keepdims = work.params["ord"], work.params["axis"], work.params["keepdims"]
    rank = len(work.x.shape)
    if not axis or math.isinf(ord):
        return
    if ord == 0:
        different = work.add("not_equal", work.x, 0.0, of=bool)
        counted = work.add("cast", different, dtype=work.dtype)
        work.finish("sum", counted, **work.reduced())
        return
    if is_norm_of_rows(work.entry):
        return  # kernels know it
    last = tuple(range(min(axis), rank)) == tuple(sorted(axis))
    if last and len(axis) < rank:
        _scaled_norm(work, ord, axis, keepdims)
    elif ord > 0:
        size = work.x if ord == 2 else work.add("absolute", work.x)
        total = work.add("sum", _power(work, size, ord), **work.reduced())
        work.finish(norm_of_total_p, total, work.x, **work.params)


def _scaled_norm(work: _Expansion, ord: float, axis: Any, keepdims: bool) -> None:
    """Divide by the element that counts most."""
    size = work.add("absolute", work.x)
    unit = work.add("max" if ord > 0 else "min", size, axis=axis, keepdims=True)
    positive = work.add("greater", unit, 0.0, of=bool)
    finite = work.add("less", unit, math.inf, of=bool)
    good = work.add("logical_and", positive, finite, of=bool)
    unit = work.add("where", good, unit, 1.0)
    powers = _power(work, work.add("divide", size, unit), ord)
    root = _finish_root(work, work.add("sum", powers, axis=axis, keepdims=True), ord)
    if keepdims:
        work.finish("multiply", unit, root)
    else:
        norm = work.add("multiply", unit, root)
        work.finish("reshape", norm, shape=work.entry.shape)


def _total_norm(work: _Expansion) -> None:
    ord = work.params["ord"]
    total: Any = None
    for x in work.inputs:
        size = x if ord == 2 else work.add("absolute", x)
        axis = tuple(range(len(x.shape)))
        part = _power(work, size, ord)
        if axis:
            part = work.add("sum", part, axis=axis, keepdims=False)
        total = part if total is None else work.add("add", total, part)
    work.finish(norm_of_totals_p, total, *work.inputs, ord=ord)


def _even_max(work: _Expansion) -> None:
    work.finish("max", work.x, **work.reduced())


def _even_min(work: _Expansion) -> None:
    work.finish("min", work.x, **work.reduced())


_EXPANSIONS: dict[str, Callable[[_Expansion], None]] = {
    "mean": _mean,
    "var": _var,
    "std": _std,
    "vector_norm": _vector_norm,
    "total_norm": _total_norm,
    "even_max": _even_max,
    "even_min": _even_min,
}
