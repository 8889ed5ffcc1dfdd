"""The logistic function, and values that count as constants.

>>> import numpy as np
>>> from tapegrad.ops.elementwise.logistic import sigmoid_p
>>> sigmoid_p(np.array([-1e4, 0.0, 1e4]))
array([0. , 0.5, 1. ])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.elementwise.elementwise import elementwise
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["sigmoid_p", "stop_gradient_p"]


def _sigmoid(x: Array) -> Any:
    x = np.asarray(x)
    if x.dtype == np.float16:  # exp would overflow where the result does not vanish
        return _sigmoid(x.astype(np.float32)).astype(np.float16)
    with np.errstate(over="ignore", under="ignore"):
        y = np.asarray(np.exp(-x) if x.dtype.kind == "f" else np.exp(-x.astype(float)))
    y += 1
    return np.divide(1, y, out=y)


sigmoid_p: Primitive = elementwise(
    "sigmoid", _sigmoid, (lambda g, y, x: g * (y * (1 - y)),), "1 / (1 + exp(-x))"
)

#: The same values without a derivative: for shifts and scales on which a result does not depend.
stop_gradient_p: Primitive = elementwise(
    "stop_gradient",
    np.positive,
    (None,),
    "x",
    source=lambda args, params: f"np.positive({args[0]})",
)
