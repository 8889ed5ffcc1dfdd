"""Compression: jacobians from few vectors, by the pattern that is read off the graph of a pullback.

A :class:`Graph` is what a pullback sweeps, as a linear list of entries. Its *pattern* follows from what
the primitives declare about dependence. A :class:`Scheme` says which sums of rows, or of columns, to
compute, and where each element of the matrix is found in them. It belongs to one list of entries with
the same indices: another branch gives another list, and another scheme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.bundles import output_p
from tapegrad.tape.core.dependence import MOVING, READING, Applied, labels_of
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.patterns import Pattern, compressed_rows
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.program.content import bodies
from tapegrad.tape.transforms.colouring import coloured, least, symmetrically_coloured
from tapegrad.tape.transforms.pullbacks import Pullback
from tapegrad.tape.transforms.reverse_mode import ReverseTrace

__all__ = ["FlatTrace", "Graph", "Scheme", "scheme_of"]


class FlatTrace(ReverseTrace):
    """A recording in which the calls of programs are written out."""

    def process(
        self, primitive: Primitive, args: Any, params: Any, constant: bool | None = None
    ) -> Any:
        """Link the result, or those of the entries of a program that is called."""
        if primitive.expansion is not None and any(bodies(params)):
            return primitive.expansion(*args, **params)
        return super().process(primitive, args, params, constant)


class Graph:
    """What a pullback sweeps, from the arguments to the results.

    Attributes
    ----------
    inputs, outputs : list of Node
        The outputs are None where no argument has a part in a result.
    shapes : list of tuple
        Of all results.
    nodes : list of Node
        In order of execution.
    """

    def __init__(self, pullback: Pullback) -> None:
        self.inputs, self.outputs, self.shapes = pullback.ends()
        self.nodes = pullback.nodes()

    @cached_property
    def _numbers(self) -> dict[Node, int]:
        return {node: i for i, node in enumerate(dict.fromkeys([*self.inputs, *self.nodes]))}

    @cached_property
    def text(self) -> list[Any]:
        """What the entries are, and the indices among their operands, to be compared with others."""
        numbers: dict[Any, int] = dict(self._numbers)
        parts: list[Any] = [tuple(node.shape for node in self.inputs), self.shapes]
        parts.append([numbers.get(node) for node in self.outputs])
        for node in self.nodes:
            links = tuple([numbers.get(source) for source in node.inputs])
            kept = tuple([getattr(s, "shape", None) for s in node.saved[1:]])
            parts.append((node.primitive, node.params, links, node.shape, kept))
        return parts

    @cached_property
    def indices(self) -> list[Any]:
        """The integers and booleans that dependences read."""
        return [_known(s) for n in self.nodes if _reads(n) for s in n.saved[1:] if _is_index(s)]

    def patterns(self, leaves: Sequence[Node]) -> list[Pattern]:
        """Return the patterns of the results, whose columns are the elements of `leaves`."""
        known: dict[Any, Any] = {}
        start = 0
        for leaf in leaves:
            known[leaf] = Pattern(leaf.size, [np.arange(start, start + leaf.size, dtype=np.int32)])
            start += leaf.size
        last = {source: node for node in self.nodes for source in node.inputs}
        for node in self.nodes:
            if node in known or not node.inputs:
                continue
            known[node] = _pattern_of(node, known)
            for source in node.inputs:
                if last[source] is node and source not in self.outputs:
                    known.pop(source, None)
        return [
            known.get(node) or Pattern(math.prod(shape))
            for node, shape in zip(self.outputs, self.shapes)
        ]

    def named(self, numbers: Sequence[int]) -> list[Node]:
        """Return nodes by their numbers in the text."""
        nodes = list(self._numbers)
        return [nodes[i] for i in numbers]

    def numbers(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """Return the numbers of nodes in the text."""
        return tuple([self._numbers[node] for node in nodes])

    def frontier(self) -> tuple[list[Node], Any]:
        """Return the last nodes that only move elements of the arguments, and which these are.

        A function is one of such elements: of them, its jacobian needs fewer rows.
        """
        start, moved = 0, {}
        for node in self.inputs:
            moved[node] = np.arange(start, start + node.size, dtype=np.int32)
            start += node.size
        used = {node for node in self.outputs if node is not None}
        for node in self.nodes:
            if not node.inputs:
                continue
            places = _moved_by(node, moved)
            if places is not None:
                moved[node] = places
            else:
                used.update(source for source in node.inputs if source in moved)
        ends = [node for node in moved if node in used]
        places = [moved[node] for node in ends]
        return ends, np.concatenate(places) if places else np.zeros(0, np.int32)


def _reads(node: Node) -> bool:
    return node.primitive is not None and node.primitive.dependence in READING


def _is_index(saved: Any) -> bool:
    return isinstance(saved, np.ndarray | Tensor) and saved.dtype.kind in "iub"


def _known(saved: Any) -> Any:
    """Return indices by value, as they are now."""
    return np.array(saved.consume("index") if isinstance(saved, Tensor) else saved)


def _applied(node: Node) -> Applied:
    reads, args = _reads(node), []
    for link, saved in zip(node.inputs, node.saved[1:]):
        known = saved if link is None else link
        args.append(_known(known) if reads and _is_index(known) else known)
    return Applied(node.primitive, args, node.shape, node.params)


def _pattern_of(node: Node, known: dict[Any, Pattern]) -> Pattern:
    """Return the pattern of a result from those of its operands."""
    size = node.size
    if node.primitive is output_p:  # of several results, each depends on all that their entry reads
        bundle = known[node.inputs[0]]
        return bundle.through(None, np.zeros(size, np.int32), size)
    applied = _applied(node)
    parts = []
    for i, source in enumerate(node.inputs):
        pattern = known.get(source)
        if source is None or pattern is None:
            continue
        if node.primitive.multiple:
            parts.append(pattern.through(np.zeros(pattern.count, np.int32), None, 1))
        else:
            parts.append(pattern.through(*labels_of(applied, i), size))
    count = 1 if node.primitive.multiple else size
    return Pattern.union(parts, count) if parts else Pattern(count)


def _moved_by(node: Node, moved: dict[Node, Any]) -> Any:
    """Return of which arguments' elements a node consists, -1 for constants; None if it computes."""
    sources = [source for source in node.inputs if source is not None]
    moves = node.primitive.dependence in MOVING and node.primitive is not output_p
    if not moves or not all(source in moved for source in sources):
        return None
    applied, places = _applied(node), np.full(node.size, -1, np.int32)
    for i, source in enumerate(node.inputs):
        if source is not None and source.size:
            _, taken = labels_of(applied, i)
            places = np.where(taken >= 0, moved[source][taken], places)
    return places


@dataclass(frozen=True, slots=True)
class Scheme:
    """How to compute a sparse matrix.

    Attributes
    ----------
    graph : tuple
        The text and the indices of the graph to which it belongs.
    indices, indptr : array
        Its pattern, by compressed rows.
    shape : tuple of int
    way : str
        "rows", "columns", or "cut": rows, by the elements on the frontier.
    colours : array
        Of the rows, or of the columns.
    number : int
        How many colours there are.
    places : list of array
        An element is the sum of what stands at these places in the flat compressed matrix, of which
        those below 0 count nothing.
    ends : tuple of int
        The nodes on the frontier, by number.
        What it belongs to.
    """

    graph: tuple[Any, Any]
    indices: Any
    indptr: Any
    shape: tuple[int, int]
    way: str
    colours: Any
    number: int
    places: list[Any]
    ends: tuple[int, ...]

    def fits(self, graph: Graph) -> bool:
        """Whether a graph is the one of the scheme, but for its numbers."""
        text, indices = self.graph
        if len(indices) != len(graph.indices):
            return False
        same = all(np.array_equal(a, b) for a, b in zip(indices, graph.indices))
        return same and bool(text == graph.text)


def scheme_of(graph: Graph, *, symmetric: bool) -> Scheme:
    """Return how to compute the jacobian of a graph with the fewest vectors.

    Of a symmetric matrix, each element has to be found on one side of the diagonal alone.
    """
    sizes = [node.shape for node in graph.inputs]
    count = sum(map(math.prod, sizes))
    indices, indptr = compressed_rows(graph.patterns(graph.inputs))
    height = len(indptr) - 1
    rows = np.repeat(np.arange(height, dtype=np.int32), np.diff(indptr))
    identity = (graph.text, graph.indices)
    if symmetric:
        rows, indices, indptr = _symmetrised(rows, indices, indptr)
        colours, colour, column = symmetrically_coloured(rows, indices, sizes)
        number = int(colours[rows].max(initial=-1)) + 1
        way: Any = "rows", colours, number, [_flat(colour, count, column)], ()
    else:
        ways = sorted(_ways(graph, rows, indices, indptr, count), key=lambda way: way.least)
        best = ways[0]
        for other in ways[1:]:
            if other.least < best.number and other.number < best.number:
                best = other
        way = best.name, best.colours, best.number, best.places(), best.ends
    return Scheme(identity, indices, indptr, (height, count), *way)


def _symmetrised(rows: Any, columns: Any, indptr: Any) -> Any:
    """Return the pattern with the transposed one, in order."""
    count = len(indptr) - 1
    order = np.argsort(columns, kind="stable")  # of the transposed pattern
    if np.array_equal(columns[order], rows) and np.array_equal(rows[order], columns):
        return rows, columns, indptr
    keys = np.union1d(rows * np.int64(count) + columns, columns * np.int64(count) + rows)
    rows, columns = (keys // count).astype(np.int32), (keys % count).astype(np.int32)
    return rows, columns, np.searchsorted(rows, np.arange(count + 1)).astype(np.int32)


class _Way:
    """One way to compress a matrix."""

    def __init__(
        self,
        name: str,
        items: Any,
        constraints: Any,
        shapes: Any,
        places: Callable[[Any], list[Any]],
        ends: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.ends = ends
        self.least = least(constraints)
        self._of = items, constraints, shapes
        self._places = places

    @cached_property
    def colours(self) -> Any:
        return coloured(*self._of)

    @cached_property
    def number(self) -> int:
        return int(self.colours[self._of[0]].max(initial=-1)) + 1

    def places(self) -> list[Any]:
        return self._places(self.colours)


def _ways(graph: Graph, rows: Any, columns: Any, indptr: Any, count: int) -> list[_Way]:
    height = len(indptr) - 1
    inputs = [node.shape for node in graph.inputs]
    ways = [
        _Way("rows", rows, columns, graph.shapes, lambda c: [_flat(c[rows], count, columns)]),
        _Way("columns", columns, rows, inputs, lambda c: [_flat(c[columns], height, rows)]),
    ]
    if min(way.least for way in ways) > 1:
        cut = _cut(graph, rows, columns, count)
        ways += [cut] if cut is not None else []
    return ways


def _flat(colours: Any, width: int, places: Any) -> Any:
    """Return places in a flat compressed matrix."""
    return colours.astype(np.int64) * width + places


def _cut(graph: Graph, rows: Any, columns: Any, count: int) -> _Way | None:
    """Return the way by the elements on the frontier; None if these are the arguments."""
    ends, moved = graph.frontier()
    if ends == graph.inputs:
        return None
    inner, indptr = compressed_rows(graph.patterns(ends))
    inner_rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    rows = rows.astype(np.int64)
    if (moved[inner] < 0).any():  # constants among the moved elements have no column
        kept = moved[inner] >= 0
        inner, inner_rows = inner[kept], inner_rows[kept]
    targets = np.searchsorted(rows * count + columns, inner_rows * count + moved[inner])
    order = np.argsort(targets, kind="stable")
    targets = targets[order]
    starts = np.searchsorted(targets, np.arange(len(columns)))
    repeated = np.arange(len(targets)) - starts[targets]
    width = len(moved)

    def places(colours: Any) -> list[Any]:
        found = _flat(colours[inner_rows[order]], width, inner[order])
        parts = []
        for k in range(int(repeated.max(initial=0)) + 1):
            part = np.full(len(columns), -1, np.int64)
            part[targets[repeated == k]] = found[repeated == k]
            parts.append(part)
        return parts

    return _Way("cut", inner_rows, inner, graph.shapes, places, graph.numbers(ends))
