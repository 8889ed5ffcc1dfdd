"""How long ``import tapegrad`` takes in a fresh process, beside ``import numpy`` and the peers."""

import subprocess
import sys
from importlib.util import find_spec

from benchmarks.harness import Goal, Options, Report, Table

PROGRAM = """
import sys, time
began = time.perf_counter()
import {name}
print(time.perf_counter() - began, "numba" in sys.modules)
"""

NAMES = ["numpy", "tapegrad", "autograd", "mygrad", "jax", "torch"]


def _import_once(name: str) -> tuple[float, bool] | None:
    """Return the seconds that the import took and whether it loaded numba; None if it failed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return None
    seconds, numba = done.stdout.split()
    return float(seconds), numba == "True"


def run(options: Options) -> Report:
    """Import each library in fresh processes, in turns, and take the best of each."""
    names = [name for name in NAMES if options.wants(name)]
    best: dict[str, tuple[float, bool]] = {}
    failed = set()
    for _ in range(3 if options.quick else 7):
        for name in names:
            if find_spec(name) is None or name in failed:
                continue
            found = _import_once(name)
            if found is None:
                failed.add(name)
            elif name not in best or found < best[name]:
                best[name] = found

    table = Table("Import in a fresh process, best of several", ["import", "ms", "loads numba"])
    for name in names:
        if name in best:
            seconds, numba = best[name]
            table.rows.append([name, f"{seconds * 1e3:,.0f}", "yes" if numba else "no"])
        else:
            table.rows.append([name, "failed" if name in failed else "not installed", ""])

    extra = loads = None
    if {"numpy", "tapegrad"} <= best.keys():
        extra = (best["tapegrad"][0] - best["numpy"][0]) * 1e3
        loads = float(best["tapegrad"][1])
    goals = [
        Goal("import tapegrad, beyond import numpy", extra, 150.0, "ms"),
        Goal("times that import tapegrad loads numba", loads, 0.0, ""),
    ]
    return Report([table], {"Goals": goals})
