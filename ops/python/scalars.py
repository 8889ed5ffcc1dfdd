"""Functions of Python numbers: how one of them is applied to tensors.

A function of Python's standard library takes numbers, gives a number, and raises ValueError or
OverflowError where NumPy gives nan or inf. On tensors it is a primitive, and raises what Python raises
for the numbers behind them. Where each of many examples has numbers of its own, nothing is raised, and
the result is nan or inf there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.composed import Composed
from tapegrad.ops.elementwise.elementwise import elementwise
from tapegrad.tape.array.application import bind
from tapegrad.tape.array.floats import as_float, check_outcome, known_number
from tapegrad.tape.array.numbers import as_number, stand_in
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive, Rule

__all__ = ["applied", "declare", "declare_of_vectors", "real_operand", "vector"]

Function = Callable[..., Any]


def real_operand(a: Any) -> Any:
    """Return an operand as a float, which stays traced; NumPy's error for several elements."""
    if not isinstance(a, Tensor):
        return float(a)
    return a if a.dtype == np.float64 and not a.shape else as_number(a)


def applied(
    original: Function, compute: Function, *args: Any, total: bool = False, python: bool = True
) -> Any:
    """Return ``original(*args)`` as traced numbers.

    Parameters
    ----------
    original : callable
        Python's function; it raises what must be raised.
    compute : callable
        The same of tensors.
    *args
        Numbers and tensors.
    total : bool
        Whether `original` raises nothing, whatever the numbers: then no guard is needed.
    python : bool
        Whether the results are Python numbers, and not NumPy's.
    """
    for a in args:
        if isinstance(a, Tensor) and a.shape:
            original(*(stand_in(b) if b is a else 0.5 for b in args))  # raises
    numbers = [known_number(a) for a in args]
    known = None not in numbers
    if known:
        original(*numbers)
    result = compute(*(real_operand(a) for a in args))
    results = result if isinstance(result, tuple) else (result,)
    if known and not total:
        for part in results:
            check_outcome(part, args)
    if not python:
        return result
    numbered = tuple(as_float(part) for part in results)
    return numbered if isinstance(result, tuple) else numbered[0]


# Primitives whose forward function is Python's ------------------------------------------------------


def _quietly(function: Function, *numbers: float) -> float:
    """Call a function of numbers; nan or inf where it raises, as NumPy."""
    try:
        return float(function(*numbers))
    except OverflowError:
        return np.inf
    except ValueError:
        return np.nan


def declare(name: str, original: Function, *rules: Rule | None) -> Primitive:
    """Declare a function of numbers as an elementwise primitive."""
    vectorised = np.frompyfunc(lambda *numbers: _quietly(original, *numbers), len(rules), 1)

    def forward(*args: Any) -> Any:
        return np.asarray(vectorised(*args)).astype(float)

    return elementwise(name, None, rules, None, forward=forward, source=_source(name))


def declare_of_vectors(
    name: str, original: Function, composition: Function, count: int
) -> Primitive:
    """Declare a function of `count` sequences of numbers, the last axes of as many arrays."""

    def forward(*vectors: Any) -> Any:
        vectors = np.broadcast_arrays(*(np.asarray(v, float) for v in vectors))
        out = np.empty(vectors[0].shape[:-1])
        for i in np.ndindex(out.shape):
            out[i] = _quietly(original, *(v[i].tolist() for v in vectors))
        return out

    primitive: Primitive

    def batch(args: Any, batched: Any, size: int, params: Any) -> Any:
        return bind(primitive, *args)

    primitive = Composed(name, forward, composition, count, batch=batch, source=_source(name))
    return primitive


def _source(name: str) -> Function:
    return lambda args, params: f"primitives[{name!r}].forward({', '.join(args)})"


def vector(numbers: Sequence[Any]) -> Any:
    """Return numbers and tensors without axes as one vector."""
    return np.stack([np.asarray(a) if not isinstance(a, Tensor) else a for a in numbers])
