"""What a value stands for: a Python number, a NumPy scalar, or an array; and conversions to numbers.

Python code converts (``float(x)``, ``math.sin(x)``), asks for classes and raises by the number that it
has in hand. Here is how the number behind a value is looked at, and how a conversion stays traced.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.array.application import apply
from tapegrad.tape.array.floats import Float, as_float
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import cut, is_differentiated
from tapegrad.tape.core.primitive import functions, implements, primitives

__all__ = [
    "as_array",
    "as_number",
    "as_passed",
    "complex_operand",
    "plain_array",
    "plain_value",
    "stand_in",
    "stands_for",
]


# What a value stands for ---------------------------------------------------------------------------


@implements("stands_for")
def stands_for(a: Tensor) -> type:
    """Return the class of what a program without us would have in place of a tensor.

    Examples
    --------
    >>> import tapegrad as tg
    >>> stands_for(tg.tensor([1.0, 2.0])), stands_for(tg.tensor([1.0, 2.0]).sum())
    (<class 'numpy.ndarray'>, <class 'numpy.float64'>)
    """
    if isinstance(a, Float):
        return float
    looks = a.live_trace.appearance
    number: type | None = looks.number_type(a)
    if number is not None:
        return number
    return a.dtype.type if looks.stands_for_number(a) else np.ndarray


def stand_in(a: Tensor) -> Any:
    """Return zeros of the class, shape and dtype of what a tensor stands for; an array is read-only."""
    kind: Any = stands_for(a)
    if kind is np.ndarray:
        return np.broadcast_to(np.zeros((), a.dtype), a.shape)
    return kind(0)


def plain_value(a: Any, kind: str) -> Any:
    """Return what a tensor stands for, without its trace; anything else as it is.

    The values are consumed: ``jit`` sets a guard, ``vmap`` runs the examples one by one.
    """
    if not isinstance(a, Tensor):
        return a
    standing: Any = stands_for(a)
    array = a.consume(kind)
    if standing is np.ndarray:
        return array.copy()
    return array[()] if issubclass(standing, np.generic) else standing(array.item())


def plain_array(a: Any, what: str) -> Any:
    """Return the array of a tensor for code that tapegrad does not follow; refuse to lose a derivative.

    `what` names the code in the error.
    """
    if is_differentiated(a):
        raise cut(what)
    if not isinstance(a, Tensor):
        return a
    return np.asarray(a) if stands_for(a) is np.ndarray else np.asarray(a)[()]


# Conversions ---------------------------------------------------------------------------------------


def as_number(a: Any, kind: type = float) -> Any:
    """Return what ``kind(a)`` is without a trace: a float stays traced, other numbers are constant.

    The traced float stands for a Python float, see :class:`tapegrad.tape.array.floats.Float`.

    Parameters
    ----------
    a : Tensor
        With one element; NumPy's error says so otherwise.
    kind : type
        ``float``, ``int``, ``bool`` or ``complex``.
    """
    if not isinstance(a, Tensor):
        return kind(a)
    if kind is complex:
        return complex_operand(a)
    if a.shape:
        kind(stand_in(a))  # raises, or warns, as NumPy does
        a = functions[np.reshape](a, ())
    if kind is not float:
        return kind(a.consume(kind.__name__).item())
    if a.dtype != np.float64:
        return as_float(functions["cast"](a, np.dtype(float)))
    return as_float(apply(primitives["positive"], (a,)))


def complex_operand(a: Any) -> Any:
    """Return what ``complex(a)`` is: what is traced stays so, and stands for NumPy's complex number."""
    if not isinstance(a, Tensor):
        return complex(a)
    if a.shape:
        complex(stand_in(a))  # raises, or warns, as NumPy does
        a = functions[np.reshape](a, ())
    if a.dtype == np.complex128:
        return apply(primitives["positive"], (a,))
    return functions["cast"](a, np.dtype(complex))


def as_passed(a: Tensor, original: Any) -> Tensor:
    """Return an argument of a transformation, for which the user passed `original`: of its class."""
    is_float = (
        stands_for(original) is float if isinstance(original, Tensor) else type(original) is float
    )
    return as_float(a) if is_float else a  # type: ignore[no-any-return]


def as_array(a: Tensor) -> Tensor:
    """Return a new array without axes for what stands for a number."""
    new: Tensor = functions[np.copy](a)
    trace = new.live_trace
    if trace.level:
        trace.appearance.note_array(new)
        return new
    return functions[np.reshape](new, ())  # type: ignore[no-any-return]  # views are no numbers
