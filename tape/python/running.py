"""How transformations run the user's functions: as their images, under a reader."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.as_is import AsIs
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.state import state
from tapegrad.tape.python.gate import Gate, current
from tapegrad.tape.python.images import original
from tapegrad.tape.python.reading import Reader
from tapegrad.tape.python.recorded_bodies import of_body
from tapegrad.tape.python.recorded_trips import of_trip

__all__ = ["called", "promoted", "read", "run", "seen", "unread"]


def read(
    trace: Any, function: Callable[..., Any], args: Any, kwargs: Any, originals: Any = ()
) -> Any:
    """Run a function as its image under a trace.

    Parameters
    ----------
    trace : Trace or None
        Whose values the function gets.
    function, args, kwargs
        What is called. Arrays among the arguments are the caller's; under a trace, nests among the
        positional ones have been rebuilt.
    originals : iterable of pairs
        What is given, and what the caller has for it.

    Returns
    -------
    nest
        What the function returned, in which tensors stand for promoted arrays.
    """
    outer = current.get()
    function = _read_anyway(function, outer)
    if trace is not None:
        trace.function = function
    if type(function) is AsIs:
        return function.function(*args, **kwargs)
    kind: Any = type(outer) if isinstance(outer, Reader) else Reader
    if trace is not None:
        if trace.has_examples:
            kind = of_trip(kind) if trace.is_trip else of_body(kind)
        reader = kind(trace, (args, kwargs), originals)
        reader.rebuilt(args)
        return reader.read(function, args, kwargs)
    before = state.get()
    state.set(before.replace(adapted=True))
    try:
        return kind(None).read(function, args, kwargs)
    finally:
        state.set(state.get().replace(adapted=before.adapted))


def called(function: Callable[..., Any], lent: Any = (), originals: Any = ()) -> Callable[..., Any]:
    """Return what the running reader calls in place of a function: its image.

    Arrays in the nest `lent` are the caller's; `originals` are as for `read`.
    """
    gate = _gate()
    if isinstance(gate, Reader):
        gate.arguments = (gate.arguments, lent)
        gate.originals.update((id(given), (given, own)) for given, own in originals)
    function = _read_anyway(function, gate)
    if not isinstance(gate, Reader) or type(function) is AsIs:
        return function
    gate.begin(function)
    what = gate.callee(function)
    gate.gives(what)
    return what if what is not None else lambda *a, **k: gate.call_with(function, a, k)()


def _read_anyway(function: Callable[..., Any], gate: Gate) -> Callable[..., Any]:
    """Return what is read of a function that is to run as it is: under ``jit``, all of it.

    What a recording does not see it would not notice when it changes.
    """
    reads = type(function) is AsIs and getattr(gate, "reads_all", False)
    return function.function if reads else function  # type: ignore[attr-defined]


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the image of a function; in what it returns, tensors stand for promoted arrays."""
    return seen(called(function)(*args, **kwargs))


def seen(result: Any) -> Any:
    """Return what an image has returned with tensors in place of promoted arrays."""
    gate = _gate()
    if isinstance(gate, Reader) and gate.promotions is not None:
        return gate.seen(result)
    return result


def _gate() -> Gate:
    """Return the gate that is asked, after what it had put off."""
    current.get().settle()
    return current.get()


@contextmanager
def unread() -> Iterator[None]:
    """Run code that nobody reads: what is inside works on plain values, and asks no gate."""
    token = current.set(Gate())
    try:
        yield
    finally:
        current.reset(token)


def promoted(array: Any) -> Tensor | None:
    """Return the tensor that stands for a plain array that is written into.

    None without a reader, and where the code that writes is no image: it would read the array's own
    numbers afterwards.
    """
    gate = current.get()
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tapegrad."):
        frame = frame.f_back
    if frame is None or original(frame.f_code) is frame.f_code:
        return None
    return gate.promote(array) if isinstance(gate, Reader) else None


functions["promote"] = promoted
functions["image"] = called
