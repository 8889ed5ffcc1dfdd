"""How functions of NumPy's become functions of the standard, which return tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor

__all__ = ["adopt", "as_tensors", "on_cpu"]


def as_tensors(result: Any) -> Any:
    """Return a result with constants in the place of arrays, and tuples in that of lists."""
    if isinstance(result, np.ndarray | np.generic):
        return Tensor(result, constant=True, copy=False)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*map(as_tensors, result))
    if isinstance(result, tuple | list):
        return tuple(map(as_tensors, result))
    return result


def on_cpu(device: Any) -> None:
    """Refuse any device but the one that there is."""
    if device is not None and device != "cpu":
        raise ValueError(f"tensors are on the device 'cpu', not on {device!r}")


def adopt(function: Callable[..., Any], name: str, signature: str) -> Callable[..., Any]:
    """Return a function of the standard that does what one of NumPy's does for tensors.

    Parameters
    ----------
    function : callable
        NumPy's.
    name : str
        The standard's name.
    signature : str
        The standard's parameters, as text.
    """

    def adopted(*args: Any, **kwargs: Any) -> Any:
        return as_tensors(function(*args, **kwargs))

    adopted.__name__ = adopted.__qualname__ = name
    adopted.__module__ = "tapegrad.array_api"
    adopted.__doc__ = f"What NumPy's ``{function.__name__}`` does, by the array API standard."
    parameters = inspect.signature(eval(f"lambda {signature}: None"))
    adopted.__signature__ = parameters  # type: ignore[attr-defined]
    return adopted
