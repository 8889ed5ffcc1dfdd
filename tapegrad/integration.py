"""Ordinary differential equations: ``odeint``.

The method is that of Dormand and Prince, of order 5 with an error estimate of order 4; between the
steps the solution is the polynomial of order 4 of Hairer, Nørsett and Wanner (Solving Ordinary
Differential Equations I, second edition, sections II.4 to II.6, whose coefficients these are).
Derivatives go through the steps that were taken; how long the steps are is no function of anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapegrad.integration_values import float_of, joined, of_dtype, parted, plain, shown, value_of
from tapegrad.ops import stop_gradient
from tapegrad.tape.core.pytree import flatten, flatten_like, unflatten
from tapegrad.tape.transforms.transformed import spelled

__all__ = ["odeint"]

_TIMES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_DENSE = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


class _Step(NamedTuple):
    """An accepted step: where it starts, how long it is, and the polynomial in between."""

    start: Any
    length: Any
    terms: tuple[Any, ...]

    def at(self, t: Any) -> Any:
        """Return the solution at a time inside the step."""
        y, a, b, c, d = self.terms
        s = of_dtype((t - self.start) / self.length, y.dtype)
        return y + s * (a + (1 - s) * (b + s * (c + (1 - s) * d)))


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: int = 100_000,
) -> Any:
    """Solve the initial value problem ``dy/dt = func(y, t, *args)``.

    Parameters
    ----------
    func : callable
        ``func(y, t, *args)`` returns dy/dt, of the structure and shapes of y.
    y0 : array or nest of arrays
        The value at the time ``t[0]``.
    t : array
        The times at which the solution is wanted, in increasing or in decreasing order.
    *args
        Further arguments of `func`.
    rtol, atol : float
        The error of each step is kept below ``atol + rtol * |y|``, in the mean over the elements.
    mxstep : int
        The greatest number of steps.

    Returns
    -------
    array or nest
        The solution at each of the times, along a new first axis.

    Raises
    ------
    RuntimeError
        If it takes more steps, or steps too short for the time to go on.

    Notes
    -----
    It has derivatives by `y0`, by `args`, by `t`, and by what `func` reads from outside. They are
    those of the numerical solution: of the steps, whose lengths count as constants. Reverse mode keeps
    the residuals of all steps; put :func:`tapegrad.checkpoint` around pieces of the time, to keep
    less.

    Under ``jit``, that a step was accepted is a guard: calls that take other steps are recorded anew.
    Batches are solved one by one.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> decay = lambda y, t, rate: -rate * y
    >>> y = tg.odeint(decay, 1.0, np.array([0.0, 1.0]), 2.0)
    >>> bool(np.isclose(y[1], np.exp(-2.0)))
    True
    >>> slope = tg.grad(lambda rate: tg.odeint(decay, 1.0, np.array([0.0, 1.0]), rate)[1])(2.0)
    >>> bool(np.isclose(slope, -np.exp(-2.0)))
    True
    """
    if not callable(func):
        raise TypeError(f"odeint: func must be a function, not {type(func).__name__}")
    leaves, structure = flatten(y0)
    parts = [float_of(leaf) for leaf in leaves]
    times = float_of(t)
    if times.ndim != 1 or not times.shape[0]:
        raise ValueError(f"odeint: t must be a sequence of times, and has shape {times.shape}")
    shapes = [part.shape for part in parts]
    y = joined(parts)
    what = f"odeint: {spelled(func)} must return what y0 is"

    def slope(y: Any, t: Any) -> Any:
        given = unflatten(structure, parted(y, shapes))
        found = [value_of(p) for p in flatten_like(structure, func(given, t, *args), what)]
        for part, shape in zip(found, shapes):
            if part.shape != shape:
                raise ValueError(f"{what}; it has shape {part.shape}, not {shape}")
        return of_dtype(joined(found), y.dtype)

    solution = _solved(slope, y, times, rtol, atol, mxstep)
    columns = zip(*(parted(row, shapes) for row in solution))
    return unflatten(structure, [np.stack(column) for column in columns])


def _solved(
    slope: Callable[[Any, Any], Any], y: Any, times: Any, rtol: float, atol: float, mxstep: int
) -> list[Any]:
    """Return the solution at each of the times."""
    count = times.shape[0]
    out = [y]
    if count == 1 or not y.size:
        return out * count
    forward = bool(times[-1] >= times[0])
    sign = 1.0 if forward else -1.0
    if not bool(np.all((times[1:] - times[:-1]) * sign >= 0)):
        raise ValueError("odeint: the times must be in increasing or in decreasing order")
    end = times[-1]
    now, k = times[0], slope(y, times[0])
    length = _first_length(slope, y, now, k, sign, rtol, atol)
    step: _Step | None = None
    taken = 0
    for i in range(1, count):
        wanted = times[i]
        while bool((wanted - now) * sign > _resolution(now, wanted)):
            if taken == mxstep:
                raise RuntimeError(f"odeint: more than mxstep={mxstep} steps, at t={shown(now)}")
            taken += 1
            left = plain((end - now) * sign)
            length = left if bool(length >= left) else length
            signed = length * sign
            new, last, error, terms = _tried(slope, y, now, k, signed)
            ratio = plain(_size(error, y, new, rtol, atol))
            if bool(ratio <= 1):
                step = _Step(now, signed, terms)
                y, now, k = new, now + signed, last
                length = length * _factor(ratio, 10.0)
                continue
            length = length * (_factor(ratio, 1.0) if bool(np.isfinite(ratio)) else 0.2)
            if bool(length <= _resolution(now, now)):
                raise RuntimeError(
                    f"odeint: the steps become too short at t={shown(now)}: the solution or its "
                    "derivative jumps, or is not finite"
                )
        out.append(out[-1] if step is None else step.at(wanted))
    return out


def _tried(
    slope: Callable[[Any, Any], Any], y: Any, t: Any, k: Any, length: Any
) -> tuple[Any, Any, Any, tuple[Any, ...]]:
    """Return what a step leads to, the slope there, the error, and the terms of the polynomial."""
    h = of_dtype(length, y.dtype)
    slopes = [k]
    new = y
    for time, weights in zip(_TIMES[1:], _STAGES[1:]):
        new = y + h * _weighted(weights, slopes)
        slopes.append(slope(new, t + time * length))
    first, last = h * slopes[0], h * slopes[-1]
    difference = new - y
    bent = first - difference
    terms = (y, difference, bent, difference - last - bent, h * _weighted(_DENSE, slopes))
    return new, slopes[-1], h * _weighted(_ERROR, slopes), terms


def _weighted(weights: tuple[float, ...], slopes: list[Any]) -> Any:
    parts = [w * k for w, k in zip(weights, slopes) if w]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _size(error: Any, y: Any, new: Any, rtol: float, atol: float) -> Any:
    """Return the size of an error, where 1 is what is allowed."""
    allowed = atol + rtol * np.maximum(np.abs(y), np.abs(new))
    return np.sqrt(np.mean((stop_gradient(error) / stop_gradient(allowed)) ** 2))


def _factor(ratio: Any, most: float) -> Any:
    """Return by how much the next step may be longer."""
    return np.minimum(most, np.maximum(0.2, 0.9 * np.maximum(ratio, 1e-10) ** -0.2))


def _first_length(
    slope: Callable[[Any, Any], Any],
    y: Any,
    t: Any,
    k: Any,
    sign: float,
    rtol: float,
    atol: float,
) -> Any:
    """Guess the length of the first step (Hairer, Nørsett and Wanner, section II.4)."""
    y, t, k = plain(y), plain(t), plain(k)
    allowed = atol + rtol * np.abs(y)
    size, speed = (np.sqrt(np.mean((v / allowed) ** 2)) for v in (y, k))
    short = bool(size < 1e-5) or bool(speed < 1e-5)
    length = 1e-6 if short else 0.01 * size / speed
    there = plain(slope(y + of_dtype(sign * length, y.dtype) * k, t + sign * length))
    bend = np.sqrt(np.mean(((there - k) / allowed) ** 2)) / length
    most = np.maximum(speed, bend)
    if bool(most <= 1e-15):
        return np.maximum(1e-6, length * 1e-3)
    return np.minimum(100 * length, (0.01 / most) ** 0.2)


def _resolution(a: Any, b: Any) -> Any:
    """Return the time that is too short to go on."""
    return 8 * np.finfo(np.float64).eps * np.maximum(np.abs(plain(a)), np.abs(plain(b)))
