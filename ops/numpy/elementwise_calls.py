"""``np.vectorize``: Python functions that are called for each element.

NumPy collects what they return in arrays of objects, and converts those. Here the results stay what
they are, and are stacked if there are tensors among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.ops.numpy.conversions import array_of
from tapegrad.tape.array.numbers import as_number, stand_in
from tapegrad.tape.array.replacements import holds_tensor, image_of, replaces
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions

__all__: list[str] = []

Function = Callable[..., Any]
Core = list[tuple[str, ...]]

_call_of_numpy: Any = np.vectorize.__call__


@replaces(np.vectorize.__call__, within="anywhere")
def _call(vectorized: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a vectorised function: with results that are traced even if no argument is."""
    pyfunc = vectorized.pyfunc
    if pyfunc is np._NoValue:  # it decorates
        return _call_of_numpy(vectorized, *args, **kwargs)
    function, arrays = _positional(image_of(pyfunc), vectorized.excluded, args, kwargs)
    if vectorized.signature is not None:
        return _with_core(vectorized, function, arrays)
    return _one_by_one(vectorized, function, arrays) if arrays else function()


def _positional(
    pyfunc: Function, excluded: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Function, list[Any]]:
    """Return a function of the vectorised arguments alone, and these."""
    names = [name for name in kwargs if name not in excluded]
    places = [i for i in range(len(args)) if i not in excluded]
    if not names and len(places) == len(args) and not kwargs:
        return pyfunc, list(args)

    def function(*values: Any) -> Any:
        full, named = list(args), dict(kwargs)
        for i, value in zip(places, values):
            full[i] = value
        named.update(zip(names, values[len(places) :]))
        return pyfunc(*full, **named)

    return function, [args[i] for i in places] + [kwargs[name] for name in names]


# Elements --------------------------------------------------------------------------------------------


def _one_by_one(vectorized: Any, function: Function, args: Sequence[Any]) -> Any:
    arrays = [array_of(a) for a in args]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    types = vectorized.otypes or None
    first: list[Any] = []
    if types is None:
        if any(not a.size for a in arrays):
            raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
        first = [function(*(a[(0,) * a.ndim] for a in arrays))]
        types = [_dtype_of(r) for r in _results(first[0])]
        if not vectorized.cache:
            first = []  # NumPy calls it again
    elements = zip(*(_elements(a, shape) for a in arrays))
    for _ in first:
        next(elements)
    rows = first + [function(*values) for values in elements]
    several = len(types) > 1 or (bool(rows) and isinstance(rows[0], tuple))
    columns = list(zip(*map(_results, rows))) if rows else [()] * len(types)
    done = tuple(_joined(c, dtype, shape) for c, dtype in zip(columns, types))
    return done if several else done[0]


def _results(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _dtype_of(result: Any) -> Any:
    return np.asarray(_standing(result)).dtype.char


def _standing(a: Any) -> Any:
    if isinstance(a, Tensor):
        return stand_in(a)
    return [_standing(b) for b in a] if isinstance(a, list | tuple) else a


def _elements(a: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return the elements of an array that is broadcast, as Python's objects."""
    if not isinstance(a, Tensor):
        return np.broadcast_to(a.astype(object), shape).ravel().tolist()
    kind = {"f": float, "b": bool, "c": complex}.get(a.dtype.kind, int)
    flat = functions[np.ravel](functions[np.broadcast_to](a, shape))
    return [as_number(flat[i], kind) for i in range(flat.shape[0])]


def _joined(results: Sequence[Any], dtype: Any, shape: tuple[int, ...]) -> Any:
    """Return results as an array of this shape."""
    objects = np.empty(len(results), object)
    if np.dtype(dtype) == object or not any(holds_tensor(r) for r in results):
        objects[:] = list(results)
        return np.asanyarray(objects.reshape(shape) if shape else objects[0], dtype=dtype)
    objects[:] = [_standing(r) for r in results]
    probe = np.asanyarray(objects, dtype=dtype)  # raises
    return functions[np.reshape](array_of(list(results), probe.dtype), shape)


# Arrays, by a signature ------------------------------------------------------------------------------


def _parsed(signature: str) -> tuple[Core, Core]:
    """Return the names of the core dimensions of arguments and results: ``(m,n),(n)->(m)``."""
    inputs, _, outputs = re.sub(r"\s+", "", signature).partition("->")

    def names(part: str) -> Core:
        return [
            tuple(n for n in group.split(",") if n) for group in re.findall(r"\(([^)]*)\)", part)
        ]

    return names(inputs), names(outputs)


def _with_core(vectorized: Any, function: Function, args: Sequence[Any]) -> Any:
    inputs, outputs = _parsed(vectorized.signature)
    if len(inputs) != len(args):
        raise TypeError(
            f"wrong number of positional arguments: expected {len(inputs)}, got {len(args)}"
        )
    arrays = [array_of(a) for a in args]
    sizes: dict[str, int] = {}
    loops = []
    for a, core in zip(arrays, inputs):
        _note_sizes(sizes, a.shape, core)
        loops.append(a.shape[: a.ndim - len(core)])
    shape = np.broadcast_shapes(*loops)
    full = [
        np.broadcast_to(a, (*shape, *(sizes[n] for n in core))) for a, core in zip(arrays, inputs)
    ]
    columns: list[list[Any]] = [[] for _ in outputs]
    for i in np.ndindex(shape):
        results = function(*(a[i] for a in full))
        results = results if isinstance(results, tuple) else (results,)
        if len(results) != len(outputs):
            raise ValueError(
                f"wrong number of outputs from pyfunc: expected {len(outputs)}, got {len(results)}"
            )
        for column, result, core in zip(columns, results, outputs):
            result = array_of(result)
            _note_sizes(sizes, result.shape, core)
            column.append(result)
    done = tuple(
        _of_core(column, core, vectorized.otypes, k, shape, sizes)
        for k, (column, core) in enumerate(zip(columns, outputs))
    )
    return done[0] if len(done) == 1 else done


def _note_sizes(sizes: dict[str, int], shape: tuple[int, ...], core: tuple[str, ...]) -> None:
    """Note the sizes of core dimensions, which must agree."""
    if len(shape) < len(core):
        raise ValueError(
            f"{len(shape)}-dimensional argument does not have enough dimensions for all core "
            f"dimensions {core!r}"
        )
    for name, n in zip(core, shape[len(shape) - len(core) :]):
        if sizes.setdefault(name, n) != n:
            raise ValueError(
                f"inconsistent size for core dimension {name!r}: {n!r} vs {sizes[name]!r}"
            )


def _of_core(
    column: list[Any], core: tuple[str, ...], otypes: Any, k: int, shape: tuple[int, ...],
    sizes: dict[str, int],
) -> Any:  # fmt: skip
    if not column:
        if not otypes:
            raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
        if any(name not in sizes for name in core):
            raise ValueError(
                "cannot call `vectorize` with a signature including new output dimensions on size 0 "
                "inputs"
            )
        return np.empty((*shape, *(sizes[name] for name in core)), otypes[k])
    dtype = np.dtype(otypes[k]) if otypes else column[0].dtype
    inner = tuple(sizes[name] for name in core)
    return np.reshape(array_of(column, dtype), (*shape, *inner))
