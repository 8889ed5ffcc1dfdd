"""Functions of which the suite of orders asks more than a gradient."""

from typing import Any

import numpy as np


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent."""
    return np.tanh(x)


def number() -> tuple[Any, ...]:
    """Return one number."""
    return (np.array(0.3),)


def total(x: Any) -> Any:
    """Return the sum of all."""
    return np.sum(x)


def network(flat: Any, images: Any, classes: Any) -> Any:
    """Return the mean cross-entropy of two dense layers whose parameters are one vector."""
    (_, pixels), ways = images.shape, classes.shape[1]
    hidden = (flat.shape[0] - ways) // (pixels + 1 + ways)
    ends = [pixels * hidden, hidden, hidden * ways]
    w = np.reshape(flat[: ends[0]], (pixels, hidden))
    b = flat[ends[0] : ends[0] + ends[1]]
    v = np.reshape(flat[-ways - ends[2] : -ways], (hidden, ways))
    scores = np.tanh(images @ w + b) @ v + flat[-ways:]
    scores = scores - np.max(scores, axis=1, keepdims=True)
    logs = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
    return -np.mean(np.sum(classes * logs, axis=1))


def network_data(batch: int, pixels: int, hidden: int) -> tuple[Any, ...]:
    """Return parameters, images, classes, and a direction among parameters."""
    rng = np.random.default_rng(0)
    count = pixels * hidden + hidden + hidden * 10 + 10
    flat, vector = 0.1 * rng.normal(size=count), rng.normal(size=count)
    return flat, rng.normal(size=(batch, pixels)), np.eye(10)[rng.integers(0, 10, batch)], vector


def three(x: Any) -> Any:
    """Return three sums over all arguments."""
    return np.stack(
        [np.sum(np.sin(x) * x), np.sum(np.exp(-x * x)), np.sum(np.tanh(x[1:] * x[:-1]))]
    )
