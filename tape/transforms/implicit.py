"""Implicit derivatives: ``custom_root``, ``custom_linear_solve``, ``fixed_point``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.application import bind, held
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import cast
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.core.pytree import Structure, flatten, flatten_like, unflatten
from tapegrad.tape.program.bodies import NotRecordable, record_body
from tapegrad.tape.python.running import read, run
from tapegrad.tape.transforms.batching import BatchTrace, NeedsLoop
from tapegrad.tape.transforms.closures import Closure
from tapegrad.tape.transforms.equations import (
    Equation,
    Solver,
    implicit_p,
    linear_solution,
    solution_p,
)
from tapegrad.tape.transforms.transformed import spelled
from tapegrad.tape.transforms.values import as_value

__all__ = ["custom_linear_solve", "custom_root", "fixed_point"]


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
    """Return a function of leaves and of what the given one reads from outside, and that."""
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
    return [
        v if v.dtype.kind in CONTINUOUS else cast(v, np.dtype(float)) for v in values
    ], structure


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
        Of which a root is wanted: takes and returns nests of arrays, of the same structure and shapes.
        What it reads from outside is what the root depends on.
    initial_guess : array or nest of arrays
        Where the solver starts. No derivative flows to it.
    solve : callable
        ``solve(f, initial_guess)`` returns the root. It gets plain arrays, also in place of the
        tensors that it closes over, and may be anybody's code: it is not differentiated.
    tangent_solve : callable
        ``tangent_solve(g, y)`` returns the x with ``g(x) = y`` for a linear function `g`: the
        derivative of `f`, or its transpose. It gets plain arrays, as `solve`.

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
    Both solvers are called when the result is, for each example of a batch by itself, and under
    ``jit`` as steps of the plan.

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
        A linear function, from nests of arrays to nests of the same structure and shapes. What it
        reads from outside is what the solution depends on, beside `b`.
    b : array or nest of arrays
    solve : callable
        ``solve(matvec, b)`` returns the x with ``matvec(x) = b``. It gets plain arrays, also in place
        of the tensors that it closes over, and may be anybody's code: it is not differentiated.
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
    results = linear_solution(function, right, theta, tensors, first, second, ())
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
        ``f(params, x)`` returns the next x, of the structure and shapes of x. It must be a contraction
        near the fixed point.
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
    The linear equations of the derivatives are solved by the same iteration, which converges as fast.
    None of the steps is kept.

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
