"""States of optimisers as plain dicts, under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["named", "restored"]

#: What PyTorch calls the fields of states; others keep their name.
_NAMES = {
    "ScaleByScheduleState": {"count": "step"},
    "TraceState": {"trace": "momentum_buffer"},
    "ScaleByAdamState": {"count": "step", "mu": "exp_avg", "nu": "exp_avg_sq"},
    "ScaleByAmsgradState": {
        "count": "step", "mu": "exp_avg", "nu": "exp_avg_sq", "nu_max": "max_exp_avg_sq",
    },
    "ScaleByRmsState": {"nu": "square_avg", "mu": "grad_avg"},
    "ScaleByRssState": {"sum_of_squares": "sum"},
    "ScaleByLionState": {"mu": "exp_avg"},
}  # fmt: skip


def named(state: Any) -> dict[str, Any]:
    """Return the arrays of a state by name, copied; counts as integers.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> named(tg.optim.sgd(0.1, momentum=0.9).init(np.zeros(2)))
    {'momentum_buffer': array([0., 0.])}
    """
    found: dict[str, Any] = {}
    for name, value in _fields(state):
        if isinstance(value, tuple):
            found.update(named(value))
        elif value is not None:
            array = np.array(value)
            found[name] = int(array) if array.dtype.kind in "iu" and not array.ndim else array
    return found


def restored(state: Any, found: dict[str, Any], what: str) -> Any:
    """Return a state like another one, with what is found under its names.

    Raises
    ------
    ValueError
        If something is missing or has another shape; the message begins with `what`.
    """
    values = [_restored(name, value, found, what) for name, value in _fields(state)]
    return type(state)(*values) if hasattr(state, "_fields") else tuple(values)


def _restored(name: str, value: Any, found: dict[str, Any], what: str) -> Any:
    if isinstance(value, tuple):
        return restored(value, found, what)
    if value is None:
        return None
    if found.get(name) is None:
        raise ValueError(f"{what} has no {name!r}")
    model = np.asarray(value)
    array = np.array(found[name], dtype=model.dtype)
    if array.shape != model.shape:
        raise ValueError(f"{what}: {name!r} has shape {array.shape}, and should have {model.shape}")
    return array[()]


def _fields(state: Any) -> list[tuple[str, Any]]:
    """Return the parts of a state, and what they are called."""
    fields = getattr(state, "_fields", None)
    if fields is None:
        return [("", part) for part in state]
    names = _NAMES.get(type(state).__name__, {})
    return [(names.get(field, field), getattr(state, field)) for field in fields]
