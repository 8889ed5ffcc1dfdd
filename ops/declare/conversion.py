"""Making tensors and arrays of what users have: ``tensor``, ``astensor``, ``asarray``."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tapegrad.ops.declare.ufunc import operand, refuse_mask
from tapegrad.tape.array.replacements import replaces
from tapegrad.tape.array.tensor import Tensor, check_constant
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.types import Array, ArrayLike, DTypeLike

__all__ = ["asarray", "astensor", "from_dlpack", "tensor"]


def tensor(
    arr_like: Any,
    dtype: DTypeLike = None,
    *,
    constant: bool | None = None,
    copy: bool = True,
    ndmin: int = 0,
) -> Tensor:
    """Create a tensor.

    Parameters
    ----------
    arr_like : array_like
        Numbers, nested sequences, arrays or tensors of numbers. What is traced stays traced,
        unless the new tensor is to be a constant.
    dtype : dtype_like, optional
        By default the least that holds the data.
    constant : bool, optional
        Whether the tensor has no gradient. By default floats are variable; integers are always
        constant.
    copy : bool
        ``False`` takes the data as they are if they fit, and returns a tensor that fits unchanged.
    ndmin : int
        The least number of axes; axes of size 1 are put in front.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError
        For data that are no numbers.
    ValueError
        For ``constant=False`` with integers.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.tensor([1, 2, 3.0])
    Tensor([1., 2., 3.])
    >>> tg.tensor([1, 2, 3], ndmin=2)
    Tensor([[1, 2, 3]])
    """
    check_constant(constant)
    refuse_mask(arr_like)
    if isinstance(arr_like, list | tuple) and _holds_traced(arr_like):
        arr_like = functions[np.stack]([tensor(a, copy=False) for a in arr_like])
    if isinstance(arr_like, Tensor) and not copy:
        fits = (dtype is None or np.dtype(dtype) == arr_like.dtype) and (
            constant is None or constant == arr_like.constant
        )
        if fits:
            missing = ndmin - arr_like.ndim
            return arr_like if missing <= 0 else arr_like[(None,) * missing]
    return Tensor(arr_like, dtype=dtype, constant=constant, copy=copy, ndmin=ndmin)


def _holds_traced(a: Array) -> bool:
    if isinstance(a, Tensor):
        return a.live_trace.level > 0
    return isinstance(a, list | tuple) and any(_holds_traced(b) for b in a)


@replaces(tensor, Tensor, within="nested")
def _tensor(
    arr_like: Any, dtype: DTypeLike = None, *, constant: bool | None = None, copy: bool = True,
    ndmin: int = 0,
) -> Tensor:  # fmt: skip
    """Where code is read, imperative tensors stay in their graph, too."""
    if constant is True:
        return tensor(arr_like, dtype, constant=True, copy=copy, ndmin=ndmin)
    if isinstance(arr_like, Tensor):
        new = functions[np.copy](arr_like) if copy else arr_like
    else:
        new = operand(arr_like)
    if dtype is not None and np.dtype(dtype) != new.dtype and np.dtype(dtype).kind in NUMERIC:
        new = functions["cast"](new, np.dtype(dtype))
    if isinstance(new, Tensor) and constant == new.constant:
        constant = None
    return tensor(new, dtype, constant=constant, copy=False, ndmin=ndmin)


def astensor(t: ArrayLike, dtype: DTypeLike = None, *, constant: bool | None = None) -> Tensor:
    """Return `t` as a tensor, without copying data that fit.

    A tensor that fits is returned itself, with its gradient and its place in a graph.

    Parameters
    ----------
    t : array_like
    dtype : dtype_like, optional
    constant : bool, optional
        By default as `t` if that is a tensor; otherwise floats are variable.

    Returns
    -------
    Tensor
        The argument itself if it is a tensor that fits.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> a = np.array([1.0, 2.0])
    >>> tg.astensor(a).data is a
    True
    """
    if constant is None and isinstance(t, Tensor) and t.constant:
        constant = True
    return tensor(t, dtype=dtype, constant=constant, copy=False)


def asarray(a: ArrayLike, dtype: DTypeLike = None, order: Any = None) -> np.ndarray[Any, Any]:
    """Return `a` as an ndarray; the data of a tensor themselves.

    Parameters
    ----------
    a : array_like
    dtype : dtype_like, optional
    order : {'C', 'F', 'A', 'K'}, optional

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import tapegrad as tg
    >>> t = tg.tensor([1.0, 2.0])
    >>> tg.asarray(t) is t.data
    True
    """
    if isinstance(a, Tensor):
        a = np.asarray(a)
    return np.asarray(a, dtype=dtype, order=order)


def from_dlpack(
    x: Any, /, *, device: Literal["cpu"] | None = None, copy: bool | None = None,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return what another library lends as a tensor, which shares its memory.

    Parameters
    ----------
    x : object with ``__dlpack__``
        A tensor of PyTorch, an array of JAX, CuPy or NumPy, ...; its elements are real and on the CPU.
    device : {'cpu'}, optional
    copy : bool, optional
        ``True`` copies the data, ``False`` never does; by default they are copied if they must be.
    constant : bool, optional
        By default floats are variable.

    Returns
    -------
    Tensor

    Raises
    ------
    BufferError
        If the data cannot be shared: they are on another device, or the other library would lose a
        derivative.

    Notes
    -----
    What the other library writes into the data is seen by the tensor, but not by the memory guard: as
    long as a graph needs them, they should stay as they are.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> a = np.array([1.0, 2.0])
    >>> x = tg.from_dlpack(a)
    >>> a[0] = 5.0
    >>> x
    Tensor([5., 2.])
    """
    if isinstance(x, Tensor) and x.live_trace.level:
        return x.copy() if copy else x
    array = np.from_dlpack(x, device=device, copy=copy)
    return Tensor(array, constant=constant, copy=False)
