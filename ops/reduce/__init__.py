"""What combines elements along axes: sums, extremes, statistics, running sums."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.reduce import (
    nan_reductions,
    numpy_reductions,
    quantiles,
    reductions,
    running,
    statistics,
)
from tapegrad.ops.reduce.nan_reductions import *
from tapegrad.ops.reduce.numpy_reductions import *
from tapegrad.ops.reduce.quantiles import *
from tapegrad.ops.reduce.reductions import *
from tapegrad.ops.reduce.running import *
from tapegrad.ops.reduce.statistics import *

__all__: list[str] = []
__all__ += nan_reductions.__all__
__all__ += numpy_reductions.__all__
__all__ += quantiles.__all__
__all__ += reductions.__all__
__all__ += running.__all__
__all__ += statistics.__all__
