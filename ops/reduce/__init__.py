"""What combines elements along axes: sums, extremes, statistics, running sums."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.reduce import reductions
from tapegrad.ops.reduce.reductions import *

__all__: list[str] = []
__all__ += reductions.__all__
