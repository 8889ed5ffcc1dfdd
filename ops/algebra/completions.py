"""The columns that ``svd(full_matrices=True)`` and ``qr(mode="complete")`` add to an orthonormal basis.

A matrix determines the space that they span and not the columns, which may be turned if they are
several, or complex. Whatever does not depend on how they are turned has a derivative: that of columns
which move with the space and do not turn in it.

>>> import numpy as np
>>> import tapegrad as tg
>>> def height(a):  # of a point over the plane that two columns span
...     q, _ = np.linalg.qr(a, mode="complete")
...     return np.sum((q[:, 2:].T @ np.array([1.0, 2.0, 3.0])) ** 2)
>>> tg.grad(height)(np.eye(3)[:, :2]) + 0.0
array([[  0.,   0.],
       [  0.,   0.],
       [ -6., -12.]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.singular import adjoint, conj, skew, wide
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.dependence import leading
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["completed"]


def _columns(u: Array, x: Array, *, of: str) -> Any:
    """Compute what NumPy adds to `u`, a factor of `x`."""
    x = np.asarray(x)
    if of == "qr":
        whole = np.linalg.qr(wide(x), mode="complete")[0]
    else:
        left, _, right = np.linalg.svd(wide(x))
        whole = left if of == "left" else adjoint(right)
    return whole[..., np.shape(u)[-1] :].astype(x.dtype)


def _vjp(g: Array, y: Array, u: Array, x: Array, *, of: str) -> Any:
    """Columns that do not turn move by ``-u du^T y``; `g` must not ask for turns."""
    g = conj(g)
    turns = skew(np.matmul(adjoint(y), g))
    size = max(np.shape(x)[-2:]) * float(np.finfo(u.dtype).eps)
    least = size * np.max(np.abs(g), axis=(-2, -1), keepdims=True, initial=0.0)
    if np.any(np.logical_not(np.abs(turns) <= least)):
        name, remedy = (
            ("qr(mode='complete')", "mode='reduced'")
            if of == "qr"
            else ("svd(full_matrices=True)", "full_matrices=False")
        )
        raise ValueError(
            f"{name}: the columns that it adds are not determined, and the function depends on how they "
            f"are turned, so that it has no derivative; use {remedy}"
        )
    return conj(-np.matmul(y, np.matmul(adjoint(g), u)))


def _jvp(tangents: Any, y: Array, u: Array, x: Array, *, of: str) -> Any:
    """Forward mode does not know what the columns are used for: nan where they may turn."""
    if y.shape[-1] == 1 and y.dtype.kind != "c":
        return -np.matmul(u, np.matmul(adjoint(tangents[0]), y))
    moves = np.any(tangents[0] != 0, axis=(-2, -1), keepdims=True)
    return np.broadcast_to(np.where(moves, np.nan, 0.0), y.shape).astype(y.dtype)


completion_p: Primitive = Primitive(
    "completion",
    _columns,
    (_vjp, None),
    jvp=_jvp,
    batch=lambda args, batched, size, params: _batched(args, batched, size, params),
    dependence=leading(2),
    takes_complex=True,
)


def _batched(args: Any, batched: Any, size: int, params: Any) -> Any:
    u, x = (a if flag else np.broadcast_to(a, (size, *a.shape)) for a, flag in zip(args, batched))
    return completion_p(u, x, **params)


def completed(u: Array, x: Array, of: str) -> Any:
    """Return an orthonormal basis with the columns that complete it.

    Parameters
    ----------
    u : array
        A factor of `x`: more rows than columns.
    x : array
    of : {'qr', 'left', 'right'}
        Of which decomposition, and of which side.
    """
    return np.concatenate((u, apply(completion_p, (u, x), {"of": of})), axis=-1)
