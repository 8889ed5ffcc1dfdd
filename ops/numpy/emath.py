"""The functions of ``numpy.emath``, as far as their results are real, and what has complex results.

>>> import numpy as np
>>> import tapegrad as tg
>>> float(tg.grad(np.emath.log)(2.0))
0.5
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.declare.refusals import refuse, refuse_complex
from tapegrad.ops.declare.ufunc import as_tensor, operand
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import implements

__all__: list[str] = []


def _real(name: str, function: Callable[..., Any], inside: Callable[..., Any]) -> None:
    """Register a function that is real where `inside` holds."""

    def of_reals(*args: Any) -> Any:
        values = [operand(a) for a in args]
        if not np.all(inside(*values)):
            refuse_complex(next(v for v in values if isinstance(v, Tensor)), f"np.emath.{name}")
        return function(*values)

    implements(getattr(np.emath, name))(of_reals)


def _not_negative(x: Any) -> Any:
    return x >= 0


def _up_to_one(x: Any) -> Any:
    return np.abs(x) <= 1


for _name in ("sqrt", "log", "log2", "log10"):
    _real(_name, getattr(np, _name), _not_negative)
for _name in ("arccos", "arcsin", "arctanh"):
    _real(_name, getattr(np, _name), _up_to_one)
_real("logn", lambda n, x: np.log(x) / np.log(n), lambda n, x: np.logical_and(n >= 0, x >= 0))
_real("power", lambda x, p: np.power(x, 1.0 * p), lambda x, p: x >= 0)


@implements(np.sort_complex)
def _sort_complex(a: Any) -> Any:
    refuse(
        as_tensor(a), "np.sort_complex", "it gives complex numbers, and tensors hold real ones; np.sort "
        "sorts those",
    )  # fmt: skip
