"""Of the standard's ``fft``, what has no complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.array_api.adopting import adopt, on_cpu
from tapegrad.tape.array.tensor import Tensor

__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]

fftshift = adopt(np.fft.fftshift, "fftshift", "x, /, *, axes=None")
ifftshift = adopt(np.fft.ifftshift, "ifftshift", "x, /, *, axes=None")


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of the coefficients of a transform of `n` samples, `d` apart."""
    on_cpu(device)
    return Tensor(np.fft.fftfreq(n, d), dtype=dtype, copy=False)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """Return the frequencies of the coefficients of a transform of `n` real samples, `d` apart."""
    on_cpu(device)
    return Tensor(np.fft.rfftfreq(n, d), dtype=dtype, copy=False)


def __dir__() -> list[str]:
    return __all__
