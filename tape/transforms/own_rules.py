"""Functions with derivatives of their own: where their calls stand, and how they are linked.

A call of such a function is one step to whatever differentiates it. If the innermost trace among the
arguments differentiates, the function is run on the values below that trace, and its results are linked
to the arguments by the function's rule (:func:`linked`, :func:`pushed`). If the call is recorded, by
``jit``, on a tape, in a body, or if a batch is differentiated by what lies below it, the call becomes an
entry that holds programs. Else nobody will ask for its derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tapegrad.tape.array.application import belongs, held, innermost, lower
from tapegrad.tape.array.tensor import Tensor, make, pin_of
from tapegrad.tape.core.bundles import link_bundle
from tapegrad.tape.core.cotangents import fit, total, zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import Structure, flatten, unflatten
from tapegrad.tape.core.reverse import sweep, sweep_by_line
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import Trace, new_trace
from tapegrad.tape.program.bodies import Body, BodyTrace, NotRecordable, is_operand
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.transforms.batching import NeedsLoop
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.linear import LinearTrace
from tapegrad.tape.transforms.reverse_mode import ReverseTrace

__all__ = [
    "Deeper",
    "Standing",
    "cotangents_of",
    "is_differentiated",
    "is_followed",
    "linked",
    "operands_of",
    "pulled_through",
    "pushed",
    "rebuilt",
    "seen_below",
    "together",
    "transposed_at",
]


class Deeper(BaseException):
    """A function reads a value of a trace that is further in than those of its arguments.

    Attributes
    ----------
    trace : Trace
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace


class Standing:
    """Where a call stands among the traces.

    Attributes
    ----------
    trace : Trace or None
        The innermost trace among the arguments if it differentiates them; None if nobody does, or if
        the call is to be an entry.
    is_entry : bool
        Whether the call is to be one entry that any trace can interpret.
    """

    __slots__ = ("_recording", "is_entry", "trace")

    def __init__(self, leaves: Sequence[Any]) -> None:
        current = state.get()
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        self.trace: Trace | None = None
        self.is_entry = False
        self._recording: StagingTrace | None = None
        top = innermost(tensors) if tensors else None
        body = current.body
        if isinstance(body, BodyTrace) and (top is None or top.level <= body.level):
            self.is_entry, self._recording = True, body
        elif top is not None:
            asking = [trace for t in tensors for trace in _asking(t)]
            if not asking:
                return
            stages = [trace for trace in asking if isinstance(trace, StagingTrace)]
            on_tape = not top.level and current.tape is not None
            if top in stages or on_tape or top not in asking:
                self.is_entry = True
                self._recording = stages[0] if stages else None
            else:
                self.trace = top

    def refuse_entry(self, reason: Any) -> None:
        """Leave a call that cannot be an entry to whoever can do without.

        ``jit`` runs the whole function as it is, ``vmap`` the examples one by one. On a tape of
        imperative tensors, the call is linked as without.
        """
        if isinstance(self._recording, BodyTrace):
            raise NotRecordable(str(reason))
        if self._recording is not None:
            self._recording.give_up(str(reason))
        if state.get().depth:
            raise NeedsLoop


def _asking(value: Any) -> list[Trace]:
    """Return the traces of a value and below it that differentiate or record it."""
    found = []
    while isinstance(value, Tensor):
        trace = value.live_trace
        is_recorded = bool(trace.level) or state.get().tracking
        if isinstance(trace, StagingTrace) or (is_recorded and trace.differentiates(value)):
            found.append(trace)
        value = value.value
    return found


def is_differentiated(value: Any) -> bool:
    """Whether a value is a tensor that some trace differentiates."""
    return any(not isinstance(trace, StagingTrace) for trace in _asking(value))


def is_followed(value: Any) -> bool:
    """Whether a value is a tensor that some trace differentiates or records."""
    return bool(_asking(value))


def seen_below(leaf: Any, trace: Trace) -> Any:
    """Return an argument as it is below the trace that differentiates it."""
    if type(leaf) is np.ndarray:
        originals = getattr(trace, "originals", None)
        return leaf if originals is None else originals.hold(leaf)
    if not isinstance(leaf, Tensor):
        return leaf
    mine = belongs(leaf, trace)
    value = lower(leaf.snapshot(), trace)
    if mine and type(value) is np.ndarray and trace.level:
        return value[()] if trace.appearance.stands_for_number(leaf) else value
    return value


# Linking results by a rule -----------------------------------------------------------------------------


def _run_linked(*arrays: Any, call: Any) -> Any:
    return call.results(arrays)


def _pull_linked(g: Any, y: Any, *args: Any, call: Any) -> Any:
    return call.pull(g)


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError(
        "a tape holds a call of a function with rules of its own that could not be recorded as "
        "programs: only backward() and the tape's gradients can follow it. It asks for values, or has "
        "effects"
    )


linked_p = Primitive(
    "own_rule",
    _run_linked,
    pull_all=_pull_linked,
    jvp=_refuse,
    batch=_refuse,
    takes_complex=True,
    multiple=True,
    saves=("none", "value"),
)


class _Linked:
    """One call whose results are known, and which has a rule."""

    __slots__ = ("_results", "pull")

    def __init__(self, results: Sequence[Any], pull: Callable[[Any], Sequence[Any]]) -> None:
        self._results: Sequence[Any] | None = results
        self.pull = pull

    def results(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        """Return the results, to which the arguments have led; it is asked once."""
        if self._results is None:
            _refuse()
        apart: list[Any] = []
        for result in self._results:
            shared = any(np.may_share_memory(result, a) for a in (*arrays, *apart))
            apart.append(np.array(result) if shared else np.asarray(result))
        self._results = None
        return tuple(apart)


def linked(
    trace: Trace,
    leaves: Sequence[Any],
    results: Sequence[Any],
    pull: Callable[[Any], Sequence[Any]],
    residuals: Sequence[Any],
) -> list[Any]:
    """Link results to the arguments of a call by a rule.

    What the results owe to values from outside, which the function reads without being given them, is
    linked as its code says.

    Parameters
    ----------
    trace : Trace
        Differentiates the call, in reverse mode.
    leaves : sequence
        The arguments that are arrays or tensors.
    results : sequence
        Of the function, run on the arguments as they are below the trace.
    pull : callable
        From cotangents of the results, as :func:`cotangents_of` takes them, to one for each of
        `leaves`, or None.
    residuals : sequence
        What the rule needs: it may not be written into meanwhile.
    """
    if isinstance(trace, LinearTrace):
        raise ValueError(
            f"{trace.name}: the function is not linear, as far as can be told: it applies a function "
            f"with a rule of its own to what depends on its arguments, at {user_location()}"
        )
    outside = [r for r in results if belongs(r, trace) and not trace.is_constant(r)]
    places = [i for i, r in enumerate(results) if any(r is o for o in outside)]

    def pulled(g: Any) -> list[Any]:
        return [*pull(g), *(g[i] if type(g[i]) is not int else None for i in places)]

    call = _Linked([_below(r, trace) for r in results], pulled)
    if not trace.level:
        return _linked_in_memory(call, (*leaves, *outside), residuals)
    nodes = [leaf.node if belongs(leaf, trace) else None for leaf in (*leaves, *outside)]
    found = [held(_below(r, trace)) for r in results]
    saved = (None,) * (len(nodes) + 1)
    bundle, picked = link_bundle(linked_p, nodes, {"call": call}, saved, found)
    where = next((r.node.where for r in found if _knows_line(r)), None)
    if where is not None:
        for node in (bundle, *picked):
            node.where = where
        trace.knows_lines = True  # type: ignore[attr-defined]
    return [
        _below(below, trace) if node.constant else make(trace, result, node)
        for below, result, node in zip(results, found, picked)
    ]


def _linked_in_memory(call: _Linked, leaves: Sequence[Any], residuals: Sequence[Any]) -> list[Any]:
    """Link results in the graph of imperative tensors, whose memory may be written into."""
    out = list(linked_p.record(tuple(leaves), {"call": call}))
    bundle = out[0].node.inputs[0] if out and out[0].node.inputs else None
    if type(bundle) is Node:
        kept = [r for r in residuals if isinstance(r, np.ndarray)]
        shared = [t for t in out if any(np.may_share_memory(t.value, r) for r in kept)]
        bundle.pins = (*bundle.pins, *map(pin_of, shared))
    return out


def _below(result: Any, trace: Trace) -> Any:
    """Return a result as it is below the trace, whose own it is if it depends on values from outside."""
    if isinstance(result, Tensor) and result.live_trace.level > trace.level:
        raise Deeper(result.live_trace)
    return lower(result.snapshot(), trace) if belongs(result, trace) else result


def _knows_line(result: Any) -> bool:
    return isinstance(result, Tensor) and getattr(result.node, "where", None) is not None


def pushed(trace: JVPTrace, results: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """Return results of a call with their tangents by its rule; None stands for zeros.

    What a result owes to values from outside is in its own tangent.
    """
    out = []
    for given, t in zip(results, tangents):
        below = _below(given, trace)
        result = held(below)
        if result.dtype.kind not in CONTINUOUS:
            out.append(below)
            continue
        t = zeros(result) if t is None else fit(_below(t, trace), result.shape, result.dtype)
        if belongs(given, trace):
            t = total(t, given.snapshot().node)
        out.append(make(trace, result, t))
    return out


# Derivatives of functions, one cotangent or tangent at a time -------------------------------------


def cotangents_of(g: Any, results: Sequence[Any]) -> list[Any]:
    """Return the cotangents of float results, zeros where there is none; None for other results."""
    return [
        None
        if r.dtype.kind not in CONTINUOUS
        else zeros(r)
        if type(part) is int
        else fit(part, r.shape, r.dtype)
        for part, r in zip(g, results)
    ]


class _RuleTrace(LinearTrace):
    """Transposes the rule of a function."""

    name = "the rule of a custom function"


def transposed_at(
    function: Callable[[list[Any]], Sequence[Any]],
    likes: Sequence[Any],
    cotangents: Sequence[Any],
    kind: type[ReverseTrace] = _RuleTrace,
) -> list[Any]:
    """Return what the transpose of a linear function gives for cotangents of its results.

    Parameters
    ----------
    function : callable
        Takes a list of arrays, of the shapes and dtypes of `likes`, and returns a sequence; None stands
        for zeros.
    likes : sequence
    cotangents : sequence
        None stands for zeros.
    kind : type
        What traces the function: by default, what refuses a function that is not linear.
    """
    with new_trace(kind) as trace:
        variables = [trace.variable(np.zeros(like.shape, like.dtype)) for like in likes]
        roots = [
            (r.node, np.broadcast_to(t, r.shape))
            for r, t in zip(function(variables), cotangents)
            if t is not None and belongs(r, trace)
        ]
    found = (sweep_by_line if trace.knows_lines else sweep)(roots)
    return [found.get(v.node) for v in variables]


def pulled_through(
    function: Callable[..., Sequence[Any]],
    values: Sequence[Any],
    cotangents: Sequence[Any],
    *,
    imperative: bool = False,
) -> list[Any]:
    """Run a function at `values`, and pull cotangents of its results back to those that are floats.

    None stands for a cotangent of zeros, or of what is no float.
    """
    with new_trace(ReverseTrace) as trace:
        given = [trace.variable(v) if v.dtype.kind in CONTINUOUS else v for v in map(held, values)]
        results = function(*given)
        roots = [
            (r.node, g) for r, g in zip(results, cotangents) if g is not None and belongs(r, trace)
        ]
    run = sweep_by_line if trace.knows_lines else sweep
    found = run(roots, imperative=imperative)
    return [found.get(v.node) if belongs(v, trace) else None for v in given]


# Programs of several functions --------------------------------------------------------------------


def together(bodies: Sequence[Body], counts: Sequence[int]) -> tuple[list[Program], list[Tensor]]:
    """Return recorded functions as programs that take the same values from outside.

    Parameters
    ----------
    bodies : sequence of Body
    counts : sequence of int
        How many inputs of each are its own; those from outside follow them.

    Returns
    -------
    programs : list of Program
        Each takes its own inputs, and then all values from outside.
    hidden : list of Tensor
        These values.
    """
    hidden: dict[Any, tuple[Tensor, Node, bool]] = {}
    for body, count in zip(bodies, counts):
        program = body.program
        for (key, value), node in zip(body.hidden.items(), program.inputs[count:]):
            hidden.setdefault(key, (value, node, node in program.weak))
    programs = []
    for body, count in zip(bodies, counts):
        program = body.program
        known = dict(zip(body.hidden, program.inputs[count:]))
        inputs, weak = list(program.inputs[:count]), set(program.weak)
        for key, (_, like, is_weak) in hidden.items():
            own = known.get(key) or Node(None, (), {}, (), like.shape, like.dtype)
            if key not in known and is_weak:
                weak.add(own)
            inputs.append(own)
        programs.append(Program(inputs, program.entries, program.outputs, weak))
    return programs, [value for value, _, _ in hidden.values()]


def operands_of(tree: Any) -> tuple[list[Any], list[Any], Structure]:
    """Return the leaves of a nest, those of them that are arrays or tensors, and its structure."""
    leaves, structure = flatten(tree)
    return leaves, [leaf for leaf in leaves if is_operand(leaf)], structure


def rebuilt(leaves: Sequence[Any], structure: Structure, operands: Sequence[Any]) -> Any:
    """Return a nest with other arrays in place of its own."""
    new = iter(operands)
    return unflatten(structure, [next(new) if is_operand(leaf) else leaf for leaf in leaves])
