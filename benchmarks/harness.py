"""Times calls fairly, and prints tables and goals.

A suite is a module with a function ``run(options) -> Report``. `measure` takes the contestants in
turns, round after round, so that all of them see the same state of the machine, and gives the
median and the best of each. A contestant whose library is missing is shown as "not installed".
"""

import gc
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PEERS = ["tapegrad", "numpy", "numba", "mygrad", "autograd", "jax", "torch"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    quick: bool = False
    rows: str = ""

    @property
    def rounds(self) -> int:
        """How many samples of each contestant are taken."""
        return 5 if self.quick else 21

    def wants(self, name: str) -> bool:
        """Tell whether the row `name` is to be measured."""
        return self.rows.lower() in name.lower()


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of a table: `prepare` gets the input and returns the call to be timed."""

    name: str
    requires: tuple[str, ...]
    prepare: Callable[..., Callable[[], Any]]

    def missing(self) -> bool:
        """Tell whether a library that it needs is not installed."""
        return any(find_spec(name) is None for name in self.requires)


class Timing(NamedTuple):
    """Seconds per call: the median of the samples, and the best, which load hurts least."""

    median: float
    best: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise, the measured number, and the bound; a number of None was not measured."""

    text: str
    measured: float | None
    bound: float | None
    unit: str

    def verdict(self) -> str:
        """Return met, missed or not measured."""
        if self.measured is None or self.bound is None:
            return "not measured"
        return "met" if self.measured <= self.bound else "missed"


@dataclass(slots=True)
class Table:
    """A title, a head and rows of text."""

    title: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What a suite found."""

    tables: list[Table] = field(default_factory=list)
    goals: dict[str, list[Goal]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: Files that keep what was found, by name.
    files: dict[str, str] = field(default_factory=dict)


def _time_calls(call: Callable[[], Any], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count


def _calls_per_sample(call: Callable[[], Any], seconds: float = 0.004) -> int:
    count = 1
    call()  # the first call may compile
    call()
    while True:
        took = _time_calls(call, count) * count
        if took >= seconds / 2 or count > 1_000_000:
            return max(1, round(count * seconds / max(took, 1e-9)))
        count *= 4


def measure(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    """Return the seconds per call of each of `calls`, taken in turns.

    A sample repeats the call for about four milliseconds, after one call that is not timed. The
    short sleep lets the worker threads of the contestant before come to rest.
    """
    counts = {name: _calls_per_sample(call) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.freeze()  # what the imports of all peers left behind is not scanned at everyone's expense
    try:
        for turn in range(rounds):
            names = list(calls)
            shift = turn % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                time.sleep(0.005)
                calls[name]()
                samples[name].append(_time_calls(calls[name], counts[name]))
    finally:
        gc.unfreeze()
    return {name: Timing(median(values), min(values)) for name, values in samples.items()}


def machine() -> list[str]:
    """Return lines that say where and when the numbers were measured."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    versions = []
    for name in PEERS:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} not installed")
    return [
        f"{date.today().isoformat()}, {processor}, {cores} cores, {platform.system()},"
        f" Python {platform.python_version()}, load average {os.getloadavg()[0]:.2f} before",
        ", ".join(versions),
    ]


def _text_table(table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    lines = [table.title]
    for row in [table.head, *table.rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "   ".join(cells).rstrip())
    return lines


def _markdown_table(table: Table) -> list[str]:
    rule = ["---"] + ["---:"] * (len(table.head) - 1)
    rows = [table.head, rule, *table.rows]
    return [table.title + ":", "", *("| " + " | ".join(row) + " |" for row in rows)]


def _goal_table(title: str, goals: Sequence[Goal]) -> Table:
    table = Table(title, ["goal", "measured", "bound", "verdict"])
    for goal in goals:
        numbers = [
            "-" if value is None else f"{value:,.4g} {goal.unit}".rstrip()
            for value in (goal.measured, goal.bound)
        ]
        table.rows.append([goal.text, *numbers, goal.verdict()])
    return table


def render(name: str, report: Report, *, markdown: bool) -> str:
    """Return the report of the suite `name` as plain text or as Markdown."""
    lines = [f"## {name}" if markdown else f"== {name}", ""]
    tables = [*report.tables, *(_goal_table(*item) for item in report.goals.items())]
    for table in tables:
        lines += [*(_markdown_table(table) if markdown else _text_table(table)), ""]
    for note in report.notes:
        lines += [note, ""]
    return "\n".join(lines)
