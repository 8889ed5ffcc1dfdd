"""All formulas, and the functions for compiled code that are made of them."""

from collections.abc import Callable
from functools import cache

from tapegrad.compile.backends.numba.vecmath import (
    algebraic,
    exponential,
    inverse,
    logarithmic,
    trigonometric,
)
from tapegrad.compile.backends.numba.vecmath.emit import Formula, as_intrinsic

__all__ = ["FORMULAS", "lookup"]

#: The formula of each function, and its number of arguments.
FORMULAS: dict[str, tuple[Formula, int]] = {
    **algebraic.FORMULAS,
    **exponential.FORMULAS,
    **inverse.FORMULAS,
    **logarithmic.FORMULAS,
    **trigonometric.FORMULAS,
}


@cache
def lookup(name: str, dtype: str) -> Callable | None:
    """Return the vectorising form of a ufunc, to be called in compiled code.

    Parameters
    ----------
    name : str
        The name of a NumPy ufunc.
    dtype : str
        'float64' or 'float32', the type of the result; arguments are converted to it.

    Returns
    -------
    intrinsic or None
        None if there is no vectorising form.
    """
    if name not in FORMULAS or dtype not in ("float64", "float32"):
        return None
    formula, arity = FORMULAS[name]
    return as_intrinsic(formula, arity, int(dtype[-2:]), name)
