"""Labels: what plans call their inputs, after the arguments and variables of the user's function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from tapegrad.tape.core.pytree import Structure

__all__ = ["labels"]


def labels(function: Callable[..., Any], structure: Structure) -> list[str]:
    """Return a label for each leaf of the arguments ``(args, kwargs)`` of a call.

    Examples
    --------
    >>> from tapegrad.tape.core.pytree import flatten
    >>> def loss(x, params): ...
    >>> labels(loss, flatten(((1.0, {"w": 2.0, "b": [3.0]}), {}))[1])
    ['x', 'params_w', 'params_b_0']
    """
    _, (arguments, keywords) = structure
    names = _parameters(function, len(arguments[1]))
    found = [label for n, child in zip(names, arguments[1]) for label in _leaves(n, child)]
    for name, child in zip(keywords[1], keywords[2]):
        found += _leaves(name, child)
    return found


def _parameters(function: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first positional parameters."""
    names: list[str] = []
    try:
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                names += [f"{parameter.name}_{i}" for i in range(count - len(names))]
            names.append(parameter.name)
    except (TypeError, ValueError):  # a callable without a signature
        pass
    return [*names[:count], *(f"x{i}" for i in range(len(names), count))]


def _leaves(name: str, structure: Structure) -> Iterator[str]:
    if structure == "*":
        yield name
    elif structure != "-":
        kind, *keys, children = structure
        fields = keys[0] if keys else getattr(kind, "_fields", range(len(children)))
        for field, child in zip(fields, children):
            yield from _leaves(f"{name}_{field}", child)
