"""Tensor manipulation routines, under the name that MyGrad's documentation gives their section.

>>> from tapegrad import tensor_creation, tensor_manip
>>> tensor_manip.reshape(tensor_creation.arange(4), (2, 2))
Tensor([[0, 1],
        [2, 3]])
"""

from tapegrad.ops import (  # noqa: I001  # many to a line
    atleast_1d, atleast_2d, atleast_3d, broadcast_to, concatenate, expand_dims, moveaxis, ravel,
    repeat, reshape, roll, squeeze, stack, swapaxes, transpose,
)  # fmt: skip

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "concatenate", "expand_dims",
    "moveaxis", "ravel", "repeat", "reshape", "roll", "squeeze", "stack", "swapaxes", "transpose",
]  # fmt: skip
