"""Activation functions.

>>> from tapegrad.nnet.activations import relu
>>> relu([-1.0, 2.0])
Tensor([-0.,  2.])
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from tapegrad.ops import tanh
from tapegrad.ops.declare.ufunc import as_tensor, check_operand, flagged
from tapegrad.ops.elementwise.logistic import sigmoid_p, stop_gradient_p
from tapegrad.tape import Tensor
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.dtypes import REAL
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = [
    "elu", "glu", "hard_tanh", "leaky_relu", "logsoftmax", "relu", "selu", "sigmoid", "soft_sign",
    "softmax", "tanh",
]  # fmt: skip

# The fixed point of Klambauer et al., "Self-normalizing neural networks" (2017).
_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805


def _input(x: Array, name: str) -> Tensor:
    t = as_tensor(x)
    check_operand(t.dtype.type(0), name, REAL)
    return t


def _scalar(value: Any, name: str, function: str) -> Any:
    """Check that a parameter is one real number; a Tensor keeps its gradient."""
    if isinstance(value, Real) and not isinstance(value, np.generic):
        return value
    held = isinstance(value, Tensor | np.ndarray | np.generic)
    if held and value.dtype.kind in "fiub" and value.size == 1:
        return np.reshape(value, ()) if value.ndim else value
    raise TypeError(
        f"{function}: `{name}` must be one real number, not {value!r} of type "
        f"{type(value).__name__}"
    )


def elu(x: ArrayLike, alpha: Any, *, constant: bool | None = None) -> Tensor:
    """Exponential linear unit: x from 0 on, ``alpha * (exp(x) - 1)`` below.

    Parameters
    ----------
    x : array_like
        Values.
    alpha : real number
        The factor of the negative part.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Its gradient at 0 is 1.

    Raises
    ------
    TypeError
        If `alpha` is not one real number.

    Examples
    --------
    >>> from tapegrad.nnet.activations import elu
    >>> elu([-1.0, 0.0, 1.0], alpha=0.1)
    Tensor([-0.06321206,  0.        ,  1.        ])
    """
    x = _input(x, "elu")
    alpha = _scalar(alpha, "alpha", "elu")
    # The exponential sees no positive numbers: what is not chosen would overflow.
    below = alpha * np.expm1(np.minimum(x, 0))
    return flagged(np.where(x < 0, below, x), constant)  # type: ignore[no-any-return]


def selu(x: ArrayLike, *, constant: bool | None = None) -> Tensor:
    """Scaled exponential linear unit, whose activations normalise themselves.

    Parameters
    ----------
    x : array_like
        Values.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        ``1.0507 * x`` from 0 on, ``1.0507 * 1.6733 * (exp(x) - 1)`` below; its gradient at 0 is
        1.0507.

    Examples
    --------
    >>> from tapegrad.nnet.activations import selu
    >>> selu([-1.0, 0.0, 1.0])
    Tensor([-1.11133074,  0.        ,  1.05070099])
    """
    x = _input(x, "selu")
    below = (_SELU_SCALE * _SELU_ALPHA) * np.expm1(np.minimum(x, 0))
    return flagged(np.where(x < 0, below, _SELU_SCALE * x), constant)  # type: ignore[no-any-return]


def glu(x: ArrayLike, axis: int = -1, *, constant: bool | None = None) -> Tensor:
    """Gated linear unit: the first half times the sigmoid of the second.

    Parameters
    ----------
    x : array_like
        Values, an even number of them along `axis`.
    axis : int
        The axis that is split.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Half as long as `x` along `axis`.

    Raises
    ------
    TypeError
        If `axis` is not an integer.
    ValueError
        If the length along `axis` is odd.

    Examples
    --------
    >>> from tapegrad.nnet.activations import glu
    >>> glu([3.0, 4.0, 0.0, 0.0])
    Tensor([1.5, 2. ])
    """
    x = _input(x, "glu")
    if not isinstance(axis, Integral) or isinstance(axis, bool):
        raise TypeError(f"glu: `axis` must be an integer, not {axis!r}")
    if not -x.ndim <= axis < x.ndim:
        raise np.exceptions.AxisError(int(axis), x.ndim)
    axis = int(axis) % x.ndim
    half, odd = divmod(x.shape[axis], 2)
    if odd:
        raise ValueError(
            f"glu: axis {axis} has odd length {x.shape[axis]}; it cannot be split in half"
        )
    before = (slice(None),) * axis
    first, second = x[(*before, slice(None, half))], x[(*before, slice(half, None))]
    return flagged(first * sigmoid(second), constant)  # type: ignore[no-any-return]


def hard_tanh(
    x: ArrayLike, *, lower_bound: Any = -1, upper_bound: Any = 1, constant: bool | None = None
) -> Tensor:
    """Limit values to an interval.

    Parameters
    ----------
    x : array_like
        Values.
    lower_bound, upper_bound : real number
        The ends of the interval.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Its gradient is 1 between the bounds, and 0 at them and beyond.

    Raises
    ------
    TypeError
        If a bound is not one real number.

    Examples
    --------
    >>> import tapegrad as tg
    >>> from tapegrad.nnet.activations import hard_tanh
    >>> hard_tanh(tg.arange(-3, 4), lower_bound=-2, upper_bound=2)
    Tensor([-2, -2, -1,  0,  1,  2,  2])
    """
    x = _input(x, "hard_tanh")
    lower = _scalar(lower_bound, "lower_bound", "hard_tanh")
    upper = _scalar(upper_bound, "upper_bound", "hard_tanh")
    return flagged(np.minimum(np.maximum(x, lower), upper), constant)  # type: ignore[no-any-return]


def leaky_relu(x: ArrayLike, slope: Any, *, constant: bool | None = None) -> Tensor:
    """Rectifier that lets a part of negative values through: ``max(x, 0) + slope * min(x, 0)``.

    Parameters
    ----------
    x : array_like
        Values.
    slope : real number or Tensor
        The factor of negative values; a tensor gets a gradient.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Its gradient at 0 is 0.

    Raises
    ------
    TypeError
        If `slope` is not one real number.

    Examples
    --------
    >>> from tapegrad.nnet.activations import leaky_relu
    >>> leaky_relu([-1.0, 2.0], slope=0.1)
    Tensor([-0.1,  2. ])
    """
    x = _input(x, "leaky_relu")
    slope = _scalar(slope, "slope", "leaky_relu")
    result = np.maximum(x, 0) + slope * np.minimum(x, 0)
    return flagged(result, constant)  # type: ignore[no-any-return]


def relu(x: ArrayLike, *, constant: bool | None = None) -> Tensor:
    """Rectifier: positive values, and zeros that keep the sign of the others.

    Parameters
    ----------
    x : array_like
        Values.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Its gradient at 0 is 0.

    Examples
    --------
    >>> import tapegrad as tg
    >>> from tapegrad.nnet.activations import relu
    >>> x = tg.tensor([-2.0, 0.0, 3.0])
    >>> relu(x)
    Tensor([-0.,  0.,  3.])
    >>> relu(x).backward()
    >>> x.grad
    array([0., 0., 1.])
    """
    x = _input(x, "relu")
    if x.dtype.kind != "f":
        return flagged(np.maximum(x, 0), constant)  # type: ignore[no-any-return]
    return flagged(np.where(x <= 0, np.copysign(0, x), x), constant)  # type: ignore[no-any-return]


def sigmoid(x: ArrayLike, *, constant: bool | None = None) -> Tensor:
    """Logistic function ``1 / (1 + exp(-x))``, which overflows nowhere.

    Parameters
    ----------
    x : array_like
        Values.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> from tapegrad.nnet.activations import sigmoid
    >>> sigmoid([-1e4, 0.0, 1e4])
    Tensor([0. , 0.5, 1. ])
    """
    return apply(sigmoid_p, (_input(x, "sigmoid"),), {}, constant)  # type: ignore[no-any-return]


def soft_sign(x: ArrayLike, *, constant: bool | None = None) -> Tensor:
    """Return ``x / (1 + |x|)``.

    Parameters
    ----------
    x : array_like
        Values.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Its gradient at 0 is 1.

    Examples
    --------
    >>> from tapegrad.nnet.activations import soft_sign
    >>> soft_sign([-3.0, 0.0, 1.0])
    Tensor([-0.75,  0.  ,  0.5 ])
    """
    x = _input(x, "soft_sign")
    return flagged(x / (1 + np.abs(x)), constant)  # type: ignore[no-any-return]


def shifted(x: Array, axis: AxisLike) -> Any:
    """Subtract the greatest value along `axis`, on which a softmax does not depend."""
    x = _input(x, "softmax")
    if x.dtype.kind != "f":
        x = x.astype(float, constant=True)
    if isinstance(axis, list):
        axis = tuple(axis)
    if not x.size:
        return x
    # The shift counts as a constant: its derivative would cancel.
    return x - apply(stop_gradient_p, (np.max(x, axis=axis, keepdims=True),))


def softmax(
    x: ArrayLike, axis: int | tuple[int, ...] | None = -1, *, constant: bool | None = None
) -> Tensor:
    """Exponentials divided by their sum.

    Parameters
    ----------
    x : array_like
        Scores of any size: the greatest is subtracted first.
    axis : int, tuple of int or None
        The axes along which the result sums to 1; None takes all.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> from tapegrad.nnet.activations import softmax
    >>> softmax([[2.0, 2.0], [2e50, 1e50]])
    Tensor([[0.5, 0.5],
            [1. , 0. ]])
    """
    axis = _axes(x, axis)
    e = np.exp(shifted(x, axis))
    return flagged(e / np.sum(e, axis=axis, keepdims=True), constant)  # type: ignore[no-any-return]


def logsoftmax(
    x: ArrayLike, axis: int | tuple[int, ...] | None = -1, *, constant: bool | None = None
) -> Tensor:
    """Logarithm of :func:`softmax`, exact where that would underflow.

    Parameters
    ----------
    x : array_like
        Scores of any size: the greatest is subtracted first.
    axis : int, tuple of int or None
        The axes along which the exponential of the result sums to 1; None takes all.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> from tapegrad.nnet.activations import logsoftmax
    >>> logsoftmax([0.0, 1e6])
    Tensor([-1000000.,        0.])
    """
    axis = _axes(x, axis)
    s = shifted(x, axis)
    if not s.size:
        return flagged(s, constant)  # type: ignore[no-any-return]
    total = np.sum(np.exp(s), axis=axis, keepdims=True)
    return flagged(s - np.log(total), constant)  # type: ignore[no-any-return]


def _axes(x: Array, axis: AxisLike) -> Any:
    """A number without axes has no last one: it is normalised over none."""
    return None if axis == -1 and not len(np.shape(as_tensor(x))) else axis
