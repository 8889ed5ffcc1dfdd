"""What a loop of many trips does, before it is code: steps that read and write places in memory.

A loop knows arrays by their number among those that it is given; where in them the values of a trip lie
is known beforehand, and how this moves from trip to trip. So nothing has to be allocated while it runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from tapegrad.compile.backends.loop_nest import LoopNest

__all__ = [
    "FOUND",
    "Buffer",
    "Choose",
    "Code",
    "Copy",
    "Find",
    "Loop",
    "Move",
    "Place",
    "Product",
    "Repeat",
    "Run",
    "Running",
    "Step",
]  # fmt: skip


#: Stands for an array where a buffer is found in each trip.
FOUND = -1


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A piece of memory: so many bytes behind where an array begins that the loop is given.

    Attributes
    ----------
    array, start : int
        The array is :data:`FOUND` where a step finds the address.
    within : Buffer, optional
        A buffer of a loop around this one; where that moves, this does so, too.
    """

    array: int
    start: int = 0
    within: Buffer | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A value in memory.

    Attributes
    ----------
    buffer : Buffer
    offset : int
        Bytes from the beginning of the buffer to the first element.
    shape, strides : tuple of int
    dtype : numpy.dtype
    """

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Run:
    """The call of a kernel, in one part.

    Attributes
    ----------
    nest : LoopNest
    sizes : tuple of int
    bounds : tuple of int
        Of its windows.
    arguments : tuple of Place
        What it reads, then what it fills.
    returned : tuple of Place
        Where the numbers go that it returns.
    """

    nest: LoopNest
    sizes: tuple[int, ...]
    bounds: tuple[int, ...]
    arguments: tuple[Place, ...]
    returned: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """The bytes of one contiguous place in another."""

    source: Place
    target: Place


@dataclass(frozen=True, slots=True)
class Find:
    """An element or a row by its index: from here on, `target` is where it lies.

    Attributes
    ----------
    target : Buffer
    first : Place
        Where the element of index 0 lies.
    step, size : int
        Bytes from one to the next, and how many there are.
    index : Place
        An int64 number; as in Python, negative ones count from the end. Where one is out of bounds, all
        is to be done again by Python, which says so.
    """

    target: Buffer
    first: Place
    step: int
    size: int
    index: Place


@dataclass(frozen=True, slots=True)
class Product:
    """Products of matrices, in stacks: of places with three axes.

    The last axes of `second` and of `target` lie side by side in memory.
    """

    first: Place
    second: Place
    target: Place


@dataclass(frozen=True, slots=True)
class Choose:
    """The steps of one of several ways.

    Attributes
    ----------
    index : Place
        An int64 number that says which, the nearest if there is none; or a truth value: the first of two
        ways is that for True.
    ways : tuple of tuple of Step
    """

    index: Place
    ways: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many trips of a loop inside of another; what this does once is done by the other one.

    0 trips stand for as many as there are; where these are too many for Ctrl-C to be heard, all is to be
    done again by Python.
    """

    loop: Loop
    trips: int


Step: TypeAlias = "Run | Copy | Find | Product | Choose | Repeat"


@dataclass(frozen=True, slots=True)
class Move:
    """How a buffer moves: by `step` bytes after the first trip, by `back` after the next, and so on."""

    step: int
    back: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Steps, many times.

    Attributes
    ----------
    before : tuple of Step
        What is done once.
    question : tuple of Step
        What is done before each trip to know whether there is one.
    answer : Place or None
        Where a truth value says so after that; None if there always is one.
    steps : tuple of Step
        What is done in each trip.
    moves : dict of Buffer to Move
        What does not lie where it did after a trip.
    """

    before: tuple[Step, ...]
    question: tuple[Step, ...]
    answer: Place | None
    steps: tuple[Step, ...]
    moves: dict[Buffer, Move]


class Code(Protocol):
    """A loop as machine code."""

    #: How many of its kernels were "compiled", "loaded", or "known".
    origins: Counter[str]
    #: Roughly how many elements a trip computes, which take up to ten nanoseconds each.
    work: int

    def start(self, arrays: Sequence[Any]) -> Running:
        """Begin the loop with certain arrays."""


class Running(Protocol):
    """A loop that has begun."""

    @property
    def beyond(self) -> bool:
        """Whether an argument was too large for a function, so that the results are wrong."""

    def go(self, trips: int) -> int:
        """Make so many trips more, or as many as there are; return how many these were."""
