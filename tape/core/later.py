"""Functions of later rooms that earlier ones call: where they are, not what they are.

A program can be compiled, but its room knows no compiler. The packages' ``__init__``, which know all
their rooms, say here where such functions are found; they are loaded when they are first called.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["Later", "later"]


class Later:
    """Functions as attributes, each of which is loaded at its first use.

    Examples
    --------
    >>> functions = Later()
    >>> functions.places["root"] = "math", "sqrt"
    >>> functions.root(9.0)
    3.0
    """

    def __init__(self) -> None:
        self.places: dict[str, tuple[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self.places:
            raise AttributeError(f"nobody has said where {name!r} is found")
        module, function = self.places[name]
        value = getattr(import_module(module), function)
        setattr(self, name, value)
        return value


#: What there is: ``reverse``, ``forward``, ``batch`` and ``compile`` of programs; ``jit`` and ``vmap``;
#: ``read`` and ``called``, by which functions run as their images. ``tape/__init__.py`` and
#: ``tapegrad/__init__.py`` say where they are.
later = Later()
