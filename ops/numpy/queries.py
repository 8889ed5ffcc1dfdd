"""NumPy functions whose results are plain: searches, index arithmetic, files.

They read the values of their tensors, and no gradient flows. Transformations take the values as they
are at the call: ``jit`` sets a guard on them, and ``vmap`` runs the examples one by one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor, data_of, operand
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = [
    "allclose", "angle", "argwhere", "array_equal", "array_equiv", "digitize", "flatnonzero",
    "isin", "lexsort", "nanargmax", "nanargmin", "nonzero", "ravel_multi_index", "unravel_index",
]  # fmt: skip

_DOC = """``numpy.{name}`` of the values; the result is plain, and no gradient flows.

    Tracing transformations take the values as they are at the call: ``jit`` sets a guard on them.

    Parameters
    ----------
    {names}
        As those of ``numpy.{name}``; of tensors the values are read.

    Returns
    -------
    {returns}
        What ``numpy.{name}`` returns.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 0.0])
    >>> tg.{example}
    {shown}
    """


def reads_values(function: Any, example: str = "", shown: str = "") -> Callable[..., Any]:
    """Make NumPy's function read the values of its tensors; with an example for its docstring."""
    name = function.__name__

    def read(*args: Any, **kwargs: Any) -> Any:
        return function(
            *(data_of(a, name) for a in args), **{k: data_of(v, name) for k, v in kwargs.items()}
        )

    read.__name__ = read.__qualname__ = name
    read.__wrapped__ = function  # type: ignore[attr-defined]  # for its signature
    read.__doc__ = None
    if example:
        read.__doc__ = _DOC.format(
            name=name,
            names=", ".join(inspect.signature(function).parameters),
            returns="bool" if shown == "True" else "number, ndarray, or tuple of these",
            example=example,
            shown=shown,
        )
    return implements(function)(read)


allclose = reads_values(np.allclose, "allclose(x, [1.0, 0.0])", "True")
array_equal = reads_values(np.array_equal, "array_equal(x, [1.0, 0.0])", "True")
array_equiv = reads_values(np.array_equiv, "array_equiv(x, [[1.0, 0.0], [1.0, 0.0]])", "True")
nonzero = reads_values(np.nonzero, "nonzero(x)", "(array([0]),)")
flatnonzero = reads_values(np.flatnonzero, "flatnonzero(x)", "array([0])")
argwhere = reads_values(np.argwhere, "argwhere(x)", "array([[0]])")
digitize = reads_values(np.digitize, "digitize(x, [0.5])", "array([1, 0])")
isin = reads_values(np.isin, "isin(x, [1.0])", "array([ True, False])")
lexsort = reads_values(np.lexsort, "lexsort((x,))", "array([1, 0])")
nanargmax = reads_values(np.nanargmax, "nanargmax(x)", "np.int64(0)")
nanargmin = reads_values(np.nanargmin, "nanargmin(x)", "np.int64(1)")
unravel_index = reads_values(
    np.unravel_index, "unravel_index(2, (2, 2))", "(np.int64(1), np.int64(0))"
)
ravel_multi_index = reads_values(
    np.ravel_multi_index, "ravel_multi_index((1, 0), (2, 2))", "np.int64(2)"
)
for _function in (
    np.bitwise_count, np.iscomplex, np.isreal, np.ix_, np.packbits, np.unpackbits, np.min_scalar_type,
    np.save, np.savetxt, np.savez, np.savez_compressed,
):  # fmt: skip
    reads_values(_function)


@implements(np.angle)
def angle(z: ArrayLike, deg: bool = False) -> Array:
    """Angle in the complex plane, in radians or degrees.

    That of a real number is 0, or pi if it is negative: an ndarray, and constant.

    Parameters
    ----------
    z : array_like
    deg : bool
        Whether the result is in degrees.

    Returns
    -------
    Tensor
        Of real numbers an ndarray.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.angle(tg.tensor([1.0, -1.0]), deg=True)
    array([  0., 180.])
    """
    z = operand(z)
    z = as_tensor(z)
    if z.dtype.kind == "c":
        turn = functions[np.arctan2](np.imag(z), np.real(z))
        return turn * (180 / np.pi) if deg else turn
    dtype = z.dtype if z.dtype.kind == "f" else np.dtype(float)
    half = np.asarray(180.0 if deg else np.pi, dtype)
    result = np.where(np.signbit(functions["cast"](as_tensor(z), dtype)), half, dtype.type(0))
    return np.where(np.isnan(z), np.asarray(np.nan, dtype), result)


@implements(np.real_if_close)
def _real_if_close(a: ArrayLike, tol: float = 100) -> Array:
    a = as_tensor(a)
    if a.dtype.kind != "c":
        return a
    close = np.real_if_close(data_of(a, "real_if_close"), tol)
    return np.real(a) if close.dtype.kind == "f" else a
