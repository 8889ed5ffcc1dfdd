"""tapegrad: automatic differentiation for NumPy as people write it.

>>> import numpy as np, tapegrad as tg
>>> x = tg.tensor([1.0, 2.0, 3.0])
>>> np.sum(x * x).backward()
>>> x.grad
array([2., 4., 6.])
>>> tg.grad(lambda x: np.sum(np.sin(x)))(np.zeros(2))
array([1., 1.])
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from numpy import (
    bool_,
    e,
    float16,
    float32,
    float64,
    inf,
    int8,
    int16,
    int32,
    int64,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
)

from tapegrad import errors, linalg, operation_base, typing
from tapegrad import ops as _ops
from tapegrad.clipping import clip_by_global_norm, clip_by_norm
from tapegrad.compile import Jit, jit
from tapegrad.io import load, save
from tapegrad.ops import *  # noqa: F403  # the NumPy-facing functions, listed in ops.__all__
from tapegrad.tape import (
    InvalidBackprop,
    InvalidGradient,
    LeakedTensorError,
    NonScalarOutputError,
    Operation,
    Program,
    Tape,
    TapegradError,
    Tensor,
    TracedArrayError,
    cond,
    execute_op,
    grad,
    hessian,
    jacobian,
    jvp,
    mem_guard_off,
    mem_guard_on,
    no_autodiff,
    tree_map,
    turn_memory_guarding_off,
    turn_memory_guarding_on,
    value_and_grad,
    vjp,
    vmap,
)

if _TYPE_CHECKING:
    from tapegrad import (
        computational_graph,
        indexing_routines,
        math,
        nnet,
        random,
        tensor_creation,
        tensor_manip,
    )
    from tapegrad.nnet import sliding_window_view

__version__ = "0.1.0"

#: Submodules that are imported when they are first asked for, so that the rest is there sooner.
_LATER = frozenset(
    {
        "computational_graph",
        "indexing_routines",
        "math",
        "nnet",
        "random",
        "tensor_creation",
        "tensor_manip",
    }
)


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        return _import_module(f"tapegrad.{name}")
    if name == "sliding_window_view":
        return _import_module("tapegrad.nnet").sliding_window_view
    raise AttributeError(f"module 'tapegrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "InvalidBackprop",
    "InvalidGradient",
    "Jit",
    "LeakedTensorError",
    "NonScalarOutputError",
    "Operation",
    "Program",
    "Tape",
    "TapegradError",
    "Tensor",
    "TracedArrayError",
    "bool_",
    "clip_by_global_norm",
    "clip_by_norm",
    "computational_graph",
    "cond",
    "e",
    "errors",
    "execute_op",
    "float16",
    "float32",
    "float64",
    "grad",
    "hessian",
    "indexing_routines",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "jacobian",
    "jit",
    "jvp",
    "linalg",
    "load",
    "math",
    "mem_guard_off",
    "mem_guard_on",
    "nan",
    "newaxis",
    "nnet",
    "no_autodiff",
    "operation_base",
    "pi",
    "random",
    "save",
    "sliding_window_view",
    "tensor_creation",
    "tensor_manip",
    "tree_map",
    "turn_memory_guarding_off",
    "turn_memory_guarding_on",
    "typing",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "value_and_grad",
    "vjp",
    "vmap",
]
__all__ += _ops.__all__
