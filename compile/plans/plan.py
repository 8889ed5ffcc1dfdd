"""Plans: the straight line of kernel calls, views and library calls that executes a program.

A plan is Python source too. It belongs to one signature (sizes included); the kernels that it calls do
not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tapegrad.compile.fusion.lowering import KernelCall
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.staging import Guard

__all__ = ["KernelStep", "Miss", "Part", "Plan"]


class Miss:
    """What a plan returns when a guard does not hold: the guard, and what it saw."""

    __slots__ = ("guard", "value")

    def __init__(self, guard: Guard, value: Any) -> None:
        self.guard = guard
        self.value = value


@dataclass(slots=True)
class KernelStep:
    """A step of a plan that is a kernel.

    Attributes
    ----------
    name : str
        What the plan calls the kernel; steps with the same source share it.
    source : str
    call : KernelCall
    entries : list of Node
    """

    name: str
    source: str
    call: KernelCall
    entries: list[Node]


@dataclass(slots=True)
class Part:
    """The lines of a plan that belong to one step, or to the guards of the inputs.

    Attributes
    ----------
    line : int
        The first of them, counted from the line below ``def``.
    entries : list of Node
        What the step does.
    made : list of Node
        What is there after it.
    """

    line: int
    entries: list[Node]
    made: list[Node]


@dataclass(slots=True)
class Plan:
    """An executable program.

    Attributes
    ----------
    run : callable
        Takes the inputs; returns a tuple of output leaves, or a :class:`Miss`.
    source : str
    kernels : list of KernelStep
    library_steps : list of Node
        What is executed by NumPy because it has no lowering.
    bodies : list of (str, Node, Plan)
        The plans of the programs that are parameters of entries: the parameter, the entry, its plan.
    origins : Counter
        How many kernels were "compiled" for this plan, "loaded" from disk, or "known" in this process.
    overwritten : list of int
        The donated inputs that it overwrites with results.
    parts : list of Part
        In order; the first are the guards of inputs, the last what is written back and returned.
    """

    run: Callable[..., Any]
    source: str
    kernels: list[KernelStep]
    library_steps: list[Node] = field(default_factory=list)
    bodies: list[tuple[str, Node, Plan]] = field(default_factory=list)
    origins: Counter[str] = field(default_factory=Counter)
    overwritten: list[int] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    @property
    def compiled(self) -> int:
        """How many kernels had to be compiled."""
        return self.origins["compiled"]
