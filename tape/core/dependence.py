"""Which elements of a result depend on which elements of an argument: the slot ``dependence``.

A dependence labels the elements of both: an element of the result depends on those of the argument that
have its label, at most. A pair of None says that they are labelled in order, each by itself. So there
are index maps, sums over axes and independent blocks, and no per-element work in any of them.

>>> from tapegrad.tape.core.primitive import primitives, Shaped
>>> import numpy as np
>>> x = Shaped((2, 3), np.dtype(float))
>>> labels_of(Applied(primitives["sum"], (x,), (2,), {"axis": (1,), "keepdims": False}), 0)
(array([0, 0, 0, 1, 1, 1], dtype=int32), None)
>>> labels_of(Applied(primitives["transpose"], (x,), (3, 2), {"axes": (1, 0)}), 0)
(None, array([0, 3, 1, 4, 2, 5], dtype=int32))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "MOVING", "OF_FAMILY", "READING", "Applied", "Dependence", "Labels", "agreeing", "along_axis",
    "by_place", "dense", "in_order", "kept_axes", "labels_of", "leading", "moved", "moving",
    "over_axes", "pairs_of_axes", "reading",
]  # fmt: skip

#: Of the elements of the argument, and of those of the result, in C order; -1 is no label.
Labels = tuple[Any, Any]


class Applied(NamedTuple):
    """An application of which the dependence is asked.

    Attributes
    ----------
    primitive : Primitive
    args : sequence
        What has the shapes of the arguments; None for constants of which nothing is known; arrays for
        integers and booleans, if they are read (:func:`reading`).
    shape : tuple of int
        Of the result.
    params : mapping
    """

    primitive: Any
    args: Sequence[Any]
    shape: tuple[int, ...]
    params: Any


Dependence = Callable[[Applied, int], Labels]


def labels_of(applied: Applied, index: int) -> Labels:
    """Return how the result of an application depends on one of its arguments."""
    return applied.primitive.dependence(applied, index)  # type: ignore[no-any-return]


def in_order(labels: Any, shape: tuple[int, ...]) -> Any:
    """Return labels as an array, also those that stand for themselves."""
    return np.arange(math.prod(shape), dtype=np.int32) if labels is None else labels


def agreeing(
    argument: tuple[int, ...], result: tuple[int, ...], pairs: Iterable[tuple[int, int]]
) -> Labels:
    """Return the dependence on the elements that have the same place along pairs of axes.

    Pairs of axes of different length are passed over: what is repeated along one axis has no place
    along it.
    """
    pairs = sorted((a, r) for a, r in pairs if argument[a] == result[r] != 1)
    sizes = [argument[a] for a, _ in pairs]
    numbers = np.arange(math.prod(sizes), dtype=np.int32).reshape(sizes)
    order = sorted(range(len(pairs)), key=lambda k: pairs[k][1])
    of_argument = None
    if numbers.size != math.prod(argument):
        of_argument = _spread(numbers, argument, [a for a, _ in pairs])
    of_result = None
    if numbers.size != math.prod(result) or order != sorted(order):
        of_result = _spread(np.transpose(numbers, order), result, [pairs[k][1] for k in order])
    return of_argument, of_result


def _spread(numbers: Any, shape: tuple[int, ...], axes: list[int]) -> Any:
    """Repeat numbers, which have the given axes of a shape, along the others; in C order."""
    own = [n if axis in axes else 1 for axis, n in enumerate(shape)]
    return np.broadcast_to(numbers.reshape(own), shape).reshape(-1)


def by_place(applied: Applied, index: int, without: Sequence[int] = ()) -> Labels:
    """Elementwise: an element depends on that in its place, as arguments are broadcast.

    Along the axes `without` of the result it may depend on all.
    """
    argument, result = applied.args[index].shape, applied.shape
    more = len(result) - len(argument)
    pairs = [(a, a + more) for a in range(len(argument)) if a + more not in without]
    return agreeing(argument, result, pairs)


def along_axis(applied: Applied, index: int) -> Labels:
    """Depend on all elements along the axis, or the axes, that a parameter names."""
    axis = applied.params["axis"]
    return by_place(applied, index, (axis,) if type(axis) is int else axis)


def kept_axes(axes: Sequence[int], ndim: int, *, keepdims: bool) -> list[tuple[int, int]]:
    """Return the pairs of axes that are left by a reduction over `axes`."""
    kept = [a for a in range(ndim) if a not in axes]
    return [(a, a if keepdims else r) for r, a in enumerate(kept)]


def over_axes(applied: Applied, index: int) -> Labels:
    """Reductions: depend on all that is reduced to the element."""
    argument = applied.args[index].shape
    params = applied.params
    pairs = kept_axes(params["axis"], len(argument), keepdims=params["keepdims"])
    return agreeing(argument, applied.shape, pairs)


def leading(count: int) -> Dependence:
    """Return the dependence of a stack, whose last `count` axes belong together in the arguments."""

    def stacked(applied: Applied, index: int) -> Labels:
        argument = applied.args[index].shape
        return agreeing(argument, applied.shape, [(a, a) for a in range(len(argument) - count)])

    return stacked


def pairs_of_axes(*pairs_of_arguments: Sequence[tuple[int, int]]) -> Dependence:
    """Return the dependence by fixed pairs of axes, given for each argument."""

    def paired(applied: Applied, index: int) -> Labels:
        pairs = pairs_of_arguments[index] if index < len(pairs_of_arguments) else ()
        return agreeing(applied.args[index].shape, applied.shape, pairs)

    return paired


def reading(rule: Dependence) -> Dependence:
    """Declare that a dependence reads the values of integer and boolean arguments."""
    READING.add(rule)
    return rule


def moving(rule: Dependence) -> Dependence:
    """Declare that who has this dependence does nothing but to move elements, and to add constants.

    It may read integers and booleans.
    """
    MOVING.add(rule)
    return reading(rule)


#: The dependences that follow from values of integers and booleans; all others, from shapes alone.
READING: set[Dependence] = set()
#: The dependences of what only moves elements.
MOVING: set[Dependence] = set()


@moving
def moved(applied: Applied, index: int) -> Labels:
    """Structural: the forward function only moves elements, so that it can move their numbers."""
    operands: list[Any] = []
    for i, a in enumerate(applied.args):
        if i == index:
            operands.append(np.arange(1, math.prod(a.shape) + 1, dtype=np.int32).reshape(a.shape))
        elif applied.primitive.differentiable_in(i):
            operands.append(np.zeros(a.shape, np.int32))
        else:
            operands.append(a)
    numbers = applied.primitive.forward(*operands, **applied.params)
    return None, np.asarray(numbers).reshape(-1) - 1


def dense(applied: Applied, index: int) -> Labels:
    """Opaque: everything may depend on everything."""
    return agreeing(applied.args[index].shape, applied.shape, ())


#: What families say of all their members; what is in none of them is dense, or says more.
OF_FAMILY: dict[str, Dependence] = {
    "elementwise": by_place,
    "reduction": over_axes,
    "structural": moved,
}
