"""What optimisers are made of: transformations that scale gradients, by numbers or by what they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapegrad.optim.checks import as_factor, at_least, fraction, like, matched, parameters, rate
from tapegrad.optim.transformation import GradientTransformation, stateless
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.pytree import unflatten
from tapegrad.tape.python.running import run

__all__ = [
    "ScaleByLionState",
    "ScaleByRmsState",
    "ScaleByRssState",
    "ScaleByScheduleState",
    "TraceState",
    "filled",
    "mean",
    "scale",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_rms",
    "scale_by_rss",
    "scale_by_schedule",
    "start_of_count",
    "trace",
]


class ScaleByScheduleState(NamedTuple):
    """State of :func:`scale_by_schedule`: how many steps were taken."""

    count: Any


class TraceState(NamedTuple):
    """State of :func:`trace`: the sum that fades."""

    trace: Any


class ScaleByRmsState(NamedTuple):
    """State of :func:`scale_by_rms`: means of squares, and of gradients if it is centred (or None)."""

    nu: Any
    mu: Any


class ScaleByRssState(NamedTuple):
    """State of :func:`scale_by_rss`: sums of squares."""

    sum_of_squares: Any


class ScaleByLionState(NamedTuple):
    """State of :func:`scale_by_lion`: means of gradients."""

    mu: Any


def start_of_count() -> Any:
    """Return the count before the first step: as compiled functions return it, a NumPy scalar."""
    return np.int64(0)


def filled(params: Any, value: float, what: str) -> Any:
    """Return a nest like the parameters that holds one value everywhere."""
    leaves, structure = parameters(params, what)
    return unflatten(structure, [np.full(leaf.shape, value, leaf.dtype)[()] for leaf in leaves])


def mean(decay: float, old: Any, new: Any) -> Any:
    """Return a mean that fades: so much of the old one, and the rest of what is new."""
    return decay * old + (1.0 - decay) * new


def scale(step_size: Any) -> GradientTransformation:
    """Return the transformation that multiplies by a number.

    Parameters
    ----------
    step_size : float or Tensor
        Of any sign.

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
    >>> tg.optim.scale(-2.0).update({"w": np.array([1.0, 3.0])}, ())[0]
    {'w': array([-2., -6.])}
    """
    step_size = at_least(step_size, "scale: step_size", -np.inf)
    return stateless("scale", lambda grad: as_factor(step_size, grad.dtype) * grad)


def scale_by_schedule(step_size_fn: Callable[[Any], Any]) -> GradientTransformation:
    """Return the transformation that multiplies by a function of the number of steps before.

    Parameters
    ----------
    step_size_fn : callable
        Takes the count, an integer that may be traced, and returns a number.

    Returns
    -------
    GradientTransformation

    Raises
    ------
    TypeError
        If `step_size_fn` is no function.
    ValueError
        By its `update`, if the function returns an array with axes.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> halving = tg.optim.scale_by_schedule(lambda count: 0.5**count)
    >>> state = halving.init(np.ones(1))
    >>> for _ in range(3):
    ...     update, state = halving.update(np.ones(1), state)
    ...     print(update)
    [1.]
    [0.5]
    [0.25]
    """
    what = "scale_by_schedule"
    if not callable(step_size_fn):
        raise TypeError(f"{what}: the schedule must be a function, not {step_size_fn!r}")

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, params, what)
        size = run(step_size_fn, state.count)
        size = at_least(size, f"{what}: what the schedule returns", -np.inf)
        scaled = [as_factor(size, leaf.dtype) * leaf for leaf in leaves]
        return unflatten(structure, scaled), ScaleByScheduleState(state.count + 1)

    return GradientTransformation(lambda params: ScaleByScheduleState(start_of_count()), update)


def scale_by_learning_rate(learning_rate: Any) -> GradientTransformation:
    """Return the transformation that goes down: it multiplies by minus the learning rate.

    Parameters
    ----------
    learning_rate : float, Tensor or callable
        A number that is not negative, or a schedule.

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
    >>> tg.optim.scale_by_learning_rate(0.5).update(np.array([1.0, 3.0]), ())[0]
    array([-0.5, -1.5])
    """
    found = rate(learning_rate, "scale_by_learning_rate")
    if callable(found) and not isinstance(found, Tensor):
        return scale_by_schedule(lambda count: -1.0 * run(found, count))
    return scale(-found)  # type: ignore[operator]


def trace(decay: float, nesterov: bool = False) -> GradientTransformation:
    """Return the transformation that adds up gradients, while the older ones fade: momentum.

    Parameters
    ----------
    decay : float
        What the sum is multiplied by at each step, at least 0 and less than 1.
    nesterov : bool
        Whether to return the sum as it will be one step later, if the gradient stays.

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
    >>> momentum = tg.optim.trace(0.5)
    >>> state = momentum.init(np.zeros(1))
    >>> for _ in range(3):
    ...     update, state = momentum.update(np.ones(1), state)
    ...     print(update)
    [1.]
    [1.5]
    [1.75]
    """
    decay = float(fraction(decay, "trace: decay"))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, state.trace, "trace")
        old = like(structure, state.trace, "trace: the state")
        sums = [g + decay * m for g, m in zip(leaves, old)]
        result = [g + decay * m for g, m in zip(leaves, sums)] if nesterov else sums
        return unflatten(structure, result), TraceState(unflatten(structure, sums))

    return GradientTransformation(lambda params: TraceState(filled(params, 0.0, "trace")), update)


def scale_by_rms(
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
) -> GradientTransformation:
    """Return the transformation that divides by the root of the mean square of the gradients.

    Parameters
    ----------
    decay : float
        How much of the mean stays at each step, at least 0 and less than 1.
    eps : float
        Keeps the divisor away from zero.
    initial_scale : float
        What the mean starts from.
    eps_in_sqrt : bool
        Whether `eps` is added to the mean square, or to its root.
    centered : bool
        Whether to divide by the standard deviation: the square of the mean is taken off.

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
    >>> rms = tg.optim.scale_by_rms(decay=0.75)
    >>> update, state = rms.update(np.array([4.0, -0.5]), rms.init(np.zeros(2)))
    >>> update.round(4), state.nu
    (array([ 2., -2.]), array([4.    , 0.0625]))
    """
    what = "scale_by_rms"
    decay = float(fraction(decay, f"{what}: decay"))
    eps = float(at_least(eps, f"{what}: eps"))
    start = float(at_least(initial_scale, f"{what}: initial_scale"))

    def init(params: Any) -> ScaleByRmsState:
        mu = filled(params, 0.0, what) if centered else None
        return ScaleByRmsState(filled(params, start, what), mu)

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, state.nu, what)
        old = like(structure, state.nu, f"{what}: the state")
        nus = [mean(decay, nu, g * g) for nu, g in zip(old, leaves)]
        spreads, mu = nus, None
        if centered:
            old = like(structure, state.mu, f"{what}: the state")
            mus = [mean(decay, m, g) for m, g in zip(old, leaves)]
            # A variance that is zero can come out slightly negative.
            spreads = [np.maximum(nu - m * m, 0.0) for nu, m in zip(nus, mus)]
            mu = unflatten(structure, mus)
        result = [
            g / (np.sqrt(s + eps) if eps_in_sqrt else np.sqrt(s) + eps)
            for g, s in zip(leaves, spreads)
        ]
        return unflatten(structure, result), ScaleByRmsState(unflatten(structure, nus), mu)

    return GradientTransformation(init, update)


def scale_by_rss(
    initial_accumulator_value: float = 0.1, eps: float = 1e-7, eps_in_sqrt: bool = True
) -> GradientTransformation:
    """Return the transformation that divides by the root of the sum of the squares of all gradients.

    Parameters
    ----------
    initial_accumulator_value : float
        What the sum starts from.
    eps : float
        Keeps the divisor away from zero.
    eps_in_sqrt : bool
        Whether `eps` is added to the sum, or to its root.

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
    >>> rss = tg.optim.scale_by_rss(0.0)
    >>> state = rss.init(np.zeros(1))
    >>> update, state = rss.update(np.array([3.0]), state)
    >>> update, state = rss.update(np.array([4.0]), state)
    >>> update.round(4)
    array([0.8])
    """
    what = "scale_by_rss"
    start = float(at_least(initial_accumulator_value, f"{what}: initial_accumulator_value"))
    eps = float(at_least(eps, f"{what}: eps"))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, state.sum_of_squares, what)
        old = like(structure, state.sum_of_squares, f"{what}: the state")
        sums = [s + g * g for s, g in zip(old, leaves)]
        result = [
            g / (np.sqrt(s + eps) if eps_in_sqrt else np.sqrt(s) + eps)
            for g, s in zip(leaves, sums)
        ]
        return unflatten(structure, result), ScaleByRssState(unflatten(structure, sums))

    return GradientTransformation(
        lambda params: ScaleByRssState(filled(params, start, what)), update
    )


def scale_by_lion(b1: float = 0.9, b2: float = 0.99) -> GradientTransformation:
    """Return the transformation that keeps only the sign of a mean gradient.

    Parameters
    ----------
    b1 : float
        How much of the mean goes into the sign; the rest is the gradient.
    b2 : float
        How much of the mean stays at each step.

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
    >>> lion = tg.optim.scale_by_lion()
    >>> update, state = lion.update(np.array([3.0, -0.1, 0.0]), lion.init(np.zeros(3)))
    >>> update
    array([ 1., -1.,  0.])
    """
    what = "scale_by_lion"
    b1, b2 = float(fraction(b1, f"{what}: b1")), float(fraction(b2, f"{what}: b2"))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, state.mu, what)
        old = like(structure, state.mu, f"{what}: the state")
        signs = [np.sign(mean(b1, mu, g)) for mu, g in zip(old, leaves)]
        mus = [mean(b2, mu, g) for mu, g in zip(old, leaves)]
        return unflatten(structure, signs), ScaleByLionState(unflatten(structure, mus))

    return GradientTransformation(
        lambda params: ScaleByLionState(filled(params, 0.0, what)), update
    )
