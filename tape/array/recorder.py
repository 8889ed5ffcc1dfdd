"""The recorder: what imperative code does with a primitive, as a function generated for it.

To record an operation takes a few steps for each argument and for its result, and which they are
depends on the primitive alone: how many arguments it has, which values its rules need, whether it
makes views. So the function that records a primitive is written from the template below when the
primitive is first applied. It is the only code that makes nodes for imperative operations, on tapes
too. Its source is shown by tracebacks, debuggers, and

>>> from tapegrad.tape.core.primitive import primitives
>>> from tapegrad.tape.array.recorder import source_of
>>> print(source_of(primitives["exp"]))  # doctest: +ELLIPSIS
def record(args, params=NO_PARAMS, constant=None, guard=None):
    ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array import graph
from tapegrad.tape.array.guard import release_with
from tapegrad.tape.array.paths import mark_view, shares_memory
from tapegrad.tape.array.templates import RESULT, SHARED, filled, joined, refused, tuple_of
from tapegrad.tape.array.tensor import Tensor, imperative, make, pin_of
from tapegrad.tape.core.bundles import link_bundle
from tapegrad.tape.core.checks import refuse_complex, refuse_result
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC
from tapegrad.tape.core.generated import define
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, implements
from tapegrad.tape.core.state import GuardDefault, State, guarding, state

__all__ = ["NUMBERS", "recorder_of", "source_of"]

#: Operands that stay as they are: Python's numbers are weak in promotion.
NUMBERS = frozenset({float, int, bool, complex, np.float64, np.float32, np.int64, np.complex128})

_NO_PARAMS: dict[str, Any] = {}

# The parts of a recorder's source. Names in capitals are constants. With the number of an argument, `x`
# is the argument, `n` its node, `v` its value, `s` what is saved of it, and `p` its pin.

_HEAD = """
def record(args, params=NO_PARAMS, constant=None, guard=None):
    if guard is None:
        switches = state()
        if switches.unusual:
            return record_unusually(PRIMITIVE, args, params, constant, switches)
        guard = GUARD_DEFAULT.on if switches.guard is None else switches.guard
    live = False
    locks = ()
"""

#: What has no derivatives is recorded on tapes alone.
_HEAD_WITHOUT_DERIVATIVES = """
def record(args, params=NO_PARAMS, constant=None, guard=None):
    if guard is None:
        return compute(PRIMITIVE, args, params, constant, state())
    locks = ()
"""

_ARGUMENT = """
kind = type(x#)
if kind is Tensor or (kind not in NUMBERS and isinstance(x#, Tensor)):
    {enter}
    if not n#.constant:
        live = True
    v# = x#._value
    {saved_of_tensor}
elif kind in NUMBERS:
    n# = p# = None
    v# = x#
    {saved_of_number}
else:
    n# = p# = None
    v#, locks = locked(x#, locks, guard)
    {saved_of_array}
"""

_ENTER = """
n# = x#._node
if not n#.settled:
    n#, locks = enter(x#, locks, guard)
"""

_ENTER_AND_PIN = """
n# = x#._node
if n#.settled:
    p# = x#._pin or pin_of(x#)
else:
    n#, locks = enter(x#, locks, guard)
    p# = pin_of(x#)
"""

_ENTER_AS_VIEWED = """
n#, locks = enter_viewed(x#, locks, guard)
p# = None
"""

#: For each use that rules make of an argument: what is saved of a tensor, a number and an array. A
#: node has the shape and dtype of its value. Constants are kept for who looks at the graph: their locks
#: keep them alive anyway.
_SAVED = {
    "value": ("", "", ""),
    "shape": ("s# = n#", "s# = shaped(v#)", "s# = v#"),
    "none": ("s# = None", "s# = v#", "s# = v#"),
}

_OUT = """
if type(out) is not ARRAY:
    out = as_array(out)
dtype = out.dtype
if constant is not None:
    live = wanted(constant, PRIMITIVE, out)
"""

_OWN_RESULT = """
if live and (dtype is FLOAT64 or dtype.kind in CONTINUOUS):
    node.constant = False
    node.settled = True
    node.owner = weak(new)
else:
    if dtype.kind not in NUMERIC or (live and dtype.kind == "c"):
        refuse_result(out, PRIMITIVE)
    node.constant = True
    node.settled = False
    node.owner = None
return new
"""

_VIEWED_RESULT = """
node.constant = not live or dtype.kind not in "fc"
node.settled = False
node.owner = None
if shares_memory(out, v0):
    mark_view(new, x0, PRIMITIVE, params)
    if not out.flags.writeable:
        release_with(out, v0)
return new
"""


def _argument(use: str, *, view: bool, number: Any = "") -> str:
    """Return the steps for one argument, of which the rules use its value, its shape or nothing."""
    enter = _ENTER_AS_VIEWED if view else _ENTER_AND_PIN if use == "value" else _ENTER
    names = ("saved_of_tensor", "saved_of_number", "saved_of_array")
    text = filled(_ARGUMENT, enter=enter, **dict(zip(names, _SAVED[use])))
    return text.replace("#", str(number))


def _unrolled(primitive: Primitive, uses: tuple[str, ...]) -> str:
    """Return the source for a primitive of so many arguments."""
    use_of_result, *rest = uses
    arguments = [f"v{i}" for i in range(len(rest))]
    saved = [f"v{i}" if use == "value" else f"s{i}" for i, use in enumerate(rest)]
    pins = [f"p{i}" for i, use in enumerate(rest) if use == "value"]
    of_result = {"value": "out", "shape": "shaped(out)", "none": "None"}[use_of_result]
    if use_of_result == "value":
        pins.append("pin")
    call = ", ".join(arguments)
    body = [
        f"{tuple_of([f'x{i}' for i in range(len(rest))])[1:-1]} = args",
        *(_argument(use, view=primitive.view, number=i) for i, use in enumerate(rest)),
        refused(primitive, tuple_of(arguments)),
        f"out = forward({call}, **params) if params else forward({call})",
        _OUT,
        "pin = new_pin()" if use_of_result == "value" else "",
        filled(
            RESULT,
            inputs=tuple_of([f"n{i}" for i in range(len(rest))]),
            saved=tuple_of([of_result, *saved]),
            pins=tuple_of(pins),
            locks="locks",
            trace="TRACE",
            pin="pin" if use_of_result == "value" else "None",
        ),
        _VIEWED_RESULT if primitive.view else _OWN_RESULT,
    ]
    return joined(_HEAD, body)


def _looped(primitive: Primitive) -> str:
    """Return the source for a primitive of any number of arguments."""
    steps = _argument("value", view=False)
    steps += "inputs.append(n)\nvalues.append(v)\npins.append(p if needed else None)\n"
    pins = "(*pins, pin)" if primitive.saves_result else "tuple(pins)"
    body = [
        "inputs, values, pins = [], [], []",
        filled("for x, needed in zip(args, NEEDED):\n    {steps}\n", steps=steps),
        refused(primitive, "values"),
        "out = forward(*values, **params)",
        "" if primitive.differentiable else "live = False",
        _OUT,
        "pin = new_pin()" if primitive.saves_result else "",
        filled(
            RESULT,
            inputs="inputs",
            saved="save(out, values)" if primitive.differentiable else "()",
            pins=pins if primitive.differentiable else "()",
            locks="locks",
            trace="TRACE",
            pin="pin" if primitive.saves_result else "None",
        ),
        _OWN_RESULT,
    ]
    return joined(_HEAD if primitive.differentiable else _HEAD_WITHOUT_DERIVATIVES, body)


def source_of(primitive: Primitive) -> str:
    """Return the source of a primitive's recorder."""
    uses = primitive.uses
    if primitive.view and (uses is None or "value" in uses):
        raise TypeError(f"{primitive.name} makes views: its rules may read shapes, and no values")
    if uses is None or not primitive.differentiable:
        return _looped(primitive)
    return _unrolled(primitive, uses)


@implements("recorder")
def recorder_of(primitive: Primitive) -> Callable[..., Any]:
    """Make the function that records a primitive in imperative code, and keep it in ``record``.

    It is called as ``record(args, params, constant, guard)``. `constant` is the user's wish, or None.
    `guard` says whether to lock arrays; left out, the switches of the context decide, about recording
    at all too.
    """
    if primitive.multiple:
        primitive.record = partial(_record_several, primitive)
        return primitive.record
    space = {
        **_SHARED,
        "PRIMITIVE": primitive,
        "NEEDED": primitive.needs_values,
        "TRACE": imperative.trace,
        "CONTINUOUS": CONTINUOUS if primitive.takes_complex else "f",
        "forward": primitive.forward,
        "refuse_complex": refuse_complex,
        "refuse_result": refuse_result,
        "save": primitive.save,
    }
    title = f"recorder of {primitive.name}"
    primitive.record = define("record", title, source_of(primitive), space)
    return primitive.record


def record_unusually(
    primitive: Primitive,
    args: tuple[Any, ...],
    params: Mapping[str, Any],
    constant: bool | None,
    switches: State,
) -> Any:
    """Record on a tape, in a body or inside a transformation; only compute under ``no_autodiff``."""
    if switches.body is not None:
        return switches.body.process(primitive, args, params, constant)
    tape = switches.tape
    if tape is None and not switches.tracking:
        return compute(primitive, args, params, constant, switches)
    guard = guarding(switches) and (not switches.depth or graph.any_variable(args))
    new = primitive.record(args, params, constant, guard)
    if tape is not None:
        tape.keep(primitive, args, params, new._node)
    return new


def compute(
    primitive: Primitive,
    args: tuple[Any, ...],
    params: Mapping[str, Any],
    constant: bool | None,
    switches: State,
) -> Any:
    """Apply a primitive without a graph; what has no derivatives gives an array, but on tapes."""
    if switches.tape is not None or switches.body is not None:
        return record_unusually(primitive, args, params, constant, switches)
    values = [_value_of(a) for a in args]
    if not primitive.takes_complex:
        refuse_complex(primitive, values)
    out = primitive.forward(*values, **params)
    if not primitive.differentiable:
        return out
    if type(out) is not np.ndarray:
        out = np.asarray(out)
    live = (
        out.dtype.kind in CONTINUOUS if constant is None else graph.wanted(constant, primitive, out)
    )
    node = Node(None, (), {}, (), out.shape, out.dtype)
    node.constant = not live
    new = make(imperative.trace, out, node)
    if primitive.view and shares_memory(out, values[0]):
        mark_view(new, args[0], primitive, params)
        if not out.flags.writeable:
            release_with(out, values[0])
    return new


def _record_several(
    primitive: Primitive,
    args: tuple[Any, ...],
    params: Mapping[str, Any] = _NO_PARAMS,
    constant: bool | None = None,
) -> Any:
    """Record an application that has several results."""
    switches = state.get()
    if switches.body is not None:
        return switches.body.process(primitive, args, params, constant)
    nodes = [graph.current_node(a) for a in args if isinstance(a, Tensor)]
    live = switches.tracking and not constant and not all(node.constant for node in nodes)
    guard = live and guarding(switches)
    values, inputs, pins = [], [], []
    locks: graph.Locks = ()
    for a, needed in zip(args, primitive.needs_values):
        node = None
        if isinstance(a, Tensor):
            node = a._node
            if live:
                node, locks = graph.enter(a, locks, guard)
                pins += [pin_of(a)] if needed else []
            a = a._value
        elif type(a) not in NUMBERS:
            a, locks = graph.locked(a, locks, guard)
        values.append(a)
        inputs.append(node)
    # What is on a tape is what was asked for: what a pullback needs is computed once more.
    keeps = live and switches.tape is None
    kept = primitive.kept(params, inputs if keeps else None, imperative=True)
    if not primitive.takes_complex:
        refuse_complex(primitive, values)
    results = [np.asarray(result) for result in primitive.forward(*values, **kept.params)]
    if not switches.tracking:
        return tuple(Tensor(result, copy=False) for result in results)
    saved = primitive.save(tuple(results[kept.first :]) or None, values) if live else ()
    results = results[: kept.asked]
    bundle, picked = link_bundle(
        primitive, inputs, kept.rule_params, saved, results, constant=not live
    )
    bundle.pins, bundle.locks = tuple(pins), locks
    if switches.tape is not None:
        switches.tape.keep(primitive, args, params, bundle)
        for node in picked:
            switches.tape.keep(node.primitive, (None,), node.params, node)
    return tuple(make(imperative.trace, result, node) for result, node in zip(results, picked))


def _value_of(a: Any) -> Any:
    if isinstance(a, Tensor):
        return a.value
    return a if type(a) in NUMBERS else np.asarray(a)


#: What every recorder's source refers to.
_SHARED = {
    **SHARED,
    "__name__": __name__,
    "GUARD_DEFAULT": GuardDefault,
    "NUMBERS": NUMBERS,
    "NUMERIC": NUMERIC,
    "compute": compute,
    "enter": graph.enter,
    "locked": graph.locked,
    "new_pin": object,
    "enter_viewed": graph.enter_viewed,
    "pin_of": pin_of,
    "record_unusually": record_unusually,
    "release_with": release_with,
    "state": state.get,
    "wanted": graph.wanted,
}
