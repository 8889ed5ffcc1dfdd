"""A mixture of Gaussians with a Wishart prior; covariances are packed into a vector each.

The inverse of a covariance is Q.T @ Q. Of the lower triangular Q, the parameters are the logarithms of
the diagonal, and then what stands below it, column by column.
"""

from typing import Any

import numpy as np

PRIOR_SCALE, PRIOR_FREEDOM = 1.0, 0


def log_sum_exp(z: Any) -> Any:
    """Return the logarithm of the sum of exponentials over the last axis."""
    top = np.max(z, axis=-1, keepdims=True)
    return np.squeeze(top, -1) + np.log(np.sum(np.exp(z - top), axis=-1))


def lower_triangles(packed: Any, d: int) -> Any:
    """Return matrices with zeros on and above the diagonal, from what stands below it."""
    k, count = packed.shape
    padded = np.concatenate([packed, np.zeros((k, 1))], axis=1)
    firsts = [c * d - c * (c + 1) // 2 for c in range(d)]
    places = [firsts[c] + r - c - 1 if r > c else count for r in range(d) for c in range(d)]
    return np.reshape(padded[:, np.array(places)], (k, d, d))


def log_posterior(alphas: Any, means: Any, packed: Any, points: Any) -> Any:
    """Return the logarithm of the posterior, without its constant."""
    n, d = points.shape
    logs, below = packed[:, :d], packed[:, d:]
    diagonal, sums = np.exp(logs), np.sum(logs, axis=1)
    centred = points[:, None, :] - means[None]
    turned = diagonal[None] * centred
    turned = turned + np.einsum("kij,nkj->nki", lower_triangles(below, d), centred)
    scores = alphas + sums - 0.5 * np.sum(turned * turned, axis=2)
    size = 0.5 * PRIOR_SCALE**2 * (np.sum(diagonal * diagonal) + np.sum(below * below))
    prior = size - PRIOR_FREEDOM * np.sum(sums)
    return np.sum(log_sum_exp(scores)) - n * log_sum_exp(alphas) + prior


def data(n: int, d: int, k: int) -> tuple[Any, ...]:
    """Return `k` components in `d` dimensions, and `n` points."""
    rng = np.random.default_rng(0)
    packed = 0.1 * rng.normal(size=(k, d + d * (d - 1) // 2))
    return rng.normal(size=k), rng.normal(size=(k, d)), packed, rng.normal(size=(n, d))
