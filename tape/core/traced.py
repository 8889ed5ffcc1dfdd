"""What traces, sweeps and switches know of a value, before there are tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Traced"]


class Traced:
    """A value of a trace, as far as traces and sweeps know it; tensors are its only subclass.

    Attributes
    ----------
    live_trace : Trace
        The trace of the current version.
    value
        The current version: an array, or a value of the trace below.
    node
        What the trace keeps with the current version: a :class:`Node`, or whatever it likes.
    base : Traced or None
        What this is a view of.
    is_element : bool
        Whether this is an element of its base, of which NumPy would make a scalar.
    constant : bool
        Whether no gradient flows here.
    follows : bool
        Whether this stands for a plain array that is written into.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        value: Any
        node: Any
        base: Any
        shape: tuple[int, ...]
        dtype: Any
        follows: bool

        @property
        def live_trace(self) -> Any: ...

        @property
        def is_element(self) -> bool: ...

        @property
        def constant(self) -> bool: ...

        def consume(self, kind: str) -> Any:
            """Return the array at the bottom, for Python code that must have it."""

        def snapshot(self) -> Any:
            """Return a value of its own for the current version, safe from later writes."""

        def adopt(self, new: Any) -> None:
            """Take over `new` as the next version."""

        def lay_out(self, gradient: Any) -> Any:
            """Lay a gradient out in memory as the value."""
