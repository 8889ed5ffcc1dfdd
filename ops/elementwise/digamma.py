"""The digamma function in plain NumPy, so that it is differentiated as often as one likes.

>>> import numpy as np
>>> bool(abs(digamma(np.array(1.0)) + np.euler_gamma) < 1e-15)
True
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["digamma"]

#: Of the asymptotic expansion in one over the square, B(2k) / 2k (DLMF 5.11.2).
_COEFFICIENTS = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
#: By how much arguments are raised, so that the expansion is exact.
_RAISED = 10


def digamma(x: Any) -> Any:
    """Return the logarithmic derivative of the gamma function.

    Arguments are reflected to the right (DLMF 5.5.4), raised by recurrence (5.5.2), and expanded.
    """
    left = x < 0.5
    right = np.where(left, 1 - x, x)
    lower: Any = 0.0
    for k in range(_RAISED):
        lower = lower + 1 / (right + k)
    z = right + _RAISED
    w = 1 / (z * z)
    tail: Any = 0.0
    for c in reversed(_COEFFICIENTS):
        tail = (tail + c) * w
    result = np.log(z) - 0.5 / z - tail - lower
    angle = np.pi * np.where(left, x - np.rint(x), 0.25)
    return np.where(left, result - np.pi * np.cos(angle) / np.sin(angle), result)
