"""Measuring and clipping the gradients of a model's parameters.

>>> import tapegrad as tg
>>> w = tg.tensor([3.0, 4.0])
>>> (w * w / 2).backward()
>>> float(tg.nnet.util.clip_grad_norm(w, max_norm=1.0))
5.0
>>> w.grad.round(4)
array([0.6, 0.8])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tapegrad.clipping import global_norm, positive_order
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.pytree import flatten
from tapegrad.tape.core.types import Array

__all__ = ["clip_grad_norm", "clip_grad_value", "grad_norm"]


def _leaves(parameters: Any) -> list[Any]:
    """Parameters or gradients, from a tensor, a nest, or any iterable (which is read once)."""
    if isinstance(parameters, Tensor | np.ndarray | dict | list | tuple):
        return flatten(parameters)[0]
    if isinstance(parameters, Iterable):
        return flatten(list(parameters))[0]
    return flatten(parameters)[0]


def _is_parameter(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and not leaf.live_trace.level


def grad_norm(parameters: Any, norm_type: float = 2) -> Tensor:
    """Norm of all gradients together; they are not changed.

    Parameters
    ----------
    parameters : Tensor, iterable of Tensor, or nest of arrays
        Tensors, whose ``.grad`` is measured; those without a gradient count as nothing. In
        functional code, gradients themselves: a nest of arrays, as ``tg.grad`` returns it.
    norm_type : float
        The order, positive; inf is the greatest absolute value.

    Returns
    -------
    Tensor
        A constant without axes; 0 if there is no gradient.

    Raises
    ------
    TypeError, ValueError
        If `norm_type` is no positive number.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w, b = tg.tensor([1.0, 1.0]), tg.tensor(0.5)
    >>> (3.0 * w[0] + 4.0 * b).backward()
    >>> tg.nnet.util.grad_norm([w, b])
    Tensor(5.)
    """
    gradients = []
    for leaf in _leaves(parameters):
        gradient = leaf.grad if _is_parameter(leaf) else leaf
        if gradient is not None:
            gradients.append(gradient)
    norm = global_norm(gradients, norm_type)
    return norm if isinstance(norm, Tensor) else Tensor(norm, constant=True, copy=False)


def _parameters(parameters: Any, name: str) -> list[Tensor]:
    tensors = _leaves(parameters)
    for t in tensors:
        if not _is_parameter(t):
            raise TypeError(
                f"{name} changes the .grad of tensors in place; it was given "
                f"{'a traced tensor' if isinstance(t, Tensor) else type(t).__name__}. For a nest of "
                "gradients use tg.clip_by_global_norm, which returns new arrays."
            )
    return tensors


def _change(tensors: list[Tensor], change: Callable[..., Any]) -> None:
    """Replace every element of the gradients once, whoever shares them.

    ``change(gradient, out)`` gives the new values. A view's gradient is part of its base's, and may
    overlap that of another view: for views all values are computed before the first is written.
    """
    owners = {id(t): t for t in tensors if t.base is None}
    views = [t for t in tensors if t.base is not None and id(t.base) not in owners]
    for owner in owners.values():
        gradient = owner.grad
        if gradient is not None:
            change(gradient, gradient)
    parts = [_once(t) for t in views if t.grad is not None]
    for part, new in [(g, change(g, None)) for g in parts]:
        part[...] = new


def _once(view: Any) -> Any:
    """A view's gradient without repetition: what was broadcast is read-only and counts once."""
    part = view.grad
    if not any(stride == 0 and size > 1 for stride, size in zip(part.strides, part.shape)):
        return part
    once = part[tuple(slice(None if stride else 1) for stride in part.strides)]
    once.setflags(write=view.base.grad.flags.writeable)
    return once


def clip_grad_norm(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2,
    eps: float = 1e-7,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor, in place, so that their norm is at most `max_norm`.

    The factor is ``max_norm / (norm + eps)`` where that is less than 1; otherwise nothing changes.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Tensors, whose ``.grad`` is scaled; those without a gradient are skipped. A gradient that a
        view shares with its base is scaled once.
    max_norm : float
        The greatest norm, not negative.
    norm_type : float
        The order, positive; inf is the greatest absolute value.
    eps : float
        Keeps the norm that results below `max_norm` in spite of rounding.
    error_if_nonfinite : bool
        Whether a norm that is nan or infinite is an error. Otherwise nan leaves the gradients as
        they are, and inf makes infinite elements nan and all others 0.

    Returns
    -------
    Tensor
        The norm from before clipping, a constant without axes.

    Raises
    ------
    ValueError
        If `max_norm` is negative or `norm_type` not positive.
    RuntimeError
        For a norm that is not finite, with `error_if_nonfinite`; no gradient is changed.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([3.0, 4.0])
    >>> (w * w / 2).backward()
    >>> tg.nnet.util.clip_grad_norm([w], 1.0)
    Tensor(5.)
    >>> w.grad.round(4)
    array([0.6, 0.8])
    """
    max_norm, eps = float(max_norm), float(eps)
    if not max_norm >= 0:
        raise ValueError(f"max_norm must not be negative or nan, but it is {max_norm}")
    if not eps >= 0:
        raise ValueError(f"eps must not be negative, but it is {eps}")
    positive_order(norm_type)
    tensors = _parameters(parameters, "clip_grad_norm")
    norm = grad_norm(tensors, norm_type)
    total = float(norm)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"the norm of the gradients is {total}; nothing was clipped. Look for the first "
            "parameter with a gradient that is not finite, or pass error_if_nonfinite=False."
        )
    factor = max_norm / (total + eps) if total + eps else 1.0

    def shrink(g: Array, out: Any) -> Any:
        dtype = np.dtype(np.float32) if g.dtype == np.float16 else g.dtype
        if 0 < factor < np.finfo(dtype).tiny:  # would lose digits or vanish
            g, last = np.divide(g, dtype.type(total + eps)), max_norm
        else:
            last = factor
        return np.multiply(g, dtype.type(last), out=out, casting="same_kind")

    if factor < 1:
        with np.errstate(invalid="ignore"):  # inf * 0
            _change(tensors, shrink)
    return norm


def clip_grad_value(parameters: Any, clip_value: float) -> None:
    """Limit every element of the gradients to ``[-clip_value, clip_value]``, in place.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Tensors, whose ``.grad`` is changed; those without a gradient are skipped.
    clip_value : float
        The greatest absolute value, not negative.

    Raises
    ------
    ValueError
        If `clip_value` is negative.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([3.0, -0.5])
    >>> (w * w / 2).backward()
    >>> tg.nnet.util.clip_grad_value(w, 1.0)
    >>> w.grad
    array([ 1. , -0.5])
    """
    clip_value = float(clip_value)
    if not clip_value >= 0:
        raise ValueError(f"clip_value must not be negative or nan, but it is {clip_value}")
    tensors = _parameters(parameters, "clip_grad_value")
    with np.errstate(over="ignore"):  # a bound beyond the dtype's numbers
        _change(tensors, lambda g, out: np.clip(g, -clip_value, clip_value, out=out))
