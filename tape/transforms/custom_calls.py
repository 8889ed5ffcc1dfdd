"""Calls of functions with rules of their own: what ``custom_vjp`` and ``custom_jvp`` share."""

from __future__ import annotations

import functools
import inspect
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC
from tapegrad.tape.core.errors import InvalidGradient
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import flatten, paths, unflatten
from tapegrad.tape.program.bodies import Body, NotRecordable, is_operand, record_body
from tapegrad.tape.program.program import Program
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.custom_entries import Deferred
from tapegrad.tape.transforms.own_rules import (
    Deeper,
    Standing,
    is_differentiated,
    operands_of,
    rebuilt,
    seen_below,
    together,
)
from tapegrad.tape.transforms.transformed import by_name, spelled
from tapegrad.tape.transforms.values import dtype_of, shape_of

__all__ = ["Call", "Custom", "checked_cotangent", "tangent_of"]

#: The functions whose rules are being recorded.
being_recorded: ContextVar[frozenset[Any]] = ContextVar("tapegrad_custom", default=frozenset())


class Custom(ABC):
    """A function with a rule; see :class:`custom_vjp` and :class:`custom_jvp`.

    Attributes
    ----------
    function : callable
        What was decorated.
    nondiff_argnums : tuple of int
    """

    def __init__(
        self, function: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()
    ) -> None:
        name = type(self).__name__
        if not callable(function):
            raise TypeError(f"{name} takes a function, not {type(function).__name__}")
        names = [n for n in functools.WRAPPER_ASSIGNMENTS if hasattr(function, n)]
        functools.update_wrapper(self, function, assigned=names, updated=())
        self.function = function
        fixed = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        if any(type(i) is not int or i < 0 for i in fixed):
            raise TypeError(
                f"{name}: nondiff_argnums must be ints from 0 on, not {nondiff_argnums!r}"
            )
        self.nondiff_argnums = fixed

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({spelled(self.function)})>"

    def __reduce__(self) -> Any:
        name = by_name(self)
        if not name:
            raise TypeError(f"{self!r} can be pickled if it is a name of a module")
        return name

    def __copy__(self) -> Custom:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Custom:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_rule()
        call = Call(self, _positional(self.function, args, kwargs))
        standing = Standing(call.operands)
        if standing.is_entry:
            try:
                return self._entry(call)
            except NotRecordable as reason:
                standing.refuse_entry(f"{spelled(self.function)} is recorded: {reason}")
                standing.trace = None if not call.operands else _own_trace(call.operands)
        if standing.trace is None:
            return call.run(self.function)
        try:
            return self._differentiated(call, standing.trace)
        except Deeper:
            return self._entry(call)

    def rule(self, name: str) -> Any:
        """Return a rule; that it is this one is noted where the call is recorded."""
        return current.get().attribute(self, name)()

    @abstractmethod
    def _check_rule(self) -> None:
        """Raise if there is no rule yet."""

    @abstractmethod
    def _entry(self, call: Call) -> Any:
        """Make an entry of a call."""

    @abstractmethod
    def _differentiated(self, call: Call, trace: Any) -> Any:
        """Run a call below a trace, and link its results."""

    def _bound(
        self,
        primitive: Primitive,
        name: str,
        call: Call,
        fun: Body,
        rule: Callable[..., list[Any]],
        examples: list[Any],
    ) -> Any:
        """Apply an entry of a function and its rule, which takes `examples` besides the arguments."""
        count = len(call.operands)
        leaves, structure = flatten((call.args, *examples))
        within = being_recorded.get()

        def recorded() -> Body:
            token = being_recorded.set(within | {self})
            try:
                return record_body(lambda args, *given: rule(args, *given), leaves, structure)
            finally:
                being_recorded.reset(token)

        def later_recorded() -> Program:
            body = recorded()
            if body.hidden:
                raise TypeError(
                    f"the rule of {call.name} calls the function itself, and reads values from outside "
                    "that are traced: pass them as arguments"
                )
            return together((fun, body), (count, count + len(examples)))[0][1]

        body = None if self in within else recorded()
        made: Any = Deferred(later_recorded)
        if body is None:
            (program,), hidden = together((fun,), (count,))
        else:
            (program, made), hidden = together((fun, body), (count, count + len(examples)))
        if not program.outputs:
            return unflatten(fun.structure, [])
        params = {"fun": program, name: made, "count": count}
        results = bind(primitive, *call.operands, *hidden, **params)
        return unflatten(fun.structure, [r[()] if type(r) is np.ndarray else r for r in results])

    def _undefined(self, how: str) -> NoReturn:
        name = spelled(self.function)
        raise AttributeError(f"{type(self).__name__}: {name} has no rule yet; give it by {how}")


def _own_trace(operands: Sequence[Any]) -> Any:
    """Return the imperative trace if it differentiates an argument."""
    for operand in operands:
        if isinstance(operand, Tensor) and operand.live_trace.differentiates(operand):
            return operand.live_trace
    return None


def _positional(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """Return the arguments of a call by position, as rules take them, with defaults filled in."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        if kwargs:
            raise TypeError(
                f"{spelled(function)} has no signature: pass its arguments by position"
            ) from None
        return args
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{spelled(function)} takes {', '.join(bound.kwargs)} by name only; a function with a rule "
            "of its own takes all arguments by position"
        )
    return bound.args


class Call:
    """One call: what is fixed, and what is differentiated."""

    def __init__(self, custom: Custom, args: tuple[Any, ...]) -> None:
        self.name = spelled(custom.function)
        fixed = custom.nondiff_argnums
        if fixed and max(fixed) >= len(args):
            raise TypeError(
                f"{self.name}: nondiff_argnums={fixed}, but it was called with {len(args)} arguments"
            )
        for i in fixed:
            if any(map(is_differentiated, flatten(args[i])[0])):
                raise TypeError(
                    f"{self.name}: argument {i} is in nondiff_argnums, and a value that is being "
                    "differentiated was passed"
                )
        self.fixed = {i: args[i] for i in fixed}
        self.args = tuple(a for i, a in enumerate(args) if i not in self.fixed)
        self.leaves, self.operands, self.structure = operands_of(self.args)

    @property
    def first(self) -> tuple[Any, ...]:
        """The fixed arguments, as rules take them."""
        return tuple(self.fixed.values())

    def run(self, function: Callable[..., Any], args: tuple[Any, ...] | None = None) -> Any:
        """Call a function with the signature of the decorated one."""
        moving = iter(self.args if args is None else args)
        count = len(self.args) + len(self.fixed)
        full = [self.fixed[i] if i in self.fixed else next(moving) for i in range(count)]
        return run(function, *full)

    def below(self, trace: Any) -> tuple[Any, ...]:
        """Return the arguments as they are below a trace."""
        return unflatten(self.structure, [seen_below(leaf, trace) for leaf in self.leaves])  # type: ignore[no-any-return]

    def of_operands(self, leaves: Sequence[Any]) -> list[Any]:
        """Return what there is for each leaf of the arguments, of those that are operands."""
        return [v for v, leaf in zip(leaves, self.leaves) if is_operand(leaf)]

    def places(self) -> list[str]:
        """Return where each operand is among the arguments, as text."""
        return self.of_operands(paths(self.structure))

    def moved(self) -> list[int]:
        """Return which operands are floats."""
        return [i for i, o in enumerate(self.operands) if dtype_of(o).kind in CONTINUOUS]

    def rebuilt(self, operands: Sequence[Any]) -> Any:
        """Return the arguments with other operands."""
        return rebuilt(self.leaves, self.structure, operands)


def checked_cotangent(part: Any, like: Any, name: str, place: str) -> Any:
    """Check a cotangent that a rule returned for an operand."""
    if part is None or dtype_of(like).kind not in CONTINUOUS:
        return None
    part = part if isinstance(part, Tensor) else np.asarray(part)
    if part.shape != shape_of(like):
        raise InvalidGradient(
            f"the bwd of {name} returned a cotangent of shape {part.shape} for the argument at "
            f"args{place}, whose shape is {shape_of(like)}"
        )
    if part.dtype.kind not in NUMERIC:
        raise InvalidGradient(
            f"the bwd of {name} returned a cotangent of dtype {part.dtype} for args{place}; a cotangent "
            "is made of real numbers"
        )
    return part


def tangent_of(operand: Any, trace: Any) -> Any:
    """Return the tangent of an operand, or None."""
    mine = isinstance(operand, Tensor) and operand.live_trace is trace
    return operand.snapshot().node if mine else None
