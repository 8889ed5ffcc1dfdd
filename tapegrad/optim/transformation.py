"""Gradient transformations: pairs of functions, from gradients to what is added to the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tapegrad.optim.checks import cast, like, matched, parameters, same_shapes
from tapegrad.tape.core.pytree import flatten_like, unflatten
from tapegrad.tape.python.running import run

__all__ = ["GradientTransformation", "apply_updates", "chain", "identity"]


class GradientTransformation(NamedTuple):
    """A pair of pure functions that makes updates of gradients.

    Parameters
    ----------
    init : callable
        ``init(params)`` returns the state before the first step, a nest of arrays and numbers.
    update : callable
        ``update(grads, state, params=None)`` returns the updates, a nest like the gradients, and
        the next state. Neither `grads` nor `state` is changed.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def update(grads, state, params=None):
    ...     return tg.tree_map(np.sign, grads), state
    >>> signs = tg.optim.GradientTransformation(lambda params: (), update)
    >>> optimiser = tg.optim.chain(signs, tg.optim.scale(-0.5))
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> updates, state = optimiser.update({"w": np.array([3.0, -4.0])}, optimiser.init(params))
    >>> updates
    {'w': array([-0.5,  0.5])}
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


def identity() -> GradientTransformation:
    """Return the transformation that returns gradients as they are.

    Returns
    -------
    GradientTransformation

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.optim.identity().update([1.0], ())
    ([1.0], ())
    """
    return GradientTransformation(
        lambda params: (), lambda grads, state, params=None: (grads, state)
    )


def stateless(what: str, rule: Callable[[Any], Any]) -> GradientTransformation:
    """Return the transformation that applies a rule to each gradient by itself."""

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, params, what)
        return unflatten(structure, [rule(leaf) for leaf in leaves]), state

    return GradientTransformation(lambda params: (), update)


def chain(*transformations: GradientTransformation) -> GradientTransformation:
    """Return the transformation that applies several, the first one first.

    Parameters
    ----------
    *transformations : GradientTransformation

    Returns
    -------
    GradientTransformation
        Its state is the tuple of their states.

    Raises
    ------
    TypeError
        For what is no transformation.
    ValueError
        By its `update`, for a state with another number of parts.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> optimiser = tg.optim.chain(tg.optim.clip_by_global_norm(1.0), tg.optim.sgd(0.5))
    >>> params = np.array([1.0, 1.0])
    >>> updates, state = optimiser.update(np.array([3.0, 4.0]), optimiser.init(params), params)
    >>> updates
    array([-0.3, -0.4])
    """
    for i, transformation in enumerate(transformations):
        check_transformation(transformation, f"chain: argument {i}")

    def init(params: Any) -> tuple[Any, ...]:
        return tuple([run(transformation.init, params) for transformation in transformations])

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if type(state) is not tuple or len(state) != len(transformations):
            raise ValueError(
                f"chain: the state must be a tuple of {len(transformations)} parts, as init returns it"
            )
        states = []
        for transformation, part in zip(transformations, state):
            grads, part = run(transformation.update, grads, part, params)
            states.append(part)
        return grads, tuple(states)

    return GradientTransformation(init, update)


def check_transformation(value: Any, what: str) -> None:
    """Raise a TypeError for what has not both functions."""
    if not (callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))):
        raise TypeError(f"{what} must be a GradientTransformation, not {type(value).__name__}")


def apply_updates(params: Any, updates: Any) -> Any:
    """Return parameters with the updates added.

    Parameters
    ----------
    params : nest of arrays
        Of floats.
    updates : nest of arrays
        Like `params`, as the function `update` of a transformation returns them. Where an update is
        None, the parameter stays as it is.

    Returns
    -------
    nest of arrays
        New arrays, of the dtypes of `params`; those without axes are NumPy scalars.

    Raises
    ------
    TypeError
        For parameters that hold no floats.
    ValueError
        If structures or shapes differ; it says where.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.optim.apply_updates({"w": np.float32([1.0])}, {"w": np.array([0.5])})
    {'w': array([1.5], dtype=float32)}
    """
    what = "apply_updates"
    leaves, structure = parameters(params, what)
    added = flatten_like(structure, updates, f"{what}: the updates", whole=True)
    # None counts as the parameter here, so that what is left is checked as one nest.
    full = [leaf if update is None else update for leaf, update in zip(leaves, added)]
    found = like(structure, unflatten(structure, full), f"{what}: the updates")
    same_shapes(found, leaves, structure, f"{what}: the update")
    new = [
        leaf if update is None else leaf + cast(value, leaf.dtype)
        for leaf, value, update in zip(leaves, found, added)
    ]
    return unflatten(structure, new)
