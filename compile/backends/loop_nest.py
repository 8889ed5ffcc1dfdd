"""What a kernel computes, before it is code: arguments, values, reductions, and the nest of loops.

A nest says nothing of sizes: kernels that differ in these alone are equal. Every argument, value and
reduction has a name of its own, by which expressions refer to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Expression, Name, names, substitute

__all__ = ["Argument", "LoopNest", "Reduced", "Value", "Window"]


@dataclass(frozen=True, slots=True)
class Argument:
    """An array or a number that a kernel takes.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
    dims : tuple of int
        The loop that each axis of the array belongs to; () for a number.
    contiguous : bool
        Whether the array is C-contiguous.
    in_rows : bool
        Whether at least its elements along the last axis lie side by side.
    window : str
        The name of the window outside of which it is zero, whatever lies there; "" for none.
    over : str
        For an output: the operand in whose place it is written, element by element, if there is one.
    """

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int, ...] = ()
    contiguous: bool = True
    in_rows: bool = True
    window: str = ""
    over: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the space: a truth value by its name, and two numbers that the kernel takes for a loop.

    Arrays in it are indexed from where it begins.

    Attributes
    ----------
    name : str
    loops : tuple of int
        Along which it does not cover everything.
    """

    name: str
    loops: tuple[int, ...]

    def begin(self, loop: int) -> str:
        """Return the name of the index at which it begins along a loop."""
        return f"{self.name}_b{loop}"

    def end(self, loop: int) -> str:
        """Return the name of the index at which it ends along a loop."""
        return f"{self.name}_e{loop}"

    @property
    def bounds(self) -> tuple[str, ...]:
        """The names of the numbers that the kernel takes for it."""
        return tuple(name for loop in self.loops for name in (self.begin(loop), self.end(loop)))


@dataclass(frozen=True, slots=True)
class Value:
    """A value that a kernel computes: one for each point of the space, or one for each row.

    Attributes
    ----------
    name : str
    expression : Expression
    run : int
        In which run over the elements of a row it can be computed first; if it belongs to the row,
        after which run.
    of_row : bool
        Whether there is one for each row.
    stored : str
        The output that it is written to, or "".
    """

    name: str
    expression: Expression
    run: int
    of_row: bool
    stored: str = ""

    @property
    def uses(self) -> tuple[str, ...]:
        """The names that it is computed from."""
        return names(self.expression)


@dataclass(frozen=True, slots=True)
class Reduced:
    """A reduction in a kernel.

    Attributes
    ----------
    name : str
        Of the result, and of the array that it is stored in.
    operand : Expression
        What is reduced.
    each : Expression
        What is combined, in terms of the operand, called ``x``.
    combine : str
        NumPy's name of the function of two numbers that combines.
    initial : float
        What it starts from.
    finish : Expression or None
        What becomes of a row's total, called ``x``.
    safe : Expression or None
        Which totals, called ``x``, are good. A row whose total is not is computed once more: its
        elements are divided by the greatest of their magnitudes, by which the result is multiplied.
    rounding : str
        "none" if every order of combining gives the same, "blocks" if long reductions are made of short
        ones so that errors stay small, "wide" if these are moreover combined in float64.
    gone : tuple of bool
        Over which loops it runs.
    dims : tuple of int
        The loop that each axis of its array belongs to.
    run : int
        In which run over the elements of a row.
    of_rows : bool
        Whether it combines one value for each row, not one for each element.
    stored : bool
        Whether it goes into an array.
    """

    name: str
    operand: Expression
    each: Expression
    combine: str
    initial: float
    finish: Expression | None
    safe: Expression | None
    rounding: str
    gone: tuple[bool, ...]
    dims: tuple[int, ...]
    run: int
    of_rows: bool
    stored: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result, and of what is combined."""
        return self.operand.dtype

    @property
    def uses(self) -> tuple[str, ...]:
        """The names that it is computed from."""
        return names(self.operand)

    @property
    def element(self) -> Expression:
        """What is combined."""
        return substitute(self.each, {"x": self.operand})

    def scaled_element(self, name: str) -> Expression:
        """Return what is combined when the operand, divided by the greatest, is called `name`."""
        return substitute(self.each, {"x": Name(name, self.dtype)})

    @property
    def full(self) -> bool:
        """Whether nothing is left but one number."""
        return all(self.gone)

    def opens_at(self, i: int) -> bool:
        """Whether the reduced loops are the innermost ones, and begin with loop `i`."""
        return all(self.gone[i:]) and not any(self.gone[:i])

    @property
    def local(self) -> bool:
        """Whether it runs in a variable, which is possible if the reduced loops are innermost."""
        return any(self.opens_at(i) for i in range(len(self.gone)))


@dataclass(frozen=True, slots=True)
class LoopNest:
    """What a kernel computes; hashable, so that equal ones are compiled once.

    Attributes
    ----------
    rank : int
        Number of loops.
    split : int
        How many of them run over rows; 0 if the inner loops stand there only once.
    turned : bool
        Whether the loops are in another order than the axes of the arrays, so that a part of the
        outermost loop is no part of these, or are read through windows. Such a kernel takes the first
        index of that loop, too.
    operands, outputs : tuple of Argument
        What it reads, and the arrays that it writes.
    values : tuple of Value
        In the order in which they are computed.
    reductions : tuple of Reduced
    returned : tuple of str
        The values, then the reductions, that have no axes: what the kernel returns.
    windows : tuple of Window
    """

    rank: int
    split: int
    turned: bool
    operands: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    values: tuple[Value, ...]
    reductions: tuple[Reduced, ...]
    returned: tuple[str, ...]
    windows: tuple[Window, ...] = ()

    @property
    def bounds(self) -> tuple[str, ...]:
        """The names of the numbers that the kernel takes for its windows."""
        return tuple(name for window in self.windows for name in window.bounds)

    @property
    def filled(self) -> tuple[Argument, ...]:
        """The outputs that have arrays of their own."""
        return tuple(out for out in self.outputs if not out.over)

    @property
    def partials(self) -> tuple[Reduced, ...]:
        """The reductions that go into arrays."""
        return tuple(r for r in self.reductions if r.stored)
