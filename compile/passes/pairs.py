"""Complex numbers as pairs of real ones, of which kernels can be made.

What would be a library call for each operation becomes operations on real and imaginary parts, which
fuse with what is real around them. The parts of arguments are copied, for loops over every second number
do not vectorise; where a complex array is asked for, the parts are written into one. That has its price:
connected operations are taken apart together, if there are enough of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.compile.passes.expansions import expand
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import Abandoned
from tapegrad.tape.core.location import current_line
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, Shaped, primitives
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.rewriter import Rewriter
from tapegrad.tape.program.staging import StagingTrace

__all__ = ["split_complex"]

#: What NumPy's loops take, as multiples of those for a sum.
SLOW = {"exp": 6, "divide": 2, "reciprocal": 2}
#: What a kernel takes, to copy the parts of an array, and to write them into one.
KERNEL, READING, WRITING = 1, 1, 2


def _of_part(name: str) -> Any:
    return lambda args, params: f"np.array({args[0]}.{name})"


def _join(re: Any, im: Any, *, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    out = np.empty(shape, dtype)
    out.real, out.imag = re, im
    return out


# These take part in no trace.
copied_parts = {
    "real": Primitive(
        "real_copy", lambda z: np.array(z.real), source=_of_part("real"), register=False
    ),
    "imag": Primitive(
        "imag_copy", lambda z: np.array(z.imag), source=_of_part("imag"), register=False
    ),
}
joined_p = Primitive(
    "joined",
    _join,
    source=lambda args, params: f"{args[0]} + 1j * {args[1]}",
    register=False,
)


def split_complex(program: Program) -> Program:
    """Take complex operations apart, where enough of them hang together."""
    chosen = _chosen(program)
    return expand(_Splitter(program, chosen).run()) if chosen else program


def _dtype_of(operand: Any) -> np.dtype[Any]:
    return operand.dtype if hasattr(operand, "dtype") else np.asarray(operand).dtype


def _is_complex(operand: Any) -> bool:
    return _dtype_of(operand).kind == "c"


def _can_split(entry: Node) -> bool:
    if entry.primitive.pairs is None or 0 in entry.shape:
        return False
    arrays = [o for o in entry.operands if type(o) is Node and o.shape]
    if not arrays or not (_is_complex(entry) or any(map(_is_complex, entry.operands))):
        return False
    return all(_dtype_of(o).char in "?bhilBHILfdFD" for o in (*entry.operands, entry))


def _chosen(program: Program) -> set[Node]:
    """Return the entries that are worth it, by the parts of the program that hang together."""
    results = set(program.results())  # of which views share memory with each other
    candidates = [
        entry
        for entry in program.entries
        if _can_split(entry) and not (entry.primitive.view and entry in results)
    ]
    if not candidates:
        return set()
    parent: dict[Node, Node] = {entry: entry for entry in candidates}

    def root(entry: Node) -> Node:
        while parent[entry] is not entry:
            entry = parent[entry]
        return entry

    for entry in candidates:
        for operand in entry.operands:
            if type(operand) is Node and operand in parent and _is_complex(operand):
                parent[root(entry)] = root(operand)
    gain: dict[Node, int] = {}
    read: set[tuple[Node, Node]] = set()
    for entry in candidates:
        whole = root(entry)
        weight = 0 if entry.primitive.view else SLOW.get(entry.primitive.name, 1)
        gain[whole] = gain.get(whole, -KERNEL) + weight
        for operand in entry.operands:
            if type(operand) is Node and operand not in parent and _is_complex(operand):
                gain[whole] -= READING * ((whole, operand) not in read)
                read.add((whole, operand))
    asked = {o for o in program.results() if type(o) is Node}
    for entry in program.entries:
        if entry not in parent:
            asked.update(o for o in entry.operands if type(o) is Node)
    for entry in candidates:
        if entry in asked and _is_complex(entry) and entry.shape:
            gain[root(entry)] -= WRITING
    return {entry for entry in candidates if gain[root(entry)] > 0}


class _Splitter:
    """The rewriting of a program in which some entries are taken apart."""

    def __init__(self, program: Program, chosen: set[Node]) -> None:
        self.rewriter = Rewriter(program)
        self.chosen = chosen
        self.pairs: dict[Node, tuple[Any, Any]] = {}

    def run(self) -> Program:
        program, rewriter = self.rewriter.program, self.rewriter
        for entry in program.entries:
            if entry in self.chosen:
                self.split(entry)
            else:
                self.join(entry.operands, entry.where)
                rewriter.keep(entry, rewriter.operands(entry))
        self.join(program.results(), None)
        return rewriter.finish()

    def join(self, values: Iterable[Any], where: Any) -> None:
        """Make complex arrays of those values that there are only in parts."""
        for value in values:
            if type(value) is Node and value in self.pairs and value not in self.rewriter.known:
                params = {"shape": value.shape, "dtype": value.dtype}
                parts = self.pairs[value]
                self.rewriter.known[value] = self.rewriter.add(
                    joined_p, parts, params, value, where or value.where
                )

    def parts(self, operand: Any, dtype: np.dtype[Any], where: Any) -> tuple[Any, Any]:
        """Return real and imaginary part of an operand, in a real dtype."""
        if type(operand) is not Node:
            if type(operand) is complex:
                return operand.real, operand.imag
            if not hasattr(operand, "dtype"):
                return operand, dtype.type(0)
            return tuple(np.asarray(p, dtype)[...] for p in (operand.real, operand.imag))  # type: ignore[return-value]
        if operand not in self.pairs:
            value = self.rewriter.known.get(operand, operand)
            if _is_complex(operand):
                like = Shaped(operand.shape, np.zeros(0, operand.dtype).real.dtype)
                pair = tuple(
                    self.rewriter.add(copied_parts[name], (value,), {}, like, where)
                    for name in ("real", "imag")
                )
                self.pairs[operand] = pair  # type: ignore[assignment]
                self.rewriter.known[operand] = value
            else:
                return self.cast(value, dtype, where), dtype.type(0)
        re, im = self.pairs[operand]
        return self.cast(re, dtype, where), self.cast(im, dtype, where)

    def cast(self, value: Any, dtype: np.dtype[Any], where: Any) -> Any:
        """Return a real value in another dtype; Python's numbers are weak, and stay."""
        if type(value) is not Node or value.dtype == dtype or value in self.rewriter.weak:
            return value
        like = Shaped(value.shape, dtype)
        return self.rewriter.add(primitives["cast"], (value,), {"dtype": dtype}, like, where)

    def split(self, entry: Node) -> None:
        """Append the operations on parts that stand for an entry."""
        dtypes = [
            _dtype_of(o) for o in entry.operands if type(o) not in (int, float, bool, complex)
        ]
        widest = entry.dtype if _is_complex(entry) else np.result_type(*dtypes)
        dtype = np.zeros(0, widest).real.dtype
        pairs = [
            (self.rewriter.known.get(o, o), None)  # a condition
            if type(o) is Node and o.dtype == bool and not entry.primitive.differentiable_in(i)
            else self.parts(o, dtype, entry.where)
            for i, o in enumerate(entry.operands)
        ]
        recorded = self.recorded(entry, pairs)
        if recorded is None:
            self.join(entry.operands, entry.where)
            self.rewriter.keep(entry, self.rewriter.operands(entry))
            return
        trace, given, found = recorded
        known = dict(zip(trace.inputs, given))
        self.rewriter.weak |= trace.weak - set(trace.inputs)
        for part in trace.entries:
            operands = tuple(known.get(o, o) if type(o) is Node else o for o in part.operands)
            known[part] = self.rewriter.add(part.primitive, operands, part.params, part, part.where)
        values = [known.get(o, o) if type(o) is Node else o for o in found]
        if _is_complex(entry):
            self.pairs[entry] = (values[0], values[1])
        else:
            self.rewriter.known[entry] = values[0]

    def recorded(self, entry: Node, pairs: list[Any]) -> Any:
        """Record what an entry is of parts; the values it computes with are of no importance."""
        weak, given = self.rewriter.weak, []

        def as_input(part: Any) -> Any:
            if type(part) is not Node:
                return part
            given.append(part)
            array = example(part.shape, part.dtype)
            return trace.variable(array, original=array.item() if part in weak else None)

        line = current_line.set(entry.where)
        try:
            with new_trace(StagingTrace) as trace, np.errstate(all="ignore"):
                arguments = [(as_input(re), as_input(im)) for re, im in pairs]
                found = entry.primitive.pairs(*arguments, **entry.params)
                results = found if type(found) is tuple else (found,)
                results = tuple(self.whole(r, entry) for r in results)
                ours = all(isinstance(r, Tensor) and r.live_trace is trace for r in results)
        except Abandoned:
            return None
        finally:
            current_line.reset(line)
        real = np.zeros(0, entry.dtype).real.dtype
        if not ours or trace.guards or any(r.dtype != real for r in results):
            return None
        return trace, given, [r.node for r in results]

    @staticmethod
    def whole(part: Any, entry: Node) -> Any:
        """Return a part in the shape of the result: that of a real operand may have fewer axes."""
        if math.prod(np.shape(part)) == math.prod(entry.shape) and np.shape(part) == entry.shape:
            return part
        return np.broadcast_to(part, entry.shape)
