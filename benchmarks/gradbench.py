"""Programs of the literature of automatic differentiation: function, derivative, and their ratio.

The programs are those of ``examples/gallery``, a derivative is what the literature asks of each: a
gradient, a sparse jacobian, Newton's direction, a jacobian of 26 columns. All is compiled on both sides.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.beside import (
    Program,
    Row,
    derivative_free,
    measured_rows,
    notes_of,
    shown,
    stored,
    value_and_grad,
)
from benchmarks.harness import Goal, Options, Report, Table
from benchmarks.picture import bars
from examples.gallery import (
    bundle_adjustment,
    cofactors,
    gaussian_mixture,
    hand,
    k_means,
    least_squares,
    log_sum_exp,
    lstm,
    particle,
    runge_kutta,
    saddle_point,
)


def _sparse_jacobian(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    return library.sparse_jacobian(function, (0, 1, 2), triple=True, compiled=True)


def _jacobian(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    return library.jacfwd(function)


PROGRAMS = [
    Program(
        "logsumexp",
        log_sum_exp.log_sum_exp,
        log_sum_exp.data,
        (1_000_000,),
        (900_000,),
        (9,),
        primal=True,
    ),
    Program(
        "least squares",
        least_squares.half_squares,
        least_squares.data,
        (2048, 128),
        (2000, 128),
        (12, 5),
        primal=True,
    ),
    Program(
        "k-means, Newton's direction",
        k_means.cost,
        k_means.data,
        (5000, 16, 40),
        (4500, 16, 40),
        (30, 3, 4),
        k_means.newton_direction,
        primal=True,
    ),
    Program(
        "Gaussian mixture",
        gaussian_mixture.log_posterior,
        gaussian_mixture.data,
        (1000, 10, 25),
        (900, 10, 25),
        (12, 3, 4),
        value_and_grad(0, 1, 2),
        primal=True,
    ),
    Program(
        "bundle adjustment, sparse jacobian",
        bundle_adjustment.residuals,
        bundle_adjustment.data,
        (49, 7776, 31_843),
        (49, 7776, 30_000),
        (3, 7, 20),
        _sparse_jacobian,
        derived_in_jax="bundle_adjustment_blocks",
        compiles=True,
        primal=True,
        comparable=False,
    ),
    Program(
        "LSTM, 1,024 steps",
        lstm.loss,
        lstm.data,
        (1024, 2, 14),
        (1000, 2, 14),
        (6, 2, 4),
        value_and_grad(0, 1),
        portable=False,
        in_jax=("lstm",),
        primal=True,
    ),
    Program(
        "LSTM, 64 steps",
        lstm.loss,
        lstm.data,
        (64, 2, 14),
        (60, 2, 14),
        (5, 2, 4),
        value_and_grad(0, 1),
        portable=False,
        in_jax=("lstm",),
        primal=True,
    ),
    Program(
        "hand, 26 columns",
        hand.residuals,
        hand.data,
        (500,),
        (450,),
        (6,),
        _jacobian,
        primal=True,
    ),
    Program(
        "Runge-Kutta",
        runge_kutta.last_amounts,
        runge_kutta.data,
        (1000,),
        (900,),
        (8,),
        portable=False,  # unrolled, it takes JAX minutes to compile
        in_jax=("runge_kutta",),
        primal=True,
    ),
    Program(
        "determinant by cofactors, 6x6",
        cofactors.determinant,
        cofactors.data,
        (6,),
        (5,),
        (3,),
        primal=True,
    ),
    Program(
        "saddle point",
        saddle_point.played,
        saddle_point.data,
        (10,),
        (12,),
        (3,),
        derivative_free,
    ),
    Program(
        "particle, Newton's step",
        particle.landing,
        particle.data,
        (0.5,),
        (0.25,),
        (0.5,),
        particle.newton,
        primal=True,
    ),
]

#: The best ratios of derivative to function that are on record, of whatever library.
RECORDS = {
    "Gaussian mixture": 2.4,
    "bundle adjustment, sparse jacobian": 7.7,
    "LSTM, 1,024 steps": 2.1,
    "k-means, Newton's direction": 1.45,
    "Runge-Kutta": 2.5,
    "least squares": 1.3,
    "logsumexp": 1.12,
    "determinant by cofactors, 6x6": 2.9,
}
#: How much longer than JAX a program may take; 1 where nothing else is said.
ALLOWED = {"saddle point": 2.0, "particle, Newton's step": 2.0}

HEAD = [
    "microseconds",
    "function",
    "derivative",
    "derivative / function",
    "jax: function",
    "derivative",
    "derivative / function",
    "both, jax / tapegrad",
    "cold, s: tapegrad, jax",
]


def _cells(row: Any, side: str) -> tuple[float, list[str]]:
    """Return the seconds of function and derivative together, and three cells."""
    numbers = row.numbers.get(side, {})
    plain, derived = (numbers.get(what, math.nan) for what in ("primal", "median"))
    both = derived if math.isnan(plain) else plain + derived
    return both, [shown(plain, 1e-6), shown(derived, 1e-6), shown(derived / plain)]


def run(options: Options) -> Report:
    """Measure function and derivative of each program."""
    return report_of(measured_rows("gradbench", PROGRAMS, options))


def report_of(rows: Sequence[Row]) -> Report:
    """Return the table of functions and derivatives, goals, the picture and the rows themselves."""
    table = Table("Function and derivative, compiled, float64", HEAD)
    ratios = {}
    for row in rows:
        ours, mine = _cells(row, "tapegrad")
        jax, theirs = _cells(row, "jax")
        ratios[row.name] = jax / ours
        cold = [row.numbers.get(side, {}).get("first", math.nan) for side in ("tapegrad", "jax")]
        both = ", ".join(map(shown, cold))
        table.rows.append([row.name, *mine, *theirs, shown(jax / ours), both])
    logs = [math.log(ratio) for ratio in ratios.values() if ratio > 0]
    ratios["geometric mean"] = math.exp(sum(logs) / len(logs)) if logs else math.nan
    table.rows.append(["geometric mean", *["-"] * 6, shown(ratios["geometric mean"]), "-"])
    goals = [
        Goal(f"{name}: tapegrad / jax", 1 / ratio, ALLOWED.get(name, 1.0), "")
        for name, ratio in ratios.items()
        if ratio > 0
    ]
    records = [
        Goal(f"{row.name}: derivative / function", ours["median"] / ours["primal"], bound, "")
        for row in rows
        if (bound := RECORDS.get(row.name))
        and "primal" in (ours := row.numbers.get("tapegrad", {}))
    ]
    picture = bars("gradbench: JAX's time over tapegrad's, function and derivative", ratios)
    asked = {"Goals, function and derivative": goals, "Records": records}
    return Report([table], asked, notes_of(rows), stored("gradbench", rows, picture))
