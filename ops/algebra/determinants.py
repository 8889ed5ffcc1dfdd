"""Determinants of matrices in the last two axes, and what they differentiate into.

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.grad(lambda a: np.linalg.det(a))(np.array([[2.0, 0.0], [0.0, 0.0]]))
array([[0., 0.],
       [0., 2.]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.singular import of_matrices, turned, wide
from tapegrad.ops.algebra.systems import inv_p, square
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["det", "slogdet"]

_Slogdet: Any = type(np.linalg.slogdet(np.eye(1)))


def _cofactor(x: Array) -> Any:
    """The derivative of the determinant, also of singular matrices."""
    if not x.size:
        return np.zeros_like(x)
    u, s, vh = np.linalg.svd(wide(x))
    before = np.cumprod(np.concatenate((np.ones_like(s[..., :1]), s[..., :-1]), -1), -1)
    after = np.cumprod(np.concatenate((np.ones_like(s[..., :1]), s[..., :0:-1]), -1), -1)
    others = before * after[..., ::-1]
    sign = np.linalg.det(u) * np.linalg.det(vh)
    if x.dtype.kind == "c":
        u, vh = u.conj(), vh.conj()
    else:
        sign = np.rint(sign)
    return np.matmul(u * (others * sign[..., None])[..., None, :], vh).astype(x.dtype)


def _cofactor_vjp(g: Array, y: Array, x: Array) -> Any:
    n = x.shape[-1]
    along = np.sum(g * y, axis=(-2, -1), keepdims=True) * np.eye(n, dtype=x.dtype)
    return np.matmul(along - np.matmul(y, turned(g)), turned(bind(inv_p, x)))


def _each(g: Array) -> Any:
    """Return one number for each matrix with the axes of matrices."""
    return np.expand_dims(g, (-2, -1))


cofactor_p = of_matrices("cofactor", _cofactor, (_cofactor_vjp,), takes_complex=True)
det_p = of_matrices(
    "det",
    lambda x: np.linalg.det(wide(x)).astype(x.dtype),
    (lambda g, y, x: _each(g) * bind(cofactor_p, x),),
    takes_complex=True,
)
logabsdet_p = of_matrices(
    "logabsdet",
    lambda x: np.linalg.slogdet(wide(x))[1].astype(np.real(x).dtype),
    (lambda g, y, x: _each(g) * turned(bind(inv_p, x)),),
    takes_complex=True,
)
#: Of complex matrices, a number of magnitude 1, which turns.
det_phase_p = of_matrices(
    "det_phase",
    lambda x: np.linalg.slogdet(x)[0],
    (lambda g, y, x: _each(np.imag(-g * y) * -1j) * turned(bind(inv_p, x)),),
    takes_complex=True,
)
det_sign_p = of_matrices("det_sign", lambda x: np.linalg.slogdet(wide(x))[0].astype(x.dtype), None)


@implements(np.linalg.det)
def det(a: ArrayLike) -> Any:
    """Return the determinants of square matrices.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    Tensor
        One number for each matrix.

    Notes
    -----
    The gradient is right for singular matrices, too; second derivatives raise there.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.det(tg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    Tensor(8.)
    """
    return apply(det_p, (square(a, "det"),))


@implements(np.linalg.slogdet)
def slogdet(a: ArrayLike) -> Any:
    """Return the signs of determinants, and the logarithms of their magnitudes.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    sign : ndarray, or Tensor for complex matrices
        One number for each matrix.
    logabsdet : Tensor

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> np.linalg.slogdet(tg.tensor([[0.0, 1.0], [1.0, 0.0]])).logabsdet
    Tensor(0.)
    """
    a = square(a, "slogdet")
    sign = det_phase_p if a.dtype.kind == "c" else det_sign_p
    return _Slogdet(apply(sign, (a,)), apply(logabsdet_p, (a,)))
