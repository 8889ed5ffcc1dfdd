"""Nests as ``jit`` takes them apart.

A plan gets the leaves of a nest, and rebuilds that of a result. What an instance holds besides its
parts would not be seen then: such an instance is a leaf, and what is read of it is noted.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.kinds import Kind, kinds
from tapegrad.tape.core.pytree import Structure, flatten, parts_of
from tapegrad.tape.transforms.transformed import Transformed

__all__ = ["SETTLED", "is_traced", "nests_in", "take_apart", "take_result_apart"]

#: Types whose values are all that can be known of them.
SETTLED = (
    bool, bytes, complex, float, int, slice, str, types.EllipsisType, types.NoneType,
    types.NotImplementedType, np.generic, np.dtype,
)  # fmt: skip
#: Constants of a structure that stay what they are.
_LASTING = (*SETTLED, type, types.FunctionType, Transformed)


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


def nests_in(tree: Any, leaves: Sequence[Any] = ()) -> Iterator[Any]:
    """Yield the lists, tuples, dicts and instances of a nest, but for `leaves`, which may be such."""
    kind = type(tree)
    if any(tree is leaf for leaf in leaves):
        return
    if tree is not None and (kind in (tuple, list, dict) or kinds[kind] is not None):
        yield tree
        for part in parts_of(tree):
            yield from nests_in(part, leaves)


def is_traced(leaf: Any) -> bool:
    """Whether a leaf of the arguments is an input of the plan, and no constant of its signature."""
    if type(leaf) is np.ndarray or isinstance(leaf, np.generic):
        return leaf.dtype.kind in NUMERIC
    return type(leaf) is float or (type(leaf) is int and -(2**63) <= leaf < 2**63)
