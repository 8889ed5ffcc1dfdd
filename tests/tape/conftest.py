"""Fixtures for the tests of the recording layer."""

import gc
from collections.abc import Iterator

import pytest

import tapegrad as tg


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
