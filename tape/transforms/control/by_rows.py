"""Arrays that a loop reads and writes at its index, as rows that the trips get and give.

A trip that reads ``x[i]`` takes an element out of the whole array, and its pullback puts one into a
whole array of zeros: n trips cost n * n. What lies at the index can come as a row instead, as what
:func:`scan` goes over, and what is stored at the index (``out[i] = y``) can go as one of its stacked
results. A row that was stored some trips before (``out[i - 1]``) is carried from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.paths import Hole, freeze_index
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Shaped, primitives
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.rewriter import Rewriter

__all__ = ["ByRows"]


class _Index(NamedTuple):
    """An index that moves with the trips: where it begins, and by how much it grows."""

    start: int
    step: int

    def rows(self, length: int, size: int) -> slice | None:
        """Return what lies at the index in so many trips; None if it leaves an axis or wraps."""
        last = self.start + self.step * (length - 1)
        low, high = min(self.start, last), max(self.start, last)
        if -size <= low and high < 0:
            return _Index(self.start + size, self.step).rows(length, size)
        if low < 0 or high >= size:
            return None
        stop = last + (1 if self.step > 0 else -1)
        return slice(self.start, None if stop < 0 else stop, self.step)


class _Buffer:
    """A carried array that the trips write at one index, and read at others.

    Attributes
    ----------
    place : int
        Among what is carried.
    written : _Index
    versions : dict of Node to Node
        Its states in a trip; each stands for the one that it was made of.
    """

    def __init__(self, place: int, written: _Index) -> None:
        self.place, self.written = place, written
        #: The row at the index, in each state.
        self.rows: dict[Node, Any] = {}
        #: What was stored so many trips before.
        self.earlier: list[Node] = []


class ByRows:
    """A scan, changed so that arrays at its index are rows.

    Parameters
    ----------
    program : Program
        Its body.
    start, rows, hidden : list
        The operands: what is carried, what it goes over, and what all trips read.
    length : int

    Attributes
    ----------
    program, start, rows, hidden
        The new ones.
    """

    def __init__(
        self, program: Program, start: list[Any], rows: list[Any], hidden: list[Any], length: int
    ) -> None:
        self.old, self.length, self.size = program, length, len(start)
        self._rewriter = Rewriter(program)
        self._start, self._rows, self._hidden = start, rows, hidden
        self._indices = self._find_indices()
        self._lasting = set(program.inputs[len(start) + len(rows) :])
        #: New rows: their inputs and what they are, by the array and where they begin.
        self._new: dict[tuple[int, int], tuple[Node, Any]] = {}
        self._carried: list[tuple[Node, Any, Any]] = []
        self._buffers = self._find_buffers()
        for node in program.entries:
            self._rewrite(node)
        self._finish()

    # What moves with the trips -------------------------------------------------------------------

    def _find_indices(self) -> dict[Node, _Index]:
        found: dict[Node, _Index] = {}
        for node, row in zip(self.old.inputs[self.size :], self._rows):
            if type(row) is np.ndarray and row.dtype == np.int64 and row.ndim == 1:
                steps = np.diff(row)
                if not steps.size or (steps == steps[0]).all():
                    step = int(steps[0]) if steps.size else 1
                    if step:
                        found[node] = _Index(int(row[0]), step)
        for node in self.old.entries:
            name = node.primitive.name if node.primitive is not None else ""
            if name in ("add", "subtract") and len(node.operands) == 2:
                a, b = node.operands
                if type(a) is Node and a in found and _is_int(b):
                    away = int(b) if name == "add" else -int(b)
                    found[node] = found[a]._replace(start=found[a].start + away)
                elif name == "add" and type(b) is Node and b in found and _is_int(a):
                    found[node] = found[b]._replace(start=found[b].start + int(a))
        return found

    def _at_index(self, node: Node, place: int) -> _Index | None:
        """Return where on its first axis an entry reads or writes, if that moves with the trips."""
        spec = node.params["spec"]
        if not spec or type(spec[0]) is not Hole or Hole() in spec[1:]:
            return None
        if len(node.operands) != place + 1 or node.params.get("path"):
            return None
        index = node.operands[place]
        return self._indices.get(index) if type(index) is Node else None

    # Carried arrays ------------------------------------------------------------------------------

    def _find_buffers(self) -> dict[Node, _Buffer]:
        uses: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.old.entries:
            for i, operand in enumerate(node.operands):
                if type(operand) is Node:
                    uses.setdefault(operand, []).append((node, i))
        found: dict[Node, _Buffer] = {}
        for place in range(self.size):
            versions = self._versions(place, uses)
            if versions is not None:
                written, nodes = versions
                buffer = _Buffer(place, written)
                found.update(dict.fromkeys(nodes, buffer))
        return found

    def _versions(
        self, place: int, uses: dict[Node, list[tuple[Node, int]]]
    ) -> tuple[_Index, list[Node]] | None:
        first, last = self.old.inputs[place], self.old.outputs[place]
        outputs = [o for o in self.old.outputs if type(o) is Node]
        nodes = [first]
        written: set[_Index] = set()
        reads: set[_Index] = set()
        for version in nodes:
            if version is not last and version in outputs:
                return None
            for node, operand in uses.get(version, ()):
                name = node.primitive.name  # type: ignore[union-attr]
                if operand:
                    return None
                if name == "copy":
                    nodes.append(node)
                elif name in ("write", "gather"):
                    index = self._at_index(node, 2 if name == "write" else 1)
                    if index is None:
                        return None
                    (written if name == "write" else reads).add(index)
                    if name == "write":
                        nodes.append(node)
                else:
                    return None
        if last not in nodes or outputs.count(last) > 1 or len(written) != 1:
            return None
        size = first.shape[0]
        if any(index.rows(self.length, size) is None for index in (*written, *reads)):
            return None
        return _normal(written.pop(), size), nodes

    # The new body --------------------------------------------------------------------------------

    def _add(self, name: str, operands: Sequence[Any], params: Any, shape: Any, dtype: Any) -> Node:
        like = Shaped(shape, dtype)
        return self._rewriter.add(primitives[name], tuple(operands), params, like, self._where)

    def _rewrite(self, node: Node) -> None:
        self._where = node.where
        name = node.primitive.name  # type: ignore[union-attr]
        base: Any = node.operands[0] if node.operands else None
        buffer = self._buffers.get(base) if type(base) is Node else None
        if buffer is not None and name in ("copy", "write", "gather"):
            if name == "copy":
                buffer.rows[node] = self._row(buffer, base)
            elif name == "write":
                buffer.rows[node] = self._written(buffer, node)
            else:
                self._rewriter.known[node] = self._read(buffer, node)
            return
        lasting = isinstance(base, np.ndarray) or base in self._lasting
        if name == "gather" and lasting:
            index = self._at_index(node, 1)
            if index is not None and index.rows(self.length, base.shape[0]) is not None:
                row = self._row_of(base, _normal(index, base.shape[0]))
                self._rewriter.known[node] = self._part(row, node)
                return
        self._rewriter.keep(node, self._rewriter.operands(node))

    def _row(self, buffer: _Buffer, version: Any) -> Any:
        """Return the row at the index, in a state of the array."""
        if version not in buffer.rows:
            buffer.rows[version] = self._row_of(self.old.inputs[buffer.place], buffer.written)
        return buffer.rows[version]

    def _row_of(self, array: Any, index: _Index) -> Node:
        """Return the input that stands for what lies at an index before the loop.

        `array` is an input, or a constant.
        """
        known = self._new.get((id(array), index.start))
        if known is None:
            whole = array
            if type(array) is Node:
                place = self.old.inputs.index(array)
                whole = [*self._start, *self._rows, *self._hidden][place]
            rows = whole[index.rows(self.length, array.shape[0])]
            known = self._new[id(array), index.start] = _input(array.shape[1:], array), rows
        return known[0]

    def _part(self, row: Any, node: Node) -> Any:
        """Return what is read of a row."""
        rest = node.params["spec"][1:]
        if not rest:
            return row
        return self._add("basic_index", (row,), {"spec": rest}, node.shape, node.dtype)

    def _written(self, buffer: _Buffer, node: Node) -> Any:
        row = self._row(buffer, node.operands[0])
        (value,) = self._rewriter.known_as(node.operands[1:2])
        rest, shape = node.params["spec"][1:], node.shape[1:]
        if rest:
            params = {"path": (), "spec": rest}
            return self._add("write", (row, value), params, shape, node.dtype)
        if type(value) is not Node:
            return np.broadcast_to(np.asarray(value, node.dtype), shape).copy()
        if value.dtype != node.dtype or value in self._rewriter.weak:
            value = self._add("cast", (value,), {"dtype": node.dtype}, value.shape, node.dtype)
        if value.shape != shape:
            value = self._add("broadcast_to", (value,), {"shape": shape}, shape, node.dtype)
        return value

    def _read(self, buffer: _Buffer, node: Node) -> Any:
        array = self.old.inputs[buffer.place]
        index = self._at_index(node, 1)
        assert index is not None
        index = _normal(index, array.shape[0])
        ago, between = divmod(buffer.written.start - index.start, index.step)
        if ago == 0 and not between:
            row = self._row(buffer, node.operands[0])
        elif ago > 0 and not between and ago < self.length:
            row = self._earlier(buffer, ago)
        else:
            row = self._row_of(array, index)
        return self._part(row, node)

    def _earlier(self, buffer: _Buffer, ago: int) -> Node:
        array = self.old.inputs[buffer.place]
        while len(buffer.earlier) < ago:
            away = len(buffer.earlier) + 1
            at = buffer.written.start - buffer.written.step * away
            new = _input(array.shape[1:], array)
            buffer.earlier.append(new)
            self._carried.append((new, self._start[buffer.place][at], (buffer, away)))
        return buffer.earlier[ago - 1]

    # What is left of the operands --------------------------------------------------------------------

    def _finish(self) -> None:
        old, known = self.old, self._rewriter.known
        buffers = {buffer.place: buffer for buffer in self._buffers.values()}
        self._kept = [i for i in range(self.size) if i not in buffers]
        self._gone = sorted(buffers.items())
        rows = [buffer.rows[old.outputs[i]] for i, buffer in self._gone]
        final = {id(buffer): row for (_, buffer), row in zip(self._gone, rows)}
        carried = [
            buffer.earlier[away - 2] if away > 1 else final[id(buffer)]
            for _, _, (buffer, away) in self._carried
        ]
        tests = [known.get(o, o) if type(o) is Node else o for o in old.outputs[self.size :]]
        kept = [old.outputs[i] for i in self._kept]
        ends = [known.get(o, o) if type(o) is Node else o for o in kept]
        later = old.inputs[self.size :]
        inputs = [
            *(old.inputs[i] for i in self._kept),
            *(node for node, *_ in self._carried),
            *later[: len(self._rows)],
            *(node for node, _ in self._new.values()),
            *later[len(self._rows) :],
        ]
        self.program = Program(
            inputs, self._rewriter.entries, [*ends, *carried, *tests, *rows], self._rewriter.weak
        )
        self.program = self.program.select(self.program.outputs)
        self.start = [self._start[i] for i in self._kept] + [value for _, value, _ in self._carried]
        self.rows = [*self._rows, *(rows for _, rows in self._new.values())]
        self.hidden = self._hidden

    def ends(self, results: Sequence[Any]) -> list[Any]:
        """Return what is carried at the end of the old loop, from all results of the new one."""
        ends: dict[int, Any] = dict(zip(self._kept, results))
        for (place, buffer), rows in zip(self._gone, results[len(results) - len(self._gone) :]):
            before = self._start[place]
            spec = freeze_index((buffer.written.rows(self.length, before.shape[0]),))
            ends[place] = bind(primitives["write"], before, rows, path=(), spec=spec)
        return [ends[place] for place in range(self.size)]


def _is_int(value: Any) -> bool:
    return type(value) is not Node and np.ndim(value) == 0 and np.asarray(value).dtype.kind == "i"


def _normal(index: _Index, size: int) -> _Index:
    """Return an index that counts from the front."""
    return index._replace(start=index.start + size) if index.start < 0 else index


def _input(shape: tuple[int, ...], like: Any) -> Node:
    new = Node(None, (), {}, (), shape, like.dtype)
    new.constant = like.dtype.kind not in CONTINUOUS
    return new
