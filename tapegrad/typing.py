"""Types for the annotations of code that takes or returns tensors.

>>> import tapegrad as tg
>>> from tapegrad.typing import ArrayLike
>>> def half(x: ArrayLike) -> tg.Tensor:
...     return tg.multiply(x, 0.5)
>>> half([2.0, 4.0])
Tensor([1., 2.])
"""

from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor

__all__ = [
    "ArrayLike", "DTypeLike", "DTypeLikeReals", "Index", "Mask", "Real", "Scalar", "Shape",
]  # fmt: skip

#: A real number.
Real = int | float | np.integer[Any] | np.floating[Any]
#: A real number or a truth value.
Scalar = Real | bool | np.bool_
#: Sizes of axes.
Shape = tuple[int, ...]
#: What becomes a tensor: numbers, arrays, tensors, nested sequences of them.
ArrayLike = Scalar | complex | np.ndarray[Any, Any] | Tensor | Sequence["ArrayLike"]
#: What names any dtype.
DTypeLike = np.dtype[Any] | type | str | None
#: What names a dtype of real numbers.
DTypeLikeReals = (
    np.dtype[Any]
    | type[bool]
    | type[int]
    | type[float]
    | type[np.number[Any]]
    | type[np.bool_]
    | str
)
#: A mask, as ``where=`` takes it.
Mask = bool | np.ndarray[Any, np.dtype[np.bool_]] | Tensor | Sequence["Mask"]
_IndexItem = int | slice | EllipsisType | None | np.ndarray[Any, Any] | Tensor | Sequence[int]
#: What stands in brackets behind a tensor.
Index = _IndexItem | tuple[_IndexItem, ...]
