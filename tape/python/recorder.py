"""The gate of a run that is recorded: all that the function reads is noted, and nothing is changed.

- Arrays that lie outside are inputs of the recording: tensors stand for them.
- Numbers, texts and the like go on as they are; that they are the same is a check.
- Objects go on as they are. What is read of them is noted: attributes, items, methods.
- What would change something outside, or does nobody knows what, abandons the recording.

Transformations inside of the function read it by gates of the same kind, with the same ledger.
"""

from __future__ import annotations

from types import (
    CellType,
)
from typing import Any, ClassVar

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.pytree import instances_in
from tapegrad.tape.python import special
from tapegrad.tape.python.effects import Calls
from tapegrad.tape.python.images import Images
from tapegrad.tape.python.ledger import Ledger
from tapegrad.tape.python.reads import CHANGES
from tapegrad.tape.python.rewriting import FULL
from tapegrad.tape.python.rolling import Rolling
from tapegrad.tape.python.thunks import Thunk

__all__ = ["Recorder"]


class Recorder(Rolling, Calls):
    """The gate of one run that is recorded, or of a transformation in it.

    Attributes
    ----------
    ledger : Ledger
    """

    images: ClassVar[Images] = Images(FULL)
    reads_all = True
    notes_indices = True

    def __init__(
        self, trace: Any, arguments: Any = (), originals: Any = (), *, ledger: Ledger | None = None
    ) -> None:
        super().__init__(trace, arguments, originals)
        if ledger is None:
            assert isinstance(self.outer, Recorder)
            ledger = self.outer.ledger
        self.ledger = ledger

    def begin(self, function: Any) -> None:
        self.ledger.begin(function)

    def rebuilt(self, arguments: Any) -> None:
        for instance in instances_in(arguments):
            self.ledger.make(instance)

    def _lower(self, owner: Any, layout: Any, tensor: Tensor) -> None:
        # What the recorded function itself has filled is its own, and part of the recording.
        if self.trace is not self.ledger.trace:
            super()._lower(owner, layout, tensor)

    # Changes -----------------------------------------------------------------------------------------

    def _own_only(self, owner: Any, *names: str, changed: str = "") -> None:
        self.ledger.ask(owner, *names)
        if self.ledger.place_of(owner) is not None and not isinstance(owner, Tensor):
            kind = type(owner)
            if special.written(kind, names[0]) is None:
                self.ledger.forget(owner, changed)
                self.ledger.abandon(f"{CHANGES} ({self.ledger.place_of(owner)})")

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        found = special.lookup(type(owner), name)
        self.ledger.ask(owner, "__setattr__", name)
        described = special.is_a(found, property) or (
            found is not None and special.written(type(found), "__set__") is not None
        )
        if not described:
            self._own_only(owner, "__setattr__", changed=name)
        self._own_classes_only(owner)
        return super().store_attribute(value, owner, name)

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        self._ask_key(key)
        if not isinstance(owner, np.ndarray):
            self._own_only(owner, "__setitem__")
        return super().store_item(value, owner, key)

    def store_name(self, value: Any, name: str) -> Any:
        return self.ledger.abandon(f"{CHANGES} (the global name {name})")

    def store_cell(self, value: Any, cell: CellType, name: str) -> Any:
        if self.ledger.is_outer(cell):
            self.ledger.abandon(f"{CHANGES} (the variable {name})")
        return value

    def delete_attribute(self, owner: Any, name: str) -> Thunk:
        self._own_only(owner, "__delattr__")
        self._own_classes_only(owner)
        return super().delete_attribute(owner, name)

    def delete_item(self, owner: Any, key: Any) -> Thunk:
        self._ask_key(key)
        self._own_only(owner, "__delitem__")
        return super().delete_item(owner, key)

    def delete_name(self, name: str) -> None:
        self.ledger.abandon(f"{CHANGES} (the global name {name})")

    def delete_cell(self, cell: CellType, name: str) -> None:
        if self.ledger.is_outer(cell):
            self.ledger.abandon(f"{CHANGES} (the variable {name})")
