"""Validation: the loss on data that are held out, or whatever a function says of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile import jit
from tapegrad.tape.core.pytree import flatten
from tapegrad.training.loader import Batches, Loader, arguments_of, batches_of

__all__ = ["Validation", "validation_of"]

#: Takes parameters, and returns values by name.
Validation = Callable[[Any], dict[str, float]]


def validation_of(given: Any, loss: Callable[..., Any], batch_size: Any) -> Validation | None:
    """Return the function that is meant: data, or a function of the parameters."""
    if given is None:
        return None
    if callable(given):
        return lambda params: _named(given(params))
    batches = _in_order(given, batch_size)
    compiled = jit(loss, wait=True)

    def mean(params: Any) -> dict[str, float]:
        total, count = 0.0, 0
        for batch in batches:
            arguments = arguments_of(batch)
            size = _size(arguments)
            total += float(compiled(params, *arguments)) * size
            count += size
        return {"loss": total / count}

    return mean


def _in_order(given: Any, batch_size: Any) -> Loader | Batches:
    """Return what gives the same batches at each validation, also in a run that was resumed."""
    if isinstance(given, Loader):
        given, batch_size = given.data, given.batch_size
    found = batches_of(given, None, shuffle=False, seed=0, drop_last=False)
    if isinstance(found, Loader):
        return Loader(given, batch_size, shuffle=False)
    return found


def _size(arguments: Any) -> int:
    """Return the number of examples in a batch."""
    leaves = flatten(arguments)[0]
    return len(leaves[0]) if leaves and np.ndim(leaves[0]) else 1


def _named(found: Any) -> dict[str, float]:
    if isinstance(found, dict):
        return {str(name): float(value) for name, value in found.items()}
    return {"loss": float(found)}
