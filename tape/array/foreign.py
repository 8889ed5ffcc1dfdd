"""Operands of other libraries, which have an ``__array_ufunc__`` of their own.

As NEP 13 has it, types stand above one another. A labelled array (xarray) or a quantity (pint) may hold
a tensor, and answers for it. What would make a plain array of one (pandas, dask) answers for constants;
of what has a derivative it is itself made an array, and the tensor answers. Classes that nobody here
knows are asked in traced code alone, where what they would convert raises.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.state import state
from tapegrad.tape.core.traced import Traced

__all__ = ["KNOWN", "answer_of_another", "holds_tensors", "is_foreign", "with_plain_arrays"]

#: Operands that need no conversion, and answer no ufunc themselves.
KNOWN = frozenset({
    float, int, bool, complex,
    np.ndarray, np.float64, np.float32, np.int64, np.bool_, np.complex128,
})  # fmt: skip

#: Packages whose classes hold tensors as they hold arrays.
_HOLDERS = frozenset({"pint", "xarray"})
#: Packages whose classes hold plain arrays, or objects, but no tensors.
_PLAIN = frozenset({"dask", "pandas"})


def is_foreign(a: Any) -> bool:
    """Whether a value is of a class of another library that stands for an array."""
    return hasattr(type(a), "__array__") and not isinstance(a, np.ndarray | np.generic | Traced)


def with_plain_arrays(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return operands with arrays in the place of those that are of other libraries.

    The traces among them are told, for nobody knows what such an object has at another time.
    """
    objects = [a for a in args if is_foreign(a)]
    for a in args if objects else ():
        while isinstance(a, Traced):
            a.live_trace.take_object(objects[0])
            a = a.value
    return tuple(np.asarray(a) if is_foreign(a) else a for a in args)


def _is_of(packages: frozenset[str], kind: type) -> bool:
    return any(base.__module__.partition(".")[0] in packages for base in kind.__mro__)


def _holds_tensors(kind: type) -> bool:
    """Whether values of a class may have a tensor where they usually have an array."""
    return _is_of(_HOLDERS, kind)


holds_tensors: Callable[[type], bool] = lru_cache(256)(_holds_tensors)


def answer_of_another(other: Any, ufunc: np.ufunc, operands: tuple[Any, ...]) -> Any:
    """Ask an operand whose class answers ufuncs itself, as NumPy does.

    NotImplemented where it has no answer, or might make a plain array of what has a derivative.
    """
    kind = type(other)
    if getattr(kind, "__array_ufunc__", None) is None:
        return NotImplemented
    if isinstance(other, np.ndarray | np.generic | Traced):
        return NotImplemented
    holds = holds_tensors(kind) or not hasattr(kind, "__array__")
    if not holds and any(map(is_differentiated, operands)):
        traced = any(isinstance(a, Traced) and a.live_trace.level for a in operands)
        if not traced or _is_of(_PLAIN, kind):  # others may keep what is traced, or raise
            return NotImplemented
    current = state.get()
    token = state.set(current.replace(adapted=True))
    try:
        return kind.__array_ufunc__(other, ufunc, "__call__", *operands)
    except (TracedArrayError, TypeError):
        if holds_tensors(kind):
            raise
        return NotImplemented
    finally:
        state.reset(token)
