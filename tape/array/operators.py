"""Python's operators and protocols on tensors: ``+``, ``x[0]``, ``float(x)``, ``len(x)`` and their kin.

Operators find their operation in the registry, by the NumPy function that names it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from tapegrad.tape.array.foreign import KNOWN, answer_of_another, holds_tensors
from tapegrad.tape.array.scipy_sparse import is_matrix, is_sparse
from tapegrad.tape.core.appearance import cut, is_cut
from tapegrad.tape.core.checks import is_fraction
from tapegrad.tape.core.location import formats_text
from tapegrad.tape.core.primitive import functions, primitives
from tapegrad.tape.core.trace import leaked
from tapegrad.tape.core.traced import Traced

if TYPE_CHECKING:
    from tapegrad.tape.array.tensor import Tensor

__all__ = ["ArrayOperators"]

_ARRAY_LIKE = (np.generic, np.ndarray, list, tuple, int, float, complex, array, memoryview)


def _binary(name: str, ufunc: np.ufunc, x: Any, y: Any) -> Any:
    """Apply a binary operator of which `x` or `y` is a tensor."""
    tx, ty = type(x), type(y)
    if tx is ty:
        if x._base is not None:
            x.freshen()
        if y._base is not None:
            y.freshen()
        inner = y if y._trace.level > x._trace.level else x
    elif ty in KNOWN:
        inner = x
        if x._base is not None:
            x.freshen()
    elif tx in KNOWN:
        inner = y
        if y._base is not None:
            y.freshen()
    elif isinstance(x, Traced) and isinstance(y, Traced):  # one of a subclass
        inner = y if y.live_trace.level > x.live_trace.level else x
    else:
        return _with_array_like(name, ufunc, x, y)
    trace = inner._trace
    if not trace.level:
        return primitives[name].record((x, y))
    if trace.closed:
        raise leaked(inner)
    done = trace.appearance.between_numbers(inner, ufunc, (x, y))
    return trace.process(primitives[name], (x, y), {}) if done is NotImplemented else done


def _with_array_like(name: str, ufunc: np.ufunc, x: Any, y: Any) -> Any:
    """Apply a binary operator where the other operand is neither a tensor nor what tensors know."""
    mine, other = (x, y) if hasattr(x, "_trace") else (y, x)
    looks = mine._trace.appearance
    if is_fraction(other):
        return functions[ufunc](*(a if a is mine else float(a) for a in (x, y)))
    if not _is_array_like(other):
        if name == "multiply" and mine.shape and is_matrix(other):
            return functions["sparse_matmul"](x, y)
        return looks.with_foreign(mine, ufunc, (x, y))
    answer = answer_of_another(other, ufunc, (x, y))
    if answer is not NotImplemented:
        return answer
    if name == "multiply" and isinstance(other, list | tuple | array) and looks.repeats(mine):
        return NotImplemented  # Python repeats the sequence
    return functions[ufunc](x, y)


def _is_array_like(a: Any) -> bool:
    """Whether NumPy makes numbers of an operand, which does not ask to be left alone."""
    if isinstance(a, _ARRAY_LIKE):
        return True
    kind = type(a)
    if getattr(kind, "__array_ufunc__", a) is None or isinstance(a, str | bytes):
        return False
    return hasattr(kind, "__array__") or isinstance(a, Sequence)


def _unary(name: str, ufunc: np.ufunc, x: Any) -> Any:
    """Apply an operator to a tensor."""
    if x._base is not None:
        x.freshen()
    return _operator(ufunc, x) if x._trace.level else primitives[name].record((x,))


def _operator(ufunc: np.ufunc, *args: Any) -> Any:
    """Apply a Python operator; a trace may know what it gives between Python numbers."""
    for a in args:
        trace = getattr(a, "_trace", None)
        if trace is None:
            if type(a) in KNOWN:
                continue
            if getattr(type(a), "__array_ufunc__", a) is None:
                return NotImplemented  # it asks to be left alone, and has the same operator
            done = answer_of_another(a, ufunc, args)
            if done is not NotImplemented:
                return done
        elif trace.level:
            done = trace.appearance.between_numbers(a, ufunc, args)
            if done is not NotImplemented:
                return done
    return functions[ufunc](*args)


def _matmul(x: Any, y: Any, other: Any) -> Any:
    """Apply ``@`` to a tensor and another operand."""
    if type(other) not in KNOWN and not isinstance(other, Traced):
        if getattr(type(other), "__array_ufunc__", other) is None:
            return NotImplemented  # it asks to be left alone, and has the same operator
        if is_sparse(other):
            return functions["sparse_matmul"](x, y)
        answer = answer_of_another(other, np.matmul, (x, y))
        if answer is not NotImplemented:
            return answer
    return functions[np.matmul](x, y)


def _in_place(ufunc: np.ufunc, x: Any, y: Any) -> Any:
    if x.live_trace.appearance.is_replaced(x):
        return _operator(ufunc, x, y)
    if type(y) not in KNOWN and holds_tensors(type(y)):
        return NotImplemented  # x = x * y, which keeps labels and units
    functions[ufunc](x, y, out=x)  # for rounding functions, its result is an array
    return x


class ArrayOperators:
    """The part of a tensor that Python's syntax calls."""

    __slots__ = ()

    if TYPE_CHECKING:  # what Tensor brings

        @property
        def shape(self) -> tuple[int, ...]: ...

        @property
        def dtype(self) -> np.dtype[Any]: ...

        _trace: Any

        @property
        def live_trace(self) -> Any: ...

        def consume(self, kind: str) -> Any: ...

        def freshen(self) -> None: ...

    def __add__(self, other: Any) -> Tensor:
        return _binary("add", np.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary("add", np.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary("subtract", np.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary("subtract", np.subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary("multiply", np.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary("multiply", np.multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary("divide", np.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary("divide", np.divide, other, self)

    def __pow__(self, other: Any, modulus: Any = None) -> Tensor:
        if type(other) is int and other == 2 and self.dtype == bool:
            trace = self.live_trace
            if not (trace.level and trace.appearance.stands_for_number(self)):
                return functions[np.square](self)  # as NumPy's operator on arrays
        return NotImplemented if modulus is not None else _operator(np.power, self, other)

    def __rpow__(self, other: Any, modulus: Any = None) -> Tensor:
        return NotImplemented if modulus is not None else _operator(np.power, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _matmul(self, other, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _matmul(other, self, other)

    def __floordiv__(self, other: Any) -> Any:
        return _operator(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _operator(np.floor_divide, other, self)

    def __mod__(self, other: Any) -> Any:
        return _operator(np.remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _operator(np.remainder, other, self)

    def __divmod__(self, other: Any) -> Any:
        return _operator(np.divmod, self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return _operator(np.divmod, other, self)

    def __lshift__(self, other: Any) -> Any:
        return _operator(np.left_shift, self, other)

    def __rlshift__(self, other: Any) -> Any:
        return _operator(np.left_shift, other, self)  # type: ignore[call-overload]

    def __rshift__(self, other: Any) -> Any:
        return _operator(np.right_shift, self, other)

    def __rrshift__(self, other: Any) -> Any:
        return _operator(np.right_shift, other, self)  # type: ignore[call-overload]

    def __neg__(self) -> Tensor:
        return _unary("negative", np.negative, self)

    def __pos__(self) -> Tensor:
        return _operator(np.positive, self)

    def __abs__(self) -> Tensor:
        return _operator(np.absolute, self)

    def __invert__(self) -> Any:
        return _operator(np.invert, self)

    def __and__(self, other: Any) -> Any:
        return _operator(np.bitwise_and, self, other)

    def __rand__(self, other: Any) -> Any:
        return _operator(np.bitwise_and, other, self)

    def __or__(self, other: Any) -> Any:
        return _operator(np.bitwise_or, self, other)

    def __ror__(self, other: Any) -> Any:
        return _operator(np.bitwise_or, other, self)

    def __xor__(self, other: Any) -> Any:
        return _operator(np.bitwise_xor, self, other)

    def __rxor__(self, other: Any) -> Any:
        return _operator(np.bitwise_xor, other, self)

    def __iadd__(self, other: Any) -> Tensor:
        return _in_place(np.add, self, other)

    def __isub__(self, other: Any) -> Tensor:
        return _in_place(np.subtract, self, other)

    def __imul__(self, other: Any) -> Tensor:
        return _in_place(np.multiply, self, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return _in_place(np.divide, self, other)

    def __ipow__(self, other: Any, modulus: Any = None) -> Tensor:
        return NotImplemented if modulus is not None else _in_place(np.power, self, other)

    def __ifloordiv__(self, other: Any) -> Any:
        return _in_place(np.floor_divide, self, other)

    def __imod__(self, other: Any) -> Any:
        return _in_place(np.remainder, self, other)

    def __iand__(self, other: Any) -> Any:
        return _in_place(np.bitwise_and, self, other)

    def __ior__(self, other: Any) -> Any:
        return _in_place(np.bitwise_or, self, other)

    def __ixor__(self, other: Any) -> Any:
        return _in_place(np.bitwise_xor, self, other)

    def __ilshift__(self, other: Any) -> Any:
        return _in_place(np.left_shift, self, other)

    def __irshift__(self, other: Any) -> Any:
        return _in_place(np.right_shift, self, other)

    def __imatmul__(self, other: Any) -> Any:
        raise TypeError("x @= y is not supported for tensors; use x = x @ y")

    def __eq__(self, other: Any) -> Any:
        if other is None or isinstance(other, str | bytes):  # no ufunc compares them with numbers
            return np.full(self.shape, False)[()]
        return _operator(np.equal, self, other)

    def __hash__(self) -> int:
        # By identity, although == compares elements: tape.replay({x: value}) names tensors as keys.
        trace = self._trace
        return trace.appearance.hash(self) if trace.level else object.__hash__(self)

    def __ne__(self, other: Any) -> Any:
        if other is None or isinstance(other, str | bytes):
            return np.full(self.shape, True)[()]
        return _operator(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Any:
        return _operator(np.less, self, other)

    def __le__(self, other: Any) -> Any:
        return _operator(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Any:
        return _operator(np.greater, self, other)

    def __ge__(self, other: Any) -> Any:
        return _operator(np.greater_equal, self, other)

    # Python's protocols --------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.consume("bool"))

    def __float__(self) -> float:
        number = self._only_element("float")
        if is_cut(self) and not formats_text():
            raise cut("float()", "number")
        return float(number)

    def __int__(self) -> int:
        return int(self._only_element("int"))

    def __complex__(self) -> complex:
        number = self._only_element("complex")
        if is_cut(self):
            raise cut("complex()", "number")
        return complex(number)

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
        value = item.consume("contains") if isinstance(item, ArrayOperators) else np.asarray(item)
        return bool((self.consume("contains") == value).any())

    def __getitem__(self, index: Any) -> Tensor:
        return functions["getitem"](self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        functions["setitem"](self, index, value)
