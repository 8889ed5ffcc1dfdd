"""A game of two players: one lowers what the other raises, knowing that the other will.

The answer of the second player is found by gradient ascent; the first descends along the gradient of
what that leaves, which is a derivative through derivatives. Loops are operations (``tg.fori_loop``).
"""

from typing import Any

import numpy as np

import tapegrad as tg

STEPS, RATE = 20, 0.1


def payoff(first: Any, second: Any) -> Any:
    """Return what the first player pays to the second."""
    return np.sum(first * first) - np.sum(second * second) + 0.5 * np.sum(np.sin(first) * second)


def answered(first: Any, second: Any) -> Any:
    """Return the payoff after the second player has done what is best for them."""

    def ascend(_: Any, second: Any) -> Any:
        return second + RATE * tg.grad(payoff, argnums=1)(first, second)

    return payoff(first, tg.fori_loop(0, STEPS, ascend, second))


def played(first: Any, second: Any) -> Any:
    """Return where the first player goes."""

    def descend(_: Any, first: Any) -> Any:
        return first - RATE * tg.grad(answered)(first, second)

    return tg.fori_loop(0, STEPS, descend, first)


def data(n: int) -> tuple[Any, ...]:
    """Return where the players start."""
    rng = np.random.default_rng(0)
    return rng.normal(size=n), rng.normal(size=n)
