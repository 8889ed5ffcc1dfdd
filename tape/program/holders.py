"""What holds values from trip to trip of a loop besides names: attributes, and the ends of lists.

While a trip is recorded, an attribute holds what stands for its value, so that all who reach the
instance see it. A list to which the trips append is never changed: the trip is told what it would read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Attribute", "Ends", "Holder"]


class Attribute:
    """An attribute of an instance, in its own namespace or in a slot.

    Equal ones have the same instance.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name

    def __eq__(self, other: object) -> bool:
        return type(other) is Attribute and self.owner is other.owner and self.name == other.name

    def __hash__(self) -> int:
        return hash((id(self.owner), self.name))

    def __str__(self) -> str:
        return f"the attribute {self.name}"

    def value(self) -> Any:
        """Return what it holds."""
        return object.__getattribute__(self.owner, self.name)

    def put(self, value: Any) -> None:
        """Let it hold a value."""
        object.__setattr__(self.owner, self.name, value)

    def lend(self, value: Any) -> Callable[[], Any]:
        """Let it hold what stands for its value; return what tells the value after the trip."""
        self.put(value)
        return self.value


class Ends:
    """The last elements of a list to which the trips append, and its length.

    Attributes
    ----------
    owner : list
    depth : int
        How many elements.
    """

    def __init__(self, owner: list[Any], depth: int) -> None:
        self.owner = owner
        self.depth = depth
        self.length: Any = None
        self.elements: list[Any] = []

    def __str__(self) -> str:
        return "the end of a list"

    def value(self) -> tuple[Any, ...]:
        """Return the length and the elements."""
        return (len(self.owner), *self.owner[len(self.owner) - self.depth :])

    def lend(self, value: tuple[Any, ...]) -> Callable[[], Any]:
        """Answer by what stands for the value; return what tells the value after the trip."""
        self.length, *self.elements = value
        return self._after

    def _after(self) -> tuple[Any, ...]:
        return (self.length, *self.elements[len(self.elements) - self.depth :])

    def append(self, value: Any) -> None:
        """Take note that the trip has appended a value."""
        self.length = self.length + 1
        self.elements.append(value)


Holder = Attribute | Ends
