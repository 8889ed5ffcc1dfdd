"""What is called in place of functions of C's and of NumPy's that see no tensors in what they are given.

The gate is asked which function a call will run before the arguments are there.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tapegrad.tape.array.floats import Float
from tapegrad.tape.array.replacements import Replacement, called_for, holds_tensor
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.imaging import PLAIN

__all__ = ["of_lists", "of_objects"]

#: Classes without methods of the user's.
_KNOWN = frozenset((Tensor, Float, np.float64, *PLAIN))


@cache
def of_objects(function: Any, found: Replacement) -> Any:
    """Return what calls a replacement, or asks the objects of the user's among the arguments."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs or not all(type(a) in _KNOWN for a in args):
            gate: Any = current.get()
            return gate.call_with(function, args, kwargs)()
        return found(*args)

    return call


@cache
def of_lists(function: Any) -> Any:
    """Return what calls a function of NumPy's, which asks tensors but not what is in a list."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and args and type(args[0]) is Tensor:
            return function(*args)
        gate: Any = current.get()
        if "out" in kwargs and getattr(gate, "lent", None):
            return gate.call_with(function, args, kwargs)()
        first = type(args[0]) if args else None
        if first in (list, tuple) or (first is np.ndarray and holds_tensor(args)):
            return called_for(function, args, kwargs)(*args, **kwargs)
        return function(*args, **kwargs)

    return call
