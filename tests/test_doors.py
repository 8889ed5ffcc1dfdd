"""Importing tapegrad: from wherever it lies, quietly, and with nothing loaded that is not needed.

Each test looks at fresh processes.
"""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["tape", "ops", "compile"]
SITE = str(Path(np.__file__).parents[1])

WHERE = """
import tapegrad, tapegrad.tape, tapegrad.ops, tapegrad.compile
print({name: module.__file__ for name, module in sys.modules.items()
       if name.split(".")[0] in ("tapegrad", "tape", "ops", "compile")})
"""
#: Stands for the finder of an editable install of another checkout, which pip puts last.
EDITABLE = """
from importlib.util import spec_from_file_location
class Editable:
    def find_spec(name, path=None, target=None):
        if name == "tapegrad" or name.count(".") == 1 and name.startswith("tapegrad."):
            folder = {other!r} + "/" + name.rpartition(".")[2]
            return spec_from_file_location(name, folder + "/__init__.py")
sys.meta_path.append(Editable)
"""


def fresh(code: str, *flags: str, cwd: Path = ROOT, **more: Any) -> str:
    """Run code in a process of its own, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        **more,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_installation(*paths: Path | str) -> str:
    """Code that lets a process started with ``-S`` find NumPy and Numba, but no editable install."""
    return f"import sys; sys.path += {[*map(str, paths), SITE]!r}\n"


def sources(printed: str) -> dict[str, Path]:
    return {name: Path(file) for name, file in ast.literal_eval(printed).items() if file}


def as_checkout(folder: Path) -> Path:
    """Make another checkout that fails when a part of it is imported."""
    for name in ["tapegrad", *FOLDERS]:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('{name} of another copy')")
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package lies as a wheel puts it there."""
    folder = tmp_path_factory.mktemp("site")
    unneeded = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tapegrad", folder / "tapegrad", ignore=unneeded)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "tapegrad" / name, ignore=unneeded)
    return folder


def test_it_is_imported_at_the_root_of_a_checkout_with_nothing_installed() -> None:
    found = sources(fresh(without_installation() + WHERE, "-S"))
    assert {"tapegrad", *(f"tapegrad.{name}" for name in FOLDERS)} <= set(found)
    for name, file in found.items():
        assert file.is_relative_to(ROOT), (name, file)
        assert name.split(".")[0] == "tapegrad"
    for name in FOLDERS:
        assert found[f"tapegrad.{name}"].parent == ROOT / name


def test_a_checkout_wins_over_a_wheel_at_its_root_as_a_whole(wheel: Path) -> None:
    found = sources(fresh(without_installation(wheel) + WHERE, "-S"))
    assert all(file.is_relative_to(ROOT) for file in found.values())


def test_a_checkout_is_not_mixed_with_an_editable_install_of_another(tmp_path: Path) -> None:
    other = EDITABLE.format(other=str(as_checkout(tmp_path / "other")))
    found = sources(fresh(without_installation() + other + WHERE, "-S"))
    assert all(file.is_relative_to(ROOT) for file in found.values())


def test_elsewhere_the_wheel_is_imported_as_a_whole(wheel: Path, tmp_path: Path) -> None:
    found = sources(fresh(without_installation(wheel) + WHERE, "-S", cwd=tmp_path))
    assert all(file.is_relative_to(wheel / "tapegrad") for file in found.values())


@pytest.mark.skipif("tapegrad" not in metadata.packages_distributions(), reason="not installed")
def test_the_installation_is_one_copy() -> None:
    found = sources(fresh("import sys" + WHERE, cwd=Path(sys.prefix)))
    home = found["tapegrad"].parent
    inside = (home / "tape").exists()  # a wheel; otherwise the parts stand beside tapegrad/
    assert all(file.is_relative_to(home if inside else home.parent) for file in found.values())


def test_each_python_that_the_package_claims_has_been_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    claimed = [c.rpartition(" ")[2] for c in project["classifiers"] if ":: Python :: 3." in c]
    tried = set(re.findall(r"^\| (3\.\d+)", page, re.MULTILINE))
    assert claimed and set(claimed) == tried
    assert project["requires-python"] == f">={claimed[0]}"


LATER = [
    "tapegrad.tape.program.program", "tapegrad.tape.transforms.operations",
    "tapegrad.compile", "tapegrad.clipping", "tapegrad.io", "tapegrad.nnet", "tapegrad.optim",
    "tapegrad.random",
    "tapegrad.ops.layers", "tapegrad.ops.algebra.norms", "tapegrad.ops.algebra.calculus",
    "tapegrad.ops.reduce.quantiles", "numpy.random", "numpy.fft", "numpy.ma", "numba", "llvmlite",
    "dataclasses", "inspect", "dis", "concurrent.futures", "zipfile", "uuid", "logging",
]  # fmt: skip


def test_importing_it_loads_nothing_that_is_not_needed() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import tapegrad\n"
        f"print([name for name in {LATER} if name in set(sys.modules) - before])"
    )
    assert fresh(code).strip() == "[]"


def test_differentiating_loads_neither_the_compiler_nor_random_numbers() -> None:
    code = (
        "import sys, numpy as np; before = set(sys.modules); import tapegrad as tg\n"
        "x = tg.tensor([1.0, 2.0]); np.sum(np.sin(x) * x[::-1]).backward()\n"
        "tg.hessian(lambda x: np.sum(np.tanh(x @ x)))(np.ones(2))\n"
        "tg.vmap(lambda x: np.mean(x))(np.ones((2, 2)))\n"
        "late = ['tapegrad.compile', 'numpy.random', 'numba', 'concurrent.futures']\n"
        "print([name for name in late if name in set(sys.modules) - before])"
    )
    assert fresh(code).strip() == "[]"


def test_what_is_loaded_later_is_there_when_it_is_asked_for() -> None:
    code = (
        "import sys, numpy as np, tapegrad as tg\n"
        "x = tg.tensor([1.0, 2.0, 4.0])\n"
        "assert 'tapegrad.ops.algebra.calculus' not in sys.modules\n"
        "print(np.diff(x), tg.percentile(x, 50), np.fft.fftshift(x), np.linalg.norm(x[:1]))\n"
        "from tapegrad.tape.core.primitive import primitives\n"
        "print(primitives['max_pool'], hasattr(tg, 'no_such_name'), 'gelu' in primitives)\n"
        "print(tg.jit.__module__, callable(tg.save), tg.linalg.norm is not None)\n"
    )
    assert fresh(code).splitlines() == [
        "Tensor([1., 2.]) Tensor(2.) Tensor([4., 1., 2.]) Tensor(1.)",
        "<primitive max_pool> False False",
        "tapegrad.compile.jitted.decorator True True",
    ]


def test_all_public_names_are_found_each_in_a_way_of_its_own() -> None:
    star = fresh("from tapegrad import *; print(sorted(n for n in dir() if n[:2] != '__'))")
    listed = fresh("import tapegrad as tg; print(sorted(tg.__all__))")
    named = fresh("import tapegrad as tg; print(sorted({*dir(tg)} & {*tg.__all__}))")
    assert star == listed == named
    assert {"sum", "percentile", "jit", "nnet", "save"} <= set(ast.literal_eval(listed))


def test_every_family_that_declares_something_is_loaded_with_the_registry() -> None:
    code = (
        "import sys, pkgutil, importlib, tapegrad.ops as ops\n"
        "from tapegrad.tape.core.primitive import functions, primitives\n"
        "primitives.complete()\n"
        "known = set(primitives), set(functions)\n"
        "for info in pkgutil.walk_packages(ops.__path__, 'tapegrad.ops.'):\n"
        "    importlib.import_module(info.name)\n"
        "print(known == (set(primitives), set(functions)))"
    )
    assert fresh(code).strip() == "True"


HOOK = """
import sys
import tomllib
from importlib import metadata
from pathlib import Path
class Hook:  # as test runners and bundlers have them: it looks at the disk
    def find_spec(name, path=None, target=None):
        Path("/nowhere").exists()
sys.meta_path.insert(0, Hook)
import numpy as np, tapegrad as tg
"""


@pytest.mark.parametrize(
    "function",
    [
        "lambda x: np.sum(np.convolve(x, x))",
        "lambda x: tg.linalg.norm(x) + np.ptp(x)",
        "lambda x: np.sum(tg.nnet.activations.softmax(x) ** 2)",
    ],
)
def test_what_is_first_met_under_jit_and_loaded_then_is_not_taken_for_an_effect(
    function: str,
) -> None:
    code = f"f = tg.jit({function}, strict=True)\nfor _ in range(3): f(np.arange(3.0))\n"
    assert fresh(HOOK + code + "print(f.stats().eager_calls)").strip() == "0"


def test_an_import_under_jit_leaves_the_calls_after_it_to_be_seen() -> None:
    code = "def f(x):\n    import colorsys\n    print('called')\n    return np.sum(x)\n"
    code += "f = tg.jit(f)\nfor _ in range(4): f(np.ones(3))\n"
    assert fresh(HOOK + code).split() == ["called"] * 4


USE = """
import numpy as np, tapegrad as tg, tapegrad.demo
from tapegrad import computational_graph, errors, linalg, math, nnet, random, typing
from tapegrad import indexing_routines, operation_base, optim, tensor_creation, tensor_manip
from tapegrad.nnet import activations, initializers, layers, losses
x = np.array([1.0, 2.0])
f = lambda x: np.sum(np.exp(x) * x) + linalg.norm(x)
print(tg.grad(f)(x), tg.jit(tg.grad(f))(x), tg.mean(tg.tensor(x), keepdims=True))
t = tg.tensor(x)
tg.clip_by_norm(t, 1.0).sum().backward()
print(optim.adam(0.1).update(x, optim.adam(0.1).init(x), x)[0])
print(t.grad.shape, nnet.activations.relu(t), tg.jit(f).explain(x).count("def ") > 0)
"""


@pytest.mark.parametrize("flags", [("-W", "error"), ("-OO",), ("-OO", "-W", "error"), ("-bb",)])
def test_it_is_used_without_a_warning_and_without_docstrings(flags: tuple[str, ...]) -> None:
    assert fresh(USE, *flags) == fresh(USE)


REFUSED = """
import sys
class Refuse:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            raise {error}
sys.meta_path.insert(0, Refuse)
"""
OLD = """
import sys, types
old = sys.modules["llvmlite"] = types.ModuleType("llvmlite")
old.__version__ = "0.44.0"
"""
WITHOUT_LLVM = """
import warnings, numpy as np, tapegrad as tg
def f(x):
    return np.sum(np.sin(x) * x)
x = np.arange(3.0)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    jitted, gradient = tg.jit(f), tg.jit(tg.grad(f))
    for _ in range(3):
        assert jitted(x) == f(x)
        assert np.array_equal(gradient(x), tg.grad(f)(x))
    assert np.array_equal(tg.grad(jitted)(x), tg.grad(f)(x))
    assert np.array_equal(tg.hessian(jitted)(x), tg.hessian(f)(x))
    assert np.array_equal(tg.vmap(jitted)(np.ones((2, 3))), tg.vmap(f)(np.ones((2, 3))))
    t = tg.tensor(x)
    jitted(t).backward()
    assert np.array_equal(t.grad, tg.grad(f)(x))
    with tg.Tape() as tape:
        t = tg.tensor(x)
        y = np.sin(t) * t
    (value,), (slope,) = tape.compile([t], [y], gradient=True)(x)
    assert np.array_equal(value, np.sin(x) * x)
    assert jitted.stats().eager_calls >= 3 and jitted.stats().kernels_compiled == 0
    print(jitted.explain(x))
print(*(f"{w.category.__name__}: {w.message}" for w in seen), sep="\\n")
print(*(w.filename for w in seen))
try:
    tg.jit(f, strict=True)(x)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "before, reason",
    [
        (
            REFUSED.format(refused=("numba", "llvmlite"), error="ImportError('not there')"),
            "llvmlite cannot be imported (not there)",
        ),
        (
            REFUSED.format(refused=("numba", "llvmlite"), error="OSError('libLLVM')"),
            "llvmlite cannot be imported (libLLVM)",
        ),
        (OLD, "llvmlite 0.44.0 is too old: it takes 0.45, of numba 0.62"),
    ],
    ids=["missing", "broken", "old"],
)
def test_without_llvm_jit_runs_functions_as_they_are_with_one_warning(
    before: str, reason: str
) -> None:
    assert fresh(before + WITHOUT_LLVM).splitlines() == [
        f"f is run without compiling: {reason}",
        f"RuntimeWarning: jit runs functions as they are: {reason}",
        "<string>",
        f"jit(f, strict=True): {reason}",
    ]


def test_numba_itself_is_not_needed() -> None:
    code = REFUSED.format(refused=("numba",), error="ImportError('too new a NumPy')")
    code += """
import numpy as np, tapegrad as tg
f = tg.jit(lambda x: np.sum(np.sin(x) * x), strict=True)
f(np.ones(3))
print(f.stats().kernels_compiled)
"""
    assert fresh(code) == "1\n"
