"""NumPy functions that ask about arrays and compute nothing: shapes, dtypes, memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.floats import Float
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__: list[str] = []


@implements(np.shape)
def _shape(a: ArrayLike) -> tuple[int, ...]:
    return a.shape  # type: ignore[no-any-return]


@implements(np.ndim)
def _ndim(a: ArrayLike) -> int:
    return a.ndim  # type: ignore[no-any-return]


@implements(np.size)
def _size(a: ArrayLike, axis: AxisLike = None) -> int:
    return a.size if axis is None else np.size(np.broadcast_to(np.int8(0), a.shape), axis)  # type: ignore[no-any-return]


def _memory(a: Array) -> Any:
    """Return the array that a tensor stands for, for questions about memory."""
    while isinstance(a, Tensor):
        a = a.value
    return a


def _asks(function: Callable[..., Any], convert: Callable[[Any], Any]) -> None:
    """Let a NumPy function see what stands for a tensor."""

    def asked(*args: Any, **kwargs: Any) -> Any:
        return function(*(convert(a) for a in args), **kwargs)

    functions[function] = asked


def _stand_in(a: Array) -> Any:
    """Return an array of the tensor's dtype that has its shape and no data of its own."""
    if not isinstance(a, Tensor):
        return a
    number = float if type(a) is Float else a.live_trace.appearance.number_type(a)
    return np.broadcast_to(np.zeros((), a.dtype), a.shape) if number is None else number()


@implements(np.einsum_path)
def _einsum_path(
    *operands: ArrayLike, optimize: Any = "greedy", einsum_call: bool = False
) -> Array:
    return np.einsum_path(*(_stand_in(a) for a in operands), optimize=optimize)


_questions_of_memory: tuple[Any, ...] = (np.shares_memory, np.may_share_memory)
for _function in _questions_of_memory:
    _asks(_function, _memory)

_questions_of_shape_and_type: tuple[Any, ...] = (
    np.result_type,
    np.can_cast,
    np.iscomplexobj,
    np.isrealobj,
    np.common_type,
    np.diag_indices_from,
    np.tril_indices_from,
    np.triu_indices_from,
)
for _function in _questions_of_shape_and_type:
    _asks(_function, _stand_in)


def _as_value(function: Callable[..., Any]) -> None:
    """Let a NumPy function that shows or checks values consume a tensor's."""

    def consuming(a: Array, *args: Any, **kwargs: Any) -> Any:
        return function(a.consume("repr") if isinstance(a, Tensor) else a, *args, **kwargs)

    functions[function] = consuming


_shown: tuple[Any, ...] = (np.array_repr, np.array_str, np.array2string)
for _function in _shown:
    _as_value(_function)
