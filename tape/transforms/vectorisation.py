"""``vmap``: a function of one example becomes a function of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.application import belongs
from tapegrad.tape.core.pytree import Structure, flatten, unflatten
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.transforms.batching import BatchTrace, NeedsLoop
from tapegrad.tape.transforms.derivatives import as_value, below, wraps
from tapegrad.tape.transforms.shield import run_shielded

__all__ = ["vmap"]

#: Arguments that stay what they are where they are not mapped.
_NUMBERS = (int, float, np.generic)


def vmap(function: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Return a function that applies `function` to every example along an axis, all at once.

    Parameters
    ----------
    function : callable
        Of one example.
    in_axes : int, None, or a sequence (one for each argument), or nests of them
        Which axis of each argument counts the examples; ``None`` for arguments that all share.
    out_axes : int, or a nest as the result
        Where the axis of examples goes in the results.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If the axes differ in size, or no argument is mapped.

    Notes
    -----
    If `function` takes branches by its values, the examples are run one by one.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.vmap(np.dot)(np.ones((3, 2)), np.ones((3, 2)))
    array([2., 2., 2.])
    """
    if not callable(function):
        raise TypeError(f"vmap takes a function, not {type(function).__name__}")

    @wraps(function)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten(args)
        axes = _spread(
            in_axes if not isinstance(in_axes, list) else tuple(in_axes), args, "in_axes"
        )
        values = [as_value(leaf, "vmap") for leaf in leaves]
        size = _common_size(values, axes)
        fronted = [
            (leaf if isinstance(leaf, _NUMBERS) else v) if axis is None else _move(v, axis, 0)
            for leaf, v, axis in zip(leaves, values, axes)
        ]

        def run(rest: Any) -> Any:
            shared, keywords = rest
            arguments = [v if s is None else s for v, s in zip(fronted, shared)]
            return _run_batched(function, arguments, axes, structure, keywords, size)

        shared = [v if axis is None else None for v, axis in zip(fronted, axes)]
        try:
            outs, out_structure = run_shielded(run, (shared, kwargs))
        except NeedsLoop:
            outs, out_structure = _run_one_by_one(function, fronted, axes, structure, kwargs, size)
        placed = _spread(out_axes, unflatten(out_structure, outs), "out_axes")
        moved = [o if axis in (0, None) else _move(o, 0, axis) for o, axis in zip(outs, placed)]
        return unflatten(out_structure, moved)

    return mapped


def _run_batched(
    function: Any, values: list[Any], axes: list[Any], structure: Any, kwargs: Any, size: int
) -> tuple[list[Any], Structure]:
    with new_trace(BatchTrace, size) as trace:
        examples = [v if axis is None else trace.variable(v) for v, axis in zip(values, axes)]
        result = function(*unflatten(structure, examples), **kwargs)
        leaves, out_structure = flatten(result)
        outs = []
        for leaf in leaves:
            if belongs(leaf, trace):
                outs.append(leaf.value)
            else:
                value = below(leaf, trace)
                outs.append(np.broadcast_to(value, (size, *np.shape(value))))
    return [
        o.copy() if type(o) is np.ndarray and o.base is not None else o for o in outs
    ], out_structure


def _run_one_by_one(
    function: Any, values: list[Any], axes: list[Any], structure: Any, kwargs: Any, size: int
) -> tuple[list[Any], Structure]:
    def call(rest: Any) -> Any:
        example, keywords = rest
        return function(*unflatten(structure, example), **keywords)

    columns: list[list[Any]] = []
    out_structure: Structure = None
    for k in range(size):
        example = [v if axis is None else v[k] for v, axis in zip(values, axes)]
        leaves, this = flatten(run_shielded(call, (example, kwargs)))
        if k and this != out_structure:
            raise ValueError("vmap: the function returns nests of different structure")
        out_structure = this
        columns.append(leaves)
    return [np.stack(column) for column in zip(*columns)], out_structure


def _move(value: Any, source: int, destination: int) -> Any:
    return np.moveaxis(value, source, destination)


def _spread(axes: Any, tree: Any, what: str) -> list[Any]:
    """Give every leaf of `tree` its axis; an axis given for a nest holds for all its leaves."""
    leaves, structure = flatten(tree)
    if axes is None or isinstance(axes, int | np.integer):
        return [axes] * len(leaves)
    children = list(tree.values()) if type(tree) is dict else list(tree) if structure != "*" else []
    each = [axes[key] for key in tree] if type(axes) is dict and type(tree) is dict else list(axes)
    if len(each) != len(children):
        raise ValueError(f"vmap: {what}={axes!r} does not fit {len(children)} values")
    return [a for child, axis in zip(children, each) for a in _spread(axis, child, what)]


def _common_size(values: list[Any], axes: list[Any]) -> int:
    sizes = set()
    for value, axis in zip(values, axes):
        if axis is None:
            continue
        shape = value.shape
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"vmap: in_axes has axis {axis} for an argument of shape {shape}")
        sizes.add(shape[axis])
    if not sizes:
        raise ValueError("vmap: no argument is mapped; in_axes must name an axis of at least one")
    if len(sizes) > 1:
        raise ValueError(f"vmap: the mapped axes differ in size: {sorted(sizes)}")
    return int(sizes.pop())
