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
    from tapegrad.tape.transforms.control import cond
    from tapegrad.tape.transforms.derivatives import grad, jvp, value_and_grad, vjp
    from tapegrad.tape.transforms.gradients import gradients
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

#: Where the names are that are loaded when they are first asked for.
_LATER = {
    "CompressedRows": "tapegrad.tape.transforms.sparsity",
    "adapt": "tapegrad.tape.transforms.adaptation",
    "check_grads": "tapegrad.tape.transforms.checking",
    "cond": "tapegrad.tape.transforms.control",
    "elementwise_grad": "tapegrad.tape.transforms.jacobians",
    "execute_op": "tapegrad.tape.transforms.operations",
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
    "Operation": "tapegrad.tape.transforms.operations",
    "Program": "tapegrad.tape.program.program",
    "SkipGradient": "tapegrad.tape.transforms.operations",
    "sparse_hessian": "tapegrad.tape.transforms.sparsity",
    "sparse_jacobian": "tapegrad.tape.transforms.sparsity",
    "sparsity": "tapegrad.tape.transforms.sparsity",
    "Tape": "tapegrad.tape.program.tape",
    "value_and_grad": "tapegrad.tape.transforms.derivatives",
    "vjp": "tapegrad.tape.transforms.derivatives",
    "vmap": "tapegrad.tape.transforms.vectorisation",
}
_Registry.waiting = (
    "tapegrad.tape.transforms.calls",
    "tapegrad.tape.transforms.control",
    "tapegrad.tape.transforms.creators",
    "tapegrad.tape.transforms.operations",
)
for _name in ("called", "read"):
    _later.places[_name] = "tapegrad.tape.python.running", _name
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
    "SkipGradient",
    "Tape",
    "TapegradError",
    "Tensor",
    "TracedArrayError",
    "adapt",
    "check_grads",
    "cond",
    "elementwise_grad",
    "execute_op",
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
    "mem_guard_off",
    "mem_guard_on",
    "no_autodiff",
    "register_pytree_node",
    "sparse_hessian",
    "sparse_jacobian",
    "sparsity",
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
]
