"""What a kernel computes, before it is text: operands, values, reductions, and the nest of loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.tape.core.node import Node

__all__ = ["Nest", "Operand", "Reduced", "Value"]


@dataclass(slots=True)
class Operand:
    """An argument of a kernel.

    Attributes
    ----------
    value : Node or scalar or array
        What is passed.
    name : str
        Its name in the source.
    dtype : numpy.dtype
    axes : tuple of bool
        In which loops it varies; a scalar varies in none.
    shape : tuple of int or None
        The shape in which it is passed, if that differs from its own.
    contiguous : bool
    dims : tuple of int
        The loop that each of its axes belongs to.
    """

    value: Any
    name: str
    dtype: np.dtype[Any]
    axes: tuple[bool, ...] = ()
    shape: tuple[int, ...] | None = None
    contiguous: bool = True
    dims: tuple[int, ...] = ()


@dataclass(slots=True)
class Value:
    """A value that a kernel computes.

    Attributes
    ----------
    name, text : str
        Its name, and the expression.
    uses : tuple of str
        The names in the expression.
    level : int
        In which run over the elements of a row it can be computed first; of a value of a row, after
        which run it is there.
    row : bool
        Whether it is one value for each row.
    dtype : str
        Numba's name of its dtype.
    dear : bool
        Whether computing it again costs more than keeping it.
    limit : (str, float) or None
        What its argument may not exceed for the vectorising functions.
    stored : str
        The array that it is written to, or "".
    """

    name: str
    text: str
    uses: tuple[str, ...]
    level: int
    row: bool
    dtype: str = ""
    dear: bool = False
    limit: tuple[str, float] | None = None
    stored: str = ""


@dataclass(slots=True)
class Reduced:
    """A reduction of a kernel.

    Attributes
    ----------
    node : Node
    name, kind, value : str
        Its name, its primitive, the text of what is reduced.
    uses : tuple of str
        The names in that text.
    axes : tuple of bool
        Which loops it sums over.
    level : int
        In which run over a row.
    over_rows : bool
        Whether it combines values of rows.
    stored : bool
        Whether it goes into an array.
    ord : float
        The order of a p-norm.
    dims : tuple of int
        The loop that each axis of its array belongs to.
    """

    node: Node
    name: str
    kind: str
    value: str
    uses: tuple[str, ...]
    axes: tuple[bool, ...]
    level: int
    over_rows: bool
    stored: bool
    ord: float = 0.0
    dims: tuple[int, ...] = ()

    @property
    def rounds(self) -> bool:
        """Whether the errors of a long reduction would be seen."""
        return self.node.dtype == np.float32 and self.kind in ("sum", "prod", "vector_norm")

    @property
    def widened(self) -> bool:
        """Whether sums of blocks are added up in float64; products would not overflow as NumPy's."""
        return self.rounds and self.kind != "prod"

    @property
    def full(self) -> bool:
        """Whether nothing is left but one number."""
        return all(self.axes)

    def opens_at(self, i: int) -> bool:
        """Whether the summed axes are the innermost ones, and begin at axis `i`."""
        return all(self.axes[i:]) and not any(self.axes[:i])

    @property
    def local(self) -> bool:
        """Whether it is summed in a variable, which is possible if the summed axes are innermost."""
        return any(self.opens_at(i) for i in range(len(self.axes)))


@dataclass(slots=True)
class Nest:
    """What a kernel's source is written from.

    Attributes
    ----------
    rank : int
        Number of loops.
    split : int
        How many of them run over rows; 0 if the inner loops stand there only once.
    turned : bool
        Whether they are in another order than the axes of the arrays. Such a kernel takes the first
        index of the outermost loop as its first argument.
    operands, outputs : list of Operand
    reductions : list of Reduced
    values : dict of str to Value
        In the order in which they are computed.
    returned : list of str
    functions : set of (name, suffix)
    """

    rank: int
    split: int
    turned: bool
    operands: list[Operand]
    outputs: list[Operand]
    reductions: list[Reduced]
    values: dict[str, Value]
    returned: list[str]
    functions: set[tuple[str, str]]
