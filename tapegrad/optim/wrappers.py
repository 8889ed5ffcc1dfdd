"""Transformations around others and around parameters: masks, accumulation, decay, means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tapegrad.optim.checks import (
    as_factor,
    at_least,
    cast,
    count_of,
    fraction,
    like,
    matched,
    parameters,
)
from tapegrad.optim.scaling import start_of_count
from tapegrad.optim.transformation import GradientTransformation, check_transformation
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.pytree import (
    Structure,
    flatten,
    flatten_like,
    parts_of,
    paths,
    spread,
    unflatten,
)
from tapegrad.tape.python.running import run

__all__ = [
    "AccumulateState",
    "AverageState",
    "MaskedState",
    "accumulate",
    "add_decayed_weights",
    "average",
    "averaged_params",
    "masked",
]


class MaskedState(NamedTuple):
    """State of :func:`masked`: that of the inner transformation."""

    inner_state: Any


class AccumulateState(NamedTuple):
    """State of :func:`accumulate`: the place in the round, the inner state, the sum of gradients."""

    mini_step: Any
    inner_state: Any
    sum_of_grads: Any


class AverageState(NamedTuple):
    """State of :func:`average`: the mean of the parameters."""

    mean: Any


# Masks --------------------------------------------------------------------------------------------


def _marks(mask: Any, tree: Any, structure: Structure, what: str) -> list[bool]:
    """Return what a mask says of each leaf of a nest."""
    if callable(mask):
        mask = run(mask, tree)
    marks = spread(mask, structure, f"{what}: the mask")
    for i, mark in enumerate(marks):
        if not isinstance(mark, bool | np.bool_):
            raise TypeError(
                f"{what}: the mask holds True and False, not {mark!r} (for the leaf "
                f"{paths(structure)[i]})"
            )
    return marks


def masked(inner: GradientTransformation, mask: Any) -> GradientTransformation:
    """Return the transformation that is applied to a part of the parameters only.

    Parameters
    ----------
    inner : GradientTransformation
        It sees None in the place of all other parameters and gradients.
    mask : nest of bool, or callable
        True where `inner` is applied. A bool in the place of a nest holds for all its leaves. A
        function takes the parameters (or the gradients, if there are no parameters) and returns the
        mask.

    Returns
    -------
    GradientTransformation
        The other gradients are returned as they are, and may be anything, None too.

    Raises
    ------
    TypeError
        If `mask` holds anything else than bools.
    ValueError
        If its structure is not that of the parameters; it says where.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> doubled = tg.optim.masked(tg.optim.scale(2.0), {"w": True, "b": False})
    >>> params = {"w": np.ones(2), "b": np.ones(1)}
    >>> doubled.update(params, doubled.init(params), params)[0]
    {'w': array([2., 2.]), 'b': array([1.])}
    """
    what = "masked"
    check_transformation(inner, f"{what}: inner")

    def init(params: Any) -> MaskedState:
        leaves, structure = flatten(params)
        marks = _marks(mask, params, structure, what)
        return MaskedState(run(inner.init, _hidden(structure, leaves, marks)))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        reference = grads if params is None else params
        leaves, structure = flatten(reference)
        marks = _marks(mask, reference, structure, what)
        found = flatten_like(structure, grads, f"{what}: the gradients", whole=True)
        seen = _hidden(structure, found, marks)
        model = None if params is None else _hidden(structure, leaves, marks)
        updates, inner_state = run(inner.update, seen, state.inner_state, model)
        kept = flatten(model if model is not None else seen)[1]
        new = iter(flatten_like(kept, updates, f"{what}: the inner updates"))
        result = [next(new) if mark else leaf for leaf, mark in zip(found, marks)]
        return unflatten(structure, result), MaskedState(inner_state)

    return GradientTransformation(init, update)


def _hidden(structure: Structure, leaves: list[Any], marks: list[bool]) -> Any:
    """Put a nest together with None in the place of the leaves that are not marked."""
    return unflatten(structure, [leaf if mark else None for leaf, mark in zip(leaves, marks)])


def add_decayed_weights(weight_decay: Any = 0.0, mask: Any = None) -> GradientTransformation:
    """Return the transformation that adds a multiple of the parameters.

    Parameters
    ----------
    weight_decay : float or Tensor
        The factor, not negative.
    mask : nest of bool, or callable, optional
        Which parameters decay; see :func:`masked`. By default all.

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
    >>> decay = tg.optim.add_decayed_weights(0.1)
    >>> decay.update(np.array([1.0]), (), np.array([5.0]))[0]
    array([1.5])
    """
    what = "add_decayed_weights"
    factor = at_least(weight_decay, f"{what}: weight_decay")

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, _needed(params, what), what)
        weights = like(structure, params, what)
        result = [g + as_factor(factor, g.dtype) * w for g, w in zip(leaves, weights)]
        return unflatten(structure, result), state

    transformation = GradientTransformation(lambda params: (), update)
    return transformation if mask is None else masked(transformation, mask)


def _needed(params: Any, what: str) -> Any:
    if params is None:
        raise ValueError(f"{what}: update needs the parameters: update(grads, state, params)")
    return params


# Accumulation -------------------------------------------------------------------------------------


def accumulate(inner: GradientTransformation, every: int) -> GradientTransformation:
    """Return the transformation that takes a step with the mean of several gradients.

    Parameters
    ----------
    inner : GradientTransformation
    every : int
        How many gradients make a step, at least 1.

    Returns
    -------
    GradientTransformation
        The updates are zeros until the last gradient of a round.

    Raises
    ------
    TypeError
        If `inner` is no transformation, or `every` no integer.
    ValueError
        If `every` is less than 1.

    Notes
    -----
    Where the count is traced, `inner` is computed for each gradient, and its results are chosen in
    the last call of a round.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> pairs = tg.optim.accumulate(tg.optim.sgd(1.0), 2)
    >>> state = pairs.init(np.zeros(1))
    >>> for gradient in [1.0, 3.0, 5.0, 5.0]:
    ...     update, state = pairs.update(np.array([gradient]), state)
    ...     print(update)
    [0.]
    [-2.]
    [0.]
    [-5.]
    """
    what = "accumulate"
    check_transformation(inner, f"{what}: inner")
    every = count_of(every, f"{what}: every", 1)

    def init(params: Any) -> AccumulateState:
        leaves, structure = parameters(params, what)
        zeros = [np.zeros(leaf.shape, leaf.dtype)[()] for leaf in leaves]
        return AccumulateState(
            start_of_count(), run(inner.init, params), unflatten(structure, zeros)
        )

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, state.sum_of_grads, what)
        old = like(structure, state.sum_of_grads, f"{what}: the state")
        sums = [total + leaf for total, leaf in zip(old, leaves)]
        zeros = unflatten(structure, [np.zeros(leaf.shape, leaf.dtype)[()] for leaf in leaves])
        complete = state.mini_step + 1 == every
        waiting = zeros, state.inner_state, unflatten(structure, sums)
        if not isinstance(complete, Tensor) and not complete:
            return zeros, AccumulateState(state.mini_step + 1, *waiting[1:])
        mean = unflatten(structure, [total / every for total in sums])
        updates, inner_state = run(inner.update, mean, state.inner_state, params)
        done = updates, inner_state, zeros
        if isinstance(complete, Tensor):
            updates, inner_state, zeros = _chosen(complete, done, waiting)
        return updates, AccumulateState((state.mini_step + 1) % every, inner_state, zeros)

    return GradientTransformation(init, update)


def _chosen(condition: Tensor, yes: Any, no: Any) -> Any:
    """Return one of two nests of the same structure, by a condition that is not known yet."""
    leaves, structure = flatten(yes)
    others = flatten_like(structure, no, "accumulate: the state of inner must keep its structure")
    return unflatten(structure, [np.where(condition, a, b) for a, b in zip(leaves, others)])


# Means of the parameters --------------------------------------------------------------------------


def average(decay: float) -> GradientTransformation:
    """Return the transformation that keeps a mean of the parameters, in which older ones fade.

    Parameters
    ----------
    decay : float
        How much of the mean stays at each step, at least 0 and less than 1.

    Returns
    -------
    GradientTransformation
        It returns the updates as they are, and so is the last of a chain: the mean is of the
        parameters after the step. Its `update` needs the parameters.

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    See Also
    --------
    averaged_params : reads the mean from a state.

    Notes
    -----
    The mean starts from the parameters that `init` is given.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> optimiser = tg.optim.chain(tg.optim.sgd(1.0), tg.optim.average(0.75))
    >>> params = np.array([4.0])
    >>> state = optimiser.init(params)
    >>> updates, state = optimiser.update(np.array([4.0]), state, params)
    >>> tg.optim.apply_updates(params, updates), tg.optim.averaged_params(state)
    (array([0.]), array([3.]))
    """
    what = "average"
    decay = float(fraction(decay, f"{what}: decay"))

    def init(params: Any) -> AverageState:
        leaves, structure = parameters(params, what)
        # A copy: the state must not change when the user's arrays are written into.
        return AverageState(unflatten(structure, [np.copy(leaf)[()] for leaf in leaves]))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, structure = matched(grads, _needed(params, what), what)
        weights = like(structure, params, what)
        means = like(structure, state.mean, f"{what}: the state")
        new = [
            decay * mean + (1.0 - decay) * cast(weight + update, mean.dtype)
            for mean, weight, update in zip(means, weights, updates)
        ]
        return grads, AverageState(unflatten(structure, new))

    return GradientTransformation(init, update)


def averaged_params(state: Any) -> Any:
    """Return the mean that :func:`average` keeps, from the state of whatever it is a part of.

    Parameters
    ----------
    state : nest
        As `init` or `update` return it.

    Returns
    -------
    nest of arrays
        Like the parameters.

    Raises
    ------
    ValueError
        If there is no such mean in the state.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> optimiser = tg.optim.chain(tg.optim.adam(0.1), tg.optim.average(0.9))
    >>> tg.optim.averaged_params(optimiser.init({"w": np.ones(2)}))
    {'w': array([1., 1.])}
    """
    found = _average_in(state)
    if found is None:
        raise ValueError("averaged_params: no part of the state is that of average()")
    return found.mean


def _average_in(state: Any) -> AverageState | None:
    if isinstance(state, AverageState):
        return state
    return next(
        (inner for part in parts_of(state) if (inner := _average_in(part)) is not None), None
    )
