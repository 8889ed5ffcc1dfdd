"""Where ``tapegrad.tape``, ``tapegrad.ops`` and ``tapegrad.compile`` are found in a checkout.

There they stand beside the folder of this file; a wheel has them inside.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from os import path
from typing import Any

__all__ = ["Checkout"]


class Checkout:
    """A finder for ``sys.meta_path``.

    It comes before all others, so that the three are of the same checkout as ``tapegrad`` itself,
    whatever is installed.
    """

    root = path.dirname(path.dirname(path.abspath(__file__)))
    parts = frozenset({"tapegrad.tape", "tapegrad.ops", "tapegrad.compile"})

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where one of the three is; None for all other modules."""
        return PathFinder.find_spec(name, [cls.root], target) if name in cls.parts else None


if not path.isfile(path.join(path.dirname(__file__), "tape", "__init__.py")):
    sys.meta_path.insert(0, Checkout)
