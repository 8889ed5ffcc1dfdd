"""The methods that make something without a graph of a tensor: ``copy``, ``astype``, ``lay_out``."""

from __future__ import annotations

from copy import deepcopy
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.core.checks import check_constant, check_numeric
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import functions

if TYPE_CHECKING:
    from tapegrad.tape.array.tensor import Tensor

__all__ = ["ArrayCopies", "added_attributes"]

_ORDERS = ("C", "F", "A", "K")


class ArrayCopies:
    """The part of a tensor that makes tensors without a graph."""

    __slots__ = ()

    if TYPE_CHECKING:  # what Tensor brings
        _node: Any
        _value: Any

        @property
        def constant(self) -> bool: ...
        @property
        def dtype(self) -> np.dtype[Any]: ...
        @property
        def grad(self) -> Any: ...
        @property
        def live_trace(self) -> Any: ...
        @property
        def value(self) -> Any: ...

        def _leaf_like(self, array: Any, constant: bool | None, *, subok: bool = True) -> Any: ...

    def copy(self, order: str = "C", *, constant: bool | None = None) -> Tensor:
        """Return a copy of data and gradient that is in no graph.

        Parameters
        ----------
        order : {'C', 'F', 'A', 'K'}
            The layout in memory.
        constant : bool, optional
            By default as the original.

        Examples
        --------
        >>> import tapegrad as tg
        >>> x = tg.tensor([[1.0, 2.0]])
        >>> (2 * x).backward()
        >>> x.copy().grad
        array([[2., 2.]])
        """
        check_constant(constant)
        if self.live_trace.level:
            return functions[np.copy](self, order)  # type: ignore[no-any-return]
        if constant is None:
            constant = self.constant
        new = self._leaf_like(self.value.copy(order), constant)
        grad = self.grad
        new._node.grad = None if grad is None or new._node.constant else grad.copy()
        return new  # type: ignore[no-any-return]

    def lay_out(self, gradient: Any) -> Any:
        """Lay a gradient out in memory as the data, so that views of these have views of that."""
        value = self._value
        if (
            type(value) is not np.ndarray
            or value.shape != gradient.shape
            or value.strides == gradient.strides
        ):
            return gradient
        if gradient.flags.c_contiguous and value.flags.c_contiguous:
            return gradient  # strides of axes of size 1 mean nothing
        out = np.empty_like(value, dtype=gradient.dtype)
        out[...] = gradient
        return out

    def astype(
        self,
        dtype: Any,
        casting: Any = "unsafe",
        copy: bool = True,
        *,
        order: str = "K",
        subok: bool = True,
        constant: bool | None = None,
    ) -> Tensor:
        """Return the tensor with another dtype.

        In imperative code the result is in no graph, as documented; traced values stay traced.

        Parameters
        ----------
        dtype : dtype_like
            A dtype of numbers.
        casting : {'no', 'equiv', 'safe', 'same_kind', 'unsafe'}
            Which conversions are allowed. ``x.astype(dtype, order, casting)``, as NumPy has it, is
            understood, too.
        copy : bool
            ``False`` returns the tensor itself if dtype, `order` and `constant` fit.
        order : {'C', 'F', 'A', 'K'}
            The layout in memory.
        subok : bool
            ``False`` returns a plain tensor where this is one of a subclass.
        constant : bool, optional
            By default as the original; integers are always constant.
        """
        check_constant(constant)
        if casting in _ORDERS:
            order, casting = casting, "unsafe"
            if isinstance(copy, str):
                casting, copy = copy, True
        if self.live_trace.level:
            return functions["astype"](self, dtype, casting, copy)  # type: ignore[no-any-return]
        dtype = np.dtype(dtype)
        check_numeric(dtype)
        array = self.value.astype(dtype, order=order, casting=casting, copy=copy)
        if array is self.value and (constant is None or constant == self.constant):
            return self  # type: ignore[return-value]
        if constant is None and self.dtype.kind in CONTINUOUS:
            constant = self.constant or dtype.kind not in CONTINUOUS
        if array is self.value:
            array = array.copy()
        return self._leaf_like(array, constant, subok=subok)  # type: ignore[no-any-return]

    def __copy__(self) -> Tensor:
        return self.copy("K")

    def __deepcopy__(self, memo: Any) -> Tensor:
        memo[id(self)] = new = self.copy("K")
        for name, value in added_attributes(new).items():
            object.__setattr__(new, name, deepcopy(value, memo))
        return new


def added_attributes(tensor: Any) -> dict[str, Any]:
    """Return what a subclass has added to a tensor: the contents of its ``__dict__`` and slots."""
    found: dict[str, Any] = {}
    for kind in type(tensor).__mro__:
        if kind.__module__.partition(".")[0] == "tapegrad":
            break
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and hasattr(tensor, name):
                found[name] = getattr(tensor, name)
    return {**found, **getattr(tensor, "__dict__", {})}
