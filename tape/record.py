"""Recording for reverse mode: the imperative trace and the trace of ``grad`` and ``vjp``.

Both link each result to the node of the entry that made it. The imperative trace works on arrays,
locks users' arrays, and obeys the switches of the context; :class:`RecordTrace` works on whatever
lies below it.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape import reverse
from tapegrad.tape.guard import lock
from tapegrad.tape.node import Node, nobody
from tapegrad.tape.primitive import Primitive, primitives
from tapegrad.tape.state import State, _GuardDefault, state
from tapegrad.tape.tensor import Tensor, check_constant, imperative, make, own, pin_of, snapshot
from tapegrad.tape.trace import Trace, bind, leaked
from tapegrad.tape.views import write_in_memory

__all__ = ["ImperativeTrace", "RecordTrace"]

_FLOAT64 = np.dtype(float)
_SCALARS = frozenset({float, int, bool, np.ndarray, np.float64, np.float32, np.int64})


class ImperativeTrace(Trace):
    """Level 0: records what is done with imperative tensors, on arrays."""

    name = "imperative"

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute with arrays and link the result to the nodes of the arguments.

        The hot path of imperative code; everything unusual is left to :meth:`_process_any`.
        """
        current = state.get()
        if current.tape is not None or not current.tracking or not primitive.plain_entry:
            return self._process_any(primitive, args, params, constant, current)
        locking = _GuardDefault.on if current.guard is None else current.guard
        values: list[Any] = []
        inputs: list[Node | None] = []
        holds: list[Any] = []
        live = False
        for a, kept in zip(args, primitive.pins):
            if type(a) is Tensor:
                if a._trace is not self:
                    raise leaked(a)
                node = a._node
                if node.settled:
                    live = True
                    if kept:
                        pin = a._pin
                        if pin is None:
                            pin = a._pin = object()
                        holds.append(pin)
                else:
                    node = self._enter(a, kept, holds, locking)
                    if not node.constant:
                        live = True
                values.append(a._value)
                inputs.append(node)
            else:
                if type(a) is np.ndarray:
                    if locking:
                        holds.append(lock(a))
                elif type(a) not in _SCALARS:
                    a = np.asarray(a)
                values.append(a)
                inputs.append(None)
        out = primitive.forward(*values, **params) if params else primitive.forward(*values)
        if type(out) is not np.ndarray:
            out = np.asarray(out)
        dtype = out.dtype
        node = Node(primitive, inputs, params, primitive.save(out, values), out.shape, dtype, holds)
        if constant is not None:
            live = _wanted(constant, primitive, out)
        new = make(self, out, node)
        if live and (dtype is _FLOAT64 or dtype.kind == "f"):
            node.settled = True
            node.owner = weakref.ref(new)
        else:
            node.constant = True
        if primitive.saves_result:
            pin = new._pin = object()
            holds.append(pin)
        return new

    def _enter(self, a: Tensor, kept: bool, holds: list[Any], locking: bool) -> Node:
        """Bring a leaf, a view or a constant into the graph: lock its array, null its gradient."""
        base = a._base
        node = _current_node(a)
        node.grad = None
        if base is not None:
            base._node.grad = None
        own(a)
        if kept:
            holds.append(pin_of(a))
        if locking and (base is not None or node.primitive is None):
            held = a._lock
            held = None if held is None else held()
            holds.append(_locked(a) if held is None else held)
        return node

    def _process_any(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None,
        current: State,
    ) -> Any:
        """Apply views and non-differentiable primitives; record on tapes; obey ``no_autodiff``."""
        values: list[Any] = []
        inputs: list[Node | None] = []
        live = False
        for a in args:
            if type(a) is Tensor:
                if a._trace is not self:
                    raise leaked(a)
                node = _current_node(a)
                values.append(a._value)
                inputs.append(node)
                if not node.constant:
                    live = True
            else:
                values.append(a if type(a) in _SCALARS else np.asarray(a))
                inputs.append(None)
        out = primitive.forward(*values, **params)
        if current.tape is not None:
            return current.tape.record(self, primitive, args, inputs, params, values, out, constant)
        if not primitive.differentiable:
            return out
        if type(out) is not np.ndarray:
            out = np.asarray(out)
        if constant is not None:
            live = _wanted(constant, primitive, out)
        if not current.tracking:
            node = Node(None, (), {}, (), out.shape, out.dtype)
            node.constant = out.dtype.kind != "f" or constant is True
            new = make(self, out, node)
            if primitive.view and type(args[0]) is Tensor and shares(out, values[0]):
                mark_view(new, args[0], primitive, params)
            return new
        return self.link(primitive, args, inputs, params, values, out, live, current)

    def link(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        inputs: list[Node | None],
        params: Mapping[str, Any],
        values: list[Any],
        out: Any,
        live: bool,
        current: State,
    ) -> Tensor:
        """Make the node of one application, and the tensor of its result."""
        holds: list[Any] = []
        if not primitive.view:
            locking = _GuardDefault.on if current.guard is None else current.guard
            for a, kept in zip(args, primitive.pins):
                if type(a) is Tensor:
                    node = a._node
                    node.grad = None
                    own(a)
                    if a._base is not None:
                        a._base._node.grad = None
                    if kept:
                        holds.append(pin_of(a))
                    if locking and (node.primitive is None or a._base is not None):
                        holds.append(_locked(a))
                elif locking and type(a) is np.ndarray:
                    holds.append(lock(a))
        saved = primitive.save(out, values)
        node = Node(primitive, inputs, params, saved, out.shape, out.dtype, holds)
        node.constant = not live or out.dtype.kind != "f"
        new = make(self, out, node)
        if primitive.view and type(args[0]) is Tensor and shares(out, values[0]):
            mark_view(new, args[0], primitive, params)
        if primitive.saves_result:
            holds.append(pin_of(new))
        return new

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether no gradient flows to `tensor`."""
        return tensor.node.constant  # type: ignore[no-any-return]

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the value in a tensor without a graph."""
        return Tensor(tensor.value, copy=False)

    def grad(self, tensor: Tensor) -> Any:
        """Return the gradient; that of a view is the view of its base's gradient."""
        base = tensor._base
        if base is None:
            return tensor._node.grad
        grad = base.grad
        if grad is None:
            return tensor._node.grad if tensor._version == base._version else None
        if base._inner_shape is not None:
            grad = grad.reshape(base._inner_shape)
        for primitive, params in tensor._path:
            grad = primitive.forward(grad, **params)
        return grad

    def backward(self, tensor: Tensor, grad: Any) -> None:
        """Sweep from `tensor`, leave gradients at all variables, and clear the graph."""
        node = tensor.node
        shape = tensor._value.shape
        if grad is None:
            cotangent = np.ones(shape, dtype=node.dtype)
        else:
            grad = np.asarray(grad)
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

    def clear(self, tensor: Tensor) -> None:
        """Clear the graph that led to `tensor`."""
        reverse.clear(tensor.node)

    def write(self, root: Tensor, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Write into memory, and into a copy of it if an entry needs the old version."""
        current = state.get()
        if current.tape is not None:
            current.tape.enters(root)
            super().write(root, primitive, args, params)
            return
        inputs: list[Node | None] = []
        values: list[Any] = []
        node = root._node
        old = fresh_leaf(root) if node.cleared else node
        live = not old.constant
        inputs.append(old)
        for a in args:
            value = a.value if type(a) is Tensor else np.asarray(a)
            values.append(value)
            inputs.append(a._node if type(a) is Tensor else None)
            live = live or (type(a) is Tensor and not a._node.constant)
        root._value = write_in_memory(root, values, params)
        if not current.tracking:
            if current.guard is not False:
                root._node.grad = None
            root._version += 1
            return
        saved = primitive.save(None, [old, *values])
        new = Node(primitive, inputs, params, saved, old.shape, old.dtype)
        new.constant = not live or old.dtype.kind != "f"
        old.grad = None
        old.owner = nobody
        root._node = new
        root._version += 1


def _current_node(tensor: Tensor) -> Node:
    """Bring a view up to date, and give a tensor whose graph was cleared a fresh node."""
    base = tensor._base
    if base is not None and tensor._version != base._version:
        tensor.refresh()
    node: Node = tensor._node
    return fresh_leaf(tensor) if node.cleared else node


def _locked(tensor: Tensor) -> Any:
    """Lock the array of a leaf, or of a view."""
    held = lock(tensor._value)
    if held is not None:
        tensor._lock = held.reference
    return held


def _wanted(constant: Any, primitive: Primitive, out: Any) -> bool:
    """Whether a result is variable when the user says whether it is constant."""
    check_constant(constant)
    if not constant and out.dtype.kind != "f":
        raise ValueError(
            f"the result of {primitive.name} has dtype {out.dtype} and must be constant: "
            "only floats have gradients"
        )
    return not constant


def shares(out: Any, source: Any) -> bool:
    """Whether `out`, made from `source` by a view primitive, is a view of it and no copy."""
    base = out.base
    return base is not None and (base is source or base is source.base or type(out) is Tensor)


def mark_view(new: Tensor, source: Tensor, primitive: Primitive, params: Mapping[str, Any]) -> None:
    """Note that `new` is a view of `source` through `primitive`."""
    root = source._base if source._base is not None else source
    step = (primitive, dict(params))
    if source._base is None and root._inner_shape is not None:
        reshape = _reshape_step(root)
        new._path = (reshape, step)
    else:
        new._path = (*source._path, step)
    new._base = root
    new._version = root._version


def _reshape_step(root: Tensor) -> tuple[Primitive, dict[str, Any]]:
    return primitives["reshape"], {"shape": root.shape}


def fresh_leaf(tensor: Tensor) -> Node:
    """Give a tensor whose graph was cleared a node of its own, so that it can enter a new graph.

    The old node stays marked: graphs that were built on it before the clearing must not go on.
    """
    old = tensor._node
    node = Node(None, (), {}, (), old.shape, old.dtype)
    node.constant = old.constant
    node.grad = old.grad
    tensor._node = node
    return node


class RecordTrace(Trace):
    """The trace of ``vjp``: links values of any kind, arrays or tensors of the traces below."""

    name = "grad"

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute below, and link the result to the nodes of the arguments."""
        values: list[Any] = []
        inputs: list[Node | None] = []
        for i, a in enumerate(args):
            node = None
            if type(a) is Tensor:
                if a._trace is self:
                    node = a.node if primitive.differentiable_in(i) else None
                    a = a._value
                else:
                    a = self.lift_check(a)
            values.append(a)
            inputs.append(node)
        out = bind(primitive, *values, **params)
        if constant:
            return out._trace.detach(out) if type(out) is Tensor else out
        if not any(node is not None for node in inputs):
            return out
        if type(out) is not Tensor and type(out) is not np.ndarray:
            out = np.asarray(out)
        if out.dtype.kind != "f":
            return out
        below, out = out, snapshot(out) if type(out) is Tensor else out
        saved = primitive.save(out, values)
        node = Node(primitive, inputs, params, saved, out.shape, out.dtype)
        new = make(self, out, node)
        if primitive.view and shares(below, values[0]):
            mark_view(new, args[0], primitive, params)
        return new

    def variable(self, value: Any) -> Tensor:
        """Return a tensor of this trace around `value`."""
        if type(value) is Tensor:
            value = snapshot(value)
        return make(self, value, Node(None, (), {}, (), value.shape, value.dtype))

    def is_constant(self, tensor: Tensor) -> bool:
        """Tensors of this trace are variables."""
        return False

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the value below, in which this trace has no part."""
        value = tensor.value
        return value._trace.detach(value) if type(value) is Tensor else Tensor(value)

    def grad(self, tensor: Tensor) -> Any:
        """Return what ``backward`` has left."""
        return tensor.node.grad

    def backward(self, tensor: Tensor, grad: Any) -> None:
        """Sweep inside a transformation; gradients are values of the traces below."""
        node = tensor.node
        value = tensor.value
        if grad is None:
            cotangent = np.ones(value.shape, dtype=value.dtype)
        else:
            cotangent = np.broadcast_to(grad, value.shape)
        for source, g in reverse.sweep([(node, cotangent)]).items():
            source.grad = g

    def clear(self, tensor: Tensor) -> None:
        """A transformation keeps its graph until it has ended."""


imperative.trace = ImperativeTrace(0)
