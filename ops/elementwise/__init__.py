"""Operations on elements: arithmetic, comparisons, choice."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.elementwise import (
    choice,
    comparisons,
    elementwise,
    exponents,  # noqa: F401  # registers what it declares
    logistic,  # noqa: F401  # registers what it declares
    special,  # noqa: F401  # finds functions of SciPy's
)
from tapegrad.ops.elementwise.choice import *
from tapegrad.ops.elementwise.comparisons import *
from tapegrad.ops.elementwise.elementwise import *

__all__: list[str] = []
__all__ += choice.__all__
__all__ += comparisons.__all__
__all__ += elementwise.__all__
