"""Initial values of weights. They are drawn from NumPy's global stream, as ``tg.random`` is.

>>> import numpy as np
>>> from tapegrad.nnet.initializers import glorot_uniform
>>> w = glorot_uniform(4, 3)
>>> w.shape, w.dtype, bool(np.all(np.abs(w) <= 1))
((4, 3), dtype('float32'), True)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.tape import Tensor
from tapegrad.tape.core.types import Array, ArrayLike, DTypeLike

__all__ = [
    "dirac", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "normal", "uniform",
]  # fmt: skip


def _shape(shape: tuple[Any, ...], least: int, function: str) -> tuple[int, ...]:
    """Unpack a shape that was given as one sequence, and check it."""
    if len(shape) == 1 and np.ndim(shape[0]):
        shape = tuple(shape[0])
    sizes = []
    for n in shape:
        try:
            sizes.append(n.__index__())
        except (AttributeError, TypeError):
            raise TypeError(f"{function}: a shape is made of integers, not {n!r}") from None
    if any(n < 0 for n in sizes):
        raise ValueError(f"{function}: a shape has no negative sizes: {tuple(sizes)}")
    if len(sizes) < least:
        raise ValueError(f"{function}: the shape needs at least {least} axes: {tuple(sizes)}")
    return tuple(sizes)


def _float_dtype(dtype: DTypeLike, function: str) -> np.dtype[Any]:
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise ValueError(f"{function}: dtype must be a floating-point type, not {dtype}")
    return dtype


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)


def _tensor(values: Array, dtype: DTypeLike, constant: bool | None) -> Tensor:
    return Tensor(np.asarray(values, dtype=dtype), constant=constant, copy=False)


def _draw_normal(
    shape: tuple[int, ...], mean: float, std: float, dtype: DTypeLike, c: Any
) -> Tensor:
    return _tensor(np.random.normal(mean, std, shape), dtype, c)  # noqa: NPY002


def _draw_uniform(
    shape: tuple[int, ...], low: float, high: float, dtype: DTypeLike, c: Any
) -> Tensor:
    values = np.asarray(np.random.uniform(low, high, shape), dtype)  # noqa: NPY002
    if low < high:  # a rounded number may lie on the upper bound
        values = np.asarray(np.minimum(values, np.nextafter(dtype.type(high), dtype.type(low))))
    return _tensor(values, dtype, c)


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many values go into one result of a layer, and how many results use one value."""
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def dirac(*shape: int, dtype: DTypeLike = np.float32, constant: bool | None = None) -> Tensor:
    """Filters that leave the data as they are (Zagoruyko and Komodakis).

    Parameters
    ----------
    *shape : int
        Filters, channels, and the sizes of the window; at least two numbers, or one sequence.
    dtype : dtype_like
        float32 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor
        The i-th filter has a one in the middle of its i-th channel, as far as there are such.

    Raises
    ------
    ValueError
        For a shape with fewer than two axes.

    Examples
    --------
    >>> from tapegrad.nnet.initializers import dirac
    >>> dirac(1, 1, 3)
    Tensor([[[0., 1., 0.]]], dtype=float32)
    """
    sizes = _shape(shape, 2, "dirac")
    values = np.zeros(sizes, dtype)
    if values.size:
        both = np.arange(min(sizes[:2]))
        centre: tuple[Any, ...] = tuple(n // 2 for n in sizes[2:])
        values[both, both, *centre] = 1
    return _tensor(values, dtype, constant)


def glorot_normal(
    *shape: int, gain: Any = 1, dtype: DTypeLike = np.float32, constant: bool | None = None
) -> Tensor:
    """Normal weights that keep the variance of signals both ways (Glorot and Bengio, 2010).

    Parameters
    ----------
    *shape : int
        Outputs, inputs, and the sizes of a window; at least two numbers, or one sequence.
    gain : real number
        Factor of the standard deviation, ``sqrt(2 / (inputs + outputs))``, where both are counted
        with the window.
    dtype : dtype_like
        A floating-point type; float32 by default.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        For a shape with fewer than two axes, or another dtype.

    Examples
    --------
    >>> from tapegrad.nnet.initializers import glorot_normal
    >>> glorot_normal(8, 3, 5, 5).shape
    (8, 3, 5, 5)
    """
    sizes = _shape(shape, 2, "glorot_normal")
    dtype = _float_dtype(dtype, "glorot_normal")
    std = _number(gain) * math.sqrt(2 / max(sum(_fans(sizes)), 1))
    return _draw_normal(sizes, 0.0, std, dtype, constant)


def glorot_uniform(
    *shape: int, gain: Any = 1, dtype: DTypeLike = np.float32, constant: bool | None = None
) -> Tensor:
    """Uniform weights that keep the variance of signals both ways (Glorot and Bengio, 2010).

    Parameters
    ----------
    *shape : int
        Outputs, inputs, and the sizes of a window; at least two numbers, or one sequence.
    gain : real number
        Factor of the bound, ``sqrt(6 / (inputs + outputs))``, where both are counted with the window.
    dtype : dtype_like
        A floating-point type; float32 by default.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        For a shape with fewer than two axes, or another dtype.

    Examples
    --------
    >>> from tapegrad.nnet.initializers import glorot_uniform
    >>> glorot_uniform((3, 3)).shape
    (3, 3)
    """
    sizes = _shape(shape, 2, "glorot_uniform")
    dtype = _float_dtype(dtype, "glorot_uniform")
    bound = _number(gain) * math.sqrt(6 / max(sum(_fans(sizes)), 1))
    return _draw_uniform(sizes, -bound, bound, dtype, constant)


def he_normal(
    *shape: int, gain: Any = 1, dtype: DTypeLike = np.float32, constant: bool | None = None
) -> Tensor:
    """Normal weights for layers of rectifiers (He, Zhang, Ren and Sun, 2015).

    Parameters
    ----------
    *shape : int
        Outputs, inputs, and the sizes of a window; at least two numbers, or one sequence.
    gain : real number
        Factor of the standard deviation, ``1 / sqrt(inputs)``, where these are counted with the
        window. For rectifiers with slope a below 0 it is ``sqrt(2 / (1 + a**2))``.
    dtype : dtype_like
        A floating-point type; float32 by default.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        For a shape with fewer than two axes, or another dtype.

    Examples
    --------
    >>> from tapegrad.nnet.initializers import he_normal
    >>> he_normal(4, 2, gain=5 / 3, dtype="float64", constant=True).constant
    True
    """
    sizes = _shape(shape, 2, "he_normal")
    dtype = _float_dtype(dtype, "he_normal")
    std = _number(gain) / math.sqrt(max(_fans(sizes)[0], 1))
    return _draw_normal(sizes, 0.0, std, dtype, constant)


def he_uniform(
    *shape: int, gain: Any = 1, dtype: DTypeLike = np.float32, constant: bool | None = None
) -> Tensor:
    """Uniform weights for layers of rectifiers (He, Zhang, Ren and Sun, 2015).

    Parameters
    ----------
    *shape : int
        Outputs, inputs, and the sizes of a window; at least two numbers, or one sequence.
    gain : real number
        Factor of the bound, ``sqrt(3 / inputs)``, where these are counted with the window. For
        rectifiers with slope a below 0 it is ``sqrt(2 / (1 + a**2))``.
    dtype : dtype_like
        A floating-point type; float32 by default.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        For a shape with fewer than two axes, or another dtype.

    Examples
    --------
    >>> from tapegrad.nnet.initializers import he_uniform
    >>> he_uniform(2, 1, 2, dtype="float16").dtype
    dtype('float16')
    """
    sizes = _shape(shape, 2, "he_uniform")
    dtype = _float_dtype(dtype, "he_uniform")
    bound = _number(gain) * math.sqrt(3 / max(_fans(sizes)[0], 1))
    return _draw_uniform(sizes, -bound, bound, dtype, constant)


def normal(
    *shape: int, mean: ArrayLike = 0, std: Any = 1, dtype: DTypeLike = np.float32,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Values drawn from a normal distribution.

    Parameters
    ----------
    *shape : int
        Any number of sizes, or one sequence.
    mean, std : real number
        Mean and standard deviation.
    dtype : dtype_like
        A floating-point type; float32 by default.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        For a negative `std` or a dtype that is not floating.

    Examples
    --------
    >>> from tapegrad.nnet.initializers import normal
    >>> normal(1, 2, 3).shape
    (1, 2, 3)
    """
    mean, std = _number(mean), _number(std)
    if not std >= 0:
        raise ValueError(f"normal: `std` must be a non-negative number, not {std}")
    dtype = _float_dtype(dtype, "normal")
    return _draw_normal(_shape(shape, 0, "normal"), mean, std, dtype, constant)


def uniform(
    *shape: int, lower_bound: Any = 0, upper_bound: Any = 1, dtype: DTypeLike = np.float32,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Values drawn uniformly from ``[lower_bound, upper_bound)``.

    Parameters
    ----------
    *shape : int
        Any number of sizes, or one sequence.
    lower_bound, upper_bound : real number
        The ends of the interval, of which the lower one belongs to it.
    dtype : dtype_like
        A floating-point type; float32 by default.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the lower bound is the greater one, or for a dtype that is not floating.

    Examples
    --------
    >>> from tapegrad.nnet.initializers import uniform
    >>> uniform(3, lower_bound=2, upper_bound=2)
    Tensor([2., 2., 2.], dtype=float32)
    """
    low, high = _number(lower_bound), _number(upper_bound)
    if not low <= high:
        raise ValueError(
            f"uniform: `lower_bound` must not be greater than `upper_bound`: {low} > {high}"
        )
    dtype = _float_dtype(dtype, "uniform")
    return _draw_uniform(_shape(shape, 0, "uniform"), low, high, dtype, constant)
