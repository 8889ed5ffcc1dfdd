"""Schedules against their formulas, at Python's counts and at traced ones."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim


def cosine(count: int, length: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(count, length) / length))


SCHEDULES = {
    "constant": (optim.constant_schedule(0.3), lambda c: 0.3),
    "linear": (
        optim.linear_schedule(1.0, 0.2, 4, 3),
        lambda c: 1.0 - 0.8 * min(max(c - 3, 0), 4) / 4,
    ),
    "exponential": (
        optim.exponential_decay(2.0, 3, 0.5, 2),
        lambda c: 2.0 * 0.5 ** (max(c - 2, 0) / 3),
    ),
    "steps": (
        optim.exponential_decay(2.0, 3, 0.5, staircase=True, end_value=0.3),
        lambda c: max(2.0 * 0.5 ** (c // 3), 0.3),
    ),
    "growth": (
        optim.exponential_decay(1.0, 2, 3.0, end_value=8.0),
        lambda c: min(3.0 ** (c / 2), 8.0),
    ),
    "cosine": (
        optim.cosine_decay_schedule(2.0, 7, 0.1, 2.0),
        lambda c: 2.0 * (0.9 * cosine(c, 7) ** 2 + 0.1),
    ),
    "piecewise": (
        optim.piecewise_constant_schedule(1.0, {6: 0.1, 3: 0.5}),
        lambda c: 1.0 if c < 3 else 0.5 if c < 6 else 0.05,
    ),
    "piecewise, none": (optim.piecewise_constant_schedule(1.5), lambda c: 1.5),
    "warm-up": (
        optim.warmup_cosine_decay_schedule(0.1, 1.0, 4, 10, 0.2),
        lambda c: 0.1 + 0.9 * c / 4 if c < 4 else 0.8 * cosine(c - 4, 6) + 0.2,
    ),
    "joined": (
        optim.join_schedules(
            [lambda c: 1.0 * c, optim.constant_schedule(7.0), lambda c: 1.0 / (1 + c)], [2, 5]
        ),
        lambda c: c if c < 2 else 7.0 if c < 5 else 1 / (c - 4),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", [int, np.int64, np.array], ids=["int", "scalar", "array"])
def test_values(name: str, kind: Any) -> None:
    schedule, formula = SCHEDULES[name]
    found = [float(schedule(kind(count))) for count in range(12)]
    np.testing.assert_allclose(found, [formula(count) for count in range(12)], rtol=1e-13)


@pytest.mark.parametrize("name", SCHEDULES)
def test_values_at_traced_counts_with_one_recording(name: str) -> None:
    schedule, formula = SCHEDULES[name]
    fast = tg.jit(lambda count: schedule(count) * 1.0)
    found = [float(fast(np.int64(count))) for count in range(12)]
    np.testing.assert_allclose(found, [formula(count) for count in range(12)], rtol=1e-13)
    assert fast.stats().traces == 1 and not fast.stats().eager_calls
    batch = tg.vmap(lambda count: schedule(count) + 0.0 * count)(np.arange(12))
    np.testing.assert_allclose(batch, [formula(count) for count in range(12)], rtol=1e-13)


def test_a_joined_schedule_is_not_asked_before_its_turn() -> None:
    rate = optim.join_schedules([lambda c: 1.0, lambda c: 1.0 / (c + 1)], [3])
    with np.errstate(all="raise"):  # at the count before its turn, the second one divides by zero
        found = tg.vmap(lambda count: 1.0 * rate(count))(np.arange(5))
    np.testing.assert_array_equal(found, [1.0, 1.0, 1.0, 1.0, 0.5])


BAD = {
    "negative": (lambda: optim.constant_schedule(-1.0), "value must be at least 0"),
    "length": (lambda: optim.linear_schedule(1.0, 0.0, 0), "transition_steps must be at least 1"),
    "end": (lambda: optim.linear_schedule(1.0, -1.0, 3), "end_value must be at least 0"),
    "rate": (lambda: optim.exponential_decay(1.0, 2, 0.0), "decay_rate must be positive"),
    "alpha": (lambda: optim.cosine_decay_schedule(1.0, 2, -0.1), "alpha must be at least 0"),
    "power": (lambda: optim.cosine_decay_schedule(1.0, 2, 0.1, 0.0), "exponent must be positive"),
    "factor": (lambda: optim.piecewise_constant_schedule(1.0, {2: -1.0}), "the factor at 2"),
    "total": (lambda: optim.warmup_cosine_decay_schedule(0.0, 1.0, 5, 5), "decay_steps must be"),
    "count": (lambda: optim.join_schedules([lambda c: 1.0], [3]), "one boundary less, not 1"),
    "order": (lambda: optim.join_schedules([lambda c: 1.0] * 3, [3, 2]), "in increasing order"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_refused(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_what_is_of_a_wrong_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="decay_steps must be an integer"):
        optim.cosine_decay_schedule(1.0, 2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="schedule 1 must be a function"):
        optim.join_schedules([lambda c: 1.0, 0.5], [3])  # type: ignore[list-item]
