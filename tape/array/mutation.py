"""In-place writes.

A write through a view, an index or an ``out=`` argument records one entry, *new base = old base with
that part replaced*, whoever interprets it; the imperative trace also does it in memory.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.guard import ViewLock, is_locked, is_needed, lock, unlocked
from tapegrad.tape.array.paths import (
    Hole,
    Path,
    Spec,
    freeze_path,
    mark_view,
    own_memory,
    thaw_index,
)
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import cut, is_cut
from tapegrad.tape.core.errors import TapegradError
from tapegrad.tape.core.primitive import functions, primitives
from tapegrad.tape.core.state import guarding, state
from tapegrad.tape.core.trace import leaked

__all__ = [
    "note_latent_view", "place", "promoted", "reshape_in_place", "write", "write_in_memory",
    "write_into",
]  # fmt: skip


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


def is_pinned(root: Tensor) -> bool:
    """Whether a living entry or snapshot needs the buffer of `root` as it is."""
    # The attribute and getrefcount's own argument are two references; each holder adds one.
    return root._pin is not None and sys.getrefcount(root._pin) > 2


def write_in_memory(root: Tensor, values: list[Any], params: Mapping[str, Any]) -> Any:
    """Write into the buffer of `root`, or into a copy if the old version is needed; return it.

    A write that raises, since a shape does not fit or an index is too great, leaves all as it was.
    """
    buffer = root._value
    if is_pinned(root):
        buffer = buffer.copy("K")  # views of it stay views
        place(buffer, values[0], params["path"], params["spec"], tuple(values[1:]))
        root._pin = None
        root._lock = None
        return buffer
    if not buffer.flags.writeable:
        if _is_needed(root):
            # The guard protects what entries have saved; this buffer is locked but nobody saved it.
            buffer = buffer.copy("K")  # views of it stay views
            place(buffer, values[0], params["path"], params["spec"], tuple(values[1:]))
            root._lock = None
            return buffer
        if is_locked(buffer):  # for views, which follow
            with unlocked(buffer):
                place(buffer, values[0], params["path"], params["spec"], tuple(values[1:]))
            return buffer
    place(buffer, values[0], params["path"], params["spec"], tuple(values[1:]))
    return buffer


def _is_needed(root: Tensor) -> bool:
    """Whether an entry needs the value in the buffer of a tensor that is read-only."""
    node = root._node
    claims = (*node.pins, *(held for held in node.locks if type(held) is not ViewLock))
    return is_needed(root._value) or any(claim is not None for claim in claims)


def _is_repeated(target: Tensor) -> bool:
    """Whether several elements lie in one place: the view of an array, or what a number was made."""
    if target._base is not None:
        return any(step.shows == "repeated" for step, _ in target._path)
    made_by = getattr(target._node, "primitive", None)
    return made_by is not None and made_by.shows == "repeated"


class _Latent:
    """What NumPy would have made views, and we copies: elements and rows taken by traced numbers.

    It does not matter, unless one of them is written into.

    Attributes
    ----------
    source : Tensor or None
        What the tensor would be a view of,
    numbers, spec
        by this index.
    views : list of weak references
        Tensors that are, or would be, views of it.
    """

    __slots__ = ("numbers", "source", "spec", "views")

    def __init__(
        self, source: Tensor | None = None, numbers: tuple[Any, ...] = (), spec: Spec = ()
    ) -> None:
        self.source = source
        self.numbers = numbers
        self.spec = spec
        self.views: list[weakref.ref[Tensor]] = []


def note_latent_view(new: Tensor, source: Tensor, index: tuple[Any, ...], spec: Spec) -> None:
    """Remember that NumPy would make `new` a view of `source`, if all its indices are numbers."""
    root = source._base if source._base is not None else source
    if not root._trace.level or any(np.ndim(i) for i in index):
        return
    new._latent = _Latent(source, index, spec)
    if root._latent is None:
        root._latent = _Latent()
    root._latent.views.append(weakref.ref(new))


def _make_views(cell: Tensor) -> None:
    """Make a cell, and the tensors that were taken from it, the views that they are in NumPy.

    Before the first write to one of them they have the same values. The indices are consumed; under
    vmap that makes the examples run one by one.
    """
    latent, cell._latent = cell._latent, None
    views = [view for view in (view() for view in latent.views) if view is not None]
    if latent.source is not None:
        numbers = iter([i.consume("index") if isinstance(i, Tensor) else i for i in latent.numbers])
        spec = tuple(int(next(numbers)) if type(i) is Hole else i for i in latent.spec)
        mark_view(cell, latent.source, primitives["basic_index"], {"spec": spec})
        for view in views:
            if view._base is cell:
                view._base, view._path = cell._base, (*cell._path, *view._path)
                view._version = cell._version
    for view in views:
        if view._latent is not None:
            _make_views(view)


def write(
    target: Tensor, value: Any, spec: Spec | None = None, arrays: tuple[Any, ...] = ()
) -> None:
    """Replace the part of `target` that `spec` names by `value`, whatever trace interprets it."""
    root = target._base if target._base is not None else target
    body = state.get().body
    if body is not None and root._trace.level <= body.level:
        body.enter(root)
    while root._latent is not None:
        _make_views(root)
        root = target._base if target._base is not None else target
    if root._trace.closed:
        raise leaked(root)
    if _is_repeated(target):
        raise ValueError("assignment destination is read-only")
    path = freeze_path(target._path) if target._base is not None else ()
    if target._base is not None and root._inner_shape is not None:
        path = _outer_path(root, path)
    params = {"path": path, "spec": spec}
    trace = root._trace
    for a in (value, *arrays):
        if isinstance(a, Tensor) and a.live_trace.level > trace.level:
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
    if isinstance(target, Tensor):
        write(target, result)
        return target
    return _write_into_array(target, result)


def promoted(array: np.ndarray[Any, Any]) -> Any:
    """Return the tensor that stands for a plain array that is written into, where the user's code is
    read; None elsewhere."""
    promote = functions.get("promote")
    return None if promote is None else promote(array)


def _write_into_array(target: np.ndarray[Any, Any], result: Any) -> Any:
    mine = isinstance(result, Tensor)
    traced = mine and (result.live_trace.level > 0 or is_cut(result))
    if traced:
        tensor = promoted(target)
        if tensor is not None:
            write(tensor, result)
            return target
        if not result.live_trace.level:
            raise cut("out=")
        result._trace.appearance.array(result, "out=")
    array = result.value if mine else result
    if not target.flags.writeable:
        raise ValueError("output array is read-only")
    target[...] = array
    if traced:  # jit has given up: the code goes on with what it has without jit
        return target
    if not mine:
        return Tensor(target, copy=False)
    new = result if target.dtype == result.dtype else functions["cast"](result, target.dtype)
    if new.shape != target.shape:
        new = functions[np.broadcast_to](new, target.shape)
    new._value = target
    own_memory(new)
    if new._node.primitive is not None and guarding(state.get()):
        new._node.hold(lock(target))
    return new


def reshape_in_place(tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Give a cell another shape; views and gradients stay as they are."""
    base = tensor._base
    if base is None and tensor._inner_shape is None:
        tensor._inner_shape = tensor.shape
    step = primitives["reshape"], {"shape": shape}
    new = tensor._trace.process(step[0], (tensor,), step[1])
    if base is not None:
        tensor._path = (*tensor._path, step)
    if not isinstance(new, Tensor):
        raise TapegradError("a value that is no tensor cannot be reshaped in place")
    tensor._value = new._value
    tensor._node = new._node
    if base is None:
        tensor._version += 1
