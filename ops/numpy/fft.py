"""The functions of ``numpy.fft`` that only move elements.

>>> import numpy as np
>>> import tapegrad as tg
>>> np.fft.fftshift(tg.tensor([0.0, 1.0, 2.0, -2.0, -1.0]))
Tensor([-2., -1.,  0.,  1.,  2.])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.ops.shape.rearranging import roll
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__: list[str] = []


def _half_rolled(x: Array, axes: AxisLike, sign: int) -> Any:
    x = as_tensor(x)
    if axes is None:
        axes = tuple(range(x.ndim))
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    return roll(x, tuple(sign * (x.shape[i] // 2) for i in axes), tuple(axes))


@implements(np.fft.fftshift)
def _fftshift(x: ArrayLike, axes: AxisLike = None) -> Array:
    return _half_rolled(x, axes, 1)


@implements(np.fft.ifftshift)
def _ifftshift(x: ArrayLike, axes: AxisLike = None) -> Array:
    return _half_rolled(x, axes, -1)
