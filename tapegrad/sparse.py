"""Sparse matrices as operands of products and of systems of equations.

>>> import numpy as np, tapegrad as tg
>>> data, indices, indptr = np.array([2.0, 3.0]), [0, 2], [0, 1, 2]
>>> a = tg.sparse.csr(data, indices, indptr, shape=(2, 3))
>>> a @ np.ones(3)
Tensor([2., 3.])
>>> tg.grad(lambda d: np.sum(tg.sparse.matmul((d, indices, indptr), np.ones(3), shape=(2, 3))))(data)
array([1., 1.])
"""

from tapegrad.ops.algebra.sparse import SparseMatrix, csr, matmul, spsolve

__all__ = ["SparseMatrix", "csr", "matmul", "spsolve"]
