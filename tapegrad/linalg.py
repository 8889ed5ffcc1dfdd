"""Linear algebra: norms and matrix products.

>>> import numpy as np
>>> import tapegrad as tg
>>> x = tg.tensor([[3.0, 4.0]])
>>> tg.linalg.norm(x, axis=1)
Tensor([5.])
"""

from tapegrad.ops import einsum, matmul, multi_matmul
from tapegrad.ops.algebra.norms import matrix_norm, norm, vector_norm

__all__ = ["einsum", "matmul", "matrix_norm", "multi_matmul", "norm", "vector_norm"]
