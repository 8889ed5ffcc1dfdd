"""The imperative trace: tensors outside any transformation.

It works on arrays, links each result to the node of the entry that made it, locks users' arrays, and
obeys the switches of the context.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tapegrad.tape.array import recorder  # noqa: F401  # generates what primitives do here
from tapegrad.tape.array.graph import Locks, any_variable, enter, fresh_leaf, locked
from tapegrad.tape.array.mutation import write_in_memory
from tapegrad.tape.array.tensor import Tensor, imperative, pin_of
from tapegrad.tape.core import reverse
from tapegrad.tape.core.checks import check_numeric
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node, nobody
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import guarding, state
from tapegrad.tape.core.trace import Trace
from tapegrad.tape.core.traced import Traced

__all__ = ["ImperativeTrace"]


_NOT_REAL = (
    "backward() of a complex tensor: which gradient is meant? Make it real (abs(z), z.real), or pass "
    "backward(1.0), which gives the derivative of a holomorphic function"
)


class ImperativeTrace(Trace):
    """Level 0: records what is done with imperative tensors, on arrays."""

    name = "imperative"
    keeps_graph = True

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute with arrays, and link the result to the nodes of the arguments."""
        return primitive.record(args, params, constant)

    def variable(self, value: Any, *, original: Any = None) -> Tensor:
        """Return a tensor that holds an array."""
        return Tensor(value, copy=False)

    def lend(self, tensor: Traced, inner: Trace) -> Any:
        """Return a snapshot; of a buffer that the transformation made for itself, a copy.

        Nobody outside can ask for the gradient of such a buffer, which may be written into before the
        value is used.
        """
        if _oldest(tensor.node) > inner.start:
            return np.array(tensor.value)
        return tensor.snapshot()

    def is_constant(self, tensor: Traced) -> bool:
        """Whether no gradient flows to `tensor`."""
        return tensor.node.constant  # type: ignore[no-any-return]

    def detach(self, tensor: Any) -> Tensor:
        """Return the value in a tensor without a graph."""
        return Tensor(tensor.value, copy=False)

    def grad(self, tensor: Any) -> Any:
        """Return the gradient; that of a view is the view of its base's gradient."""
        base = tensor._base
        if base is None:
            return tensor._node.grad
        grad = base.grad
        if grad is None:
            node = tensor._node
            alone = base._node.constant or not (node.inputs or node.cleared)
            return node.grad if alone and tensor._version == base._version else None
        if base._inner_shape is not None:
            grad = grad.reshape(base._inner_shape)
        for primitive, params in tensor._path:
            grad = primitive.forward(grad, **params)
        return grad

    def backward(self, tensor: Any, grad: Any) -> None:
        """Sweep from `tensor`, leave gradients at all variables, and clear the graph."""
        if not state.get().tracking:
            return  # documented: no differentiation in no_autodiff
        node = tensor.node
        shape = tensor._value.shape
        if grad is None:
            if node.dtype.kind == "c" and not node.constant:
                raise TypeError(_NOT_REAL)
            cotangent = np.array(1, node.dtype) if shape == () else np.ones(shape, node.dtype)
        else:
            grad = np.asarray(grad)
            check_numeric(grad.dtype)
            if grad.dtype.kind == "c" and node.dtype.kind != "c":
                raise TypeError("backward(grad): the tensor is real, and the gradient complex")
            try:
                cotangent = np.broadcast_to(grad, shape).astype(node.dtype)
            except ValueError:
                raise ValueError(
                    f"backward(grad): a gradient of shape {grad.shape} cannot be broadcast to the "
                    f"tensor's shape {shape}"
                ) from None
        if node.constant:
            reverse.clear(node)
        else:
            reverse.backward(node, cotangent)

    def clear(self, tensor: Any) -> None:
        """Clear the graph that led to `tensor`."""
        reverse.clear(tensor.node)

    def write(self, root: Any, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Write into memory, and into a copy of it if an entry needs the old version."""
        current = state.get()
        if current.tape is not None:
            current.tape.enters(root)
            constant = True if _stays_constant(root, args) else None
            root.adopt(self.process(primitive, (root.snapshot(), *args), params, constant))
            return
        guard = guarding(current)
        if current.depth:
            guard = guard and any_variable((root, *args))
        pins: list[Any] = []
        locks: Locks = ()
        node = root._node
        old = fresh_leaf(root) if node.cleared else node
        inputs: list[Node | None] = [old]
        values: list[Any] = []
        for a, needed in zip(args, islice(primitive.needs_values, 1, None)):
            source = None
            if not isinstance(a, Tensor):
                a, locks = locked(a, locks, guard and needed)
            elif not current.tracking:
                a = a.value
            else:
                source, locks = enter(a, locks, guard)
                if needed:
                    pins.append(pin_of(a))
                a = a._value
            values.append(a)
            inputs.append(source)
        root._value = write_in_memory(root, values, params)
        if not current.tracking:
            root._version += 1  # the gradient stays, as it does for `x.data -= ...`
            return
        saved = primitive.save(None, [old, *values])
        new = Node(primitive, inputs, params, saved, old.shape, old.dtype)
        new.pins, new.locks = tuple(pins), locks
        new.constant = _stays_constant(root, args)
        old.grad = None
        old.owner = nobody
        root._node = new
        root._version += 1


def _stays_constant(root: Any, args: tuple[Any, ...]) -> bool:
    """Whether a tensor is a constant after `args` were written into it: constants stay constants."""
    return root.constant and not (
        root.follows
        and root.dtype.kind in CONTINUOUS
        and any_variable(args)
        and state.get().tracking
    )


#: The answers of `_oldest`, while the nodes live.
_OLDEST: WeakKeyDictionary[Node, int] = WeakKeyDictionary()


def _oldest(node: Node) -> int:
    """Return the number of the oldest node that a node came from; each is looked at once."""
    found = [] if node in _OLDEST else [node]
    seen = set(found)
    for each in found:  # the list grows while it is walked
        for source in each.inputs:
            if source is not None and source not in seen and source not in _OLDEST:
                seen.add(source)
                found.append(source)
    for each in sorted(found, key=attrgetter("number")):
        sources = (_OLDEST[source] for source in each.inputs if source is not None)
        _OLDEST[each] = min(sources, default=each.number)
    return _OLDEST[node]


imperative.trace = ImperativeTrace(0)
