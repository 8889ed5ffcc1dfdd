"""Transformations never write into the caller's arrays.

Arguments by which is not differentiated reach the function as read-only views, which cost nothing, or
copies, if they are small. A function that writes into one is run again on copies, in tensors that do
nothing but compute, so that traced values can be written there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.application import (
    belongs,
    bind,
    detached,
    held,
    lower_arguments,
    make_result,
    without_history,
)
from tapegrad.tape.array.originals import copied, same_bits
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.appearance import Appearance
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import flatten, tree_map, unflatten
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import Trace, new_trace
from tapegrad.tape.core.traced import Traced

__all__ = ["run_shielded"]

#: Bytes up to which arrays are copied.
_SMALL = 1 << 12


#: Stands where other traces have nodes: nothing is kept with a copy.
_COPIED = object()


class CopyAppearance(Appearance):
    """How copies look: as arrays, into which only tensors can write."""

    __slots__ = ()

    def text(self, value: Traced, form: Any) -> str:
        """Return the text of the array."""
        return str(form(value.consume("text")))

    def attribute(self, value: Traced, name: str) -> Any:
        """Return the attribute of the array."""
        return getattr(self.array(value, name), name)

    def consume(self, value: Traced, kind: str) -> Any:
        """Return the value: nothing depends on it."""
        return value.value

    def array(self, value: Traced, what: str) -> Any:
        """Return the value, into which nobody may write."""
        array = value.consume("array").view()
        array.flags.writeable = False
        return array

    def apply_foreign(
        self, value: Traced, name: str, function: Any, args: Any, kwargs: Any, why: str = ""
    ) -> Any:
        """Apply the function to the values, unless traced ones were written into them."""
        tensors = [a for a in flatten((args, kwargs))[0] if isinstance(a, Tensor)]
        if not all(tensor.constant for tensor in tensors):
            return super().apply_foreign(value, name, function, args, kwargs, why)
        args, kwargs = tree_map(
            lambda a: a.consume("unknown") if isinstance(a, Tensor) else a, (tuple(args), kwargs)
        )
        return function(*args, **kwargs)


class CopyTrace(Trace):
    """Computes as NumPy does; its tensors are arrays into which traced values can be written."""

    name = "a transformation"
    appearance_of = CopyAppearance

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute; floats and views become tensors."""
        body = state.get().body
        if body is not None and body.level > self.level:
            return body.process(primitive, args, params, constant)
        values, _ = lower_arguments(self, args)
        out = bind(primitive, *values, **params)
        if constant:
            out = without_history(out)
        if primitive.multiple:
            return tuple(make(self, held(r), _COPIED) for r in out)
        if not primitive.view and out.dtype.kind != "f":
            return out
        if isinstance(out, Tensor):
            out = out.snapshot()
        elif type(out) is not np.ndarray:
            out = np.asarray(out)
        return make_result(self, primitive, args, params, values[0], out, _COPIED)

    def write(self, root: Traced, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Replace the value of `root`; arrays stay as they are, for entries may have saved them."""
        values, _ = lower_arguments(self, (root, *args))
        root.adopt(make(self, bind(primitive, *values, **params), _COPIED))

    def variable(self, value: Any, *, original: Any = None) -> Tensor:
        """Return a tensor of this trace around a copy of the same layout."""
        return make(self, copied(value), _COPIED)

    def lend(self, tensor: Traced, inner: Trace) -> Any:
        """Return the value: to traces further in, copies are nothing else."""
        value = tensor.value
        return inner.lift(value) if isinstance(value, Tensor) else value

    def differentiates(self, tensor: Traced) -> bool:
        """Copies are differentiated by what lies below."""
        return False

    def is_constant(self, tensor: Traced) -> bool:
        """Whether the value below is constant."""
        value = tensor.value
        return value.constant if isinstance(value, Tensor) else True

    def detach(self, tensor: Traced) -> Tensor:
        """Return the value without the graphs below."""
        return detached(tensor.value)

    def backward(self, tensor: Traced, grad: Any) -> None:
        """Refuse: nothing flows into copies of what is not differentiated by."""
        raise TypeError(
            "backward() inside a transformation: use tg.grad inside the function instead"
        )

    def clear(self, tensor: Traced) -> None:
        """There is no graph to clear."""


def run_shielded(run: Callable[[Any], Any], arguments: Any) -> Any:
    """Return ``run(arguments)``, with the arrays in the nest `arguments` safe from writes.

    Parameters
    ----------
    run : callable
        Runs the user's function; its result is a nest.
    arguments : nest
        What the function gets besides the values that are traced.
    """
    leaves, structure = flatten(arguments)
    views: list[Any] = []
    originals: dict[int, Any] = {}
    tensors: dict[int, Any] = {}
    for leaf in leaves:
        if type(leaf) is np.ndarray and leaf.flags.writeable:
            # np.add.at writes into read-only arrays, too.
            view = leaf.view() if leaf.nbytes > _SMALL or 0 in leaf.strides else copied(leaf)
            view.flags.writeable = False
            originals[id(view)] = leaf
            leaf = view
        elif isinstance(leaf, Tensor):
            cell = leaf.snapshot()  # a cell of its own: writes stay there
            tensors[id(cell)] = (leaf, cell.node)
            leaf = cell
        views.append(leaf)
    if not originals and not tensors:
        return run(arguments)
    try:
        result = run(unflatten(structure, views))
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        return _run_on_copies(run, leaves, structure)
    # A function that returns such an argument returns the caller's own array.
    out_leaves, out_structure = flatten(result)
    for i, leaf in enumerate(out_leaves):
        tensor, node = tensors.get(id(leaf), (leaf, None))
        if node is not None and leaf.node is node:
            out_leaves[i] = tensor
        elif id(leaf) in originals:
            own = originals[id(leaf)]
            if same_bits(own.reshape(leaf.shape), leaf):
                out_leaves[i] = own if own.shape == leaf.shape else own.reshape(leaf.shape)
    return unflatten(out_structure, out_leaves)


def _run_on_copies(run: Callable[[Any], Any], leaves: list[Any], structure: Any) -> Any:
    with new_trace(CopyTrace) as trace:
        copies = [
            trace.variable(leaf)
            if type(leaf) is np.ndarray and leaf.flags.writeable
            else (leaf.snapshot() if isinstance(leaf, Tensor) else leaf)
            for leaf in leaves
        ]
        outs, out_structure = flatten(run(unflatten(structure, copies)))
        outs = [a.value if belongs(a, trace) else a for a in outs]
    return unflatten(out_structure, outs)
