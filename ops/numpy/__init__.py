"""NumPy's functions that make arrays, ask about them, or call other functions."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.numpy import creation, queries
from tapegrad.ops.numpy.creation import *
from tapegrad.ops.numpy.queries import *

__all__: list[str] = []
__all__ += creation.__all__
__all__ += queries.__all__
