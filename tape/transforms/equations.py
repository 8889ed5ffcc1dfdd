"""Solutions of equations, and their implicit derivatives: the entries.

What a solver finds is a function of the equation that it solves: of F(x, theta) = 0 the tangents are
those x' with F_x x' + F_theta theta' = 0, and cotangents are pulled back by the transposed linear
system. How the solver came to x does not matter, so that it may be anybody's code, on plain arrays.

Two entries stand for it: one finds x (:data:`solution_p`), and has no derivative; the other returns what
was found, with the derivative that the equation gives it (:data:`implicit_p`). That derivative is itself
the solution of a linear equation, found in the same way, and so has derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.application import belongs, bind, held, lower
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import Structure, flatten_like, unflatten
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.python.running import unread
from tapegrad.tape.transforms.batching import BatchTrace
from tapegrad.tape.transforms.closures import Closure
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.own_rules import cotangents_of, pulled_through, transposed_at
from tapegrad.tape.transforms.reverse_mode import ReverseTrace

__all__ = ["Equation", "Solver", "implicit_p", "linear_solution", "solution_p"]

#: A function of arrays, one after the other, that returns a sequence of them.
Flat = Callable[..., Sequence[Any]]
#: The sizes of batches, and which operands have such a batch axis in front; the innermost comes first.
Levels = tuple[tuple[int, tuple[bool, ...]], ...]


class Solver(NamedTuple):
    """A user's function ``solve(function, start)``, whose tensors are operands of the entry."""

    closure: Closure
    first: int  # where its tensors are among those of the entry
    structure: Structure

    def __call__(self, function: Flat, start: Sequence[Any], tensors: Sequence[Any]) -> list[Any]:
        """Solve; `function` takes and returns leaves."""
        count = len(self.closure.tensors)
        user_solve = self.closure.given(tensors[self.first : self.first + count])

        def of_nests(tree: Any) -> Any:
            leaves = flatten_like(self.structure, tree, "a solver called its function: arguments")
            return unflatten(self.structure, function(*leaves))

        what = f"{self.closure!r}: a solution must be as what it started from"
        with unread():
            solution = user_solve(of_nests, unflatten(self.structure, start))
        found = flatten_like(self.structure, solution, what)
        for x, like in zip(found, start):
            if np.shape(x) != np.shape(like):
                raise ValueError(f"{what}; it has shape {np.shape(x)}, not {np.shape(like)}")
        return [_array(x, like.dtype) for x, like in zip(found, start)]


def _array(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return a solution as a plain array: solvers may compute with imperative tensors."""
    if isinstance(value, Tensor) and value.live_trace.level:
        raise TypeError(
            "a solver returned a traced value: it reads one that it does not close over (from an "
            "attribute, say). Take such values into variables of the function that holds the solver"
        )
    return np.array(value.value if isinstance(value, Tensor) else value, dtype)


class Equation(NamedTuple):
    """F(x, theta) = 0, with what solves linear equations that have its jacobian by x.

    Attributes
    ----------
    function : callable
        Takes the leaves of x, and of theta.
    number : int
        Of the leaves of x.
    solve, transposed : Solver or None
        For J v = y, and for the transpose.
    derivative : callable or None
        ``derivative(*v, *x, *theta)`` is J v, if that is known.
    """

    function: Any
    number: int
    solve: Solver
    transposed: Solver | None
    derivative: Any = None

    @property
    def tangent(self) -> Flat:
        """``tangent(*v, *x, *theta)`` is J v."""
        return self.derivative or _Tangent(self.function, self.number)  # type: ignore[return-value]


class _Tangent(NamedTuple):
    """The derivative of F by x, along a direction: a function of direction, x and theta."""

    function: Any
    number: int

    def __call__(self, *values: Any) -> list[Any]:
        n = self.number
        tangents = [*values[:n], *[None] * (len(values) - 2 * n)]
        return pushed_through(self.function, values[n:], tangents)


class _Transposed(NamedTuple):
    """The transpose of a linear function of its first arguments."""

    function: Any
    number: int

    def __call__(self, *values: Any) -> list[Any]:
        n = self.number
        rest = values[n:]
        likes = list(map(held, values[:n]))
        found = transposed_at(lambda vs: self.function(*vs, *rest), likes, values[:n], ReverseTrace)
        return [np.zeros_like(v) if g is None else g for g, v in zip(found, values[:n])]


class _Linear(NamedTuple):
    """The equation A v - y = 0: a function of v, y and what A depends on."""

    function: Any
    number: int

    def __call__(self, *values: Any) -> list[Any]:
        n = self.number
        return [a - y for a, y in zip(self.function(*values[:n], *values[2 * n :]), values[n:])]


class _OfLinear(NamedTuple):
    """Its derivative: A v, as a function of the direction, v, y, and what A depends on."""

    function: Any
    number: int

    def __call__(self, *values: Any) -> Sequence[Any]:
        n = self.number
        return self.function(*values[:n], *values[3 * n :])  # type: ignore[no-any-return]


def pushed_through(function: Flat, values: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """Return the tangents of what a function gives; None stands for tangents of zeros."""
    with new_trace(JVPTrace) as trace:
        given = [
            v if t is None else trace.variable(held(v), tangent=held(t))
            for v, t in zip(values, tangents)
        ]
        return [
            r.node if belongs(r, trace) else np.zeros(np.shape(r), r.dtype)
            for r in function(*given)
        ]


def _over(function: Flat, levels: Levels, places: Sequence[int]) -> Flat:
    """Return a function of batches; its operands are those of an entry at `places`."""
    if not levels:
        return function

    def whole(*values: Any) -> list[Any]:
        with ExitStack() as stack:
            traces = []
            given = list(values)
            for size, flags in reversed(levels):
                trace = stack.enter_context(new_trace(BatchTrace, size))
                traces.append(trace)
                given = [
                    trace.variable(v) if flags[p] else v for v, p in zip(map(held, given), places)
                ]
            results = list(function(*given))
            for trace in reversed(traces):
                results = [
                    r.value
                    if belongs(r, trace)
                    else np.broadcast_to(lower(r, trace), (trace.size, *np.shape(r)))
                    for r in results
                ]
            return results

    return whole


# The entries -------------------------------------------------------------------------------------------

# solution(*start, *theta, *tensors, solve, function, levels): `solve` finds x for the function of x that
# `function` is at theta, from `start`. implicit(*x, *theta, *tensors, equation, levels) gives x.


def _solve(
    *values: Any, solve: Solver, function: Any, counts: tuple[int, int], levels: Levels
) -> tuple[Any, ...]:
    n, m = counts
    body = state.get().body
    if body is not None and body.has_examples:
        return tuple(np.zeros(np.shape(v), v.dtype) for v in values[:n])
    sizes = tuple(size for size, _ in reversed(levels))
    values = tuple(map(np.asarray, values))
    found = [
        np.empty((*sizes, *_example_shape(v, i, levels)), v.dtype) for i, v in enumerate(values[:n])
    ]
    for index in np.ndindex(sizes):
        given = [_example(v, i, index, levels) for i, v in enumerate(values)]
        theta = given[n : n + m]
        solved = solve(lambda *x, theta=theta: function(*x, *theta), given[:n], given[n + m :])
        for out, x in zip(found, solved):
            out[index] = x
    return tuple(found)


def _example(value: Any, place: int, index: tuple[int, ...], levels: Levels) -> Any:
    """Return one example of an operand."""
    batched = (flags[place] for _, flags in reversed(levels))
    return value[tuple(i for i, b in zip(index, batched) if b)]


def _example_shape(value: Any, place: int, levels: Levels) -> tuple[int, ...]:
    return value.shape[sum(flags[place] for _, flags in levels) :]  # type: ignore[no-any-return]


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    """Note which operands are batches; what is solved for is one in any case."""
    n = params["equation"].number if "equation" in params else params["counts"][0]
    flags = tuple(b or i < n for i, b in enumerate(batched))
    args = [
        np.broadcast_to(a, (size, *np.shape(a))) if f and not b else a
        for a, b, f in zip(args, batched, flags)
    ]
    primitive = implicit_p if "equation" in params else solution_p
    levels = (*params["levels"], (size, flags))
    return bind(primitive, *args, **{**params, "levels": levels})  # type: ignore[no-any-return]


solution_p = Primitive(
    "solution",
    _solve,
    multiple=True,
    jvp=lambda tangents, y, *args, **params: [None] * len(y),
    batch=_batch,
    takes_complex=True,
)


def _found(*values: Any, equation: Equation, levels: Levels, theta: int) -> tuple[Any, ...]:
    return tuple(np.array(x) for x in values[: equation.number])


def linear_solution(
    matvec: Any,
    right: Sequence[Any],
    theta: Sequence[Any],
    tensors: Sequence[Any],
    solve: Solver,
    transposed: Solver | None,
    levels: Levels,
) -> Sequence[Any]:
    """Return the solution of ``matvec(*v, *theta) = right``."""
    n, m = len(right), len(theta)
    found = bind(
        solution_p,
        *right, *theta, *tensors,
        solve=solve, function=matvec, counts=(n, m), levels=levels,
    )  # fmt: skip
    equation = Equation(_Linear(matvec, n), n, solve, transposed, _OfLinear(matvec, n))
    double = tuple((size, (*flags[:n], *flags)) for size, flags in levels)
    return bind(  # type: ignore[no-any-return]
        implicit_p, *found, *right, *theta, *tensors, equation=equation, levels=double, theta=n + m
    )


def _pull(
    g: Any, y: Any, *values: Any, equation: Equation, levels: Levels, theta: int
) -> list[Any]:
    n = equation.number
    if equation.transposed is None:
        raise TypeError(
            "custom_linear_solve: reverse mode solves the transposed equation; give it transpose_solve, "
            "or symmetric=True"
        )
    given, tensors = values[n : n + theta], values[n + theta :]
    # For whoever differentiates below, x is a function of what it depends on.
    x = bind(implicit_p, *values, equation=equation, levels=levels, theta=theta)
    transposed = _Transposed(equation.tangent, n)
    cotangents = cotangents_of(g, list(map(held, x)))
    multipliers = linear_solution(
        transposed,
        cotangents,
        (*x, *given),
        tensors,
        equation.transposed,
        equation.solve,
        tuple((size, ((True,) * n + flags)) for size, flags in levels),
    )
    function = _over(equation.function, levels, range(n + theta))
    parts = pulled_through(lambda *thetas: function(*x, *thetas), given, [-m for m in multipliers])
    return [*[None] * n, *parts, *[None] * len(tensors)]


def _push(
    tangents: Any, y: Any, *values: Any, equation: Equation, levels: Levels, theta: int
) -> Any:
    n = equation.number
    given, tensors = values[n : n + theta], values[n + theta :]
    # For whoever differentiates below, x is a function of what it depends on.
    x = bind(implicit_p, *values, equation=equation, levels=levels, theta=theta)
    moving = tangents[n : n + theta]
    if all(t is None for t in moving):
        return [None] * n
    function = _over(equation.function, levels, range(n + theta))
    pushed = pushed_through(lambda *thetas: function(*x, *thetas), given, moving)
    return linear_solution(
        equation.tangent,
        [-p for p in pushed],
        (*x, *given),
        tensors,
        equation.solve,
        equation.transposed,
        tuple((size, ((True,) * n + flags)) for size, flags in levels),
    )


implicit_p = Primitive(
    "implicit",
    _found,
    pull_all=_pull,
    jvp=_push,
    batch=_batch,
    takes_complex=True,
    multiple=True,
    saves=("none", "value"),
)
