"""Traces and ``bind``: who interprets a primitive.

A trace sees every primitive that is applied to one of its tensors and computes with the values
below it by binding again, until only arrays are left. ``bind`` finds the innermost trace among the
arguments; ``apply`` does the same for the user-facing functions, for which plain arrays belong to
the imperative trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import tapegrad.tape.core.primitive as primitive_module
from tapegrad.tape.array.attributes import missing
from tapegrad.tape.array.tensor import Tensor, imperative, snapshot
from tapegrad.tape.core.errors import LeakedTensorError, TracedArrayError
from tapegrad.tape.core.location import stores_item, user_location
from tapegrad.tape.core.node import Node, clock
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import state

__all__ = ["Trace", "apply", "bind", "is_staged", "lower", "new_trace"]

_NO_PARAMS: dict[str, Any] = {}
#: What NumPy asks of an object that is stored into an element of an array.
_CONVERSIONS = frozenset({"float", "int", "bool", "index"})


class Trace:
    """An interpreter of primitives at one level of nesting.

    Attributes
    ----------
    level : int
        0 is imperative code; each running transformation adds one.
    closed : bool
        Whether the transformation has ended; its tensors may then not be used.
    """

    name = "trace"
    #: Whether the values below have a batch axis in front that users do not see.
    hides_axis = False
    #: Whether its tensors are nothing but their values to the traces further in.
    see_through = False
    #: Arguments that stand for arrays without axes.
    boxes: Sequence[Tensor] = ()
    #: Arguments of which each example is laid out in memory as it was given.
    given: Sequence[Tensor] = ()

    def __init__(self, level: int) -> None:
        self.level = level
        self.closed = False
        #: Nodes with a greater number were made while this trace ran.
        self.start = clock()

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Apply `primitive` to `args`, of which at least one is a tensor of this trace."""
        raise TypeError(f"{type(self).__name__} does not interpret primitives")

    def unary(self, primitive: Primitive, a: Tensor, params: Mapping[str, Any] = _NO_PARAMS) -> Any:
        """Apply a primitive of one argument."""
        return self.process(primitive, (a,), params)

    def operator(self, primitive: Primitive, args: tuple[Any, ...]) -> Any:
        """Apply a binary Python operator."""
        return self.process(primitive, args, _NO_PARAMS)

    def between_numbers(self, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply a Python operator if all operands stand for Python numbers."""
        return NotImplemented

    def with_stranger(self, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply a Python operator where the other operand is of a foreign type."""
        return NotImplemented

    def stands_for_number(self, tensor: Tensor) -> bool:
        """Whether a tensor stands for what is a number, or a NumPy scalar, without the trace.

        All without axes do, but for arguments that were given as arrays, and for views that are not
        elements: ``np.squeeze(x)``.
        """
        if tensor.shape != () or any(tensor is box for box in self.boxes):
            return False
        return tensor._base is None or tensor._path[-1][0].name == "basic_index"

    def number_type(self, tensor: Tensor) -> Any:
        """Return ``int`` or ``float`` if a tensor stands for such a number, else None."""
        return None

    def counts(self, tensor: Tensor) -> bool:
        """Whether a sequence times the tensor is the sequence repeated."""
        return False

    def hash_of(self, tensor: Tensor) -> int:
        """Return what dictionaries and sets find a tensor by."""
        return object.__hash__(tensor)

    def text(self, tensor: Tensor, form: Any) -> str:
        """Return a tensor as text; `form` is ``str`` or ``repr``."""
        array = tensor.consume("text")
        return f"Tensor({repr(array)[6:-1]}, trace={self.name})"

    def attribute(self, tensor: Tensor, name: str) -> Any:
        """Return an attribute that tensors do not have."""
        raise AttributeError(missing(name))

    def unknown(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """Refuse a NumPy function that is not registered."""
        raise TypeError(
            f"{name} has no differentiable form for tensors; use np.asarray(tensor) on an "
            "imperative tensor if no gradient is needed"
        )

    def consume(self, tensor: Tensor, kind: str) -> Any:
        """Return the value below, for Python code that needs it (``if``, ``float``, ...)."""
        if self.level and kind in _CONVERSIONS and stores_item():
            self.array(tensor, "a[i] = value")
        return tensor.value

    def array(self, tensor: Tensor, what: str) -> Any:
        """Refuse to turn a traced value into an array: its derivative would be lost."""
        raise TracedArrayError(
            f"{what}: a value traced by {self.name} would become a plain array and be cut off from "
            f"its trace, at {user_location()}. If the value is stored into an array "
            "(a[i] = value), make that array a tensor: tg.zeros(...), or np.zeros_like(x) of a "
            "traced x; if a NumPy function asked for the array, use a function that tapegrad "
            "differentiates."
        )

    def lift_check(self, tensor: Tensor) -> Any:
        """Return `tensor`, from an outer trace, as a value to compute with; or say it leaked."""
        if tensor._trace.closed or tensor._trace.level >= self.level:
            raise leaked(tensor)
        if tensor._trace.see_through:
            value = tensor.value
            return self.lift_check(value) if type(value) is Tensor else value
        if tensor._trace is imperative.trace and made_since(tensor.node, self.start):
            # A buffer of the function's own: nobody outside can ask for its gradient. A copy, for
            # its cell may be written into before the value is used.
            return np.array(tensor.value)
        return snapshot(tensor)

    def differentiates(self, tensor: Tensor) -> bool:
        """Whether this trace will be asked for derivatives by `tensor`, or by what it was made of."""
        return False

    def grad(self, tensor: Tensor) -> Any:
        """Return the gradient that a sweep left at `tensor`."""
        return None

    def write(self, root: Tensor, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Replace the value of `root` by that of a write into it."""
        new = self.process(primitive, (snapshot(root), *args), params)
        root.adopt(new if type(new) is Tensor else Tensor(new, copy=False))

    def close(self) -> None:
        """End the trace."""
        self.closed = True
        self.boxes = self.given = ()  # they refer to this trace


def made_since(node: Node, start: int) -> bool:
    """Whether a node and all that it came from were made after the number `start`."""
    stack = [node]
    while stack:
        current = stack.pop()
        if current.number <= start:
            return False
        stack.extend(source for source in current.inputs if source is not None)
    return True


def leaked(tensor: Tensor) -> LeakedTensorError:
    """Return the error for a tensor whose trace has ended."""
    return LeakedTensorError(
        f"a tensor traced by {tensor._trace.name} is used after that transformation ended "
        f"(seen at {user_location()}). Return it from the function instead: as part of the result, "
        "or as an auxiliary value with has_aux=True."
    )


def bind(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """Apply `primitive` to arrays and tensors; arrays in, arrays out.

    The entry for rules. Parameters are keyword arguments and hashable.
    """
    top = None
    for a in args:
        if type(a) is Tensor:
            if a._base is not None:
                a.freshen()
            if top is None or a._trace.level > top.level:
                top = a._trace
    if top is None:
        return primitive.forward(*args, **params)
    if top.closed:
        raise leaked(next(a for a in args if type(a) is Tensor and a._trace is top))
    return top.process(primitive, args, params)


def is_staged(args: Iterable[Any]) -> bool:
    """Whether the innermost trace among tensors is that of ``jit``."""
    traces = [a._trace for a in args if type(a) is Tensor]
    return bool(traces) and max(traces, key=lambda t: t.level).name == "jit"


def apply(
    primitive: Primitive,
    args: tuple[Any, ...],
    params: Mapping[str, Any] = _NO_PARAMS,
    constant: bool | None = None,
) -> Any:
    """Apply `primitive` for a user: array-likes count as constants, the result is a tensor.

    Parameters
    ----------
    primitive : Primitive
        What to apply.
    args : tuple
        Tensors, arrays, Python scalars (which stay weak in NumPy's promotion) and array-likes.
    params : mapping
        The primitive's parameters.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable; by default it is constant if all
        arguments are.

    Returns
    -------
    Tensor, or an ndarray for non-differentiable primitives in imperative code
    """
    top = imperative.trace
    for a in args:
        if type(a) is Tensor:
            if a._base is not None:
                a.freshen()
            if a._trace is not top and a._trace.level >= top.level:
                top = a._trace
        elif type(a) is list or type(a) is tuple:
            return apply(primitive, tuple(_operand(b) for b in args), params, constant)
    if top.closed:
        raise leaked(next(a for a in args if type(a) is Tensor and a._trace is top))
    return top.process(primitive, args, params, constant)


def _operand(a: Any) -> Any:
    """Make a sequence an operand; one that holds tensors is stacked, so that none loses its
    gradient."""
    if type(a) not in (list, tuple):
        return a
    if _holds_tensor(a):
        return primitive_module.functions[np.stack]([_operand(b) for b in a])
    return np.asarray(a)


def _holds_tensor(a: Any) -> bool:
    return type(a) is Tensor or (type(a) in (list, tuple) and any(_holds_tensor(b) for b in a))


def lower(value: Any, trace: Trace) -> Any:
    """Return `value` as it is below `trace`."""
    if type(value) is Tensor:
        if value.live_trace is trace:
            return value.value
        return trace.lift_check(value)
    return value


@contextmanager
def new_trace(kind: type[Trace], *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Run a transformation: a trace one level further in, closed at the end whatever happens."""
    current = state.get()
    trace = kind(current.depth + 1, *args, **kwargs)
    inside = current.replace(depth=trace.level)
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
            state.set(now.replace(depth=current.depth))
        trace.close()


primitive_module._bind = bind
