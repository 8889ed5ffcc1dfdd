"""All formulas, by the names of NumPy's ufuncs."""

from tapegrad.compile.backends.llvm.vecmath import (
    algebraic,
    exponential,
    inverse,
    logarithmic,
    trigonometric,
)
from tapegrad.compile.backends.llvm.vecmath.emit import Formula

__all__ = ["FORMULAS"]

#: The formula of each function, and its number of arguments.
FORMULAS: dict[str, tuple[Formula, int]] = {
    **algebraic.FORMULAS,
    **exponential.FORMULAS,
    **inverse.FORMULAS,
    **logarithmic.FORMULAS,
    **trigonometric.FORMULAS,
}
