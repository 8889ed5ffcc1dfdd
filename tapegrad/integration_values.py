"""What ``odeint`` does with values of its own and of traces: vectors of nests, and plain times."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops import stop_gradient
from tapegrad.tape import Tensor
from tapegrad.tape.transforms.values import as_value

__all__ = ["float_of", "joined", "of_dtype", "parted", "plain", "shown", "value_of"]


def plain(value: Any) -> Any:
    """Return a value that no derivative flows through, on any level."""
    while isinstance(value, Tensor):
        new = stop_gradient(value)
        if isinstance(new, Tensor) and new.live_trace is value.live_trace:
            return new if new.live_trace.level else new.data
        value = new
    return value


def shown(t: Any) -> str:
    return f"{plain(t)}"


def of_dtype(value: Any, dtype: Any) -> Any:
    """Return a value in the dtype of the solution; Python's numbers have none."""
    if type(value) is float:
        return value
    value = value if isinstance(value, Tensor) else np.asarray(value)
    return value if value.dtype == dtype else value.astype(dtype)


def value_of(leaf: Any) -> Any:
    return as_value(leaf, "odeint")


def float_of(leaf: Any) -> Any:
    value = value_of(leaf)
    return value if value.dtype.kind == "f" else value.astype(float)


def joined(parts: list[Any]) -> Any:
    """Return arrays as one vector."""
    rows = [np.reshape(part, (-1,)) for part in parts]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def parted(y: Any, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Return the arrays that a vector is made of."""
    out = []
    start = 0
    for shape in shapes:
        stop = start + int(np.prod(shape, dtype=np.int64))
        part = np.reshape(y[start:stop], shape)
        out.append(part[()] if type(part) is np.ndarray and not shape else part)
        start = stop
    return out
