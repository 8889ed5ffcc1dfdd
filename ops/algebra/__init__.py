"""Products, contractions, norms, polynomials, and calculus on samples."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.algebra import linear
from tapegrad.ops.algebra.linear import *

__all__: list[str] = []
__all__ += linear.__all__
