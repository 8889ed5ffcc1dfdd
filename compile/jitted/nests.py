"""Nests as ``jit`` takes them apart.

A plan gets the leaves of a nest, and rebuilds that of a result. What an instance holds besides its parts
would not be seen then: such an instance is a leaf, and the function runs as it is. The functions that
code can reach through the classes of a nest are read like those that it names.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tapegrad.compile.survey.capture import SETTLED
from tapegrad.tape.core.kinds import Kind, kinds
from tapegrad.tape.core.pytree import Structure, flatten, parts_of
from tapegrad.tape.transforms.transformed import Transformed

__all__ = ["FUNCTIONS", "changeable", "is_traced", "roots_of", "take_apart", "take_result_apart"]

FUNCTIONS = (types.FunctionType, Transformed)
#: Constants of a structure that stay what they are; what a function reads is surveyed.
_LASTING = (*SETTLED, type, *FUNCTIONS)


def take_apart(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of arguments, and their structure, on which a plan may depend."""
    return flatten(tree, functools.partial(_opens, lasting=_LASTING))


def take_result_apart(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a result, and a structure that may be given to every caller."""
    return flatten(tree, functools.partial(_opens, lasting=(*SETTLED, type)))


def _opens(kind: Kind, tree: Any, lasting: tuple[type, ...]) -> Any:
    if kind.holds_more(tree):
        return None
    taken = kind.take(tree)
    if taken is None or not all(_lasts(c, lasting) for c in kind.constants(taken[0])):
        return None
    return taken


def _lasts(constant: Any, lasting: tuple[type, ...]) -> bool:
    if type(constant) in (tuple, frozenset):
        return all(_lasts(part, lasting) for part in constant)
    return isinstance(constant, lasting)


def is_traced(leaf: Any) -> bool:
    """Whether a leaf of the arguments is an input of the plan, and no constant of its signature."""
    if type(leaf) is np.ndarray or isinstance(leaf, np.generic):
        return leaf.dtype.kind in "fiub"
    return type(leaf) is float or (type(leaf) is int and -(2**63) <= leaf < 2**63)


def changeable(tree: Any) -> Iterator[Any]:
    """Yield the containers and instances of a nest that code can change."""
    kind = type(tree)
    if tree is None or (kind not in (tuple, list, dict) and kinds[kind] is None):
        return
    if not isinstance(tree, tuple):
        yield tree
    for part in parts_of(tree):
        yield from changeable(part)


@functools.lru_cache(maxsize=256)
def roots_of(structure: Structure) -> frozenset[Any]:
    """Return the classes in a structure, and the functions among its constants."""
    found: set[Any] = set()
    _collect(structure, found)
    return frozenset(found)


def _collect(structure: Structure, found: set[Any]) -> None:
    if type(structure) is str:
        return
    kind, aux, parts = structure
    for part in parts:
        _collect(part, found)
    if kind not in (tuple, list, dict):
        described = kinds[kind]
        assert described is not None
        found.add(kind)
        found.update(_functions(described.constants(aux)))


def _functions(constants: Iterable[Any]) -> Iterator[Any]:
    for constant in constants:
        if type(constant) in (tuple, frozenset):
            yield from _functions(constant)
        elif isinstance(constant, FUNCTIONS):
            yield constant
