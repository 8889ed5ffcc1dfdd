"""Where a number that is not finite came from: the data, a parameter, or an operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape import debug_nans, value_and_grad
from tapegrad.tape.core.pytree import flatten, paths

__all__ = ["NonFiniteError", "cause_of", "first_bad"]


class NonFiniteError(FloatingPointError):
    """A loss or a gradient that is nan or infinite, and where it came from.

    Attributes
    ----------
    result : FitResult
        What there was before the step: parameters, state and history.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> with np.errstate(all="ignore"):
    ...     tg.fit(lambda w: np.sum(np.log(w)), np.array([1.0]), None, tg.optim.sgd(2.0), epochs=5)
    Traceback (most recent call last):
    tapegrad.training.findings.NonFiniteError: the loss is nan in step 2 (epoch 2): log made nan of ...
    """

    result: Any = None


def first_bad(tree: Any, name: str) -> str:
    """Return which leaf of a nest holds a number that is not finite, and where; nothing if none does.

    Examples
    --------
    >>> import numpy as np
    >>> first_bad({"w": np.array([1.0, np.inf])}, "params")
    "params['w'] holds inf at [1] (1 of 2 elements are not finite)"
    """
    leaves, structure = flatten(tree)
    for leaf, path in zip(leaves, paths(structure)):
        array = np.asarray(leaf)
        if array.dtype.kind != "f":
            continue
        bad = ~np.isfinite(array)
        if bad.any():
            place = np.unravel_index(int(np.argmax(bad)), array.shape)
            at = f" at [{', '.join(map(str, place))}]" if place else ""
            many = f" ({bad.sum()} of {array.size} elements are not finite)" if place else ""
            return f"{name}{path} holds {array[place]}{at}{many}"
    return ""


def cause_of(
    loss: Callable[..., Any], params: Any, batch: tuple[Any, ...], state: Any, places: Any
) -> str:
    """Return why a step gave what is not finite, by looking at its arguments and running it again.

    Parameters
    ----------
    loss : callable
    params, batch, state
        Of the step, before it.
    places : slice or array of int, or None
        Which examples of the data are in the batch.
    """
    found = first_bad(params, "params") or _in_batch(batch, places) or first_bad(state, "state")
    if found:
        return f"{found}, before the step"
    try:
        with np.errstate(all="ignore"), debug_nans():
            value, grads = value_and_grad(loss)(params, *batch)
    except FloatingPointError as error:
        return str(error)
    except Exception as error:
        return f"run again, step by step, it raised {type(error).__name__}: {error}"
    bad = first_bad(grads, "the gradient of params")
    if bad:
        return bad
    return f"run again with NumPy it gives {float(np.asarray(value)):.6g}, and finite gradients"


def _in_batch(batch: tuple[Any, ...], places: Any) -> str:
    """Look at a batch, and say which example of the data it is."""
    for i, part in enumerate(batch):
        found = first_bad(part, f"argument {i + 1} of the loss")
        if found:
            return found + _example(part, places)
    return ""


def _example(part: Any, places: Any) -> str:
    for leaf in flatten(part)[0]:
        array = np.asarray(leaf)
        if array.dtype.kind == "f" and not np.isfinite(array).all() and array.ndim:
            row = int(np.argmax((~np.isfinite(array)).reshape(len(array), -1).any(axis=1)))
            if isinstance(places, slice):
                return f": example {places.start + row} of the data"
            if places is not None and row < len(places):
                return f": example {int(places[row])} of the data"
    return ""
