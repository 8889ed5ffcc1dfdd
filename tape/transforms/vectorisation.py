"""``vmap``: a function of one example becomes a function of many."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.application import belongs
from tapegrad.tape.array.originals import same_bits
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.as_is import AsIs
from tapegrad.tape.core.later import later
from tapegrad.tape.core.pytree import Structure, flatten, paths, spread, unflatten
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.core.types import P
from tapegrad.tape.python.running import seen
from tapegrad.tape.transforms.batching import BatchTrace, NeedsLoop
from tapegrad.tape.transforms.shield import run_shielded
from tapegrad.tape.transforms.transformed import transformed
from tapegrad.tape.transforms.values import as_value, below, refuse_foreign

__all__ = ["map_rows", "vmap"]


def vmap(
    function: Callable[P, Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    axis_size: int | None = None,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that applies `function` to every example along an axis, all at once.

    Parameters
    ----------
    function : callable
        Of one example.
    in_axes : int, None, or a sequence (one for each argument), or nests of them
        Which axis of each argument counts the examples; ``None`` for arguments that all share, which
        may be anything. In the place of a nest, an axis holds for all its leaves. Arguments given by
        name are shared.
    out_axes : int, None, or a nest of them
        Where the axis of examples goes in the results; ``None`` for results that all share.
    axis_size : int, optional
        The number of examples, where no argument tells it.
    adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If the axes differ in size, or no argument is mapped, or the nests of axes do not fit.

    Notes
    -----
    If `function` takes branches by its values, or draws random numbers, the examples are run one by one,
    so that each has its own. An attempt to run them all at once ends where that is noticed: what the
    function has printed or stored until then is done again.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.vmap(np.dot)(np.ones((3, 2)), np.ones((3, 2)))
    array([2., 2., 2.])
    >>> layer = {"w": np.ones((2, 4)), "b": np.zeros(4)}
    >>> apply = tg.vmap(lambda p, x: x @ p["w"] + p["b"], in_axes=({"w": None, "b": None}, 0))
    >>> apply(layer, np.ones((3, 2))).shape
    (3, 4)
    """
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes

    chosen = function if adapt else AsIs(function)

    @transformed(
        vmap, function, in_axes=in_axes, out_axes=out_axes, axis_size=axis_size, adapt=adapt
    )
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten(args)
        axes = [_axis(a, "in_axes") for a in spread(in_axes, structure, "vmap: in_axes")]
        values = [_value(leaf, axis) for leaf, axis in zip(leaves, axes)]
        size = _common_size(values, axes, structure, axis_size)
        fronted = [v if a in (0, None) else np.moveaxis(v, a, 0) for v, a in zip(values, axes)]

        def run(rest: Any, originals: Any) -> Any:
            shared, keywords = rest
            arguments = [s if a is None else v for v, a, s in zip(fronted, axes, shared)]
            given = chosen, arguments, axes, structure, keywords, size, out_axes
            return _run_batched(*given, originals)

        shared = [v if axis is None else None for v, axis in zip(fronted, axes)]
        try:
            return run_shielded(run, (shared, kwargs), as_is=not adapt)
        except NeedsLoop:
            return _run_one_by_one(chosen, fronted, axes, structure, kwargs, size, out_axes)

    return mapped


def map_rows(function: Callable[..., list[Any]], columns: list[Any]) -> list[Any]:
    """Return what ``vmap(function)(*columns)`` does, for a function of the library's own.

    Parameters
    ----------
    function : callable
        Takes arrays; returns a list of arrays.
    columns : list of array
        With the axis of examples in front.
    """
    size = len(columns[0])
    run: Any = function, columns, [0] * len(columns), flatten(tuple(columns))[1], {}, size, 0
    try:
        return _run_batched(*run)  # type: ignore[no-any-return]
    except NeedsLoop:
        return _run_one_by_one(*run)  # type: ignore[no-any-return]


def _axis(axis: Any, what: str) -> int | None:
    try:
        return None if axis is None else operator.index(axis)
    except TypeError:
        raise TypeError(
            f"vmap: {what} must be ints or None, or nests of them; it holds {axis!r}"
        ) from None


def _value(leaf: Any, axis: int | None) -> Any:
    """Return what stands for a leaf of the arguments; what is shared is passed on as it is."""
    if axis is None and not isinstance(leaf, Tensor | np.ndarray):
        return leaf
    return as_value(leaf, "vmap")


def _run_batched(
    function: Any,
    values: list[Any],
    axes: list[Any],
    structure: Structure,
    kwargs: Any,
    size: int,
    out_axes: Any,
    originals: Any = (),
) -> Any:
    with new_trace(BatchTrace, size) as trace:
        examples = [v if axis is None else trace.variable(v) for v, axis in zip(values, axes)]
        result = later.read(trace, function, unflatten(structure, examples), kwargs, originals)
        leaves, out_structure = flatten(result)
        refuse_foreign([leaf for leaf in leaves if type(leaf) is not str], "vmap")
        placed = spread(out_axes, out_structure, "vmap: out_axes")
        outs = []
        for leaf, axis in zip(leaves, placed):
            if belongs(leaf, trace):
                if axis is None:
                    raise ValueError(
                        "vmap: out_axes is None for a result that is another one for each example"
                    )
                value = leaf.value
            else:
                value = below(leaf, trace)
                if axis is not None:
                    value = np.broadcast_to(value, (size, *np.shape(value)))
            outs.append(_moved(value, axis))
    return unflatten(out_structure, outs)


def _moved(value: Any, axis: Any) -> Any:
    """Put the axis of examples, which is in front, where the user wants it."""
    axis = _axis(axis, "out_axes")
    if axis is None:
        return value
    if not -value.ndim <= axis < value.ndim:
        raise ValueError(
            f"vmap: out_axes has axis {axis} for a result of {value.ndim} axes, examples included"
        )
    if type(value) is np.ndarray and value.base is not None:
        value = value.copy()
    return value if axis == 0 else np.moveaxis(value, 0, axis)


def _run_one_by_one(
    function: Any,
    values: list[Any],
    axes: list[Any],
    structure: Structure,
    kwargs: Any,
    size: int,
    out_axes: Any,
) -> Any:
    def call(rest: Any, originals: Any) -> Any:
        example, keywords = rest
        image = later.called(function, rest, originals)  # of a transformation around this one
        return seen(image(*unflatten(structure, example), **keywords))

    if size == 0:
        raise ValueError(
            "vmap: there are no examples, and what the function returns depends on their values"
        )
    columns: list[list[Any]] = []
    out_structure: Structure = None
    for k in range(size):
        example = [v if axis is None else v[k] for v, axis in zip(values, axes)]
        leaves, this = flatten(run_shielded(call, (example, kwargs), as_is=True))
        if k and this != out_structure:
            raise ValueError("vmap: the function returns nests of different structure")
        out_structure = this
        columns.append(leaves)
    placed = spread(out_axes, out_structure, "vmap: out_axes")
    outs = [
        _shared(column) if axis is None else _moved(np.stack(column), axis)
        for column, axis in zip(zip(*columns), placed)
    ]
    return unflatten(out_structure, outs)


def _shared(column: tuple[Any, ...]) -> Any:
    """Return what must be the same result for all examples."""
    first, *others = column
    if all(other is first or same_bits(other, first) for other in others):
        return first
    raise ValueError("vmap: out_axes is None for a result that is another one for each example")


def _common_size(
    values: list[Any], axes: list[Any], structure: Structure, axis_size: int | None
) -> int:
    sizes = {} if axis_size is None else {"axis_size": operator.index(axis_size)}
    for value, axis, path in zip(values, axes, paths(structure)):
        if axis is None:
            continue
        shape = value.shape
        if not -len(shape) <= axis < len(shape):
            raise ValueError(
                f"vmap: in_axes has axis {axis} for an argument of shape {shape}, args{path}"
            )
        sizes[f"args{path}"] = shape[axis]
    if not sizes:
        raise ValueError(
            "vmap: no argument is mapped; in_axes must name an axis of at least one, or axis_size the "
            "number of examples"
        )
    if len({*sizes.values()}) > 1:
        found = ", ".join(f"{size} ({name})" for name, size in sizes.items())
        raise ValueError(f"vmap: the mapped axes differ in size: {found}")
    return int(next(iter(sizes.values())))
