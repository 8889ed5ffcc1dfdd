"""Promotion: plain arrays that traced values were stored into.

A NumPy program makes arrays with ``np.empty`` and fills them element by element. When a traced value
is stored, the array's *memory* is promoted: from then on a tensor stands for the array that owns that
memory, and every array inside it, made before or after, for the same part of the tensor.

>>> import numpy as np, tapegrad as tg
>>> table = Promotions()
>>> a = np.zeros((2, 3))
>>> row, corner = a[1], a[:, ::2]  # views, made before
>>> table.tensor_of(a)[1] = tg.tensor([1.0, 2.0, 3.0])
>>> table.tensor_of(row), table.tensor_of(corner)
(Tensor([1., 2., 3.]), Tensor([[0., 0.],
        [1., 3.]]))
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from tapegrad.tape.array.flat import Flat
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.primitive import functions

__all__ = ["Promoted", "Promotions", "address_of", "indexes", "is_traced", "owner_of", "view_of"]

Array = np.ndarray[Any, Any]


def owner_of(array: Array) -> Array:
    """Return the array that owns the memory of `array`: the end of its chain of bases."""
    while array.base is not None:
        base = array.base if isinstance(array.base, np.ndarray) else _behind(array)
        if base is None:
            break
        array = base
    return array


def _behind(array: Array) -> Array | None:
    """Return the array whose memory an object that is no array lends to another."""
    lender: Any = array.base
    kind = type(lender)
    if kind is np.nditer:
        address = address_of(array)
        for operand in lender.operands:
            low, high = np.lib.array_utils.byte_bounds(operand)
            if low <= address < high:
                return operand  # type: ignore[no-any-return]
        return None
    held = lender.obj if kind is memoryview else getattr(lender, "base", None)
    return held if isinstance(held, np.ndarray) else None


def _check_memory(owner: Array) -> None:
    """Refuse memory that something else shows than arrays, which would read what it held before."""
    lender: Any = owner.base
    try:
        memoryview(lender)
    except TypeError:
        return
    lender = lender.obj if type(lender) is memoryview else lender
    raise TracedArrayError(
        f"a traced value is stored into an array whose memory belongs to an object of type "
        f"{type(lender).__name__}, at {user_location()}: its derivative would be lost there. Store "
        "it into a copy of the array"
    )


def address_of(array: Array) -> int:
    """Return the address of the first element."""
    return int(array.__array_interface__["data"][0])


def is_traced(value: Any) -> bool:
    """Whether a derivative or a batch would be lost where a value becomes a plain one."""
    if isinstance(value, Tensor):
        return value.live_trace.level > 0 or not value.constant
    return type(value) in (list, tuple) and any(map(is_traced, value))


def indexes(key: Any) -> bool:
    """Whether there is a tensor in an index."""
    return isinstance(key, Tensor) or (type(key) is tuple and any(map(indexes, key)))


def _overlapping(array: Array) -> TracedArrayError:
    return TracedArrayError(
        f"an array of shape {array.shape} shares a part of its memory with another one that traced "
        f"values were stored into, and belongs to no array that has all of it, at {user_location()}"
    )


class Promoted(Tensor):
    """A tensor that stands for a plain array: variable as soon as something variable is stored there."""

    __slots__ = ()
    follows = True

    def _leaf_like(self, array: Any, constant: bool | None, *, subok: bool = True) -> Tensor:
        return super()._leaf_like(array, constant, subok=False)


class Promotions:
    """The promoted arrays of one trace.

    The table holds the arrays, so that neither an address nor an ``id`` is used again while it lives.
    """

    __slots__ = ("_ends", "_flats", "_layouts", "_owners", "_starts", "_tensors", "_views")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._owners: list[Array] = []
        #: The owners as they lay when they were promoted; their shapes can be set.
        self._layouts: list[Array] = []
        self._tensors: list[Tensor] = []
        #: Arrays that were asked for, the tensors that stand for them, and their layouts, by id.
        self._views: dict[int, tuple[Array, Tensor, Any]] = {}
        #: The same of iterators.
        self._flats: dict[int, tuple[Any, Flat]] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __iter__(self) -> Iterator[tuple[Array, Array, Tensor]]:
        return iter(zip(self._owners, self._layouts, self._tensors))

    def forget_views(self) -> None:
        """Let go of the arrays that were asked for: those that live on are held by somebody else."""
        self._views.clear()

    def flats_of(self, owner: Array) -> int:
        """Return how many references to an array the iterators of the table are."""
        bases = [flat.base for flat, _ in self._flats.values()]
        views = {id(base) for base in bases if base is not owner and owner_of(base) is owner}
        return len(views) + sum(base is owner for base in bases)

    def promote(self, array: Array) -> Tensor:
        """Return the tensor that stands for `array` from now on."""
        owner = owner_of(array)
        if owner.dtype.kind not in NUMERIC:
            raise TracedArrayError(
                f"a traced value is stored into an array of dtype {owner.dtype}, at {user_location()}: "
                "its derivative would be lost there"
            )
        if not array.size:  # it has no memory, and nothing that could be lost
            return Promoted(array, constant=True)
        if owner.base is not None:
            _check_memory(owner)
        tensor = Promoted(owner, constant=True)
        low, high = np.lib.array_utils.byte_bounds(owner)
        at = bisect_right(self._starts, low)
        if at < len(self._starts) and self._starts[at] < high:
            raise _overlapping(owner)
        self._starts.insert(at, low)
        self._ends.insert(at, high)
        self._owners.insert(at, owner)
        self._layouts.insert(at, owner.view(np.ndarray))
        self._tensors.insert(at, tensor)
        return self.find(array)  # type: ignore[return-value]  # it lies there now

    def find(self, array: Array) -> Tensor | None:
        """Return the tensor that stands for `array`; None if its memory is not promoted."""
        known = self._views.get(id(array))
        if known is not None and known[2] == (array.shape, array.strides):
            return known[1]
        at = self._place_of(array)
        if at is None:
            return None
        layout, tensor = self._layouts[at], self._tensors[at]
        if (array.shape, array.strides, array.dtype) != (
            layout.shape,
            layout.strides,
            layout.dtype,
        ):
            if np.lib.array_utils.byte_bounds(array)[1] > self._ends[at]:
                raise _overlapping(array)
            tensor = view_of(tensor, layout, array)
        if type(array.base) is np.nditer:  # the next time it lies elsewhere
            return tensor
        self._views[id(array)] = (array, tensor, (array.shape, array.strides))
        return tensor

    def flat_of(self, flat: Any) -> Any:
        """Return what stands for ``array.flat``, or `flat` if nothing stands for the array."""
        known = self._flats.get(id(flat))
        if known is not None:
            return known[1]
        tensor = self.find(flat.base)
        if tensor is None:
            return flat
        self._flats[id(flat)] = flat, Flat(tensor, flat.index)
        return self._flats[id(flat)][1]

    def tensor_of(self, array: Array) -> Tensor:
        """Return the tensor that stands for `array`, promoting its memory if need be."""
        found = self.find(array)
        return self.promote(array) if found is None else found

    def _place_of(self, array: Array) -> int | None:
        address = address_of(array)
        at = bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._ends[at] or not array.size:
            return None
        return at


def view_of(tensor: Tensor, owner: Array, array: Array) -> Tensor:
    """Return the view of `tensor`, which stands for `owner`, that lies in memory where `array` does.

    Raises
    ------
    TracedArrayError
        If the elements are no regular part of the owner: other bytes, or a window that slides.
    """
    offset, part = address_of(array) - address_of(owner), None
    if owner.dtype.kind == "c" and array.dtype == owner.real.dtype:
        part = np.imag if offset % owner.itemsize else np.real
        offset -= offset % owner.itemsize
    if part is not None or array.dtype == owner.dtype:
        view = _view_at(tensor, owner, offset, array.shape, array.strides)
        if view is not None:
            return view if part is None else functions[part](view)  # type: ignore[no-any-return]
    raise TracedArrayError(
        f"an array of shape {array.shape}, strides {array.strides} and dtype {array.dtype} shares the "
        f"memory of one of shape {owner.shape} that traced values were stored into, at "
        f"{user_location()}. tapegrad follows slices, reshaped and transposed arrays; copy what you "
        "read instead of viewing it otherwise"
    )


def _view_at(
    tensor: Tensor, owner: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Tensor | None:
    """Return the view with such strides, so many bytes from the start of the owner."""
    offset, rest = divmod(offset, owner.itemsize)
    if rest or any(s % owner.itemsize for s in strides):
        return None
    steps = [s // owner.itemsize for s in strides]
    repeated = [i for i, (n, s) in enumerate(zip(shape, steps)) if n > 1 and not s]
    once = [i for i in range(len(shape)) if i not in repeated]
    sizes, steps = [shape[i] for i in once], [steps[i] for i in once]
    for find in (_sliced, _cut_from_memory):
        view = find(tensor, owner, offset, sizes, steps)
        if view is not None:
            if repeated:
                full = [1 if i in repeated else n for i, n in enumerate(shape)]
                view = functions[np.broadcast_to](_reshaped(view, full), shape)
            return view
    return None


def _sliced(
    tensor: Tensor, owner: Array, offset: int, sizes: list[int], steps: list[int]
) -> Tensor | None:
    """Find the slices, the order of axes and the shape that make the view of the owner."""
    axes = [i for i, n in enumerate(owner.shape) if n > 1]
    axes.sort(key=lambda i: -abs(owner.strides[i]))
    stride = {i: owner.strides[i] // owner.itemsize for i in axes}
    start = {}
    for i in axes:
        start[i], offset = divmod(offset, stride[i])
        if not 0 <= start[i] < owner.shape[i]:
            return None
    if offset:
        return None
    index = {i: slice(start[i], start[i] + 1) for i in axes}
    order = []
    for n, step in zip(sizes, steps):
        if n == 1:
            continue
        for i in axes:
            each, rest = divmod(step, stride[i])
            last = start[i] + each * (n - 1)
            if not rest and each and i not in order and 0 <= last < owner.shape[i]:
                index[i] = _slice(start[i], last, each)
                order.append(i)
                break
        else:
            return None
    whole = all(s == slice(0, owner.shape[i], 1) for i, s in index.items()) or not axes
    view = tensor if whole else tensor[tuple(index.get(i, slice(None)) for i in range(owner.ndim))]
    others = [i for i in range(owner.ndim) if i not in order]
    if order != sorted(order):
        view = functions[np.transpose](view, (*others, *order))
    return _reshaped(view, sizes)


def _cut_from_memory(
    tensor: Tensor, owner: Array, offset: int, sizes: list[int], steps: list[int]
) -> Tensor | None:
    """Find the view as slices of a piece of the memory, whose shape follows from the steps.

    Its axes are as long as the steps are apart: steps of 12, 8 and 1 are those of slices of an array
    whose axes have the strides 12, 4 and 1.
    """
    order = sorted(range(owner.ndim), key=lambda i: -owner.strides[i])
    total = owner.itemsize
    for i in reversed(order):
        if owner.shape[i] > 1 and owner.strides[i] != total:
            return None  # memory with gaps, or turned round
        total *= owner.shape[i]
    long = [i for i, n in enumerate(sizes) if n > 1]
    long.sort(key=lambda i: -abs(steps[i]))
    if order != list(range(owner.ndim)):
        tensor = functions[np.transpose](tensor, tuple(order))
    memory = _reshaped(tensor, (owner.size,))
    if len(long) == 1:
        step, n = steps[long[0]], sizes[long[0]]
        return _reshaped(memory[_slice(offset, offset + step * (n - 1), step)], sizes)
    reach = [steps[i] * (sizes[i] - 1) for i in long]
    low, high = offset + sum(r for r in reach if r < 0), offset + sum(r for r in reach if r > 0)
    strides = [abs(steps[long[0]])] if long else [1]
    for i in long[1:]:
        strides.append(math.gcd(strides[-1], steps[i]))
    for first in (low, low % strides[0], owner.size % strides[0]):
        length = -(-(high + 1 - first) // strides[0]) * strides[0]
        if not 0 <= first <= low or first + length > owner.size:
            continue
        index = _digits(offset - first, strides, long, sizes, steps, length)
        if index is not None:
            break
    else:
        return None
    piece = memory if length == owner.size else memory[first : first + length]
    inner = [a // b for a, b in pairwise((length, *strides, 1))]
    view = _reshaped(_reshaped(piece, inner)[index], [sizes[i] for i in long])
    if long != sorted(long):
        view = functions[np.transpose](view, tuple(int(i) for i in np.argsort(long)))
    return _reshaped(view, sizes)


def _digits(
    place: int, strides: list[int], long: list[int], sizes: list[int], steps: list[int], length: int
) -> tuple[slice, ...] | None:
    """Return the slice along each axis of a piece of memory; None if one leads out of it."""
    index = []
    for i, stride, around in zip(long, strides, (length, *strides)):
        start, place = divmod(place, stride)
        last = start + steps[i] // stride * (sizes[i] - 1)
        if not 0 <= last < around // stride:
            return None
        index.append(_slice(start, last, steps[i] // stride))
    if not long:
        start, place = divmod(place, 1)
        index.append(slice(start, start + 1))
    index.append(slice(place, place + 1))
    return tuple(index)


def _slice(start: int, last: int, step: int) -> slice:
    """Return the slice from `start` to `last`, both included."""
    stop = last + (1 if step > 0 else -1)
    return slice(start, None if stop < 0 else stop, step)


def _reshaped(tensor: Tensor, shape: Any) -> Tensor:
    shape = tuple(shape)
    return tensor if tensor.shape == shape else functions[np.reshape](tensor, shape)
