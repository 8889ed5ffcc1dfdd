"""A polynomial that fits a step: linear least squares, with powers made anew at each call."""

from typing import Any

import numpy as np


def half_squares(coefficients: Any, places: Any) -> Any:
    """Return half the sum of squares of how far a polynomial is from the sign of its argument."""
    powers = places[:, None] ** np.arange(len(coefficients))
    residuals = np.sign(places) - powers @ coefficients
    return 0.5 * np.sum(residuals * residuals)


def data(n: int, degree: int) -> tuple[Any, ...]:
    """Return coefficients, and places from -1 to 1."""
    return np.random.default_rng(0).normal(size=degree), np.linspace(-1, 1, n)
