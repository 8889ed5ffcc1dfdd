"""What the primitives of control flow do with plain arrays around the programs that they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["apart", "chosen", "examples"]


def apart(results: Sequence[Any], operands: Sequence[Any]) -> tuple[Any, ...]:
    """Return results as arrays of their own: a program may return what it was given."""
    own: list[Any] = []
    for result in map(np.asarray, results):
        shared = any(np.may_share_memory(result, o) for o in (*operands, *own))
        own.append(result.copy() if shared else result)
    return tuple(own)


def examples(operand: Any, flags: Any) -> Any:
    """Return the examples that are flagged, and the first of these in place of the others.

    So an example that goes another way never gets into a program, nor into its derivatives.
    """
    rows = np.reshape(operand, (flags.size, *np.shape(operand)[flags.ndim :]))
    index = np.where(flags.ravel(), np.arange(flags.size), np.argmax(flags))
    return np.reshape(rows[index], np.shape(operand))


def chosen(flags: Any, one: Any, other: Any) -> Any:
    """Return `one` for the examples that are flagged, and `other` elsewhere."""
    return np.where(np.reshape(flags, flags.shape + (1,) * (np.ndim(one) - flags.ndim)), one, other)
