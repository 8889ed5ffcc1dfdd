"""Choosing between values: ``where``, ``clip``, ``select``, ``nan_to_num``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor, delivered, operand
from tapegrad.ops.elementwise.elementwise import MISSING, positive, where_p
from tapegrad.ops.elementwise.maxima import maximum, minimum
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.floats import Float, weakened
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["clip", "nan_to_num", "select", "where"]


@implements(np.where)
def where(
    condition: ArrayLike, x: ArrayLike = MISSING, y: ArrayLike = MISSING, *,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Choose from `x` where the condition holds and from `y` elsewhere.

    Parameters
    ----------
    condition : array_like of bool
        Never gets a gradient.
    x, y : array_like, optional
        Without them, the result is a tuple of index arrays: where the condition holds.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, or tuple of ndarray
        The chosen elements; with the condition alone the indices at which it holds.

    Raises
    ------
    ValueError
        If only one of `x` and `y` is given.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, -2.0, 3.0])
    >>> tg.where(x > 0, x, 0.0)
    Tensor([1., 0., 3.])
    """
    if x is MISSING and y is MISSING:
        return functions[np.nonzero](condition)
    if x is MISSING or y is MISSING:
        raise ValueError("either both or neither of x and y should be given")
    choices = (operand(x), operand(y))
    if Float in map(type, choices):
        choices = weakened(_resolve_choice, choices)
    return apply(where_p, (operand(condition), *choices), {}, constant)


def _resolve_choice(kinds: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the dtypes in which two choices are taken: Python's numbers do not widen."""
    x, y, _ = ({float: 0.0, int: 0}.get(k, k) for k in kinds)
    dtype = np.result_type(x, y)
    return dtype, dtype


def clip(
    a: ArrayLike, a_min: Any, a_max: Any, out: Any = None, *, constant: bool | None = None
) -> Array:
    """Limit values to an interval: ``minimum(a_max, maximum(a, a_min))``.

    The gradient of what lies beyond a bound flows to the bound. At a bound both share it evenly, but
    ``backward()`` gives neither any.

    Parameters
    ----------
    a : array_like
        Values.
    a_min, a_max : array_like or None
        Bounds; None is no bound.
    out : Tensor or ndarray, optional
        Where the result is written to.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        The limited values.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.clip([-1.0, 0.5, 2.0], 0.0, 1.0)
    Tensor([0. , 0.5, 1. ])
    """
    result = operand(a)
    boolean = getattr(getattr(result, "dtype", None), "kind", "") == "b"
    if boolean and a_min is not None and a_max is not None:
        # With booleans, the dtype of all three is not that of the first two and the third.
        kinds = [b if type(b) in (int, float) else operand(b).dtype for b in (a_min, a_max)]
        result = functions["cast"](as_tensor(result), np.result_type(bool, *kinds))
    if a_min is not None:
        result = maximum(result, a_min, constant=None if a_max is not None else constant)
    if a_max is not None:
        result = minimum(a_max, result, constant=constant)
    if a_min is None and a_max is None:
        result = positive(result, constant=constant)
    return delivered(result, out, "clip")


@implements(np.clip)
def _np_clip(
    a: ArrayLike, a_min: Any = None, a_max: Any = None, out: Any = None, *,
    min: Any = None, max: Any = None, constant: bool | None = None,
) -> Array:  # fmt: skip
    return clip(
        a, min if a_min is None else a_min, max if a_max is None else a_max, out, constant=constant
    )


@implements(np.nan_to_num)
def nan_to_num(
    x: ArrayLike, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None, *,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Replace nan and infinities by numbers; no gradient flows through what was replaced.

    Parameters
    ----------
    x : array_like
        Values.
    copy : bool
        ``False`` writes the result into `x`.
    nan, posinf, neginf : float, optional
        What replaces nan (0), inf (the greatest finite number) and -inf (the least).
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nan_to_num([1.0, float("nan")])
    Tensor([1., 0.])
    """
    x = as_tensor(x)
    if x.dtype.kind != "f":
        return positive(x, constant=constant) if x.dtype.kind != "b" else x
    limits = np.finfo(x.dtype)
    result = where(np.isnan(x), nan, x)
    result = where(x == np.inf, float(limits.max) if posinf is None else posinf, result)
    low = float(limits.min) if neginf is None else neginf
    result = where(x == -np.inf, low, result, constant=constant)
    return result if copy else delivered(result, x, "nan_to_num")


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Array:
    """Choose from the first of several arrays whose condition holds.

    Parameters
    ----------
    condlist : sequence of array_like of bool
    choicelist : sequence of array_like
        As many as conditions.
    default : array_like
        Where no condition holds.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 5.0])
    >>> tg.select([x > 2], [x], 0.0)
    Tensor([0., 5.])
    """
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    result = operand(default)
    for condition, choice in reversed(list(zip(condlist, choicelist))):
        result = where(condition, choice, result)
    return result
