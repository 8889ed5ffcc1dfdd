"""All derivatives at once: jacobians and hessians, of nests by nests.

A jacobian is the vmap of a pullback over the unit vectors of the results, or that of a pushforward over
those of the arguments. In the place of each leaf of the result it has a nest of blocks, of the
structure of the arguments.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.core.as_is import AsIs
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.core.types import P
from tapegrad.tape.transforms.arguments import Argnums, Choice
from tapegrad.tape.transforms.fields import (
    any_complex,
    check_arguments,
    check_real_arguments,
    real_results,
)
from tapegrad.tape.transforms.linear import transposed
from tapegrad.tape.transforms.pullbacks import pull_from, push_through
from tapegrad.tape.transforms.spaces import Space
from tapegrad.tape.transforms.transformed import transformed
from tapegrad.tape.transforms.values import floats_only

__all__ = ["check_chunk", "elementwise_grad", "hessian", "jacfwd", "jacobian", "jacrev"]


def jacrev(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk: int | None = None,
    holomorphic: bool = False,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the jacobian of `function`, in reverse mode.

    Its cost is that of one pullback for each element of the result: for many arguments and few results.

    Parameters
    ----------
    function : callable
        Returns an array, or a nest of arrays.
    argnums : int or sequence of int
        By which positional arguments to differentiate; a sequence gives a tuple of blocks.
    has_aux : bool
        Whether `function` returns ``(result, aux)``; then ``(jacobian, aux)`` is returned.
    chunk : int, optional
        How many rows to compute at a time. Fewer need less memory and more time.
    holomorphic, adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        Its result has the structure of the function's result, with a nest of the argument's structure in
        the place of each leaf. A block has the shape of its part of the result followed by that of its
        part of the argument, and the dtype of the latter. The function is run once.

    See Also
    --------
    jacfwd : in forward mode.
    jacobian : in the mode that costs less.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.jacrev(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    >>> tg.jacrev(lambda p: {"y": p["a"] * p["b"]})({"a": 2.0, "b": 3.0})
    {'y': {'a': np.float64(3.0), 'b': np.float64(2.0)}}
    """
    chosen = function if adapt else AsIs(function)
    run = _in_reverse("jacrev", chosen, argnums, has_aux, chunk, holomorphic, _rows)
    return transformed(
        jacrev,
        function,
        argnums=argnums,
        has_aux=has_aux,
        chunk=chunk,
        holomorphic=holomorphic,
        adapt=adapt,
    )(run)


def jacfwd(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk: int | None = None,
    holomorphic: bool = False,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the jacobian of `function`, in forward mode.

    Its cost is that of one pushforward for each element of the arguments: for few arguments and many
    results. It keeps no graph, and runs the function once for each chunk.

    Parameters
    ----------
    function, argnums, has_aux
        As for :func:`jacrev`.
    chunk : int, optional
        How many columns to compute at a time.
    holomorphic, adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        As for :func:`jacrev`.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.jacfwd(lambda t: np.array([1.0, 2.0]) * t**2)(3.0)
    array([ 6., 12.])
    """
    chosen = function if adapt else AsIs(function)
    run = _forwards("jacfwd", chosen, argnums, has_aux, chunk, holomorphic)
    return transformed(
        jacfwd,
        function,
        argnums=argnums,
        has_aux=has_aux,
        chunk=chunk,
        holomorphic=holomorphic,
        adapt=adapt,
    )(run)


def jacobian(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk: int | None = None,
    holomorphic: bool = False,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the jacobian of `function`, in the mode that costs less.

    That is forward mode if the results have many more elements than the arguments, and reverse mode
    otherwise. The function is run once.

    Parameters
    ----------
    function, argnums, has_aux
        As for :func:`jacrev`.
    chunk : int, optional
        How many rows, or columns, to compute at a time.
    holomorphic, adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        As for :func:`jacrev`.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    >>> tg.jacobian(lambda x, y: x * y, argnums=(0, 1))(2.0, np.ones(2))
    (array([1., 1.]), array([[2., 0.],
           [0., 2.]]))
    """
    chosen = function if adapt else AsIs(function)
    run = _in_reverse("jacobian", chosen, argnums, has_aux, chunk, holomorphic, _rows_or_columns)
    return transformed(
        jacobian,
        function,
        argnums=argnums,
        has_aux=has_aux,
        chunk=chunk,
        holomorphic=holomorphic,
        adapt=adapt,
    )(run)


def hessian(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk: int | None = None,
    holomorphic: bool = False,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the second derivatives of `function`.

    Parameters
    ----------
    function : callable
        Returns a scalar, an array, or a nest of arrays.
    argnums : int or sequence of int
        By which positional arguments to differentiate; a sequence gives a tuple of tuples of blocks.
    has_aux : bool
        Whether `function` returns ``(result, aux)``; then ``(hessian, aux)`` is returned.
    chunk : int, optional
        How many columns to compute at a time; the function is run once for each chunk.
    holomorphic, adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        Its result is the jacobian of the jacobian: of a scalar by a dict, a dict of dicts.

    See Also
    --------
    hvp : the product of the hessian and a vector, which costs about as much as a gradient.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.hessian(lambda x: np.prod(x))(np.array([2.0, 3.0]))
    array([[0., 1.],
           [1., 0.]])
    >>> tg.hessian(lambda x, y: x * y**2, argnums=(0, 1))(2.0, 3.0)
    ((np.float64(0.0), np.float64(6.0)), (np.float64(6.0), np.float64(4.0)))
    """
    chosen = function if adapt else AsIs(function)
    first = _in_reverse("hessian", chosen, argnums, has_aux, None, holomorphic, _rows)
    run = _forwards("hessian", first, argnums, has_aux, chunk, holomorphic)
    return transformed(
        hessian,
        function,
        argnums=argnums,
        has_aux=has_aux,
        chunk=chunk,
        holomorphic=holomorphic,
        adapt=adapt,
    )(run)


def elementwise_grad(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    holomorphic: bool = False,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the gradient of the sum of all results of `function`.

    If each element of the result depends on the element of the argument in its place alone, these are
    the derivatives of the elements.

    Parameters
    ----------
    function : callable
        Returns an array, or a nest of arrays.
    argnums : int or sequence of int
        By which positional arguments to differentiate; a sequence gives a tuple of gradients.
    has_aux : bool
        Whether `function` returns ``(result, aux)``; then ``(gradient, aux)`` is returned.
    holomorphic, adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        The gradient, with the argument's structure, shapes and dtypes.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.elementwise_grad(lambda x: x**2)(np.array([1.0, 2.0, 3.0]))
    array([2., 4., 6.])
    """
    what = "elementwise_grad"
    choice = Choice(what, argnums)

    check = real_results(floats_only(what, function), what, function, holomorphic=holomorphic)

    def run(partial: Callable[..., Any], chosen: tuple[Any, ...]) -> tuple[Any, Any]:
        check_arguments(what, function, chosen, holomorphic=holomorphic)
        out, pullback, aux = pull_from(partial, chosen, has_aux, what, check)
        outputs = Space(out)
        return choice.of_chosen(pullback(unflatten(outputs.structure, outputs.ones()))), aux

    way = function if adapt else AsIs(function)

    @transformed(
        elementwise_grad, function, argnums=argnums, has_aux=has_aux, holomorphic=holomorphic,
        adapt=adapt,
    )  # fmt: skip
    def gradient_of(*args: Any, **kwargs: Any) -> Any:
        gradient, aux = choice.run(run, way, args, kwargs)
        return (gradient, aux) if has_aux else gradient

    return gradient_of


# How blocks are made ------------------------------------------------------------------------------


def _in_reverse(
    what: str,
    function: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    chunk: int | None,
    holomorphic: bool,
    blocks_of: Callable[..., Any],
) -> Callable[..., Any]:
    """Return what runs `function` once, and makes the blocks of its pullback."""
    choice = Choice(what, argnums)
    floats = floats_only(what, function)
    real = real_results(floats, what, function, holomorphic=holomorphic)
    check_chunk(what, chunk)

    def run(partial: Callable[..., Any], chosen: tuple[Any, ...]) -> tuple[Any, Any]:
        check_arguments(what, function, chosen, holomorphic=holomorphic)
        inputs = Space(chosen)
        # Columns, by real arguments, may be complex.
        either = blocks_of is _rows_or_columns and not any_complex(inputs.leaves)
        out, pullback, aux = pull_from(partial, chosen, has_aux, what, floats if either else real)
        return blocks_of(pullback, Space(out), inputs, choice, chunk), aux

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        blocks, aux = choice.run(run, function, args, kwargs)
        return (blocks, aux) if has_aux else blocks

    return jacobian_of


def _forwards(
    what: str,
    function: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    chunk: int | None,
    holomorphic: bool,
) -> Callable[..., Any]:
    """Return what runs `function` on tangents, once for each chunk of them, and makes the blocks."""
    choice = Choice(what, argnums)
    check = floats_only(what, function)
    if holomorphic:
        check = real_results(check, what, function, holomorphic=True)
    check_chunk(what, chunk)

    def run(partial: Callable[..., Any], chosen: tuple[Any, ...]) -> tuple[Any, Any]:
        if holomorphic:
            check_arguments(what, function, chosen, holomorphic=True)
        else:
            check_real_arguments(what, function, chosen)
        inputs = Space(chosen)
        found: list[Any] = []

        def push(*tangents: Any) -> list[Any]:
            along = unflatten(inputs.structure, tangents)
            out, tangent, aux = push_through(partial, chosen, along, has_aux, what)
            found[:] = out, aux
            return flatten(tangent)[0]

        columns = inputs.images(push, chunk)
        out, aux = found
        outputs = Space(out)
        check(out, outputs.leaves)
        return _blocks_of_columns(columns, outputs, inputs, choice), aux

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        blocks, aux = choice.run(run, function, args, kwargs)
        return (blocks, aux) if has_aux else blocks

    return jacobian_of


def check_chunk(what: str, chunk: int | None) -> None:
    """Raise unless `chunk` is a number of vectors to compute at a time."""
    if chunk is not None and operator.index(chunk) < 1:
        raise ValueError(f"{what}: chunk must be a positive number of vectors, not {chunk}")


def _rows(pullback: Any, outputs: Space, inputs: Space, choice: Choice, chunk: int | None) -> Any:
    """Return the blocks from one pullback for each element of the results."""

    def pull(*cotangents: Any) -> list[Any]:
        return flatten(pullback(unflatten(outputs.structure, cotangents)))[0]

    if outputs.size == len(outputs.leaves) == 1:
        gradient = pull(*outputs.ones())
        return outputs.blocks(inputs, choice, lambda i, place, k, _: gradient[k])
    rows = outputs.images(pull, chunk)
    return outputs.blocks(inputs, choice, lambda i, place, k, _: rows[k][place])


#: Pulling vectors back through so many numbers takes as long as recording the transpose of a pullback.
_WORTHWHILE = 200_000


def _rows_or_columns(
    pullback: Any, outputs: Space, inputs: Space, choice: Choice, chunk: int | None
) -> Any:
    """Return the blocks from the pullbacks, or from their transposes, whichever are fewer."""
    spared = outputs.size - inputs.size
    mixed = any_complex(outputs.leaves) and not any_complex(inputs.leaves)
    if not mixed and (spared <= 0 or spared * pullback.numbers() < _WORTHWHILE):
        return _rows(pullback, outputs, inputs, choice, chunk)
    push = transposed(pullback, outputs.leaves, outputs.structure)

    def pushed(*tangents: Any) -> list[Any]:
        return flatten(push(unflatten(inputs.structure, tangents))[0])[0]

    return _blocks_of_columns(inputs.images(pushed, chunk), outputs, inputs, choice)


def _blocks_of_columns(columns: list[Any], outputs: Space, inputs: Space, choice: Choice) -> Any:
    def cut(i: int, _: slice, k: int, place: slice) -> Any:
        return np.moveaxis(columns[i][place], 0, -1)

    return outputs.blocks(inputs, choice, cut)
