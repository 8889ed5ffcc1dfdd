"""A charged particle that two charges push as it falls: where one of them must be for it to hit zero.

The force is the derivative of a potential; the flight is a loop until the particle is below ground; and
Newton's method asks for first and second derivatives of where it lands, by forward mode twice.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapegrad as tg

STEP = 0.1


def potential(place: Any, control: Any) -> Any:
    """Return the potential of a charge that is controlled, and of another."""
    charges = np.stack([np.stack([10.0 + 0.0 * control, 10.0 - control]), np.array([10.0, 0.0])])
    apart = place - charges
    return np.sum(1 / np.sqrt(np.sum(apart * apart, axis=1)))


def landing(control: Any) -> Any:
    """Return the square of where the particle meets the ground."""

    def flies(state: Any) -> Any:
        return state[0][1] > 0

    def fly(state: Any) -> Any:
        place, speed = state
        force = -tg.jacfwd(potential)(place, control)
        return place + STEP * speed, speed + STEP * force

    start = np.array([0.0, 8.0]) + 0.0 * control, np.array([0.75, 0.0]) + 0.0 * control
    place, speed = tg.while_loop(flies, fly, start)
    beyond = place[1] / speed[1]  # how long ago it crossed the ground
    return (place[0] - beyond * speed[0]) ** 2


def newton(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives Newton's next point."""

    def slope(x: Any) -> Any:
        return library.jvp(function, (x,), (np.ones_like(x),))[1]

    def after(x: Any) -> Any:
        first, second = library.jvp(slope, (x,), (np.ones_like(x),))
        return x - first / second

    return after


def data(control: float) -> tuple[Any, ...]:
    """Return where the charge is at first."""
    return (np.array(control),)
