"""The back end that compiles with Numba: a function for each nest, on threads where there is much to do.

Numba is imported when the first kernel is compiled.
"""

from __future__ import annotations

import importlib

from tapegrad.compile.backends.interface import Kernel
from tapegrad.compile.backends.nest import Nest
from tapegrad.compile.backends.numba.dialect import TYPES, combines, gains, supports

__all__ = ["DTYPES", "combines", "compile", "gains", "supports"]

DTYPES = frozenset(TYPES)


def compile(nest: Nest, sizes: tuple[int, ...]) -> Kernel:
    """Return the kernel of a nest for the sizes of its loops."""
    kernels = importlib.import_module("tapegrad.compile.backends.numba.kernels")
    return kernels.compile_nest(nest, sizes)  # type: ignore[no-any-return]
