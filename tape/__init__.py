"""Recording and differentiating: tensors, traces, sweeps, batching, views, the memory guard.

This layer knows no particular operation. ``tapegrad.ops`` declares primitives and puts the
functions that apply them into the registry of :mod:`tapegrad.tape.core.primitive`, keyed by the NumPy
function that names them; everything here finds an operation by that name. It imports only NumPy.
What few programs need is loaded when it is first asked for.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tapegrad.tape.array import imperative  # noqa: F401  # makes the imperative trace
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import (
    InvalidBackprop,
    InvalidGradient,
    LeakedTensorError,
    MyGradException,
    NonScalarOutputError,
    PatternError,
    TapegradError,
    TracedArrayError,
)
from tapegrad.tape.core.kinds import register_pytree_node
from tapegrad.tape.core.later import later as _later
from tapegrad.tape.core.primitive import Registry as _Registry
from tapegrad.tape.core.pytree import (
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
)
from tapegrad.tape.core.state import (
    mem_guard_off,
    mem_guard_on,
    no_autodiff,
    turn_memory_guarding_off,
    turn_memory_guarding_on,
)

if _TYPE_CHECKING:
    from tapegrad.tape.program.program import Program
    from tapegrad.tape.program.tape import Tape
    from tapegrad.tape.transforms.adaptation import adapt
    from tapegrad.tape.transforms.checking import check_grads
    from tapegrad.tape.transforms.checkpointing import checkpoint, remat
    from tapegrad.tape.transforms.control.branches import cond, switch
    from tapegrad.tape.transforms.control.iteration import fori_loop, scan, while_loop
    from tapegrad.tape.transforms.control.rows import associative_scan, map
    from tapegrad.tape.transforms.custom import custom_jvp, custom_vjp
    from tapegrad.tape.transforms.derivatives import grad, jvp, value_and_grad, vjp
    from tapegrad.tape.transforms.gradients import gradients
    from tapegrad.tape.transforms.implicit import custom_linear_solve, custom_root, fixed_point
    from tapegrad.tape.transforms.inspection import ShapeDtypeStruct, eval_shape, make_tape
    from tapegrad.tape.transforms.jacobians import (
        elementwise_grad,
        hessian,
        jacfwd,
        jacobian,
        jacrev,
    )
    from tapegrad.tape.transforms.linear import hvp, linear_transpose, linearize
    from tapegrad.tape.transforms.operations import Operation, SkipGradient, execute_op
    from tapegrad.tape.transforms.sparsity import (
        CompressedRows,
        sparse_hessian,
        sparse_jacobian,
        sparsity,
    )
    from tapegrad.tape.transforms.vectorisation import vmap
    from tapegrad.tape.transforms.watching import debug_nans

#: Where the names are that are loaded when they are first asked for.
_LATER = {
    "CompressedRows": "tapegrad.tape.transforms.sparsity",
    "adapt": "tapegrad.tape.transforms.adaptation",
    "associative_scan": "tapegrad.tape.transforms.control.rows",
    "check_grads": "tapegrad.tape.transforms.checking",
    "cond": "tapegrad.tape.transforms.control.branches",
    "checkpoint": "tapegrad.tape.transforms.checkpointing",
    "custom_jvp": "tapegrad.tape.transforms.custom",
    "custom_linear_solve": "tapegrad.tape.transforms.implicit",
    "custom_root": "tapegrad.tape.transforms.implicit",
    "custom_vjp": "tapegrad.tape.transforms.custom",
    "debug_nans": "tapegrad.tape.transforms.watching",
    "elementwise_grad": "tapegrad.tape.transforms.jacobians",
    "eval_shape": "tapegrad.tape.transforms.inspection",
    "execute_op": "tapegrad.tape.transforms.operations",
    "fori_loop": "tapegrad.tape.transforms.control.iteration",
    "fixed_point": "tapegrad.tape.transforms.implicit",
    "grad": "tapegrad.tape.transforms.derivatives",
    "gradients": "tapegrad.tape.transforms.gradients",
    "hessian": "tapegrad.tape.transforms.jacobians",
    "hvp": "tapegrad.tape.transforms.linear",
    "jacfwd": "tapegrad.tape.transforms.jacobians",
    "jacobian": "tapegrad.tape.transforms.jacobians",
    "jacrev": "tapegrad.tape.transforms.jacobians",
    "jvp": "tapegrad.tape.transforms.derivatives",
    "linear_transpose": "tapegrad.tape.transforms.linear",
    "linearize": "tapegrad.tape.transforms.linear",
    "make_tape": "tapegrad.tape.transforms.inspection",
    "Operation": "tapegrad.tape.transforms.operations",
    "Program": "tapegrad.tape.program.program",
    "remat": "tapegrad.tape.transforms.checkpointing",
    "ShapeDtypeStruct": "tapegrad.tape.transforms.inspection",
    "SkipGradient": "tapegrad.tape.transforms.operations",
    "sparse_hessian": "tapegrad.tape.transforms.sparsity",
    "sparse_jacobian": "tapegrad.tape.transforms.sparsity",
    "sparsity": "tapegrad.tape.transforms.sparsity",
    "Tape": "tapegrad.tape.program.tape",
    "map": "tapegrad.tape.transforms.control.rows",
    "scan": "tapegrad.tape.transforms.control.iteration",
    "switch": "tapegrad.tape.transforms.control.branches",
    "value_and_grad": "tapegrad.tape.transforms.derivatives",
    "vjp": "tapegrad.tape.transforms.derivatives",
    "vmap": "tapegrad.tape.transforms.vectorisation",
    "while_loop": "tapegrad.tape.transforms.control.iteration",
}
_Registry.waiting = (
    "tapegrad.tape.transforms.calls",
    "tapegrad.tape.transforms.control.branches",
    "tapegrad.tape.transforms.control.scans",
    "tapegrad.tape.transforms.control.whiles",
    "tapegrad.tape.transforms.checkpointing",
    "tapegrad.tape.transforms.creators",
    "tapegrad.tape.transforms.custom_entries",
    "tapegrad.tape.transforms.equations",
    "tapegrad.tape.transforms.operations",
)
for _name in ("called", "read"):
    _later.places[_name] = "tapegrad.tape.python.running", _name
for _name in ("like_kind", "python_integer", "rolled"):
    _later.places[_name] = "tapegrad.tape.transforms.control.rolled", _name
_later.places["compiled"] = "tapegrad.tape.program.bodies", "compiled"
_later.places["vmap"] = "tapegrad.tape.transforms.vectorisation", "vmap"
for _name in ("reverse", "forward", "batch"):
    _later.places[_name] = "tapegrad.tape.transforms.programs", _name


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module 'tapegrad.tape' has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(_LATER[name]), name)
    return value


__all__ = [
    "CompressedRows",
    "InvalidBackprop",
    "InvalidGradient",
    "LeakedTensorError",
    "MyGradException",
    "NonScalarOutputError",
    "Operation",
    "PatternError",
    "Program",
    "ShapeDtypeStruct",
    "SkipGradient",
    "Tape",
    "TapegradError",
    "Tensor",
    "TracedArrayError",
    "adapt",
    "associative_scan",
    "check_grads",
    "checkpoint",
    "cond",
    "custom_jvp",
    "custom_linear_solve",
    "custom_root",
    "custom_vjp",
    "debug_nans",
    "elementwise_grad",
    "eval_shape",
    "execute_op",
    "fixed_point",
    "fori_loop",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linear_transpose",
    "linearize",
    "make_tape",
    "map",
    "mem_guard_off",
    "mem_guard_on",
    "no_autodiff",
    "register_pytree_node",
    "remat",
    "scan",
    "sparse_hessian",
    "sparse_jacobian",
    "sparsity",
    "switch",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_structure",
    "tree_unflatten",
    "turn_memory_guarding_off",
    "turn_memory_guarding_on",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
