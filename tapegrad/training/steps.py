"""The compiled step: value and gradient, clipping, update, and what is to be measured, in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.clipping import clip_by_global_norm, global_norm
from tapegrad.compile import jit
from tapegrad.optim.checks import at_least, cast, leaf_of, parameters, positive, rate
from tapegrad.optim.transformation import (
    GradientTransformation,
    apply_updates,
    check_transformation,
)
from tapegrad.tape import Tensor, scan, value_and_grad
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.python.running import run

__all__ = ["RATE", "Step", "own", "own_leaf"]

#: How errors about learning rates begin.
RATE = "fit: the learning rate"


def own(params: Any, what: str) -> Any:
    """Return parameters as training holds them: arrays of its own in C order, scalars without axes.

    Raises
    ------
    TypeError
        For a leaf that holds no floats, with its place.
    ValueError
        If there are none.
    """
    leaves, structure = parameters(params, what)
    if not leaves:
        raise ValueError(f"{what}: params holds no arrays, so that there is nothing to train")
    return unflatten(structure, [own_leaf(leaf) for leaf in leaves])


def own_leaf(value: Any) -> Any:
    """Return a copy in C order that is no view, for it may be written over; a scalar without axes."""
    array = np.array(value, order="C")
    return array if array.ndim else array[()]


class Step:
    """One step of training, compiled: ``params, state, value, norm = step(params, state, batch)``.

    Value and gradient, the norm of the gradient, clipping, the optimiser and its update are one compiled
    function. Where the value or the norm is not finite, parameters and state stay as they were.

    Parameters
    ----------
    loss : callable
        ``loss(params, *batch)`` returns a number.
    optimiser : GradientTransformation or callable
        Or a function that makes one of a learning rate, such as ``tg.optim.adam``: then the rate is an
        argument of the step, and may change without a new recording.
    clip_norm : float, optional
        The greatest norm of all gradients together.
    learning_rate : float or callable, optional
        Of the first step, where `optimiser` is a function.
    donate : bool
        Whether new parameters are written over the old ones. Those that are given are then lost.

    Raises
    ------
    TypeError
        If `optimiser` and `learning_rate` do not go together.
    ValueError
        For a bound or a rate that is negative.

    Notes
    -----
    Every call is served by a plan (``jit(..., wait=True)``), so that bits do not depend on which call
    was the first.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> step = tg.training.Step(lambda w, x: np.sum((w - x) ** 2), tg.optim.sgd, learning_rate=0.25)
    >>> w = np.zeros(2)
    >>> state = step.init(w)
    >>> w, state, value, norm = step(w, state, (np.ones(2),))
    >>> w, float(value)
    (array([0.5, 0.5]), 2.0)
    >>> w, state, value, norm = step(w, state, (np.ones(2),), 0.5)
    >>> w, step.stats().traces
    (array([1., 1.]), 1)
    """

    def __init__(
        self,
        loss: Callable[..., Any],
        optimiser: Any,
        *,
        clip_norm: float | None = None,
        learning_rate: Any = None,
        donate: bool = False,
    ) -> None:
        if not callable(loss):
            raise TypeError(f"the loss must be a function, not {type(loss).__name__}")
        self.loss = loss
        self.optimiser = optimiser
        self.clip_norm = None if clip_norm is None else float(positive(clip_norm, "clip_norm"))
        self.takes_rate = not hasattr(optimiser, "update")
        self.rate = self._rate(learning_rate)
        self._searches = not self.takes_rate and "value_fn" in _names(optimiser.update)
        donated = (0, 1) if donate else None
        self._whole = jit(self._function(), wait=True, donate_argnums=donated)
        self._rest = jit(self._update(), wait=True, donate_argnums=donated)
        self._scan = jit(self._several(), wait=True, donate_argnums=donated)

    def _rate(self, learning_rate: Any) -> Any:
        if self.takes_rate and not callable(self.optimiser):
            check_transformation(self.optimiser, "the optimiser")
        if not self.takes_rate:
            check_transformation(self.optimiser, "the optimiser")
            if learning_rate is not None:
                raise TypeError(
                    "learning_rate goes with a function that makes the optimiser, as in "
                    "optimiser=tg.optim.adam, learning_rate=0.1; this optimiser has its own"
                )
            return None
        if learning_rate is None:
            raise TypeError(
                "the optimiser is a function, and needs a learning_rate; or call it: tg.optim.adam(0.1)"
            )
        return rate(learning_rate, "fit")

    def rate_at(self, count: int) -> Any:
        """Return the learning rate after `count` steps; None if the optimiser has its own."""
        found = self.rate(count) if callable(self.rate) else self.rate
        return None if found is None else np.float64(at_least(found, RATE))

    def init(self, params: Any) -> Any:
        """Return the state of the optimiser before the first step."""
        made = self._made(self.rate_at(0))
        leaves, structure = flatten(made.init(params))
        return unflatten(structure, [own_leaf(leaf) for leaf in leaves])

    def __call__(
        self, params: Any, state: Any, batch: tuple[Any, ...], learning_rate: Any = None
    ) -> tuple[Any, Any, Any, Any]:
        """Return parameters and state after the step, the value before it, the norm of its gradient."""
        rate = self._number(learning_rate)
        return self._whole(params, state, batch, rate)  # type: ignore[no-any-return]

    def several(
        self,
        params: Any,
        state: Any,
        batches: tuple[Any, ...],
        learning_rates: Any = None,
        *,
        count: int | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        """Do a step for each element of the first axis of the batches, in one compiled scan.

        Parameters
        ----------
        params, state : nest of arrays
            Before the first step.
        batches : tuple
            As for a single step, with one more axis in front.
        learning_rates : array or float, optional
            One for each step, or one for all.
        count : int, optional
            How many steps; needed where the batches hold no arrays.

        Returns
        -------
        tuple
            Parameters and state after the last step; the value and the norm of the gradient of each
            step, as arrays. From the first one on that is not finite, parameters and state stay as
            they were.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> step = tg.training.Step(lambda w, x: np.sum((w - x) ** 2), tg.optim.sgd(0.25))
        >>> w = np.zeros(2)
        >>> w, state, values, norms = step.several(w, step.init(w), (np.ones((3, 2)),))
        >>> w, values
        (array([0.875, 0.875]), array([2.   , 0.5  , 0.125]))
        """
        count = len(flatten(batches)[0][0]) if count is None else count
        rates = None
        if self.takes_rate:
            given = self.rate_at(0) if learning_rates is None else learning_rates
            rates = np.broadcast_to(np.asarray(given, float), (count,)).copy()
        return self._scan(params, state, batches, rates, np.arange(count))  # type: ignore[no-any-return]

    def update(
        self, params: Any, state: Any, value: Any, grads: Any, learning_rate: Any = None
    ) -> tuple[Any, Any, Any, Any]:
        """Return the same for a value and a gradient that were computed elsewhere."""
        if self._searches:
            raise TypeError(
                "this optimiser calls the loss itself, and takes no gradients of others"
            )
        rate = self._number(learning_rate)
        return self._rest(params, state, value, grads, rate)  # type: ignore[no-any-return]

    def stats(self) -> Any:
        """Return what ``jit`` counts: recordings, kernels, calls that were run as they are."""
        counts = (function.stats() for function in (self._whole, self._rest, self._scan))
        return type(self._whole.stats())(*map(sum, zip(*counts)))

    def explain(self, params: Any, state: Any, batch: tuple[Any, ...]) -> str:
        """Return what such a step executes: tape, plan and kernels."""
        return str(self._whole.explain(params, state, batch, self.rate_at(0)))

    def _number(self, learning_rate: Any) -> Any:
        if not self.takes_rate:
            return None
        if learning_rate is None:
            return self.rate_at(0)
        is_traced = isinstance(learning_rate, Tensor)
        return learning_rate if is_traced else np.float64(at_least(learning_rate, RATE))

    def _made(self, learning_rate: Any) -> GradientTransformation:
        """Return the optimiser: that which was given, or the one that is made for a rate."""
        if not self.takes_rate:
            return self.optimiser  # type: ignore[no-any-return]
        made = run(self.optimiser, learning_rate)
        check_transformation(made, "what the function of the learning rate returns")
        return made  # type: ignore[no-any-return]

    def _function(self) -> Callable[..., Any]:
        gradient, update, loss = value_and_grad(self.loss), self._update(), self.loss

        def step(
            params: Any, state: Any, batch: tuple[Any, ...], learning_rate: Any, going: Any = True
        ) -> Any:
            value, grads = run(gradient, params, *batch)

            def again(params: Any) -> Any:
                return run(loss, params, *batch)

            return update(params, state, value, grads, learning_rate, again, going)

        return step

    def _several(self) -> Callable[..., Any]:
        step = self._function()

        def steps(params: Any, state: Any, batches: Any, rates: Any, numbers: Any) -> Any:
            def body(kept: Any, now: Any) -> Any:
                params, state, going = kept
                batch, rate, _ = now
                params, state, value, norm = step(params, state, batch, rate, going)
                return (params, state, going & _is_finite(value, norm)), (value, norm)

            start = params, state, np.True_
            (params, state, _), (values, norms) = scan(body, start, (batches, rates, numbers))
            return params, state, values, norms

        return steps

    def _update(self) -> Callable[..., Any]:
        clip_norm, searches = self.clip_norm, self._searches

        def update(
            params: Any, state: Any, value: Any, grads: Any, learning_rate: Any,
            again: Any = None, going: Any = True,
        ) -> Any:  # fmt: skip
            norm = global_norm(grads)
            if clip_norm is not None:
                grads, norm = clip_by_global_norm(grads, clip_norm)
            more = {"value": value, "value_fn": again} if searches else {}
            made = self._made(learning_rate)
            updates, after = run(made.update, grads, state, params, **more)
            moved = apply_updates(params, updates)
            good = _is_finite(value, norm)
            if going is not True:
                good = good & going  # of an earlier step was something not finite
            kept = _chosen(good, (moved, after), (params, state))
            return (*kept, value, norm)

        return update


def _is_finite(value: Any, norm: Any) -> Any:
    return np.logical_and(np.isfinite(value), np.isfinite(norm))


def _chosen(condition: Any, first: Any, second: Any) -> Any:
    """Return the leaves of one nest or of another of the same structure, of whose dtypes they are."""
    leaves, structure = flatten(first)
    others, structure_of_others = flatten(second)
    if structure != structure_of_others:
        raise ValueError(
            "the optimiser's update returns a state of another structure than it was given: "
            f"{structure} and {structure_of_others}"
        )
    arrays = [leaf_of(leaf) for leaf in leaves]
    others = [leaf_of(leaf) for leaf in others]
    pairs = zip(arrays, others)
    chosen = [np.where(condition, cast(leaf, other.dtype), other) for leaf, other in pairs]
    return unflatten(structure, chosen)


def _names(function: Any) -> Any:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return ()
