"""NumPy's functions that make arrays, ask about them, or call other functions."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.numpy import (
    callbacks,
    conversions,  # noqa: F401  # these register what they declare
    creation,
    elementwise_calls,  # noqa: F401
    grids,  # noqa: F401
    inspection,  # noqa: F401
    methods,  # noqa: F401
    queries,
)
from tapegrad.ops.numpy.callbacks import *
from tapegrad.ops.numpy.creation import *
from tapegrad.ops.numpy.queries import *

__all__: list[str] = []
__all__ += callbacks.__all__
__all__ += creation.__all__
__all__ += queries.__all__
