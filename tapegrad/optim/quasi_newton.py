"""L-BFGS: Newton's method with what the last steps tell about the curvature.

The two loops over the stored pairs are those of Nocedal and Wright (Numerical Optimization, second
edition, algorithm 7.4). The line search halves an interval that holds a point of the strong Wolfe
conditions: at its lower end the function has fallen enough and still falls steeply, at its upper end
it has not fallen enough, or rises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapegrad.optim.checks import cast, count_of, fraction, matched, parameters
from tapegrad.optim.scaling import start_of_count
from tapegrad.optim.transformation import GradientTransformation
from tapegrad.tape import value_and_grad
from tapegrad.tape.core.pytree import unflatten
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.control.iteration import while_loop
from tapegrad.trees import ravel_pytree

__all__ = ["LbfgsState", "lbfgs"]


class LbfgsState(NamedTuple):
    """State of :func:`lbfgs`: the last point, its gradient, and the last steps, oldest first.

    `steps` and `changes` hold the differences of points and of gradients in their rows, `weights` one
    over their products, and 0 where there is no pair.
    """

    count: Any
    point: Any
    slope: Any
    steps: Any
    changes: Any
    weights: Any


def lbfgs(
    memory_size: int = 10,
    max_linesearch_steps: int = 30,
    decrease: float = 1e-4,
    curvature: float = 0.9,
) -> GradientTransformation:
    """Return L-BFGS with a line search for the strong Wolfe conditions.

    Parameters
    ----------
    memory_size : int
        How many of the last steps are kept.
    max_linesearch_steps : int
        How often the function is called in one step, at most.
    decrease : float
        The part of the decrease that the slope promises, which a step must reach.
    curvature : float
        The part of the slope, at most, that may be left after a step; greater than `decrease`.

    Returns
    -------
    GradientTransformation
        Its `update` needs more than others: ``update(grads, state, params, value=value,
        value_fn=function)``, with the value at `params`, and the function of the parameters that
        returns it. It has a learning rate of its own, and stands alone, not in a chain.

    Raises
    ------
    ValueError
        For numbers out of their bounds.

    Notes
    -----
    If no such step is found, the last one is taken that decreased the function enough, or none: the
    updates are zeros then, which happens where rounding hides all that could be gained.

    A value that is not a number counts as one that is too large: the step is made shorter.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def rosenbrock(x):
    ...     return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    >>> optimiser, x = tg.optim.lbfgs(), np.array([-1.2, 1.0])
    >>> state = optimiser.init(x)
    >>> for _ in range(50):
    ...     value, grads = tg.value_and_grad(rosenbrock)(x)
    ...     updates, state = optimiser.update(grads, state, x, value=value, value_fn=rosenbrock)
    ...     x = tg.optim.apply_updates(x, updates)
    >>> x.round(8)
    array([1., 1.])
    """
    what = "lbfgs"
    memory = count_of(memory_size, f"{what}: memory_size", 1)
    trials = count_of(max_linesearch_steps, f"{what}: max_linesearch_steps", 1)
    c1 = float(fraction(decrease, f"{what}: decrease"))
    c2 = float(fraction(curvature, f"{what}: curvature"))
    if not c1 < c2:
        raise ValueError(f"{what}: decrease must be less than curvature, not {c1:g} and {c2:g}")

    def init(params: Any) -> LbfgsState:
        leaves, structure = parameters(params, what)
        point = ravel_pytree(unflatten(structure, leaves))[0]
        zeros = np.zeros((memory, point.shape[0]), point.dtype)
        none = np.zeros(point.shape, point.dtype)
        return LbfgsState(
            start_of_count(), none, none, zeros, zeros.copy(), np.zeros(memory, point.dtype)
        )

    def update(
        grads: Any,
        state: Any,
        params: Any = None,
        *,
        value: Any = None,
        value_fn: Callable[[Any], Any] | None = None,
    ) -> tuple[Any, Any]:
        if params is None or value is None or not callable(value_fn):
            raise ValueError(
                f"{what}: update needs the parameters, their value and the function: "
                "update(grads, state, params, value=value, value_fn=function)"
            )
        if np.ndim(value) != 0:
            raise ValueError(f"{what}: the value must be a number, not of shape {np.shape(value)}")
        leaves = matched(grads, params, what)[0]
        point, unravel = ravel_pytree(params)
        slope = ravel_pytree(leaves)[0]
        steps, changes, weights = _remembered(state, point, slope)
        direction = _direction(slope, steps, changes, weights)

        def along(t: Any) -> Any:
            return run(value_fn, unravel(point + cast(t, point.dtype) * direction))

        length = _length(along, value, slope @ direction, trials, c1, c2)
        updates = unravel(cast(length, point.dtype) * direction)
        return updates, LbfgsState(state.count + 1, point, slope, steps, changes, weights)

    return GradientTransformation(init, update)


def _remembered(state: LbfgsState, point: Any, slope: Any) -> tuple[Any, Any, Any]:
    """Return the stored pairs with the last step, if the function curves upwards along it."""
    step, change = point - state.point, slope - state.slope
    product = step @ change
    least = np.finfo(point.dtype).eps * (change @ change)
    kept = np.logical_and(state.count > 0, product > least)
    weight = np.where(kept, 1.0 / np.where(kept, product, 1.0), 0.0)

    def pushed(rows: Any, row: Any) -> Any:
        return np.where(kept, np.concatenate([rows[1:], row[None]]), rows)

    weights = pushed(state.weights, cast(weight, point.dtype))
    return pushed(state.steps, step), pushed(state.changes, change), weights


def _direction(slope: Any, steps: Any, changes: Any, weights: Any) -> Any:
    """Return minus the gradient, times what the pairs say of the inverse of the Hessian."""
    memory = weights.shape[0]
    vector, parts = slope, [None] * memory
    for i in reversed(range(memory)):
        parts[i] = weights[i] * (steps[i] @ vector)
        vector = vector - parts[i] * changes[i]
    square = weights[-1] * (changes[-1] @ changes[-1])
    known = square > 0
    norm = np.sqrt(slope @ slope)
    first = 1.0 / np.maximum(norm, 1.0)  # without pairs a step is no longer than 1
    vector = vector * np.where(known, 1.0 / np.where(known, square, 1.0), first)
    for i in range(memory):
        vector = vector + (parts[i] - weights[i] * (changes[i] @ vector)) * steps[i]
    # Rounding may leave a direction in which the function rises.
    return np.where(vector @ slope > 0, -vector, -slope)


class _Search(NamedTuple):
    """A line search: the next length, the interval, the length taken, and how far it has come."""

    next: Any
    low: Any
    high: Any
    taken: Any
    done: Any
    count: Any


def _length(
    along: Callable[[Any], Any], value: Any, slope: Any, trials: int, c1: float, c2: float
) -> Any:
    """Return a length for which the strong Wolfe conditions hold."""
    eps = float(np.finfo(slope.dtype).eps)  # of the parameters, and so of the values
    value, slope = np.float64(0.0) + value, np.float64(0.0) + slope

    def unfinished(search: _Search) -> Any:
        return np.logical_and(np.logical_not(search.done), search.count < trials)

    def tried(search: _Search) -> _Search:
        t = search.next
        found, rise = value_and_grad(along)(t)
        fell = found <= value + c1 * t * slope + eps * np.abs(value)
        near = np.logical_and(fell, rise < c2 * slope)
        done = np.logical_and(fell, np.abs(rise) <= -c2 * slope)
        low, high = np.where(near, t, search.low), np.where(near, search.high, t)
        middle = np.where(np.isfinite(high), 0.5 * (low + high), 2.0 * t)
        taken = np.where(np.logical_or(done, near), t, search.taken)
        return _Search(middle, low, high, taken, done, search.count + 1)

    zero, one = np.float64(0.0), np.float64(1.0)
    start = _Search(one, zero, np.float64(np.inf), zero, np.bool_(False), np.int64(0))
    return while_loop(unfinished, tried, start).taken
