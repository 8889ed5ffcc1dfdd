"""Products, contractions, norms, polynomials, and calculus on samples."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.algebra import (
    calculus,
    contraction,
    linear,
    norms,  # noqa: F401  # registers what it declares
    polynomials,
)
from tapegrad.ops.algebra.calculus import *
from tapegrad.ops.algebra.contraction import *
from tapegrad.ops.algebra.linear import *
from tapegrad.ops.algebra.polynomials import *

__all__: list[str] = []
__all__ += calculus.__all__
__all__ += contraction.__all__
__all__ += linear.__all__
__all__ += polynomials.__all__
