"""The arrays of a nest as one vector, and what linear functions make of its unit vectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.core.cotangents import cast
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.transforms.arguments import Choice
from tapegrad.tape.transforms.values import dtype_of, give_back, shape_of
from tapegrad.tape.transforms.vectorisation import map_rows

__all__ = ["Space"]


class Space:
    """The arrays of a nest as one vector.

    Attributes
    ----------
    leaves : list
        Arrays, tensors or numbers.
    structure : Structure
    size : int
        The number of elements.
    """

    def __init__(self, tree: Any) -> None:
        self.leaves, self.structure = flatten(tree)
        self._shapes = [shape_of(leaf) for leaf in self.leaves]
        ends = [0, *itertools.accumulate(map(math.prod, self._shapes))]
        self._places = list(itertools.starmap(slice, itertools.pairwise(ends)))
        self.size = ends[-1]

    def images(self, apply: Callable[..., list[Any]], chunk: int | None) -> list[Any]:
        """Return what a linear function makes of each unit vector.

        Parameters
        ----------
        apply : callable
            Takes leaves as arguments, and returns a list of leaves.
        chunk : int or None
            To how many vectors at a time.

        Returns
        -------
        list of array
            The leaves for all unit vectors, with an axis for these in front.
        """
        if self.size <= 1:
            images = apply(*(unit[0] for unit in self._units(0, 1)))
            return [np.reshape(image, (1, *np.shape(image)))[: self.size] for image in images]
        step = min(chunk or self.size, self.size)
        images = map_rows(apply, self._units(0, step))
        if step == self.size:
            return images
        found = [_Rows(image, self.size) for image in images]
        for start in range(step, self.size, step):
            images = map_rows(apply, self._units(start, min(start + step, self.size)))
            for rows, image in zip(found, images):
                rows.add(image)
        return [rows.whole() for rows in found]

    def ones(self) -> list[Any]:
        """Return leaves full of ones."""
        return [np.ones(shape, dtype_of(leaf)) for leaf, shape in zip(self.leaves, self._shapes)]

    def _units(self, start: int, stop: int) -> list[Any]:
        """Return rows of the identity, cut into the leaves."""
        parts = []
        for leaf, shape, place in zip(self.leaves, self._shapes, self._places):
            part = np.zeros((stop - start, place.stop - place.start), dtype_of(leaf))
            ones = np.arange(max(start, place.start), min(stop, place.stop))
            part[ones - start, ones - place.start] = 1
            parts.append(part.reshape(stop - start, *shape))
        return parts

    def blocks(self, inputs: Space, choice: Choice, cut: Callable[..., Any]) -> Any:
        """Return the jacobian of this nest by `inputs`.

        ``cut(i, place_i, k, place_k)`` gives the derivatives of leaf i by leaf k of the inputs; the
        places are theirs in the two vectors.
        """
        rows = []
        for i, (shape, place) in enumerate(zip(self._shapes, self._places)):
            row = []
            for k, leaf in enumerate(inputs.leaves):
                block = cut(i, place, k, inputs._places[k])
                if shape_of(block) != (*shape, *inputs._shapes[k]):
                    block = np.reshape(block, (*shape, *inputs._shapes[k]))
                dtype = dtype_of(leaf)
                if dtype_of(self.leaves[i]).kind == "c":  # of a real argument, a column
                    dtype = np.result_type(dtype, np.complex64)
                row.append(give_back(cast(block, dtype), like=leaf))
            rows.append(choice.of_chosen(unflatten(inputs.structure, row)))
        return unflatten(self.structure, rows)


class _Rows:
    """Rows of a large array that come in parts; plain arrays are written where they belong at once."""

    def __init__(self, part: Any, count: int) -> None:
        self._parts = [part]
        self._array: Any = None
        if type(part) is np.ndarray:
            self._array = np.empty((count, *part.shape[1:]), part.dtype)
            self._array[: len(part)] = part
        self._next = part.shape[0]

    def add(self, part: Any) -> None:
        """Add the next rows."""
        if self._array is None:
            self._parts.append(part)
        else:
            self._array[self._next : self._next + len(part)] = part
            self._next += len(part)

    def whole(self) -> Any:
        """Return all rows."""
        return np.concatenate(self._parts) if self._array is None else self._array
