"""``frexp``: numbers taken apart into a mantissa, which has a derivative, and a power of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import operand
from tapegrad.ops.elementwise.elementwise import _both, elementwise
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.primitive import functions, implements

__all__: list[str] = []

exponent_p = elementwise(
    "frexp_exponent",
    None,
    (None,),
    None,
    forward=lambda x: np.frexp(x)[1],
    source=lambda args, params: f"np.frexp({args[0]})[1]",
)


@implements(np.frexp)
def _frexp(x: Any, *, out: Any = None) -> tuple[Any, Any]:
    x = operand(x)
    exponent = apply(exponent_p, (x,))
    mantissa = functions[np.ldexp](x, -exponent)  # type: ignore[operator]
    return _both((mantissa, exponent), out, "frexp")
