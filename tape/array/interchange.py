"""How a tensor's memory is lent: to NumPy, and to others by DLPack, buffers, the array interface.

Only what no gradient is lost by is lent: traced values are refused, and so are, where the borrower
would not say that it means the numbers alone, imperative tensors that came from others in a graph.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.array.scipy_sparse import answer_to_scipy
from tapegrad.tape.core.appearance import cut, is_cut
from tapegrad.tape.core.later import later
from tapegrad.tape.core.location import asked_by_numpy

__all__ = ["ArrayInterchange"]

#: What NumPy asks of a buffer where it makes an array, as do these of Python's.
_FULL_READ_ONLY = 0x11C
_BORROWERS = ("memoryview", "bytes", "bytearray")
_WRITABLE = 0x1
#: The version of DLPack from which on an export can be read-only.
_WITH_FLAGS = 1


def _is_named(*words: str) -> bool:
    """Whether the code that led to the caller of this names one of these words.

    NumPy does not: when it makes an array it tries all protocols in turn. There ``__array__`` is to
    answer, which gives the array itself: the one that the memory guard knows and locks.
    """
    code = sys._getframe(2).f_code
    return any(word in code.co_names or word in code.co_consts for word in words)


class ArrayInterchange:
    """The part of a tensor that other libraries call."""

    __slots__ = ()

    if TYPE_CHECKING:  # what Tensor brings
        _trace: Any

        @property
        def live_trace(self) -> Any: ...

        @property
        def node(self) -> Any: ...

        @property
        def data(self) -> np.ndarray[Any, Any]: ...

        @property
        def constant(self) -> bool: ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if (answer := answer_to_scipy(self)) is not None:
            return answer  # type: ignore[no-any-return]
        if self.live_trace.level:
            self._trace.appearance.array(self, "np.asarray")
        elif is_cut(self):
            raise cut("np.asarray")
        array = self.data
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(f"a copy is needed to make an array of dtype {dtype}")
            if np.dtype(dtype) == object and not self.constant and asked_by_numpy():
                raise TypeError("np.vectorize loses the graph; use t.data, or tg.vmap(f)(t)")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(
        self, *, stream: Any = None, max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None, copy: bool | None = None,
    ) -> Any:  # fmt: skip
        """Lend the data to another library, without a graph: ``torch.from_dlpack(x)``.

        While a graph needs the data, they are lent read-only.

        Raises
        ------
        TracedArrayError
            In traced code: the derivative would be lost.
        BufferError
            If the data are read-only, and the other library asks for a version of DLPack that cannot
            say so; for another device than the CPU.
        """
        if self.live_trace.level:
            self._trace.appearance.array(self, "x.__dlpack__()")
        elif is_cut(self):
            raise cut("x.__dlpack__()")
        array = self.data
        can_say = max_version is not None and max_version[0] >= _WITH_FLAGS
        if not (array.flags.writeable or copy or can_say):
            raise BufferError(
                "the data of this tensor are read-only, because a graph needs them or because the array "
                "is, and versions of DLPack before 1.0 cannot say so; lend a copy: x.data.copy()"
            )
        return array.__dlpack__(
            stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the CPU

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The memory, for who asks by this name; an attribute of what is outside of graphs alone."""
        if not _is_named("__array_interface__") or self._loses_a_graph():
            raise AttributeError("__array_interface__")
        found = self.data.__array_interface__
        return {
            **found,
            "data": (found["data"][0], True),
        }  # read-only: the guard knows no borrowers

    def __buffer__(self, flags: int, /) -> memoryview:  # Python asks for it from 3.12 on
        if flags == _FULL_READ_ONLY and not _is_named(*_BORROWERS):
            raise BufferError(
                "memoryview(x) is a buffer; NumPy makes arrays of tensors by __array__"
            )
        if self._loses_a_graph():
            raise BufferError(
                "a tensor in a graph, or in traced code, has no buffer: the derivative would be lost. "
                "Use x.data, or tg.stop_gradient(x), if no derivative is meant"
            )
        array = self.data
        if flags & _WRITABLE and not array.flags.writeable:
            raise BufferError("the data of this tensor are read-only; a graph may need them")
        view = memoryview(array)  # type: ignore[arg-type]  # as far as 3.11 knows
        return view if flags & _WRITABLE else view.toreadonly()

    def _loses_a_graph(self) -> bool:
        """Whether code that takes the numbers loses where they came from."""
        if self.live_trace.level or is_cut(self):
            return True
        return not self.constant and bool(self.node.inputs)

    @property
    def __pandas_priority__(self) -> int:
        """Above that of what pandas has: its operators are left to tensors that have a derivative."""
        if not self.live_trace.level and self.constant:
            raise AttributeError("__pandas_priority__")
        return 10_000

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """Return the module that has the functions of the array API standard."""
        return later.array_namespace(api_version)
