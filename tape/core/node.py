"""A node: one version of one value, with the entry that produced it.

Nodes are the vertices of the graph that the reverse sweep walks, and the entries of tapes and programs.
They point only backwards, to the nodes that they came from: whoever drops a result drops the graph that
led to it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.core.location import Line
from tapegrad.tape.core.primitive import Primitive

__all__ = ["Node", "entry", "nobody"]

#: The running number that gives the linear order of a tape.
clock = itertools.count(1).__next__


class Node:
    """One value and the application of a primitive that produced it.

    In a graph, `inputs`, `saved`, `pins` and `locks` are what the sweep needs, and are forgotten after
    it. On a tape, `operands` and `where` are set too, and say with `primitive` and `params` what the
    entry is: a tape that is kept keeps them. The same node may be both.

    Attributes
    ----------
    primitive : Primitive or None
        ``None`` for a leaf.
    inputs : sequence of (Node or None)
        Aligned with the primitive's positional arguments; ``None`` for constants. Empty for a leaf, and
        where the graph has been cut.
    params : mapping
        The primitive's parameters.
    saved : tuple
        ``(y, *args)`` as the rules need them: a value; its node or another stand-in
        (:class:`~tapegrad.tape.core.primitive.Shaped`), which have its shape and dtype; or ``None``.
    shape, dtype
        Of the value.
    number : int
        Position in the linear order.
    grad : array or None
        The gradient that a sweep has left here.
    owner : callable or None
        A weak reference to the tensor that last held this version; :func:`nobody` if it was written
        over; None if no tensor was noted. A sweep leaves no gradient where the tensor is gone.
    pins : tuple
        The pins of the buffers that `saved` needs as they are (see ``tape.array.tensor.pin_of``).
    locks : tuple
        The locks of users' arrays, which must live as long as the entry.
    constant : bool
        Whether no gradient flows here.
    settled : bool
        Whether the node is a variable result of the imperative trace, in a live graph: all that an
        operation must know of most of its arguments.
    cleared : bool
        Whether a sweep has cleared the entry that led here.
    swept : int
        Of a leaf: the number of the time at which its graph was last cleared.
    operands : tuple
        On a tape: all positional arguments, a :class:`Node` for a value of the tape, and an array or
        scalar for a constant.
    where : Line or None
        On a tape, and where values of a tape are differentiated: the user's line.
    """

    __slots__ = (
        "__weakref__",
        "cleared",
        "constant",
        "dtype",
        "grad",
        "inputs",
        "locks",
        "number",
        "operands",
        "owner",
        "params",
        "pins",
        "primitive",
        "saved",
        "settled",
        "shape",
        "swept",
        "where",
    )

    primitive: Any  # a Primitive, or None: readers of entries know that it is not
    operands: tuple[Any, ...]
    where: Line | None

    def __init__(
        self,
        primitive: Primitive | None,
        inputs: Sequence[Node | None],
        params: Mapping[str, Any],
        saved: tuple[Any, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.params = params
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.pins: tuple[Any, ...] = ()
        self.locks: tuple[Any, ...] = ()
        self.number = clock()
        self.grad: Any = None
        self.owner: Callable[[], Any] | None = None
        self.cleared = False
        self.constant = False
        self.settled = False
        self.swept = 0
        # `operands` and `where` are set by who keeps a tape, so that others do not pay for them.

    @property
    def ndim(self) -> int:
        """Number of axes of the value."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements of the value."""
        return math.prod(self.shape)

    def hold(self, lock: Any) -> None:
        """Keep a lock alive as long as the entry; None stands for none."""
        if lock is not None:
            self.locks = (*self.locks, lock)

    def clear(self, *, forget: bool = True) -> None:
        """Cut the graph that led here; the value stays, and its entry where a tape keeps it."""
        if not self.inputs:
            self.swept = clock()
        else:
            self.inputs = ()
            self.saved = ()
            self.cleared = True
            self.settled = False
            if forget:
                self.primitive = None
                self.params = {}
        self.pins = self.locks = ()

    def __repr__(self) -> str:
        made_by = "leaf" if self.primitive is None else self.primitive.name
        return f"<node {self.number} {made_by} {self.dtype}{list(self.shape)}>"


def entry(
    primitive: Primitive,
    operands: tuple[Any, ...],
    params: Mapping[str, Any],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    where: Line | None = None,
) -> Node:
    """Return a node that stands on a tape and in no graph."""
    node = Node(primitive, (), params, (), shape, dtype)
    node.operands = operands
    node.where = where
    return node


def nobody() -> None:
    """Stand for the owner of a version that no tensor holds any more."""
