"""What is called in place of functions of ``scipy.linalg``, where one meets a tensor.

tapegrad never imports SciPy. When one of its functions is asked for it is found here by its name. Some
are made of NumPy's, which have derivatives; the others apply primitives whose forward functions are
SciPy's own. What is not listed runs as it is written, as far as it is written in Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from tapegrad.ops.algebra.scipy_banded import banded
from tapegrad.ops.algebra.scipy_decompositions import DECOMPOSITIONS
from tapegrad.ops.algebra.scipy_eigenvalues import EIGENVALUES
from tapegrad.ops.algebra.scipy_riccati import RICCATI
from tapegrad.ops.algebra.scipy_systems import SYSTEMS
from tapegrad.tape.array.replacements import Replacement
from tapegrad.tape.core.primitive import Registry, functions

__all__ = ["TABLE", "find_linalg"]

_PACKAGE = "scipy.linalg"

#: By the names of SciPy's functions, which take the same arguments.
TABLE: dict[str, Callable[..., Any]] = {
    **SYSTEMS,
    **DECOMPOSITIONS,
    **EIGENVALUES,
    **RICCATI,
    **banded(DECOMPOSITIONS["toeplitz"]),
}


def find_linalg(key: Any) -> Callable[..., Any] | None:
    """Register a function of ``scipy.linalg``, and return what tensors do for it; None for others."""
    if type(key) is not FunctionType or not str(key.__module__).startswith(_PACKAGE):
        return None
    name = key.__name__
    public: Any = getattr(sys.modules.get(_PACKAGE), name, None)
    if name not in TABLE or key is not public:
        return None
    functions[key] = found = Replacement(key, TABLE[name], "nested")
    return found


Registry.finders.append(find_linalg)
