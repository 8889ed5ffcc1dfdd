"""Derivatives as linear functions: ``linearize``, ``linear_transpose``, ``hvp``.

A pullback is linear, and so can be transposed by the sweep that made it: the transpose of a function's
pullback is its pushforward, and the function itself is not run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import belongs
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import Appearance
from tapegrad.tape.core.as_is import AsIs
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import Structure, flatten, flatten_like, unflatten
from tapegrad.tape.core.residuals import uses_of
from tapegrad.tape.core.trace import Traced, new_trace
from tapegrad.tape.program.program import Program
from tapegrad.tape.transforms.arguments import Argnums, Choice, along
from tapegrad.tape.transforms.control.dependence import ANY, carried_along
from tapegrad.tape.transforms.control.unwinding import unwind_p
from tapegrad.tape.transforms.fields import real_results
from tapegrad.tape.transforms.pullbacks import Pullback, pull_from, push_through
from tapegrad.tape.transforms.reverse_mode import ReverseTrace
from tapegrad.tape.transforms.transformed import spelled
from tapegrad.tape.transforms.values import (
    below,
    dtype_of,
    floats_only,
    place_of,
    require_scalar,
    shape_of,
)

__all__ = ["hvp", "linear_transpose", "linearize", "transposed"]


def transposed(pullback: Pullback, leaves: Sequence[Any], structure: Structure) -> Pullback:
    """Return the transpose of a pullback.

    Parameters
    ----------
    pullback : Pullback
    leaves, structure
        The function's result, for its shapes.

    Returns
    -------
    Pullback
        Takes what the pullback returns, tangents of the arguments, as a tuple; returns the tangent of
        the result, in a tuple.
    """
    with new_trace(ReverseTrace) as trace:
        zeros = [np.zeros(shape_of(leaf), dtype_of(leaf)) for leaf in leaves]
        variables = list(map(trace.variable, zeros))
        inputs = [(variable.node, leaf) for variable, leaf in zip(variables, leaves)]
        pulled, structure_in = flatten(pullback(unflatten(structure, variables)))
        outputs = [(g.node if belongs(g, trace) else None, below(g, trace)) for g in pulled]
    return Pullback(trace, inputs, outputs, (tuple, None, (structure,)), structure_in)


class _Linear:
    """The derivative of a function at one point: a linear function."""

    __slots__ = ("_inputs", "_push", "_structure", "_text")

    def __init__(self, push: Pullback, inputs: list[Any], structure: Structure, text: str) -> None:
        self._push = push
        self._inputs = inputs
        self._structure = structure
        self._text = text

    def __call__(self, *tangents: Any) -> Any:
        """Return the tangent of the result."""
        what = "linearize: the tangents must be as the primals"
        leaves = flatten_like(self._structure, tangents, what)
        for i, (t, primal) in enumerate(zip(leaves, self._inputs)):
            if shape_of(t) != shape_of(primal):
                raise ValueError(
                    f"linearize: the tangent{place_of(self._structure, i)} has shape {shape_of(t)}, its "
                    f"primal {shape_of(primal)}"
                )
        return self._push(unflatten(self._structure, leaves))[0]

    def __repr__(self) -> str:
        return f"<derivative of {self._text}>"


def linearize(
    function: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    argnums: Argnums | None = None,
    adapt: bool = True,
) -> Any:
    """Return the value of a function, and its derivative there as a linear function.

    The function is run once; each call of the derivative costs about as much as a gradient.

    Parameters
    ----------
    function : callable
        Takes and returns arrays or nests of them.
    *primals
        Where to evaluate it; floats, arrays, tensors, or nests of them.
    has_aux : bool
        Whether `function` returns ``(result, aux)``.
    argnums : int or sequence of int, optional
        Which of the primals move; the others may be anything. All by default.
    adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    result : array or nest
    derivative : callable
        Takes a tangent for each primal that moves; returns the tangent of the result.
    aux
        Only with `has_aux`.

    See Also
    --------
    jvp : for one tangent.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> y, derivative = tg.linearize(lambda x: x**2, np.array([1.0, 2.0]))
    >>> derivative(np.array([1.0, 0.0])), derivative(np.array([0.0, 1.0]))
    (array([2., 0.]), array([0., 4.]))
    """

    what = "linearize"
    check = floats_only(what, function)

    def run(partial: Any, chosen: tuple[Any, ...]) -> Any:
        out, pullback, aux = pull_from(partial, chosen, has_aux, what, check, deferred=True)
        push = transposed(pullback, *flatten(out))
        return out, _Linear(push, *flatten(chosen), spelled(function)), aux

    way = function if adapt else AsIs(function)
    if argnums is None:
        out, derivative, aux = run(way, primals)
    else:
        out, derivative, aux = Choice(what, argnums).run(run, way, primals, {})
    return (out, derivative, aux) if has_aux else (out, derivative)


def linear_transpose(
    function: Callable[..., Any], *primals: Any, adapt: bool = True
) -> Callable[..., Any]:
    """Return the transpose of a linear function.

    Parameters
    ----------
    function : callable
        Is linear in all arguments together.
    *primals
        What has the shapes and dtypes of the arguments: arrays, or nests of them.
    adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        Takes a nest like the result; returns a tuple of nests like the arguments.

    Raises
    ------
    ValueError
        If the function is not linear.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> transpose = tg.linear_transpose(np.cumsum, np.zeros(3))
    >>> transpose(np.array([1.0, 1.0, 1.0]))
    (array([3., 2., 1.]),)
    """
    what = "linear_transpose"
    check = floats_only(what, function)
    way = function if adapt else AsIs(function)
    leaves, structure = flatten(primals)
    zeros = [np.zeros(shape_of(leaf), dtype_of(leaf)) for leaf in leaves]
    origin = unflatten(structure, zeros)
    out, pullback, _ = pull_from(way, origin, False, what, check, deferred=True, kind=LinearTrace)
    if any(not isinstance(leaf, Tensor) and np.any(leaf) for leaf in flatten(out)[0]):
        raise ValueError(
            f"{what}({spelled(function)}): the function is not linear: it is not 0 where its arguments "
            "are"
        )
    return pullback


class LinearAppearance(Appearance):
    """How values look that stand for all values: what they are cannot be told."""

    __slots__ = ()

    def peek(self, value: Traced) -> Any:
        """A look at the value would let a branch pass unseen."""
        return None

    def consume(self, value: Traced, kind: str) -> Any:
        """Refuse, but for text."""
        if kind in ("text", "repr"):
            return value.value
        raise ValueError(
            f"{value.live_trace.name}: the function is not linear: Python takes the value of what "
            f"depends on its arguments ({kind}), at {user_location()}"
        )

    def is_lost(self, value: Traced) -> bool:
        """What Python takes is refused when it is consumed."""
        return False


class LinearTrace(ReverseTrace):
    """The trace of ``linear_transpose``: records what is linear, and refuses everything else."""

    name = "linear_transpose"
    appearance_of = LinearAppearance

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Record an operation that is linear in the values of this trace."""
        places = [i for i, a in enumerate(args) if belongs(a, self)]
        culprit = _nonlinear(primitive, places, len(args), params)
        if culprit:
            raise ValueError(
                f"{self.name}: the function is not linear: it applies {culprit.name} to what depends "
                f"on its arguments, at {user_location()}"
            )
        return super().process(primitive, args, params, constant)


def _nonlinear(
    primitive: Primitive, places: Sequence[int], count: int, params: Mapping[str, Any]
) -> Primitive | None:
    """Return what is not linear in the arguments at `places` of `count`: a primitive, or None."""
    programs = [value for value in params.values() if isinstance(value, Program)]
    if not programs:
        return None if _is_linear(primitive, places) else primitive
    if primitive is unwind_p:  # it pulls cotangents back, which are the last arguments
        moved = sum(i < params["carried"] for i in params["wrt"])
        return None if min(places) >= count - moved else primitive
    # Those of a jitted function, of branches, of loops take the last arguments.
    first = count - len(programs[0].inputs)
    flags: Sequence[bool] = [i + first in places for i in range(count - first)]
    if "carried" in params:
        flags, _ = carried_along(params["body"], params["carried"], flags, ANY)
    for program in programs:
        moving = {node for node, flag in zip(program.inputs, flags) if flag}
        for entry in program.entries:
            inside = [i for i, o in enumerate(entry.operands) if type(o) is Node and o in moving]
            if inside:
                moving.add(entry)
                found = _nonlinear(entry.primitive, inside, len(entry.operands), entry.params)
                if found is not None:
                    return found
    return None


def _is_linear(primitive: Primitive, places: Sequence[int]) -> bool:
    """Whether the rules tell that a result is linear in some arguments together."""
    if not all(map(primitive.differentiable_in, places)):
        return False
    if primitive.jvp == "linear":
        return True
    if primitive.jvp == "multilinear":
        return len(places) == 1
    moving = {0, *(i + 1 for i in places)}  # as rules count: the result is the first
    if primitive.vjps is None:
        saves = primitive.saves
        return all(saves[min(i, len(saves) - 1)] != "value" for i in moving)
    for i in places:
        uses = uses_of([primitive.vjps[i]])
        if uses is None or any(uses[k] == "value" for k in moving if k < len(uses)):
            return False
    return True


def hvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Any,
    has_aux: bool = False,
    argnums: Argnums | None = None,
    *,
    adapt: bool = True,
) -> Any:
    """Return the product of the hessian of a scalar function and a vector.

    It costs about as much as two gradients, whatever the size of the hessian.

    Parameters
    ----------
    function : callable
        Returns a scalar.
    primals : tuple or list
        The positional arguments.
    tangents : tuple or list
        The vector: for each argument what has its structure and shapes.
    has_aux : bool
        Whether `function` returns ``(scalar, aux)``; then ``(product, aux)`` is returned.
    argnums : int or sequence of int, optional
        By which of the primals to differentiate, all by default; the others may be anything. `tangents`
        are theirs: one for each, or that of the one that an int chose.
    adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    nest
        Like the gradient by these arguments: of a single one, its own structure; of several, a tuple.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])
    """
    choice = Choice("hvp", range(len(primals)) if argnums is None else argnums)
    primals, tangents = along("hvp", primals, tangents, choice)
    check = real_results(require_scalar("hvp", function), "hvp", function)

    def run(partial: Any, chosen: tuple[Any, ...]) -> Any:
        def gradient(*variables: Any) -> Any:
            value, pullback, aux = pull_from(partial, variables, has_aux, "hvp", check)
            gradients = pullback(np.ones((), dtype_of(value)))
            return (gradients, aux) if has_aux else gradients

        return push_through(gradient, chosen, tangents, has_aux, "hvp")[1:]

    way = function if adapt else AsIs(function)
    product, aux = choice.run(run, way, primals, {})
    single = choice.alone or (argnums is None and len(product) == 1)
    product = product[0] if single else product
    return (product, aux) if has_aux else product
