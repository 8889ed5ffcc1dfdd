"""Transformations never write into the caller's arrays.

Arguments by which is not differentiated reach the function as read-only views, which cost nothing.
A function that writes into one is run again on copies, as tensors, so that traced values can be
written there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.pytree import flatten, unflatten
from tapegrad.tape.tensor import Tensor, snapshot

__all__ = ["run_shielded"]


def run_shielded(run: Callable[[Any], Any], arguments: Any) -> Any:
    """Return ``run(arguments)``, with the arrays in the nest `arguments` safe from writes.

    Parameters
    ----------
    run : callable
        Runs the user's function; its result is a nest.
    arguments : nest
        What the function gets besides the values that are traced.
    """
    leaves, structure = flatten(arguments)
    views: list[Any] = []
    originals: dict[int, Any] = {}
    tensors: dict[int, Any] = {}
    for leaf in leaves:
        if type(leaf) is np.ndarray and leaf.flags.writeable:
            view = leaf.view()
            view.flags.writeable = False
            originals[id(view)] = leaf
            leaf = view
        elif type(leaf) is Tensor:
            cell = snapshot(leaf)  # a cell of its own: writes stay there
            tensors[id(cell)] = (leaf, cell.node)
            leaf = cell
        views.append(leaf)
    if not originals and not tensors:
        return run(arguments)
    try:
        result = run(unflatten(structure, views))
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        copies = [
            Tensor(leaf, constant=True) if id(view) in originals else view
            for view, leaf in zip(views, leaves)
        ]
        return run(unflatten(structure, copies))
    # A function that returns such an argument returns the caller's own array.
    out_leaves, out_structure = flatten(result)
    for i, leaf in enumerate(out_leaves):
        tensor, node = tensors.get(id(leaf), (leaf, None))
        out_leaves[i] = (
            tensor if node is not None and leaf.node is node else originals.get(id(leaf), leaf)
        )
    return unflatten(out_structure, out_leaves)
