"""Entries with several results.

Such an entry makes a *bundle*: its node stands for the tuple of its results, and is followed by one
entry ``output`` for each of them, which picks it. So every value is one array, and sweeps, passes and
printers meet nothing new: to them a bundle is an array of objects, one for each result. Its cotangent
holds cotangents, and 0 where there is none, so that cotangents of bundles are added up like others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node, nobody
from tapegrad.tape.core.primitive import Primitive, Shaped

__all__ = ["link_bundle", "output_p"]

_OBJECT = np.dtype(object)


def _cotangent_of_bundle(g: Any, y: Any, bundle: Any, index: int) -> Any:
    parts = np.zeros(bundle.shape, _OBJECT)
    parts[index] = g
    return parts


output_p = Primitive(
    "output",
    lambda bundle, *, index: bundle[index],
    (_cotangent_of_bundle,),
    family="structural",
    source=lambda args, params: f"{args[0]}[{params['index']}]",
)


def link_bundle(
    primitive: Primitive,
    inputs: Sequence[Node | None],
    params: Mapping[str, Any],
    saved: tuple[Any, ...],
    results: Sequence[Any],
    *,
    constant: bool = False,
) -> tuple[Node, list[Node]]:
    """Return the node of a bundle, and the nodes of its results."""
    bundle = Node(primitive, inputs, params, saved, (len(results),), _OBJECT)
    bundle.constant = constant
    bundle.owner = nobody  # no tensor holds a bundle, and nobody asks for its gradient
    rest = (None, Shaped(bundle.shape, _OBJECT))
    picked = []
    for k, result in enumerate(results):
        node = Node(output_p, (bundle,), {"index": k}, rest, result.shape, result.dtype)
        node.constant = constant or result.dtype.kind not in CONTINUOUS
        picked.append(node)
    return bundle, picked
