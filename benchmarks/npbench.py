"""Eight programs of the NPBench collection beside JAX; what is measured, and how, says `beside`."""

import math

from benchmarks.beside import (
    Program,
    mean_on_record,
    means_of,
    measured_rows,
    report_of,
    value_and_grad,
)
from benchmarks.harness import Goal, Options, Report
from benchmarks.programs import npbench as n

PROGRAMS = [
    Program("atax", n.atax, n.atax_data, (1800, 2200), (1700, 2200), (7, 5), value_and_grad(0, 1)),
    Program(
        "gemver",
        n.gemver,
        n.gemver_data,
        (1500,),
        (1400,),
        (6,),
        value_and_grad(*range(7)),
    ),
    Program("correlation", n.correlation, n.matrix_data, (1000, 500), (900, 500), (9, 4)),
    Program(
        "arc distance",
        n.arc_distance,
        n.arc_distance_data,
        (1_000_000,),
        (900_000,),
        (8,),
        value_and_grad(0, 1, 2, 3),
    ),
    Program(
        "heat_3d",
        n.heat_3d,
        n.block_data,
        (50,),
        (48,),
        (6,),
        portable=False,
        in_jax=("heat_3d",),
    ),
    Program(
        "horizontal diffusion",
        n.horizontal_diffusion,
        n.horizontal_diffusion_data,
        (128, 128, 60),
        (120, 128, 60),
        (4, 5, 3),
        value_and_grad(0, 1),
    ),
    Program(
        "convolution, pixel by pixel",
        n.convolution,
        n.convolution_data,
        (8, 16, 3, 16, 3),
        (7, 16, 3, 16, 3),
        (2, 4, 2, 3, 2),
        value_and_grad(0, 1, 2),
        portable=False,
        in_jax=("convolution", "convolution_of_library"),
    ),
    Program(
        "n-body",
        n.n_body,
        n.n_body_data,
        (200,),
        (180,),
        (5,),
        value_and_grad(0, 1),
        in_jax=("n_body",),
    ),
]


def run(options: Options) -> Report:
    """Measure the programs, and hold their mean against that of the workloads on record."""
    rows = measured_rows("npbench", PROGRAMS, options)
    report = report_of("npbench", rows)
    mean, record = means_of(rows)["jax / tapegrad, later calls"], mean_on_record("workloads")
    if math.isfinite(record):
        text = f"two thirds of the mean of the workloads ({record:.2f}), over the mean"
        report.goals["Beside the first suite"] = [Goal(text, record / 1.5 / mean, 1.0, "")]
    return report
