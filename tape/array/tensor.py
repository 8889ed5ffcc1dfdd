"""The Tensor: a NumPy-like value that users hold, imperative or traced.

A tensor is a cell. It holds the current version of a value (an array, or a tensor of the trace
below) and the node of that version. An in-place write gives the cell a new version; a view finds
its base through ``_base`` and reads the newest version through the view primitives in ``_path``.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.array.attributes import ArrayAttributes
from tapegrad.tape.array.copies import ArrayCopies, added_attributes
from tapegrad.tape.array.guard import ViewLock, lock
from tapegrad.tape.array.interchange import ArrayInterchange
from tapegrad.tape.array.methods import ArrayMethods
from tapegrad.tape.array.protocols import NumPyProtocols
from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.checks import check_constant, check_numeric
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, functions
from tapegrad.tape.core.state import guarding, state
from tapegrad.tape.core.traced import Traced

__all__ = ["Tensor", "imperative", "make", "own", "pin_of"]


class _Imperative:
    """Holds the imperative trace, which needs Tensor: ``tape.array.imperative`` puts it here."""

    trace: Any = None


imperative = _Imperative()


class Tensor(Traced, ArrayAttributes, ArrayCopies, ArrayInterchange, ArrayMethods, NumPyProtocols):
    """A NumPy-like array that records what is done with it; results of subclasses are plain tensors.

    Parameters
    ----------
    x : array_like
        Real-valued data, or another tensor, whose data is taken; inside transformations also its
        derivative, unless the new one is to be a constant.
    dtype : dtype_like, optional
        By default that of the data.
    constant : bool, optional
        A constant has no gradient. Float data is variable by default; integers and booleans are
        always constant.
    copy : bool
        Whether the data is copied (the default).
    ndmin : int
        The least number of axes; axes of size 1 are put in front.

    Raises
    ------
    TypeError
        For data that are no numbers, and for flags of the wrong type.
    ValueError
        For ``constant=False`` with integer data.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0])
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = (
        "__weakref__",
        "_base",
        "_inner_shape",
        "_latent",
        "_lock",
        "_node",
        "_path",
        "_pin",
        "_trace",
        "_value",
        "_version",
    )

    _trace: Any  # interprets what is done with the tensor, and what Python asks of it
    _value: Any  # below that trace: an array, or a tensor of another trace
    _node: Any  # what the trace keeps of the version: a Node, a tangent, ...
    _base: Any  # of a view: who owns the data
    _path: tuple[tuple[Primitive, Mapping[str, Any]], ...]  # of a view: the way from the base
    _version: int  # number of writes; of a view: the version of its base that it has read
    _pin: Any  # what entries hold that need the buffer as it is, see `pin_of`
    _lock: weakref.ref[Any] | None  # of a leaf: what keeps its array read-only
    _latent: Any  # of a copy that NumPy would have made a view, and of its source
    _inner_shape: tuple[int, ...] | None  # where paths begin, if another shape was assigned
    __array_priority__ = 10_000.0
    #: Whether this stands for a plain array: it is no number, and variable once a variable is written.
    follows = False

    def __init__(
        self,
        x: Any,
        *,
        dtype: Any = None,
        constant: bool | None = None,
        copy: bool = True,
        ndmin: int = 0,
    ) -> None:
        check_constant(constant)
        if isinstance(ndmin, bool) or not isinstance(ndmin, (int, np.integer)):
            raise TypeError(f"ndmin must be an integer, not {ndmin!r}")
        if isinstance(x, Tensor):
            trace = x.live_trace
            if trace.level:
                traced = constant is not True and is_differentiated(x)
                other = functions[np.copy](x) if traced else trace.detach(x)
                other = other if dtype is None else other.astype(dtype)
                if ndmin > other.ndim:
                    other = other[(None,) * (ndmin - other.ndim)]
                self._copy_slots(other)
                return
            x = x.value
        if dtype is not None:
            dtype = np.dtype(dtype)
            check_numeric(dtype)
        array = np.array(x, dtype=dtype, copy=True if copy else None, ndmin=int(ndmin))
        check_numeric(array.dtype)
        continuous = array.dtype.kind in CONTINUOUS
        if constant is False and not continuous:
            what = f"a tensor of dtype {array.dtype}"
            raise ValueError(f"{what} must be constant: only floats have gradients")
        node = Node(None, (), {}, (), array.shape, array.dtype)
        node.constant = bool(constant) or not continuous
        self._trace = imperative.trace
        self._value = array
        self._node = node
        self._base = None
        self._path = ()
        self._version = 0
        self._pin = None
        self._lock = None
        self._latent = None
        self._inner_shape = None

    def _copy_slots(self, other: Tensor) -> None:
        for name in Tensor.__slots__:
            if name != "__weakref__":
                setattr(self, name, getattr(other, name))

    # What traces and sweeps know of a value ------------------------------------------------------

    @property
    def value(self) -> Any:
        """The current value below this tensor's trace: an array, or a tensor of the trace below."""
        base = self._base
        if base is not None and self._version != base._version:
            self.refresh()
        return self._value

    @property
    def node(self) -> Any:
        """The node of the current version."""
        base = self._base
        if base is not None and self._version != base._version:
            self.refresh()
        return self._node

    def freshen(self) -> None:
        """Bring a view up to date: what its base became may belong to another trace."""
        if self._base is not None and self._version != self._base._version:
            self.refresh()

    @property
    def live_trace(self) -> Any:
        """The trace of the current version."""
        base = self._base
        if base is not None and self._version != base._version:
            self.refresh()
        return self._trace

    @property
    def is_element(self) -> bool:
        """Whether this is an element of its base, of which NumPy would make a scalar."""
        return self._base is not None and self._path[-1][0].name == "basic_index"

    def refresh(self) -> None:
        """Read a view anew from the newest version of its base, and where that is.

        The view may be used again: where there is tracking, and outside a body that is being recorded.
        """
        base = self._base
        new: Any = base.snapshot()
        current = state.get()
        is_outer = current.body is not None and current.body.level > new._trace.level
        if is_outer or not current.tracking:
            state.set(current.replace(tracking=True, body=None if is_outer else current.body))
        try:
            if base._inner_shape is not None:
                new = functions[np.reshape](new, base._inner_shape)
            for primitive, params in self._path:
                new = new._trace.process(primitive, (new,), params)
        finally:
            state.set(current)
        self._trace = new._trace
        self._value = new._value
        self._node = new._node
        self._pin = new._pin
        self._lock = None
        self._version = base._version

    def snapshot(self) -> Tensor:
        """Return a cell of its own for the current version, safe from later writes.

        The pin is shared: a write to this one while the snapshot is needed copies the buffer.
        """
        value = self.value
        new = make(self._trace, value, self._node)
        new._pin = pin_of(self)
        own(self)
        return new

    def adopt(self, new: Any) -> None:
        """Take over the value of `new`, a tensor or an array, as the next version of this cell."""
        if not isinstance(new, Tensor):
            new = Tensor(new, copy=False)
        self._trace = new._trace
        self._value = new.value
        self._node = new._node
        self._pin = new._pin
        self._lock = None
        self._version += 1
        if isinstance(self._node, Node):
            self._node.owner = None

    # The documented face -------------------------------------------------------------------------

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The underlying array; it is read-only while a live graph needs it, and can be replaced.

        Examples
        --------
        >>> import tapegrad as tg
        >>> w = tg.tensor([1.0, 2.0])
        >>> w.data -= 0.5
        >>> w
        Tensor([0.5, 1.5])
        """
        value = self._value if self._base is None else self.value
        if type(value) is not np.ndarray:
            return value.data  # type: ignore[no-any-return]  # a tensor of the trace below
        if self._trace.level:
            return self._trace.appearance.array(self, "Tensor.data")  # type: ignore[no-any-return]
        node = self._node
        primitive = node.primitive
        if primitive is not None and guarding(state.get()):
            if not primitive.view:
                node.hold(lock(value))
            elif node.inputs[0] is not None and node.inputs[0].inputs:  # of what nobody has seen
                node.hold(lock(value, ViewLock))
        return value

    @data.setter
    def data(self, new: Any) -> None:
        if self.live_trace.level:
            self._trace.appearance.array(self, "assignment to Tensor.data")
        array = np.asarray(new)
        if array is self._value:
            return
        check_numeric(array.dtype)
        old = self._node
        node = Node(None, (), {}, (), array.shape, array.dtype)
        node.grad = old.grad
        node.constant = old.constant or array.dtype.kind not in CONTINUOUS
        self._value, self._node, self._pin, self._lock = array, node, None, None
        if self._base is not None:
            self._base, self._path = None, ()
        self._version += 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes; assigning a shape reshapes in place (differentiably).

        Raises
        ------
        ValueError
            If the size does not fit or the data would have to be copied.
        """
        if self._base is not None:
            self.freshen()
        hidden = self._trace.appearance.hidden_axes
        return self._value.shape[hidden:] if hidden else self._value.shape  # type: ignore[no-any-return]

    @shape.setter
    def shape(self, shape: Any) -> None:
        functions["set_shape"](self, shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return self.value.dtype  # type: ignore[no-any-return]

    @property
    def constant(self) -> bool:
        """Whether the tensor is a constant, to which no gradient flows."""
        return bool(self.live_trace.is_constant(self))

    @property
    def base(self) -> Tensor | None:
        """The tensor that owns the memory of this view; ``None`` for an owner.

        Examples
        --------
        >>> import tapegrad as tg
        >>> x = tg.arange(5)
        >>> x[2:][:1].base is x
        True
        """
        return self._base

    @property
    def grad(self) -> Any:
        """The gradient that ``backward`` has left here: an array of this shape and dtype, or None.

        The gradient of a view is the same view of its base's gradient.
        """
        if self._base is None and not self._trace.level:
            return self._node.grad
        return self.live_trace.grad(self)

    @grad.setter
    def grad(self, grad: Any) -> None:
        raise AttributeError(
            "gradients are not assigned: forget one by x.null_grad(), or pass another by "
            "y.backward(grad)"
        )

    @property
    def creator(self) -> Any:
        """The operation that produced this tensor; ``None`` for leaves and after clearing."""
        return functions["creator"](self)

    def backward(self, grad: Any = None) -> None:
        """Compute the derivatives of this tensor by all variables that it came from.

        Each of them gets its gradient in ``.grad``; then the graph is cleared.

        Parameters
        ----------
        grad : array_like, optional
            The gradient of a later result by this tensor; it is broadcast to this shape. By default
            ones, so that a non-scalar tensor behaves like its sum.

        Raises
        ------
        ValueError
            If `grad` cannot be broadcast to the tensor's shape.
        InvalidBackprop
            If a part of the graph has been cleared before.

        Examples
        --------
        >>> import tapegrad as tg
        >>> x = tg.tensor([2.0, 4.0, 8.0])
        >>> (x * x[::-1]).backward()
        >>> x.grad
        array([16.,  8.,  4.])
        """
        self.live_trace.backward(self, grad)

    def null_grad(self, *, _clear_view_info: bool = False) -> Tensor:
        """Set the gradient to None, and return the tensor itself."""
        self._node.grad = None
        if self._base is not None and self._node.cleared:
            functions["sever"](self)
        return self

    def null_gradients(self, clear_graph: bool = True) -> None:
        """Only warn: gradients are nulled and graphs cleared without being asked to.

        .. deprecated:: 0.1
        """
        warnings.warn(
            "null_gradients does nothing: gradients are nulled when a tensor enters a new graph, "
            "and backward() clears the graph",
            FutureWarning,
            stacklevel=2,
        )

    def clear_graph(self) -> None:
        """Remove this tensor and all that it came from from their graph, and release their arrays.

        Gradients stay as they are.
        """
        self.live_trace.clear(self)

    def item(self, *args: Any) -> Any:
        """Return the element as a Python scalar; ValueError unless there is exactly one.

        In traced code a float stays traced.
        """
        if self.live_trace.level:
            return functions["item"](self, *args)
        return self.consume("item").item(*args)

    def consume(self, kind: str) -> Any:
        """Return the array of values for Python code that must have it."""
        value: Any = self
        while isinstance(value, Tensor):
            value = value.live_trace.appearance.consume(value, kind)
        return value

    # Hidden from checkers, which would take every name for one of a tensor's.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name[:1] == "_":
                raise AttributeError(f"'Tensor' object has no attribute {name!r}")
            return self._trace.appearance.attribute(self, name)

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle carries what a copy does: data, flag, gradient, what a subclass has added; no graph.
        made = (_unpickled, (np.array(self), self.constant, self.grad, type(self)))
        added = added_attributes(self)
        return (*made, (None, added)) if added else made

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()  # object's asks for the class, which may be another one's

    def _leaf_like(self, array: Any, constant: bool | None, *, subok: bool = True) -> Tensor:
        """Return a leaf that holds an array; with `subok` of this class, and with what it has added."""
        new = _leaf(type(self) if subok else Tensor, array, constant)
        if subok:
            for name, value in added_attributes(self).items():
                object.__setattr__(new, name, value)
        return new


def _leaf(kind: type[Tensor], array: Any, constant: bool | None) -> Tensor:
    """Return a leaf of a class whose constructor may have other arguments; it is not called."""
    new = Tensor.__new__(kind)
    Tensor.__init__(new, array, constant=constant, copy=False)
    return new


def _unpickled(array: Any, constant: bool, grad: Any, kind: type[Tensor] = Tensor) -> Tensor:
    """Rebuild a tensor from its pickle."""
    new = _leaf(kind, array, constant)
    new._node.grad = grad
    return new


def make(trace: Any, value: Any, node: Any) -> Tensor:
    """Make a tensor of `trace` around `value`; the fast constructor of the engine."""
    new = Tensor.__new__(Tensor)
    new._trace = trace
    new._value = value
    new._node = node
    new._base = None
    new._path = ()
    new._version = 0
    new._pin = None
    new._lock = None
    new._latent = None
    new._inner_shape = None
    return new


def own(tensor: Tensor) -> None:
    """Make `tensor` the one for which its node keeps gradients, unless another lives."""
    node = tensor._node
    if type(node) is Node and (node.owner is None or node.owner() is None):
        node.owner = weakref.ref(tensor)


def pin_of(tensor: Tensor) -> Any:
    """Return the object that stands for "somebody needs this buffer as it is".

    Entries that save the value hold it, so its reference count tells a write whether the buffer
    must be kept: no registry, no bookkeeping when entries die.
    """
    root = tensor._base if tensor._base is not None else tensor
    if root._pin is None:
        root._pin = object()
    return root._pin
