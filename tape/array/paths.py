"""Views: how they hang on what they are views of.

A view is its base plus a path of view primitives. An index is kept as a hashable parameter: slices
become tuples, and index arrays, which are arguments of their own, leave holes.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive, primitives

__all__ = [
    "HOLE", "Hole", "Path", "Spec", "follow", "freeze_index", "freeze_path", "locate", "mark_view",
    "own_memory", "shares_memory", "thaw_index",
]  # fmt: skip

#: Steps from a base to a view: (name of the view primitive, its parameters as sorted pairs).
Path = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]

#: A basic index step as a hashable parameter: slices become ("slice", start, stop, step).
Spec = tuple[Any, ...]


class Hole:
    """Stands in an index for the next index array."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "array"

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return type(other) is Hole


HOLE = Hole()


def freeze_index(index: tuple[Any, ...]) -> Spec:
    """Make an index of integers, slices, None, Ellipsis and holes a hashable parameter."""
    return tuple(("slice", i.start, i.stop, i.step) if isinstance(i, slice) else i for i in index)


def thaw_index(spec: Spec, arrays: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Return the index that `spec` stands for, with its holes filled by `arrays`."""
    left = iter(arrays)
    return tuple(
        slice(*i[1:]) if type(i) is tuple else (next(left) if type(i) is Hole else i) for i in spec
    )


def freeze_path(steps: tuple[tuple[Primitive, Mapping[str, Any]], ...]) -> Path:
    """Make a tensor's path a hashable parameter."""
    return tuple((primitive.name, tuple(sorted(params.items()))) for primitive, params in steps)


def follow(value: Any, path: Path) -> Any:
    """Take the view of an array that `path` leads to."""
    for name, params in path:
        value = primitives[name].forward(value, **dict(params))
    return value


def locate(value: Any, path: Path, spec: Spec | None, arrays: tuple[Any, ...]) -> Any:
    """Return the part of an array that a write through `path` and `spec` replaces."""
    value = follow(value, path)
    return value if spec is None else value[thaw_index(spec, arrays)]


def shares_memory(out: Any, source: Any) -> bool:
    """Whether `out`, made from `source` by a view primitive, is a view of it and no copy."""
    while isinstance(out, Tensor):  # the arrays at the bottom know
        out = out.value
    while isinstance(source, Tensor):
        source = source.value
    base = out.base
    return base is not None and (base is source or base is getattr(source, "base", None))


def mark_view(new: Tensor, source: Any, primitive: Primitive, params: Mapping[str, Any]) -> None:
    """Note that `new` is a view of `source` through `primitive`; nothing if that is no tensor."""
    if not isinstance(source, Tensor) or (new._trace.level and _is_copied(new, source, primitive)):
        return
    root = source._base if source._base is not None else source
    step = (primitive, dict(params))
    if source._base is None and root._inner_shape is not None:
        reshape = primitives["reshape"], {"shape": root.shape}
        new._path = (reshape, step)
    else:
        new._path = (*source._path, step)
    new._base = root
    new._version = root._version
    if root._latent is not None:  # it may turn out to be a view itself
        root._latent.views.append(weakref.ref(new))


def _is_copied(new: Tensor, source: Tensor, primitive: Primitive) -> bool:
    """Whether NumPy copies here: elements are numbers, and what is made of a number is a new array."""
    if new.shape == () and primitive.name == "basic_index":  # with an ellipsis, it is a reshape
        return True
    trace = source._trace
    return trace.level > 0 and trace.appearance.stands_for_number(source)


def own_memory(tensor: Tensor) -> None:
    """Let a view take over the memory of its base, which nobody else can reach."""
    tensor._base, tensor._path = None, ()
