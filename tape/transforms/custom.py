"""Functions whose derivatives users write themselves: ``custom_vjp``, ``custom_jvp``.

Where a call is differentiated by the innermost trace of its arguments, the rule is run on the values
below it. Where it is recorded, it becomes an entry that holds the function and its derivative as
programs. Derivatives of higher order differentiate the code of the rule.
"""

from __future__ import annotations

import functools
import inspect
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, NoReturn

import numpy as np

from tapegrad.tape.array.application import bind, held
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import InvalidGradient
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import flatten, flatten_like, paths, spread, unflatten
from tapegrad.tape.program.bodies import (
    Body,
    NotRecordable,
    is_operand,
    record_body,
    record_program,
)
from tapegrad.tape.program.program import Program
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.own_rules import (
    Deeper,
    Standing,
    cotangents_of,
    is_differentiated,
    is_followed,
    linked,
    operands_of,
    pulled_through,
    pushed,
    rebuilt,
    seen_below,
    together,
    transposed_at,
)
from tapegrad.tape.transforms.transformed import by_name, spelled
from tapegrad.tape.transforms.values import dtype_of, shape_of

__all__ = ["custom_jvp", "custom_jvp_p", "custom_vjp", "custom_vjp_p"]


# The entries -------------------------------------------------------------------------------------------

# custom_vjp(*operands, *hidden, fun, pullback, count) gives the results of `fun`; `pullback` takes the
# operands, a cotangent of each float result, and what was read from outside, and gives a cotangent of
# each operand that is a float. custom_jvp has in place of it `pushforward`, from operands and a tangent of
# each that is a float, to a tangent of each float result. `count` is the number of operands. A rule that
# calls its own function has an entry of that function inside, whose rule is recorded when it is needed
# (:class:`_Deferred`), and not before: it has no end.

#: The functions whose rules are being recorded.
_recording: ContextVar[frozenset[Any]] = ContextVar("tapegrad_custom", default=frozenset())


class _Deferred:
    """A program that is recorded when it is first called.

    Parameters
    ----------
    record : callable
        Returns the program.
    """

    __slots__ = ("_program", "_record")

    def __init__(self, record: Callable[[], Program]) -> None:
        self._record = record
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """The program."""
        if self._program is None:
            self._program = self._record()
        return self._program

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        return self.program(*values)

    def batch(self, size: int, batched: Sequence[bool]) -> _Deferred:
        """Return the program of many examples."""
        return _Deferred(lambda: self.program.batch(size, batched))

    def __repr__(self) -> str:
        return "..."


class _Parts:
    """Cotangents of operands, by the rule; of what was read from outside, as the function's code says."""

    def __init__(self, parts: list[Any], fun: Program, values: Any, cotangents: list[Any]) -> None:
        self._parts = parts
        self._fun = fun
        self._values = values
        self._cotangents = cotangents
        self._hidden: list[Any] | None = None

    def __getitem__(self, index: int) -> Any:
        count = len(self._parts)
        if index < count:
            return self._parts[index]
        if self._hidden is None:
            own, hidden = self._values[:count], self._values[count:]
            run = lambda *given: self._fun(*own, *given)  # noqa: E731
            self._hidden = pulled_through(run, hidden, self._cotangents)
        return self._hidden[index - count]


def _pushed_outside(tangents: Any, fun: Program, values: Any, count: int, parts: list[Any]) -> Any:
    """Add to tangents of results what they owe to values from outside."""
    moved = [i for i in range(count, len(values)) if tangents[i] is not None]
    if moved:
        push = fun.pushforward(moved)
        further = iter(push(*values, *(tangents[i] for i in moved)))
        floats = _floats(list(map(_described, fun.outputs)))
        for i, part in zip(floats, further):
            parts[i] = part if parts[i] is None else parts[i] + part
    return parts


def _floats(values: Sequence[Any]) -> list[int]:
    return [i for i, v in enumerate(values) if v.dtype.kind == "f"]


def _spread(parts: Sequence[Any], places: Sequence[int], count: int) -> list[Any]:
    known = dict(zip(places, parts))
    return [known.get(i) for i in range(count)]


def _forward(*values: Any, fun: Program, **rule: Any) -> tuple[Any, ...]:
    return tuple(np.array(out) for out in fun(*values))


def _pull_vjp(g: Any, y: Any, *values: Any, fun: Program, pullback: Program, count: int) -> _Parts:
    outputs = list(map(_described, fun.outputs))
    given = [c for c in cotangents_of(g, outputs) if c is not None]
    parts = pullback(*values[:count], *given, *values[count:])
    return _Parts(
        _spread(parts, _floats(fun.inputs[:count]), count), fun, values, cotangents_of(g, outputs)
    )


def _push_vjp(
    tangents: Any, y: Any, *values: Any, fun: Program, pullback: Program, count: int
) -> list[Any]:
    floats = _floats(y)

    def pull(cotangents: list[Any]) -> Sequence[Any]:
        return pullback(*values[:count], *cotangents, *values[count:])

    given = [tangents[i] for i in _floats(fun.inputs[:count])]
    parts = _spread(transposed_at(pull, [y[i] for i in floats], given), floats, len(y))
    return _pushed_outside(tangents, fun, values, count, parts)  # type: ignore[no-any-return]


def _push_jvp(
    tangents: Any, y: Any, *values: Any, fun: Program, pushforward: Program, count: int
) -> list[Any]:
    given = [
        np.zeros(np.shape(values[i]), fun.inputs[i].dtype) if tangents[i] is None else tangents[i]
        for i in _floats(fun.inputs[:count])
    ]
    parts = pushforward(*values[:count], *given, *values[count:])
    return _pushed_outside(tangents, fun, values, count, _spread(parts, _floats(y), len(y)))  # type: ignore[no-any-return]


def _pull_jvp(
    g: Any, y: Any, *values: Any, fun: Program, pushforward: Program, count: int
) -> _Parts:
    outputs = list(map(_described, fun.outputs))
    moved = _floats(fun.inputs[:count])

    def push(tangents: list[Any]) -> Sequence[Any]:
        return pushforward(*values[:count], *tangents, *values[count:])

    cotangents = cotangents_of(g, outputs)
    given = [c for c in cotangents if c is not None]
    parts = transposed_at(push, [fun.inputs[i] for i in moved], given)
    return _Parts(_spread(parts, moved, count), fun, values, cotangents)


def _described(output: Any) -> Any:
    return output if type(output) is Node else np.asarray(output)


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    fun, count = params["fun"], params["count"]
    operands, hidden = tuple(batched[:count]), tuple(batched[count:])
    changed = {"fun": fun.batch(size, batched), "count": count}
    if "pullback" in params:
        given = (True,) * len(_floats(list(map(_described, fun.outputs))))
        pulled = params["pullback"].batch(size, (*operands, *given, *hidden))
        shared = [not operands[i] for i in _floats(fun.inputs[:count])]
        changed["pullback"] = _summed(pulled, shared)
        primitive = custom_vjp_p
    else:
        given = tuple(operands[i] for i in _floats(fun.inputs[:count]))
        changed["pushforward"] = params["pushforward"].batch(size, (*operands, *given, *hidden))
        primitive = custom_jvp_p
    return bind(primitive, *args, **changed)  # type: ignore[no-any-return]


def _summed(pullback: Any, shared: list[bool]) -> Any:
    """Return the pullback of a batch, which adds up the cotangents of what the examples share."""
    if isinstance(pullback, _Deferred):
        return _Deferred(lambda: _summed(pullback.program, shared))
    if not any(shared):
        return pullback

    def summed(*values: Any) -> list[Any]:
        parts = pullback(*values)
        return [np.sum(p, axis=0) if s else p for p, s in zip(parts, shared)]

    return record_program(summed, pullback.inputs, pullback.weak)


def _expanded(*values: Any, fun: Program, **rule: Any) -> tuple[Any, ...]:
    return fun(*values)


def _source(args: list[str], params: dict[str, Any]) -> str:
    return f"{params['fun']}({', '.join(args)})"


_declared = partial(
    Primitive,
    multiple=True,
    batch=_batch,
    saves=("none", "value"),
    expansion=_expanded,
    source=_source,
)
custom_vjp_p = _declared("custom_vjp", _forward, pull_all=_pull_vjp, jvp=_push_vjp)
custom_jvp_p = _declared("custom_jvp", _forward, pull_all=_pull_jvp, jvp=_push_jvp)


# The functions -----------------------------------------------------------------------------------------


class _Custom(ABC):
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

    def __copy__(self) -> _Custom:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _Custom:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_rule()
        call = _Call(self, _positional(self.function, args, kwargs))
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

    @abstractmethod
    def _check_rule(self) -> None:
        """Raise if there is no rule yet."""

    @abstractmethod
    def _entry(self, call: _Call) -> Any:
        """Make an entry of a call."""

    @abstractmethod
    def _differentiated(self, call: _Call, trace: Any) -> Any:
        """Run a call below a trace, and link its results."""

    def _bound(
        self,
        primitive: Primitive,
        name: str,
        call: _Call,
        fun: Body,
        rule: Callable[..., list[Any]],
        examples: list[Any],
    ) -> Any:
        """Apply an entry of a function and its rule, which takes `examples` besides the arguments."""
        count = len(call.operands)
        leaves, structure = flatten((call.args, *examples))
        within = _recording.get()

        def recorded() -> Body:
            token = _recording.set(within | {self})
            try:
                return record_body(lambda args, *given: rule(args, *given), leaves, structure)
            finally:
                _recording.reset(token)

        def later_recorded() -> Program:
            body = recorded()
            if body.hidden:
                raise TypeError(
                    f"the rule of {call.name} calls the function itself, and reads values from outside "
                    "that are traced: pass them as arguments"
                )
            return together((fun, body), (count, count + len(examples)))[0][1]

        body = None if self in within else recorded()
        made: Any = _Deferred(later_recorded)
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


class _Call:
    """One call: what is fixed, and what is differentiated."""

    def __init__(self, custom: _Custom, args: tuple[Any, ...]) -> None:
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
        return [i for i, o in enumerate(self.operands) if dtype_of(o).kind == "f"]

    def rebuilt(self, operands: Sequence[Any]) -> Any:
        """Return the arguments with other operands."""
        return rebuilt(self.leaves, self.structure, operands)


def _checked(part: Any, like: Any, name: str, place: str) -> Any:
    """Check a cotangent that a rule returned for an operand."""
    if part is None or dtype_of(like).kind != "f":
        return None
    part = part if isinstance(part, Tensor) else np.asarray(part)
    if part.shape != shape_of(like):
        raise InvalidGradient(
            f"the bwd of {name} returned a cotangent of shape {part.shape} for the argument at "
            f"args{place}, whose shape is {shape_of(like)}"
        )
    if part.dtype.kind not in "fiub":
        raise InvalidGradient(
            f"the bwd of {name} returned a cotangent of dtype {part.dtype} for args{place}; a cotangent "
            "is made of real numbers"
        )
    return part


class custom_vjp(_Custom):  # a decorator
    """Give a function a derivative of your own, in reverse mode.

    Parameters
    ----------
    function : callable
        Takes and returns arrays, or nests of them.
    nondiff_argnums : int or sequence of int
        Positions of arguments that are passed to the rules as they are: functions, options.

    Attributes
    ----------
    function : callable
        What was decorated.

    See Also
    --------
    custom_jvp : a rule for forward mode, of which that for reverse mode follows.

    Notes
    -----
    Forward mode transposes `bwd`, which must be linear in the cotangents then. Second derivatives are
    those of the code of `fwd` and `bwd`. Under ``jit`` and on tapes, the function and its derivative are
    recorded as programs; a function that cannot be recorded makes ``jit`` run its caller as it is.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> @tg.custom_vjp
    ... def clipped(x):  # its gradient is held between -1 and 1
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda residuals, g: (np.clip(g, -1, 1),))
    >>> tg.grad(lambda x: 5 * clipped(x))(2.0)
    np.float64(1.0)
    """

    def __init__(
        self, function: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()
    ) -> None:
        super().__init__(function, nondiff_argnums)
        self._fwd: Callable[..., Any] | None = None
        self._bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Define the derivative.

        Parameters
        ----------
        fwd : callable
            Takes the arguments of the function; returns ``(result, residuals)``.
        bwd : callable
            Takes the fixed arguments, the residuals, and a cotangent of the result; returns a tuple with
            a cotangent for each other argument, of its structure and shapes; None stands for zeros.
        """
        if not (callable(fwd) and callable(bwd)):
            raise TypeError("defvjp takes two functions: fwd and bwd")
        self._fwd, self._bwd = fwd, bwd

    def _check_rule(self) -> None:
        if self._fwd is None:
            self._undefined("defvjp(fwd, bwd)")

    def _run_fwd(self, call: _Call, args: tuple[Any, ...]) -> tuple[Any, Any]:
        both = call.run(self._fwd, args)  # type: ignore[arg-type]
        if type(both) not in (tuple, list) or len(both) != 2:
            raise TypeError(
                f"the fwd of {call.name} must return a pair, the result and the residuals; it returned "
                f"a {type(both).__name__}"
            )
        return both[0], both[1]

    def _run_bwd(self, call: _Call, residuals: Any, cotangent: Any) -> list[Any]:
        """Return the cotangent of each operand, or None."""
        assert self._bwd is not None
        parts = run(self._bwd, *call.first, residuals, cotangent)
        count = len(call.args)
        if type(parts) not in (tuple, list) or len(parts) != count:
            shown = f"{len(parts)}" if isinstance(parts, tuple | list) else type(parts).__name__
            raise InvalidGradient(
                f"the bwd of {call.name} must return a tuple with a cotangent for each of {count} "
                f"arguments; it returned {shown}"
            )
        what = f"the bwd of {call.name}: cotangents"
        found = call.of_operands(spread(tuple(parts), call.structure, what))
        triples = zip(found, call.operands, call.places())
        return [_checked(part, like, call.name, place) for part, like, place in triples]

    def _differentiated(self, call: _Call, trace: Any) -> Any:
        args = call.below(trace)
        result, residuals = self._run_fwd(call, args)
        if any(map(is_followed, flatten(args)[0])):  # there, too, the derivative is the rule's
            result = call.run(self, args)
        results, structure = flatten(result)
        found = list(map(held, results))

        def pull(cotangents: Sequence[Any]) -> list[Any]:
            filled = [
                np.zeros(r.shape, r.dtype) if c is None else c for c, r in zip(cotangents, found)
            ]
            return self._run_bwd(call, residuals, unflatten(structure, filled))

        if isinstance(trace, JVPTrace):
            floats = _floats(found)

            def of_floats(cotangents: list[Any]) -> list[Any]:
                return pull(_spread(cotangents, floats, len(found)))

            tangents = [_tangent(operand, trace) for operand in call.operands]
            pulled = transposed_at(of_floats, [found[i] for i in floats], tangents)
            out = pushed(trace, results, _spread(pulled, floats, len(found)))
        else:
            kept = flatten(residuals)[0]
            out = linked(
                trace,
                call.operands,
                results,
                lambda g: pull(cotangents_of(g, found)),
                kept,
            )
        return unflatten(structure, out)

    def _entry(self, call: _Call) -> Any:
        fun = record_body(lambda *args: call.run(self.function, args), call.leaves, call.structure)
        outputs = list(map(_described, fun.program.outputs))
        floats = _floats(outputs)
        moved = call.moved()

        def pullback(args: Any, *cotangents: Any) -> list[Any]:
            result, residuals = self._run_fwd(call, args)
            what = (
                f"the fwd of {call.name} must return what the function does, and residuals: result"
            )
            flatten_like(fun.structure, result, what)
            filled = [
                np.zeros(o.shape, o.dtype) if c is None else c
                for c, o in zip(_spread(cotangents, floats, len(outputs)), outputs)
            ]
            parts = self._run_bwd(call, residuals, unflatten(fun.structure, filled))
            return [
                np.zeros(shape_of(call.operands[i]), dtype_of(call.operands[i]))
                if parts[i] is None
                else parts[i]
                for i in moved
            ]

        examples = [np.zeros(outputs[i].shape, outputs[i].dtype) for i in floats]
        return self._bound(custom_vjp_p, "pullback", call, fun, pullback, examples)


def _tangent(operand: Any, trace: Any) -> Any:
    """Return the tangent of an operand, or None."""
    mine = isinstance(operand, Tensor) and operand.live_trace is trace
    return operand.snapshot().node if mine else None


class custom_jvp(_Custom):  # a decorator
    """Give a function a derivative of your own, in forward mode; the one for reverse mode follows.

    Parameters
    ----------
    function : callable
        Takes and returns arrays, or nests of them.
    nondiff_argnums : int or sequence of int
        Positions of arguments that are passed to the rule as they are: functions, options.

    See Also
    --------
    custom_vjp : a rule for reverse mode.

    Notes
    -----
    Reverse mode transposes the rule, which must be linear in the tangents and may not look at their
    values. Second derivatives are those of the code of the rule.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> @tg.custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1.0 + np.exp(x))
    >>> @log1pexp.defjvp
    ... def log1pexp_jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), (1 - 1 / (1 + np.exp(x))) * t
    >>> with np.errstate(over="ignore"):
    ...     tg.grad(log1pexp)(1000.0)
    np.float64(1.0)
    """

    def __init__(
        self, function: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()
    ) -> None:
        super().__init__(function, nondiff_argnums)
        self._jvp: Callable[..., Any] | None = None

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Define the derivative; a decorator.

        Parameters
        ----------
        jvp : callable
            Takes the fixed arguments, the tuple of the others, and the tuple of their tangents; returns
            ``(result, tangent)``.
        """
        if not callable(jvp):
            raise TypeError("defjvp takes a function")
        self._jvp = jvp
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Define the derivative by each argument alone.

        Parameters
        ----------
        *jvps : callable or None
            One for each argument that is not fixed: takes its tangent, the result, and the arguments;
            returns a tangent of the result. None stands for zeros.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> @tg.custom_jvp
        ... def product(x, y):
        ...     return x * y
        >>> product.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: x * t)
        >>> tg.grad(product, (0, 1))(2.0, 3.0)
        (np.float64(3.0), np.float64(2.0))
        """
        if self.nondiff_argnums:
            raise TypeError("defjvps: a function with nondiff_argnums needs defjvp")

        def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
            if len(jvps) != len(primals):
                raise TypeError(f"defjvps: {len(jvps)} rules for {len(primals)} arguments")
            out = self(*primals)
            leaves, structure = flatten(out)
            total: list[Any] = [np.zeros(shape_of(leaf), dtype_of(leaf)) for leaf in leaves]
            for rule, t in zip(jvps, tangents):
                if rule is not None:
                    part = run(rule, t, out, *primals)
                    found = flatten_like(structure, part, "defjvps: a rule's tangent")
                    total = [a + b for a, b in zip(total, found)]
            return out, unflatten(structure, total)

        self._jvp = jvp

    def _check_rule(self) -> None:
        if self._jvp is None:
            self._undefined("defjvp(jvp) or defjvps")

    def _push(self, call: _Call, args: tuple[Any, ...], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Return the result, and a tangent for each of its leaves, for a tangent of each operand."""
        assert self._jvp is not None
        given = iter(tangents)
        filled = []
        for leaf in call.leaves:
            t = next(given) if is_operand(leaf) else None
            is_float = not is_operand(leaf) or dtype_of(leaf).kind == "f"
            zero = np.zeros(
                shape_of(leaf), dtype_of(leaf) if is_float and is_operand(leaf) else float
            )
            filled.append(zero if t is None else t)
        moving = unflatten(call.structure, filled)
        both = run(self._jvp, *call.first, args, moving)
        if type(both) not in (tuple, list) or len(both) != 2:
            raise TypeError(
                f"the jvp of {call.name} must return a pair, the result and its tangent; it returned a "
                f"{type(both).__name__}"
            )
        result, tangent = both
        leaves, structure = flatten(result)
        what = f"the jvp of {call.name}: the tangent must be as the result"
        found = flatten_like(structure, tangent, what)
        for leaf, t, place in zip(leaves, found, paths(structure)):
            if shape_of(t) != shape_of(leaf) and dtype_of(leaf).kind == "f":
                raise ValueError(
                    f"the jvp of {call.name} returned a tangent of shape {shape_of(t)} for the result"
                    f"{place}, whose shape is {shape_of(leaf)}"
                )
        return result, found

    def _differentiated(self, call: _Call, trace: Any) -> Any:
        args = call.below(trace)
        if isinstance(trace, JVPTrace):
            tangents = [_tangent(operand, trace) for operand in call.operands]
            result, moved = self._push(call, args, tangents)
            results, structure = flatten(result)
            return unflatten(structure, pushed(trace, results, moved))
        result = call.run(self, args)
        results, structure = flatten(result)
        found = list(map(held, results))
        places = call.moved()

        def push(tangents: list[Any]) -> list[Any]:
            moving = _spread(tangents, places, len(call.operands))
            return list(self._push(call, args, moving)[1])

        def pull(g: Any) -> list[Any]:
            likes = [call.operands[i] for i in places]
            parts = transposed_at(push, likes, cotangents_of(g, found))
            return _spread(parts, places, len(call.operands))

        kept = [a for a in flatten(args)[0] if is_operand(a)]
        return unflatten(structure, linked(trace, call.operands, results, pull, kept))

    def _entry(self, call: _Call) -> Any:
        fun = record_body(lambda *args: call.run(self.function, args), call.leaves, call.structure)
        floats = _floats(list(map(_described, fun.program.outputs)))
        moved = call.moved()

        def pushforward(args: Any, *tangents: Any) -> list[Any]:
            moving = _spread(tangents, moved, len(call.operands))
            result, found = self._push(call, args, moving)
            what = f"the jvp of {call.name} must return what the function does: result"
            flatten_like(fun.structure, result, what)
            return [found[i] for i in floats]

        likes = [call.operands[i] for i in moved]
        examples = [np.zeros(shape_of(like), dtype_of(like)) for like in likes]
        return self._bound(custom_jvp_p, "pushforward", call, fun, pushforward, examples)
