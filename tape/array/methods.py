"""The methods that a tensor shares with an ndarray.

Every one of them finds its operation in the registry, by the NumPy function that names it. Operators
are in :mod:`tapegrad.tape.array.operators`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.array.flat import Flat
from tapegrad.tape.array.operators import ArrayOperators
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.traced import Traced

if TYPE_CHECKING:
    from tapegrad.tape.array.tensor import Tensor

__all__ = ["ArrayMethods"]

#: Arguments of reductions that only NumPy's own signatures have.
_NUMPYS = frozenset({"out", "initial", "where", "mean", "correction"})


def _reduced(name: str, x: Any, axis: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Reduce by the documented signature ``(axis, keepdims)``, or else by NumPy's."""
    if kwargs.keys() & _NUMPYS or (args and not isinstance(args[0], bool | np.bool_ | int)):
        return functions[getattr(np, name)](x, axis, *args, **kwargs)
    return functions[name](x, axis, *args, **kwargs)


def _is_tensor_class(asked: Any) -> bool:
    return isinstance(asked, type) and issubclass(asked, Traced)


def _shape_argument(shape: tuple[Any, ...], name: str) -> Any:
    """Accept ``x.reshape(2, 3)`` as well as ``x.reshape((2, 3))``."""
    if len(shape) == 1:
        return shape[0]
    if any(isinstance(n, tuple | list) for n in shape):
        raise TypeError(f"{name} takes one shape or several integers, not {shape}")
    return shape


class ArrayMethods(ArrayOperators):
    """The part of a tensor that mirrors ndarray."""

    __slots__ = ()

    if TYPE_CHECKING:  # what Tensor brings

        @property
        def dtype(self) -> np.dtype[Any]: ...

        @property
        def live_trace(self) -> Any: ...

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
    def flat(self) -> Flat:
        """The elements in C order: an iterator that can be indexed and assigned."""
        return Flat(self)

    @flat.setter
    def flat(self, values: Any) -> None:
        Flat(self)[:] = values

    @property
    def real(self) -> Tensor:
        """The real part, as a view; of real numbers the tensor itself."""
        return functions[np.real](self)  # type: ignore[no-any-return]

    @real.setter
    def real(self, values: Any) -> None:
        functions["setitem"](self.real, ..., values)

    @property
    def imag(self) -> Tensor:
        """The imaginary part, as a view; of real numbers zeros, which are constant."""
        return functions[np.imag](self)  # type: ignore[no-any-return]

    @imag.setter
    def imag(self, values: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        functions["setitem"](self.imag, ..., values)

    def reshape(
        self, *newshape: Any, order: str = "C", copy: bool | None = None,
        constant: bool | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the data in another shape: ``x.reshape(2, -1)`` or ``x.reshape((2, -1))``."""
        if not newshape:
            raise TypeError("reshape() takes exactly 1 argument (0 given)")
        shape = _shape_argument(newshape, "reshape")
        return functions[np.reshape](self, shape, order, copy=copy, constant=constant)  # type: ignore[no-any-return]

    def view(self, *dtype: Any, **options: Any) -> Tensor:
        """Return a view of all elements.

        Raises
        ------
        TypeError
            For another dtype or class: bytes that are read anew have no derivative.
        """
        asked = (*dtype, *options.values())
        if any(isinstance(d, int | tuple | list) for d in asked):
            raise TypeError("view() takes no sizes; use reshape()")
        classes = [d for d in asked if isinstance(d, type) and issubclass(d, np.ndarray)]
        if self.live_trace.level and asked == (np.ndarray,):
            asked = ()  # which this stands for
        if not all(_is_tensor_class(d) or np.dtype(d) == self.dtype for d in asked):
            why = "view() of another dtype reads bytes anew, which has no derivative; use astype(), or "
            if classes and classes[0] is not np.ndarray:
                why = (
                    f"view() as {classes[0].__name__} would have no derivative; use the array, or "
                )
            return self.live_trace.appearance.apply_foreign(  # type: ignore[no-any-return]
                self, "view", np.ndarray.view, (self, *dtype), options, why + "x.data.view()"
            )
        return functions["getitem"](self, ...)  # type: ignore[no-any-return]

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

    def any(
        self, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True
    ) -> Any:
        """Whether any element is true, over axes."""
        return functions[np.any](self, axis, out, keepdims, where=where)

    def all(
        self, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True
    ) -> Any:
        """Whether all elements are true, over axes."""
        return functions[np.all](self, axis, out, keepdims, where=where)

    def argmax(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        """Index of the largest element."""
        return functions[np.argmax](self, axis, out, keepdims=keepdims)

    def argmin(self, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        """Index of the smallest element."""
        return functions[np.argmin](self, axis, out, keepdims=keepdims)

    def trace(
        self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
    ) -> Tensor:
        """Sum of a diagonal."""
        return functions[np.trace](self, offset, axis1, axis2, dtype, out)  # type: ignore[no-any-return]

    # Elements ------------------------------------------------------------------------------------

    def clip(self, a_min: Any = None, a_max: Any = None, out: Any = None, **kwargs: Any) -> Tensor:
        """Limit the values: ``x.clip(0, 1)``, ``x.clip(min=0)``; see :func:`tapegrad.clip`."""
        return functions[np.clip](self, a_min, a_max, out=out, **kwargs)  # type: ignore[no-any-return]

    def dot(self, other: Any, out: Any = None) -> Tensor:
        """Dot product; see :func:`tapegrad.dot`."""
        return functions[np.dot](self, other, out)  # type: ignore[no-any-return]

    def repeat(self, repeats: Any, axis: Any = None) -> Tensor:
        """Repeat elements; see :func:`tapegrad.repeat`."""
        return functions[np.repeat](self, repeats, axis)  # type: ignore[no-any-return]

    def round(self, decimals: int = 0, out: Any = None) -> Any:
        """Round to a number of decimals."""
        return functions[np.round](self, decimals, out)

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Tensor:
        """Take elements along an axis."""
        return functions[np.take](self, indices, axis, out, mode)  # type: ignore[no-any-return]

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Tensor:
        """Take the slices along an axis where a mask is true."""
        return functions[np.compress](condition, self, axis, out)  # type: ignore[no-any-return]

    def choose(self, choices: Any, out: Any = None, mode: str = "raise") -> Tensor:
        """Choose from several arrays by this tensor's numbers."""
        return functions[np.choose](self, choices, out, mode)  # type: ignore[no-any-return]

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Return a diagonal, as a view."""
        return functions[np.diagonal](self, offset, axis1, axis2)  # type: ignore[no-any-return]

    def conj(self) -> Any:
        """Complex conjugate: of real numbers the numbers themselves."""
        same = self.live_trace.level and self.dtype.kind != "c"
        return self if same else functions[np.conjugate](self)

    conjugate = conj

    def nonzero(self) -> Any:
        """Indices of the elements that are not zero."""
        return functions[np.nonzero](self)

    def searchsorted(self, v: Any, side: Any = "left", sorter: Any = None) -> Any:
        """Where elements would be inserted to keep the order."""
        return functions[np.searchsorted](self, v, side, sorter)

    def argsort(
        self, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
        descending: Any = None,
    ) -> Any:  # fmt: skip
        """Indices that sort along an axis."""
        options = {"stable": stable, "descending": descending}
        return functions[np.argsort](self, axis, kind, order, **options)

    def argpartition(
        self, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
    ) -> Any:
        """Indices that put the elements at `kth` where sorting would."""
        return functions[np.argpartition](self, kth, axis, kind, order)

    # In place ------------------------------------------------------------------------------------

    def fill(self, value: Any) -> None:
        """Set all elements to `value`, in place."""
        functions["setitem"](self, ..., value)

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """Write values at indices of the flattened tensor, in place."""
        functions[np.put](self, indices, values, mode)

    def sort(
        self, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
        descending: Any = None,
    ) -> None:  # fmt: skip
        """Sort along an axis, in place."""
        options = {"stable": stable, "descending": descending}
        functions["setitem"](self, ..., functions[np.sort](self, axis, kind, order, **options))

    def partition(
        self, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None
    ) -> None:
        """Put the elements at `kth` along an axis where sorting would, in place."""
        functions["setitem"](self, ..., functions[np.partition](self, kth, axis, kind, order))

    # Out of NumPy --------------------------------------------------------------------------------

    def tolist(self) -> Any:
        """Return the values as nested lists of Python scalars; in traced code floats stay traced."""
        if self.live_trace.level:
            return functions["tolist"](self)
        return self.consume("tolist").tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        """Return the bytes of the values."""
        return self.consume("tobytes").tobytes(order)  # type: ignore[no-any-return]

    def tofile(self, fid: Any, sep: str = "", format: str = "%s") -> None:
        """Write the values to a file, as text or as bytes without shape and dtype."""
        self.consume("tofile").tofile(fid, sep, format)

    @property
    def device(self) -> str:
        """Where the data are."""
        return "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """Return the tensor itself: there is one device, ``"cpu"``."""
        if device != "cpu" or stream is not None:
            raise ValueError(f"a tensor is on the device 'cpu', without streams, not on {device!r}")
        return self  # type: ignore[return-value]
