"""Builds what is released, and tries it as a user would: ``make release-check``.

In throw-away folders: a source distribution and, from it, a wheel (package ``build``). Each is installed
in a fresh environment from a folder that holds the declared dependencies and nothing else, without an
index. There, outside of the checkout, the demo runs, an example, and the first page of the
documentation. Tests run from the unpacked source distribution. What passed is left in ``dist/``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILDS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"][
    "requires"
]
#: What an environment has of its own, and what the dependencies bring.
EXPECTED = {"pip", "setuptools", "wheel", "tapegrad", "numpy", "numba", "llvmlite"}
EXAMPLE = "examples/digits_convolution.py"
PAGE = "docs/guide/start.md"
TESTS = [
    "tests/test_readme.py",
    "tests/test_reference.py",
    "tests/test_installation.py",
    "tests/tape/test_transforms.py",
]
#: In kB. The goal is 800.
LARGEST_WHEEL = 1050
#: Deflates a wheel's files better than zlib does. They stay the same, and so does what reads them.
DEFLATE = """
import sys, zipfile, zopfli.zlib

class Deflater:
    def __init__(self, *ignored): self.parts = []
    def compress(self, data): self.parts.append(data); return b""
    def flush(self): return zopfli.zlib.compress(b"".join(self.parts), numiterations=5)[2:-4]

with zipfile.ZipFile(sys.argv[1]) as old:
    files = [(info, old.read(info)) for info in old.infolist()]
zipfile._get_compressor = Deflater
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as new:
    for info, data in files:
        new.writestr(info, data)
with zipfile.ZipFile(sys.argv[1]) as new:
    assert [(i.filename, new.read(i)) for i in new.infolist()] == [(i.filename, d) for i, d in files]
"""
RUN_PAGE = """
import doctest, sys
flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
found = doctest.testfile(sys.argv[1], module_relative=False, optionflags=flags, encoding="utf-8")
print(f"{sys.argv[1]}: {found.attempted} examples")
sys.exit(found.failed or not found.attempted)
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command, of which the output is shown only if it fails."""
    text = " ".join(str(part) for part in command if "\n" not in str(part))
    print(f"$ {text}", flush=True)
    clean = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PIP_REQUIRE_VIRTUALENV")
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}\nfailed: {text}")
    return done.stdout


def environment(folder: Path) -> Path:
    """Make a virtual environment, and return its interpreter."""
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def pip(python: Path, *arguments: str | Path) -> str:
    """Call the pip of an environment."""
    return run(python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def built(work: Path) -> tuple[Path, Path]:
    """Return a source distribution and the wheel that was built from it."""
    python = environment(work / "build")
    pip(python, "install", "build", "zopfli")
    run(python, "-m", "build", "--outdir", work / "dist", ROOT)
    (archive,), (wheel,) = (list((work / "dist").glob(p)) for p in ("*.tar.gz", "*.whl"))
    before = wheel.stat().st_size
    run(python, "-c", DEFLATE, wheel)
    print(f"deflated anew: {before / 1e3:.0f} kB, then {wheel.stat().st_size / 1e3:.0f}")
    return archive, wheel


def look_into(archive: Path, wheel: Path) -> None:
    """Say what is in both, and raise for what should not be, or is missing."""
    with tarfile.open(archive) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    needed = {"CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Makefile", EXAMPLE, PAGE, *TESTS}
    needed |= {"benchmarks/__main__.py", "docs/conf.py", "docs/measured/workloads.json", ".ci/run"}
    if missing := needed - inside:
        sys.exit(f"{archive.name} lacks {sorted(missing)}")
    if strange := [n for n in inside if n.startswith("docs/generated") or n.endswith(".pyc")]:
        sys.exit(f"{archive.name} holds what was made: {strange[:5]}")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    data = [n for n in names if not n.endswith(".py") and ".dist-info/" not in n]
    print(f"{archive.name}: {archive.stat().st_size / 1e3:.0f} kB, {len(inside)} files")
    print(
        f"{wheel.name}: {wheel.stat().st_size / 1e3:.0f} kB, {len(names)} files; not code: {data}"
    )
    if sorted(data) != ["tapegrad/data/README.md", "tapegrad/data/digits.npz", "tapegrad/py.typed"]:
        sys.exit("the wheel has other data than the digits")
    if wheel.stat().st_size > LARGEST_WHEEL * 1000:
        sys.exit(f"the wheel is larger than {LARGEST_WHEEL} kB")


def try_out(name: str, what: Path, work: Path, source: Path, shelf: Path) -> Path:
    """Install one of them from the shelf, and run what a user would run first."""
    python = environment(work / name)
    pip(python, "install", "--no-index", "--find-links", shelf, what)
    listed = run(python, "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze")
    installed = {
        line.partition("==")[0].partition(" ")[0].lower() for line in listed.split("\n") if line
    }
    if not installed <= EXPECTED:
        sys.exit(f"{what.name} brought {sorted(installed - EXPECTED)}")
    empty = work / f"{name}-elsewhere"
    empty.mkdir()
    where = run(python, "-c", "import tapegrad as t; print(t.__file__, t.__version__)", cwd=empty)
    if str(work / name) not in where or PROJECT["version"] not in where:
        sys.exit(f"tapegrad was imported from {where}")
    print(run(python, "-m", "tapegrad.demo", cwd=empty).strip().splitlines()[-1])
    for path in (EXAMPLE, PAGE):
        (empty / Path(path).name).write_bytes((source / path).read_bytes())
    print(run(python, Path(EXAMPLE).name, cwd=empty).strip().splitlines()[-1])
    print(run(python, "-c", RUN_PAGE, Path(PAGE).name, cwd=empty).strip())
    return python


def main(arguments: list[str]) -> int:
    """Build, look, install, run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is left")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        work = (chosen.keep or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        archive, wheel = built(work)
        look_into(archive, wheel)
        shelf = work / "shelf"
        helper = work / "build" / "bin" / "python"
        needed = [*PROJECT["dependencies"], *BUILDS]
        pip(helper, "download", "--only-binary", ":all:", "-d", shelf, *needed)
        with tarfile.open(archive) as file:
            file.extractall(work / "unpacked", filter="data")
        (source,) = (work / "unpacked").iterdir()
        try_out("from-wheel", wheel, work, source, shelf)
        python = try_out("from-sdist", archive, work, source, shelf)
        pip(python, "install", *PROJECT["optional-dependencies"]["test"])
        command: list[str | Path] = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
        print(run(*command, cwd=source).strip().splitlines()[-1])
        (ROOT / "dist").mkdir(exist_ok=True)
        for path in (archive, wheel):
            shutil.copy(path, ROOT / "dist" / path.name)
    print(f"both work; they are in {ROOT / 'dist'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
