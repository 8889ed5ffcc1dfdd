"""How long ``import tapegrad`` takes in a fresh process, beside ``import numpy`` and the peers.

Python keeps the byte code of what it has imported once. For tapegrad both are measured: with it, and
without, as at the first import of all, from a copy of the sources that has none.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Goal, Options, Report, Table

PROGRAM = """
import sys, time
began = time.perf_counter()
import {name}
print(time.perf_counter() - began, "numba" in sys.modules)
"""

NAMES = ["numpy", "tapegrad", "autograd", "mygrad", "jax", "torch"]
FIRST = "tapegrad, for the first time"
ROOT = Path(__file__).resolve().parents[1]


def _import_once(name: str, folder: Path, *flags: str) -> tuple[float, bool] | None:
    """Return the seconds that the import took and whether it loaded numba; None if it failed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *flags, "-c", PROGRAM.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    if done.returncode:
        return None
    seconds, numba = done.stdout.split()
    return float(seconds), numba == "True"


def _copy_sources(folder: Path) -> None:
    for part in ("tapegrad", "tape", "ops", "compile"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))


def run(options: Options) -> Report:
    """Import each library in fresh processes, in turns, and take the best of each."""
    names = [name for name in NAMES if options.wants(name)]
    if "tapegrad" in names:
        names.insert(names.index("tapegrad") + 1, FIRST)
    best: dict[str, tuple[float, bool]] = {}
    failed = set()
    with TemporaryDirectory() as folder:
        _copy_sources(Path(folder))
        for _ in range(4 if options.quick else 10):  # the first of them writes byte code
            for name in names:
                if name == FIRST:
                    found = _import_once("tapegrad", Path(folder), "-B")
                elif name in failed or find_spec(name) is None:
                    continue
                else:
                    found = _import_once(name, ROOT)
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

    extra, loads = {}, None
    for name in ("tapegrad", FIRST):
        if {"numpy", name} <= best.keys():
            extra[name] = (best[name][0] - best["numpy"][0]) * 1e3
            loads = float(best[name][1])
    goals = [
        Goal("import tapegrad, beyond import numpy", extra.get("tapegrad"), 25.0, "ms"),
        Goal("the same without byte code", extra.get(FIRST), 90.0, "ms"),
        Goal("times that import tapegrad loads numba", loads, 0.0, ""),
    ]
    return Report([table], {"Goals": goals})
