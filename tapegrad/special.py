"""Special functions, named as SciPy names them, without SciPy.

>>> from tapegrad import grad, special
>>> special.erf([0.0, 0.5])
Tensor([0.        , 0.52049988])
>>> grad(special.ndtr)(0.0)
np.float64(0.3989422804014327)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import all_axes
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.ops.elementwise.bessel_functions import i0, i0e, i1, i1e, j0, j1
from tapegrad.ops.elementwise.beta_functions import beta, betainc, betaln
from tapegrad.ops.elementwise.entropies import (
    entr,
    expit,
    log_expit,
    logit,
    rel_entr,
    xlog1py,
    xlogy,
)
from tapegrad.ops.elementwise.error_functions import (
    erf,
    erfc,
    erfcinv,
    erfcx,
    erfinv,
    log_ndtr,
    ndtr,
    ndtri,
)
from tapegrad.ops.elementwise.gamma_function import gamma
from tapegrad.ops.elementwise.gamma_functions import digamma, gammaln, polygamma, zeta
from tapegrad.ops.elementwise.incomplete_gamma import gammainc, gammaincc
from tapegrad.ops.elementwise.special_functions import log_softmax_of, logsumexp_of, softmax_of
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.types import ArrayLike, AxisLike

__all__ = [
    "beta", "betainc", "betaln", "digamma", "entr", "erf", "erfc", "erfcinv", "erfcx", "erfinv",
    "expit", "gamma", "gammainc", "gammaincc", "gammaln", "i0", "i0e", "i1", "i1e", "j0", "j1",
    "log_expit", "log_ndtr", "log_softmax", "logit", "logsumexp", "ndtr", "ndtri", "polygamma",
    "rel_entr", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip


def _numbers(x: ArrayLike) -> Any:
    """Return a tensor, of floats if it is one of truth values."""
    x = as_tensor(x)
    return functions["cast"](x, np.dtype(float)) if x.dtype.kind == "b" else x


def softmax(x: ArrayLike, axis: AxisLike = None) -> Any:
    """Return powers of e, divided by their sum over axes.

    Parameters
    ----------
    x : array_like
    axis : int or tuple of int, optional
        By default all.

    Returns
    -------
    Tensor
        Of the shape of `x`; along the axes it sums up to 1.

    Examples
    --------
    >>> from tapegrad import special
    >>> special.softmax([1000.0, 1000.0])
    Tensor([0.5, 0.5])
    """
    x = _numbers(x)
    return softmax_of(x, axis=all_axes(axis, x.ndim))


def log_softmax(x: ArrayLike, axis: AxisLike = None) -> Any:
    """Return the logarithm of :func:`softmax`.

    Parameters
    ----------
    x : array_like
    axis : int or tuple of int, optional
        By default all.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> from tapegrad import special
    >>> special.log_softmax([1000.0, 0.0])
    Tensor([    0., -1000.])
    """
    x = _numbers(x)
    return log_softmax_of(x, axis=all_axes(axis, x.ndim))


def logsumexp(
    a: ArrayLike,
    axis: AxisLike = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Any:
    """Return the logarithm of a sum of powers of e, which may be too large for themselves.

    Parameters
    ----------
    a : array_like
        The exponents.
    axis : int or tuple of int, optional
        By default all.
    b : array_like, optional
        Factors of the powers.
    keepdims : bool
        Whether the axes stay, with size 1.
    return_sign : bool
        Whether to return the logarithm of the magnitude, and the sign.

    Returns
    -------
    Tensor
        The logarithm; with `return_sign` a tuple of it and the sign.

    Examples
    --------
    >>> from tapegrad import special
    >>> special.logsumexp([1000.0, 1000.0])
    Tensor(1000.69314718)
    """
    args: tuple[Any, ...] = tuple(_numbers(x) for x in (a, b) if x is not None)
    args = tuple(np.broadcast_arrays(*args)) if len(args) > 1 else args
    axes = all_axes(axis, args[0].ndim)
    result = logsumexp_of(*args, axis=axes, keepdims=bool(keepdims), signed=bool(return_sign))
    if not return_sign:
        return result
    shifted = args[0] - np.max(args[0], axis=axes, keepdims=True)
    powers = np.exp(shifted) if b is None else args[1] * np.exp(shifted)
    return result, np.sign(np.sum(powers, axis=axes, keepdims=bool(keepdims)))
