"""Bounds for gradients: by value, by the norm of each array, by the norm of all together."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad import clipping
from tapegrad.optim.checks import as_factor, matched, positive
from tapegrad.optim.transformation import GradientTransformation, stateless
from tapegrad.tape.core.pytree import unflatten

__all__ = ["clip_by_global_norm", "clip_by_norm", "clip_by_value"]


def clip_by_value(max_delta: Any) -> GradientTransformation:
    """Return the transformation that bounds the absolute value of each element.

    Parameters
    ----------
    max_delta : float or Tensor
        The bound, positive.

    Returns
    -------
    GradientTransformation

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.optim.clip_by_value(1.0).update(np.array([0.5, -3.0]), ())[0]
    array([ 0.5, -1. ])
    """
    bound = positive(max_delta, "clip_by_value: max_delta")

    def clipped(grad: Any) -> Any:
        most = as_factor(bound, grad.dtype)
        return np.clip(grad, -most, most)

    return stateless("clip_by_value", clipped)


def clip_by_norm(max_norm: Any) -> GradientTransformation:
    """Return the transformation that scales each array down by itself, to a 2-norm within a bound.

    Parameters
    ----------
    max_norm : float or Tensor
        The bound, positive. An array within it keeps its values to the last bit.

    Returns
    -------
    GradientTransformation

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.optim.clip_by_norm(1.0).update([np.array([3.0, 4.0]), np.array([0.5])], ())[0]
    [array([0.6, 0.8]), array([0.5])]
    """
    bound = positive(max_norm, "clip_by_norm: max_norm")
    return stateless("clip_by_norm", lambda grad: clipping.clip_by_global_norm([grad], bound)[0][0])


def clip_by_global_norm(max_norm: Any) -> GradientTransformation:
    """Return the transformation that scales all arrays by one factor, to a common norm within a bound.

    Parameters
    ----------
    max_norm : float or Tensor
        The bound, positive. Arrays within it keep their values to the last bit.

    Returns
    -------
    GradientTransformation

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    See Also
    --------
    tapegrad.clip_by_global_norm : the function, which returns the norm, too.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.optim.clip_by_global_norm(1.0).update([np.array([3.0, 0.0]), np.array([4.0])], ())[0]
    [array([0.6, 0. ]), array([0.8])]
    """
    bound = positive(max_norm, "clip_by_global_norm: max_norm")

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, params, "clip_by_global_norm")
        return unflatten(structure, clipping.clip_by_global_norm(leaves, bound)[0]), state

    return GradientTransformation(lambda params: (), update)
