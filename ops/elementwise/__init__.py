"""Operations on elements: arithmetic, comparisons, choice."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.elementwise import (
    choice,
    comparisons,
    complex_parts,
    compositions,
    elementwise,
    maxima,
)
from tapegrad.ops.elementwise.choice import *
from tapegrad.ops.elementwise.comparisons import *
from tapegrad.ops.elementwise.complex_parts import *
from tapegrad.ops.elementwise.compositions import *
from tapegrad.ops.elementwise.elementwise import *
from tapegrad.ops.elementwise.logistic import stop_gradient
from tapegrad.ops.elementwise.maxima import *

__all__ = ["stop_gradient"]
__all__ += choice.__all__
__all__ += comparisons.__all__
__all__ += complex_parts.__all__
__all__ += compositions.__all__
__all__ += elementwise.__all__
__all__ += maxima.__all__
