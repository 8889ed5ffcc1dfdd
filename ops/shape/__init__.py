"""What moves elements: views, indices, joins, selections, writes."""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops.shape import (
    indexing,  # noqa: F401  # registers what it declares
    views,
)
from tapegrad.ops.shape.views import *

__all__: list[str] = []
__all__ += views.__all__
