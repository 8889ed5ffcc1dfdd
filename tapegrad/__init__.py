"""tapegrad: automatic differentiation for NumPy as people write it.

>>> import numpy as np, tapegrad as tg
>>> x = tg.tensor([1.0, 2.0, 3.0])
>>> np.sum(x * x).backward()
>>> x.grad
array([2., 4., 6.])
>>> tg.grad(lambda x: np.sum(np.sin(x)))(np.zeros(2))
array([1., 1.])
"""

import typing as _typing
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

from tapegrad import checkout as _checkout  # noqa: F401  # says where the parts are found

# isort: split
from tapegrad import errors
from tapegrad import ops as _ops
from tapegrad.tape import (
    InvalidBackprop,
    InvalidGradient,
    LeakedTensorError,
    NonScalarOutputError,
    PatternError,
    TapegradError,
    Tensor,
    TracedArrayError,
    mem_guard_off,
    mem_guard_on,
    no_autodiff,
    register_pytree_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
    turn_memory_guarding_off,
    turn_memory_guarding_on,
)
from tapegrad.tape.core.later import later as _later
from tapegrad.tape.core.other_names import missing_in_package as _missing

if _TYPE_CHECKING:
    from tapegrad import (
        array_api,
        computational_graph,
        indexing_routines,
        linalg,
        math,
        nnet,
        operation_base,
        optim,
        parallel,
        random,
        sparse,
        special,
        tensor_creation,
        tensor_manip,
        training,
        typing,
    )
    from tapegrad.clipping import clip_by_global_norm, clip_by_norm
    from tapegrad.compile import Jit, clear_cache, jit
    from tapegrad.integration import odeint
    from tapegrad.io import load, save
    from tapegrad.nnet import sliding_window_view
    from tapegrad.ops import *  # noqa: F403  # the NumPy-facing functions, listed in ops.__all__
    from tapegrad.tape import (
        CompressedRows,
        Operation,
        Program,
        ShapeDtypeStruct,
        Tape,
        adapt,
        associative_scan,
        check_grads,
        checkpoint,
        cond,
        custom_jvp,
        custom_linear_solve,
        custom_root,
        custom_vjp,
        debug_nans,
        elementwise_grad,
        eval_shape,
        execute_op,
        fixed_point,
        fori_loop,
        grad,
        gradients,
        hessian,
        hvp,
        jacfwd,
        jacobian,
        jacrev,
        jvp,
        linear_transpose,
        linearize,
        make_tape,
        map,
        remat,
        scan,
        sparse_hessian,
        sparse_jacobian,
        sparsity,
        switch,
        value_and_grad,
        vjp,
        vmap,
        while_loop,
    )
    from tapegrad.training import fit
    from tapegrad.trees import ravel_pytree

__version__ = "0.2.0"

#: What is loaded when it is first asked for, so that the rest is there sooner: these names, these
#: modules, and the functions of ``tapegrad.ops``.
_LATER = {
    "CompressedRows": "tape",
    "Jit": "compile",
    "Operation": "tape",
    "Program": "tape",
    "ShapeDtypeStruct": "tape",
    "Tape": "tape",
    "adapt": "tape",
    "associative_scan": "tape",
    "check_grads": "tape",
    "checkpoint": "tape",
    "clear_cache": "compile",
    "clip_by_global_norm": "clipping",
    "clip_by_norm": "clipping",
    "cond": "tape",
    "custom_jvp": "tape",
    "custom_linear_solve": "tape",
    "custom_root": "tape",
    "custom_vjp": "tape",
    "debug_nans": "tape",
    "elementwise_grad": "tape",
    "eval_shape": "tape",
    "execute_op": "tape",
    "fit": "training",
    "fori_loop": "tape",
    "fixed_point": "tape",
    "grad": "tape",
    "gradients": "tape",
    "hessian": "tape",
    "hvp": "tape",
    "jacfwd": "tape",
    "jacobian": "tape",
    "jacrev": "tape",
    "jit": "compile",
    "jvp": "tape",
    "linear_transpose": "tape",
    "linearize": "tape",
    "load": "io",
    "map": "tape",
    "make_tape": "tape",
    "odeint": "integration",
    "ravel_pytree": "trees",
    "remat": "tape",
    "save": "io",
    "scan": "tape",
    "sliding_window_view": "nnet",
    "switch": "tape",
    "sparse_hessian": "tape",
    "sparse_jacobian": "tape",
    "sparsity": "tape",
    "value_and_grad": "tape",
    "vjp": "tape",
    "vmap": "tape",
    "while_loop": "tape",
}
_MODULES = frozenset(
    {
        "array_api",
        "compile",
        "computational_graph",
        "indexing_routines",
        "linalg",
        "math",
        "nnet",
        "operation_base",
        "optim",
        "parallel",
        "random",
        "sparse",
        "special",
        "tensor_creation",
        "tensor_manip",
        "training",
        "typing",
    }
)


if not _typing.TYPE_CHECKING:  # checkers would take every name for one of the package's

    def __getattr__(name: str) -> _Any:
        if name == "__all__":
            return [*_NAMES, *_ops.__all__]
        if name in _MODULES:
            return _import_module(f"tapegrad.{name}")
        if name in _LATER:
            value = getattr(_import_module(f"tapegrad.{_LATER[name]}"), name)
        elif not name.startswith("_") and name in _ops.__all__:
            value = getattr(_ops, name)
        else:
            raise AttributeError(_missing(name))
        globals()[name] = value
        return value

    def __dir__():
        return sorted({n for n in globals() if n.startswith("__")} | {*__getattr__("__all__")})


_later.places["array_namespace"] = "tapegrad.array_api", "_namespace"
_later.places["compile"] = "tapegrad.compile", "compile_program"
_later.places["jit"] = "tapegrad.compile", "jit"

__all__ = [
    "CompressedRows",
    "InvalidBackprop",
    "InvalidGradient",
    "Jit",
    "LeakedTensorError",
    "NonScalarOutputError",
    "Operation",
    "PatternError",
    "Program",
    "ShapeDtypeStruct",
    "Tape",
    "TapegradError",
    "Tensor",
    "TracedArrayError",
    "adapt",
    "array_api",
    "associative_scan",
    "bool_",
    "check_grads",
    "checkpoint",
    "clear_cache",
    "clip_by_global_norm",
    "clip_by_norm",
    "computational_graph",
    "cond",
    "custom_jvp",
    "custom_linear_solve",
    "custom_root",
    "custom_vjp",
    "debug_nans",
    "e",
    "elementwise_grad",
    "errors",
    "eval_shape",
    "execute_op",
    "fit",
    "fixed_point",
    "float16",
    "float32",
    "float64",
    "fori_loop",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "indexing_routines",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linalg",
    "linear_transpose",
    "linearize",
    "load",
    "make_tape",
    "map",
    "math",
    "mem_guard_off",
    "mem_guard_on",
    "nan",
    "newaxis",
    "nnet",
    "no_autodiff",
    "odeint",
    "operation_base",
    "optim",
    "parallel",
    "pi",
    "random",
    "ravel_pytree",
    "register_pytree_node",
    "remat",
    "save",
    "scan",
    "sliding_window_view",
    "sparse",
    "sparse_hessian",
    "sparse_jacobian",
    "sparsity",
    "special",
    "switch",
    "tensor_creation",
    "tensor_manip",
    "training",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_structure",
    "tree_unflatten",
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
    "while_loop",
]
if _TYPE_CHECKING:
    __all__ += _ops.__all__
else:
    _NAMES = __all__
    del __all__  # __getattr__ answers with the whole list
    globals().update(_ops.early)
