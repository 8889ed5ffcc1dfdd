"""The back end that compiles with Numba: a function for each nest, on threads where there is much to do.

Numba is imported when the first kernel is compiled.
"""

from __future__ import annotations

import importlib
from functools import cache

from tapegrad.compile.backends.interface import Kernel
from tapegrad.compile.backends.loop_nest import LoopNest
from tapegrad.compile.backends.numba.dialect import TYPES, combines, gains, supports

__all__ = [
    "DTYPES", "OLDEST", "combines", "compile", "gains", "problems", "supports", "usable",
]  # fmt: skip

DTYPES = frozenset(TYPES)

#: Older versions abort on some processors when they compile ``max`` and ``min``.
OLDEST = (0, 62)

#: Why Numba cannot be used; empty until an import has failed.
problems: list[str] = []


@cache
def usable() -> bool:
    """Import Numba, and return whether it is there and new enough; if not, `problems` says why."""
    try:
        import numba
    except Exception as error:  # NumPy may be too new for it, a library may be missing, ...
        problems.append(f"numba cannot be imported ({error})")
    else:
        if numba.version_info[:2] < OLDEST:
            problems.append(f"numba {numba.__version__} is too old: it takes 0.62 or newer")
    return not problems


def compile(nest: LoopNest, sizes: tuple[int, ...]) -> Kernel:
    """Return the kernel of a nest for the sizes of its loops."""
    kernels = importlib.import_module("tapegrad.compile.backends.numba.kernels")
    return kernels.compile_nest(nest, sizes)  # type: ignore[no-any-return]
