"""What combines elements along axes: sums, extremes, statistics, running sums."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.reduce import numpy_reductions, reductions
from tapegrad.ops.reduce.numpy_reductions import *
from tapegrad.ops.reduce.reductions import *

__all__: list[str] = []
__all__ += numpy_reductions.__all__
__all__ += reductions.__all__
