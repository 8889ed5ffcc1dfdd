"""Random tensors, drawn from NumPy's global legacy stream (``np.random.seed``).

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.random.seed(0)
>>> x = tg.random.rand(3)
>>> np.random.seed(0)
>>> bool(np.all(x == np.random.rand(3)))
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor

__all__ = [
    "rand", "randint", "randn", "random", "random_sample", "ranf", "sample", "seed",
]  # fmt: skip

Shape = int | Sequence[int] | None


def _new(values: Any, constant: bool | None) -> Tensor:
    return Tensor(values, constant=constant, copy=False)


def seed(seed_number: Any = None) -> None:
    """Start NumPy's global stream anew, as ``np.random.seed``.

    Parameters
    ----------
    seed_number : int or array_like of int, optional
        Without it, the stream starts at a place that the system chooses.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.random.seed(1)
    """
    np.random.seed(seed_number)  # noqa: NPY002  # the documented stream


def rand(*shape: int, constant: bool | None = None) -> Tensor:
    """Uniform values in [0, 1).

    Parameters
    ----------
    *shape : int
        Sizes of the axes; none for a tensor without axes.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.random.rand(3, 4).shape
    (3, 4)
    """
    return _new(np.random.rand(*shape), constant)  # noqa: NPY002


def randn(*shape: int, constant: bool | None = None) -> Tensor:
    """Values of the standard normal distribution.

    Parameters
    ----------
    *shape : int
        Sizes of the axes; none for a tensor without axes.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.random.randn(3, 4).shape
    (3, 4)
    """
    return _new(np.random.randn(*shape), constant)  # noqa: NPY002


def randint(low: Any, high: Any = None, shape: Shape = None, dtype: Any = int) -> Tensor:
    """Integers from `low` (inclusive) to `high` (exclusive), as a constant tensor.

    Parameters
    ----------
    low, high : int or array_like of int
        With `low` alone, the integers are from 0 to `low`.
    shape : int or sequence of int, optional
        Without it, one integer.
    dtype : dtype_like

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.random.randint(2, 4, shape=(2, 3)).shape
    (2, 3)
    """
    return _new(np.random.randint(low, high, shape, dtype), None)  # noqa: NPY002


def random(shape: Shape = None, *, constant: bool | None = None) -> Tensor:
    """Uniform values in [0, 1); also called ``random_sample``, ``ranf`` and ``sample``.

    Parameters
    ----------
    shape : int or sequence of int, optional
        Without it, a tensor without axes.
    constant : bool, optional
        Whether the tensor is a constant.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.random.random((3, 4)).shape
    (3, 4)
    """
    return _new(np.random.random(shape), constant)  # noqa: NPY002


random_sample = ranf = sample = random
