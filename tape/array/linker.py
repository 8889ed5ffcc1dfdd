"""The linker: what the trace of ``grad`` does with a primitive, as a function generated for it.

It is the sibling of the recorder. There is nothing to lock or to pin inside a transformation, but
arguments may belong to other traces, and the values may be tensors of traces below. The common case,
where all values are arrays, is written out; :func:`link_result` makes the other results.

>>> from tapegrad.tape.core.primitive import primitives
>>> from tapegrad.tape.array.linker import source_of
>>> print(source_of(primitives["exp"]))  # doctest: +ELLIPSIS
def link(trace, args, params=NO_PARAMS, constant=None):
    ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import (
    bind,
    held,
    lower_arguments,
    make_result,
    without_history,
)
from tapegrad.tape.array.templates import RESULT, SHARED, filled, joined, refused, tuple_of
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.bundles import link_bundle
from tapegrad.tape.core.checks import as_result, refuse_complex, refuse_result
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.generated import define
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, implements
from tapegrad.tape.core.state import state

__all__ = ["linker_of", "source_of"]

#: Types of most arguments that are no tensors.
_NO_TENSORS = frozenset(
    {np.ndarray, float, int, bool, complex, np.float64, np.float32, np.int64, np.complex128}
)

# Names are as in the recorder. `deep` says whether a value is a tensor of a trace below.

_HEAD = """
def link(trace, args, params=NO_PARAMS, constant=None):
    body = state().body
    if body is not None and body.level > trace.level:
        return body.process(PRIMITIVE, args, params, constant)
    deep = False
"""

_ARGUMENT = """
kind = type(x#)
if kind is Tensor or (kind not in NO_TENSORS and isinstance(x#, Tensor)):
    if x#._trace is trace:
        n# = x#._node
        v# = x#._value
    else:
        n# = None
        v# = trace.lift(x#)
    if type(v#) is not ARRAY:
        deep = True
    {kept_of_tensor}
else:
    n# = None
    v# = x#
    {kept_of_array}
{passive}
"""

#: Arrays of users may change until the sweep.
_KEPT = "s# = trace.originals.hold(v#) if kind is ARRAY and trace.originals is not None else v#"

_CALL = """
{refused}
out = bind(PRIMITIVE, {call}, **params) if deep else forward({call}, **params)
if deep or constant or {unlinked}:
    return link_result(trace, PRIMITIVE, args, params, constant, {values}, {nodes}, out)
if type(out) is not ARRAY:
    out = as_result(out, PRIMITIVE)
dtype = out.dtype
if dtype.kind not in CONTINUOUS:
    if dtype.kind not in "iub":
        refuse_result(out, PRIMITIVE)
    return out
"""

_LINKED = """
node.constant = node.settled = False
node.owner = None
{viewed}
return new
"""

_VIEWED = """
if shares_memory(out, v0):
    mark_view(new, x0, PRIMITIVE, params)
"""


def _argument(use: str, *, passive: bool, number: int) -> str:
    """Return the steps for one argument, of which the rules use its value, its shape or nothing."""
    value = use == "value"
    text = filled(
        _ARGUMENT,
        kept_of_tensor="s# = v#" if value else "",
        kept_of_array=_KEPT if value else "",
        passive="n# = None" if passive else "",
    )
    return text.replace("#", str(number))


def source_of(primitive: Primitive) -> str:
    """Return the source of the linker of a primitive with a fixed number of arguments."""
    uses = primitive.uses
    assert uses is not None
    use_of_result, *rest = uses
    count = range(len(rest))
    saved = {"value": "s{0}", "shape": "n{0} or shaped(v{0})", "none": "None"}
    of_result = {"value": "out", "shape": "shaped(out)", "none": "None"}[use_of_result]
    body = [
        f"{tuple_of([f'x{i}' for i in count])[1:-1]} = args",
        *(
            _argument(use, passive=not primitive.differentiable_in(i), number=i)
            for i, use in enumerate(rest)
        ),
        filled(
            _CALL,
            call=", ".join(f"v{i}" for i in count),
            unlinked=" is ".join([*(f"n{i}" for i in count), "None"]),
            values=f"[{', '.join(f'v{i}' for i in count)}]",
            refused=refused(primitive, tuple_of([f"v{i}" for i in count])),
            nodes=f"[{', '.join(f'n{i}' for i in count)}]",
        ),
        filled(
            RESULT,
            inputs=tuple_of([f"n{i}" for i in count]),
            saved=tuple_of([of_result, *(saved[use].format(i) for i, use in enumerate(rest))]),
            pins="()",
            locks="()",
            trace="trace",
            pin="None",
        ),
        filled(_LINKED, viewed=_VIEWED if primitive.view else ""),
    ]
    return joined(_HEAD, body)


@implements("linker")
def linker_of(primitive: Primitive) -> Callable[..., Any]:
    """Make the function that links a primitive inside ``grad``, and keep it in ``link``.

    It is called as ``link(trace, args, params, constant)``.
    """
    if primitive.multiple or primitive.uses is None or not primitive.differentiable:
        primitive.link = partial(_link, primitive)
    else:
        space = {
            **SHARED,
            "__name__": __name__,
            "as_result": as_result,
            "refuse_complex": refuse_complex,
            "refuse_result": refuse_result,
            "NO_TENSORS": _NO_TENSORS,
            "CONTINUOUS": CONTINUOUS if primitive.takes_complex else "f",
            "PRIMITIVE": primitive,
            "bind": bind,
            "forward": primitive.forward,
            "link_result": link_result,
            "state": state.get,
        }
        title = f"linker of {primitive.name}"
        primitive.link = define("link", title, source_of(primitive), space)
    return primitive.link


def _link(
    primitive: Primitive,
    trace: Any,
    args: tuple[Any, ...],
    params: Mapping[str, Any],
    constant: bool | None = None,
) -> Any:
    """Link an application with any number of arguments, or of results."""
    body = state.get().body
    if body is not None and body.level > trace.level:
        return body.process(primitive, args, params, constant)
    values, nodes = lower_arguments(trace, args)
    if primitive.has_passive_arguments:
        nodes = [n if primitive.differentiable_in(i) else None for i, n in enumerate(nodes)]
    if not primitive.takes_complex:
        refuse_complex(primitive, values)
    if primitive.multiple and not constant and nodes.count(None) < len(nodes):
        return _link_several(trace, primitive, nodes, params, values)
    out = bind(primitive, *values, **params)
    return link_result(trace, primitive, args, params, constant, values, nodes, out)


def link_result(
    trace: Any,
    primitive: Primitive,
    args: tuple[Any, ...],
    params: Mapping[str, Any],
    constant: bool | None,
    values: list[Any],
    inputs: list[Any],
    out: Any,
) -> Any:
    """Make the result of an application, whatever lies below.

    `values` are the arguments as they are below, `inputs` the nodes of those by which the primitive
    is differentiated here, and `out` is what it gave below.
    """
    if constant:
        return without_history(out)
    if inputs.count(None) == len(inputs):
        return out
    if type(out) is not np.ndarray and not isinstance(out, Tensor):
        out = as_result(out, primitive)
    if out.dtype.kind not in CONTINUOUS:
        if out.dtype.kind not in "iub":
            refuse_result(out, primitive)
        return out
    if type(out) is not np.ndarray:
        out = out.snapshot()
    saved = primitive.save(out, _unchanging(trace, primitive, args, values))
    node = Node(primitive, inputs, params, saved, out.shape, out.dtype)
    if type(out) is not np.ndarray:
        where = getattr(out.node, "where", None)
        if where is not None:  # a tape is kept below
            node.where = where
            trace.knows_lines = True
    return make_result(trace, primitive, args, params, values[0], out, node)


def _link_several(
    trace: Any,
    primitive: Primitive,
    inputs: list[Any],
    params: Mapping[str, Any],
    values: list[Any],
) -> tuple[Any, ...]:
    """Link several results; those that are no floats are what they are below."""
    kept = primitive.kept(params, inputs)
    out = bind(primitive, *values, **kept.params)
    results = list(map(held, out))
    saved = primitive.save(tuple(results[kept.first :]) or None, values)
    results = results[: kept.asked]
    _, nodes = link_bundle(primitive, inputs, kept.rule_params, saved, results)
    return tuple(
        below if node.constant else make(trace, result, node)
        for below, result, node in zip(out, results, nodes)
    )


def _unchanging(
    trace: Any, primitive: Primitive, args: tuple[Any, ...], values: list[Any]
) -> list[Any]:
    """Return the values that a sweep may rely on: arrays of users may change until then."""
    originals = trace.originals
    if originals is None or np.ndarray not in map(type, args):
        return values
    return [
        originals.hold(v) if needed and type(a) is np.ndarray else v
        for needed, a, v in zip(primitive.needs_values, args, values)
    ]
