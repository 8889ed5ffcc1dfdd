"""Conditions and ranks of matrices.

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.grad(np.linalg.cond)(np.diag([1.0, 4.0]))
array([[-4.,  0.],
       [ 0.,  1.]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.singular import of_matrices, wide
from tapegrad.ops.algebra.systems import inv, matrix, of_triangle, square
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import ArrayLike, AxisLike

__all__ = ["cond", "matrix_rank"]


matrix_rank_p = of_matrices(
    "matrix_rank",
    lambda x, *, tol: np.linalg.matrix_rank(wide(x), tol=tol),
    None,
    takes_complex=True,
)


@implements(np.linalg.matrix_rank)
def matrix_rank(A: ArrayLike, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """Return the ranks of matrices, which are constant.

    Parameters
    ----------
    A : array_like, shape (..., m, n)
    tol : array_like, optional
        Singular values that are not greater count as zero.
    hermitian : bool
        Whether the matrices are symmetric.
    rtol : array_like, optional
        The same, in relation to the greatest singular value.

    Returns
    -------
    int or ndarray of int
        One number for each matrix.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> int(np.linalg.matrix_rank(tg.tensor([[1.0, 1.0], [1.0, 1.0]])))
    1
    """
    if tol is not None and rtol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    a = as_tensor(A)
    if a.ndim < 2:
        return np.asarray(np.any(a != 0)).astype(int)
    a = of_triangle(square(a, "matrix_rank"), "L") if hermitian else matrix(a, "matrix_rank")
    if rtol is not None:
        values = functions[np.linalg.svdvals](a)
        return np.count_nonzero(values > values[..., :1] * rtol, axis=-1)
    return apply(matrix_rank_p, (a,), {"tol": None if tol is None else float(tol)})


@implements(np.linalg.cond)
def cond(x: ArrayLike, p: Any = None) -> Any:
    """Return the condition numbers of matrices.

    Parameters
    ----------
    x : array_like
    p : {None, 2, -2, 1, -1, inf, -inf, 'fro', 'nuc'}
        The norm; None means 2.

    Returns
    -------
    Tensor
        One number for each matrix.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.cond(tg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    Tensor(2.)
    """
    x = matrix(x, "cond")
    if p in (None, 2, -2):
        s = functions[np.linalg.svdvals](x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    x = square(x, "cond")
    axes: AxisLike = (-2, -1)
    norm: Any = functions[np.linalg.norm]
    return norm(x, ord=p, axis=axes) * norm(inv(x), ord=p, axis=axes)
