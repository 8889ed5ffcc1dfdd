"""Kinds of nests for tests, and random nests of small arrays."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tapegrad as tg


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass
class Params:
    w: Any
    b: Any
    name: str = dataclasses.field(default="dense", metadata={"static": True})

    def __post_init__(self) -> None:
        made.append(self.name)


#: What was made by the user, and not rebuilt.
made: list[str] = []


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: Any
    y: Any = None


class Attributes(dict[str, Any]):
    """A dict whose items are attributes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class Model:
    """A class that is registered."""

    def __init__(self, weights: Any, activation: str) -> None:
        self.weights = weights
        self.activation = activation


tg.register_pytree_node(
    Model, lambda m: (m.weights, m.activation), lambda name, parts: Model(list(parts), name)
)

#: How to make a nest of each kind from parts.
KINDS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "dict": lambda parts: {f"k{i}": part for i, part in enumerate(parts)},
    "keys": lambda parts: {(i, "k"): part for i, part in enumerate(parts)},
    "ordered": lambda parts: collections.OrderedDict(enumerate(parts)),
    "default": lambda parts: collections.defaultdict(list, enumerate(parts)),
    "attributes": lambda parts: Attributes({f"k{i}": part for i, part in enumerate(parts)}),
    "named": lambda parts: Pair(parts[0], parts[1:]),
    "dataclass": lambda parts: Params(parts[0], parts[1:]),
    "frozen": lambda parts: Frozen(parts[0], tuple(parts[1:])),
    "registered": lambda parts: Model(parts, "tanh"),
}

_SHAPES = st.sampled_from([(), (1,), (2,), (2, 2), (0,)])


@st.composite
def arrays(draw: Any) -> Any:
    """Draw a small array of floats, a number, or None."""
    shape = draw(_SHAPES)
    seed = draw(st.integers(0, 2**20))
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, shape)
    if shape == ():
        return draw(st.sampled_from([float(values), np.array(float(values)), None]))
    return values


def trees(most: int = 6) -> Any:
    """Return a strategy for nests of such arrays."""

    def nest(parts: Any) -> Any:
        several = st.lists(parts, min_size=1, max_size=3)
        return st.builds(lambda kind, p: KINDS[kind](p), st.sampled_from(sorted(KINDS)), several)

    return st.recursive(arrays(), nest, max_leaves=most)


def like(tree: Any, seed: int) -> Any:
    """Return a nest of the same structure with other values."""
    rng = np.random.default_rng(seed)
    return tg.tree_map(lambda a: rng.uniform(-1.0, 1.0, np.shape(a)), tree)


def vector(tree: Any) -> Any:
    """Return the elements of a nest as a vector."""
    return np.concatenate([np.zeros(0), *(np.ravel(leaf) for leaf in tg.tree_leaves(tree))])


def same(got: Any, wanted: Any, tolerance: float = 1e-9) -> None:
    """Assert that two nests have one structure, shapes and dtypes, and close values."""
    assert tg.tree_structure(got) == tg.tree_structure(wanted)
    for a, b in zip(tg.tree_leaves(got), tg.tree_leaves(wanted)):
        assert np.shape(a) == np.shape(b), (np.shape(a), np.shape(b))
        np.testing.assert_allclose(a, b, tolerance, tolerance)
