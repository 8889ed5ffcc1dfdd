"""The methods of ufuncs on tensors, for every binary function: folds by applying it step by step.

What has a primitive of its own (``add.reduce`` is the sum) does not come here. These are compositions,
so that they differentiate in every mode; they take one application for each element along the axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.mutation import promoted
from tapegrad.tape.array.paths import HOLE
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions, primitives
from tapegrad.tape.core.types import Array, AxisLike

__all__ = ["accumulate", "at", "reduce", "reduceat"]


def _binary(ufunc: Any, method: str) -> None:
    if ufunc.nin != 2 or ufunc.signature is not None:
        raise ValueError(f"{method} only supported for binary functions")


def _axis(axis: AxisLike, ndim: int, name: str) -> int:
    """Return the one axis of a fold; NumPy's errors for others."""
    if axis is None:
        axis = tuple(range(ndim))
    if isinstance(axis, tuple):
        if len(axis) != 1:
            raise ValueError(
                f"reduction operation '{name}' is not reorderable, so at most one axis may be "
                "specified"
            )
        axis = axis[0]
    return int(np.lib.array_utils.normalize_axis_index(axis, ndim))


def _slices(array: Tensor, axis: int) -> list[Any]:
    before = (slice(None),) * axis
    return [array[(*before, i)] for i in range(array.shape[axis])]


def reduce(
    ufunc: Any, array: Tensor, axis: AxisLike, keepdims: bool, initial: Array, where: Array
) -> Array:
    """Fold an axis from its first element to its last.

    Parameters
    ----------
    ufunc : Ufunc
    array : Tensor
    axis : int
    keepdims : bool
    initial : scalar, optional
        Where the fold begins, before the first element.
    where : bool or array
        Which elements take part; then `initial` or an identity is needed.
    """
    _binary(ufunc, "reduce")
    name = ufunc.ufunc.__name__
    axis = _axis(axis, array.ndim, name)
    items = _slices(array, axis)
    start = initial if initial is not None else (ufunc.identity if where is not True else None)
    if start is None and not items:
        start = ufunc.identity
    if start is None and (not items or where is not True):
        raise ValueError(
            f"reduction operation '{name}' does not have an identity, so to use a where mask one "
            "has to specify 'initial'"
            if items
            else f"zero-size array to reduction operation {name} which has no identity"
        )
    shape = (*array.shape[:axis], *array.shape[axis + 1 :])
    result = (
        items.pop(0) if start is None else np.broadcast_to(np.asarray(start, array.dtype), shape)
    )
    masks: list[Any] = [True] * len(items)
    if where is not True:
        masks = list(np.moveaxis(np.broadcast_to(where, array.shape), axis, 0))
    for item, mask in zip(items, masks):
        following = ufunc(result, item)
        result = following if mask is True else functions[np.where](mask, following, result)
    return functions[np.expand_dims](result, axis) if keepdims else result


def accumulate(ufunc: Any, array: Tensor, axis: AxisLike) -> Array:
    """Fold an axis and keep every intermediate result."""
    _binary(ufunc, "accumulate")
    axis = _axis(axis, array.ndim, ufunc.ufunc.__name__)
    steps: list[Any] = []
    for item in _slices(array, axis):
        steps.append(ufunc(steps[-1], item) if steps else item)
    return functions[np.stack](steps, axis) if steps else functions[np.copy](array)


def reduceat(ufunc: Any, array: Tensor, indices: Array, axis: AxisLike) -> Array:
    """Fold the pieces of an axis that begin at `indices`.

    A piece ends where the next begins; one that would end before it begins is its first element.
    """
    _binary(ufunc, "reduceat")
    axis = _axis(axis, array.ndim, ufunc.ufunc.__name__)
    items = _slices(array, axis)
    starts = [int(i) for i in np.asarray(indices)]
    for i in starts:
        if not 0 <= i < len(items):
            raise IndexError(
                f"index {i} out-of-bounds in {ufunc.ufunc.__name__}.reduceat [0, {len(items)})"
            )
    pieces = []
    for i, stop in zip(starts, [*starts[1:], len(items)]):
        piece = items[i]
        for item in items[i + 1 : stop]:
            piece = ufunc(piece, item)
        pieces.append(piece)
    return functions[np.stack](pieces, axis)


def _is_mask(index: Any) -> bool:
    return (index if isinstance(index, Tensor) else np.asarray(index)).dtype == bool


def _stays(target: Tensor, operand: Any) -> bool:
    """Whether a sum with an operand has the dtype of the target."""
    number = isinstance(operand, int | float) and not isinstance(operand, bool)
    other = (
        operand if number else np.asarray(operand).dtype if _is_plain(operand) else operand.dtype
    )
    return np.result_type(target.dtype, other) == target.dtype and target.dtype.kind in "fc"


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Tensor)


def _add_at(target: Tensor, positions: Any, operand: Any) -> None:
    """Add at positions in one operation: what is there comes first, then one value after another."""
    values = functions[np.broadcast_to](operand, positions.shape)
    parts = [functions[np.reshape](part, (-1,)) for part in (target, values)]
    places = [np.arange(target.size), functions[np.reshape](positions, (-1,))]
    flat, where = functions[np.concatenate](parts), functions[np.concatenate](places)
    total = bind(primitives["scatter_add"], flat, where, shape=(target.size,), spec=(HOLE,))
    target[...] = functions[np.reshape](total, target.shape)


def at(ufunc: Any, target: Any, indices: Array, operand: Any) -> None:
    """Apply a function in place at `indices`, once for each time that an index occurs.

    Raises
    ------
    TypeError
        If `target` is a plain array, which would lose the gradient.
    """
    if isinstance(target, np.ndarray):
        target = promoted(target)
    if not isinstance(target, Tensor):
        raise TypeError(
            f"{ufunc.ufunc.__name__}.at writes into its first argument: make it a tensor, so that the "
            "gradient of the values is kept"
        )
    places = indices if type(indices) is tuple else (indices,)
    basic = all(isinstance(i, slice | int) or i is None or i is Ellipsis for i in places)
    if basic or all(_is_mask(i) for i in places):
        # No element is named twice.
        part = target[indices]
        target[indices] = ufunc(part) if ufunc.nin == 1 else ufunc(part, operand)
        return
    numbers: Any = np.arange(target.size).reshape(target.shape)
    if any(isinstance(i, Tensor) for i in places):
        numbers = Tensor(numbers, constant=True)
    positions = numbers[indices]
    if ufunc.ufunc in (np.add, np.subtract) and _stays(target, operand):
        _add_at(target, positions, operand if ufunc.ufunc is np.add else -operand)
        return
    values = None
    if ufunc.nin == 2:
        values = functions[np.reshape](
            functions[np.broadcast_to](operand, positions.shape), (positions.size,)
        )
    for k, position in enumerate(positions.reshape(-1)):
        index = tuple(int(i) for i in np.unravel_index(position, target.shape))
        target[index] = ufunc(target[index]) if values is None else ufunc(target[index], values[k])
