"""The functions of ``math`` and ``cmath`` on tensors.

What is differentiable stays traced, as a number; what is locally constant (``floor``, ``isnan``) is a
number or a bool, whose value, or outcome, is consumed. Errors are those of Python.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.digamma import digamma
from tapegrad.ops.python.scalars import (
    applied,
    declare,
    declare_of_vectors,
    real_operand,
    vector,
)
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.floats import as_float, check_outcome, known_number
from tapegrad.tape.array.numbers import as_number, complex_operand, plain_array
from tapegrad.tape.array.replacements import replaces, takes_tensors
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.primitive import Primitive, Rule

__all__: list[str] = []

Function = Callable[..., Any]

# One by one ----------------------------------------------------------------------------------------


def _differentiable(name: str, compute: Function, *, total: bool = False) -> None:
    """Register a function of one or more numbers; `total` says that it never raises."""
    original = getattr(math, name)

    def function(*args: Any) -> Any:
        return applied(original, compute, *args, total=total)

    function.__name__ = function.__qualname__ = name
    replaces(original)(function)


def _applying(primitive: Primitive) -> Function:
    return lambda *args: apply(primitive, args)


def _own(name: str, *rules: Rule | None, total: bool = False) -> None:
    """Register a function that NumPy does not have, with its partial derivatives."""
    if hasattr(math, name):  # some are younger than the Python that runs
        primitive = declare(f"math.{name}", getattr(math, name), *rules)
        _differentiable(name, _applying(primitive), total=total)


_UFUNCS = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "atanh": np.arctanh, "cos": np.cos,
    "cosh": np.cosh, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "fmod": np.fmod,
    "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "pow": np.power, "sin": np.sin,
    "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan,
}  # fmt: skip
_TOTAL_UFUNCS = {
    "asinh": np.arcsinh, "atan": np.arctan, "atan2": np.arctan2, "cbrt": np.cbrt,
    "copysign": np.copysign, "degrees": np.degrees, "fabs": np.fabs, "radians": np.radians,
    "tanh": np.tanh,
}  # fmt: skip

for _name, _ufunc in _UFUNCS.items():
    _differentiable(_name, _ufunc)
for _name, _ufunc in _TOTAL_UFUNCS.items():
    _differentiable(_name, _ufunc, total=True)
_differentiable("modf", np.modf, total=True)

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)

_own("erf", lambda g, y, x: g * (_TWO_OVER_ROOT_PI * np.exp(-(x * x))), total=True)
_own("erfc", lambda g, y, x: -g * (_TWO_OVER_ROOT_PI * np.exp(-(x * x))), total=True)
_own("gamma", lambda g, y, x: g * (y * digamma(x)))
_own("lgamma", lambda g, y, x: g * digamma(x))
_own("remainder", lambda g, z, x, y: g, lambda g, z, x, y: -g * np.rint((x - z) / y))
_own("fma", lambda g, w, x, y, z: g * y, lambda g, w, x, y, z: g * x, lambda g, w, x, y, z: g)
_own("ulp", None, total=True)


@replaces(math.log)
def _log(x: Any, *base: Any) -> Any:
    """The quotient of two logarithms, as Python computes it."""
    if not base:
        return applied(math.log, np.log, x)
    if len(base) == 1 and (isinstance(base[0], Tensor) or isinstance(x, Tensor)):
        return applied(math.log, lambda x, base: np.log(x) / np.log(base), x, *base)
    return math.log(x, *base)


@replaces(math.ldexp)
def _ldexp(x: Any, i: Any) -> Any:
    power = i.__index__() if isinstance(i, Tensor) else i
    if not isinstance(x, Tensor):
        return math.ldexp(x, power)
    return applied(lambda x: math.ldexp(x, power), lambda x: np.ldexp(x, power), x)


@replaces(math.frexp)
def _frexp(x: Any) -> tuple[Any, int]:
    """The mantissa has a derivative; the exponent is consumed."""
    mantissa, exponent = np.frexp(real_operand(x))
    return as_float(mantissa), as_number(exponent, int)


def _next(x: float, y: float, steps: float) -> float:
    return math.nextafter(x, y) if steps == 1 else math.nextafter(x, y, steps=int(steps))  # type: ignore[call-arg]


#: The derivative is 1 in the first number: the second only tells a direction.
_nextafter_p = declare("math.nextafter", _next, lambda g, z, x, y, steps: g, None, None)


@replaces(math.nextafter)
def _nextafter(x: Any, y: Any, *, steps: Any = None) -> Any:
    steps = 1 if steps is None else int(steps)
    return applied(_next, _applying(_nextafter_p), x, y, steps, total=True)


# Of sequences --------------------------------------------------------------------------------------


def _elements(v: Any) -> list[Any]:
    return [v[..., i] for i in range(v.shape[-1])]


def _length(v: Any) -> Any:
    """The length of vectors, without overflow; its derivative is 0 at the origin."""
    return reduce(np.hypot, _elements(v), 0.0)


_hypot_p = declare_of_vectors("math.hypot", lambda v: math.hypot(*v), _length, 1)
_dist_p = declare_of_vectors("math.dist", math.dist, lambda p, q: _length(p - q), 2)
_fsum_p = declare_of_vectors("math.fsum", math.fsum, lambda v: np.sum(v, -1), 1)


@replaces(math.hypot)
def _hypot(*coordinates: Any) -> Any:
    return applied(math.hypot, lambda *c: apply(_hypot_p, (vector(c),)), *coordinates)


@replaces(math.fsum, within="anywhere")
def _fsum(seq: Iterable[Any], /) -> Any:
    numbers = list(seq)
    if not any(isinstance(a, Tensor) for a in numbers):
        return math.fsum(numbers)
    return applied(lambda *v: math.fsum(v), lambda *v: apply(_fsum_p, (vector(v),)), *numbers)


def _of_two(original: Function, primitive: Primitive) -> None:
    """Register a function of two sequences."""

    def function(p: Iterable[Any], q: Iterable[Any], /) -> Any:
        first, second = list(p), list(q)
        if not any(isinstance(a, Tensor) for a in (*first, *second)):
            return original(first, second)
        n = len(first)
        if n != len(second):
            return original([0.0] * n, [0.0] * len(second))  # raises
        return applied(
            lambda *v: original(v[:n], v[n:]),
            lambda *v: apply(primitive, (vector(v[:n]), vector(v[n:]))),
            *first,
            *second,
        )

    replaces(original, within="anywhere")(function)


_of_two(math.dist, _dist_p)
if hasattr(math, "sumprod"):
    _of_two(
        math.sumprod,
        declare_of_vectors("math.sumprod", math.sumprod, lambda p, q: np.sum(p * q, -1), 2),
    )


# What is locally constant --------------------------------------------------------------------------


def _rounding(original: Function, compute: Function) -> None:
    """Register a function that gives an int: its outcome is consumed."""

    def function(x: Any, /) -> int:
        return as_number(compute(as_number(x)), int)  # type: ignore[no-any-return]

    replaces(original)(function)


_rounding(math.floor, np.floor)
_rounding(math.ceil, np.ceil)
_rounding(math.trunc, np.trunc)


def _question(compute: Function, *originals: Function) -> None:
    """Register functions that give a bool: its outcome is consumed."""

    def function(*args: Any, **kwargs: Any) -> bool:
        return bool(compute(*(real_operand(a) for a in args), **kwargs))

    replaces(*originals)(function)


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-09, abs_tol: float = 0.0) -> Any:
    """Whether two numbers are near each other as ``math.isclose`` means it."""
    math.isclose(0.0, 0.0, rel_tol=rel_tol, abs_tol=abs_tol)  # raises
    size = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    near = apart <= np.maximum(rel_tol * size, abs_tol)
    return np.logical_or(a == b, np.logical_and(near, np.isfinite(size)))


_question(np.isfinite, math.isfinite, cmath.isfinite)
_question(np.isinf, math.isinf, cmath.isinf)
_question(np.isnan, math.isnan, cmath.isnan)
_question(_isclose, math.isclose, cmath.isclose)

takes_tensors(math.comb, math.factorial, math.gcd, math.isqrt, math.lcm, math.perm, math.prod)


# Complex results -----------------------------------------------------------------------------------


def _complex(name: str, compute: Function) -> None:
    """Register a function of ``cmath``: of what is differentiated it is traced, as NumPy's number."""
    original = getattr(cmath, name)

    def function(*args: Any) -> Any:
        if not any(map(is_differentiated, args)):
            return original(*(plain_array(a, f"cmath.{name}") for a in args))
        numbers = [known_number(a) for a in args]
        if None not in numbers:
            original(*numbers)  # raises
        result = compute(*map(complex_operand, args))
        if None not in numbers:
            for part in result if isinstance(result, tuple) else (result,):
                check_outcome(part, args)
        return result

    function.__name__ = function.__qualname__ = name
    replaces(original)(function)


def _rect(r: Any, phi: Any) -> Any:
    return np.real(r) * np.exp(1j * np.real(phi))


_COMPLEX: dict[str, Function] = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atanh": np.arctanh, "cos": np.cos, "cosh": np.cosh, "exp": np.exp, "log10": np.log10,
    "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh,
    "log": lambda z, *base: np.log(z) / np.log(base[0]) if base else np.log(z),
    "rect": _rect, "phase": np.angle, "polar": lambda z: (np.abs(z), np.angle(z)),
}  # fmt: skip
for _name, _compute in _COMPLEX.items():
    _complex(_name, _compute)
