"""The house keeps its order: imports run one way, and each import is allowed where it stands.

Everything here is read from the source by ``ast``, or seen in a fresh process.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["tape", "ops", "compile", "tapegrad"]  # a layer imports itself and those before it
OPTIONAL = {"graphviz"}  # extras: imported inside the function that needs them


class Import(NamedTuple):
    file: Path
    line: int
    module: str
    level: int
    inside_function: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports_of(file: Path) -> Iterator[Import]:
    def walk(node: ast.AST, inside: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(file, child.lineno, alias.name, 0, inside)
            elif isinstance(child, ast.ImportFrom):
                module = child.module or ""
                if module == "tapegrad":
                    for alias in child.names:
                        yield Import(file, child.lineno, f"tapegrad.{alias.name}", 0, inside)
                else:
                    yield Import(file, child.lineno, module, child.level, inside)
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, inside or is_function)

    return walk(ast.parse(file.read_text(encoding="utf-8")), False)


def all_imports(*folders: str) -> list[Import]:
    return [item for file in python_files(*folders) for item in imports_of(file)]


def layer_of(module: str) -> int:
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 and parts[1] in LAYERS[:-1] else "tapegrad"
    return LAYERS.index(name)


def complaints(bad: list[Import]) -> str:
    return "\n".join(map(str, bad))


@pytest.mark.parametrize("folder", LAYERS)
def test_a_layer_imports_only_itself_and_the_layers_below(folder: str) -> None:
    own = LAYERS.index(folder)
    bad = [
        item
        for item in all_imports(folder)
        if item.module.split(".")[0] == "tapegrad" and layer_of(item.module) > own
    ]
    assert not bad, complaints(bad)


def test_imports_are_written_absolutely() -> None:
    bad = [item for item in all_imports(*LAYERS) if item.level or item.module in LAYERS[:-1]]
    assert not bad, complaints(bad)


def test_no_import_inside_a_function_breaks_a_cycle() -> None:
    bad = [
        item
        for item in all_imports("tape", "ops", "compile")
        if item.inside_function and item.module.split(".")[0] == "tapegrad"
    ]
    assert not bad, complaints(bad)


def test_only_numpy_is_imported_and_numba_by_compile_alone() -> None:
    bad = []
    for folder in LAYERS:
        known = set(sys.stdlib_module_names) | {"tapegrad", "numpy"}
        if folder == "compile":
            known |= {"numba", "llvmlite"}
        for item in all_imports(folder):
            name = item.module.split(".")[0]
            if name not in known and not (name in OPTIONAL and item.inside_function):
                bad.append(item)
    assert not bad, complaints(bad)


def test_tests_import_no_other_library_of_the_field() -> None:
    known = set(sys.stdlib_module_names) | {"tapegrad", "numpy", "numba", "pytest", "hypothesis"}
    known |= {"tests", "benchmarks"} | {file.stem for file in python_files("tests")}
    bad = [item for item in all_imports("tests") if item.module.split(".")[0] not in known]
    assert not bad, complaints(bad)


def test_files_stay_below_500_lines() -> None:
    long = {}
    for file in python_files(*LAYERS, "tests", "benchmarks", "examples"):
        count = len(file.read_text(encoding="utf-8").splitlines())
        if count >= 500:
            long[str(file.relative_to(ROOT))] = count
    assert not long


def test_what_builds_the_project_names_no_host() -> None:
    for name in ["Makefile", ".ci/run", "pyproject.toml", "setup.py", ".gitignore"]:
        text = (ROOT / name).read_text(encoding="utf-8")
        for word in ["://", "index-url", "find-links", "trusted-host"]:
            assert word not in text, f"{name} contains {word!r}"


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_tapegrad_loads_neither_numba_nor_any_extra() -> None:
    names = ["numba", "llvmlite", "graphviz", "pytest", "hypothesis", "scipy"]
    out = in_a_fresh_process(
        f"import sys, tapegrad; print([name for name in {names} if name in sys.modules])"
    )
    assert out.strip() == "[]"


def test_no_top_level_module_is_called_tape_ops_or_compile() -> None:
    # In this process pytest has imported every test module; the other one runs in the
    # repository's root, where Python would find the folders.
    assert not {"tape", "ops", "compile"} & set(sys.modules)
    out = in_a_fresh_process(
        "import sys, tapegrad, tapegrad.tape, tapegrad.ops, tapegrad.compile\n"
        "print([name for name in ('tape', 'ops', 'compile') if name in sys.modules])"
    )
    assert out.strip() == "[]"
