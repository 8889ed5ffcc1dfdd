"""The imperative trace: tensors outside any transformation.

It works on arrays, links each result to the node of the entry that made it, locks users' arrays, and
obeys the switches of the context.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from tapegrad.tape.array.guard import lock, release_with
from tapegrad.tape.array.mutation import write_in_memory
from tapegrad.tape.array.paths import mark_view, shares_memory
from tapegrad.tape.array.tensor import (
    Tensor,
    check_constant,
    check_real,
    imperative,
    make,
    own,
    pin_of,
)
from tapegrad.tape.core import reverse
from tapegrad.tape.core.bundles import link_bundle
from tapegrad.tape.core.node import Node, nobody
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import State, _GuardDefault, state
from tapegrad.tape.core.trace import Trace, Traced, leaked

__all__ = ["ImperativeTrace"]

_new_tensor = Tensor.__new__
_FLOAT64 = np.dtype(float)
_NO_PARAMS: dict[str, Any] = {}
_NUMBERS = frozenset({float, int, bool, np.float64, np.float32, np.int64})
_SCALARS = frozenset({float, int, bool, np.ndarray, np.float64, np.float32, np.int64})


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
        """Compute with arrays and link the result to the nodes of the arguments.

        The hot path of imperative code; everything unusual is left to :meth:`_process_any`.
        """
        current = state.get()
        if not current.plain or not primitive.plain_entry:
            return self._process_any(primitive, args, params, constant, current)
        locking = _GuardDefault.on if current.guard is None else current.guard
        if current.depth:
            locking = locking and _any_variable(args)
        values: list[Any] = []
        inputs: list[Node | None] = []
        holds: list[Any] = []
        live = False
        for a, kept in zip(args, primitive.pins):
            if type(a) is Tensor:
                if a._trace is not self:
                    raise leaked(a)
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
                    if locking and isinstance(a, np.ndarray):
                        holds.append(lock(a))
                    a = np.asarray(a)
                else:
                    holds.append(a)
                values.append(a)
                inputs.append(None)
        out = primitive.forward(*values, **params) if params else primitive.forward(*values)
        if constant is not None:
            live = _wanted(constant, primitive, np.asarray(out))
        return self._made(primitive, inputs, params, values, out, live, holds)

    def unary(self, primitive: Primitive, a: Tensor, params: Mapping[str, Any] = _NO_PARAMS) -> Any:
        """Do what :meth:`process` does, for one tensor: the common case, unrolled."""
        current = state.get()
        if not current.plain or not primitive.plain_entry:
            return self.process(primitive, (a,), params)
        holds: list[Any] = []
        node = a._node
        kept = primitive.pins[0]
        if not node.settled:
            locking = _GuardDefault.on if current.guard is None else current.guard
            node = self._enter(a, kept, holds, locking)
        elif kept:
            pin = a._pin
            if pin is None:
                pin = a._pin = object()
            holds.append(pin)
        value = a._value
        out = primitive.forward(value, **params) if params else primitive.forward(value)
        return self._made(primitive, (node,), params, (value,), out, not node.constant, holds)

    def operator(self, primitive: Primitive, args: tuple[Any, Any]) -> Any:
        """Do what :meth:`process` does, for a binary operator: unrolled like :meth:`unary`."""
        a, b = args
        current = state.get()
        if not current.plain or not primitive.plain_entry:
            return self.process(primitive, args, _NO_PARAMS)
        holds: list[Any] = []
        first = second = None
        live = False
        kept, kept_too = primitive.pins
        if type(a) is Tensor:
            first = a._node
            if not first.settled:
                locking = _GuardDefault.on if current.guard is None else current.guard
                first = self._enter(a, kept, holds, locking)
            elif kept:
                pin = a._pin
                if pin is None:
                    pin = a._pin = object()
                holds.append(pin)
            live = not first.constant
            a = a._value
        elif type(a) not in _NUMBERS:
            return self.process(primitive, args, _NO_PARAMS)
        else:
            holds.append(a)  # for pictures of the graph
        if type(b) is Tensor:
            second = b._node
            if not second.settled:
                locking = _GuardDefault.on if current.guard is None else current.guard
                second = self._enter(b, kept_too, holds, locking)
            elif kept_too:
                pin = b._pin
                if pin is None:
                    pin = b._pin = object()
                holds.append(pin)
            live = live or not second.constant
            b = b._value
        elif type(b) not in _NUMBERS:
            return self.process(primitive, args, _NO_PARAMS)
        else:
            holds.append(b)
        out = primitive.forward(a, b)
        return self._made(primitive, (first, second), _NO_PARAMS, (a, b), out, live, holds)

    def _made(
        self,
        primitive: Primitive,
        inputs: Sequence[Node | None],
        params: Mapping[str, Any],
        values: Sequence[Any],
        out: Any,
        live: bool,
        holds: list[Any],
    ) -> Tensor:
        """Make the node and the tensor of a result."""
        if type(out) is not np.ndarray:
            out = np.asarray(out)
        dtype = out.dtype
        saved = primitive.save(out, values)
        node = Node(primitive, inputs, params, saved, out.shape, dtype, holds)
        # Tensor.__init__ is for users; these are its slots.
        new = _new_tensor(Tensor)
        new._trace = self
        new._value = out
        new._node = node
        new._base = new._lock = new._latent = new._inner_shape = None
        new._path = ()
        new._version = 0
        if live and (dtype is _FLOAT64 or dtype.kind == "f"):
            node.settled = True
            node.owner = weakref.ref(new)
        else:
            node.constant = True
        if primitive.saves_result:
            pin = new._pin = object()
            holds.append(pin)
        else:
            new._pin = None
        return new

    def _enter(self, a: Tensor, kept: bool, holds: list[Any], locking: bool) -> Node:
        """Bring a leaf, a view or a constant into the graph: lock its array, null its gradient."""
        base = a._base
        node: Node = a._node
        if base is not None or node.cleared:
            node = _current_node(a)
            if base is not None:
                base._node.grad = None
        node.grad = None
        if node.owner is None or node.owner() is None:
            node.owner = weakref.ref(a)
        if kept:
            pin = a._pin
            holds.append(pin if pin is not None and base is None else pin_of(a))
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
        if current.body is not None:
            return current.body.process(primitive, args, params, constant)
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
        if primitive.multiple:
            live = live and not constant
            return self._several(primitive, args, inputs, params, values, out, live, current)
        if current.tape is None and not primitive.differentiable:
            return out
        if type(out) is not np.ndarray:
            out = np.asarray(out)
        live = live and primitive.differentiable
        if constant is not None:
            live = _wanted(constant, primitive, out)
        if current.tape is not None:
            new = self.link(primitive, args, inputs, params, values, out, live, current)
            current.tape.keep(primitive, args, inputs, params, values, new._node)
            return new
        if not current.tracking:
            node = Node(None, (), {}, (), out.shape, out.dtype)
            node.constant = out.dtype.kind != "f" or constant is True
            new = make(self, out, node)
            if primitive.view and shares_memory(out, values[0]):
                mark_view(new, args[0], primitive, params)
                if not out.flags.writeable:
                    release_with(out, values[0])
            return new
        return self.link(primitive, args, inputs, params, values, out, live, current)

    def _several(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        inputs: list[Node | None],
        params: Mapping[str, Any],
        values: list[Any],
        out: tuple[Any, ...],
        live: bool,
        current: State,
    ) -> tuple[Tensor, ...]:
        """Make the nodes of an application with several results, and their tensors."""
        results = [np.asarray(result) for result in out]
        live = live and current.tracking
        holds = self._held(primitive, args, current) if live else []
        saved = primitive.save(None, values) if live else ()
        bundle, nodes = link_bundle(
            primitive, inputs, params, saved, results, holds, constant=not live
        )
        if current.tape is not None:
            current.tape.keep(primitive, args, inputs, params, values, bundle)
            for node in nodes:
                current.tape.keep(node.primitive, (None,), (bundle,), node.params, (None,), node)
        return tuple(make(self, result, node) for result, node in zip(results, nodes))

    def _held(self, primitive: Primitive, args: tuple[Any, ...], current: State) -> list[Any]:
        """Bring the arguments into the graph; return pins and locks."""
        holds: list[Any] = []
        locking = _GuardDefault.on if current.guard is None else current.guard
        if current.depth:
            locking = locking and _any_variable(args)
        for a, kept in zip(args, primitive.pins):
            if type(a) is Tensor and primitive.view:
                own(a)  # taking a view leaves gradient and array as they are
            elif type(a) is Tensor:
                self._enter(a, kept, holds, locking)
            elif locking and isinstance(a, np.ndarray):
                holds.append(lock(a))
        return holds

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
        holds = self._held(primitive, args, current)
        saved = primitive.save(out, values)
        node = Node(primitive, inputs, params, saved, out.shape, out.dtype, holds)
        node.constant = not live or out.dtype.kind != "f"
        new = make(self, out, node)
        if primitive.view and shares_memory(out, values[0]):
            mark_view(new, args[0], primitive, params)
            if not out.flags.writeable:
                release_with(out, values[0])
        if primitive.saves_result:
            holds.append(pin_of(new))
        return new

    def variable(self, value: Any, *, original: Any = None) -> Tensor:
        """Return a tensor that holds an array."""
        return Tensor(value, copy=False)

    def lend(self, tensor: Traced, inner: Trace) -> Any:
        """Return a snapshot; of a buffer that the transformation made for itself, a copy.

        Nobody outside can ask for the gradient of such a buffer, which may be written into before the
        value is used.
        """
        if _made_since(tensor.node, inner.start):
            return np.array(tensor.value)
        return tensor.snapshot()

    def is_constant(self, tensor: Traced) -> bool:
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
        if not state.get().tracking:
            return  # documented: no differentiation in no_autodiff
        node = tensor.node
        shape = tensor._value.shape
        if grad is None:
            cotangent = np.array(1, node.dtype) if shape == () else np.ones(shape, node.dtype)
        else:
            grad = np.asarray(grad)
            check_real(grad.dtype)
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
        locking = _GuardDefault.on if current.guard is None else current.guard
        if current.depth:
            locking = locking and _any_variable((root, *args))
        holds: list[Any] = []
        node = root._node
        old = fresh_leaf(root) if node.cleared else node
        live = not old.constant
        inputs: list[Node | None] = [old]
        values: list[Any] = []
        for a, kept in zip(args, islice(primitive.pins, 1, None)):
            source = None
            if type(a) is not Tensor:
                if locking and kept and isinstance(a, np.ndarray):
                    holds.append(lock(a))
                a = np.asarray(a)
            elif not current.tracking:
                a = a.value
            else:
                source = self._enter(a, kept, holds, locking)
                live = live or not source.constant
                a = a._value
            values.append(a)
            inputs.append(source)
        root._value = write_in_memory(root, values, params)
        if not current.tracking:
            root._version += 1  # the gradient stays, as it does for `x.data -= ...`
            return
        saved = primitive.save(None, [old, *values])
        new = Node(primitive, inputs, params, saved, old.shape, old.dtype, holds)
        new.constant = not live or old.dtype.kind != "f"
        old.grad = None
        old.owner = nobody
        root._node = new
        root._version += 1


def _made_since(node: Node, start: int) -> bool:
    """Whether a node and all that it came from were made after the number `start`."""
    stack = [node]
    while stack:
        current = stack.pop()
        if current.number <= start:
            return False
        stack.extend(source for source in current.inputs if source is not None)
    return True


def _any_variable(args: tuple[Any, ...]) -> bool:
    """Whether a gradient can be asked of an argument; inside transformations arrays are locked for
    no others, for constants are buffers of the function's own there."""
    return any(type(a) is Tensor and not a.constant for a in args)


def _current_node(tensor: Tensor) -> Node:
    """Bring a view up to date, and give a tensor whose graph was cleared a fresh node."""
    base = tensor._base
    if base is not None:
        if base._node.cleared:
            fresh_leaf(base)
        if tensor._version != base._version or (
            state.get().tracking and _is_cut_off(tensor._node, base._node)
        ):
            tensor.refresh()
    node: Node = tensor._node
    return fresh_leaf(tensor) if node.cleared else node


def _is_cut_off(node: Node, base: Node) -> bool:
    """Whether steps from a base to the view at `node` are cleared, or were never recorded."""
    while node is not base:
        if node.cleared or not node.inputs or node.inputs[0] is None:
            return True
        node = node.inputs[0]
    return False


def _locked(tensor: Tensor) -> Any:
    """Lock the array of a leaf, or of a view."""
    held = lock(tensor._value)
    if held is not None:
        tensor._lock = weakref.ref(held)
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


def fresh_leaf(tensor: Tensor) -> Node:
    """Give a tensor whose graph was cleared a node of its own, so that it can enter a new graph.

    The old node stays marked: graphs that were built on it before the clearing must not go on.
    Views are taken anew from their base, so that gradients reach it.
    """
    if tensor._base is not None:
        tensor.refresh()
        return tensor._node  # type: ignore[no-any-return]
    old = tensor._node
    node = Node(None, (), {}, (), old.shape, old.dtype)
    node.constant = old.constant
    node.grad = old.grad
    tensor._node = node
    tensor._version += 1
    return node


imperative.trace = ImperativeTrace(0)
