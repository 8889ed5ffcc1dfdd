"""Traces: who interprets a primitive, and the protocol that every interpreter obeys.

A trace sees every primitive that is applied to one of its values and computes with the values below
it, by applying the primitive again, until only arrays are left. ``tapegrad.tape.array`` brings the
values (tensors) and finds the trace of an application.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from tapegrad.tape.core.appearance import Appearance
from tapegrad.tape.core.errors import LeakedTensorError, TracedArrayError
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.node import clock
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import state
from tapegrad.tape.core.traced import Traced

__all__ = ["Trace", "leaked", "new_trace"]


class Trace(ABC):
    """An interpreter of primitives at one level of nesting: the protocol, and its defaults.

    Attributes
    ----------
    name : str
        How errors call the trace.
    level : int
        0 is imperative code; each running transformation adds one.
    closed : bool
        Whether the transformation has ended; its values may then not be used.
    start : int
        Nodes with a greater number were made while this trace ran.
    appearance : Appearance
        How its values look to Python code.
    """

    name = "trace"
    #: Whether the nodes of its values are in a graph that users' code sweeps.
    keeps_graph = False
    #: Whether all that is done while it runs is its own, also between values from outside.
    records_all = False
    #: Whether each of its values has one below it that may take its place when the trace has ended.
    lowers = True
    #: Whether its values are examples, which tell shapes and dtypes alone: what runs will run again.
    has_examples = False
    #: Whether they are those of one trip of a loop of Python's.
    is_trip = False
    #: The user's function that runs under the trace, if that is known.
    function: Any = None
    #: What makes the appearance of a trace's values.
    appearance_of: Callable[[], Appearance] = Appearance

    def __init__(self, level: int) -> None:
        self.level = level
        self.closed = False
        self.start = clock()
        self.appearance = type(self).appearance_of()

    # Computing -----------------------------------------------------------------------------------

    @abstractmethod
    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Apply `primitive` to `args`, of which at least one is a value of this trace.

        `constant` is the user's wish: ``True`` for a result to which no gradient flows.
        """

    def write(self, root: Traced, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Replace the value of `root`, which owns its data, by what `primitive` makes of it."""
        root.adopt(self.process(primitive, (root.snapshot(), *args), params))

    # Values from outside, and for others -----------------------------------------------------------

    @abstractmethod
    def variable(self, value: Any, *, original: Any = None) -> Any:
        """Return a value of this trace around `value`, an argument of the transformation.

        `original` is what the user passed for it, if that is known.
        """

    def lift(self, value: Traced) -> Any:
        """Return a value of an outer trace as this trace computes with it.

        Raises
        ------
        LeakedTensorError
            For a value whose trace has ended, or is not outside.
        """
        outer = value.live_trace
        if outer.closed or outer.level >= self.level:
            raise leaked(value)
        return outer.lend(value, self)

    def lend(self, value: Traced, inner: Trace) -> Any:
        """Return a value of this trace as a trace further in computes with it."""
        return value.snapshot()

    @abstractmethod
    def detach(self, value: Traced) -> Any:
        """Return the value without its history: a tensor to which no gradient of this trace flows."""

    # Differentiating -------------------------------------------------------------------------------

    @abstractmethod
    def is_constant(self, value: Traced) -> bool:
        """Whether no gradient flows to a value of this trace."""

    def differentiates(self, value: Traced) -> bool:
        """Whether this trace, and not only one below, may be asked for derivatives by a value."""
        return not self.is_constant(value)

    def grad(self, value: Traced) -> Any:
        """Return the gradient that a sweep has left at a value, or None."""
        return None

    @abstractmethod
    def backward(self, value: Traced, grad: Any) -> None:
        """Sweep from a value and leave gradients where it came from, or refuse to.

        `grad` is the cotangent of the value; None stands for ones.
        """

    @abstractmethod
    def clear(self, value: Traced) -> None:
        """Forget how a value was made; a trace that keeps no graph does nothing."""

    def draw(self) -> None:  # noqa: B027  # most traces have one example
        """Random numbers are about to be drawn by the function that runs under this trace."""

    def take_object(self, value: Any) -> None:  # noqa: B027  # most traces run the function anew
        """The numbers of an object of another library are taken for an operand."""

    def stored_outside(self, shape: tuple[int, ...]) -> None:
        """Refuse that a value was stored into an array from outside, where none below may lie."""
        raise TracedArrayError(
            f"a value that {self.name} batches was stored into an array from outside, of shape {shape}, "
            "which has no place for the examples. Return it instead"
        )

    def refuse_write(self, array: Any) -> None:
        """Refuse that a function that is to run later stores into an array that it has not made."""
        self.stored_outside(array.shape)

    def close(self) -> None:
        """End the trace.

        Values hold their trace: it keeps of its function what errors say, and not what that holds.
        """
        self.closed = True
        self.function = _name_and_code(self.function)
        self.appearance.close()


def leaked(value: Traced) -> LeakedTensorError:
    """Return the error for a value whose trace has ended."""
    trace = value.live_trace
    return LeakedTensorError(
        f"a tensor traced by {trace.name}{_of(trace.function)} is used after that transformation ended "
        f"(seen at {user_location()}). Return it from the function instead: as part of the result, "
        "or as an auxiliary value with has_aux=True."
    )


def _of(function: Any) -> str:
    """Return the function of a trace as text, and where it stands."""
    if function is None:
        return ""
    name, code = _name_and_code(function)
    where = "" if code is None else f", {code.co_filename}:{code.co_firstlineno}"
    return f" of {name.rpartition('<locals>.')[2]}{where},"


def _name_and_code(function: Any) -> Any:
    """Return name and code of a function; an object without a name is called as its class."""
    if function is None or type(function) is tuple:
        return function
    while hasattr(function, "__wrapped__") or type(function) is partial:
        function = function.func if type(function) is partial else function.__wrapped__
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return getattr(function, "__qualname__", None) or type(function).__qualname__, code


@contextmanager
def new_trace(kind: type[Trace], *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Run a transformation: a trace one level further in, closed at the end whatever happens."""
    current = state.get()
    trace = kind(current.depth + 1, *args, **kwargs)
    body = trace if trace.records_all else current.body
    inside = current.replace(depth=trace.level, body=body)
    token = state.set(inside)
    try:
        yield trace
    except ValueError as error:
        # NumPy wraps what float(tensor) raised while a tensor was stored into an array.
        cause = error.__cause__
        ours = isinstance(cause, TracedArrayError) or not isinstance(cause, Exception)
        if cause is not None and ours:  # a signal to vmap or jit is no Exception
            raise cause from None
        raise
    finally:
        now = state.get()
        if now is inside:
            state.reset(token)
        else:  # a generator that was suspended inside a switch has ended meanwhile
            state.set(now.replace(depth=current.depth, body=current.body))
        trace.close()
