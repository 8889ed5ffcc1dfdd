"""The tensor, and how to make one.

>>> from tapegrad.tensor_base import Tensor, tensor
>>> isinstance(tensor(1.0), Tensor)
True
"""

from tapegrad.ops import asarray, astensor, tensor
from tapegrad.tape import Tensor

__all__ = ["Tensor", "asarray", "astensor", "tensor"]
