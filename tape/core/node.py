"""A node: one version of one value in a trace, with the entry that produced it.

Nodes are the vertices of the graph that the reverse sweep walks. They point only backwards, to the
nodes that they came from: whoever drops a result drops the graph that led to it.
"""

from __future__ import annotations

import dis
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.core.primitive import Primitive

__all__ = ["Location", "Node", "nobody", "stores_item", "user_location"]

#: The running number that gives the linear order of a tape.
clock = itertools.count(1).__next__


class Node:
    """One value in a trace and the application of a primitive that produced it.

    Attributes
    ----------
    primitive : Primitive or None
        ``None`` for a leaf.
    inputs : sequence of (Node or None)
        Aligned with the primitive's positional arguments; ``None`` for constants.
    params : mapping
        The primitive's parameters.
    saved : tuple
        ``(y, *args)`` as the rules need them: a value, a stand-in with its shape
        (:class:`~tapegrad.tape.core.primitive.Shaped`), or ``None``.
    shape, dtype
        Of the value.
    number : int
        Position in the linear order.
    grad : array or None
        The gradient that a sweep has left here.
    owner : weak reference to Tensor or None
        The tensor that last held this version, while it lives.
    holds : list or None
        Pins and locks that must live as long as the entry.
    constant : bool
        Whether no gradient flows here.
    settled : bool
        Whether the node is a variable result of the imperative trace, in a live graph: all that an
        operation must know of most of its arguments.
    cleared : bool
        Whether a sweep has cleared the entry that led here.
    """

    __slots__ = (
        "__weakref__",
        "cleared",
        "constant",
        "dtype",
        "grad",
        "holds",
        "inputs",
        "number",
        "owner",
        "params",
        "primitive",
        "saved",
        "settled",
        "shape",
    )

    def __init__(
        self,
        primitive: Primitive | None,
        inputs: Sequence[Node | None],
        params: Mapping[str, Any],
        saved: tuple[Any, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        holds: Any = None,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.params = params
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.holds = holds
        self.number = clock()
        self.grad: Any = None
        self.owner: Callable[[], Any] | None = None
        self.cleared = False
        self.constant = False
        self.settled = False

    def hold(self, what: Any) -> None:
        """Keep `what` (a lock) alive as long as the entry."""
        if what is not None:
            self.holds = [what] if self.holds is None else [*self.holds, what]

    def clear(self) -> None:
        """Forget the entry that led here; the value stays."""
        if self.primitive is not None:
            self.primitive = None
            self.inputs = ()
            self.saved = ()
            self.params = {}
            self.cleared = True
            self.settled = False
        self.holds = None

    def __repr__(self) -> str:
        made_by = "leaf" if self.primitive is None else self.primitive.name
        return f"<node {self.number} {made_by} {self.dtype}{list(self.shape)}>"


def nobody() -> None:
    """Stand for the owner of a version that no tensor holds any more."""


class Location:
    """A line of the user's, resolved only when it is shown."""

    __slots__ = ("code", "offset")

    def __init__(self, code: Any, offset: int) -> None:
        self.code = code
        self.offset = offset

    @property
    def line(self) -> int:
        """The line number in the user's file."""
        position = -1
        for start, end, line in self.code.co_lines():
            if start <= self.offset < end and line is not None:
                position = line
        return position

    def __str__(self) -> str:
        return f"{self.code.co_filename}:{self.line}"


_INTERNAL = frozenset({"tapegrad", "numpy", "functools", "contextlib"})


def user_location() -> Location:
    """Return the innermost running line that belongs neither to tapegrad nor to NumPy."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in _INTERNAL or name.startswith("tapegrad.demo"):
            break
        frame = frame.f_back
    return Location(frame.f_code, frame.f_lasti)


_STORE = dis.opmap["STORE_SUBSCR"]


def stores_item() -> bool:
    """Whether the line that runs outside of tapegrad is at an item assignment, ``a[i] = value``.

    NumPy converts a value that is stored into one element by ``float(value)``. Only the caller's
    instruction tells that from a ``float(value)`` that somebody wrote.
    """
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tapegrad."):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_code[frame.f_lasti] == _STORE
