"""A chain of reactions, each of which feeds the next, by Runge and Kutta's method of order four."""

from typing import Any

import numpy as np


def rate(y: Any, speeds: Any) -> Any:
    """Return how fast amounts change: what one loses, the next gains."""
    lost = speeds * y * y
    return np.concatenate([-lost[:1], lost[:-1] - lost[1:]])


def last_amounts(speeds: Any, y: Any, steps: int = 50) -> Any:
    """Return the sum of squares of all amounts at the end."""
    h = 1.0 / steps
    for _ in range(steps):
        k1 = rate(y, speeds)
        k2 = rate(y + 0.5 * h * k1, speeds)
        k3 = rate(y + 0.5 * h * k2, speeds)
        k4 = rate(y + h * k3, speeds)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return np.sum(y * y)


def data(n: int) -> tuple[Any, ...]:
    """Return speeds, and amounts to begin with."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.0, n)
