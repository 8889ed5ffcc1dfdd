"""Layers that slide windows over data: ``conv_nd`` and ``max_pool``.

>>> import tapegrad as tg
>>> from tapegrad.nnet.layers import max_pool
>>> max_pool(tg.tensor([0.0, 3.0, 1.0, 2.0]), (2,), 2)
Tensor([3., 2.])
"""

from __future__ import annotations

from typing import Any

from tapegrad.nnet.layers.utils import integer, sizes, tiles
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.ops.layers.convolution import convolve_p
from tapegrad.ops.layers.pooling import max_pool_p
from tapegrad.tape import Tensor
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.types import ArrayLike

__all__ = ["conv_nd", "max_pool"]


def conv_nd(
    x: ArrayLike,
    filter_bank: Any,
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    constant: bool | None = None,
) -> Tensor:
    """Convolve data with filters, over any number of spatial axes.

    Parameters
    ----------
    x : array_like, shape (N, C, X0, ...)
        N examples with C channels.
    filter_bank : array_like, shape (F, C, W0, ...)
        F filters. They are not flipped: what is computed is a correlation.
    stride : int or tuple of int
        How far two placements of a filter are apart. The placements must end where the data end.
    padding : int or tuple of int
        How many zeros are put at both ends of each axis.
    dilation : int or tuple of int
        How far two elements that a filter touches are apart.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape (N, F, G0, ...)
        With ``(X + 2 * padding - ((W - 1) * dilation + 1)) / stride + 1`` placements along each axis.

    Raises
    ------
    ValueError
        For shapes that do not match, and filters that do not fit or do not tile the data.

    Examples
    --------
    >>> import tapegrad as tg
    >>> from tapegrad.nnet.layers import conv_nd
    >>> x = tg.zeros((1, 1, 8))
    >>> x[..., 2:6] = 1
    >>> k = tg.ones((1, 1, 3))
    >>> conv_nd(x, k, stride=1)
    Tensor([[[1., 2., 3., 3., 2., 1.]]], dtype=float32)
    """
    x, w = as_tensor(x), as_tensor(filter_bank)
    of = "conv_nd"
    if x.ndim < 3:
        raise ValueError(
            f"{of}: `x` must have at least three axes (examples, channels, space), not shape "
            f"{x.shape}"
        )
    if w.ndim != x.ndim:
        raise ValueError(
            f"{of}: `filter_bank` must have as many axes as `x`, {x.ndim}, not shape {w.shape}"
        )
    if w.shape[1] != x.shape[1]:
        raise ValueError(
            f"{of}: the {x.shape[1]} channels of `x` and the {w.shape[1]} of `filter_bank` "
            "(axis 1 of both) must match"
        )
    if not all(w.shape[2:]):
        raise ValueError(f"{of}: a filter has at least one element along each axis: {w.shape}")
    count = x.ndim - 2
    steps = sizes(stride, count, "stride", 1, of=of)
    pad = sizes(padding, count, "padding", 0, of=of)
    apart = sizes(dilation, count, "dilation", 1, of=of)
    tiles(x.shape[2:], w.shape[2:], steps, pad, apart, of=of)
    params = {"stride": steps, "padding": pad, "dilation": apart}
    return apply(convolve_p, (x, w), params, constant)  # type: ignore[no-any-return]


def max_pool(
    x: ArrayLike,
    pool: tuple[int, ...],
    stride: int | tuple[int, ...],
    *,
    constant: bool | None = None,
) -> Tensor:
    """Take the maximum over windows that are placed along the last axes.

    Parameters
    ----------
    x : array_like, shape (..., C0, ...)
        The data.
    pool : tuple of int
        The sizes of the window, for as many of the last axes.
    stride : int or tuple of int
        How far two placements are apart. The placements must end where the data end.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape (..., G0, ...)
        The gradient goes to the first maximum of each window in C order, or to the first nan.

    Raises
    ------
    TypeError
        If `pool` is no sequence of integers.
    ValueError
        For windows that do not fit or do not tile the data.

    Examples
    --------
    >>> import tapegrad as tg
    >>> from tapegrad.nnet.layers import max_pool
    >>> x = tg.tensor([[0.0, 10.0, 8.0], [2.0, 7.0, 3.0], [5.0, 7.0, 20.0]])
    >>> out = max_pool(x, pool=(2, 2), stride=1)
    >>> out
    Tensor([[10., 10.],
            [ 7., 20.]])
    >>> out.backward()
    >>> x.grad
    array([[0., 2., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    x = as_tensor(x)
    of = "max_pool"
    if integer(pool) is not None or not hasattr(pool, "__len__"):
        raise TypeError(f"{of}: `pool` must be a sequence of integers, one per axis, not {pool!r}")
    count = len(pool)
    if not 0 < count <= x.ndim:
        raise ValueError(
            f"{of}: `pool` has {count} numbers; data of shape {x.shape} have between 1 and {x.ndim} "
            "axes to pool over"
        )
    window = sizes(pool, count, "pool", 1, of=of)
    steps = sizes(stride, count, "stride", 1, of=of)
    tiles(x.shape[x.ndim - count :], window, steps, (0,) * count, (1,) * count, of=of)
    return apply(max_pool_p, (x,), {"pool": window, "stride": steps}, constant)  # type: ignore[no-any-return]
