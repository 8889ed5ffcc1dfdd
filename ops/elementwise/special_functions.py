"""SciPy's special functions that are no ufuncs: softmax, polygamma, spherical Bessel functions.

The forward function of each primitive is SciPy's own; derivatives are those of a composition, or a
formula of the Digital Library of Mathematical Functions (DLMF).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import all_axes
from tapegrad.ops.declare.composed import Composed
from tapegrad.ops.declare.ufunc import as_tensor, operand
from tapegrad.ops.elementwise.elementwise import elementwise
from tapegrad.ops.elementwise.logistic import stop_gradient_p
from tapegrad.ops.elementwise.special_rules import sc
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.dependence import Applied, Labels, along_axis, by_place, dense, over_axes
from tapegrad.tape.core.primitive import Primitive

__all__ = ["MAKERS", "log_softmax_of", "logsumexp_of", "softmax_of"]

Function = Callable[..., Any]


# Along axes --------------------------------------------------------------------------------------


def _largest(a: Any, axis: Any) -> Any:
    """The largest element along axes, by which exponents are shifted; it has no derivative."""
    top = bind(stop_gradient_p, np.max(a, axis=axis, keepdims=True))
    return np.where(np.isfinite(top), top, 0.0)


def softmax_of(x: Any, *, axis: Any) -> Any:
    """Return powers of e, divided by their sum."""
    powers = np.exp(x - _largest(x, axis))
    return powers / np.sum(powers, axis=axis, keepdims=True)


def log_softmax_of(x: Any, *, axis: Any) -> Any:
    """Return the logarithm of :func:`softmax_of`."""
    shifted = x - _largest(x, axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def logsumexp_of(a: Any, *weights: Any, axis: Any, keepdims: bool, signed: bool) -> Any:
    """The logarithm of the sum of ``weight * exp(a)``, or of its magnitude."""
    for b in weights:  # what counts nothing need not be finite
        a = np.where(np.logical_and(b == 0, np.logical_not(np.isfinite(a))), -np.inf, a)
    top = _largest(a, axis)
    powers = np.exp(a - top)
    for b in weights:
        powers = b * powers
    total = np.sum(powers, axis=axis, keepdims=True)
    result = np.log(np.abs(total) if signed else total) + top
    return result if keepdims else np.squeeze(result, axis=axis)


def _batch(primitive: Callable[[], Primitive]) -> Function:
    """Batch a function along axes that broadcasts its arguments: all axes move up by one."""

    def batch(args: Any, batched: Any, size: int, params: Any) -> Any:
        ranks = [len(np.shape(a)) - b for a, b in zip(args, batched)]
        most = max(ranks)
        moved = [
            np.reshape(a, (size, *(1,) * (most - rank), *np.shape(a)[1:])) if b else a
            for a, b, rank in zip(args, batched, ranks)
        ]
        axis = tuple(i + 1 for i in params["axis"])
        return bind(primitive(), *moved, **{**params, "axis": axis})

    return batch


def _along_axes_dependence(applied: Applied, index: int) -> Labels:
    if "keepdims" not in applied.params:
        return along_axis(applied, index)
    whole = len(applied.args[index].shape) == max(len(a.shape) for a in applied.args)
    return (over_axes if whole else dense)(applied, index)


def _along_axes(name: str, forward: Function, composition: Function, count: int) -> Primitive:
    full = f"scipy.special.{name}"
    made: list[Primitive] = []
    primitive = Composed(
        full, forward, composition, count, batch=_batch(lambda: made[0]), source=_source(full),
        dependence=_along_axes_dependence,
    )  # fmt: skip
    made.append(primitive)
    return primitive


def _source(name: str) -> Function:
    def source(args: Any, params: Any) -> str:
        words = [f"{key}={value!r}" for key, value in params.items()]
        return f"primitives[{name!r}].forward({', '.join([*args, *words])})"

    return source


def _make_softmax(function: Function, composition: Function) -> Function:
    """Make what tensors do for ``softmax`` and ``log_softmax``."""

    def forward(x: Any, *, axis: Any) -> Any:
        return function(x, axis=axis)

    primitive = _along_axes(function.__name__, forward, composition, 1)

    def normalised(x: Any, axis: Any = None) -> Any:
        x = as_tensor(x)
        return apply(primitive, (x,), {"axis": all_axes(axis, x.ndim)})

    return normalised


def _make_logsumexp(function: Function) -> Function:
    def forward(a: Any, *weights: Any, axis: Any, keepdims: bool, signed: bool) -> Any:
        b = weights[0] if weights else None
        result = function(a, axis=axis, b=b, keepdims=keepdims, return_sign=signed)
        return result[0] if signed else result

    plain = _along_axes("logsumexp", forward, logsumexp_of, 1)
    weighted = _along_axes("logsumexp_weighted", forward, logsumexp_of, 2)

    def logsumexp(
        a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
    ) -> Any:
        args: tuple[Any, ...] = tuple(as_tensor(x) for x in (a, b) if x is not None)
        shape = np.broadcast_shapes(*(x.shape for x in args))
        if len(args) == 2 and args[0].shape != shape:
            args = (np.broadcast_to(args[0], shape), args[1])
        params: dict[str, Any] = {
            "axis": all_axes(axis, len(shape)),
            "keepdims": bool(keepdims),
            "signed": bool(return_sign),
        }
        result = apply(plain if b is None else weighted, args, params)
        if not return_sign:
            return result
        powers: Any = np.exp(args[0] - _largest(args[0], params["axis"]))
        for weight in args[1:]:
            powers = weight * powers
        return result, np.sign(np.sum(powers, axis=params["axis"], keepdims=bool(keepdims)))

    return logsumexp


# Elements ----------------------------------------------------------------------------------------


def _make_multigammaln(function: Function) -> Function:
    def composition(a: Any, *, d: int) -> Any:
        return sum(
            (sc.gammaln(a - 0.5 * j) for j in range(d)), d * (d - 1) * 0.25 * math.log(np.pi)
        )

    primitive: Primitive = Composed(
        "scipy.special.multigammaln",
        lambda a, *, d: function(a, d),
        composition,
        1,
        batch=lambda args, batched, size, params: bind(primitive, *args, **params),
        source=_source("scipy.special.multigammaln"),
        dependence=by_place,
    )

    def multigammaln(a: Any, d: Any) -> Any:
        return apply(primitive, (operand(a),), {"d": index(d)})

    return multigammaln


def _make_polygamma(function: Function) -> Function:
    """The derivative is the next polygamma function (DLMF 5.15.1)."""
    primitive: Primitive = elementwise(
        "scipy.special.polygamma",
        None,
        (None, lambda g, y, n, x: g * bind(primitive, n + 1, x)),
        None,
        forward=function,
        source=_source("scipy.special.polygamma"),
    )

    def polygamma(n: Any, x: Any) -> Any:
        return apply(primitive, (operand(n), operand(x)))

    return polygamma


def _make_spherical(function: Function, modified: int, sign: int) -> Function:
    """Make a spherical Bessel function, and its derivative (DLMF 10.51.1, 10.51.4, 10.51.5)."""

    def slope(primitive: Primitive, n: Any, x: Any) -> Any:
        below, above = bind(primitive, np.maximum(n - 1, 0), x), bind(primitive, n + 1, x)
        lower = np.where(n == 0, 0.0, n * below)
        return sign * (lower + modified * (n + 1) * above) / (2 * n + 1)

    def declare(name: str, derivative: bool) -> Primitive:
        primitive: Primitive = elementwise(
            name,
            None,
            (None, lambda g, y, n, x: g * slope(primitive, n, x)),
            None,
            forward=lambda n, x: function(n, x, derivative=derivative),
            source=_source(name),
        )
        return primitive

    full = f"scipy.special.{function.__name__}"
    value, first = declare(full, False), declare(f"{full}'", True)

    def spherical(n: Any, z: Any, derivative: bool = False) -> Any:
        return apply(first if derivative else value, (operand(n), operand(z)))

    return spherical


def _make_diric(function: Function) -> Function:
    """The derivative is that of a sum of cosines (DLMF 1.8.6 and 4.21.15)."""

    def composition(x: Any, *, n: int) -> Any:
        return np.mean(np.cos(x[..., None] * (np.arange(n) - (n - 1) / 2)), axis=-1)

    primitive: Primitive = Composed(
        "scipy.special.diric",
        lambda x, *, n: function(x, n),
        composition,
        1,
        batch=lambda args, batched, size, params: bind(primitive, *args, **params),
        source=_source("scipy.special.diric"),
        dependence=by_place,
    )

    def diric(x: Any, n: Any) -> Any:
        return apply(primitive, (operand(x),), {"n": index(n)})

    return diric


#: The functions of ``scipy.special`` that are no ufuncs, and what makes their counterparts of SciPy's.
MAKERS: dict[str, Callable[[Function], Function]] = {
    "logsumexp": _make_logsumexp,
    "softmax": lambda function: _make_softmax(function, softmax_of),
    "log_softmax": lambda function: _make_softmax(function, log_softmax_of),
    "softplus": lambda function: lambda x, **kwargs: np.logaddexp(0, x, **kwargs),
    "multigammaln": _make_multigammaln,
    "diric": _make_diric,
    "polygamma": _make_polygamma,
    "spherical_jn": lambda function: _make_spherical(function, -1, 1),
    "spherical_yn": lambda function: _make_spherical(function, -1, 1),
    "spherical_in": lambda function: _make_spherical(function, 1, 1),
    "spherical_kn": lambda function: _make_spherical(function, 1, -1),
}
