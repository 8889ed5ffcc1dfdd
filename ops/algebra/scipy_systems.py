"""Functions of matrices and systems of equations, with the arguments that SciPy's functions take.

``check_finite`` is honoured; ``overwrite_*``, which only permits, is not made use of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.algebra.determinants import det
from tapegrad.ops.algebra.matrix_functions import FUNCTIONS, along, fractional_power_p
from tapegrad.ops.algebra.scipy_equations import (
    checked,
    discrete_lyapunov_p,
    solve_triangular_p,
    sylvester_p,
)
from tapegrad.ops.algebra.singular import adjoint, turned
from tapegrad.ops.algebra.systems import (
    inv,
    lstsq,
    matrix,
    matrix_power,
    of_triangle,
    pinv,
    solve,
    square,
)
from tapegrad.ops.declare.refusals import refuse, refuse_complex
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.primitive import functions

__all__ = ["SYSTEMS", "solve_triangular"]


# Functions of matrices ---------------------------------------------------------------------------


def _function_of_matrices(name: str) -> Callable[..., Any]:
    def function(A: Any, *args: Any, **kwargs: Any) -> Any:
        A = square(A, name)
        if args or kwargs:  # `disp` of SciPy before 1.18
            refuse(A, f"scipy.linalg.{name}", "of a tensor it takes no further arguments")
        y = apply(FUNCTIONS[name], (A,))
        if name in ("sqrtm", "logm") and A.dtype.kind != "c":
            refuse_complex(A, f"scipy.linalg.{name}", y)
        return y

    return function


def _fractional_matrix_power(A: Any, t: Any) -> Any:
    if t == int(t):
        return matrix_power(square(A), int(t))
    A = square(A)
    y = apply(fractional_power_p, (A,), {"t": float(t)})
    if A.dtype.kind != "c":
        refuse_complex(A, "scipy.linalg.fractional_matrix_power", y)
    return y


def _expm_frechet(
    A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True
) -> Any:
    a, e = square(checked(A, check_finite)), square(checked(E, check_finite))
    derivative = along(FUNCTIONS["expm"], a, e, {})
    return (apply(FUNCTIONS["expm"], (a,)), derivative) if compute_expm else derivative


# Systems -----------------------------------------------------------------------------------------


def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False,
    overwrite_b: bool = False, check_finite: bool = True,
) -> Any:  # fmt: skip
    a, b = square(checked(a, check_finite)), checked(b, check_finite)
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(
            f"scipy.linalg.solve_triangular: trans={trans!r} is none of 0, 1, 2, N, T, C"
        )
    if b.shape[-1 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ValueError(f"shapes of a {a.shape} and b {b.shape} are incompatible")
    if trans not in (0, "N"):
        a, lower = (adjoint if trans in (2, "C") else turned)(a), not lower
    params = {"lower": bool(lower), "unit": bool(unit_diagonal)}
    if b.ndim == 1:
        column = np.expand_dims(b, -1)
        return apply(solve_triangular_p, (a, column), params)[..., 0]
    return apply(solve_triangular_p, (a, b), params)


def _symmetric(a: Any, lower: bool) -> Any:
    """Complex symmetric matrices are not Hermitian."""
    a = a if lower else turned(a)
    return np.tril(a) + turned(np.tril(a, -1))


#: What is read of a matrix, by what SciPy is told about it.
_READ: dict[Any, Callable[[Any, bool], Any]] = {
    **dict.fromkeys([None, "gen", "general"], lambda a, lower: a),
    **dict.fromkeys(
        ["her", "hermitian", "pos", "positive definite"],
        lambda a, lower: of_triangle(a, "L" if lower else "U"),
    ),
    **dict.fromkeys(["sym", "symmetric"], lambda a, lower: _symmetric(a, lower)),
    "upper triangular": lambda a, lower: np.triu(a),
    "lower triangular": lambda a, lower: np.tril(a),
    "diagonal": lambda a, lower: a * np.eye(a.shape[-1], dtype=a.dtype),
}


def _read(a: Any, check_finite: bool, assume_a: Any, lower: bool) -> Any:
    a = square(checked(a, check_finite))
    if assume_a not in _READ:
        known = ", ".join(repr(k) for k in _READ if k)
        refuse(
            a,
            "scipy.linalg",
            f"assume_a={assume_a!r} is not known for tensors; leave it out, or pass one of {known}",
        )
    return _READ[assume_a](a, lower)


def _solve(
    a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
    check_finite: bool = True, assume_a: Any = None, transposed: bool = False,
) -> Any:  # fmt: skip
    a = _read(a, check_finite, assume_a, lower)
    return solve(turned(a) if transposed else a, checked(b, check_finite))


def _inv(
    a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: Any = None,
    lower: bool = False,
) -> Any:  # fmt: skip
    return inv(_read(a, check_finite, assume_a, lower))


def _det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return det(checked(a, check_finite))


def _solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    return apply(sylvester_p, (square(a), square(b), matrix(q)))


def _solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    a = square(a)
    return apply(sylvester_p, (a, adjoint(a), square(q)))


def _solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    return apply(discrete_lyapunov_p, (square(a), square(q)), {"method": method})


def _lstsq(
    a: Any, b: Any, cond: Any = None, overwrite_a: bool = False, overwrite_b: bool = False,
    check_finite: bool = True, lapack_driver: Any = None,
) -> Any:  # fmt: skip
    a, b = checked(a, check_finite), checked(b, check_finite)
    eps = float(np.finfo(np.result_type(a.dtype, b.dtype)).eps)
    x, residuals, rank, values = lstsq(a, b, eps if cond is None else cond)
    if b.ndim == 1 and residuals.size:
        residuals = residuals[0]
    return x, residuals, rank, None if lapack_driver == "gelsy" else values


def _relative(a: Any, atol: Any, rtol: Any, name: str) -> Any:
    if atol is not None:
        refuse(a, f"scipy.linalg.{name}", "atol is not supported for tensors; pass rtol")
    return rtol


def _pinv(
    a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    a, rtol = matrix(checked(a, check_finite)), _relative(as_tensor(a), atol, rtol, "pinv")
    if rtol is None:
        rtol = max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)
    inverse = pinv(a, rtol=rtol)
    return (inverse, functions[np.linalg.matrix_rank](a, rtol=rtol)) if return_rank else inverse


def _pinvh(
    a: Any, atol: Any = None, rtol: Any = None, lower: bool = True, return_rank: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    a = of_triangle(square(checked(a, check_finite)), "L" if lower else "U")
    return _pinv(a, atol=atol, rtol=rtol, return_rank=return_rank, check_finite=False)


#: By the names of SciPy's functions.
SYSTEMS: dict[str, Callable[..., Any]] = {
    **{name: _function_of_matrices(name) for name in FUNCTIONS},
    "fractional_matrix_power": _fractional_matrix_power,
    "expm_frechet": _expm_frechet,
    "solve_triangular": solve_triangular,
    "solve": _solve,
    "inv": _inv,
    "det": _det,
    "solve_sylvester": _solve_sylvester,
    "solve_continuous_lyapunov": _solve_continuous_lyapunov,
    "solve_discrete_lyapunov": _solve_discrete_lyapunov,
    "lstsq": _lstsq,
    "pinv": _pinv,
    "pinvh": _pinvh,
}
