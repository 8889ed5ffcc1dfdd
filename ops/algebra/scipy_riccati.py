"""Algebraic equations of Riccati, as SciPy solves them: optimal control of linear systems.

The solution x is a least cost, and the gain k minimises it: so k stands still where the matrices move,
and what is left to solve is linear, an equation of Lyapunov in the closed loop ``a - b k``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.ops.algebra.matrix_functions import by_name, of_scipy
from tapegrad.ops.algebra.scipy_equations import (
    batched_stacks,
    checked,
    discrete_lyapunov_p,
    over_stacks,
    sylvester_p,
)
from tapegrad.ops.algebra.singular import turned
from tapegrad.ops.algebra.systems import matrix, solve_p, square
from tapegrad.ops.declare.refusals import refuse
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["RICCATI"]


def _parts(g: Array, x: Array, args: Sequence[Array], discrete: bool) -> tuple[Any, ...]:
    """Return the cotangents of a, b, q and r."""
    a, b, _, r = args
    bx = np.matmul(turned(b), x)
    if discrete:
        gain = bind(solve_p, r + np.matmul(bx, b), np.matmul(bx, a))
    else:
        gain = bind(solve_p, r, bx)
    loop = a - np.matmul(b, gain)
    if discrete:
        s = bind(discrete_lyapunov_p, loop, g, method=None)
        moved = np.matmul(x, loop)
    else:
        s = bind(sylvester_p, loop, turned(loop), -g)
        moved = x
    of_a = np.matmul(moved, s + turned(s))
    of_b = -np.matmul(of_a, turned(gain))
    return of_a, of_b, s, np.matmul(np.matmul(gain, s), turned(gain))


def _equation(name: str, discrete: bool) -> Primitive:
    def forward(*args: Array) -> Any:
        return over_stacks(of_scipy(name), *args).astype(np.result_type(*args), copy=False)

    def rule(index: int) -> Any:
        return lambda g, y, *args: _parts(g, y, args, discrete)[index]

    primitive: Primitive = Primitive(
        f"scipy.linalg.{name}",
        forward,
        tuple(map(rule, range(4))),
        batch=batched_stacks(lambda: primitive),
        source=by_name(f"scipy.linalg.{name}"),
    )
    return primitive


def _solver(name: str, discrete: bool) -> Callable[..., Any]:
    primitive = _equation(name, discrete)

    def solve(
        a: Any, b: Any, q: Any, r: Any, e: Any = None, s: Any = None, balanced: bool = True
    ) -> Any:
        a, q, r = (square(checked(m, True)) for m in (a, q, r))
        b = matrix(checked(b, True))
        for wrong, why in (
            (e is not None or s is not None, "of tensors it takes no e and no s"),
            ("c" in {m.dtype.kind for m in (a, b, q, r)}, "tensors must be real"),
        ):
            if wrong:
                refuse(a, f"scipy.linalg.{name}", why)
        q, r = (q + turned(q)) / 2, (r + turned(r)) / 2  # SciPy demands that they are symmetric
        return apply(primitive, (a, b, q, r))

    return solve


#: By the names of SciPy's functions.
RICCATI: dict[str, Callable[..., Any]] = {
    "solve_continuous_are": _solver("solve_continuous_are", False),
    "solve_discrete_are": _solver("solve_discrete_are", True),
}
