"""The house keeps its order: imports run one way, and each import is allowed where it stands.

Everything here is read from the source by ``ast``, or seen in a fresh process.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["tape", "ops", "compile", "tapegrad"]  # a layer imports itself and those before it
ROOMS = {  # the folders inside a layer: a room imports itself and those before it
    "tape": ["core", "array", "program", "python", "transforms"],
    "ops": ["declare", "elementwise", "shape", "reduce", "algebra", "numpy", "python", "layers"],
    "compile": ["backends", "passes", "fusion", "plans", "jitted"],
}
#: Extras: imported inside the function that needs them.
OPTIONAL = {"cloudpickle", "distributed", "graphviz", "matplotlib", "scipy", "tqdm"}


class Import(NamedTuple):
    file: Path
    line: int
    module: str
    level: int
    inside_function: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports_of(file: Path) -> Iterator[Import]:
    def walk(node: ast.AST, inside: bool, types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(file, child.lineno, alias.name, 0, inside, types)
            elif isinstance(child, ast.ImportFrom):
                module = child.module or ""
                names = [f"{module}.{alias.name}" for alias in child.names]
                for name in names if module.split(".")[0] == "tapegrad" else [module]:
                    yield Import(file, child.lineno, name, child.level, inside, types)
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from walk(child, inside or is_function, types or is_for_types)

    return walk(ast.parse(file.read_text(encoding="utf-8")), False, False)


def all_imports(*folders: str) -> list[Import]:
    return [item for file in python_files(*folders) for item in imports_of(file)]


def layer_of(module: str) -> int:
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 and parts[1] in LAYERS[:-1] else "tapegrad"
    return LAYERS.index(name)


def room_of(layer: str, module: str) -> str | None:
    """The folder of a layer that a module lies in; None outside of the layer, and at its top."""
    parts = module.split(".")
    inside = parts[:2] == ["tapegrad", layer] and len(parts) > 2 and parts[2] in ROOMS[layer]
    return parts[2] if inside else None


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


@pytest.mark.parametrize("layer", ROOMS)
def test_the_rooms_of_a_layer_are_known_and_import_one_way(layer: str) -> None:
    folders = {path.parent.name for path in (ROOT / layer).glob("*/__init__.py")}
    assert folders <= set(ROOMS[layer])
    order = ROOMS[layer].index
    bad = []
    for item in all_imports(layer):
        own = item.file.relative_to(ROOT / layer).parts[0]
        other = room_of(layer, item.module)
        if own not in folders or other is None or item.for_types:
            continue
        if order(other) > order(own):
            bad.append(item)
    assert not bad, complaints(bad)


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {}
    for file in python_files("tape", "ops", "compile"):
        parts = ("tapegrad", *file.relative_to(ROOT).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    follows = {
        name: {
            item.module if item.module in names else item.module.rpartition(".")[0]
            for item in imports_of(file)
            if not (item.for_types or item.inside_function)
        }
        for name, file in names.items()
    }
    left = dict(follows)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"modules that import each other: {sorted(left)}"


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


def test_only_numpy_is_imported_and_llvmlite_by_one_back_end_alone() -> None:
    bad = []
    for item in all_imports(*LAYERS):
        known = set(sys.stdlib_module_names) | {"tapegrad", "numpy"}
        if item.file.is_relative_to(ROOT / "compile" / "backends" / "llvm"):
            known.add("llvmlite")
        name = item.module.split(".")[0]
        if name not in known and not (name in OPTIONAL and item.inside_function):
            bad.append(item)
    assert not bad, complaints(bad)


def test_the_compiler_knows_of_back_ends_what_their_interface_says() -> None:
    backends = ["tapegrad", "compile", "backends"]
    bad = []
    for folder in ROOMS["compile"][1:]:
        for item in all_imports(f"compile/{folder}"):
            parts = item.module.split(".")
            said = ("interface", "expressions", "loop_nest", "repetition")
            seam = parts[3:4] in [[name] for name in said]
            if parts[:3] == backends and not seam:
                bad.append(item)
    assert not bad, complaints(bad)


def test_tests_import_no_other_library_of_the_field() -> None:
    known = set(sys.stdlib_module_names) | {"tapegrad", "numpy", "numba", "llvmlite"}
    known |= {"pytest", "hypothesis"}
    known |= {"tests", "benchmarks", "examples"} | {file.stem for file in python_files("tests")}
    bad = [item for item in all_imports("tests") if item.module.split(".")[0] not in known]
    assert not bad, complaints(bad)


def lines_of_docstrings(tree: ast.AST) -> int:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node):
            text = node.body[0]
            count += (text.end_lineno or text.lineno) - text.lineno + 1
    return count


def test_files_stay_below_500_lines() -> None:
    """Docstrings apart: those that document every argument are long, and easily read over."""
    long = {}
    for file in python_files(*LAYERS, "tests", "benchmarks", "examples"):
        text = file.read_text(encoding="utf-8")
        count = len(text.splitlines())
        if count >= 500 and count - lines_of_docstrings(ast.parse(text)) >= 400:
            long[str(file.relative_to(ROOT))] = count
    assert not long


def test_what_builds_the_project_names_no_host() -> None:
    for name in ["Makefile", ".ci/run", "pyproject.toml", "setup.py", ".gitignore"]:
        text = (ROOT / name).read_text(encoding="utf-8")
        for word in ["://", "index-url", "find-links", "trusted-host"]:
            assert word not in text, f"{name} contains {word!r}"


def test_no_lower_floor_asks_for_the_name_of_a_trace() -> None:
    test = re.compile(r"""\.name\s*(==|!=|in\b|not in\b)[^\n]*["'](jit|grad|vmap|jvp)["']""")
    for file in python_files("tape", "ops", "tapegrad"):
        text = file.read_text(encoding="utf-8")
        assert not test.search(text), f"{file}: what differs is a method of the trace"


def test_only_the_folder_of_tensors_touches_what_is_private_to_them() -> None:
    slots = next(
        node.value
        for node in ast.walk(ast.parse((ROOT / "tape/array/tensor.py").read_text("utf-8")))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__"
    )
    private = {name for name in ast.literal_eval(slots) if not name.startswith("__")}
    assert {"_base", "_path", "_trace", "_value", "_lock", "_node", "_pin"} <= private
    bad = []
    for file in python_files(*LAYERS):
        if file.is_relative_to(ROOT / "tape" / "array"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or node.attr not in private:
                continue
            if ast.unparse(node.value) not in ("self", "cls"):
                bad.append(f"{file.relative_to(ROOT)}:{node.lineno} touches {node.attr}")
    assert not bad, "\n".join(bad)


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
