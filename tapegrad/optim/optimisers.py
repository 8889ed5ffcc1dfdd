"""The optimisers, as gradient transformations: each one a chain of simpler ones."""

from __future__ import annotations

from typing import Any

from tapegrad.optim.checks import fraction
from tapegrad.optim.moments import scale_by_adam, scale_by_amsgrad
from tapegrad.optim.scaling import (
    scale_by_learning_rate,
    scale_by_lion,
    scale_by_rms,
    scale_by_rss,
    trace,
)
from tapegrad.optim.transformation import GradientTransformation, chain, identity
from tapegrad.optim.wrappers import add_decayed_weights

__all__ = ["adagrad", "adam", "adamw", "amsgrad", "lion", "rmsprop", "sgd"]


def _momentum(decay: Any, nesterov: bool, what: str) -> GradientTransformation:
    """Momentum, which has no state if there is none."""
    decay = float(fraction(decay, f"{what}: momentum"))
    if nesterov and not decay:
        raise ValueError(f"{what}: nesterov needs a momentum greater than 0")
    return trace(decay, nesterov) if decay else identity()


def sgd(
    learning_rate: Any, momentum: float = 0.0, nesterov: bool = False
) -> GradientTransformation:
    """Return gradient descent, with or without momentum.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule: a function of the number of steps before.
    momentum : float
        How much of the sum of the gradients stays at each step, at least 0 and less than 1.
    nesterov : bool
        Whether the step is the one of Nesterov's method; see :func:`trace`.

    Returns
    -------
    GradientTransformation

    Raises
    ------
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> optimiser = tg.optim.sgd(0.25)
    >>> w = np.array([3.0, -2.0])
    >>> state = optimiser.init(w)
    >>> for _ in range(3):
    ...     updates, state = optimiser.update(tg.grad(lambda w: w @ w)(w), state, w)
    ...     w = tg.optim.apply_updates(w, updates)
    >>> w
    array([ 0.375, -0.25 ])
    """
    return chain(_momentum(momentum, nesterov, "sgd"), scale_by_learning_rate(learning_rate))


def rmsprop(
    learning_rate: Any,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> GradientTransformation:
    """Return RMSprop: steps divided by the root of the mean square of the gradients.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule.
    decay, eps, initial_scale, eps_in_sqrt, centered
        As in :func:`scale_by_rms`.
    momentum, nesterov
        As in :func:`sgd`; the momentum is of the divided gradients, before the learning rate.

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
    >>> optimiser = tg.optim.rmsprop(0.1, decay=0.75)
    >>> updates, state = optimiser.update(np.array([2.0]), optimiser.init(np.zeros(1)))
    >>> updates.round(4)
    array([-0.2])
    """
    return chain(
        scale_by_rms(decay, eps, initial_scale, eps_in_sqrt, centered),
        _momentum(momentum, nesterov, "rmsprop"),
        scale_by_learning_rate(learning_rate),
    )


def adagrad(
    learning_rate: Any,
    initial_accumulator_value: float = 0.1,
    eps: float = 1e-7,
    eps_in_sqrt: bool = True,
) -> GradientTransformation:
    """Return Adagrad: steps divided by the root of the sum of the squares of all gradients.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule.
    initial_accumulator_value, eps, eps_in_sqrt
        As in :func:`scale_by_rss`.

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
    >>> optimiser = tg.optim.adagrad(0.1, initial_accumulator_value=0.0)
    >>> updates, state = optimiser.update(np.array([2.0]), optimiser.init(np.zeros(1)))
    >>> updates.round(4)
    array([-0.1])
    """
    return chain(
        scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt),
        scale_by_learning_rate(learning_rate),
    )


def adam(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> GradientTransformation:
    """Return Adam: the mean gradient divided by the root of the mean square.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule.
    b1, b2, eps, eps_root
        As in :func:`scale_by_adam`.

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
    >>> optimiser = tg.optim.adam(0.1)
    >>> params = {"w": np.array([1.0, 2.0]), "b": np.array([0.5])}
    >>> grads = {"w": np.array([3.0, -4.0]), "b": np.array([0.1])}
    >>> updates, state = optimiser.update(grads, optimiser.init(params), params)
    >>> tg.tree_map(lambda u: u.round(4), updates)
    {'w': array([-0.1,  0.1]), 'b': array([-0.1])}
    """
    return chain(scale_by_adam(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


def amsgrad(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> GradientTransformation:
    """Return Adam with the greatest mean square so far in place of the last one.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule.
    b1, b2, eps, eps_root
        As in :func:`scale_by_amsgrad`.

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
    >>> optimiser = tg.optim.amsgrad(0.1)
    >>> updates, state = optimiser.update(np.array([3.0]), optimiser.init(np.zeros(1)))
    >>> updates.round(4)
    array([-0.1])
    """
    return chain(scale_by_amsgrad(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: Any = 1e-4,
    mask: Any = None,
) -> GradientTransformation:
    """Return Adam with weights that decay by themselves, and not through the gradient.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule.
    b1, b2, eps, eps_root
        As in :func:`scale_by_adam`.
    weight_decay : float or Tensor
        At each step weights lose this part of themselves, times the learning rate.
    mask : nest of bool, or callable, optional
        Which weights decay; see :func:`masked`. By default all.

    Returns
    -------
    GradientTransformation
        Its `update` needs the parameters.

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> optimiser = tg.optim.adamw(0.1, weight_decay=0.5, mask={"w": True, "b": False})
    >>> params = {"w": np.array([2.0]), "b": np.array([2.0])}
    >>> grads = {"w": np.zeros(1), "b": np.zeros(1)}
    >>> updates, state = optimiser.update(grads, optimiser.init(params), params)
    >>> tg.optim.apply_updates(params, updates)
    {'w': array([1.9]), 'b': array([2.])}
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def lion(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: Any = 1e-3,
    mask: Any = None,
) -> GradientTransformation:
    """Return Lion: steps of one length for all elements, by the sign of a mean gradient.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule.
    b1, b2
        As in :func:`scale_by_lion`.
    weight_decay, mask
        As in :func:`adamw`.

    Returns
    -------
    GradientTransformation
        Its `update` needs the parameters.

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> optimiser = tg.optim.lion(0.1, weight_decay=0.0)
    >>> params = np.zeros(2)
    >>> optimiser.update(np.array([3.0, -4.0]), optimiser.init(params), params)[0]
    array([-0.1,  0.1])
    """
    return chain(
        scale_by_lion(b1, b2),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
