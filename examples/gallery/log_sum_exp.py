"""The logarithm of a sum of exponentials, whose gradient is softmax."""

from typing import Any

import numpy as np


def log_sum_exp(x: Any) -> Any:
    """Return log(sum(exp(x))), without overflow."""
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def data(n: int) -> tuple[Any, ...]:
    """Return numbers around zero."""
    return (np.random.default_rng(0).normal(size=n),)
