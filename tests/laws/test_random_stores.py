"""Random programs that store into arrays: values and derivatives are those of the program as it is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from stores import Program
from stores_of_objects import ObjectProgram

import tapegrad as tg

POINT = np.array([0.31, 0.57, 0.83, 1.09])
WAY = np.array([0.7, -0.3, 0.5, 0.2])


def slope(f: Any) -> float | None:
    """Return the derivative along `WAY`; None at a kink, or where differences say nothing.

    None, too, for a program that raises.
    """
    h = 1e-6
    try:
        here, ahead, behind = f(POINT), f(POINT + h * WAY), f(POINT - h * WAY)
    except (ValueError, IndexError):
        return None
    right, left = (ahead - here) / h, (here - behind) / h
    size = 1 + abs(right)
    if not np.isfinite(right - left) or size > 1e3 or abs(here) > 1e4:
        return None
    return None if abs(right - left) > 1e-3 * size else (right + left) / 2


def check(seed: int, *ways: str, kind: type[Program] = Program) -> None:
    program = kind(seed)
    f = program.function
    expected = slope(f)
    if expected is None:
        return
    for way in ways:
        if way == "jit":
            compiled = tg.jit(tg.value_and_grad(f))
            compiled(POINT * 1.01)
            value, gradient = compiled(POINT.copy())
        elif way == "imperative":
            x = tg.tensor(POINT.copy())
            try:
                value = tg.adapt(f)(x)
            except ValueError as error:  # the memory guard, which is documented
                assert "read-only" in str(error)
                continue
            value.backward()
            gradient = np.zeros(4) if x.grad is None else x.grad
        elif way == "batches":
            points = np.stack([POINT, POINT * 1.01])
            gradient, _ = tg.vmap(tg.grad(f))(points)
            value, other = tg.vmap(f)(points)
            assert other == pytest.approx(f(points[1].copy()), rel=1e-8, abs=1e-8), program.source
        else:
            value, gradient = tg.value_and_grad(f)(POINT.copy())
        assert value == pytest.approx(f(POINT.copy()), rel=1e-8, abs=1e-8), program.source
        assert gradient @ WAY == pytest.approx(expected, rel=2e-4, abs=2e-4), program.source


@pytest.fixture(autouse=True)
def _quietly() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("seed", range(12))
def test_differentiated_stores(seed):
    for each in range(25 * seed, 25 * seed + 25):
        check(each, "eager")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("way", ["imperative", "batches"])
def test_stores_by_other_ways(seed, way):
    for each in range(1000 + 20 * seed, 1000 + 20 * seed + 20):
        check(each, way)


@pytest.mark.parametrize("seed", range(10_000, 10_012))
def test_compiled_stores(seed):
    check(seed, "jit")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("way", ["eager", "imperative", "batches"])
def test_stores_by_objects(seed, way):
    for each in range(300_000 + 20 * seed, 300_000 + 20 * seed + 20):
        check(each, way, kind=ObjectProgram)


@pytest.mark.parametrize("seed", range(300_000, 300_006))
def test_compiled_stores_by_objects(seed):
    check(seed, "jit", kind=ObjectProgram)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(100))
def test_many_stores_by_objects(seed):
    for each in range(400_000 + 20 * seed, 400_000 + 20 * seed + 20):
        check(each, "eager", "imperative", "batches", kind=ObjectProgram)
    check(400_000 + 20 * seed, "jit", kind=ObjectProgram)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(100))
def test_many_differentiated_stores(seed):
    for each in range(100_000 + 100 * seed, 100_000 + 100 * seed + 100):
        check(each, "eager", "imperative", "batches")


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(200_000, 200_300))
def test_many_compiled_stores(seed):
    check(seed, "jit")
