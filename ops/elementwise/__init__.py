"""Operations on elements: arithmetic, comparisons, choice."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.elementwise import (
    choice,
    comparisons,
    elementwise,
    logistic,  # noqa: F401  # registers what it declares
)
from tapegrad.ops.elementwise.choice import *
from tapegrad.ops.elementwise.comparisons import *
from tapegrad.ops.elementwise.elementwise import *

__all__: list[str] = []
__all__ += choice.__all__
__all__ += comparisons.__all__
__all__ += elementwise.__all__
