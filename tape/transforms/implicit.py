"""Implicit derivatives: ``custom_root``, ``custom_linear_solve``, ``fixed_point``.

What a solver finds is a function of the equation that it solves: of F(x, theta) = 0 the tangents are those
x' with F_x x' + F_theta theta' = 0, and cotangents are pulled back by the transposed linear system. How the
solver came to x does not matter, so that it may be anybody's code, on plain arrays.

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
from tapegrad.tape.core.cotangents import cast
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.pytree import Structure, flatten, flatten_like, unflatten
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.bodies import NotRecordable, record_body
from tapegrad.tape.python.running import read, run, unread
from tapegrad.tape.transforms.batching import BatchTrace, NeedsLoop
from tapegrad.tape.transforms.closures import Closure
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.own_rules import cotangents_of, pulled_through, transposed_at
from tapegrad.tape.transforms.transformed import spelled
from tapegrad.tape.transforms.values import as_value

__all__ = ["custom_linear_solve", "custom_root", "fixed_point", "implicit_p", "solution_p"]

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
    count : int
        The number of leaves of x.
    solve, transposed : Solver or None
        For J v = y, and for the transpose.
    derivative : callable or None
        ``derivative(*v, *x, *theta)`` is J v, if that is known.
    """

    function: Any
    count: int
    solve: Solver
    transposed: Solver | None
    derivative: Any = None

    @property
    def tangent(self) -> Flat:
        """``tangent(*v, *x, *theta)`` is J v."""
        return self.derivative or _Tangent(self.function, self.count)


class _Tangent(NamedTuple):
    """The derivative of F by x, along a direction: a function of direction, x and theta."""

    function: Any
    count: int

    def __call__(self, *values: Any) -> list[Any]:
        n = self.count
        tangents = [*values[:n], *[None] * (len(values) - 2 * n)]
        return pushed_through(self.function, values[n:], tangents)


class _Transposed(NamedTuple):
    """The transpose of a linear function of its first arguments."""

    function: Any
    count: int

    def __call__(self, *values: Any) -> list[Any]:
        n = self.count
        rest = values[n:]
        found = transposed_at(
            lambda vs: self.function(*vs, *rest), list(map(held, values[:n])), values[:n]
        )
        return [np.zeros_like(v) if g is None else g for g, v in zip(found, values[:n])]


class _Linear(NamedTuple):
    """The equation A v - y = 0: a function of v, y and what A depends on."""

    function: Any
    count: int

    def __call__(self, *values: Any) -> list[Any]:
        n = self.count
        return [a - y for a, y in zip(self.function(*values[:n], *values[2 * n :]), values[n:])]


class _OfLinear(NamedTuple):
    """Its derivative: A v, as a function of the direction, v, y, and what A depends on."""

    function: Any
    count: int

    def __call__(self, *values: Any) -> Sequence[Any]:
        n = self.count
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
    n = params["equation"].count if "equation" in params else params["counts"][0]
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
)


def _found(*values: Any, equation: Equation, levels: Levels, theta: int) -> tuple[Any, ...]:
    return tuple(np.array(x) for x in values[: equation.count])


def _linear_solution(
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
    n = equation.count
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
    multipliers = _linear_solution(
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
    n = equation.count
    given, tensors = values[n : n + theta], values[n + theta :]
    # For whoever differentiates below, x is a function of what it depends on.
    x = bind(implicit_p, *values, equation=equation, levels=levels, theta=theta)
    moving = tangents[n : n + theta]
    if all(t is None for t in moving):
        return [None] * n
    function = _over(equation.function, levels, range(n + theta))
    pushed = pushed_through(lambda *thetas: function(*x, *thetas), given, moving)
    return _linear_solution(
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
    multiple=True,
    saves=("none", "value"),
)


# The functions -----------------------------------------------------------------------------------------


class _Called(NamedTuple):
    """A function that could not be recorded, as a function of leaves and of its tensors."""

    closure: Closure
    structure: Structure

    def __call__(self, *values: Any) -> list[Any]:
        count = len(values) - len(self.closure.tensors)
        function = self.closure.given(values[count:])
        result = read(None, function, (unflatten(self.structure, values[:count]),), {})
        return [v if isinstance(v, Tensor) else np.asarray(v) for v in flatten(result)[0]]


def _flat(
    function: Callable[[Any], Any], leaves: list[Any], structure: Structure, what: str
) -> tuple[Any, list[Any]]:
    """Return a function of one nest as a function of leaves and of what it reads from outside, and that."""
    try:
        body = record_body(lambda x: run(function, x), leaves, (tuple, None, (structure,)))
    except NotRecordable:
        if any(isinstance(leaf, Tensor) and _is_batch(leaf) for leaf in leaves):
            raise NeedsLoop from None
        closure = Closure(function)
        if any(map(_is_batch, closure.tensors)):
            raise NeedsLoop from None
        return _Called(closure, structure), list(closure.tensors)
    outputs = [held(o) if not hasattr(o, "shape") else o for o in body.program.outputs]
    if body.structure != structure or [o.shape for o in outputs] != [np.shape(x) for x in leaves]:
        given = unflatten(structure, [np.shape(x) for x in leaves])
        raise ValueError(
            f"{what} must return what has the structure and shapes of its argument, {given!r}; it "
            f"returned {unflatten(body.structure, [o.shape for o in outputs])!r}"
        )
    return body.program, list(body.hidden.values())


def _is_batch(value: Any) -> bool:
    while isinstance(value, Tensor):
        if isinstance(value.live_trace, BatchTrace):
            return True
        value = value.value
    return False


def _floats(tree: Any, what: str) -> tuple[list[Any], Structure]:
    """Return leaves as arrays or tensors of floats, and the structure."""
    leaves, structure = flatten(tree)
    values = [as_value(leaf, what) for leaf in leaves]
    return [v if v.dtype.kind == "f" else cast(v, np.dtype(float)) for v in values], structure


def _solvers(
    structure: Structure, *functions: Callable[..., Any] | None
) -> tuple[list[Solver | None], list[Tensor]]:
    """Return solvers of an entry, and the tensors that they close over."""
    solvers: list[Solver | None] = []
    tensors: list[Tensor] = []
    for function in functions:
        if function is None:
            solvers.append(None)
            continue
        closure = Closure(function)
        solvers.append(Solver(closure, len(tensors), structure))
        tensors += closure.tensors
    return solvers, tensors


def _results(structure: Structure, results: Sequence[Any]) -> Any:
    return unflatten(
        structure, [r[()] if type(r) is np.ndarray and not r.ndim else r for r in results]
    )


def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[..., Any],
    tangent_solve: Callable[..., Any],
) -> Any:
    """Find a root by a solver of any kind; its derivatives are those of the equation.

    Parameters
    ----------
    f : callable
        Of which a root is wanted: takes and returns nests of arrays, of the same structure and shapes. What
        it reads from outside is what the root depends on.
    initial_guess : array or nest of arrays
        Where the solver starts. No derivative flows to it.
    solve : callable
        ``solve(f, initial_guess)`` returns the root. It gets plain arrays, also in place of the tensors that
        it closes over, and may be anybody's code: it is not differentiated.
    tangent_solve : callable
        ``tangent_solve(g, y)`` returns the x with ``g(x) = y`` for a linear function `g`: the derivative of
        `f`, or its transpose. It gets plain arrays, as `solve`.

    Returns
    -------
    array or nest
        The root, in the structure of the guess.

    See Also
    --------
    custom_linear_solve : for linear equations.
    fixed_point : by iteration.

    Notes
    -----
    Both solvers are called when the result is, for each example of a batch by itself, and under ``jit`` as
    steps of the plan.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def bisect(f, guess):
    ...     low, high = 0.0, 10.0
    ...     for _ in range(60):
    ...         middle = (low + high) / 2
    ...         low, high = (low, middle) if f(np.array(middle)) > 0 else (middle, high)
    ...     return middle
    >>> def root(a):
    ...     return tg.custom_root(lambda x: x**3 - a, 1.0, bisect, lambda g, y: y / g(1.0))
    >>> float(np.round(root(8.0), 6)), float(np.round(tg.grad(root)(8.0), 6))
    (2.0, 0.083333)
    """
    guess, structure = _floats(initial_guess, "custom_root")
    for name, function in (("f", f), ("solve", solve), ("tangent_solve", tangent_solve)):
        _check_function("custom_root", name, function)
    function, theta = _flat(f, guess, structure, f"custom_root: {spelled(f)}")
    (first, linear), tensors = _solvers(structure, solve, tangent_solve)
    assert first is not None and linear is not None
    n, m = len(guess), len(theta)
    operands = [_constant(x) for x in guess]
    found = bind(
        solution_p,
        *operands, *theta, *tensors,
        solve=first, function=function, counts=(n, m), levels=(),
    )  # fmt: skip
    equation = Equation(function, n, linear, linear)
    results = bind(implicit_p, *found, *theta, *tensors, equation=equation, levels=(), theta=m)
    return _results(structure, results)


def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[..., Any],
    transpose_solve: Callable[..., Any] | None = None,
    symmetric: bool = False,
) -> Any:
    """Solve a linear equation by a solver of any kind; its derivatives are those of the equation.

    Parameters
    ----------
    matvec : callable
        A linear function, from nests of arrays to nests of the same structure and shapes. What it reads from
        outside is what the solution depends on, beside `b`.
    b : array or nest of arrays
    solve : callable
        ``solve(matvec, b)`` returns the x with ``matvec(x) = b``. It gets plain arrays, also in place of the
        tensors that it closes over, and may be anybody's code: it is not differentiated.
    transpose_solve : callable, optional
        ``transpose_solve(vecmat, b)`` does the same for the transpose; reverse mode needs it.
    symmetric : bool
        Whether the function is its own transpose: then `solve` serves for both.

    Returns
    -------
    array or nest
        In the structure of `b`.

    See Also
    --------
    custom_root : for other equations.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def solution(a):
    ...     matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    ...     solve = lambda matvec, b: np.linalg.solve(a * matrix, b)
    ...     return tg.custom_linear_solve(lambda x: a * (matrix @ x), np.ones(2), solve, symmetric=True)
    >>> tg.jvp(solution, (1.0,), (1.0,))
    (array([0.4, 0.2]), array([-0.4, -0.2]))
    """
    what = "custom_linear_solve"
    right, structure = _floats(b, what)
    _check_function(what, "matvec", matvec)
    _check_function(what, "solve", solve)
    if transpose_solve is not None:
        _check_function(what, "transpose_solve", transpose_solve)
    if symmetric and transpose_solve is None:
        transpose_solve = solve
    function, theta = _flat(matvec, right, structure, f"{what}: {spelled(matvec)}")
    (first, second), tensors = _solvers(structure, solve, transpose_solve)
    assert first is not None
    results = _linear_solution(function, right, theta, tensors, first, second, ())
    return _results(structure, results)


def fixed_point(
    f: Callable[[Any, Any], Any],
    params: Any,
    x0: Any,
    *,
    tol: float = 1e-12,
    max_steps: int = 10_000,
) -> Any:
    """Iterate a function until its argument stays; the derivatives are those of the equation.

    Parameters
    ----------
    f : callable
        ``f(params, x)`` returns the next x, of the structure and shapes of x. It must be a contraction near
        the fixed point.
    params : array, or anything
        What the fixed point depends on; so it does on what `f` reads from outside.
    x0 : array or nest of arrays
        Where the iteration starts. No derivative flows to it.
    tol : float
        The iteration ends when no element changes by more than ``tol * max(1, |x|)``.
    max_steps : int

    Returns
    -------
    array or nest
        The x with ``f(params, x) = x``.

    Raises
    ------
    RuntimeError
        If it takes more steps.

    Notes
    -----
    The linear equations of the derivatives are solved by the same iteration, which converges as fast. None
    of the steps is kept.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def root(a):  # Newton's iteration for the square root
    ...     return tg.fixed_point(lambda a, x: (x + a / x) / 2, a, 1.0)
    >>> float(np.round(root(4.0), 6)), float(np.round(tg.grad(root)(4.0), 6))
    (2.0, 0.25)
    """
    _check_function("fixed_point", "f", f)

    def rest(x: Any) -> Any:
        leaves, structure = flatten(x)
        what = "fixed_point: f must return what x is"
        new = flatten_like(structure, run(f, params, x), what)
        return unflatten(structure, [a - b for a, b in zip(leaves, new)])

    def iterated(step: Callable[[list[Any]], list[Any]], x: list[Any]) -> list[Any]:
        for _ in range(max_steps):
            new = step(x)
            if all(np.all(np.abs(a - b) <= tol * np.maximum(1, np.abs(b))) for a, b in zip(x, new)):
                return new
            x = new
        raise RuntimeError(
            f"fixed_point: {spelled(f)} has no fixed point within {max_steps} steps to tol={tol}: the "
            "iteration does not converge, or not fast enough"
        )

    def solve(function: Callable[[Any], Any], x: Any) -> Any:
        leaves, structure = flatten(x)

        def step(x: list[Any]) -> list[Any]:
            return [a - r for a, r in zip(x, flatten(function(unflatten(structure, x)))[0])]

        return unflatten(structure, iterated(step, leaves))

    def solve_linear(function: Callable[[Any], Any], y: Any) -> Any:
        right, structure = flatten(y)

        def step(x: list[Any]) -> list[Any]:
            found = flatten(function(unflatten(structure, x)))[0]
            return [a - r + b for a, r, b in zip(x, found, right)]

        return unflatten(structure, iterated(step, right))

    return custom_root(rest, x0, solve, solve_linear)


def _constant(value: Any) -> Any:
    """Return a guess without its history."""
    return bind(primitives["stop_gradient"], value) if isinstance(value, Tensor) else value


def _check_function(what: str, name: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"{what}: {name} must be a function, not {type(function).__name__}")
