"""SciPy, as tensors meet it; SciPy itself is not imported here.

The operators of its sparse matrices make arrays of what they are given. Where they may leave the
product to the other operand, tensors say that they are no arrays; elsewhere nothing that is being
differentiated becomes one. With ``SCIPY_ARRAY_API=1``, functions of SciPy give tensors for tensors:
those that compute on plain arrays in between are refused, since their results would look like variables.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.location import Location
from tapegrad.tape.core.state import state

__all__ = ["answer_to_scipy", "dispatches", "is_matrix", "is_sparse"]

_PACKAGE = "scipy.sparse"
_BELOW_THE_USER = frozenset({"scipy", "numpy", "tapegrad"})
#: The methods of SciPy's that give up at what is no array, for Python to ask the other operand.
_DISPATCHING = ("_matmul_dispatch", "_mul_dispatch")


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse matrix or array of SciPy's."""
    module = sys.modules.get(_PACKAGE)
    return module is not None and bool(module.issparse(value))


def is_matrix(value: Any) -> bool:
    """Whether a value is a sparse matrix of SciPy's older kind, for which ``*`` is the product."""
    module = sys.modules.get(_PACKAGE)
    return module is not None and bool(module.isspmatrix(value))


def dispatches(frame: Any) -> bool:
    """Whether the code of a frame decides how a sparse matrix of SciPy's is multiplied."""
    return frame.f_code.co_name in _DISPATCHING and _is_scipys(frame)


def _is_scipys(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_PACKAGE)


def _makes_tensors(frame: Any) -> bool:
    """Whether the code of a frame is SciPy's, which gives tensors for tensors by the array API."""
    is_scipys = str(frame.f_globals.get("__name__")).partition(".")[0] == "scipy"
    return is_scipys and os.environ.get("SCIPY_ARRAY_API", "0") not in ("", "0", "false", "False")


def _line_above(frame: Any) -> Location:
    """Return the innermost line of the user's that led to a frame of SciPy's."""
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.partition(".")[0] not in _BELOW_THE_USER:
            break
        frame = frame.f_back
    return Location(frame.f_code, frame.f_lasti)


def answer_to_scipy(tensor: Any) -> Any:
    """Return what the caller's caller gets for ``np.asarray(tensor)``, if that is SciPy; else None.

    Raises
    ------
    TracedArrayError
        If a derivative would be lost.
    """
    if "scipy" not in sys.modules:
        return None
    frame = sys._getframe(2)
    if not _is_scipys(frame):
        if _makes_tensors(frame) and is_differentiated(tensor) and state.get().tracking:
            raise TracedArrayError(
                f"{frame.f_globals.get('__name__')} computes on a plain array, and its result, a "
                f"tensor, would have no derivative, at {_line_above(frame)}. Pass tg.stop_gradient(x) "
                "or x.data if none is meant"
            )
        return None
    if dispatches(frame):
        return np.array(None, dtype=object)  # so it takes the tensor for no array
    if not is_differentiated(tensor) or not (tensor.live_trace.level or state.get().tracking):
        return None
    raise TracedArrayError(
        f"{frame.f_globals.get('__name__')} would make a plain array of a value that is being "
        f"differentiated, and its derivative would be lost, at {_line_above(frame)}. Of what sparse "
        "matrices do, products and systems have derivatives: tg.sparse.matmul(A, x), "
        "tg.sparse.spsolve(A, b). Pass tg.stop_gradient(x) if no derivative is meant."
    )
