"""Functions to functions: ``grad``, ``value_and_grad``, ``vjp``, ``jvp``.

They nest to any depth and in any order, accept nests of arrays (tuples, lists, dicts, dataclasses), and
never write into the caller's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.core.as_is import AsIs
from tapegrad.tape.core.types import P, R
from tapegrad.tape.transforms.arguments import Argnums, Choice, along
from tapegrad.tape.transforms.fields import check_arguments, real_results
from tapegrad.tape.transforms.pullbacks import pull_from, push_through
from tapegrad.tape.transforms.transformed import transformed
from tapegrad.tape.transforms.values import floats_only, require_scalar

__all__ = ["grad", "jvp", "value_and_grad", "vjp"]


def vjp(
    function: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    argnums: Argnums | None = None,
    adapt: bool = True,
) -> Any:
    """Return the value of a function, and the function that pulls cotangents back.

    Parameters
    ----------
    function : callable
        Takes and returns arrays or nests of them; it returns floats.
    *primals
        Where to evaluate it; floats, arrays, tensors, or nests of them.
    has_aux : bool
        Whether `function` returns ``(result, aux)``, where aux is not differentiated.
    argnums : int or sequence of int, optional
        By which of the primals to differentiate; the others may be anything. By all by default.
    adapt : bool
        Whether the function is run as its image: conversions, ``math``, stores into plain arrays and
        the functions that it calls are followed. ``False`` runs it as it is.

    Returns
    -------
    result : array or nest
    pullback : callable
        Takes a cotangent of the result's structure and shapes; returns a tuple with the cotangent
        of each primal, or the one that an int chose.
    aux
        Only with `has_aux`.

    Raises
    ------
    TypeError
        If a result is an integer or a boolean.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> y, pullback = tg.vjp(np.sin, np.zeros(2))
    >>> pullback(np.array([1.0, 2.0]))
    (array([1., 2.]),)
    """

    def run(partial: Any, chosen: tuple[Any, ...]) -> Any:
        check = floats_only("vjp", function)
        return pull_from(partial, chosen, has_aux, "vjp", check, deferred=True)

    if not adapt:
        function = AsIs(function)
    if argnums is None:
        result, pullback, aux = run(function, primals)
    else:
        choice = Choice("vjp", argnums)
        result, pullback, aux = choice.run(run, function, primals, {})
        pullback.alone = choice.alone
    return (result, pullback, aux) if has_aux else (result, pullback)


def value_and_grad(
    function: Callable[P, R],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    holomorphic: bool = False,
    adapt: bool = True,
) -> Callable[P, tuple[R, Any]]:
    """Return a function that gives the value of `function` and its gradient.

    Parameters
    ----------
    function : callable
        Returns a scalar.
    argnums : int or sequence of int
        By which positional arguments to differentiate; a sequence gives a tuple of gradients.
    has_aux : bool
        Whether `function` returns ``(scalar, aux)``.
    holomorphic : bool
        Whether the function is holomorphic, and so has complex arguments and a complex result. A real
        result needs no such promise: its gradient by z = x + iy is df/dx - i df/dy.
    adapt : bool
        Whether the function is run as its image: conversions, ``math``, stores into plain arrays and
        the functions that it calls are followed. ``False`` runs it as it is.

    Returns
    -------
    callable
        With the arguments of `function`; returns ``(value, gradient)``, or
        ``((value, aux), gradient)``. The gradient has structure, shapes and dtypes of the argument.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    both = _value_and_gradient("value_and_grad", function, argnums, has_aux, holomorphic, adapt)

    @transformed(
        value_and_grad,
        function,
        argnums=argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
        adapt=adapt,
    )
    def value_and_gradient_of(*args: Any, **kwargs: Any) -> Any:
        value, aux, gradient = both(args, kwargs)
        return ((value, aux) if has_aux else value), gradient

    return value_and_gradient_of


def _value_and_gradient(
    what: str, function: Callable[..., Any], argnums: Argnums, has_aux: bool, holomorphic: bool,
    adapt: bool,
) -> Callable[..., Any]:  # fmt: skip
    """Return a function of ``(args, kwargs)`` that gives value, aux and gradient."""
    choice = Choice(what, argnums)
    check = real_results(require_scalar(what, function), what, function, holomorphic=holomorphic)
    chosen_way = function if adapt else AsIs(function)

    def run(partial: Any, chosen: tuple[Any, ...]) -> Any:
        check_arguments(what, function, chosen, holomorphic=holomorphic)
        return pull_from(partial, chosen, has_aux, what, check)

    def both(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value, pullback, aux = choice.run(run, chosen_way, args, kwargs)
        seed = np.ones((), value.dtype if hasattr(value, "dtype") else float)
        return value, aux, choice.of_chosen(pullback(seed))

    return both


def grad(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    holomorphic: bool = False,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the gradient of `function`.

    Parameters
    ----------
    function : callable
        Returns a scalar.
    argnums : int or sequence of int
        By which positional arguments to differentiate; a sequence gives a tuple of gradients.
    has_aux : bool
        Whether `function` returns ``(scalar, aux)``; then ``(gradient, aux)`` is returned.
    holomorphic : bool
        Whether the function is holomorphic, and so has complex arguments and a complex result. A real
        result needs no such promise: its gradient by z = x + iy is df/dx - i df/dy.
    adapt : bool
        Whether the function is run as its image: conversions, ``math``, stores into plain arrays and
        the functions that it calls are followed. ``False`` runs it as it is.

    Returns
    -------
    callable
        The gradient has the argument's structure, shapes and dtypes: an ndarray for an ndarray, a
        NumPy scalar for a Python float, a tensor for a tensor.

    Raises
    ------
    NonScalarOutputError
        If the result is not a scalar.
    TypeError
        For integer arguments, and for a result that is an integer or a boolean.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.grad(np.sin)(0.0)
    np.float64(1.0)
    >>> tg.grad(tg.grad(lambda x: x**3))(2.0)
    np.float64(12.0)
    """
    both = _value_and_gradient("grad", function, argnums, has_aux, holomorphic, adapt)

    @transformed(
        grad, function, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic, adapt=adapt
    )
    def gradient_of(*args: Any, **kwargs: Any) -> Any:
        _, aux, gradient = both(args, kwargs)
        return (gradient, aux) if has_aux else gradient

    return gradient_of


def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Any,
    has_aux: bool = False,
    argnums: Argnums | None = None,
    adapt: bool = True,
) -> Any:
    """Return the value of a function and its directional derivative.

    Parameters
    ----------
    function : callable
    primals : tuple or list
        The positional arguments.
    tangents : tuple or list
        A direction for each, of the same structure and shapes.
    has_aux : bool
        Whether `function` returns ``(result, aux)``.
    argnums : int or sequence of int, optional
        Which of the primals move, all by default; the others may be anything. `tangents` are theirs:
        one for each, or that of the one that an int chose.
    adapt : bool
        As for :func:`grad`.

    Returns
    -------
    (result, tangent), and aux with `has_aux`

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    >>> tg.jvp(lambda x, n: x**n, (3.0, 2), 1.0, argnums=0)
    (np.float64(9.0), np.float64(6.0))
    """
    if not adapt:
        function = AsIs(function)
    choice = None if argnums is None else Choice("jvp", argnums)
    primals, tangents = along("jvp", primals, tangents, choice)

    def run(partial: Any, chosen: tuple[Any, ...]) -> Any:
        return push_through(partial, chosen, tangents, has_aux, "jvp")

    if choice is None:
        result, tangent, aux = run(function, primals)
    else:
        result, tangent, aux = choice.run(run, function, primals, {})
    return (result, tangent, aux) if has_aux else (result, tangent)
