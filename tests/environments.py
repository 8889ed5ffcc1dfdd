"""Runs the tests in each environment that can be made here; ``make environments``.

For every Python found that the project supports (on the path, in pyenv's folder, or named), two virtual
environments are made: with the newest NumPy and Numba that can be installed, and with the oldest that
``pyproject.toml`` declares and that exist for this Python.

    python tests/environments.py                            # all, the whole suite
    python tests/environments.py --python 3.12 --kind oldest -- tests/tape -x
    python tests/environments.py --flags=-OO --kind newest  # without asserts and docstrings

It prints what it ran as a table for ``docs/environments.md``; logs are in ``build/environments``.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOGS = ROOT / "build" / "environments"
BOUND = re.compile(r"([a-z]+)>=([0-9.]+)")

Version = tuple[int, ...]


class Outcome(NamedTuple):
    """One row of the table."""

    python: str
    numpy: str
    numba: str
    ran: str
    seen: str
    passed: bool


def version(text: str) -> Version:
    """Return a version as numbers that compare."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", text))


def output_of(*command: str | Path) -> str:
    """Return what a command prints; nothing if it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def pythons(wanted: list[str]) -> dict[str, Path]:
    """Return the newest interpreter of each minor version that the project supports."""
    places = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    places += Path.home().glob(".pyenv/versions/*/bin")
    oldest = version(PROJECT["requires-python"])
    found: dict[str, tuple[Version, Path]] = {}
    for place in places:
        for path in sorted(place.glob("python3.[0-9]*")):
            if not re.fullmatch(r"python3\.[0-9]+", path.name):
                continue
            ask = "import platform, venv, ensurepip; print(platform.python_version())"
            text = output_of(path, "-c", ask)
            if not text or version(text) < oldest or not re.fullmatch(r"[0-9.]+", text):
                continue
            minor = ".".join(text.split(".")[:2])
            if minor not in found or version(text) > found[minor][0]:
                found[minor] = version(text), path
    chosen = {minor: path for minor, (_, path) in found.items() if not wanted or minor in wanted}
    return dict(sorted(chosen.items(), key=lambda item: version(item[0])))


def oldest_pins(python: Path) -> list[list[str]]:
    """Return, for each dependency, requirements from the oldest on that may exist for this Python."""
    choices = []
    for requirement in PROJECT["dependencies"]:
        match = BOUND.fullmatch(requirement)
        assert match is not None, f"{requirement} has no lower bound"
        name, bound = match.groups()
        listed = output_of(python, "-m", "pip", "index", "versions", name)
        texts = re.findall(
            r"(?<![\w.])[0-9]+(?:\.[0-9]+)+(?![\w.])", listed.partition("versions:")[2]
        )
        known = sorted({text for text in texts if version(text) >= version(bound)}, key=version)
        choices.append([f"{name}=={text}" for text in known])
    return choices


def install(python: Path, kind: str) -> bool:
    """Install the project with its test tools, and the dependencies of this kind."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", "numpy,numba,llvmlite"]
    project = ["--editable", f"{ROOT}[test]"]
    if kind == "newest":
        return subprocess.run([*pip, "--upgrade", *project], check=False).returncode == 0
    numpys, numbas = oldest_pins(python)
    for numba in numbas[:6]:  # the oldest Numba decides: it takes some NumPys only
        for numpy in numpys[:12]:
            done = subprocess.run([*pip, numpy, numba, *project], capture_output=True, check=False)
            if done.returncode == 0:
                return True
    return False


def run(minor: str, base: Path, kind: str, flags: list[str], arguments: list[str]) -> Outcome:
    """Make an environment if it is not there, and run the tests in it."""
    name = f"{minor}-{kind}"
    folder = ROOT / ".venv-environments" / name
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"making {folder}", flush=True)
        subprocess.run([str(base), "-m", "venv", "--clear", str(folder)], check=True)
        if not install(python, kind):
            return Outcome(minor, kind, kind, "nothing", "could not be installed", False)
        (folder / "complete").touch()
    ask = "import platform, numpy, numba; "
    ask += "print(platform.python_version(), numpy.__version__, numba.__version__)"
    versions = output_of(python, "-c", ask).split() or [minor, "not importable", "not importable"]
    command = [str(python), *flags, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}{''.join(flags)}.log"
    print(f"{name}: {' '.join(command[1:])} > {log.relative_to(ROOT)}", flush=True)
    began = time.monotonic()
    with log.open("w") as file:
        code = subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, check=False).returncode
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
    seen = re.sub(r" in [0-9.]+s.*", "", lines[-1].strip("= "))
    ran = " ".join([*flags, *(arguments or ["all tests"])])
    minutes = (time.monotonic() - began) / 60
    return Outcome(*versions, ran, f"{seen}; {minutes:.0f} min", code == 0)


def main(arguments: list[str]) -> int:
    """Run what the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", action="append", default=[], metavar="3.12")
    parser.add_argument("--kind", choices=["newest", "oldest"], action="append")
    parser.add_argument("--flags", default="", help="of the interpreter, as --flags=-OO")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    chosen = parser.parse_args(arguments)
    found = pythons(chosen.python)
    if not found:
        print("no Python was found that the project supports")
        return 2
    outcomes = [
        run(minor, path, kind, chosen.flags.split(), chosen.pytest)
        for kind in chosen.kind or ["newest", "oldest"]
        for minor, path in found.items()
    ]
    print("\n| Python | NumPy | Numba | run | seen |\n| --- | --- | --- | --- | --- |")
    for row in outcomes:
        print(f"| {row.python} | {row.numpy} | {row.numba} | {row.ran} | {row.seen} |")
    return 0 if all(row.passed for row in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
