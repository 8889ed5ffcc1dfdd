"""Functions whose derivatives users write themselves: ``custom_vjp``, ``custom_jvp``.

Where a call is differentiated by the innermost trace of its arguments, the rule is run on the values
below it. Where it is recorded, it becomes an entry that holds the function and its derivative as
programs. The derivative is the rule's at every order; derivatives of the rule are those of its code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import held
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.errors import InvalidGradient
from tapegrad.tape.core.pytree import flatten, flatten_like, paths, spread, unflatten
from tapegrad.tape.program.bodies import is_operand, record_body
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.custom_calls import Call, Custom, checked_cotangent, tangent_of
from tapegrad.tape.transforms.custom_entries import (
    custom_jvp_p,
    custom_vjp_p,
    described,
    floats_of,
    spread_over,
)
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.own_rules import (
    cotangents_of,
    is_followed,
    linked,
    pushed,
    transposed_at,
)
from tapegrad.tape.transforms.values import dtype_of, shape_of

__all__ = ["custom_jvp", "custom_vjp"]


class custom_vjp(Custom):  # a decorator
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

    def _run_fwd(self, call: Call, args: tuple[Any, ...]) -> tuple[Any, Any]:
        both = call.run(self.rule("_fwd"), args)
        if type(both) not in (tuple, list) or len(both) != 2:
            raise TypeError(
                f"the fwd of {call.name} must return a pair, the result and the residuals; it returned "
                f"a {type(both).__name__}"
            )
        return both[0], both[1]

    def _run_bwd(self, call: Call, residuals: Any, cotangent: Any) -> list[Any]:
        """Return the cotangent of each operand, or None."""
        parts = run(self.rule("_bwd"), *call.first, residuals, cotangent)
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
        return [checked_cotangent(part, like, call.name, place) for part, like, place in triples]

    def _differentiated(self, call: Call, trace: Any) -> Any:
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
            floats = floats_of(found)

            def of_floats(cotangents: list[Any]) -> list[Any]:
                return pull(spread_over(cotangents, floats, len(found)))

            tangents = [tangent_of(operand, trace) for operand in call.operands]
            pulled = transposed_at(of_floats, [found[i] for i in floats], tangents)
            out = pushed(trace, results, spread_over(pulled, floats, len(found)))
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

    def _entry(self, call: Call) -> Any:
        fun = record_body(lambda *args: call.run(self.function, args), call.leaves, call.structure)
        outputs = list(map(described, fun.program.outputs))
        floats = floats_of(outputs)
        moved = call.moved()

        def pullback(args: Any, *cotangents: Any) -> list[Any]:
            result, residuals = self._run_fwd(call, args)
            what = (
                f"the fwd of {call.name} must return what the function does, and residuals: result"
            )
            flatten_like(fun.structure, result, what)
            filled = [
                np.zeros(o.shape, o.dtype) if c is None else c
                for c, o in zip(spread_over(cotangents, floats, len(outputs)), outputs)
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


class custom_jvp(Custom):  # a decorator
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

    def _push(self, call: Call, args: tuple[Any, ...], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Return the result, and a tangent for each of its leaves, for a tangent of each operand."""
        given = iter(tangents)
        filled = []
        for leaf in call.leaves:
            t = next(given) if is_operand(leaf) else None
            is_float = not is_operand(leaf) or dtype_of(leaf).kind in CONTINUOUS
            zero = np.zeros(
                shape_of(leaf), dtype_of(leaf) if is_float and is_operand(leaf) else float
            )
            filled.append(zero if t is None else t)
        moving = unflatten(call.structure, filled)
        both = run(self.rule("_jvp"), *call.first, args, moving)
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
            if shape_of(t) != shape_of(leaf) and dtype_of(leaf).kind in CONTINUOUS:
                raise ValueError(
                    f"the jvp of {call.name} returned a tangent of shape {shape_of(t)} for the result"
                    f"{place}, whose shape is {shape_of(leaf)}"
                )
        return result, found

    def _differentiated(self, call: Call, trace: Any) -> Any:
        args = call.below(trace)
        if isinstance(trace, JVPTrace):
            tangents = [tangent_of(operand, trace) for operand in call.operands]
            result, moved = self._push(call, args, tangents)
            results, structure = flatten(result)
            return unflatten(structure, pushed(trace, results, moved))
        result = call.run(self, args)
        results, structure = flatten(result)
        found = list(map(held, results))
        places = call.moved()

        def push(tangents: list[Any]) -> list[Any]:
            moving = spread_over(tangents, places, len(call.operands))
            return list(self._push(call, args, moving)[1])

        def pull(g: Any) -> list[Any]:
            likes = [call.operands[i] for i in places]
            parts = transposed_at(push, likes, cotangents_of(g, found))
            return spread_over(parts, places, len(call.operands))

        kept = [a for a in flatten(args)[0] if is_operand(a)]
        return unflatten(structure, linked(trace, call.operands, results, pull, kept))

    def _entry(self, call: Call) -> Any:
        fun = record_body(lambda *args: call.run(self.function, args), call.leaves, call.structure)
        floats = floats_of(list(map(described, fun.program.outputs)))
        moved = call.moved()

        def pushforward(args: Any, *tangents: Any) -> list[Any]:
            moving = spread_over(tangents, moved, len(call.operands))
            result, found = self._push(call, args, moving)
            what = f"the jvp of {call.name} must return what the function does: result"
            flatten_like(fun.structure, result, what)
            return [found[i] for i in floats]

        likes = [call.operands[i] for i in moved]
        examples = [np.zeros(shape_of(like), dtype_of(like)) for like in likes]
        return self._bound(custom_jvp_p, "pushforward", call, fun, pushforward, examples)
