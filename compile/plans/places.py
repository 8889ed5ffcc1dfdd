"""Places: where the values of a loop lie, what views of them are, and the steps that copy them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Expression, Name, substitute
from tapegrad.compile.backends.interface import current
from tapegrad.compile.backends.loop_nest import Argument, LoopNest, Value
from tapegrad.compile.backends.repetition import FOUND, Buffer, Copy, Find, Place, Run, Step
from tapegrad.compile.passes.layout import Layout, contiguous_strides
from tapegrad.tape.array.paths import Hole
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives

__all__ = [
    "POOL",
    "SCRATCH",
    "Memory",
    "Unfit",
    "at_index",
    "contiguous",
    "copied",
    "finished",
    "in_stacks",
    "kind_of",
    "layout_of",
    "shown",
    "spread",
    "stacked",
    "transposed",
]  # fmt: skip

#: Of the arrays that a loop gets, the first holds what lives for a trip, the second constants.
SCRATCH, POOL = 0, 1
#: Values lie at multiples of this.
ALIGNED = 64


class Unfit(Exception):
    """A loop has something in its body that Python must do."""


@dataclass(slots=True)
class Memory:
    """What lies where in the arrays that the loop has for itself.

    Attributes
    ----------
    size : int
        Bytes of scratch memory.
    pool : bytearray
        The constants.
    """

    size: int = 0
    pool: bytearray = field(default_factory=bytearray)

    def scratch(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Place:
        """Return a place for a new value."""
        place = contiguous(Buffer(SCRATCH, self.size), shape, dtype)
        self.size += -(-math.prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED
        return place

    def constant(self, value: Any) -> Place:
        """Return the place of a constant."""
        array = np.asarray(value)
        place = contiguous(Buffer(POOL, len(self.pool)), array.shape, array.dtype)
        data = array.tobytes()
        self.pool += data.ljust(-(-len(data) // ALIGNED) * ALIGNED, b"\0")
        return place


def contiguous(buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Place:
    """Return the place of a C-contiguous array at the beginning of a buffer."""
    return Place(buffer, 0, shape, contiguous_strides(shape, dtype.itemsize), dtype)


def layout_of(place: Place) -> Layout:
    """Return how a place is laid out."""
    return Layout(place.shape, place.strides, place.dtype)


def shown(place: Place, layout: Layout | None, offset: int = 0) -> Place:
    """Return the place of a view, of which the layout is known, or that NumPy would copy."""
    if layout is None:
        raise Unfit("a view that copies")
    return Place(place.buffer, place.offset + offset, layout.shape, layout.strides, place.dtype)


def kind_of(output: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an output of a program."""
    value = output if type(output) is Node else np.asarray(output)
    return value.shape, value.dtype


def at_index(whole: Place, index: Place, spec: Any) -> tuple[Place, Find]:
    """Return the place of an element or a row, and the step that finds it."""
    holes = [i for i, part in enumerate(spec) if type(part) is Hole]
    before = spec[: holes[0]] if len(holes) == 1 else (None,)
    if index.shape or index.dtype != np.int64 or any(p is None or p is Ellipsis for p in before):
        raise Unfit("an index of another kind")
    axis = holes[0]
    slots = {"spec": (*before, 0, *spec[axis + 1 :])}
    layout, offset = layout_of(whole).place_of_view(primitives["basic_index"], slots)
    first = shown(whole, layout, offset)
    place = Place(Buffer(FOUND), 0, first.shape, first.strides, first.dtype)
    return place, Find(place.buffer, first, whole.strides[axis], whole.shape[axis], index)


def spread(place: Place, shape: tuple[int, ...], has: Sequence[bool]) -> Place:
    """Return a place as one of a shape of which it has some axes, and is repeated along the others."""
    own, strides = list(zip(place.shape, place.strides)), [0] * len(shape)
    for axis in reversed(range(len(shape))):
        if has[axis] and own:
            size, stride = own.pop()
            strides[axis] = stride if size != 1 else 0
    return Place(place.buffer, place.offset, shape, tuple(strides), place.dtype)


def copied(source: Place, target: Place) -> Step:
    """Return the step that copies to a place."""
    if layout_of(source).contiguous and layout_of(target).contiguous:
        return Copy(source, target)
    return _elementwise(Name("a0", source.dtype), source, target)


def _elementwise(expression: Expression, source: Place, target: Place) -> Run:
    """Return the kernel that computes an expression of ``a0`` for each element of a place."""
    if source.dtype not in current().DTYPES:
        raise Unfit("a dtype that kernels do not know")
    loops = tuple(range(len(source.shape)))
    whole = layout_of(target).contiguous
    nest = LoopNest(
        len(loops),
        0,
        False,
        (Argument("a0", source.dtype, loops, contiguous=not loops, in_rows=not loops),),
        (Argument("o0", target.dtype, loops, whole, whole),) if loops else (),
        (Value("t0", expression, 0, False, "o0" if loops else ""),),
        (),
        () if loops else ("t0",),
    )
    arguments = (source, target) if loops else (source,)
    return Run(nest, source.shape, (), arguments, () if loops else (target,))


def finished(finish: Expression, total: Place, target: Place) -> Run:
    """Return the step that makes the results of a reduction of its totals, called ``x``."""
    return _elementwise(substitute(finish, {"x": Name("a0", total.dtype)}), total, target)


def in_stacks(place: Place, *, column: bool) -> Place:
    """Return a factor with three axes: stacks, rows, columns."""
    shape, strides = place.shape, place.strides
    if len(shape) == 1:
        shape = (*shape, 1) if column else (1, *shape)
        strides = (*strides, 0) if column else (0, *strides)
    if len(shape) == 2:
        shape, strides = (1, *shape), (0, *strides)
    return Place(place.buffer, place.offset, shape, strides, place.dtype)


def transposed(place: Place) -> Place:
    """Return stacks of matrices with rows and columns exchanged."""
    (s, m, n), (x, y, z) = place.shape, place.strides
    return Place(place.buffer, place.offset, (s, n, m), (x, z, y), place.dtype)


def stacked(place: Place, stacks: int) -> Place:
    """Return stacks of matrices, of which there may be one for all, as so many."""
    (s, m, n), (x, y, z) = place.shape, place.strides
    return Place(place.buffer, place.offset, (stacks, m, n), (x if s > 1 else 0, y, z), place.dtype)
