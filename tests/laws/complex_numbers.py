"""Samples of the primitives of complex numbers, and what these are in NumPy, for the laws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

SHAPES: list[tuple[int, ...]] = [(), (0,), (4,), (2, 3), (2, 0, 3)]
MATRICES = ((2, 2), (3, 3), (1, 1), (2, 2, 2), (0, 2, 2))
#: Shapes and axes of transforms.
AXES = (((4,), 0), ((5,), 0), ((1,), 0), ((2, 3), 1), ((4, 2), 0), ((2, 3, 2), 1))


def real(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Real numbers."""
    return np.asarray(rng.uniform(-2, 2, shape))


def plane(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Complex numbers that are not near zero."""
    return rng.uniform(0.3, 2, shape) * np.exp(1j * rng.uniform(-np.pi, np.pi, shape))


def samples() -> dict[str, list[Callable[[Any], Any]]]:
    """Arguments for each primitive."""

    def one(numbers: Any, shape: Any, params: Any) -> Callable[[Any], Any]:
        return lambda rng: ((numbers(rng, shape),), params)

    found = {
        name: [one(plane, shape, {}) for shape in SHAPES]
        for name in ("real", "imag", "complex_sign")
    }
    found["det_phase"] = [one(plane, shape, {}) for shape in MATRICES]
    for name, numbers in (("fft", plane), ("ifft", real), ("rfft", real), ("irfft", plane)):
        found[name] = []
        for shape, axis in AXES:
            for norm in ("backward", "ortho", "forward"):
                params = {"axis": axis, "norm": norm}
                if name == "irfft":
                    params["n"] = 2 * shape[axis] - 1
                found[name].append(one(numbers, shape, params))
    for size in (3, 2):  # transforms with an even number of elements
        params = {"axis": 1, "norm": "backward", "n": 2 * size - 2}
        found["irfft"].append(one(plane, (2, size), params))
    return found


REFERENCES = {
    "complex_sign": np.sign,
    "det_phase": lambda x: np.linalg.slogdet(x)[0],
    **{name: partial(getattr(np.fft, name)) for name in ("fft", "ifft", "rfft", "irfft")},
}
