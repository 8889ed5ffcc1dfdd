"""Names for the types in signatures.

Code that computes takes what behaves like an array: the same rule runs on ndarrays, at NumPy's speed,
and on tensors, which come back into the library. A checker cannot tell these apart in NumPy's
functions, so that the first five names stand for ``Any`` to it, and for what is meant to the reader.
Users' annotations are in :mod:`tapegrad.typing`.
"""

from collections.abc import Mapping
from typing import Any, ParamSpec, TypeAlias, TypeVar

__all__ = ["Array", "ArrayLike", "AxisLike", "DTypeLike", "P", "Params", "R", "Shape", "ShapeLike"]

#: An ndarray, a NumPy scalar, or a tensor.
Array: TypeAlias = Any
#: What is made an array or a tensor: also a number, or a nested sequence.
ArrayLike: TypeAlias = Any
#: An axis, several of them, or None for all.
AxisLike: TypeAlias = Any
#: What names a dtype; None for the usual one.
DTypeLike: TypeAlias = Any
#: A size or several.
ShapeLike: TypeAlias = Any
#: The parameters of a user's function, which what is made of it has, too.
P = ParamSpec("P")
#: Its result.
R = TypeVar("R")
#: Sizes of axes.
Shape = tuple[int, ...]
#: The parameters of a primitive: what it takes besides arrays.
Params = Mapping[str, Any]
