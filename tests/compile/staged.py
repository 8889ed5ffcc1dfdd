"""Programs, plans and kernels of small functions, for the tests of the compiler's stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.compile.fusion.groups import Group, partition
from tapegrad.compile.jitted.recording import Recording, Run, record
from tapegrad.compile.passes import pipeline as passes
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.verification import verify


def program_of(function: Callable[..., Any], *args: Any) -> Program:
    """Return what recording a function gives, before all passes."""
    return Run(function, args, {}, set()).program


def optimised(function: Callable[..., Any], *args: Any) -> Program:
    """Return the program after all passes; each is verified."""
    return passes.optimise(program_of(function, *args), verify)


def names(program: Program) -> list[str]:
    """Return the names of the primitives in order."""
    return [entry.primitive.name for entry in program.entries]


def steps_of(function: Callable[..., Any], *args: Any) -> list[Any]:
    """Return the steps that fusion makes: for a kernel the list of its primitives, else a name."""
    return [
        [entry.primitive.name for entry in step.entries]
        if isinstance(step, Group)
        else step.entry.primitive.name
        for step in partition(optimised(function, *args))
    ]


def recording_of(function: Callable[..., Any], *args: Any) -> Recording:
    """Return a function's recording, with its plan."""
    return record(function, args, {}, strict=True)[0]
