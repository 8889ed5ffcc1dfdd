"""What optimisers are given, looked at before it is used: numbers, and nests that must fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.pytree import Structure, flatten, flatten_like, paths

__all__ = [
    "as_factor",
    "at_least",
    "cast",
    "count_of",
    "fraction",
    "leaf_of",
    "like",
    "matched",
    "parameters",
    "positive",
    "rate",
    "same_shapes",
]


# Numbers ------------------------------------------------------------------------------------------


def _known(value: Any) -> bool:
    """Whether the value may be looked at: that of a traced tensor becomes known later."""
    return not isinstance(value, Tensor) or not value.live_trace.level


def _number(value: Any, what: str) -> Any:
    """Take a number without axes: as a float if it is a plain one, a tensor as it is."""
    if isinstance(value, bool | str | bytes | list | tuple | dict) or value is None:
        raise TypeError(f"{what} must be a number, not {value!r}")
    if np.ndim(value) != 0:
        raise ValueError(f"{what} must be a number without axes, not of shape {np.shape(value)}")
    if isinstance(value, Tensor):
        return value
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must be a number, not {value!r}") from error


def at_least(value: Any, what: str, least: float = 0.0) -> Any:
    """Check a number that has a lower bound."""
    value = _number(value, what)
    if _known(value) and not float(value) >= least:
        raise ValueError(f"{what} must be at least {least:g}, not {float(value):g}")
    return value


def positive(value: Any, what: str) -> Any:
    """Check a number that must be greater than 0."""
    value = _number(value, what)
    if _known(value) and not float(value) > 0:
        raise ValueError(f"{what} must be positive, not {float(value):g}")
    return value


def fraction(value: Any, what: str) -> Any:
    """Check a number that must be at least 0 and less than 1."""
    value = _number(value, what)
    if _known(value) and not 0 <= float(value) < 1:
        raise ValueError(f"{what} must be at least 0 and less than 1, not {float(value):g}")
    return value


def count_of(value: Any, what: str, least: int) -> int:
    """Check a whole number of steps."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{what} must be an integer, not {value!r}")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, not {value}")
    return int(value)


def rate(value: Any, what: str) -> float | Tensor | Callable[[Any], Any]:
    """Check a learning rate: a number that is not negative, or a schedule."""
    if callable(value) and not isinstance(value, Tensor):
        return value  # type: ignore[no-any-return]
    return at_least(value, f"{what}: the learning rate")  # type: ignore[no-any-return]


def as_factor(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return a number that leaves the dtype of what it is multiplied with as it is."""
    if type(value) is float:
        return value
    return cast(leaf_of(value), dtype)


# Arrays and nests ---------------------------------------------------------------------------------


def leaf_of(value: Any) -> Any:
    """Return a tensor as it is, and all else as an array, or as a NumPy scalar if it has no axes.

    Compiled functions return scalars, too: so a state has the same signature in all steps.
    """
    return value if isinstance(value, Tensor) else np.asarray(value)[()]


def cast(leaf: Any, dtype: np.dtype[Any]) -> Any:
    """Convert a leaf; tensors keep their derivative."""
    if leaf.dtype == dtype:
        return leaf
    return functions["cast"](leaf, dtype) if isinstance(leaf, Tensor) else leaf.astype(dtype)


def _at(structure: Structure, index: int) -> str:
    """Return where a leaf lies in a nest, as text; nothing if it is all there is."""
    path = paths(structure)[index]
    return f" at {path}" if path else ""


def _floats(found: list[Any], structure: Structure, what: str, kind: str) -> list[Any]:
    leaves = [leaf_of(leaf) for leaf in found]
    for i, leaf in enumerate(leaves):
        if leaf.dtype.kind != "f":
            raise TypeError(
                f"{what}: the {kind}{_at(structure, i)} must hold floats, not {leaf.dtype}"
            )
    return leaves


def parameters(params: Any, what: str) -> tuple[list[Any], Structure]:
    """Return the leaves of a nest of parameters, which must be floats, and its structure."""
    found, structure = flatten(params)
    return _floats(found, structure, what, "parameter"), structure


def like(structure: Structure, tree: Any, what: str) -> list[Any]:
    """Return the leaves of a nest that must have the given structure, or raise what says where not."""
    return [leaf_of(leaf) for leaf in flatten_like(structure, tree, what)]


def same_shapes(leaves: list[Any], wanted: list[Any], structure: Structure, what: str) -> None:
    """Raise a ValueError that names the first leaf whose shape is not that of its parameter."""
    for i, (leaf, model) in enumerate(zip(leaves, wanted)):
        if leaf.shape != model.shape:
            raise ValueError(
                f"{what}{_at(structure, i)} has shape {leaf.shape}, and the parameter {model.shape}"
            )


def matched(grads: Any, reference: Any, what: str) -> tuple[list[Any], Structure]:
    """Return the leaves of a nest of gradients, and its structure.

    Parameters
    ----------
    grads : nest of arrays
    reference : nest of arrays or None
        What the gradients must be like: the parameters, or a part of the state. Gradients are
        converted to its dtypes.
    what : str
        How an error begins.

    Raises
    ------
    TypeError
        For gradients that hold no floats.
    ValueError
        If the structures or shapes differ, with the place; and if a gradient is None.
    """
    if reference is None:
        return _unmatched(grads, what)
    wanted, structure = flatten(reference)
    found = flatten_like(structure, grads, f"{what}: the gradients", whole=True)
    for i, leaf in enumerate(found):
        if leaf is None:
            raise ValueError(
                f"{what}: the gradient{_at(structure, i)} is None, and the parameter is an array; "
                "parameters without a gradient are left out by masked()"
            )
    flatten_like(structure, grads, f"{what}: the gradients")
    leaves = _floats(found, structure, what, "gradient")
    wanted = _floats(wanted, structure, what, "parameter")
    same_shapes(leaves, wanted, structure, f"{what}: the gradient")
    return [cast(leaf, model.dtype) for leaf, model in zip(leaves, wanted)], structure


def _unmatched(grads: Any, what: str) -> tuple[list[Any], Structure]:
    """Return the leaves of gradients that there is nothing to compare with."""
    found, structure = flatten(grads)
    return _floats(found, structure, what, "gradient"), structure
