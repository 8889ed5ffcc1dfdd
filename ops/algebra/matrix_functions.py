"""Functions of matrices that SciPy computes: exponential, square root, logarithm, sines and cosines.

A derivative of any order is one more value of the function, at a matrix of twice the size: that of
``[[x, t], [0, x]]`` has the derivative at x along t in its upper right corner (Higham, Functions of
Matrices, 3.2). So equal eigenvalues are no hard place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.algebra.eigenvalues import eig_packed_p
from tapegrad.ops.algebra.singular import turned
from tapegrad.ops.declare.composed import Composed
from tapegrad.ops.elementwise.logistic import stop_gradient_p
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import leading
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["FUNCTIONS", "along", "by_name", "fractional_power_p", "of_scipy"]


def of_scipy(name: str) -> Callable[..., Any]:
    """Return a function of ``scipy.linalg``, which users have imported when it is called."""
    return getattr(sys.modules["scipy.linalg"], name)  # type: ignore[no-any-return]


def by_name(name: str) -> Callable[..., str]:
    """Return the source of an application, for primitives of which NumPy has no function."""

    def source(args: Any, params: Any) -> str:
        words = [f"{key}={value!r}" for key, value in params.items()]
        return f"primitives[{name!r}].forward({', '.join([*args, *words])})"

    return source


#: Functions that jump where an eigenvalue crosses the negative axis.
_CUT = ("scipy.linalg.sqrtm", "scipy.linalg.logm")
#: How near to the axis, relative to an eigenvalue, the sides are told apart no more: in a matrix of
#: twice or four times the size it is there several times, and computed with few digits.
_NEAR = 1e-3


def _at_cut(x: Array) -> Any:
    """Return nan for matrices that have eigenvalues at the cut, and 0 for others."""
    w = bind(eig_packed_p, bind(stop_gradient_p, x))[..., :1, :]
    near = np.logical_and(np.real(w) < 0, np.abs(np.imag(w)) <= _NEAR * np.abs(w))
    return np.where(np.any(near, axis=-1, keepdims=True), np.nan, 0.0)


def along(primitive: Primitive, x: Array, t: Array, params: Any) -> Any:
    """Return the derivative of a function of matrices at `x` in the direction `t`.

    A direction that is much greater than the matrix would be all that the algorithm sees: so it is
    taken to be at most 1. Of matrices with eigenvalues at a cut it is nan.
    """
    n = x.shape[-1]
    size = np.max(np.abs(t), axis=(-2, -1), keepdims=True, initial=1.0)
    size = bind(stop_gradient_p, size)
    above = np.concatenate((x, t / size), axis=-1)
    below = np.concatenate((np.zeros_like(x), x), axis=-1)
    whole = bind(primitive, np.concatenate((above, below), axis=-2), **params)
    found = whole[..., :n, n:] * size
    return found + _at_cut(x).astype(x.dtype) if primitive.name in _CUT else found


def _computed(name: str) -> Callable[..., Any]:
    """Return the function of stacks of matrices, with results of their dtype; nan if there are none."""

    def forward(x: Array, **params: Any) -> Any:
        x = np.asarray(x)
        function, out = of_scipy(name), np.empty(x.shape, x.dtype)
        for i in np.ndindex(x.shape[:-2]):
            value = np.asarray(function(x[i], *params.values()))
            out[i] = np.nan if value.dtype.kind == "c" != x.dtype.kind else value
        return out

    return forward


def matrix_function(name: str) -> Primitive:
    """Declare a function of matrices of SciPy's."""

    def transposed(g: Array, y: Array, x: Array, **params: Any) -> Any:
        return along(primitive, turned(x), g, params)

    def push(tangents: Any, y: Array, x: Array, **params: Any) -> Any:
        return along(primitive, x, tangents[0], params)

    full = f"scipy.linalg.{name}"
    primitive = Primitive(
        full,
        _computed(name),
        (transposed,),
        jvp=push,
        batch=lambda args, batched, size, params: bind(primitive, *args, **params),
        dependence=leading(2),
        source=by_name(full),
        takes_complex=True,
    )
    return primitive


#: Those without parameters, by their names.
FUNCTIONS: dict[str, Primitive] = {
    name: matrix_function(name)
    for name in (
        "expm",
        "sqrtm",
        "logm",
        "cosm",
        "sinm",
        "tanm",
        "coshm",
        "sinhm",
        "tanhm",
        "signm",
    )
}


def _power(x: Array, *, t: float) -> Any:
    return bind(FUNCTIONS["expm"], t * bind(FUNCTIONS["logm"], x))


#: Powers that are no integers.
fractional_power_p: Primitive = Composed(
    "scipy.linalg.fractional_matrix_power",
    _computed("fractional_matrix_power"),
    _power,
    1,
    batch=lambda args, batched, size, params: bind(fractional_power_p, *args, **params),
    dependence=leading(2),
    source=by_name("scipy.linalg.fractional_matrix_power"),
    takes_complex=True,
)
