"""Nested tuples, lists and dicts of arrays, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Structure", "flatten", "tree_map", "unflatten"]

#: What a nest looks like without its leaves; hashable. A leaf is ``"*"``, None is ``"-"``.
Structure = Any


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a nest, and its structure.

    Tuples (named ones too), lists and dicts are nests; everything else but None is a leaf.

    Examples
    --------
    >>> flatten({"w": [1.0, 2.0], "b": 3.0})[0]
    [1.0, 2.0, 3.0]
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if kind is tuple or kind is list:
        return (kind, tuple([_flatten(child, leaves) for child in tree]))
    if kind is dict:
        return (kind, tuple(tree), tuple([_flatten(child, leaves) for child in tree.values()]))
    if tree is None:
        return "-"
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return (kind, tuple([_flatten(child, leaves) for child in tree]))
    leaves.append(tree)
    return "*"


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Put a nest together from its structure and its leaves."""
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Any) -> Any:
    if structure == "*":
        return next(leaves)
    if structure == "-":
        return None
    kind = structure[0]
    if kind is dict:
        return {key: _unflatten(child, leaves) for key, child in zip(structure[1], structure[2])}
    children = [_unflatten(child, leaves) for child in structure[1]]
    return kind(*children) if hasattr(kind, "_fields") else kind(children)


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to the leaves of one or several nests of equal structure.

    Parameters
    ----------
    function : callable
        Takes one leaf of each nest.
    tree, *others
        Nests of arrays.

    Raises
    ------
    ValueError
        If the structures differ.

    Examples
    --------
    >>> tree_map(lambda w, g: w - 0.1 * g, {"w": 1.0}, {"w": 5.0})
    {'w': 0.5}
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for other in others:
        more, theirs = flatten(other)
        if theirs != structure:
            raise ValueError(f"tree_map: the nests differ in structure: {structure} and {theirs}")
        columns.append(more)
    return unflatten(structure, [function(*row) for row in zip(*columns)])
