"""Recording and differentiating: tensors, traces, sweeps, batching, views, the memory guard.

This layer knows no particular operation. ``tapegrad.ops`` declares primitives and puts the
functions that apply them into the registry of :mod:`tapegrad.tape.core.primitive`, keyed by the NumPy
function that names them; everything here finds an operation by that name. It imports only NumPy.
"""

from tapegrad.tape.array import imperative  # noqa: F401  # makes the imperative trace
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import (
    InvalidBackprop,
    InvalidGradient,
    LeakedTensorError,
    MyGradException,
    NonScalarOutputError,
    TapegradError,
    TracedArrayError,
)
from tapegrad.tape.core.kinds import register_pytree_node
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
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.tape import Tape
from tapegrad.tape.transforms import calls, programs  # noqa: F401  # what programs can do
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
from tapegrad.tape.transforms.vectorisation import vmap

__all__ = [
    "InvalidBackprop",
    "InvalidGradient",
    "LeakedTensorError",
    "MyGradException",
    "NonScalarOutputError",
    "Operation",
    "Program",
    "SkipGradient",
    "Tape",
    "TapegradError",
    "Tensor",
    "TracedArrayError",
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
