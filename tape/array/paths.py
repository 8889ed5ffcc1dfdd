"""How views hang on what they are views of.

A view is its base plus a path of view primitives.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, primitives

__all__ = ["mark_view", "shares"]


def shares(out: Any, source: Any) -> bool:
    """Whether `out`, made from `source` by a view primitive, is a view of it and no copy."""
    while type(out) is Tensor:  # the arrays at the bottom know
        out = out.value
    while type(source) is Tensor:
        source = source.value
    base = out.base
    return base is not None and (base is source or base is getattr(source, "base", None))


def mark_view(new: Tensor, source: Tensor, primitive: Primitive, params: Mapping[str, Any]) -> None:
    """Note that `new` is a view of `source` through `primitive`."""
    if new._trace.level and _is_copied(new, source, primitive):
        return
    root = source._base if source._base is not None else source
    step = (primitive, dict(params))
    if source._base is None and root._inner_shape is not None:
        reshape = _reshape_step(root)
        new._path = (reshape, step)
    else:
        new._path = (*source._path, step)
    new._base = root
    new._version = root._version
    if type(root._lock) is tuple:  # it may turn out to be a view itself: see views.note_row
        root._lock = (*root._lock, weakref.ref(new))


def _is_copied(new: Tensor, source: Tensor, primitive: Primitive) -> bool:
    """Whether NumPy copies here: elements are numbers, and what is made of a number is a new array."""
    if new.shape == () and primitive.name == "basic_index":  # with an ellipsis, it is a reshape
        return True
    node = source._node
    given = type(node) is Node and node.primitive is None  # perhaps an array without axes
    return not given and source._trace.level > 0 and source._trace.stands_for_number(source)


def _reshape_step(root: Tensor) -> tuple[Primitive, dict[str, Any]]:
    return primitives["reshape"], {"shape": root.shape}
