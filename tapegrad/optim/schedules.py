"""Schedules: functions of the number of steps that were taken, which return a learning rate.

They are made of operations on arrays, so that the count may be traced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.optim.checks import at_least, count_of, positive
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.python.running import run

__all__ = [
    "constant_schedule",
    "cosine_decay_schedule",
    "exponential_decay",
    "join_schedules",
    "linear_schedule",
    "piecewise_constant_schedule",
    "warmup_cosine_decay_schedule",
]

Schedule = Callable[[Any], Any]


def constant_schedule(value: float) -> Schedule:
    """Return the schedule that always gives the same value.

    Parameters
    ----------
    value : float
        Not negative.

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.optim.constant_schedule(0.1)(1000)
    0.1
    """
    value = at_least(value, "constant_schedule: value")
    return lambda count: value


def linear_schedule(
    init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """Return a schedule on a straight line from one value to another.

    Parameters
    ----------
    init_value, end_value : float
        The values before and after the transition.
    transition_steps : int
        The length of the transition.
    transition_begin : int
        The count at which it begins.

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import tapegrad as tg
    >>> rate = tg.optim.linear_schedule(1.0, 0.0, 4)
    >>> [float(rate(count)) for count in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    what = "linear_schedule"
    start = at_least(init_value, f"{what}: init_value")
    end = at_least(end_value, f"{what}: end_value")
    steps = count_of(transition_steps, f"{what}: transition_steps", 1)
    begin = count_of(transition_begin, f"{what}: transition_begin", 0)

    def schedule(count: Any) -> Any:
        done = np.minimum(np.maximum(count - begin, 0), steps) / steps
        return start * (1 - done) + end * done

    return schedule


def exponential_decay(
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """Return a schedule that multiplies by the same factor again and again.

    Parameters
    ----------
    init_value : float
        The value up to `transition_begin`.
    transition_steps : int
        After so many steps the value has changed by the factor `decay_rate`.
    decay_rate : float
        Positive.
    transition_begin : int
        The count at which the decay begins.
    staircase : bool
        Whether the value changes only every `transition_steps` steps, and then by the whole factor.
    end_value : float, optional
        A bound: from below if `decay_rate` is less than 1, from above otherwise.

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import tapegrad as tg
    >>> rate = tg.optim.exponential_decay(1.0, 2, 0.25)
    >>> [float(rate(count)) for count in range(5)]
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    >>> steps = tg.optim.exponential_decay(1.0, 2, 0.25, staircase=True, end_value=0.1)
    >>> [float(steps(count)) for count in range(5)]
    [1.0, 1.0, 0.25, 0.25, 0.1]
    """
    what = "exponential_decay"
    start = at_least(init_value, f"{what}: init_value")
    steps = count_of(transition_steps, f"{what}: transition_steps", 1)
    factor = positive(decay_rate, f"{what}: decay_rate")
    begin = count_of(transition_begin, f"{what}: transition_begin", 0)
    end = None if end_value is None else at_least(end_value, f"{what}: end_value")
    bound = np.maximum if end is None or factor < 1 else np.minimum

    def schedule(count: Any) -> Any:
        passed = np.maximum(count - begin, 0)
        value = start * factor ** (passed // steps if staircase else passed / steps)
        return value if end is None else bound(value, end)

    return schedule


def cosine_decay_schedule(
    init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0
) -> Schedule:
    """Return a schedule that falls along half a wave of the cosine.

    Parameters
    ----------
    init_value : float
        The value at the count 0.
    decay_steps : int
        The count from which on the value is the last one.
    alpha : float
        The last value, as a multiple of `init_value`.
    exponent : float
        The power of the wave, positive.

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import tapegrad as tg
    >>> rate = tg.optim.cosine_decay_schedule(1.0, 4, alpha=0.5)
    >>> [round(float(rate(count)), 3) for count in range(6)]
    [1.0, 0.927, 0.75, 0.573, 0.5, 0.5]
    """
    what = "cosine_decay_schedule"
    start = at_least(init_value, f"{what}: init_value")
    steps = count_of(decay_steps, f"{what}: decay_steps", 1)
    alpha = at_least(alpha, f"{what}: alpha")
    power = positive(exponent, f"{what}: exponent")

    def schedule(count: Any) -> Any:
        done = np.minimum(np.maximum(count, 0), steps) / steps
        wave = 0.5 * (1 + np.cos(np.pi * done))
        return start * ((1 - alpha) * wave**power + alpha)

    return schedule


def piecewise_constant_schedule(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    """Return a schedule that is multiplied by factors at given counts.

    Parameters
    ----------
    init_value : float
    boundaries_and_scales : dict of int to float, optional
        From each of these counts on, the value is multiplied by the factor, which is not negative.

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import tapegrad as tg
    >>> rate = tg.optim.piecewise_constant_schedule(1.0, {2: 0.5, 4: 0.1})
    >>> [float(rate(count)) for count in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.05, 0.05]
    """
    what = "piecewise_constant_schedule"
    start = at_least(init_value, f"{what}: init_value")
    factors = [
        (count_of(at, f"{what}: a boundary", 0), at_least(factor, f"{what}: the factor at {at}"))
        for at, factor in sorted((boundaries_and_scales or {}).items())
    ]

    def schedule(count: Any) -> Any:
        value = start
        for boundary, factor in factors:
            value = value * np.where(count >= boundary, factor, 1.0)
        return value

    return schedule


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Return the schedule that follows several, one after the other.

    Parameters
    ----------
    schedules : sequence of callable
        Each one counts from 0 when its turn comes.
    boundaries : sequence of int
        The counts at which the second, third, ... begins, in increasing order.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If there are not as many boundaries as schedules after the first, or not in order.

    Examples
    --------
    >>> import tapegrad as tg
    >>> up, down = tg.optim.linear_schedule(0.0, 1.0, 2), tg.optim.exponential_decay(1.0, 1, 0.5)
    >>> rate = tg.optim.join_schedules([up, down], [2])
    >>> [float(rate(count)) for count in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    what = "join_schedules"
    schedules = list(schedules)
    for i, schedule in enumerate(schedules):
        if not callable(schedule):
            raise TypeError(f"{what}: schedule {i} must be a function, not {schedule!r}")
    starts = [count_of(boundary, f"{what}: a boundary", 0) for boundary in boundaries]
    if len(starts) != len(schedules) - 1:
        raise ValueError(
            f"{what}: {len(schedules)} schedules have one boundary less, not {len(starts)}"
        )
    if starts != sorted(starts):
        raise ValueError(f"{what}: the boundaries must be in increasing order, not {starts}")

    def joined(count: Any) -> Any:
        if not isinstance(count, Tensor) and np.ndim(count) == 0:
            turn = sum(int(count) >= start for start in starts)
            return run(schedules[turn], count - starts[turn - 1] if turn else count)
        value = run(schedules[0], count)
        for start, schedule in zip(starts, schedules[1:]):
            # A schedule is not asked about counts before its turn, for which it may have no value.
            value = np.where(count < start, value, run(schedule, np.maximum(count - start, 0)))
        return value

    return joined


def warmup_cosine_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Schedule:
    """Return a schedule that rises on a straight line, and then falls along half a wave.

    Parameters
    ----------
    init_value, peak_value, end_value : float
        The values at the count 0, after the rise, and at the end.
    warmup_steps : int
        The length of the rise.
    decay_steps : int
        The length of both together, greater than `warmup_steps`.
    exponent : float
        The power of the wave, positive.

    Returns
    -------
    callable

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Examples
    --------
    >>> import tapegrad as tg
    >>> rate = tg.optim.warmup_cosine_decay_schedule(0.0, 1.0, 2, 6)
    >>> [round(float(rate(count)), 3) for count in range(8)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    what = "warmup_cosine_decay_schedule"
    warm = count_of(warmup_steps, f"{what}: warmup_steps", 1)
    total = count_of(decay_steps, f"{what}: decay_steps", warm + 1)
    peak = positive(peak_value, f"{what}: peak_value")
    end = at_least(end_value, f"{what}: end_value")
    rise = linear_schedule(init_value, peak, warm)
    return join_schedules(
        [rise, cosine_decay_schedule(peak, total - warm, end / peak, exponent)], [warm]
    )
