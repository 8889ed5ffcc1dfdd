"""Functions to functions: ``grad``, ``value_and_grad``, ``vjp``, ``jvp``.

They nest to any depth and in any order, accept nests of arrays (tuples, lists, dicts), and never write
into the caller's arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import belongs, lower
from tapegrad.tape.array.originals import Originals, copied
from tapegrad.tape.array.tensor import Tensor, own
from tapegrad.tape.core.checks import refuse_mask
from tapegrad.tape.core.cotangents import cast, fit
from tapegrad.tape.core.errors import NonScalarOutputError
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.pytree import Structure, flatten, unflatten
from tapegrad.tape.core.reverse import sweep, sweep_by_line
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.reverse_mode import RecordTrace
from tapegrad.tape.transforms.shield import run_shielded

__all__ = ["as_value", "below", "give_back", "grad", "jvp", "value_and_grad", "vjp", "wraps"]


def as_value(leaf: Any, what: str) -> Any:
    """Make a leaf of the arguments a value to compute with: an array or a tensor."""
    if isinstance(leaf, Tensor):
        return leaf.snapshot()
    refuse_mask(leaf)
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{what}: arguments must be real arrays, numbers, tensors, or nests of them; "
            f"got {type(leaf).__name__} ({array.dtype})"
        )
    return array


def _differentiable(leaf: Any, what: str) -> Any:
    value = as_value(leaf, what)
    if value.dtype.kind != "f":
        raise TypeError(
            f"{what} differentiates by float arguments; got dtype {value.dtype}. "
            "Pass floats (1.0, x.astype(float)), or choose other arguments with argnums."
        )
    return value


def give_back(value: Any, *, like: Any = None) -> Any:
    """Return an array as the user expects it: NumPy scalars where NumPy returns scalars."""
    if type(value) is np.ndarray and value.ndim == 0 and type(like) is not np.ndarray:
        return value[()]
    if isinstance(value, Tensor):
        own(value)
    return value


def below(leaf: Any, trace: Any) -> Any:
    """Return a result of the function as it is below `trace`."""
    if isinstance(leaf, Tensor):
        value = lower(leaf, trace)
        if isinstance(value, Tensor) and not value.live_trace.level and value.constant:
            # A constant made by the function: no gradient will ever be asked of it.
            return value.value if value.node.number > trace.start else value
        return value
    return leaf


class _Pullback:
    """The function that ``vjp`` returns; it can be called any number of times."""

    __slots__ = ("_inputs", "_originals", "_outputs", "_structure_in", "_structure_out", "_sweep")

    def __init__(
        self,
        trace: RecordTrace,
        inputs: list[tuple[Node, Any]],
        outputs: list[tuple[Node | None, Any]],
        structure_in: Structure,
        structure_out: Structure,
    ) -> None:
        self._originals = trace.originals
        self._sweep = sweep_by_line if trace.knows_lines else sweep
        self._inputs = inputs
        self._outputs = outputs
        self._structure_in = structure_in
        self._structure_out = structure_out

    def __call__(self, cotangent: Any) -> Any:
        """Return the cotangents of the arguments, as a tuple with one entry for each."""
        leaves, structure = flatten(cotangent)
        if structure != self._structure_out:
            raise ValueError(
                "vjp: the cotangent must have the structure of the function's result, "
                f"{self._structure_out}; got {structure}"
            )
        roots = []
        for g, (node, value) in zip(leaves, self._outputs):
            shape = np.shape(value)
            g = g if isinstance(g, Tensor) else np.asarray(g)
            if g.shape != shape:
                raise ValueError(
                    f"vjp: a cotangent has shape {g.shape}, the result it belongs to {shape}"
                )
            if node is not None:
                roots.append((node, fit(g, node.shape, node.dtype)))
        if self._originals is not None:
            self._originals.check()
        cotangents = self._sweep(roots)
        grads = []
        for node, leaf in self._inputs:
            g = cotangents.get(node)
            if g is None:
                g = np.zeros(node.shape, node.dtype)
            elif type(g) is np.ndarray and (
                g.base is not None or not g.flags.writeable or any(g is leaf for leaf in leaves)
            ):
                g = g.copy()
            elif isinstance(g, Tensor) and not isinstance(leaf, Tensor) and g.constant:
                g = g if g.live_trace.level else g.consume("grad").copy()
            grads.append(give_back(g, like=leaf))
        return unflatten(self._structure_in, _apart(grads))


def _apart(grads: list[Any]) -> list[Any]:
    """Make sure that no array occurs twice: each gradient is the user's to change."""
    seen: set[int] = set()
    for i, g in enumerate(grads):
        if type(g) is np.ndarray:
            if id(g) in seen:
                grads[i] = g.copy()
            seen.add(id(grads[i]))
    return grads


def _linearize(
    function: Callable[..., Any],
    primals: tuple[Any, ...],
    has_aux: bool,
    what: str,
    check: Callable[[Any, list[Any]], None] | None = None,
    *,
    later: bool = False,
) -> tuple[Any, _Pullback, Any]:
    """Run `function` on variables of a new recording trace.

    With `later`, users' code may run before the pullback is called: it is given no array, and has
    given none, that the pullback needs.
    """
    leaves, structure_in = flatten(primals)
    values = [_differentiable(leaf, what) for leaf in leaves]
    if later:
        values = [_own(value) for value in values]
    with new_trace(RecordTrace) as trace:
        trace.originals = Originals()
        variables = [trace.variable(v, original=leaf) for v, leaf in zip(values, leaves)]
        inputs = [(variable.node, leaf) for variable, leaf in zip(variables, leaves)]
        result = function(*unflatten(structure_in, variables))
        result, aux = _split_aux(result, has_aux, what)
        out_leaves, structure_out = flatten(result)
        if check is not None:
            check(result, out_leaves)
        outputs = []
        lowered = []
        for leaf in out_leaves:
            mine = belongs(leaf, trace)
            value = below(leaf, trace)
            outputs.append((leaf.node if mine else None, value))
            lowered.append(give_back(_own(value) if later else value))
        aux_leaves, aux_structure = flatten(aux)
        own_value = _own if later else lambda value: value
        aux = unflatten(
            aux_structure, [give_back(own_value(below(leaf, trace))) for leaf in aux_leaves]
        )
    pullback = _Pullback(trace, inputs, outputs, structure_in, structure_out)
    return unflatten(structure_out, lowered), pullback, aux


def _own(value: Any) -> Any:
    return copied(value) if type(value) is np.ndarray else value


def _split_aux(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if type(result) is not tuple or len(result) != 2:
        raise TypeError(f"{what} with has_aux=True: the function must return (result, aux)")
    return result


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Return the value of a function, and the function that pulls cotangents back.

    Parameters
    ----------
    function : callable
        Takes and returns arrays or nests of them; it returns floats.
    *primals
        Where to evaluate it; floats, arrays, tensors, or nests of them.
    has_aux : bool
        Whether `function` returns ``(result, aux)``, where aux is not differentiated.

    Returns
    -------
    result : array or nest
    pullback : callable
        Takes a cotangent of the result's structure and shapes; returns a tuple with the cotangent
        of each primal.
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
    check = _require_floats("vjp", function)
    result, pullback, aux = _linearize(function, primals, has_aux, "vjp", check, later=True)
    return (result, pullback, aux) if has_aux else (result, pullback)


def _require_scalar(what: str, function: Any) -> Callable[[Any, list[Any]], None]:
    def check(result: Any, leaves: list[Any]) -> None:
        name = getattr(function, "__name__", repr(function))
        if len(leaves) != 1 or flatten(result)[1] != "*":
            raise NonScalarOutputError(
                f"{what}({name}): the function must return one scalar, and returned "
                f"{_described(result)}. Return the scalar alone (further results go through "
                "has_aux=True); for other outputs use tg.vjp or tg.jacobian."
            )
        shape = np.shape(leaves[0]) if not isinstance(leaves[0], Tensor) else leaves[0].shape
        if shape != ():
            raise NonScalarOutputError(
                f"{what}({name}): the function must return a scalar, and returned an array of "
                f"shape {shape}. Sum it, or use tg.vjp with a cotangent of that shape, or "
                "tg.jacobian for all derivatives."
            )
        leaf = leaves[0]
        if _dtype_of(leaf).kind not in "fiub":
            raise TypeError(f"{what}({name}): the function returned {leaf!r}, which is no number")
        check_floats(result, leaves)

    check_floats = _require_floats(what, function)
    return check


def _require_floats(what: str, function: Any) -> Callable[[Any, list[Any]], None]:
    def check(result: Any, leaves: list[Any]) -> None:
        for leaf in leaves:
            dtype = _dtype_of(leaf)
            if dtype.kind not in "iub":
                continue
            name = getattr(function, "__name__", repr(function))
            auxiliary = "; what is not differentiated goes through has_aux=True"
            raise TypeError(
                f"{what}({name}): the function returned a value of dtype {dtype}, which has no "
                "derivative: comparisons, indices, counts and integers jump, and are constant in "
                "between. If you mean a gradient of 0, return a float: y.astype(float), float(n)"
                f"{'' if what == 'jacobian' else auxiliary}."
            )

    return check


def _dtype_of(leaf: Any) -> np.dtype[Any]:
    return leaf.dtype if isinstance(leaf, Tensor) else np.asarray(leaf).dtype  # type: ignore[no-any-return]


def _described(result: Any) -> str:
    if result is None:
        return "None (is the return statement missing?)"
    return f"a {type(result).__name__} of {len(flatten(result)[0])} values"


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that gives the value of `function` and its gradient.

    Parameters
    ----------
    function : callable
        Returns a scalar.
    argnums : int or sequence of int
        By which positional arguments to differentiate; a sequence gives a tuple of gradients.
    has_aux : bool
        Whether `function` returns ``(scalar, aux)``.

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
    return _value_and_grad(function, argnums, has_aux, "value_and_grad")


def _value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, what: str
) -> Callable[..., Any]:
    if not callable(function):
        raise TypeError(f"{what} takes a function, not {type(function).__name__}")
    single = isinstance(argnums, int | np.integer)
    numbers: tuple[int, ...] = (int(argnums),) if single else tuple(argnums)  # type: ignore[arg-type]
    check = _require_scalar(what, function)

    @wraps(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        try:
            chosen = tuple(args[i] for i in numbers)
        except IndexError:
            raise TypeError(
                f"{what}: argnums={argnums} but the function was called with "
                f"{len(args)} positional arguments"
            ) from None

        def linearize(rest: Any) -> Any:
            others, keywords = rest

            def partial(*variables: Any) -> Any:
                full = list(others)
                for i, value in zip(numbers, variables):
                    full[i] = value
                return function(*full, **keywords)

            return _linearize(partial, chosen, has_aux, what, check)

        others = [None if i in numbers else a for i, a in enumerate(args)]
        value, pullback, aux = run_shielded(linearize, (others, kwargs))
        seed = np.ones((), value.dtype if hasattr(value, "dtype") else float)
        grads = pullback(seed)
        gradient = grads[0] if single else grads
        return ((value, aux) if has_aux else value), gradient

    return differentiated


def wraps(function: Any) -> Callable[[Any], Any]:
    """Give a transformed function the name and documentation of the original."""
    assigned = [n for n in functools.WRAPPER_ASSIGNMENTS if hasattr(function, n)]
    return functools.wraps(function, assigned=assigned, updated=())


def grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that gives the gradient of `function`.

    Parameters
    ----------
    function : callable
        Returns a scalar.
    argnums : int or sequence of int
        By which positional arguments to differentiate; a sequence gives a tuple of gradients.
    has_aux : bool
        Whether `function` returns ``(scalar, aux)``; then ``(gradient, aux)`` is returned.

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
    both = _value_and_grad(function, argnums, has_aux, "grad")

    @wraps(function)
    def gradient_of(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return gradient_of


def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    has_aux: bool = False,
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

    Returns
    -------
    (result, tangent), and aux with `has_aux`

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    if type(primals) not in (tuple, list) or type(tangents) not in (tuple, list):
        raise TypeError("jvp: primals and tangents must be tuples or lists of arguments")
    leaves, structure = flatten(tuple(primals))
    directions, other = flatten(tuple(tangents))
    if structure != other:
        raise ValueError(f"jvp: tangents have the structure {other}, primals {structure}")
    with new_trace(JVPTrace) as trace:
        duals = []
        for leaf, direction in zip(leaves, directions):
            value = _differentiable(leaf, "jvp")
            t = as_value(direction, "jvp")
            if t.shape != value.shape:
                raise ValueError(f"jvp: a tangent has shape {t.shape}, its primal {value.shape}")
            dual = trace.variable(value, original=leaf, tangent=cast(t, value.dtype))
            duals.append(dual)
        result, aux = _split_aux(function(*unflatten(structure, duals)), has_aux, "jvp")
        out_leaves, out_structure = flatten(result)
        values, out_tangents = [], []
        for leaf in out_leaves:
            value = below(leaf, trace)
            mine = belongs(leaf, trace)
            t = leaf.node if mine else np.zeros(np.shape(value), getattr(value, "dtype", float))
            values.append(give_back(value))
            out_tangents.append(give_back(t))
        aux_leaves, aux_structure = flatten(aux)
        aux = unflatten(aux_structure, [give_back(below(leaf, trace)) for leaf in aux_leaves])
    out = (unflatten(out_structure, values), unflatten(out_structure, out_tangents))
    return (*out, aux) if has_aux else out
