"""Runs the long tests in slices, each in a process of its own, so that memory stays bounded.

    python tests/deep.py                  # all slices; `make deep`
    python tests/deep.py --only 3         # the third slice alone
    python tests/deep.py --slices 24 -- -x

Each slice has every n-th of the tests marked `deep`, and of those whose examples are drawn, with new
examples. At the end it prints what each slice gave, how long it took and how much memory. What fails is
kept in ``.hypothesis``; ``make explore`` tries it again.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "deep"


def run(number: int, count: int, arguments: list[str]) -> tuple[str, bool]:
    """Run one slice; return a line about it, and whether it passed."""
    command = [sys.executable, "-m", "pytest", "-q", "--deep", "-m", "deep or hypothesis"]
    command += ["--slice", f"{number}/{count}", *arguments]
    log = LOGS / f"{number:02}.log"
    began = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
    seen = re.sub(r" in [0-9.]+s.*", "", lines[-1].strip("= "))
    unit = 1 << 30 if sys.platform == "darwin" else 1 << 20
    minutes, memory = (time.monotonic() - began) / 60, usage.ru_maxrss / unit
    processor = (usage.ru_utime + usage.ru_stime) / 60
    text = f"{number}/{count}: {seen}; {minutes:.1f} min, of a processor {processor:.1f}"
    return f"{text}; {memory:.1f} GiB", process.returncode in (0, 5)  # 5: an empty slice


def main(arguments: list[str]) -> int:
    """Run what the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--only", type=int, action="append", help="the number of a slice")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    chosen = parser.parse_args(arguments)
    LOGS.mkdir(parents=True, exist_ok=True)
    passed = True
    for number in chosen.only or range(1, chosen.slices + 1):
        line, good = run(number, chosen.slices, chosen.pytest)
        print(line, flush=True)
        passed = passed and good
    if not passed:
        print(f"FAILED: see {LOGS.relative_to(ROOT)}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
