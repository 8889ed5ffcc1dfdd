"""What unrolled loops leave: many small products become few large ones.

A library call takes a microsecond before it begins, and small matrices do not fill its registers. What a
loop multiplies by one matrix in each trip is multiplied at once, if it does not depend on the trips
before; and a sum of products is one product of the factors side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tapegrad.compile.passes.layout import shown
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.rewriter import Rewriter

__all__ = ["multiply_at_once", "sum_at_once"]

#: From how many products on it is worth it.
FEWEST = 4
#: Multiplications of a product that is large enough by itself.
LARGE = 1 << 20


class _Like(NamedTuple):
    """Shape and dtype of a value."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def multiply_at_once(program: Program) -> Program:
    """Multiply the slices of an array by a matrix together."""
    together: dict[Any, list[Node]] = {}
    seen = shown(program)
    for entry in program.entries:
        if entry not in seen and _is_slice_times_matrix(entry):
            part, matrix = entry.operands
            together.setdefault((part.operands[0], matrix), []).append(entry)
    groups = {
        entry: entries
        for (whole, _), entries in together.items()
        if len(entries) >= max(FEWEST, whole.shape[0] // 2)
        for entry in entries
    }
    if not groups:
        return program
    rewriter = Rewriter(program)
    made: dict[Node, Node] = {}
    for entry in program.entries:
        if entry not in groups:
            rewriter.keep(entry, rewriter.operands(entry))
            continue
        first = groups[entry][0]
        if first not in made:
            made[first] = _product_of_all(rewriter, first)
        spec = entry.operands[0].params["spec"]
        rewriter.replace(entry, primitives["basic_index"], (made[first],), {"spec": spec})
    return rewriter.finish()


def _is_slice_times_matrix(entry: Node) -> bool:
    if entry.primitive.name != "matmul":
        return False
    part, matrix = entry.operands
    if type(matrix) is not Node or not _is_slice(part):
        return False
    whole = part.operands[0]
    return len(matrix.shape) == 2 and len(whole.shape) in (2, 3) and 0 not in whole.shape


def _product_of_all(rewriter: Rewriter, entry: Node) -> Node:
    """Append the product of a whole array with a matrix, where `entry` has one slice of it."""
    part, matrix = entry.operands
    whole, matrix = rewriter.known_as((part.operands[0], matrix))
    rows = int(np.prod(whole.shape[:-1]))
    columns, dtype, where = matrix.shape[-1], entry.dtype, entry.where
    matmul, reshape = primitives["matmul"], primitives["reshape"]
    if len(whole.shape) == 2:
        return rewriter.add(matmul, (whole, matrix), {}, _Like((rows, columns), dtype), where)
    flat = _Like((rows, whole.shape[-1]), whole.dtype)
    flattened = rewriter.add(reshape, (whole,), {"shape": flat.shape}, flat, where)
    product = rewriter.add(matmul, (flattened, matrix), {}, _Like((rows, columns), dtype), where)
    shape = (*whole.shape[:-1], columns)
    return rewriter.add(reshape, (product,), {"shape": shape}, _Like(shape, dtype), where)


def sum_at_once(program: Program) -> Program:
    """Make a sum of products of matrices one product of the factors side by side."""
    uses: dict[Node, int] = {}
    for values in (program.outputs, *(entry.operands for entry in program.entries)):
        for value in values:
            if type(value) is Node:
                uses[value] = uses.get(value, 0) + 1
    rewriter = Rewriter(program)
    inside: set[Node] = set()
    sums: dict[Node, list[Node]] = {}
    for entry in reversed(program.entries):
        if entry in inside or not _is_sum(entry):
            continue
        adds, terms = _terms(entry, uses)
        products = [term for term in terms if uses.get(term) == 1 and _is_small_product(term)]
        if len(products) >= FEWEST:
            sums[entry] = terms
            inside.update(adds, products)
    if not sums:
        return program
    for entry in program.entries:
        if entry in sums:
            _add_up(rewriter, entry, sums[entry], inside)
        elif entry not in inside:
            rewriter.keep(entry, rewriter.operands(entry))
    return rewriter.finish()


def _is_sum(entry: Node) -> bool:
    like = entry.shape, entry.dtype
    alike = all(type(o) is Node and (o.shape, o.dtype) == like for o in entry.operands)
    return entry.primitive.name == "add" and len(entry.shape) == 2 and alike


def _terms(entry: Node, uses: dict[Node, int]) -> tuple[list[Node], list[Node]]:
    """Return the additions that lead to a sum and nowhere else, and what they add, in order."""
    adds: list[Node] = []
    terms: list[Node] = []
    waiting = [entry]
    while waiting:
        node = waiting.pop()
        if node is entry or (node.primitive is not None and _is_sum(node) and uses[node] == 1):
            if node is not entry:
                adds.append(node)
            waiting.extend(reversed(node.operands))
        else:
            terms.append(node)
    return adds, terms


def _is_small_product(entry: Node) -> bool:
    if entry.primitive is None or entry.primitive.name != "matmul":
        return False
    a, b = entry.operands
    alike = type(a) is Node and type(b) is Node and len(a.shape) == len(b.shape) == 2
    return alike and a.dtype == b.dtype and a.shape[0] * a.shape[1] * b.shape[1] < LARGE


def _add_up(rewriter: Rewriter, entry: Node, terms: list[Node], inside: set[Node]) -> None:
    """Append a sum as one product, to which the terms are added that are none."""
    products = [term for term in terms if term in inside]
    whole = _whole(products)
    if whole is not None:
        products.sort(key=_slice_number)
    left, right = (list(rewriter.known_as(side)) for side in zip(*(p.operands for p in products)))
    if whole is None:
        rows, turned = _side_by_side(rewriter, left, entry)
    else:
        (whole,) = rewriter.known_as((whole,))
        like = _Like((whole.shape[0] * whole.shape[1], whole.shape[2]), whole.dtype)
        flat = {"shape": like.shape}
        rows = rewriter.add(primitives["reshape"], (whole,), flat, like, entry.where)
        turned = True
    columns = _joined(rewriter, right, 0, entry)
    if turned:
        shape = rows.shape[::-1]
        rows = rewriter.add(
            primitives["transpose"],
            (rows,),
            {"axes": (1, 0)},
            _Like(shape, rows.dtype),
            entry.where,
        )
    total = rewriter.add(primitives["matmul"], (rows, columns), {}, entry, entry.where)
    for term in terms:
        if term not in inside:
            (other,) = rewriter.known_as((term,))
            total = rewriter.add(entry.primitive, (total, other), entry.params, entry, entry.where)
    rewriter.known[entry] = total


def _whole(products: list[Node]) -> Node | None:
    """Return the array all of whose slices, transposed, are on the left of the products, if any."""
    sources = list(_transposed([product.operands[0] for product in products]))
    if len(sources) < len(products) or not all(map(_is_slice, sources)):
        return None
    wholes = {source.operands[0] for source in sources}
    numbers = sorted(source.params["spec"][0] for source in sources)
    (whole, *others) = wholes
    alone = not others and len(whole.shape) == 3 and numbers == list(range(whole.shape[0]))
    return whole if alone else None


def _slice_number(product: Node) -> int:
    return product.operands[0].operands[0].params["spec"][0]  # type: ignore[no-any-return]


def _is_slice(part: Any) -> bool:
    """Whether a value is one of the arrays that an array is made of."""
    if type(part) is not Node or part.primitive is None or part.primitive.name != "basic_index":
        return False
    spec = part.params["spec"]
    return type(part.operands[0]) is Node and len(spec) == 1 and type(spec[0]) is int


def _side_by_side(rewriter: Rewriter, parts: list[Node], entry: Node) -> tuple[Node, bool]:
    """Join matrices along their columns; if all are transposed, what they are transposed from."""
    sources = list(_transposed(parts))
    if len(sources) == len(parts):
        return _joined(rewriter, sources, 0, entry), True
    return _joined(rewriter, parts, 1, entry), False


def _transposed(parts: list[Node]) -> Iterator[Node]:
    for part in parts:
        if part.primitive is not None and part.primitive.name == "transpose":
            yield part.operands[0]


def _joined(rewriter: Rewriter, parts: list[Node], axis: int, entry: Node) -> Node:
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    like = _Like(tuple(shape), parts[0].dtype)
    return rewriter.add(primitives["concatenate"], tuple(parts), {"axis": axis}, like, entry.where)
