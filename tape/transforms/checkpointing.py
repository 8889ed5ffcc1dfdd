"""``checkpoint``: functions that keep their arguments for the reverse sweep, and are run again in it.

Where a call is differentiated by the innermost trace of its arguments, the function is run once, without
a graph, by a trace that notes what is done as a program; the sweep runs this program again. Where a call
is recorded, it becomes an entry that holds the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind, held, lower_arguments, make_result
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.bundles import link_bundle
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.later import later
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import Traced, new_trace
from tapegrad.tape.core.types import P, R
from tapegrad.tape.core.watching import watching
from tapegrad.tape.program.bodies import BodyTrace, NotRecordable, is_operand, record_body
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staged_values import StagedAppearance
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.linear import LinearTrace
from tapegrad.tape.transforms.own_rules import (
    Deeper,
    Standing,
    cotangents_of,
    is_followed,
    linked,
    operands_of,
    pulled_through,
    seen_below,
)
from tapegrad.tape.transforms.reverse_mode import ReverseTrace
from tapegrad.tape.transforms.transformed import transformed

__all__ = ["checkpoint", "checkpoint_p", "recompute_p", "remat"]


# The entries -------------------------------------------------------------------------------------------


def _batch_again(args: Any, batched: Any, size: int, params: dict[str, Any]) -> Any:
    x, cotangent = args
    whole = x if batched[0] else np.broadcast_to(x, (size, *np.shape(x)))
    return bind(recompute_p, whole, cotangent)


recompute_p = Primitive(
    "recompute",
    lambda x, cotangent: np.array(x),
    (lambda g, y, x, cotangent: g, None),
    jvp="linear",
    batch=_batch_again,
    takes_complex=True,
    source=lambda args, params: f"np.array({args[0]})  # when {args[1]} is known",
)


def _pull(g: Any, y: Any, *values: Any, program: Program, imperative: bool = False) -> list[Any]:
    outputs = [o if type(o) is Node else np.asarray(o) for o in program.outputs]
    return _pulled_again(program, values, cotangents_of(g, outputs), imperative=imperative)


def _pulled_again(
    program: Program, values: Sequence[Any], cotangents: Sequence[Any], *, imperative: bool
) -> list[Any]:
    """Run a program again, and pull cotangents back through it.

    Where all this is recorded, what it computes is kept apart from the first run, which ``jit`` would
    otherwise take it from: it starts from copies that are made when a cotangent is known.
    """
    first = next((c for c in cotangents if c is not None), None)
    if first is not None and any(map(is_followed, (*values, *cotangents))):
        values = [
            bind(recompute_p, v, first) if held(v).dtype.kind in CONTINUOUS else v for v in values
        ]
    return pulled_through(program, values, cotangents, imperative=imperative)


def _push(tangents: Any, y: Any, *values: Any, program: Program) -> list[Any]:
    moved = [i for i, t in enumerate(tangents) if t is not None]
    pushforward = program.pushforward(moved)
    pushed = iter(bind(checkpoint_p, *values, *(tangents[i] for i in moved), program=pushforward))
    return [next(pushed) if r.dtype.kind in CONTINUOUS else None for r in y]


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    program = params["program"].batch(size, batched)
    return bind(checkpoint_p, *args, program=program)  # type: ignore[no-any-return]


def _forward(*values: Any, program: Any) -> tuple[Any, ...]:
    return tuple(np.array(out) for out in program(*values))


def _declared(name: str, **slots: Any) -> Primitive:
    return Primitive(
        name,
        _forward,
        jvp=_push,
        batch=_batch,
        multiple=True,
        saves=("none", "value"),
        expansion=lambda *values, program: program(*values),
        source=lambda args, params: f"{params['program']}({', '.join(args)})",
        takes_complex=True,
        **slots,
    )


checkpoint_p = _declared(
    "checkpoint",
    pull_all=_pull,
    imperative=_declared("checkpoint_imperative", pull_all=partial(_pull, imperative=True)),
)


# A run that is noted -----------------------------------------------------------------------------------


class NotingAppearance(StagedAppearance):
    """How values look that are known, but may be traced by what lies below."""

    __slots__ = ()

    def between_numbers(self, value: Traced, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply an operator to Python's numbers, of which those that are traced below know the rules."""
        if not any(isinstance(a, Tensor) and isinstance(a.value, Tensor) for a in args):
            return super().between_numbers(value, ufunc, args)
        trace: Any = value.live_trace
        if any(isinstance(a, Tensor) and a.node not in trace.weak for a in args):
            return NotImplemented
        out = trace.process(primitives[ufunc.__name__], args, {})
        trace.weak.add(out.node)
        return out


class NotingTrace(BodyTrace):
    """The trace of one run of a function, on real values: it keeps the program, and no values.

    Parameters
    ----------
    level : int
    below : Trace
        Differentiates the call; the function is run on the values below it.
    """

    name = "checkpoint"
    has_examples = False
    appearance_of = NotingAppearance

    def __init__(self, level: int, below: Any) -> None:
        super().__init__(level)
        self._below = below
        self._outer = state.get().body

    def like(self, value: Any) -> Tensor:
        """Return an input that holds the value itself."""
        number = None
        if isinstance(value, Tensor):
            if value.live_trace.level > self._below.level:
                raise Deeper(value.live_trace)
            number = value.live_trace.appearance.number_type(value)
        known = seen_below(value, self._below)
        array = held(known)
        if number is not None and type(array) is np.ndarray:
            return self.variable(array, original=number(array))
        return self.variable(array, original=known if isinstance(known, np.generic) else None)

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute, and append an entry without values."""
        mine = tuple(
            self.lift(a) if isinstance(a, Tensor) and a.live_trace is not self else a for a in args
        )
        values, links = lower_arguments(self, mine)
        operands: list[Any] = []
        for i, (value, link) in enumerate(zip(values, links)):
            if link is None:
                if isinstance(value, np.ndarray):
                    values[i] = value = self.originals.copy(value)
                elif not isinstance(value, int | float | complex | np.generic):
                    values[i] = value = np.asarray(value)
            elif link in self.weak and type(value) is np.ndarray:
                values[i] = value.item()
            operands.append(value if link is None else link)
        out = self._computed(primitive, values, params)
        watch = watching.get()
        if watch is not None:
            watch.applied(primitive, values, out)
        where = user_location()
        if primitive.multiple:
            return self._several_noted(primitive, tuple(operands), params, out, where)
        out = held(out)
        node = entry(primitive, tuple(operands), dict(params), out.shape, out.dtype, where)
        node.constant = out.dtype.kind not in CONTINUOUS
        self.entries.append(node)
        new = make_result(self, primitive, mine, params, values[0], out, node)
        return self._cut(new) if constant and not node.constant else new

    def _computed(self, primitive: Primitive, values: list[Any], params: Any) -> Any:
        """Apply a primitive to the values below: that is no part of this program."""
        if not any(isinstance(v, Tensor) for v in values):
            return primitive.forward(*values, **params)
        inside = state.get()
        token = state.set(inside.replace(body=self._outer))
        try:
            return bind(primitive, *values, **params)
        finally:
            state.reset(token)

    def _several_noted(
        self, primitive: Primitive, operands: Any, params: Any, out: Any, where: Any
    ) -> tuple[Any, ...]:
        results = list(map(held, out))
        bundle, picked = link_bundle(primitive, (), dict(params), (), results)
        bundle.operands, bundle.where = operands, where
        self.entries.append(bundle)
        for node in picked:
            node.inputs, node.operands, node.where = (), (bundle,), where
            self.entries.append(node)
        return tuple(make(self, result, node) for result, node in zip(results, picked))

    def guard(self, tensor: Traced, kind: str, seen: Any) -> None:
        """Python may see values, which are the real ones; what is cut off by that is refused."""
        if kind not in ("bool", "int", "index", "text", "repr") or isinstance(seen, Tensor):
            raise NotRecordable(f"the function asks for a value ({kind})")


def _noted(function: Callable[..., Any], leaves: Any, structure: Any, below: Any) -> Any:
    """Run a function below a trace.

    Returns
    -------
    program : Program
    hidden : list of Tensor
        What it read from outside: its further inputs.
    values : list
        Of its inputs, below the trace.
    results : list
        Below the trace.
    structure : Structure
        Of the results.
    """
    with new_trace(NotingTrace, below) as trace:
        given = [trace.like(leaf) if is_operand(leaf) else leaf for leaf in leaves]
        args, kwargs = unflatten(structure, given)
        result = later.read(trace, function, args, kwargs)
        found, out_structure = flatten(result)
        outputs, results = [], []
        for leaf in found:
            if isinstance(leaf, Tensor):
                leaf = leaf if leaf.live_trace is trace else trace.lift(leaf)
            mine = isinstance(leaf, Tensor)
            if not mine and not isinstance(leaf, np.ndarray | np.generic | int | float):
                raise NotRecordable(f"the function returns a {type(leaf).__name__}")
            outputs.append(leaf.node if mine else np.array(leaf))
            results.append(leaf.snapshot().value if mine else np.array(leaf))
        inputs = list(trace.inputs)
        values = [held(v) for v in (trace.passed[node] for node in inputs)]
        program = Program(inputs, trace.entries, outputs, trace.weak).select(outputs)
        hidden = list(trace.hidden.values())
    return program, hidden, values, results, out_structure


# The function ------------------------------------------------------------------------------------------


def checkpoint(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that keeps only its arguments for the reverse sweep, and is run again in it.

    Residuals take memory from the time at which they are computed until the sweep has used them. A
    function made of checkpointed blocks keeps the arguments of the blocks, and the residuals of one
    block at a time; that costs one more run of each block.

    Parameters
    ----------
    function : callable
        Takes and returns arrays, or nests of them.

    Returns
    -------
    callable
        With the same values and derivatives.

    Notes
    -----
    What the function does in the first run is what is run again: random numbers are not drawn anew.
    What it reads from outside and is being differentiated is kept as an argument is.

    Forward mode keeps no residuals, and runs the function as it is. Under ``jit``, the second run is
    part of the plan, and starts from copies of the arguments that are made when the cotangents are
    known: equal expressions of the two runs are not merged. Within each run all is fused as elsewhere.

    A call is checkpointed if something among its arguments is traced, or an imperative variable.

    A function that can be no program (it writes into an array from outside, or makes a plain number of a
    value) is run as without ``checkpoint``.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> block = tg.checkpoint(lambda x: np.tanh(np.sin(x) * x))
    >>> bool(tg.grad(block)(0.5) == tg.grad(lambda x: np.tanh(np.sin(x) * x))(0.5))
    True
    """

    @transformed(checkpoint, function)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        leaves, operands, structure = operands_of((args, kwargs))
        standing = Standing(operands)
        trace = standing.trace
        if isinstance(trace, LinearTrace):
            trace = None  # keeps what its transpose needs, and is not run twice
        try:
            if standing.is_entry or (isinstance(trace, JVPTrace) and _is_followed(operands, trace)):
                return _entry(function, leaves, operands, structure)
            if trace is not None and not isinstance(trace, JVPTrace):
                return _linked(function, leaves, operands, structure, trace)
        except NotRecordable:
            pass
        return run(function, *args, **kwargs)

    return checkpointed


#: Another name of it, which users of JAX know.
remat = checkpoint


def _is_followed(operands: Sequence[Any], trace: Any) -> bool:
    """Whether arguments are differentiated or recorded below a trace."""
    return any(is_followed(seen_below(o, trace)) for o in operands)


def _entry(function: Any, leaves: Any, operands: Any, structure: Any) -> Any:
    body = record_body(lambda args, kwargs: run(function, *args, **kwargs), leaves, structure)
    if not body.program.outputs:
        return unflatten(body.structure, [])
    results = bind(checkpoint_p, *operands, *body.hidden.values(), program=body.program)
    return unflatten(body.structure, [r[()] if type(r) is np.ndarray else r for r in results])


def _linked(function: Any, leaves: Any, operands: Any, structure: Any, trace: Any) -> Any:
    try:
        program, hidden, values, results, out = _noted(function, leaves, structure, trace)
    except Deeper as found:
        if type(found.trace) is ReverseTrace:
            return _linked(function, leaves, operands, structure, found.trace)
        return _entry(function, leaves, operands, structure)
    shown = list(map(held, results))

    def pull(g: Any) -> list[Any]:
        cotangents = cotangents_of(g, shown)
        return _pulled_again(program, values, cotangents, imperative=not trace.level)

    return unflatten(out, linked(trace, [*operands, *hidden], results, pull, values))
