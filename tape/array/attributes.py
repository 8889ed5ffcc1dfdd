"""What a tensor says of itself: sizes, and how it is printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.array.scipy_sparse import dispatches
from tapegrad.tape.core.html import as_html, is_public
from tapegrad.tape.core.other_names import Elsewhere
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.state import state

__all__ = ["ArrayAttributes"]

_set_class = object.__dict__["__class__"].__set__
#: What traces and sweeps know of a value, see `Traced`: not for completion.
_INTERNAL = frozenset({
    "adopt", "consume", "follows", "freshen", "is_element", "lay_out", "live_trace", "node", "refresh",
    "requires_grad", "snapshot", "value",
})  # fmt: skip
_OURS = frozenset(("tapegrad", "numpy"))


def _is_ours(frame: Any) -> bool:
    """Whether the code that asks for a class is ours or NumPy's, or may leave a product to us."""
    while frame is not None and frame.f_globals.get("__name__") == "abc":
        frame = frame.f_back
    name = "" if frame is None else str(frame.f_globals.get("__name__"))
    return name.partition(".")[0] in _OURS or (frame is not None and dispatches(frame))


class ArrayAttributes:
    """The attributes that a tensor shares with an ndarray."""

    __slots__ = ()
    requires_grad = Elsewhere()

    if TYPE_CHECKING:  # what Tensor brings
        _trace: Any

        @property
        def constant(self) -> bool: ...
        @property
        def grad(self) -> Any: ...

        @property
        def shape(self) -> tuple[int, ...]: ...

        @property
        def dtype(self) -> np.dtype[Any]: ...

        @property
        def value(self) -> Any: ...

        @property
        def live_trace(self) -> Any: ...

        def item(self) -> Any: ...

        def consume(self, kind: str) -> Any: ...

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # type: ignore[override]
        """In traced code, the class of what a tensor stands for; for tapegrad and NumPy, its own."""
        kind = type(self)
        if (self._trace.level or state.get().adapted) and not _is_ours(sys._getframe(1)):
            return functions["stands_for"](self)
        return kind

    @__class__.setter
    def __class__(self, kind: type) -> None:
        _set_class(self, kind)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes between neighbours along each axis."""
        return self.value.strides  # type: ignore[no-any-return]

    @property
    def flags(self) -> Any:
        """What is known of the memory: how it is laid out, and whether it may be written to."""
        return self.live_trace.appearance.flags(self)

    def __repr__(self) -> str:
        if self._trace.closed:
            return f"<tensor of a {self._trace.name} trace that has ended>"
        if self._trace.level:
            return self._trace.appearance.text(self, repr)  # type: ignore[no-any-return]
        array = self.consume("repr")
        # Lines after the first stand under the first number: "Tensor(" is longer than "array(".
        name = type(self).__name__
        body = np.array2string(
            array, separator=", ", prefix=f"{name}(", suffix=")", max_line_width=75
        )
        if array.size == 0 and array.shape != (0,):
            body = f"[], shape={array.shape}"
        shown = array.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool)) and array.size > 0
        return f"{name}({body})" if shown else f"{name}({body}, dtype={array.dtype.name})"

    def _repr_html_(self) -> str | None:
        """What a notebook shows of a tensor outside of traced code."""
        if self._trace.level or self._trace.closed:
            return None
        array, grad = self.consume("repr"), self.grad
        facts = [
            f"shape {self.shape}",
            array.dtype.name,
            "constant" if self.constant else "variable",
        ]
        parts = [("", np.array2string(array, threshold=200))]
        if grad is not None:
            parts.append(("grad", np.array2string(grad, threshold=200)))
        return as_html(type(self).__name__, facts, *parts)

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if is_public(name) and name not in _INTERNAL]

    def __str__(self) -> str:
        if self._trace.level and not self._trace.closed:
            return self._trace.appearance.text(self, str)  # type: ignore[no-any-return]
        return repr(self)

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.shape:
            raise TypeError(
                f"a tensor with axes has no format {spec!r}; use np.array2string(x, precision=...)"
            )
        return format(self.consume("text").item(), spec)
