"""Views and in-place writes.

A view is its base plus a path of view primitives. A write through a view, an index or an ``out=``
argument records one entry, *new base = old base with that part replaced*, whoever interprets it; the
imperative trace also does it in memory.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.guard import is_locked, lock
from tapegrad.tape.array.paths import mark_view
from tapegrad.tape.array.tensor import Tensor, imperative
from tapegrad.tape.core.primitive import Primitive, functions, primitives
from tapegrad.tape.core.state import guarding, state

__all__ = ["Path", "follow", "locate", "place", "write", "write_in_memory", "write_into"]

#: Steps from a base to a view: (name of the view primitive, its parameters as sorted pairs).
Path = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]


class Hole:
    """Stands in an index for the next index array."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "array"

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return type(other) is Hole


HOLE = Hole()

#: A basic index step as a hashable parameter: slices become ("slice", start, stop, step).
Spec = tuple[Any, ...]


def freeze_index(index: tuple[Any, ...]) -> Spec:
    """Make an index of integers, slices, None, Ellipsis and holes a hashable parameter."""
    return tuple(("slice", i.start, i.stop, i.step) if isinstance(i, slice) else i for i in index)


def thaw_index(spec: Spec, arrays: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Return the index that `spec` stands for, with its holes filled by `arrays`."""
    left = iter(arrays)
    return tuple(
        slice(*i[1:]) if type(i) is tuple else (next(left) if type(i) is Hole else i) for i in spec
    )


def follow(value: Any, path: Path) -> Any:
    """Take the view of an array that `path` leads to."""
    for name, params in path:
        value = primitives[name].forward(value, **dict(params))
    return value


def locate(value: Any, path: Path, spec: Spec | None, arrays: tuple[Any, ...]) -> Any:
    """Return the part of an array that a write through `path` and `spec` replaces."""
    value = follow(value, path)
    return value if spec is None else value[thaw_index(spec, arrays)]


def place(value: Any, part: Any, path: Path, spec: Spec | None, arrays: tuple[Any, ...]) -> None:
    """Replace that part of an array, in memory, whatever its layout."""
    steps = [value]
    for name, params in path:
        steps.append(primitives[name].forward(steps[-1], **dict(params)))
    value = steps.pop()
    if not value.flags.writeable:
        raise ValueError("assignment destination is read-only")
    value[... if spec is None else thaw_index(spec, arrays)] = part
    if not value.size:
        return
    for whole in reversed(steps):
        if not np.may_share_memory(whole, value):  # a reshape had to copy: a gradient, say
            whole[...] = value.reshape(whole.shape)
        value = whole


def freeze_path(steps: tuple[tuple[Primitive, Mapping[str, Any]], ...]) -> Path:
    """Make a tensor's path a hashable parameter."""
    return tuple((primitive.name, tuple(sorted(params.items()))) for primitive, params in steps)


def is_pinned(root: Tensor) -> bool:
    """Whether a living entry or snapshot needs the buffer of `root` as it is."""
    # The attribute and getrefcount's own argument are two references; each holder adds one.
    return root._pin is not None and sys.getrefcount(root._pin) > 2


def write_in_memory(root: Tensor, values: list[Any], params: Mapping[str, Any]) -> Any:
    """Write into the buffer of `root`, or into a copy if the old version is needed; return it."""
    buffer = root._value
    if is_pinned(root):
        buffer = buffer.copy("K")  # views of it stay views
        root._pin = None
        root._lock = None
        place(buffer, values[0], params["path"], params["spec"], tuple(values[1:]))
        return buffer
    if buffer.flags.writeable:
        place(buffer, values[0], params["path"], params["spec"], tuple(values[1:]))
        return buffer
    if _locked_by_guard(root):
        # The guard protects what entries have saved; this buffer is locked but nobody saved it.
        buffer = buffer.copy("K")  # views of it stay views
        root._lock = None
    place(buffer, values[0], params["path"], params["spec"], tuple(values[1:]))
    return buffer


def _locked_by_guard(root: Tensor) -> bool:
    held = root._node.holds or ()
    return is_locked(root._value) or any(not isinstance(h, int | float | np.generic) for h in held)


class _Row(NamedTuple):
    """How a tensor was taken from another: by numbers, some of them traced."""

    source: Tensor
    numbers: tuple[Any, ...]
    spec: Spec


def note_row(row: Tensor, source: Tensor, index: tuple[Any, ...], spec: Spec) -> None:
    """Remember that NumPy would make `row` a view of `source`: all its indices are numbers.

    One of them is traced, so that it was copied. It does not matter, unless one is written into.
    """
    if any(np.ndim(i) for i in index):
        return
    root = source._base if source._base is not None else source
    if root._trace.level:
        row._lock = (_Row(source, index, spec),)
        root._lock = (*(root._lock or ()), weakref.ref(row))


def _settle_rows(cell: Tensor) -> None:
    """Make a row, and the rows that were taken from a cell, the views that they are in NumPy.

    Before the first write to one of them they have the same values. The indices are consumed; under
    vmap that makes the examples run one by one.
    """
    held, cell._lock = cell._lock, None
    others = [entry() for entry in held if type(entry) is not _Row]
    for entry in held:
        if type(entry) is _Row:
            numbers = iter([i.consume("index") if type(i) is Tensor else i for i in entry.numbers])
            spec = tuple(int(next(numbers)) if type(i) is Hole else i for i in entry.spec)
            mark_view(cell, entry.source, primitives["basic_index"], {"spec": spec})
            for view in others:
                if view is not None and view._base is cell:
                    view._base, view._path = cell._base, (*cell._path, *view._path)
                    view._version = cell._version
    for row in others:
        if row is not None and type(row._lock) is tuple:
            _settle_rows(row)


def write(
    target: Tensor, value: Any, spec: Spec | None = None, arrays: tuple[Any, ...] = ()
) -> None:
    """Replace the part of `target` that `spec` names by `value`, whatever trace interprets it."""
    root = target._base if target._base is not None else target
    body = state.get().body
    if body is not None and root._trace.level <= body.level:
        body.enter(root)
    while root._trace.level and type(root._lock) is tuple:
        _settle_rows(root)
        root = target._base if target._base is not None else target
    if root._trace.closed:
        functions[np.copy](root)  # raises: the tensor leaked
    path = freeze_path(target._path) if target._base is not None else ()
    if target._base is not None and root._inner_shape is not None:
        path = _outer_path(root, path)
    params = {"path": path, "spec": spec}
    trace = root._trace
    for a in (value, *arrays):
        if type(a) is Tensor and a.live_trace.level > trace.level:
            trace = a._trace
    trace.write(root, primitives["write"], (value, *arrays), params)


def _outer_path(root: Tensor, path: Path) -> Path:
    """Paths start at the shape that the base had before its shape was assigned."""
    return (("reshape", (("shape", root._inner_shape),)), *path)


def write_into(
    target: Any, result: Any, casting: str = "same_kind", ufunc: np.ufunc = np.positive
) -> Tensor:
    """Do what ``out=target`` asks for: `result` replaces the contents of `target`.

    Parameters
    ----------
    target : Tensor or ndarray
        What is written to; of an ndarray, a tensor that holds it is returned.
    result : Tensor or array
        Must broadcast to target's shape without enlarging it.
    casting : str
        NumPy's rule for the change of dtype.
    ufunc : numpy.ufunc
        The operation that the error for a wrong dtype names.

    Raises
    ------
    ValueError
        For a shape that does not fit.
    numpy.exceptions.UFuncTypeError
        For a dtype that may not be cast.
    """
    dtype = result.dtype
    if not np.can_cast(dtype, target.dtype, casting):  # type: ignore[arg-type]
        empty = np.empty(0, dtype)  # NumPy raises its own error for us
        ufunc(*(empty,) * ufunc.nin, out=np.empty(0, target.dtype), casting=casting)
    try:
        shape = np.broadcast_shapes(result.shape, target.shape)
    except ValueError:
        raise ValueError(
            f"operands could not be broadcast together with shapes {result.shape} {target.shape}"
        ) from None
    if shape != target.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {target.shape} doesn't match the "
            f"broadcast shape {shape}"
        )
    if type(target) is Tensor:
        write(target, result)
        return target
    return _write_into_array(target, result)


def _write_into_array(target: np.ndarray[Any, Any], result: Any) -> Any:
    traced = type(result) is Tensor and result._trace is not imperative.trace
    if traced:
        result._trace.array(result, "out=")
    array = result.value if type(result) is Tensor else result
    if not target.flags.writeable:
        raise ValueError("output array is read-only")
    target[...] = array
    if traced:  # jit has given up: the code goes on with what it has without jit
        return target
    if type(result) is not Tensor:
        return Tensor(target, copy=False)
    new = result if target.dtype == result.dtype else functions["cast"](result, target.dtype)
    if new.shape != target.shape:
        new = functions[np.broadcast_to](new, target.shape)
    new._value = target
    new._base, new._path = None, ()
    if new._node.primitive is not None and guarding(state.get()):
        new._node.hold(lock(target))
    return new
