"""Elementary functions that LLVM vectorises inside a kernel's loop: no calls, no branches.

Numba has no vector mathematics library, so one `np.exp` in a loop keeps the whole loop scalar.
`lookup` gives, for the name of a NumPy ufunc and a dtype, a function to be called in compiled code
in its place. Only `compile/` imports this package, and only when something is compiled.

    exp = lookup("exp", "float64")

    @numba.njit(error_model="numpy")
    def kernel(x, out):
        for i in range(x.size):
            out[i] = exp(x[i])

The functions are Numba intrinsics: they write their instructions into the caller (`emit.py`).
They need a processor with fused multiply-add and a caller without fast-math flags.
Accuracy, speed and compile times are in `docs/vecmath.md`.
"""

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

__all__ = ["LIMITS", "NAMES", "ULPS", "lookup"]

# name: (formula, number of arguments)
_FORMULAS: dict[str, tuple[Formula, int]] = {
    **algebraic.FORMULAS,
    **exponential.FORMULAS,
    **inverse.FORMULAS,
    **logarithmic.FORMULAS,
    **trigonometric.FORMULAS,
}

NAMES = frozenset(_FORMULAS)

# These functions are right only for |x| up to the limit; nan and inf give nan as they should.
LIMITS = {
    (name, f"float{bits}"): limit
    for bits, limit in trigonometric.LIMITS.items()
    for name in trigonometric.FORMULAS
}

# Largest distance from the exact result in units in the last place of it. For logaddexp and
# logaddexp2 the unit is that of the largest of |x|, |y| and the result.
ULPS = {
    **dict.fromkeys(_FORMULAS, 0.0),
    **dict.fromkeys(("sqrt", "square", "reciprocal"), 0.5),
    **dict.fromkeys(("log", "log1p", "log2", "log10", "arcsinh", "arccosh", "arctanh"), 1.0),
    **dict.fromkeys(("sin", "cos", "exp2", "cbrt"), 1.0),
    **dict.fromkeys(("exp", "expm1", "tan", "tanh", "cosh", "arccos", "hypot"), 1.5),
    **dict.fromkeys(("sinh", "arcsin", "arctan", "arctan2", "power"), 2.0),
    **dict.fromkeys(("logaddexp", "logaddexp2"), 3.0),
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
    if name not in _FORMULAS or dtype not in ("float64", "float32"):
        return None
    formula, arity = _FORMULAS[name]
    return as_intrinsic(formula, arity, int(dtype[-2:]), name)
