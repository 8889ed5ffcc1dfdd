"""Windows over arrays, and the checks that layers share.

>>> import numpy as np
>>> from tapegrad.nnet.layers.utils import sliding_window_view
>>> sliding_window_view(np.arange(5), (2,), step=3)
array([[0, 1],
       [3, 4]])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapegrad.tape.core.types import ArrayLike

__all__ = ["sliding_window_view"]


def integer(value: Any) -> int | None:
    """Return an integer of any kind as an int, and None for anything else."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        return None
    try:
        return value.__index__()  # type: ignore[no-any-return]
    except TypeError:
        return None


def sizes(value: Any, count: int, name: str, least: int, *, of: str) -> tuple[int, ...]:
    """Return one integer per axis; a single one stands for all.

    Parameters
    ----------
    value : int or sequence of int
    count : int
        How many are needed.
    name : str
        The parameter, and `of` the function, for messages.
    least : int
        The least value allowed.
    """
    one = integer(value)
    what = "positive integer" if least else "non-negative integer"
    if one is None and (isinstance(value, str) or not hasattr(value, "__len__")):
        raise TypeError(f"{of}: `{name}` must be a {what} or one per axis, not {value!r}")
    several = [one] * count if one is not None else [integer(v) for v in value]
    if any(v is None for v in several):
        raise TypeError(f"{of}: `{name}` must hold integers, not {value!r}")
    if len(several) != count:
        raise ValueError(f"{of}: `{name}` must have {count} numbers, one per axis, not {value!r}")
    if any(v < least for v in several):  # type: ignore[operator]
        raise ValueError(f"{of}: `{name}` must be a {what} or one per axis, not {value!r}")
    return tuple(several)  # type: ignore[arg-type]


def tiles(size: Any, window: Any, stride: Any, padding: Any, dilation: Any, *, of: str) -> None:
    """Raise ValueError unless windows fit, and their placements end where the data end."""
    for axis, (n, w, s, p, d) in enumerate(zip(size, window, stride, padding, dilation)):
        room, extent = n + 2 * p, d * (w - 1) + 1
        if extent > room:
            raise ValueError(
                f"{of}: a window of {extent} elements (size {w}, dilation {d}) does not fit into "
                f"the {room} elements (size {n}, padding {p}) of spatial axis {axis}"
            )
        if (room - extent) % s:
            raise ValueError(
                f"{of}: steps of {s} do not tile spatial axis {axis}: a window of {extent} "
                f"elements leaves {(room - extent) % s} of {room} elements over; change the "
                "stride, the padding or the size of the data"
            )


def sliding_window_view(
    arr: ArrayLike, window_shape: Any, step: Any, dilation: Any = None
) -> NDArray[Any]:
    """View an array through windows that are placed along its last axes.

    Parameters
    ----------
    arr : ndarray, shape (..., x, ..., z)
        A copy is made only if it is not contiguous.
    window_shape : sequence of int
        The sizes of the window, for as many of the last axes.
    step : int or sequence of int
        How far two placements are apart.
    dilation : int or sequence of int, optional
        How far two elements of a window are apart; 1 by default.

    Returns
    -------
    ndarray
        Of shape (placements along x, ..., z; the other axes; sizes of the window). It is read-only,
        for its elements share memory. Along an axis of size x there are
        ``(x - ((w - 1) * d + 1)) // s + 1`` placements.

    Raises
    ------
    TypeError, ValueError
        For sizes, steps or dilations that are not positive integers, and for a window that does not
        fit.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.nnet import sliding_window_view
    >>> y = sliding_window_view(np.arange(36).reshape(6, 6), (3, 2), step=(2, 2))
    >>> y.shape
    (2, 3, 3, 2)
    >>> y[0, 1]
    array([[ 2,  3],
           [ 8,  9],
           [14, 15]])
    """
    of = "sliding_window_view"
    arr = np.ascontiguousarray(arr) if np.ndim(arr) else np.asarray(arr)
    if isinstance(window_shape, str) or not hasattr(window_shape, "__len__"):
        raise TypeError(f"{of}: `window_shape` must be a sequence of positive integers")
    count = len(window_shape)
    if any(integer(w) is None or w <= 0 for w in window_shape):
        raise TypeError(
            f"{of}: `window_shape` must be a sequence of positive integers, not {window_shape!r}"
        )
    if count > arr.ndim:
        raise ValueError(
            f"{of}: `window_shape` {tuple(window_shape)} has more numbers than the array has axes "
            f"({arr.ndim})"
        )
    window = sizes(window_shape, count, "window_shape", 1, of=of)
    stride = sizes(step, count, "step", 1, of=of)
    apart = sizes(1 if dilation is None else dilation, count, "dilation", 1, of=of)
    split = arr.ndim - count
    extent = tuple(d * (w - 1) + 1 for w, d in zip(window, apart))
    if any(e > n for e, n in zip(extent, arr.shape[split:])):
        raise ValueError(
            f"{of}: the window, which takes {extent} elements, does not fit into the last axes of "
            f"an array of shape {arr.shape}"
        )
    grid = tuple((n - e) // s + 1 for n, e, s in zip(arr.shape[split:], extent, stride))
    inner = arr.strides[split:]
    return np.lib.stride_tricks.as_strided(
        arr,
        (*grid, *arr.shape[:split], *window),
        (
            *(s * n for s, n in zip(stride, inner)),
            *arr.strides[:split],
            *(d * n for d, n in zip(apart, inner)),
        ),
        writeable=False,
    )
