"""Eigenvalues of matrices that are not symmetric, as far as they are real.

Matrices with complex eigenvalues are refused by name.

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.grad(lambda a: np.max(np.linalg.eigvals(a)))(np.array([[2.0, 1.0], [0.0, 1.0]]))
array([[1., 0.],
       [1., 0.]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.equal_values import over_gaps, without_second
from tapegrad.ops.algebra.singular import of_matrices, turned
from tapegrad.ops.algebra.systems import solve_p, square
from tapegrad.ops.declare.refusals import refuse_complex
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["eig", "eigvals"]

_Eig: Any = type(np.linalg.eig(np.eye(1)))


def _eig_packed(x: Array) -> Any:
    """The eigenvalues, and below them the vectors as columns; nan if they are complex."""
    x = np.asarray(x)
    w, v = np.linalg.eig(x.astype(np.float32) if x.dtype == np.float16 else x)
    packed = np.concatenate((w[..., None, :], v), axis=-2)
    if w.dtype.kind == "c":
        real = np.all(w.imag == 0, axis=-1)[..., None, None]
        packed = np.where(real, packed.real, np.nan)
    return packed.astype(x.dtype)


def _eig_vjp(g: Array, y: Array, x: Array) -> Any:
    """The textbook's cotangent, of vectors whose length is kept at 1."""
    n = x.shape[-1]
    w, v = y[..., 0, :], y[..., 1:, :]
    gw, gv = g[..., 0, :], g[..., 1:, :]
    inner = np.matmul(turned(v), gv)
    own = np.sum(v * gv, axis=-2)[..., None, :]
    asked = inner - np.matmul(turned(v), v) * own
    gaps = w[..., None, :] - w[..., :, None]
    floor = n * float(np.finfo(x.dtype).eps) * np.max(np.abs(w), axis=-1, initial=0.0)
    floor = floor[..., None, None]
    eye = np.eye(n, dtype=x.dtype)
    middle = over_gaps(asked, asked, gaps, floor, n) * (1 - eye) + gw[..., None, :] * eye
    out = bind(solve_p, turned(v), np.matmul(middle, turned(v)))
    return without_second(out, x, gaps, floor)


eig_packed_p = of_matrices("eig_packed", _eig_packed, (_eig_vjp,))


@implements(np.linalg.eig)
def eig(a: ArrayLike) -> Any:
    """Return the eigenvalues of square matrices, and their vectors of length 1.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    eigenvalues : Tensor, shape (..., n)
    eigenvectors : Tensor, shape (..., n, n)
        One in each column.

    Raises
    ------
    TypeError
        If eigenvalues are complex.

    Notes
    -----
    Of equal eigenvalues, derivatives of what is made of their vectors are nan, and so are all second
    derivatives. Matrices without a basis of eigenvectors have no derivative.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.eig(tg.tensor([[2.0, 1.0], [0.0, 1.0]])).eigenvalues
    Tensor([2., 1.])
    """
    a = square(a, "eig")
    packed = apply(eig_packed_p, (a,))
    refuse_complex(a, "np.linalg.eig", packed)
    return _Eig(packed[..., 0, :], packed[..., 1:, :])


@implements(np.linalg.eigvals)
def eigvals(a: ArrayLike) -> Any:
    """Return the eigenvalues of square matrices, in no order; see :func:`eig`.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n)

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.eigvals(tg.tensor([[2.0, 1.0], [0.0, 1.0]]))
    Tensor([2., 1.])
    """
    return eig(a)[0]
