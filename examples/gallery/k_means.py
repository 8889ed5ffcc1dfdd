"""Clusters: the sum of squared distances to the nearest centre, and Newton's direction.

The hessian by the centres is diagonal wherever the choice of the nearest does not change. So its
diagonal is its product with a vector of ones, which forward mode over the gradient gives.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def cost(centres: Any, points: Any) -> Any:
    """Return the sum over points of the squared distance to the nearest centre."""
    apart = points[:, None, :] - centres[None, :, :]
    return np.sum(np.min(np.sum(apart * apart, axis=2), axis=1))


def newton_direction(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives the gradient over the diagonal of the hessian."""

    def direction(centres: Any, points: Any) -> Any:
        gradient = library.grad(lambda c: function(c, points))
        slope, diagonal = library.jvp(gradient, (centres,), (np.ones_like(centres),))
        return slope / diagonal

    return direction


def data(n: int, d: int, k: int) -> tuple[Any, ...]:
    """Return the first `k` points as centres, and `n` points."""
    points = np.random.default_rng(0).normal(size=(n, d))
    return points[:k] * 1.01, points
