"""Where the standard asks for more than NumPy has: order of sorting, devices, dtypes of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.array_api.adopting import as_tensors, on_cpu
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions

__all__ = ["argsort", "astype", "can_cast", "clip", "result_type", "sort", "take_along_axis"]


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Return an array with another dtype; a gradient flows from floats to floats.

    Parameters
    ----------
    x : Tensor
    dtype : dtype
    copy : bool
        Whether what fits is copied.
    device : {'cpu'}, optional

    Examples
    --------
    >>> from tapegrad import array_api as xp
    >>> x = xp.asarray([1.0, 2.0])
    >>> (2 * xp.astype(x, xp.float32)).sum().backward()
    >>> x.grad
    array([2., 2.])
    """
    on_cpu(device)
    x = as_tensors(x)
    if x.dtype == dtype:
        return functions[np.copy](x) if copy else x
    return functions["cast"](x, np.dtype(dtype))


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether values of a dtype, or of an array's, keep their value in another one."""
    return bool(np.can_cast(from_.dtype if isinstance(from_, Tensor) else from_, to))


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """Return the dtype that results from operands; Python's numbers do not widen."""
    return np.result_type(*(a.dtype if isinstance(a, Tensor) else a for a in arrays_and_dtypes))


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """Limit values; the result has the dtype of `x`.

    Examples
    --------
    >>> from tapegrad import array_api as xp
    >>> xp.clip(xp.asarray([1, 5, 9]), 2, xp.asarray(6))
    Tensor([2, 5, 6])
    """
    x = as_tensors(x)
    if min is None and max is None:
        return functions[np.copy](x)
    result = as_tensors(np.clip(x, min, max))
    return result if result.dtype == x.dtype else functions["cast"](result, x.dtype)


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Sort along an axis.

    Examples
    --------
    >>> from tapegrad import array_api as xp
    >>> xp.sort(xp.asarray([3, 1, 2]), descending=True)
    Tensor([3, 2, 1])
    """
    if descending:
        order = argsort(x, axis=axis, descending=True, stable=stable)
        return as_tensors(np.take_along_axis(x, order, axis))
    return as_tensors(np.sort(x, axis=axis, kind="stable" if stable else None))


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Return the indices that sort along an axis; of equal elements the first stays first.

    Examples
    --------
    >>> from tapegrad import array_api as xp
    >>> xp.argsort(xp.asarray([3, 1, 3]), descending=True)
    Tensor([0, 2, 1])
    """
    kind: Any = "stable" if stable else None
    if not descending:
        return as_tensors(np.argsort(x, axis=axis, kind=kind))
    backwards = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    return as_tensors(np.subtract(x.shape[axis] - 1, backwards))


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """Take elements along an axis by indices for each line along it.

    Examples
    --------
    >>> from tapegrad import array_api as xp
    >>> x = xp.asarray([[3.0, 1.0], [4.0, 5.0]])
    >>> xp.take_along_axis(x, xp.argsort(x))
    Tensor([[1., 3.],
            [4., 5.]])
    """
    return as_tensors(np.take_along_axis(x, indices, axis))
