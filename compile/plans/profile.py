"""Profiles: where the time of a plan goes, step by step, beside the user's lines.

The plan is run as it is, but for the clock that is read between its steps.
"""

from __future__ import annotations

import ast
import bisect
import itertools
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from tapegrad.compile.passes.layout import copy_as_it_lies
from tapegrad.compile.plans.plan import Part, Plan
from tapegrad.compile.plans.script import Lines, operations_of
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.threads import pool

__all__ = ["Profile", "ProfiledStep", "copy_bandwidth", "profile_of"]

#: How long a profile runs a plan, within so few and so many times.
SECONDS, FEWEST, MOST = 0.3, 3, 200
#: Bytes of the array with which the bandwidth is measured: more than caches hold.
COPIED = 1 << 26


@dataclass(frozen=True, slots=True)
class ProfiledStep:
    """A step of a plan, measured.

    Attributes
    ----------
    what : str
        The operations that it does.
    lines : str
        The user's lines that they come from.
    seconds : float
        The median of all runs.
    share : float
        Of the time of all steps.
    bytes : int
        How many it reads and writes: each array that goes in or out, once.
    bandwidth : float
        Bytes a second, as a share of those that this machine copies.
    """

    what: str
    lines: str
    seconds: float
    share: float
    bytes: int
    bandwidth: float

    @property
    def gigabytes_per_second(self) -> float:
        """How fast it reads and writes."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What ``jit(f).profile`` returns; it prints as a table.

    Attributes
    ----------
    steps : list of ProfiledStep
        In order of execution.
    problem : str
        Why there are none: the function is run without compiling.
    runs : int
        How often the plan was run.
    """

    steps: list[ProfiledStep]
    problem: str = ""
    runs: int = 0

    @property
    def seconds(self) -> float:
        """The time of all steps together."""
        return sum(step.seconds for step in self.steps)

    def __str__(self) -> str:
        if self.problem:
            return f"run without compiling: {self.problem}"
        rows = [("step", "time", "share", "bytes", "GB/s", "of copy", "lines")]
        for s in self.steps:
            fast, share = f"{s.gigabytes_per_second:.1f}", f"{s.bandwidth:.0%}"
            moved = (_amount(s.bytes, "B"), fast, share) if s.bytes else ("", "", "")
            rows.append((s.what, _amount(s.seconds, "s"), f"{s.share:.0%}", *moved, s.lines))
        rows.append(
            ("all", _amount(self.seconds, "s"), "", "", "", "", f"median of {self.runs} runs")
        )
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join(_row(row, widths) for row in rows)

    __repr__ = __str__


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, last = (
        text.ljust(width) if i in (0, len(row) - 1) else text.rjust(width)
        for i, (text, width) in enumerate(zip(row, widths))
    )
    return "  ".join([first, *numbers, last]).rstrip()


def _amount(value: float, unit: str) -> str:
    """Return an amount with three digits.

    >>> _amount(0.0000123, "s"), _amount(2_500_000, "B"), _amount(0, "B")
    ('12.3 us', '2.50 MB', '0.00 B')
    """
    power = math.floor(math.log10(value) / 3 + 1e-12) if value > 0 else 0
    scaled = value / 1000.0**power
    digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
    prefix = {-3: "n", -2: "u", -1: "m", 1: "k", 2: "M", 3: "G"}.get(power, "")
    return f"{scaled:.{digits}f} {prefix}{unit}"


def profile_of(plan: Plan, inputs: Sequence[Any]) -> Profile:
    """Run a plan several times on copies of its inputs, and measure its steps."""
    function, order, marks = _with_a_clock(plan)
    times: list[list[float]] = [[] for _ in order]
    began = time.perf_counter()
    runs = -1  # the first warms up
    while runs < FEWEST or (runs < MOST and time.perf_counter() - began < SECONDS):
        given = [copy_as_it_lies(value) for value in inputs]
        marks.clear()
        function(*given)
        marks.append(time.perf_counter())
        runs += 1
        if runs:
            for spent, start, end in zip(times, marks, marks[1:]):
                spent.append(end - start)
    seconds = [statistics.median(spent) if spent else 0.0 for spent in times]
    total, lines, speed = sum(seconds) or 1.0, Lines(), copy_bandwidth()
    steps = []
    for number, took in zip(order, seconds):
        part = plan.parts[number]
        moved = _bytes_moved(part)
        share = moved / took / speed if took else 0.0
        what = operations_of(part.entries) or ("results" if number else "guards")
        where = lines.of_all(part.entries)
        steps.append(ProfiledStep(what, where, took, took / total, moved, share))
    return Profile(steps, "", runs)


def _with_a_clock(plan: Plan) -> tuple[Any, list[int], list[float]]:
    """Return the function of a plan that notes the time before each of its parts, and their order."""
    tree = ast.parse(plan.source)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    starts = [part.line for part in plan.parts]
    mark = ast.parse("_mark()").body[0]
    body: list[ast.stmt] = []
    order: list[int] = []
    for statement in function.body:
        # Of parts without lines, which begin where the next one does, it is the last.
        number = bisect.bisect_right(starts, statement.lineno - 2) - 1
        if not order or order[-1] != number:
            order.append(number)
            body.append(mark)
        body.append(statement)
    function.body = body
    marks: list[float] = []
    space = {**plan.run.__globals__, "_mark": lambda: marks.append(time.perf_counter())}
    exec(compile(ast.fix_missing_locations(tree), "<tapegrad profile>", "exec"), space)
    return space[function.name], order, marks


def _bytes_moved(part: Part) -> int:
    """Return the bytes of what goes into a step and comes out; a view moves none."""
    if all(entry.primitive.view for entry in part.entries):
        return 0
    own = set(part.entries)
    into = {o for e in part.entries for o in e.operands if type(o) is Node and o not in own}
    moved = [n for n in (*into, *part.made) if not getattr(n.primitive, "multiple", False)]
    return sum(math.prod(n.shape) * n.dtype.itemsize for n in moved)


@cache
def copy_bandwidth() -> float:
    """Return how many bytes a second this machine reads and writes when it copies, on all threads."""
    source, target = np.zeros(COPIED, np.uint8), np.ones(COPIED, np.uint8)
    cuts = np.linspace(0, COPIED, pool.count + 1).astype(int)
    parts = [slice(*ends) for ends in itertools.pairwise(cuts)]
    copies = [partial(np.copyto, target[part], source[part]) for part in parts]
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        pool.share(copies, pool.count)
        best = min(best, time.perf_counter() - began)
    return 2 * COPIED / best
