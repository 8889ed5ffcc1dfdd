"""Arrays among the arguments are the caller's: which of them a function of NumPy's would change."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.kinds import kinds
from tapegrad.tape.core.pytree import flatten
from tapegrad.tape.python.promotion import owner_of

__all__ = ["WRITERS", "owners_in", "target_of", "written_by"]

#: Functions that write into their first argument.
WRITERS: frozenset[Any] = frozenset(
    (np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask)
)


def owners_in(arguments: Any) -> dict[int, Any]:
    """Return the arrays that own the memory of those in a nest, by their ids."""
    found: dict[int, Any] = {}
    waiting = [arguments]
    while waiting:
        tree = waiting.pop()
        kind = type(tree)
        if kind is tuple or kind is list:
            waiting.extend(tree)
        elif kind is dict:
            waiting.extend(tree.values())
        elif issubclass(kind, np.ndarray):  # `isinstance` would ask a tensor what it stands for
            owner = owner_of(tree)
            found[id(owner)] = owner
        elif kinds[kind] is not None:
            waiting.extend(leaf for leaf in flatten(tree)[0] if leaf is not tree)
    return found


def target_of(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the array that a function of NumPy's is to write into, or None."""
    out = kwargs.get("out")
    if out is None:
        if type(function) is np.ufunc:
            first = function.nin
        elif function in WRITERS or _is_at(function):
            first = 0
        else:
            return None
        out = args[first] if len(args) > first else None
    out = out[0] if type(out) is tuple and len(out) == 1 else out
    return out if type(out) is np.ndarray else None


def written_by(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], lent: dict[int, Any]
) -> Any:
    """Return the array that a function of NumPy's is to write into, if it is lent; or None."""
    out = target_of(function, args, kwargs)
    return (
        out if out is not None and not out.flags.writeable and id(owner_of(out)) in lent else None
    )


def _is_at(function: Any) -> bool:
    """Whether a function is the method ``at`` of a ufunc."""
    return (
        type(getattr(function, "__self__", None)) is np.ufunc
        and getattr(function, "__name__", "") == "at"
    )
