"""Numbers: what a tensor without axes, or with one element, is to Python code.

Python converts (``float(x)``, ``math.sin(x)``), compares and raises by the number that a value stands
for. Here is how that number is looked at, and how a conversion stays traced.
"""

from __future__ import annotations

from typing import Any

from tapegrad.tape.array.tensor import Tensor

__all__ = ["is_differentiated"]


def is_differentiated(a: Any) -> bool:
    """Whether a derivative is lost if code takes the value of `a` for a constant."""
    while isinstance(a, Tensor):
        trace = a.live_trace
        if trace.name in ("grad", "jvp") or (not trace.level and not a.constant):
            return True
        a = a.value
    return False
