"""What is called in place of SciPy's products and systems of sparse matrices, where one meets a tensor.

tapegrad never imports SciPy for that. When a function of ``scipy.sparse`` is asked for, it is found
here by being one of the methods that multiply, of whatever class of sparse matrices.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from tapegrad.ops.algebra.sparse import matmul, spsolve
from tapegrad.tape.array.replacements import Replacement
from tapegrad.tape.core.primitive import Registry, functions

__all__ = ["find_sparse"]

_PACKAGE = "scipy.sparse"
_FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
_KINDS = ("array", "matrix")


def _solution(A: Any, b: Any, permc_spec: Any = None, use_umfpack: bool = True) -> Any:
    """Solve as SciPy does, which makes a vector of one column."""
    y = spsolve(A, b)
    return y[:, 0] if np.ndim(b) == 2 and np.shape(b)[1] == 1 else y


def find_sparse(key: Any) -> Callable[..., Any] | None:
    """Register a function of ``scipy.sparse``, and return what tensors do for it; None for others."""
    if type(key) is not FunctionType or not str(key.__module__).startswith(_PACKAGE):
        return None
    ours = matmul if _is_dot(key) else _solution if _is_spsolve(key) else None
    if ours is None:
        return None
    functions[key] = found = Replacement(key, ours, "arguments")
    return found


Registry.finders.append(find_sparse)


def _is_spsolve(key: FunctionType) -> bool:
    return key is getattr(sys.modules.get(f"{_PACKAGE}.linalg"), "spsolve", None)


def _is_dot(key: FunctionType) -> bool:
    """Whether a function is the method ``dot`` of a class of sparse matrices."""
    module = sys.modules.get(_PACKAGE)
    classes = (getattr(module, f"{f}_{kind}", None) for f in _FORMATS for kind in _KINDS)
    return any(getattr(cls, "dot", None) is key for cls in classes if cls is not None)
