"""What a reader knows of the memory of plain arrays: which traced values were stored into.

Every operation sees the tensor that stands for such an array, or the part of it that has the array's
memory. Arrays of the caller's are copied before they are written into, in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import cut
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.imaging import Imaging
from tapegrad.tape.python.lending import owners_in
from tapegrad.tape.python.promotion import Promotions, indexes, is_traced, owner_of

__all__ = ["Memory"]

#: What reads the memory of an array.
_LOOKING = (np.ndarray, np.flatiter, memoryview)


class Memory(Imaging):
    """The part of a reader that looks at arrays.

    Parameters
    ----------
    trace : Trace or None
    arguments : nest
        Arrays in it belong to the caller.
    """

    def __init__(self, trace: Any, arguments: Any) -> None:
        outer = current.get()
        self.trace = trace
        self.outer: Any = outer if isinstance(outer, Memory) else None
        #: The promoted arrays of all readers that are running; None as long as there are none.
        self.promotions: Promotions | None = None if self.outer is None else self.outer.promotions
        self.arguments = arguments
        self._lent: dict[int, Any] | None = None

    @property
    def lent(self) -> dict[int, Any]:
        """The callers' arrays, by the id of what owns their memory."""
        if self._lent is None:
            found = owners_in(self.arguments)
            self._lent = found if self.outer is None else {**self.outer.lent, **found}
        return self._lent

    def see(self, value: Any) -> Any:
        """Return the tensor that stands for a promoted array; any other value as it is."""
        if type(value) is np.ndarray and self.promotions is not None:
            found = self.promotions.find(value)
            return value if found is None else found
        if type(value) is np.flatiter and self.promotions is not None:
            return self.promotions.flat_of(value)
        if type(value) is memoryview and self.promotions is not None:
            array = value.obj
            if isinstance(array, np.ndarray) and self.promotions.find(array) is not None:
                raise cut("a memoryview of an array that traced values were stored into")
        return value

    def see_all(self, value: Any) -> Any:
        """Do `see` for what is in lists, tuples and dicts, too."""
        if self.promotions is None:
            return value
        kind = type(value)
        if kind in _LOOKING:
            return self.see(value)
        if kind is list or kind is tuple:
            seen = [self.see_all(v) for v in value]
            return value if all(a is b for a, b in zip(seen, value)) else kind(seen)
        if kind is dict:
            shown = {k: self.see_all(v) for k, v in value.items()}
            return value if all(shown[k] is value[k] for k in value) else shown
        return value

    def promote(self, array: Any) -> Tensor:
        """Return the tensor that stands for an array from now on."""
        promotions = self.promotions
        if promotions is None:
            promotions = Promotions()
            reader: Memory | None = self
            while reader is not None:
                reader.promotions, outermost = promotions, reader
                reader = reader.outer
            outermost.watch()
        return promotions.tensor_of(array)

    #: Whether an index is noted, and not its value: then it makes traced what it reads and writes.
    notes_indices = False

    def is_written_apart(self, array: Any, value: Any, key: Any = ...) -> bool:
        """Whether a store into a plain array goes into the tensor that stands for it."""
        return (
            is_traced(value)
            or (self.notes_indices and array.dtype.kind in NUMERIC and indexes(key))
            or (self.promotions is not None and self.promotions.find(array) is not None)
            or (not array.flags.writeable and id(owner_of(array)) in self.lent)
        )
