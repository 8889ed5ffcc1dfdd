"""What slots of primitives hold: how reductions and recurrences are computed, what pullbacks need."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Kept", "Recurrence", "Reduction"]


class Reduction(NamedTuple):
    """How a reduction is computed from one element after another, so that kernels can do it.

    Attributes
    ----------
    combine : str
        NumPy's name of the ufunc that combines two numbers, in any order.
    initial : float
        What it starts from.
    each : str
        Kernel text of what is combined, for an element ``x``.
    finish : str
        Kernel text of the result, for a total ``x``.
    safe : str
        Kernel text of whether a total ``x`` is good, if that is not certain. The elements of one that is
        not are divided by the greatest of their magnitudes, and the result is multiplied by it, which
        must make no other difference. Only rows of an array, which lie in the cache, are computed so.
    rounding : str
        "none" if every order gives the same; "blocks" if long reductions are to be made of short ones,
        so that errors stay small; "wide" if these are moreover combined in float64.
    """

    combine: str
    initial: float
    each: str = "x"
    finish: str = "x"
    safe: str = ""
    rounding: str = "none"


class Recurrence(NamedTuple):
    """How an element follows from the one before it.

    Attributes
    ----------
    start, step : str
        The first element, and any other from ``t``, the one before; operands are ``{x}``, ``{y}``,
        ``{z}``.
    operands : int
        How many there are.
    """

    start: str
    step: str
    operands: int


class Kept(NamedTuple):
    """How a primitive is applied where its pullback is to be asked for.

    Attributes
    ----------
    params : dict
        Parameters with which it gives further results, which the pullback needs.
    rule_params : dict
        Parameters for `pull_all`, which finds these results in ``y``.
    asked : int
        How many of the results are those that were asked for.
    first : int
        The results from here on are what the pullback needs.
    """

    params: dict[str, Any]
    rule_params: dict[str, Any]
    asked: int
    first: int
