"""The linker: what the trace of ``grad`` does with a primitive, as a function generated for it.

It is the sibling of the recorder. There is nothing to lock or to pin inside a transformation, but
arguments may belong to other traces, and the values may be tensors of traces below. The common case,
where all values are arrays, is written out; for others :meth:`RecordTrace.finish` makes the result.

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

from tapegrad.tape.array.application import bind, lower_arguments
from tapegrad.tape.array.templates import RESULT, SHARED, filled, joined, tuple_of
from tapegrad.tape.core.checks import as_result, refuse_result
from tapegrad.tape.core.generated import define
from tapegrad.tape.core.primitive import Primitive, implements
from tapegrad.tape.core.state import state

__all__ = ["linker_of", "source_of"]

#: Types of most arguments that are no tensors.
_NO_TENSORS = frozenset({np.ndarray, float, int, bool, np.float64, np.float32, np.int64})

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
out = bind(PRIMITIVE, {call}, **params) if deep else forward({call}, **params)
if deep or constant or {unlinked}:
    return trace._finish(PRIMITIVE, args, params, constant, {values}, {nodes}, out)
if type(out) is not ARRAY:
    out = as_result(out, PRIMITIVE)
dtype = out.dtype
if dtype.kind != "f":
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
    saved = {"value": "s{0}", "shape": "n{0} or stand_in(v{0})", "none": "None"}
    of_result = {"value": "out", "shape": "stand_in(out)", "none": "None"}[use_of_result]
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
            "refuse_result": refuse_result,
            "NO_TENSORS": _NO_TENSORS,
            "PRIMITIVE": primitive,
            "bind": bind,
            "forward": primitive.forward,
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
    out = bind(primitive, *values, **params)
    if primitive.has_passive_arguments:
        nodes = [n if primitive.differentiable_in(i) else None for i, n in enumerate(nodes)]
    return trace._finish(primitive, args, params, constant, values, nodes, out)
