"""Operators and methods that a tensor shares with an ndarray.

Every one of them finds its operation in the registry, by the NumPy function that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from tapegrad.tape.primitive import functions, primitives

if TYPE_CHECKING:
    from tapegrad.tape.tensor import Tensor

__all__ = ["ArrayMethods"]

# Operands that need no conversion; everything else takes the slower way through NumPy.
_PLAIN = frozenset({float, int, bool, np.ndarray, np.float64, np.float32, np.int64, np.bool_})


def _binary(name: str, ufunc: np.ufunc, x: Any, y: Any) -> Any:
    """Apply a binary operator of which `x` or `y` is a tensor."""
    tx, ty = type(x), type(y)
    if tx in _PLAIN:
        if y._base is not None:
            y.freshen()
        trace = y._trace
    elif ty in _PLAIN:
        if x._base is not None:
            x.freshen()
        trace = x._trace
    elif tx is ty:
        if x._base is not None:
            x.freshen()
        if y._base is not None:
            y.freshen()
        trace = x._trace
        if y._trace.level > trace.level:
            trace = y._trace
    elif isinstance(x, np.generic | list | tuple | np.ndarray) or isinstance(
        y, np.generic | list | tuple | np.ndarray
    ):
        return functions[ufunc](x, y)
    else:
        return NotImplemented
    if trace.closed:
        return functions[ufunc](x, y)
    return trace.operator(primitives[name], (x, y))


def _unary(name: str, x: Any) -> Any:
    trace = x.live_trace
    if trace.closed:
        return functions[np.negative](x)  # raises
    if trace.level:
        return _operator(getattr(np, name), x)
    return trace.unary(primitives[name], x)


def _operator(ufunc: np.ufunc, *args: Any) -> Any:
    """Apply a Python operator; a trace may know what it gives between Python numbers."""
    for a in args:
        trace = getattr(a, "_trace", None)
        if trace is not None and trace.level:
            done = trace.between_numbers(ufunc, args)
            if done is not NotImplemented:
                return done
    return functions[ufunc](*args)


def _in_place(ufunc: np.ufunc, x: Any, y: Any) -> Any:
    functions[ufunc](x, y, out=x)  # for rounding functions, its result is an array
    return x


#: Arguments of reductions that only NumPy's own signatures have.
_NUMPYS = frozenset({"out", "initial", "where", "mean", "correction"})


def _reduced(name: str, x: Any, axis: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Reduce by the documented signature ``(axis, keepdims)``, or else by NumPy's."""
    if kwargs.keys() & _NUMPYS or (args and not isinstance(args[0], bool | np.bool_ | int)):
        return functions[getattr(np, name)](x, axis, *args, **kwargs)
    return functions[name](x, axis, *args, **kwargs)


def _shape_argument(shape: tuple[Any, ...], name: str) -> Any:
    """Accept ``x.reshape(2, 3)`` as well as ``x.reshape((2, 3))``."""
    if len(shape) == 1:
        return shape[0]
    if any(isinstance(n, tuple | list) for n in shape):
        raise TypeError(f"{name} takes one shape or several integers, not {shape}")
    return shape


class ArrayMethods:
    """The part of a tensor that mirrors ndarray."""

    __slots__ = ()

    if TYPE_CHECKING:  # what Tensor brings

        @property
        def shape(self) -> tuple[int, ...]: ...

        def consume(self, kind: str) -> Any: ...

        def freshen(self) -> None: ...

    # Operators -----------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return _binary("add", np.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return _binary("add", np.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return _binary("subtract", np.subtract, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _binary("subtract", np.subtract, other, self)

    def __mul__(self, other: Any) -> Any:
        return _binary("multiply", np.multiply, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _binary("multiply", np.multiply, other, self)

    def __truediv__(self, other: Any) -> Any:
        return _binary("divide", np.divide, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _binary("divide", np.divide, other, self)

    def __pow__(self, other: Any) -> Any:
        return _operator(np.power, self, other)

    def __rpow__(self, other: Any) -> Any:
        return _operator(np.power, other, self)

    def __matmul__(self, other: Any) -> Any:
        return functions[np.matmul](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return functions[np.matmul](other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _operator(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _operator(np.floor_divide, other, self)

    def __mod__(self, other: Any) -> Any:
        return _operator(np.remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _operator(np.remainder, other, self)

    def __divmod__(self, other: Any) -> Any:
        return functions[np.divmod](self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return functions[np.divmod](other, self)

    def __lshift__(self, other: Any) -> Any:
        return functions[np.left_shift](self, other)

    def __rlshift__(self, other: Any) -> Any:
        return functions[np.left_shift](other, self)  # type: ignore[call-overload]

    def __rshift__(self, other: Any) -> Any:
        return functions[np.right_shift](self, other)

    def __rrshift__(self, other: Any) -> Any:
        return functions[np.right_shift](other, self)  # type: ignore[call-overload]

    def __neg__(self) -> Any:
        return _unary("negative", self)

    def __pos__(self) -> Any:
        return _operator(np.positive, self)

    def __abs__(self) -> Any:
        return _operator(np.absolute, self)

    def __invert__(self) -> Any:
        return functions[np.invert](self)

    def __and__(self, other: Any) -> Any:
        return functions[np.bitwise_and](self, other)

    def __rand__(self, other: Any) -> Any:
        return functions[np.bitwise_and](other, self)

    def __or__(self, other: Any) -> Any:
        return functions[np.bitwise_or](self, other)

    def __ror__(self, other: Any) -> Any:
        return functions[np.bitwise_or](other, self)

    def __xor__(self, other: Any) -> Any:
        return functions[np.bitwise_xor](self, other)

    def __rxor__(self, other: Any) -> Any:
        return functions[np.bitwise_xor](other, self)

    def __iadd__(self, other: Any) -> Any:
        return _in_place(np.add, self, other)

    def __isub__(self, other: Any) -> Any:
        return _in_place(np.subtract, self, other)

    def __imul__(self, other: Any) -> Any:
        return _in_place(np.multiply, self, other)

    def __itruediv__(self, other: Any) -> Any:
        return _in_place(np.divide, self, other)

    def __ipow__(self, other: Any) -> Any:
        return _in_place(np.power, self, other)

    def __ifloordiv__(self, other: Any) -> Any:
        return _in_place(np.floor_divide, self, other)

    def __imod__(self, other: Any) -> Any:
        return _in_place(np.remainder, self, other)

    def __imatmul__(self, other: Any) -> Any:
        raise TypeError("x @= y is not supported for tensors; use x = x @ y")

    def __eq__(self, other: Any) -> Any:
        if isinstance(other, str | bytes):  # no ufunc compares them with numbers
            return np.full(self.shape, False)
        return functions[np.equal](self, other)

    def __ne__(self, other: Any) -> Any:
        if isinstance(other, str | bytes):
            return np.full(self.shape, True)
        return functions[np.not_equal](self, other)

    def __lt__(self, other: Any) -> Any:
        return functions[np.less](self, other)

    def __le__(self, other: Any) -> Any:
        return functions[np.less_equal](self, other)

    def __gt__(self, other: Any) -> Any:
        return functions[np.greater](self, other)

    def __ge__(self, other: Any) -> Any:
        return functions[np.greater_equal](self, other)

    # Shape ---------------------------------------------------------------------------------------

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed, as a view."""
        return functions[np.transpose](self)  # type: ignore[no-any-return]

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes swapped, as a view."""
        return functions[np.swapaxes](self, -1, -2)  # type: ignore[no-any-return]

    @property
    def flat(self) -> Any:
        """An iterator over the elements, in C order."""
        return iter(functions[np.ravel](self))

    def reshape(self, *newshape: Any, order: str = "C", constant: bool | None = None) -> Tensor:
        """Return the data in another shape: ``x.reshape(2, -1)`` or ``x.reshape((2, -1))``."""
        if not newshape:
            raise TypeError("reshape() takes exactly 1 argument (0 given)")
        shape = _shape_argument(newshape, "reshape")
        return functions[np.reshape](self, shape, order, constant=constant)  # type: ignore[no-any-return]

    def ravel(self, order: str = "C", *, constant: bool | None = None) -> Tensor:
        """Return the data along one axis; a view if possible."""
        return functions[np.ravel](self, order, constant=constant)  # type: ignore[no-any-return]

    def flatten(self, order: str = "C", *, constant: bool | None = None) -> Tensor:
        """Return a copy of the data along one axis."""
        return functions["flatten"](self, order, constant=constant)  # type: ignore[no-any-return]

    def transpose(self, *axes: Any, constant: bool | None = None) -> Tensor:
        """Permute the axes; without arguments reverse them."""
        order = axes[0] if len(axes) == 1 else (axes or None)
        return functions[np.transpose](self, order, constant=constant)  # type: ignore[no-any-return]

    def swapaxes(self, axis1: int, axis2: int, *, constant: bool | None = None) -> Tensor:
        """Swap two axes."""
        return functions[np.swapaxes](self, axis1, axis2, constant=constant)  # type: ignore[no-any-return]

    def moveaxis(self, source: Any, destination: Any, *, constant: bool | None = None) -> Tensor:
        """Move axes to other places."""
        return functions[np.moveaxis](self, source, destination, constant=constant)  # type: ignore[no-any-return]

    def squeeze(self, axis: Any = None, *, constant: bool | None = None) -> Tensor:
        """Remove axes of size 1."""
        return functions[np.squeeze](self, axis, constant=constant)  # type: ignore[no-any-return]

    # Reductions ----------------------------------------------------------------------------------

    def sum(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Sum over axes; see :func:`tapegrad.sum`."""
        return _reduced("sum", self, axis, args, kwargs)  # type: ignore[no-any-return]

    def mean(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Mean over axes; see :func:`tapegrad.mean`."""
        return _reduced("mean", self, axis, args, kwargs)  # type: ignore[no-any-return]

    def prod(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Product over axes; see :func:`tapegrad.prod`."""
        return _reduced("prod", self, axis, args, kwargs)  # type: ignore[no-any-return]

    def max(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Maximum over axes; see :func:`tapegrad.max`."""
        return _reduced("max", self, axis, args, kwargs)  # type: ignore[no-any-return]

    def min(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Minimum over axes; see :func:`tapegrad.min`."""
        return _reduced("min", self, axis, args, kwargs)  # type: ignore[no-any-return]

    def var(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Variance over axes; see :func:`tapegrad.var`."""
        return _reduced("var", self, axis, args, kwargs)  # type: ignore[no-any-return]

    def std(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Standard deviation over axes; see :func:`tapegrad.std`."""
        return _reduced("std", self, axis, args, kwargs)  # type: ignore[no-any-return]

    def cumsum(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Cumulative sum along an axis; see :func:`tapegrad.cumsum`."""
        return functions[np.cumsum](self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def cumprod(self, axis: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        """Cumulative product along an axis; see :func:`tapegrad.cumprod`."""
        return functions[np.cumprod](self, axis, *args, **kwargs)  # type: ignore[no-any-return]

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Whether any element is true, over axes."""
        return functions[np.any](self, axis, out, keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """Whether all elements are true, over axes."""
        return functions[np.all](self, axis, out, keepdims)

    def argmax(self, axis: Any = None, **kwargs: Any) -> Any:
        """Index of the largest element."""
        return functions[np.argmax](self, axis, **kwargs)

    def argmin(self, axis: Any = None, **kwargs: Any) -> Any:
        """Index of the smallest element."""
        return functions[np.argmin](self, axis, **kwargs)

    # The rest ------------------------------------------------------------------------------------

    def clip(self, a_min: Any = None, a_max: Any = None, out: Any = None, **kwargs: Any) -> Tensor:
        """Limit the values to an interval; see :func:`tapegrad.clip`."""
        return functions[np.clip](self, a_min, a_max, out=out, **kwargs)  # type: ignore[no-any-return]

    def dot(self, other: Any) -> Tensor:
        """Dot product; see :func:`tapegrad.dot`."""
        return functions[np.dot](self, other)  # type: ignore[no-any-return]

    def repeat(self, repeats: Any, axis: Any = None) -> Tensor:
        """Repeat elements; see :func:`tapegrad.repeat`."""
        return functions[np.repeat](self, repeats, axis)  # type: ignore[no-any-return]

    def fill(self, value: Any) -> None:
        """Set all elements to `value`, in place."""
        functions["setitem"](self, ..., value)

    def round(self, decimals: int = 0, out: Any = None) -> Any:
        """Round to a number of decimals."""
        return functions[np.round](self, decimals, out)

    def take(self, indices: Any, axis: Any = None, **kwargs: Any) -> Tensor:
        """Take elements along an axis."""
        return functions[np.take](self, indices, axis, **kwargs)  # type: ignore[no-any-return]

    def compress(self, condition: Any, axis: Any = None) -> Tensor:
        """Take the slices along an axis where a mask is true."""
        return functions[np.compress](condition, self, axis)  # type: ignore[no-any-return]

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Return a diagonal, as a view."""
        return functions[np.diagonal](self, offset, axis1, axis2)  # type: ignore[no-any-return]

    def nonzero(self) -> Any:
        """Indices of the elements that are not zero."""
        return functions[np.nonzero](self)

    def argsort(self, axis: Any = -1, **kwargs: Any) -> Any:
        """Indices that sort along an axis."""
        return functions[np.argsort](self, axis, **kwargs)

    def sort(self, axis: int = -1, **kwargs: Any) -> None:
        """Sort along an axis, in place."""
        functions["setitem"](self, ..., functions[np.sort](self, axis, **kwargs))

    def searchsorted(self, v: Any, side: Any = "left", sorter: Any = None) -> Any:
        """Where elements would be inserted to keep the order."""
        return functions[np.searchsorted](self, v, side, sorter)

    def conj(self) -> Any:
        """Complex conjugate: of real numbers the numbers themselves."""
        return functions[np.conjugate](self)

    conjugate = conj

    def tolist(self) -> Any:
        """Return the values as nested lists of Python scalars."""
        return self.consume("tolist").tolist()

    # Python's protocols --------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.consume("bool"))

    def __float__(self) -> float:
        return float(self._only_element("float"))

    def __int__(self) -> int:
        return int(self._only_element("int"))

    def _only_element(self, kind: str) -> Any:
        array = self.consume(kind)
        if array.size != 1:
            raise TypeError("only tensors with one element can be converted to Python scalars")
        return array.item()

    def __round__(self, digits: Any = None) -> Any:
        return round(self._only_element("round"), digits)

    def __index__(self) -> int:
        array = self.consume("index")
        if array.ndim or array.dtype.kind not in "iu":
            raise TypeError("only integer scalar tensors can be used as an index")
        return int(array)

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of a tensor without axes")
        return shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a tensor without axes")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, item: SupportsIndex | Any) -> bool:
        return bool((self.consume("contains") == np.asarray(item)).any())

    def __getitem__(self, index: Any) -> Any:
        return functions["getitem"](self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        functions["setitem"](self, index, value)
