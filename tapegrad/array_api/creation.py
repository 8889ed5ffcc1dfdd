"""Creating arrays by the standard: float64 by default, on the one device."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.array_api.adopting import as_tensors, on_cpu
from tapegrad.ops.declare import conversion
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions

__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace",
    "ones", "ones_like", "zeros", "zeros_like",
]  # fmt: skip


def _new(array: Any, device: Any) -> Tensor:
    on_cpu(device)
    return Tensor(array, copy=False)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """Return numbers, nested sequences, buffers or arrays as a tensor.

    Parameters
    ----------
    obj : array_like
        What is a tensor stays in its graph, copied or not.
    dtype : dtype, optional
    device : {'cpu'}, optional
    copy : bool, optional
        ``False`` raises where a copy would be needed; by default one is made if it is.

    Raises
    ------
    ValueError
        If a copy is needed and not allowed.

    Examples
    --------
    >>> from tapegrad import array_api as xp
    >>> xp.asarray([1, 2.5], dtype=xp.float32)
    Tensor([1. , 2.5], dtype=float32)
    """
    on_cpu(device)
    if not isinstance(obj, Tensor):
        if isinstance(obj, list | tuple):
            obj = conversion.tensor(obj, dtype, copy=False) if copy is not False else obj
        if not isinstance(obj, Tensor):
            return Tensor(np.array(obj, dtype, copy=copy), copy=False)
        return obj
    if dtype is not None and np.dtype(dtype) != obj.dtype:
        if copy is False:
            raise ValueError(f"a copy is needed to make an array of dtype {dtype}")
        return functions["cast"](obj, np.dtype(dtype))  # type: ignore[no-any-return]
    return functions[np.copy](obj) if copy else obj  # type: ignore[no-any-return]


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return what another library lends; see :func:`tapegrad.from_dlpack`."""
    on_cpu(device)
    return conversion.from_dlpack(x, copy=copy)


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Return evenly spaced numbers, `stop` not included."""
    if stop is None:
        start, stop = 0, start
    return _new(np.arange(start, stop, step, dtype=dtype), device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return an array of undefined values."""
    return _new(np.empty(shape, np.float64 if dtype is None else dtype), device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return zeros, float64 by default."""
    return _new(np.zeros(shape, np.float64 if dtype is None else dtype), device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return ones, float64 by default."""
    return _new(np.ones(shape, np.float64 if dtype is None else dtype), device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return an array filled with a value, whose dtype it has by default."""
    on_cpu(device)
    if isinstance(fill_value, Tensor):
        return as_tensors(functions[np.full](shape, fill_value, dtype))  # type: ignore[no-any-return]
    return _new(np.full(shape, fill_value, dtype), device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """Return ones on a diagonal, float64 by default."""
    return _new(np.eye(n_rows, n_cols, k, np.float64 if dtype is None else dtype), device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None,
    endpoint: bool = True,
) -> Tensor:  # fmt: skip
    """Return so many numbers between two, float64 by default."""
    on_cpu(device)
    made = np.linspace(start, stop, num, endpoint=endpoint, dtype=dtype)
    return made if isinstance(made, Tensor) else Tensor(made, copy=False)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return an array of undefined values with the shape and dtype of another."""
    return empty(x.shape, dtype=x.dtype if dtype is None else dtype, device=device)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return zeros with the shape and dtype of another array."""
    return zeros(x.shape, dtype=x.dtype if dtype is None else dtype, device=device)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return ones with the shape and dtype of another array."""
    return ones(x.shape, dtype=x.dtype if dtype is None else dtype, device=device)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Return an array filled with a value, with the shape and dtype of another."""
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype, device=device)
