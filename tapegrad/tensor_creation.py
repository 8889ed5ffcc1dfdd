"""Tensor creation routines, under the name that MyGrad's documentation gives their section.

>>> from tapegrad import tensor_creation
>>> tensor_creation.ones(2)
Tensor([1., 1.], dtype=float32)
"""

from tapegrad.ops import (  # noqa: I001  # many to a line
    arange, asarray, astensor, empty, empty_like, eye, full, full_like, geomspace, identity,
    linspace, logspace, ones, ones_like, tensor, zeros, zeros_like,
)  # fmt: skip

__all__ = [
    "arange", "asarray", "astensor", "empty", "empty_like", "eye", "full", "full_like", "geomspace",
    "identity", "linspace", "logspace", "ones", "ones_like", "tensor", "zeros", "zeros_like",
]  # fmt: skip
