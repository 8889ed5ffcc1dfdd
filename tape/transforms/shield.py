"""Transformations never write into the caller's arrays.

Arguments by which is not differentiated reach the function as read-only views, which cost nothing, or
copies, if they are small. A function that writes into one is run again on copies, in tensors that do
nothing but compute, so that traced values can be written there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.originals import copied, same_bits
from tapegrad.tape.array.paths import mark_view, shares
from tapegrad.tape.array.tensor import Tensor, make, snapshot
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.core.trace import Trace, bind, body_inside, detached, new_trace

__all__ = ["run_shielded"]

#: Bytes up to which arrays are copied.
_SMALL = 1 << 12


class CopyTrace(Trace):
    """Computes as NumPy does; its tensors are arrays into which traced values can be written."""

    name = "a transformation"
    see_through = True

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute; floats and views become tensors."""
        body = body_inside(self)
        if body is not None:
            return body.process(primitive, args, params, constant)
        values = [self._below(a) for a in args]
        out = bind(primitive, *values, **params)
        below = detached(out) if constant else out
        if primitive.multiple:
            return tuple(
                make(self, snapshot(r) if type(r) is Tensor else np.asarray(r), None) for r in below
            )
        if not primitive.view and out.dtype.kind != "f":
            return below
        if type(out) is not Tensor:
            out = below = np.asarray(out)
        new = make(self, snapshot(below) if type(below) is Tensor else below, None)
        if primitive.view and type(args[0]) is Tensor and shares(out, values[0]):
            mark_view(new, args[0], primitive, params)
        return new

    def write(self, root: Tensor, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Replace the value of `root`; arrays stay as they are, for entries may have saved them."""
        new = bind(primitive, *(self._below(a) for a in (root, *args)), **params)
        root.adopt(make(self, new, None))

    def _below(self, a: Any) -> Any:
        if type(a) is not Tensor:
            return a
        return a.value if a._trace is self else self.lift_check(a)

    def copy(self, value: Any) -> Tensor:
        """Return a tensor of this trace around a copy of the same layout."""
        return make(self, copied(value), None)

    def consume(self, tensor: Tensor, kind: str) -> Any:
        """Return the value: nothing depends on it."""
        return tensor.value

    def array(self, tensor: Tensor, what: str) -> Any:
        """Return the value, into which nobody may write."""
        value = tensor.consume("array").view()
        value.flags.writeable = False
        return value

    def unknown(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """Apply a function that is not registered to the values."""
        leaves, structure = flatten((tuple(args), dict(kwargs)))
        values = [a.consume("unknown") if type(a) is Tensor else a for a in leaves]
        args, kwargs = unflatten(structure, values)
        return function(*args, **kwargs)

    def attribute(self, tensor: Tensor, name: str) -> Any:
        """Return the attribute of the array."""
        return getattr(self.array(tensor, name), name)

    def text(self, tensor: Tensor, form: Any) -> str:
        """Return the text of the array."""
        return str(form(tensor.consume("text")))

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether the value below is constant."""
        value = tensor.value
        return value.constant if type(value) is Tensor else True

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the value without the graphs below."""
        value = tensor.value
        return value._trace.detach(value) if type(value) is Tensor else Tensor(value)


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
        elif type(leaf) is Tensor:
            cell = snapshot(leaf)  # a cell of its own: writes stay there
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
            trace.copy(leaf)
            if type(leaf) is np.ndarray and leaf.flags.writeable
            else (snapshot(leaf) if type(leaf) is Tensor else leaf)
            for leaf in leaves
        ]
        outs, out_structure = flatten(run(unflatten(structure, copies)))
        outs = [a.value if type(a) is Tensor and a.live_trace is trace else a for a in outs]
    return unflatten(out_structure, outs)
