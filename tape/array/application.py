"""Applying a primitive: ``bind`` for rules, ``apply`` for users, and what every trace does about it.

``bind`` finds the innermost trace among the arguments and hands it the application; ``apply`` does the
same for the user-facing functions, for which plain arrays belong to the imperative trace. A trace takes
its arguments apart with :func:`lower_arguments`, binds the primitive to what lies below, and makes the
result its own with :func:`make_result`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.foreign import is_foreign, with_plain_arrays
from tapegrad.tape.array.paths import mark_view, shares_memory
from tapegrad.tape.array.tensor import Tensor, imperative, make
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.trace import Trace, leaked

__all__ = [
    "apply",
    "belongs",
    "bind",
    "detached",
    "held",
    "innermost",
    "lower",
    "lower_arguments",
    "make_result",
    "without_history",
]

_NO_PARAMS: dict[str, Any] = {}
#: Types of most arguments that are no tensors; looked up before subclasses of Tensor are.
_NO_TENSORS = frozenset(
    {np.ndarray, float, int, bool, complex, np.float64, np.float32, np.int64, np.complex128}
)


@implements("bind")
def bind(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """Apply `primitive` to arrays and tensors; arrays in, arrays out.

    The entry for rules. Parameters are keyword arguments and hashable.
    """
    top = None
    for a in args:
        kind = type(a)
        if kind is Tensor or (kind not in _NO_TENSORS and isinstance(a, Tensor)):
            if a._base is not None:
                a.freshen()
            if top is None or a._trace.level > top.level:
                top = a._trace
    if top is None:
        return primitive.forward(*args, **params)
    if top.closed:
        raise leaked(next(a for a in args if isinstance(a, Tensor) and a._trace is top))
    return top.process(primitive, args, params)


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
        kind = type(a)
        if kind is Tensor or (kind not in _NO_TENSORS and isinstance(a, Tensor)):
            if a._base is not None:
                a.freshen()
            if a._trace is not top and a._trace.level >= top.level:
                top = a._trace
        elif kind in _NO_TENSORS:
            continue
        elif kind is list or kind is tuple:
            return apply(primitive, tuple(_operand(b) for b in args), params, constant)
        elif is_foreign(a):
            return apply(primitive, with_plain_arrays(args), params, constant)
    if not top.level:
        return primitive.record(args, params, constant)
    if top.closed:
        raise leaked(next(a for a in args if isinstance(a, Tensor) and a._trace is top))
    return top.process(primitive, args, params, constant)


def _operand(a: Any) -> Any:
    """Make a sequence an operand; one that holds tensors is stacked, so that none loses its
    gradient."""
    if type(a) not in (list, tuple):
        return a
    if _holds_tensor(a):
        return functions[np.stack]([_operand(b) for b in a])
    return np.asarray(a)


def _holds_tensor(a: Any) -> bool:
    return isinstance(a, Tensor) or (type(a) in (list, tuple) and any(_holds_tensor(b) for b in a))


def innermost(args: Iterable[Any]) -> Trace:
    """Return the innermost trace among tensors; the imperative one if there is no other."""
    traces = [a.live_trace for a in args if isinstance(a, Tensor)]
    return max(traces, key=lambda trace: trace.level, default=imperative.trace)


def belongs(value: Any, trace: Trace) -> bool:
    """Whether `value` is a tensor of `trace`."""
    return isinstance(value, Tensor) and value.live_trace is trace


def lower(value: Any, trace: Trace) -> Any:
    """Return `value` as it is below `trace`."""
    if not isinstance(value, Tensor):
        return value
    return value.value if value.live_trace is trace else trace.lift(value)


def lower_arguments(trace: Trace, args: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    """Return arguments as they are below `trace`, and the nodes of those that are its own.

    The arguments are up to date, as those that ``bind`` and ``apply`` hand to a trace.
    """
    values: list[Any] = []
    nodes: list[Any] = []
    for a in args:
        node = None
        kind = type(a)
        if kind is Tensor or (kind not in _NO_TENSORS and isinstance(a, Tensor)):
            if a._trace is trace:
                node = a._node
                a = a._value
            else:
                a = trace.lift(a)
        values.append(a)
        nodes.append(node)
    return values, nodes


def make_result(
    trace: Trace,
    primitive: Primitive,
    args: tuple[Any, ...],
    params: Mapping[str, Any],
    source: Any,
    value: Any,
    node: Any,
) -> Tensor:
    """Return a tensor of `trace` around the result of an application.

    Parameters
    ----------
    trace : Trace
    primitive, args, params
        What was applied.
    source
        The first argument as it is below the trace: it tells whether the result is a view.
    value
        What the tensor holds: the result, or a snapshot of it.
    node
        What the trace keeps with it.
    """
    new = make(trace, value, node)
    if primitive.view and shares_memory(value, source):
        mark_view(new, args[0], primitive, params)
    return new


def held(value: Any) -> Any:
    """Return a result as a tensor of a trace holds it: a snapshot of a tensor, or an array."""
    if type(value) is np.ndarray:
        return value
    return value.snapshot() if isinstance(value, Tensor) else np.asarray(value)


def detached(value: Any) -> Tensor:
    """Return the value below a trace as a tensor without history."""
    return value.live_trace.detach(value) if isinstance(value, Tensor) else Tensor(value)


def without_history(out: Any) -> Any:
    """Return the result of an application, or its several results, without histories."""
    if type(out) is tuple:
        return tuple(map(without_history, out))
    return detached(out) if isinstance(out, Tensor) else out
