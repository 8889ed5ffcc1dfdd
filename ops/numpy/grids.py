"""``np.r_``, ``np.c_``, ``np.mgrid`` and ``np.ogrid`` of traced numbers and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.numpy.conversions import array_of
from tapegrad.tape.array.numbers import as_number, plain_array, stand_in, stands_for
from tapegrad.tape.array.replacements import called_for, replaces
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions

__all__: list[str] = []

_joined_by_numpy: Any = type(np.r_).__getitem__


def _is_complex(step: Any) -> bool:
    return isinstance(step, complex | np.complexfloating)


def _points(part: slice) -> Any:
    """Return the values that a slice with a real step, or with a number of points, stands for."""
    arguments = start, stop, step = _ends(part)
    if _is_complex(step):
        return functions[np.linspace](start, stop, int(abs(step)))
    return called_for(np.arange, arguments)(*arguments)


# Joining ---------------------------------------------------------------------------------------------


@replaces(type(np.r_).__getitem__, within="nested")
def _join(concatenator: Any, key: Any) -> Any:
    """``np.r_[key]`` and ``np.c_[key]``: arrays, numbers and slices along one axis."""
    items = list(key) if isinstance(key, tuple) else [key]
    axis, ndmin, trans1d = concatenator.axis, concatenator.ndmin, concatenator.trans1d
    if isinstance(items[0], str):
        if items[0] in ("r", "c"):  # a matrix
            return _joined_by_numpy(concatenator, tuple(_plain(a, items[0]) for a in items))
        axis, ndmin, trans1d = _directive(items.pop(0), axis, ndmin, trans1d)
    parts, kinds = [], []
    for item in items:
        part, kind = _part(item, ndmin, trans1d)
        parts.append(part)
        kinds.append(kind)
    dtype = np.result_type(*kinds)
    return functions[np.concatenate]([array_of(p, dtype, ndmin=ndmin) for p in parts], axis)


def _plain(item: Any, directive: str) -> Any:
    what = f"np.r_[{directive!r}, ...]"
    if isinstance(item, slice):
        return slice(*(plain_array(a, what) for a in (item.start, item.stop, item.step)))
    return plain_array(item, what)


def _directive(text: str, axis: int, ndmin: int, trans1d: int) -> tuple[int, int, int]:
    """Read ``"axis,ndmin,trans1d"``, of which the first may stand alone."""
    try:
        found = [int(n) for n in text.split(",")[:3]]
    except ValueError:
        name = f" {text!r}" if "," in text else ""
        raise ValueError(f"unknown special directive{name}") from None
    axis, ndmin, trans1d = (*found, *(axis, ndmin, trans1d)[len(found) :])
    return axis, ndmin, trans1d


def _part(item: Any, ndmin: int, trans1d: int) -> tuple[Any, Any]:
    """Return one part, and what it is in NumPy's promotion: Python's numbers are weak."""
    if isinstance(item, str):
        raise ValueError("special directives must be the first entry.")
    if isinstance(item, slice):
        part = _raised(_points(item), ndmin)
        if ndmin > 1 and trans1d != -1:
            part = np.swapaxes(part, -1, trans1d)
        return part, part.dtype
    kind = stands_for(item) if isinstance(item, Tensor) else type(item)
    if kind in _SCALARS:
        return item, stand_in(item) if isinstance(item, Tensor) else item
    part = array_of(item)
    ndim = part.ndim
    part = _raised(part, ndmin)
    if trans1d != -1 and ndim < ndmin:
        part = np.transpose(part, _turned(ndmin, ndmin - ndim, trans1d))
    return part, part.dtype


_SCALARS = frozenset(np.ScalarType)


def _raised(part: Any, ndmin: int) -> Any:
    return (
        part if part.ndim >= ndmin else np.reshape(part, (*(1,) * (ndmin - part.ndim), *part.shape))
    )


def _turned(ndmin: int, new: int, place: int) -> list[int]:
    """Return the order of axes that puts those of an array at `place` among the `new` ones."""
    place = place + new + 1 if place < 0 else place
    axes = list(range(ndmin))
    return axes[:place] + axes[new:] + axes[place:new]


# Grids -----------------------------------------------------------------------------------------------


@replaces(np.kaiser)
def _kaiser(M: Any, beta: Any) -> Any:
    """Differentiated by the shape; the length of the window is a number of points."""
    length = plain_array(M, "np.kaiser")
    if length == 1:
        return np.ones(1, np.result_type(M, 0.0))
    places = (np.arange(length) - (length - 1) / 2) / ((length - 1) / 2)
    of_zero: Any = functions[np.i0]
    return of_zero(beta * np.sqrt(1 - places**2)) / of_zero(beta)


@replaces(type(np.mgrid).__getitem__, within="nested")
def _grid(grid: Any, key: Any) -> Any:
    """``np.mgrid[key]`` and ``np.ogrid[key]``: points along each axis, as a full or an open mesh."""
    if not isinstance(key, tuple):
        return _points(key) if not _is_complex(key.step) else _line(key, float)
    dtype = np.result_type(0, *(n for part in key for n in _numbers(part)))
    lines = [_line(part, dtype) for part in key]
    shape = tuple(line.shape[0] for line in lines)
    meshes = []
    for i, line in enumerate(lines):
        mesh = np.reshape(line, (*(1,) * i, -1, *(1,) * (len(lines) - i - 1)))
        meshes.append(mesh if grid.sparse else np.broadcast_to(array_of(mesh, dtype), shape))
    return tuple(meshes) if grid.sparse else functions[np.stack](meshes)


def _ends(part: slice) -> tuple[Any, Any, Any]:
    return (
        0 if part.start is None else part.start, part.stop, 1 if part.step is None else part.step
    )  # fmt: skip


def _numbers(part: slice) -> list[Any]:
    """Return what the ends and the step of a slice are in NumPy's promotion."""
    numbers = [stand_in(n) if isinstance(n, Tensor) else n for n in _ends(part)]
    return [abs(n) if _is_complex(n) else n for n in numbers]


def _line(part: slice, dtype: Any) -> Any:
    """Return ``number * step + start`` for as many points as the slice has; their number is consumed."""
    start, stop, step = _ends(part)
    if _is_complex(step):
        count = int(abs(step))
        step = (stop - start) / (count - 1.0) if count > 1 else 1
    else:
        count = as_number(np.ceil((stop - start) / step), int)
    return np.arange(count, dtype=dtype) * step + start
