"""``x.flat``: the elements of a tensor in C order, to be iterated, indexed and assigned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tapegrad.tape.core.primitive import functions

__all__ = ["Flat"]


class Flat:
    """What ``ndarray.flat`` is to an array; reads and writes are differentiable.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x.flat[2]
    Tensor(3.)
    >>> x.flat[1:3] = 0.0
    >>> x
    Tensor([[1., 0.],
            [0., 4.]])
    """

    __slots__ = ("_index", "base")

    def __init__(self, base: Any, index: int = 0) -> None:
        self.base = base
        self._index = index

    @property
    def index(self) -> int:
        """How many elements the iteration has passed."""
        return self._index

    @property
    def coords(self) -> tuple[int, ...]:
        """The place of the next element of the iteration."""
        return tuple(int(i) for i in np.unravel_index(self._index, self.base.shape))

    def copy(self) -> Any:
        """Return the elements along one axis."""
        return functions["flatten"](self.base)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._index >= self.base.size:
            raise StopIteration
        place = self.coords
        self._index += 1
        return self.base[place]

    def __len__(self) -> int:
        return int(self.base.size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer):
            return self.base[self._place(index)]
        return functions["flatten"](self.base)[index]  # NumPy copies here

    def _place(self, index: Any) -> tuple[Any, ...]:
        size = self.base.size
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of bounds for size {size}")
        return np.unravel_index(index % size, self.base.shape)

    def __setitem__(self, index: Any, value: Any) -> None:
        functions[np.put](self.base, np.arange(self.base.size)[index], value)

    # NumPy's functions get the elements along one axis.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*_unrolled(inputs), **_unrolled(kwargs))

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        return function(*_unrolled(args), **_unrolled(kwargs))


def _unrolled(value: Any) -> Any:
    """Replace each iterator among arguments by what it iterates over."""
    if isinstance(value, Flat):
        return functions[np.ravel](value.base)
    if isinstance(value, dict):
        return {name: _unrolled(v) for name, v in value.items()}
    return type(value)(_unrolled(v) for v in value) if type(value) in (list, tuple) else value
