"""Draws what ``python -m benchmarks --store`` measured: a page of pictures, made with the site."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib
from reference import put

matplotlib.use("svg")
from matplotlib import pyplot

__all__ = ["write"]

Rows = list[dict[str, Any]]

#: What is measured, what it is called, and the factor to the unit that is drawn.
KINDS = {
    "median": ("a call, compiled", "ms", 1e3),
    "first": ("the first call, nothing on disk", "s", 1.0),
    "disk": ("the first call, kernels on disk", "s", 1.0),
    "shape": ("the first call with another size", "s", 1.0),
    "peak": ("memory at the peak", "MB", 1.0),
}
SUITES = {
    "workloads": "Sixteen workloads",
    "npbench": "Programs of NPBench",
    "gradbench": "Programs of the literature",
    "orders": "Higher derivatives",
}
OURS, THEIRS = "#3572b0", "#d9822b"


def write(measured: Path, folder: Path) -> None:
    """Write the page, and its pictures."""
    lines = [
        "# Benchmarks in pictures",
        "",
        "Drawn from the numbers in `docs/measured`, which [the benchmarks](../benchmarks.md) explain:",
        "two cores, float64, JAX's arrays on JAX's side. The axes are logarithmic; to the left is",
        "better.",
        "",
    ]
    for suite, title in SUITES.items():
        path = measured / f"{suite}.json"
        if not path.exists():
            continue
        rows = json.loads(path.read_text(encoding="utf-8"))
        lines += [f"## {title}", ""]
        for kind, (what, unit, factor) in KINDS.items():
            shown = [row for row in rows if all(known(row, side, kind) for side in row["numbers"])]
            if not shown:
                continue
            picture = folder / "pictures" / f"{suite}_{kind}.svg"
            draw(shown, kind, f"{what} ({unit})", factor, picture)
            ratio = mean_ratio(shown, kind)
            lines += [
                f"![{title}: {what}](pictures/{picture.name})",
                "",
                f"{what.capitalize()}: JAX takes {ratio:.2f} times as much as tapegrad, in the "
                f"geometric mean of {len(shown)} rows.",
                "",
            ]
    put(folder / "benchmark_pictures.md", "\n".join(lines))


def known(row: dict[str, Any], side: str, kind: str) -> bool:
    """Whether a number was measured."""
    value = row["numbers"][side].get(kind)
    return isinstance(value, int | float) and 0 < value < math.inf


def mean_ratio(rows: Rows, kind: str) -> float:
    """Return the geometric mean of JAX's numbers over ours."""
    logs = [math.log(r["numbers"]["jax"][kind] / r["numbers"]["tapegrad"][kind]) for r in rows]
    return math.exp(sum(logs) / len(logs))


def draw(rows: Rows, kind: str, label: str, factor: float, path: Path) -> None:
    """Draw one kind of number as two dots for each row, with a line between them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [row["name"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(8, 1.1 + 0.32 * len(rows)), layout="constrained")
    sides = {
        side: [row["numbers"][side][kind] * factor for row in rows] for side in ("tapegrad", "jax")
    }
    axes.hlines(range(len(rows)), sides["tapegrad"], sides["jax"], color="#b0b0b0", zorder=1)
    for side, colour in (("jax", THEIRS), ("tapegrad", OURS)):
        axes.scatter(sides[side], range(len(rows)), 42, color=colour, label=side, zorder=2)
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
