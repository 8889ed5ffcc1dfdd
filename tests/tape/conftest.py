"""Fixtures for the tests of the recording layer, and the way to their helpers."""

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

_HERE = Path(__file__).parent
for _folder in (str(_HERE), str(_HERE.parent / "laws")):
    if _folder not in sys.path:
        sys.path.append(_folder)


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Run without the cycle collector: what is freed here is freed by reference counts."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture(autouse=True)
def guard_on() -> Iterator[None]:
    """Leave the global default of the memory guard as it was."""
    yield
    tg.turn_memory_guarding_on()


@pytest.fixture
def numeric() -> Callable[..., Any]:
    """Central differences of a scalar function of one array."""

    def differences(f: Callable[..., Any], x: Any, eps: float = 1e-6) -> Any:
        g = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            d = np.zeros_like(x)
            d[i] = eps
            g[i] = (f(x + d) - f(x - d)) / (2 * eps)
        return g

    return differences
