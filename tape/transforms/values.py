"""Values as they cross the border of a transformation: into the user's function, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.application import lower
from tapegrad.tape.array.tensor import Tensor, own
from tapegrad.tape.core.checks import refuse_mask
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC
from tapegrad.tape.core.errors import NonScalarOutputError
from tapegrad.tape.core.kinds import why_leaf
from tapegrad.tape.core.pytree import Structure, flatten, paths
from tapegrad.tape.transforms.transformed import spelled

__all__ = [
    "as_value",
    "below",
    "differentiable",
    "dtype_of",
    "floats_only",
    "give_back",
    "place_of",
    "refuse_foreign",
    "require_scalar",
    "shape_of",
    "split_aux",
]


def as_value(leaf: Any, what: str) -> Any:
    """Make a leaf of the arguments a value to compute with: an array or a tensor."""
    if isinstance(leaf, Tensor):
        return leaf.snapshot()
    refuse_mask(leaf)
    array = np.asarray(leaf)
    if array.dtype.kind not in NUMERIC:
        raise TypeError(
            f"{what}: arguments must be arrays of numbers, numbers, tensors, or nests of them; "
            f"got {type(leaf).__name__} ({array.dtype}){why_leaf(leaf)}"
        )
    return array


def place_of(structure: Structure, index: int) -> str:
    """Return where a leaf lies in a nest, as text; nothing if it is all there is."""
    where = paths(structure)[index]
    return f" at {where}" if where not in ("", "[0]") else ""


def differentiable(leaf: Any, what: str, structure: Structure = "*", index: int = 0) -> Any:
    """Make a leaf of a nest of arguments a value to differentiate by."""
    value = as_value(leaf, what)
    if value.dtype.kind not in CONTINUOUS:
        raise TypeError(
            f"{what} differentiates by float arguments; got dtype {value.dtype}"
            f"{place_of(structure, index)}. "
            "Pass floats (1.0, x.astype(float)), or choose other arguments with argnums."
        )
    return value


def give_back(value: Any, *, like: Any = None) -> Any:
    """Return an array as the user expects it: NumPy scalars where NumPy returns scalars."""
    if type(value) is np.ndarray and value.ndim == 0 and type(like) is not np.ndarray:
        return value[()]
    if isinstance(value, Tensor):
        own(value)
    return value


def below(leaf: Any, trace: Any) -> Any:
    """Return a result of the function as it is below `trace`."""
    if isinstance(leaf, Tensor):
        value = lower(leaf, trace)
        if isinstance(value, Tensor) and not value.live_trace.level and value.constant:
            # A constant made by the function: no gradient will ever be asked of it.
            return value.value if value.node.number > trace.start else value
        return value
    return leaf


def split_aux(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    """Return the result of a function, and what is not differentiated."""
    if not has_aux:
        return result, None
    if type(result) is not tuple or len(result) != 2:
        raise TypeError(f"{what} with has_aux=True: the function must return (result, aux)")
    return result


def refuse_foreign(leaves: list[Any], what: str) -> None:
    """Raise if a leaf of a result is an object of which nobody knows what depends on the arguments."""
    for leaf in leaves:
        if not isinstance(leaf, _RESULTS):
            raise TypeError(
                f"{what}: the function returned an object of type {type(leaf).__name__}, whose "
                "derivative is not known. Return arrays, numbers, or nests of them; other objects can "
                "be returned beside the result by has_aux, or their class registered by "
                "tg.register_pytree_node"
            )


#: What the leaves of results may be.
_RESULTS = (Tensor, np.ndarray, np.generic, int, float, complex)


def require_scalar(what: str, function: Any) -> Callable[[Any, list[Any]], None]:
    """Return a check of the result of `function`, and of its leaves."""

    def check(result: Any, leaves: list[Any]) -> None:
        name = spelled(function)
        if len(leaves) != 1 or flatten(result)[1] != "*":
            raise NonScalarOutputError(
                f"{what}({name}): the function must return one scalar, and returned "
                f"{_described(result)}. Return the scalar alone (further results go through "
                "has_aux=True); for other outputs use tg.vjp or tg.jacobian."
            )
        shape = np.shape(leaves[0]) if not isinstance(leaves[0], Tensor) else leaves[0].shape
        if shape != ():
            raise NonScalarOutputError(
                f"{what}({name}): the function must return a scalar, and returned an array of "
                f"shape {shape}. Sum it, or use tg.vjp with a cotangent of that shape, or "
                "tg.jacobian for all derivatives."
            )
        leaf = leaves[0]
        dtype = leaf.dtype if isinstance(leaf, Tensor) else np.asarray(leaf).dtype
        if dtype.kind not in NUMERIC:
            raise TypeError(f"{what}({name}): the function returned {leaf!r}, which is no number")
        check_floats(result, leaves)

    check_floats = floats_only(what, function)
    return check


def _described(result: Any) -> str:
    if result is None:
        return "None (is the return statement missing?)"
    return f"a {type(result).__name__} of {len(flatten(result)[0])} values"


def dtype_of(leaf: Any) -> np.dtype[Any]:
    """Return the dtype of an array, a tensor, or a number."""
    return leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype


def shape_of(leaf: Any) -> tuple[int, ...]:
    """Return the shape of an array, a tensor, or a number."""
    return leaf.shape if hasattr(leaf, "shape") else np.shape(leaf)  # type: ignore[no-any-return]


def floats_only(what: str, function: Any) -> Callable[[Any, list[Any]], None]:
    """Return a check that all results of `function` have derivatives."""

    def check(result: Any, leaves: list[Any]) -> None:
        if result is None:
            raise TypeError(
                f"{what}({spelled(function)}): the function returned {_described(None)}"
            )
        for leaf, path in zip(leaves, paths(flatten(result)[1])):
            dtype = dtype_of(leaf)
            if dtype.kind in CONTINUOUS:
                continue
            where = f" at {path}" if path else ""
            raise TypeError(
                f"{what}({spelled(function)}): the function returned a value of dtype {dtype}{where}, "
                "which has no derivative: comparisons, indices, counts and integers jump, and are "
                "constant in between. If you mean a gradient of 0, return a float: y.astype(float), "
                "float(n); what is not differentiated goes through has_aux=True."
            )

    return check
