"""Batches that are used together, in one compiled call: which ones, and laid out for a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

import numpy as np

from tapegrad.optim.checks import count_of
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.training.loader import Loader, arguments_of

__all__ = ["alike", "size_of", "stacked", "together"]

#: The arguments of the loss, for one step.
Arguments = tuple[Any, ...]


def size_of(steps_per_execution: Any) -> int | None:
    """Check how many steps a call is to do; None for all of an epoch."""
    if isinstance(steps_per_execution, str):
        if steps_per_execution != "epoch":
            raise ValueError(
                f"steps_per_execution must be a number or 'epoch', not {steps_per_execution!r}"
            )
        return None
    return count_of(steps_per_execution, "steps_per_execution", 1)


def together(batches: Iterable[Any], size: int | None) -> Iterator[list[Arguments]]:
    """Give the arguments of so many steps at a time; None stands for all that there are.

    Batches of somebody else's are copied if they have to wait for others, for he may fill the same
    arrays anew.
    """
    copies = size != 1 and not isinstance(batches, Loader)
    source = (_copied(arguments_of(batch)) if copies else arguments_of(batch) for batch in batches)
    while found := list(islice(source, size)):
        yield found


def alike(batches: Iterable[Arguments]) -> Iterator[list[Arguments]]:
    """Give runs of batches that one scan can take: of the same structure, shapes and dtypes."""
    for kind, group in groupby(batches, _kind):
        if kind is None:
            yield from ([batch] for batch in group)
        else:
            yield list(group)


def stacked(batches: list[Arguments]) -> Any:
    """Return a nest like each of the batches, whose arrays hold all of them along a first axis."""
    structure = flatten(batches[0])[1]
    columns = zip(*(flatten(batch)[0] for batch in batches))
    return unflatten(structure, [np.stack(column) for column in columns])


def _copied(batch: Arguments) -> Arguments:
    leaves, structure = flatten(batch)
    copies = [leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
    return unflatten(structure, copies)  # type: ignore[no-any-return]


def _kind(batch: Arguments) -> Any:
    """Return what batches have in common that can be stacked; None for one that can not be."""
    leaves, structure = flatten(batch)
    if not all(type(leaf) is np.ndarray or isinstance(leaf, np.generic) for leaf in leaves):
        return None
    return structure, tuple((type(leaf), leaf.shape, leaf.dtype) for leaf in leaves)
