"""Linear algebra: norms and matrix products, systems, determinants, decompositions.

>>> import numpy as np
>>> import tapegrad as tg
>>> x = tg.tensor([[3.0, 4.0]])
>>> tg.linalg.norm(x, axis=1)
Tensor([5.])
"""

from tapegrad.ops import einsum, matmul, multi_matmul
from tapegrad.ops.algebra.conditions import cond, matrix_rank
from tapegrad.ops.algebra.decompositions import cholesky, eigh, eigvalsh, qr, svd, svdvals
from tapegrad.ops.algebra.determinants import det, slogdet
from tapegrad.ops.algebra.eigenvalues import eig, eigvals
from tapegrad.ops.algebra.norms import matrix_norm, norm, vector_norm
from tapegrad.ops.algebra.systems import (
    inv,
    lstsq,
    matrix_power,
    pinv,
    solve,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "cholesky", "cond", "det", "eig", "eigh", "eigvals", "eigvalsh", "einsum", "inv", "lstsq",
    "matmul", "matrix_norm", "matrix_power", "matrix_rank", "multi_matmul", "norm", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensorinv", "tensorsolve", "vector_norm",
]  # fmt: skip
