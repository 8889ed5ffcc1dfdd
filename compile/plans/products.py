"""Products in plans: contractions as matrix products, and stacks of these on several threads.

What NumPy's functions do is left to them; here it is decided how they are called.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.core.node import Node
from tapegrad.tape.core.threads import pool

__all__ = ["as_called", "matmul"]

#: Multiplications from which on a stack of products is shared among threads: some 200 us of work.
WORTH_SHARING = 1 << 23
#: Elements of a matrix that is copied without a thought.
SMALL = 1 << 16
#: From how many on a contraction is worth the calls around a matrix product.
WORTH_ARRANGING = 512


def as_called(entry: Node) -> Any:
    """Return a function that computes a product as its own would, but faster; None if there is none."""
    shapes = [np.shape(o) for o in entry.operands]
    if entry.dtype.kind not in "f" or any(
        getattr(o, "dtype", None) != entry.dtype for o in entry.operands
    ):
        return None
    if entry.primitive.name == "matmul":
        return matmul if _is_shared(entry.shape, shapes[0][-1]) else None
    if entry.primitive.name == "einsum":
        return _Contraction.of(entry.params["subscripts"], shapes)
    return None


def _is_shared(shape: tuple[int, ...], inner: int) -> bool:
    """Whether a stack of products is large enough to be shared among threads."""
    return len(shape) > 2 and shape[0] > 1 and math.prod(shape) * inner >= WORTH_SHARING


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """Multiply stacks of matrices; parts of a large stack are done by several threads.

    Each product is one call of the library's, so that the result does not depend on their number. Small
    matrices that lie transposed on the right are copied: the library would use threads of its own for
    each of them, which takes ten times as long where other processes run.
    """
    small = b.ndim > 2 and b.shape[-1] * b.shape[-2] <= SMALL
    if small and b.strides[-1] != b.itemsize:
        b = np.ascontiguousarray(b)
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    if out is None:
        out = np.empty(shape, np.result_type(a, b))
    count = min(shape[0], 2 * pool.count) if _is_shared(shape, a.shape[-1]) else 1
    if count == 1:
        return np.matmul(a, b, out=out)
    bounds = [i * shape[0] // count for i in range(count + 1)]

    def run(lo: int, hi: int) -> None:
        parts = [x[lo:hi] if x.ndim == len(shape) and x.shape[0] > 1 else x for x in (a, b)]
        np.matmul(parts[0], parts[1], out=out[lo:hi])

    pool.share([partial(run, *part) for part in itertools.pairwise(bounds)], pool.count)
    return out


class _Contraction(NamedTuple):
    """A sum of products of two arrays, as a stack of matrix products.

    Attributes
    ----------
    first, second : tuple of int
        The axes of the operands in the order: those of the stack, then of the rows and of the sum, or of
        the sum and of the columns.
    swapped : bool
        Whether the second operand makes the rows.
    shapes : pair of tuple of int
        As matrices, in stacks.
    shape : tuple of int
        Of the result.
    order : tuple of int
        The axes of the result in the order stack, rows, columns.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    swapped: bool
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    shape: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def of(cls, subscripts: str, shapes: Sequence[tuple[int, ...]]) -> _Contraction | None:
        """Arrange a contraction; None if it is no matrix product."""
        operands, _, result = subscripts.replace(" ", "").partition("->")
        terms = operands.split(",")
        if len(terms) != 2 or not result or "." in subscripts:
            return None
        if any(len(set(term)) < len(term) for term in (*terms, result)):
            return None
        a, b = map(set, terms)
        summed, stacked = (a & b) - set(result), [i for i in result if i in a & b]
        if not summed or not set(result) >= (a | b) - summed:
            return None
        sizes = {i: n for term, shape in zip(terms, shapes) for i, n in zip(term, shape)}
        if any(sizes[i] != n for term, shape in zip(terms, shapes) for i, n in zip(term, shape)):
            return None  # axes of size 1 are repeated
        if math.prod(sizes.values()) < WORTH_ARRANGING or result[-1] in stacked:
            return None
        swapped = result[-1] in a
        terms = terms[::-1] if swapped else terms
        rows, columns = ([i for i in result if i in term and i not in stacked] for term in terms)
        inner = sorted(summed)
        together = [math.prod(sizes[i] for i in part) for part in (rows, inner, columns)]
        stack = [sizes[i] for i in stacked]
        return cls(
            tuple(terms[0].index(i) for i in (*stacked, *rows, *inner)),
            tuple(terms[1].index(i) for i in (*stacked, *inner, *columns)),
            swapped,
            ((*stack, together[0], together[1]), (*stack, together[1], together[2])),
            tuple(sizes[i] for i in result),
            tuple(result.index(i) for i in (*stacked, *rows, *columns)),
        )

    def __call__(self, *operands: Any) -> Any:
        a, b = operands[::-1] if self.swapped else operands
        a = a.transpose(self.first).reshape(self.shapes[0])
        b = b.transpose(self.second).reshape(self.shapes[1])
        out = np.empty(self.shape, np.result_type(a, b))
        arranged = out.transpose(self.order)
        matrices = (*self.shapes[0][:-1], self.shapes[1][-1])
        if arranged.shape == matrices and arranged.strides[-1] == out.itemsize:
            matmul(a, b, out=arranged)
        else:
            arranged[...] = matmul(a, b).reshape(arranged.shape)
        return out
