"""What the rules of primitives with any number of arguments share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.core.types import Array

__all__ = ["filled", "in_front"]


def in_front(args: Sequence[Array], batched: Sequence[bool], size: int) -> list[Any]:
    """Give every argument the batch axis in front, which the `batched` ones have."""
    return [a if b else np.broadcast_to(a, (size, *np.shape(a))) for a, b in zip(args, batched)]


def filled(tangents: Any, xs: Array) -> list[Any]:
    """Replace the tangents that are None by zeros of their arguments' shapes."""
    return [np.zeros(x.shape, dtype=x.dtype) if t is None else t for t, x in zip(tangents, xs)]
