"""Refusing what has no derivative, but not where none is asked for.

Where a function is only compiled, what tensors cannot do is left to NumPy: the function runs as it is.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from tapegrad.tape.array.tensor import Tensor

__all__ = ["refuse", "refuse_complex"]


def refuse(a: Tensor, name: str, why: str) -> NoReturn:
    """Refuse to apply a function to a tensor, unless its trace can do without.

    Raises
    ------
    TypeError
        With the name and the reason; traces that only compile run the function as it is.
    """
    a.live_trace.appearance.apply_foreign(a, name, None, (), {}, f"{name}: {why}")
    raise TypeError(f"{name}: {why}")


def refuse_complex(a: Tensor, name: str, result: Any = None) -> None:
    """Refuse a function whose result is complex: as its primitive says by nan, if it is given.

    Raises
    ------
    TypeError
        As `refuse`.
    """
    if result is None or np.any(np.isnan(result)):
        refuse(
            a, name, "of these values the result is complex, and it has no derivative here; "
            "tg.stop_gradient(x) gives a plain array",
        )  # fmt: skip
