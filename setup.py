"""Lists the packages of tapegrad; everything else about the project is in pyproject.toml.

The folders tape/, ops/ and compile/ stand at the root of the repository and are installed as
tapegrad.tape, tapegrad.ops and tapegrad.compile. Every folder below the four roots that has an
``__init__.py`` is a package, so that a new one needs no entry here.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import setup

HERE = Path(__file__).resolve().parent
ROOTS = {
    "tapegrad": "tapegrad",
    "tapegrad.tape": "tape",
    "tapegrad.ops": "ops",
    "tapegrad.compile": "compile",
}


def find_packages(name: str, folder: str) -> list[str]:
    """Return the package `name` that lives in `folder`, and the packages below it."""
    root = HERE / folder
    inner = (path.parent.relative_to(root) for path in root.rglob("*/__init__.py"))
    return [name, *sorted(".".join((name, *path.parts)) for path in inner)]


# A wheel takes all that lies in the build folder: a fresh one keeps removed modules out of it.
with TemporaryDirectory() as build:
    setup(
        packages=[name for item in ROOTS.items() for name in find_packages(*item)],
        package_dir=ROOTS,
        options={"build": {"build_base": build}},
    )
