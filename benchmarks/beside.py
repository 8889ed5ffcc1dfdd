"""Programs beside JAX: each side in processes of its own, in turns, and what is measured of them.

A *program* is a function in plain NumPy with data to call it with. Of a derivative of it, compiled,
these are measured on both sides:

- *cold*: the first call, libraries imported, nothing on disk;
- *from disk*: the first call of a second process, which finds what an earlier one has compiled;
- the median of later calls;
- *new shape*: the first call with arguments of another size;
- *peak*: memory at the peak of the calls above the level before the first.

Threads of one library that wait in a spin make the other's products of matrices ten times as slow:
so no process sees both. The results are compared before anything is said of speed.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.harness import Goal, Options, Report, Table
from benchmarks.picture import bars

Derivative = Callable[[Any, Callable[..., Any]], Callable[..., Any]]
SIDES = ("tapegrad", "jax")
ROOT = Path(__file__).resolve().parents[1]
#: Where the numbers that `docs/benchmarks.md` shows are kept: ``--store docs/measured``.
RECORD = ROOT / "docs" / "measured"
#: Seconds after which a process is given up.
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class ValueAndGrad:
    """Differentiates by one argument or by several; the words of both libraries are the same."""

    argnums: tuple[int, ...]

    def __call__(self, library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        by = self.argnums if len(self.argnums) > 1 else self.argnums[0]
        return library.value_and_grad(function, argnums=by)


def value_and_grad(*argnums: int) -> ValueAndGrad:
    """Return the derivative that most programs are asked for."""
    return ValueAndGrad(argnums)


def hessian(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Differentiate twice."""
    return library.hessian(function)


def derivative_free(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile the function as it is."""
    return function


@dataclass(frozen=True, slots=True)
class Program:
    """A function, and data for it: of the size that is measured, another size, and a small one."""

    name: str
    function: Callable[..., Any]
    data: Callable[..., tuple[Any, ...]]
    size: tuple[Any, ...]
    other: tuple[Any, ...]
    small: tuple[Any, ...]
    derivative: Derivative = ValueAndGrad((0,))
    #: Whether JAX can run the text as it stands, and how it is written for it otherwise, or besides.
    portable: bool = True
    in_jax: tuple[str, ...] = ()
    #: The function of `in_jax` that computes the derivative, where JAX is told that in another way.
    derived_in_jax: str = ""
    #: Whether the derivative compiles without being asked.
    compiles: bool = False
    #: The rows of a group count once in the means.
    group: str = ""
    #: Whether the function itself is measured, too.
    primal: bool = False
    #: Whether the results of both sides are the same arrays.
    comparable: bool = True


@dataclass(slots=True)
class Row:
    """What was found for one program: medians over the rounds, for each side."""

    name: str
    group: str
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    #: The largest difference of the results, relative to the largest number.
    difference: float = math.nan
    problem: str = ""
    warnings: list[str] = field(default_factory=list)

    def ratio(self, what: str, over: str = "jax", under: str = "tapegrad") -> float:
        """Return a number of one side over that of the other; nan where one is missing."""
        sides = self.numbers
        over_, under_ = (sides.get(side, {}).get(what, math.nan) for side in (over, under))
        return over_ / under_ if under_ > 0 else math.nan


def _environment(folder: str) -> dict[str, str]:
    """Return the environment in which both libraries keep what they compile in a folder, or nowhere.

    Python keeps its byte code, as it does by itself: otherwise what is imported during a first call
    would be compiled by Python each time.
    """
    unwanted = ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
    environment = {k: v for k, v in os.environ.items() if k not in unwanted}
    environment["TAPEGRAD_CACHE_DIR"] = folder
    if folder:
        environment["JAX_COMPILATION_CACHE_DIR"] = folder
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        environment["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return environment


class Failed(Exception):
    """A process that ended with an error, whose last line this is."""


def _run_side(suite: str, name: str, side: str, much: str, seconds: float, folder: str = "") -> Any:
    """Return the numbers and the results of one process."""
    with TemporaryDirectory() as scratch:
        file = os.path.join(scratch, "results.npz")
        command = [sys.executable, "-m", "benchmarks.side", suite, name, side, much, str(seconds)]
        try:
            done = subprocess.run(
                [*command, file],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
                cwd=ROOT,
                env=_environment(folder),
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"no end after {PATIENCE:.0f} seconds") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise Failed(lines[-1][:200])
        with np.load(file) as stored:
            results = [stored[key] for key in stored.files]
        return json.loads(done.stdout.splitlines()[-1]), results


def difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Return the largest difference of two lists of arrays, relative to the largest number of each."""
    if [np.shape(a) for a in ours] != [np.shape(b) for b in theirs]:
        return math.inf
    worst = 0.0
    for a, b in zip(ours, theirs):
        if np.size(b):
            scale = float(np.max(np.abs(b))) or 1.0
            worst = max(worst, float(np.max(np.abs(np.subtract(a, b, dtype=np.float64)))) / scale)
    return worst


def tolerance(results: Sequence[Any]) -> float:
    """Return how far two sides may differ: sums of many float32 are less exact."""
    single = any(a.dtype == np.float32 for a in results)
    return 2e-3 if single else 1e-8


def measure_program(suite: str, program: Program, options: Options) -> Row:
    """Measure one program on both sides, in turns."""
    row = Row(program.name, program.group)
    rounds, seconds = (1, 0.3) if options.quick else (3, 1.0)
    sides = [side for side in SIDES if find_spec(side) is not None]
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    results: dict[str, list[Any]] = {}
    try:
        for _ in range(rounds):
            for side in sides:
                numbers, results[side] = _run_side(suite, program.name, side, "all", seconds)
                found[side].append(numbers)
        for side in sides:
            with TemporaryDirectory() as folder:
                for _ in range(2):
                    numbers, _ = _run_side(suite, program.name, side, "first", 0.0, folder)
            row.numbers[side] = {"disk": numbers["first"], "peak from disk": numbers["peak"]}
    except Failed as error:
        row.problem = f"{side}: {error}"
        return row
    for side, rounds_of_side in found.items():
        for what, value in rounds_of_side[0].items():
            if isinstance(value, float):
                row.numbers[side][what] = median(numbers[what] for numbers in rounds_of_side)
    row.counts, row.warnings = (found["tapegrad"][-1][what] for what in ("counts", "warnings"))
    if len(results) == 2 and program.comparable:
        row.difference = difference(*(results[side] for side in SIDES))
        if row.difference > tolerance(results["tapegrad"]):
            row.problem = f"the results differ by {row.difference:.1e}"
    return row


def measured_rows(suite: str, programs: Iterable[Program], options: Options) -> list[Row]:
    """Measure the programs that are wanted; a line for each says on stderr how it goes."""
    rows = []
    for program in programs:
        if options.wants(program.name):
            row = measure_program(suite, program, options)
            said = row.problem or f"jax / tapegrad {row.ratio('median'):.2f}"
            print(f"{suite}, {row.name}: {said}", *row.warnings, file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def geometric_mean(rows: Iterable[Row], of: Callable[[Row], float]) -> float:
    """Return the mean over rows in which a group counts once and what is not known does not count."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        value = of(row)
        if value > 0:
            groups.setdefault(row.group or row.name, []).append(math.log(value))
    logs = [sum(values) / len(values) for values in groups.values()]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def shown(value: float, unit: float = 1.0) -> str:
    """Return a number with about three digits, in a unit."""
    value /= unit
    if not math.isfinite(value):
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def _pair(row: Row, what: str, unit: float = 1.0) -> str:
    return ", ".join(shown(row.numbers.get(s, {}).get(what, math.nan), unit) for s in SIDES)


HEAD = [
    "tapegrad, jax",
    "median, us",
    "jax / tapegrad",
    "cold, s",
    "from disk, s",
    "new shape, ms",
    "peak, MB",
    "peak from disk, MB",
]


def table_of(title: str, rows: Iterable[Row]) -> Table:
    """Return the table of all that was measured."""
    table = Table(title, HEAD)
    for row in rows:
        if row.problem and not row.numbers:
            table.rows.append([row.name, "failed", *["-"] * (len(HEAD) - 2)])
            continue
        table.rows.append(
            [
                row.name,
                _pair(row, "median", 1e-6),
                shown(row.ratio("median")),
                _pair(row, "first"),
                _pair(row, "disk"),
                _pair(row, "shape", 1e-3),
                _pair(row, "peak"),
                _pair(row, "peak from disk"),
            ]
        )
    return table


def means_of(rows: Sequence[Row]) -> dict[str, float]:
    """Return the geometric means of the ratios, tapegrad over jax but for the first."""

    def mean(what: str) -> float:
        return geometric_mean(rows, lambda row: 1 / row.ratio(what))

    def from_disk(row: Row) -> float:
        cold = row.numbers.get("jax", {}).get("first", math.nan)
        return row.numbers.get("tapegrad", {}).get("disk", math.nan) / cold

    return {
        "jax / tapegrad, later calls": geometric_mean(rows, lambda row: row.ratio("median")),
        "tapegrad / jax, cold": mean("first"),
        "tapegrad / jax, both from disk": mean("disk"),
        "tapegrad from disk / jax cold": geometric_mean(rows, from_disk),
        "tapegrad / jax, new shape": mean("shape"),
        "tapegrad / jax, peak from disk": mean("peak from disk"),
    }


def notes_of(rows: Iterable[Row]) -> list[str]:
    """Return what went wrong, and which programs run as they are."""
    notes = []
    for row in rows:
        if row.problem:
            notes.append(f"{row.name}: {row.problem}.")
        notes += [f"{row.name}: {text}." for text in row.warnings]
        if row.counts.get("kernels_for_shape"):
            notes.append(f"{row.name}: the new shape compiled {row.counts['kernels_for_shape']}.")
    return notes


def measured(suite: str, programs: Iterable[Program], options: Options) -> Report:
    """Measure programs and report all that was found."""
    return report_of(suite, measured_rows(suite, programs, options))


def report_of(suite: str, rows: Sequence[Row]) -> Report:
    """Return tables, means, goals, the picture and the rows themselves."""
    means = means_of(rows)
    table = Table("Geometric means", ["of the ratios", suite])
    table.rows = [[text, shown(value)] for text, value in means.items()]
    ratios = {row.name: row.ratio("median") for row in rows}
    ratios["geometric mean"] = means["jax / tapegrad, later calls"]
    return Report(
        [table_of("Value and gradient, beside JAX", rows), table],
        goals_of(rows, means),
        notes_of(rows),
        stored(suite, rows, bars(f"{suite}: JAX's time over tapegrad's, later calls", ratios)),
    )


def goals_of(rows: Sequence[Row], means: Mapping[str, float]) -> dict[str, list[Goal]]:
    """Return what is asked of the numbers of a suite as a whole, and of its slowest row."""
    bounds = {
        "tapegrad / jax, cold": 1.0,
        "tapegrad from disk / jax cold": 0.5,
        "tapegrad / jax, new shape": 0.1,
        "tapegrad / jax, peak from disk": 1.0,
    }
    slowest = min(rows, key=lambda row: row.ratio("median"), default=None)
    goals = [Goal(f"{text}, geometric mean", means[text], b, "") for text, b in bounds.items()]
    mean = 1 / means["jax / tapegrad, later calls"]
    goals.insert(0, Goal("tapegrad / jax, later calls, geometric mean", mean, 1 / 3.5, ""))
    if slowest is not None:
        text = f"tapegrad / jax, the slowest row ({slowest.name})"
        goals.insert(1, Goal(text, 1 / slowest.ratio("median"), 1 / 1.2, ""))
    return {"Goals": [goal for goal in goals if math.isfinite(goal.measured or 0.0)]}


def mean_on_record(suite: str, folder: Path = RECORD) -> float:
    """Return the mean of a suite that was stored with the docs, jax / tapegrad; nan if there is none."""
    file = folder / f"{suite}.json"
    if not file.exists():
        return math.nan
    rows = [Row(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    return geometric_mean(rows, lambda row: row.ratio("median"))


def stored(suite: str, rows: Iterable[Row], picture: str) -> dict[str, str]:
    """Return the files that keep the rows and their picture."""
    text = json.dumps([asdict(row) for row in rows], indent=1)
    return {f"{suite}.json": text + "\n", f"{suite}.svg": picture}
