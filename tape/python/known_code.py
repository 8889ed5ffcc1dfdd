"""Which functions and classes are this library's own, or of packages that run as they are."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

from tapegrad.tape.python.operators import words

__all__ = ["is_library", "is_ours"]

#: Modules of this library whose functions draw no random numbers, read no files and set no modes.
_COMPUTING = tuple(
    f"tapegrad.{name}"
    for name in words(
        "array_api clipping compile.jitted integration linalg math nnet.activations nnet.layers "
        "nnet.losses nnet.util ops optim.checks optim.limits optim.moments optim.optimisers "
        "optim.quasi_newton optim.scaling optim.schedules optim.transformation optim.wrappers "
        "tape.array tape.core.as_is tape.core.kinds tape.core.primitive tape.core.pytree tape.program "
        "tape.transforms tensor_base tensor_creation tensor_manip training.steps trees"
    )
)


def is_ours(function: Any) -> bool:
    """Whether a function or class is one of this library's that only compute."""
    kind = function if isinstance(function, type) else type(function)
    named = function if kind in (FunctionType, MethodType) else kind
    return str(named.__module__).startswith(_COMPUTING)


def is_library(cls: type) -> bool:
    """Whether a class belongs to a package whose functions have no images."""
    return str(cls.__module__).partition(".")[0] in ("numpy", "numba", "llvmlite")
