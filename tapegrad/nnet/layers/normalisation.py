"""Layers that centre and scale data: ``batchnorm``.

>>> import tapegrad as tg
>>> from tapegrad.nnet.layers import batchnorm
>>> batchnorm(tg.tensor([[-2.0], [2.0]]), eps=0)
Tensor([[-1.],
        [ 1.]])
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.ops.layers.normalisation import normalise_p
from tapegrad.tape import Tensor
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["batchnorm"]


def batchnorm(
    x: ArrayLike,
    *,
    gamma: ArrayLike = None,
    beta: ArrayLike = None,
    eps: float,
    constant: bool | None = None,
) -> Tensor:
    """Normalise each channel: ``gamma * (x - mean) / sqrt(variance + eps) + beta``.

    Parameters
    ----------
    x : array_like, shape (N, C, ...)
        Mean and (biased) variance are taken over all axes but the second.
    gamma, beta : array_like, shape (C,), optional
        Scale and shift of each channel.
    eps : float
        A non-negative number that keeps the divisor from 0.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError
        If `eps` is not a real number.
    ValueError
        For a negative `eps` or wrong shapes.

    Examples
    --------
    >>> import tapegrad as tg
    >>> from tapegrad.nnet.layers import batchnorm
    >>> x = tg.tensor([1.0, 4.0, 1.0]).reshape(3, 1)
    >>> batchnorm(x, eps=0)
    Tensor([[-0.70710678],
            [ 1.41421356],
            [-0.70710678]])
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"batchnorm: `x` must have shape (N, C, ...), not {x.shape}")
    if not isinstance(eps, Real):
        raise TypeError(f"batchnorm: `eps` must be a real number, not {eps!r}")
    if not eps >= 0:
        raise ValueError(f"batchnorm: `eps` must be a non-negative number, not {eps}")
    if isinstance(eps, np.generic):
        eps = eps.item()  # a Python number, which does not widen float32
    channels = x.shape[1:2]
    dtype = x.dtype if x.dtype.kind == "f" else float
    given = (
        x,
        np.ones(channels, dtype) if gamma is None else _per_channel(gamma, channels, "gamma"),
        np.zeros(channels, dtype) if beta is None else _per_channel(beta, channels, "beta"),
    )
    return apply(normalise_p, given, {"eps": eps}, constant)  # type: ignore[no-any-return]


def _per_channel(a: Array, channels: tuple[int, ...], name: str) -> Any:
    a = as_tensor(a)
    if a.shape != channels:
        raise ValueError(
            f"batchnorm: `{name}` must have one number per channel: shape {channels}, not {a.shape}"
        )
    return a
