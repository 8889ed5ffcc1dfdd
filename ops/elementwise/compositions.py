"""Elementwise functions that take a few lines: sinc, several results, sums and products of many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import Ufunc, as_tensor, numpy_source, operand
from tapegrad.ops.elementwise.elementwise import (
    MISSING,
    _both,
    add,
    copysign,
    elementwise,
    multiply,
)
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["add_sequence", "divmod", "modf", "multiply_sequence", "sinc"]

# sinc --------------------------------------------------------------------------------------------

# Coefficients in u**2 of the derivative of sin(u)/u, divided by u: it is exact below u = 1.
_SINC = [(-1.0) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(1, 12)]


def _sinc_slope(x: Array) -> Any:
    """The derivative of sinc; a power series where the closed form cancels."""
    u = math.pi * x
    near = np.abs(u) < 1
    small = np.where(near, u, 0.0)
    far = np.where(near, 1.0, u)
    squared = small * small
    series: Any = _SINC[-1]
    for c in _SINC[-2::-1]:
        series = series * squared + c
    closed = (np.cos(far) - np.sin(far) / far) / far
    return math.pi * np.where(near, series * small, closed)


sinc_p = elementwise(
    "sinc",
    np.sinc,
    (lambda g, y, x: g * _sinc_slope(x),),
    None,
    source=numpy_source("sinc"),
    takes_complex=True,
)


@implements(np.sinc)
def sinc(a: ArrayLike = MISSING, *, x: ArrayLike = MISSING, constant: bool | None = None) -> Array:
    """Return ``sin(pi * a) / (pi * a)``, which is 1 at 0; its gradient there is 0.

    Parameters
    ----------
    a : array_like
        Operand.
    x : array_like
        NumPy's name of the operand.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Of the shape of the argument.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.sinc(0.0)
    Tensor(1.)
    """
    return apply(sinc_p, (operand(x if a is MISSING else a),), {}, constant)


# Several results, or operands ----------------------------------------------------------------------


@implements(np.modf)
def modf(x: ArrayLike, *, out: Any = None, constant: bool | None = None) -> tuple[Any, Any]:
    """Split into a fractional and an integral part, both with the sign of the operand.

    Parameters
    ----------
    x : array_like
    out : tuple, optional
        Where the two results are written to.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    fraction, integer : Tensor, ndarray

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.modf(2.5)[0]
    Tensor(0.5)
    """
    x = as_tensor(x)
    x = functions["cast"](x, np.modf.resolve_dtypes((x.dtype, None, None))[0])
    whole = np.trunc(x)
    fraction = copysign(np.where(np.isinf(x), 0.0, x - whole), x, constant=constant)
    return _both((fraction, whole), out, "modf")


@implements(np.divmod)
def divmod(x1: ArrayLike, x2: ArrayLike, *, out: Any = None) -> tuple[Any, Any]:
    """Return ``(floor_divide(x1, x2), remainder(x1, x2))``.

    Parameters
    ----------
    x1, x2 : array_like
    out : tuple, optional
        Where the two results are written to.

    Returns
    -------
    quotient, remainder : ndarray, Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.divmod(tg.tensor(7.0), 2.0)[1]
    Tensor(1.)
    """
    quotient, rest = functions[np.floor_divide](x1, x2), functions[np.remainder](x1, x2)
    return _both((quotient, rest), out, "divmod")


def add_sequence(*variables: Any, constant: bool | None = None) -> Array:
    """Sum two or more arrays, with broadcasting.

    Parameters
    ----------
    *variables : array_like
        Two or more arrays.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        The sum.

    Raises
    ------
    ValueError
        For fewer than two.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.add_sequence(1.0, 2.0, [3.0, 4.0])
    Tensor([6., 7.])
    """
    return _fold(add, "add_sequence", variables, constant)


def multiply_sequence(*variables: Any, constant: bool | None = None) -> Array:
    """Multiply two or more arrays, with broadcasting; the gradients are right at zeros.

    Parameters
    ----------
    *variables : array_like
        Two or more arrays.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        The product.

    Raises
    ------
    ValueError
        For fewer than two.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.multiply_sequence(2.0, 3.0, [4.0, 5.0])
    Tensor([24., 30.])
    """
    return _fold(multiply, "multiply_sequence", variables, constant)


def _fold(function: Ufunc, name: str, variables: tuple[Any, ...], constant: bool | None) -> Any:
    if len(variables) < 2:
        raise ValueError(f"{name} takes at least two arrays, not {len(variables)}")
    result = variables[0]
    for v in variables[1:-1]:
        result = function(result, v)
    return function(result, variables[-1], constant=constant)
