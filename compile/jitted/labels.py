"""Labels: what plans call their inputs, after the arguments and variables of the user's function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from tapegrad.tape.core.pytree import Structure, steps_of
from tapegrad.tape.python.places import Place

__all__ = ["label_of", "labels"]

#: What steps into a nest are written with: ``.w``, ``['w']``, ``[0]``.
_MARKS = ".[]'"


def labels(function: Callable[..., Any], structure: Structure) -> list[str]:
    """Return a label for each leaf of the arguments ``(args, kwargs)`` of a call.

    Examples
    --------
    >>> from tapegrad.tape.core.pytree import flatten
    >>> def loss(x, params): ...
    >>> labels(loss, flatten(((1.0, {"w": 2.0, "b": [3.0]}), {}))[1])
    ['x', 'params_w', 'params_b_0']
    """
    arguments, keywords = structure[2]
    names = _parameters(function, len(arguments[2]))
    found = [label for n, child in zip(names, arguments[2]) for label in _leaves(n, child)]
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
        for step, child in zip(steps_of(structure), structure[2]):
            yield from _leaves(f"{name}_{step.strip(_MARKS)}", child)


def label_of(place: Place) -> str:
    """Return a label for what was read at a place.

    >>> settings = {"rate": [0.1]}
    >>> label_of(Place.name(settings, "rate").item(0))
    'rate_0'
    """
    text = re.sub(r"^(argument|global|variable|module) ", "", place.text)
    return re.sub(r"\W+", "_", text).strip("_") or "x"
