"""Object code on disk: what a second process finds, and what may be wrong with it."""

import gc
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compile.backends import disk
from tapegrad.compile.backends.llvm import kernels, machine

PROGRAM = """
import sys
import numpy as np, tapegrad as tg
f = tg.jit(tg.value_and_grad(lambda x: np.sum(np.tanh(x) * np.exp(-x * x))))
value, gradient = f(np.linspace(-1, 2, 7))
print(value.hex(), gradient.tobytes().hex(), *f.stats(), "numba" in sys.modules)
"""


def run(folder, **environment):
    """Run the program in a process of its own: its numbers, kernels compiled, loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TAPEGRAD_CACHE_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    value, gradient, _, compiled, loaded, _, _, numba = done.stdout.split()
    assert numba == "False"
    return (value, gradient), int(compiled), int(loaded)


@pytest.fixture
def kept(tmp_path):
    """A folder in which a process has left its kernels, and the numbers that it found."""
    folder = tmp_path / "kernels"
    numbers, compiled, loaded = run(folder)
    assert (compiled, loaded) == (1, 0)
    return folder, numbers


def the_file(folder):
    (path,) = folder.iterdir()
    return path


def test_a_second_process_generates_no_machine_code_and_computes_the_same(kept):
    folder, numbers = kept
    assert run(folder) == (numbers, 0, 1)


def test_what_is_kept_is_private_to_the_user(kept):
    folder, _ = kept
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:3],
        lambda content: content[:100] + b"\x00\xff" + content[102:],
        lambda content: b"something else altogether",
    ],
)
def test_a_damaged_file_is_made_anew(kept, damage):
    folder, numbers = kept
    path = the_file(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert run(folder) == (numbers, 1, 0)
    assert run(folder) == (numbers, 0, 1)


def test_code_for_another_processor_is_not_found(kept, monkeypatch):
    folder, _ = kept
    monkeypatch.setenv("TAPEGRAD_CACHE_DIR", str(folder))
    text = "def kernel(n0, x):\n    for i0 in range(n0):\n        x[i0] = x[i0] + 0.125\n"
    parameters = (kernels.Parameter("n0", "int64"), kernels.Parameter("x", "float64", 1))
    origins = []
    here = machine.target()
    for processor in ("one", "another", "one"):
        monkeypatch.setattr(machine, "target", lambda processor=processor: here + processor)
        kernels._kernels.clear()
        origins.append(kernels.compile_source(text, parameters)[1])
    assert origins == ["compiled", "compiled", "loaded"]


def test_processes_that_start_together_compute_the_same(tmp_path):
    environment = {**os.environ, "TAPEGRAD_CACHE_DIR": str(tmp_path / "kernels")}
    command = [sys.executable, "-c", PROGRAM]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    outputs = {process.communicate(timeout=240)[0].split()[0] for process in started}
    assert all(process.returncode == 0 for process in started) and len(outputs) == 1
    assert [path.suffix for path in (tmp_path / "kernels").iterdir()] == [".tgo"]


def test_a_folder_that_cannot_be_had_costs_nothing_else(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below", ""):
        assert run(place)[1:] == (1, 0)


def test_a_home_without_caches_gets_one(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TAPEGRAD_CACHE_DIR"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": ""}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=120)
    assert list(tmp_path.rglob("*.tgo"))


def test_a_folder_into_which_others_may_write_is_not_trusted(kept):
    folder, numbers = kept
    folder.chmod(0o777)
    assert run(folder) == (numbers, 1, 0)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPEGRAD_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o700)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    disk.write("a" * 40, b"code")
    assert not list(tmp_path.iterdir()) and disk.read("a" * 40) is None


def test_what_was_not_used_for_longest_is_removed_first(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPEGRAD_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    monkeypatch.setattr(disk, "LIMIT", 1000)
    monkeypatch.setattr(disk, "_OFTEN", 1)
    for i in range(12):
        disk.write(f"{i:040}", bytes([i]) * 100)
        os.utime(tmp_path / f"{i:040}.tgo", (i + 1, i + 1))
    kept = [i for i in range(12) if disk.read(f"{i:040}") is not None]
    assert kept == list(range(kept[0], 12)) and 7 <= len(kept) <= 10


def test_clear_cache_removes_kernels_and_nothing_else(kept, monkeypatch):
    folder, _ = kept
    (folder / "notes.txt").write_text("the user's")
    monkeypatch.setenv("TAPEGRAD_CACHE_DIR", str(folder))
    tg.clear_cache()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_kernels_are_freed_with_what_used_them(monkeypatch):
    monkeypatch.setattr(kernels, "REMEMBERED", 3)
    x = np.linspace(0, 1, 5)

    def made(i):
        chain = "x" + " + np.sin(x) * x" * (i % 5) + " - np.cos(x)" * (i // 5)
        return tg.jit(eval(f"lambda x: np.exp({chain})", {"np": np}))

    gc.collect()
    before = len(kernels._kernels)
    for i in range(20):
        made(i)(x)
    gc.collect()
    assert len(kernels._nests) <= 3
    assert len(kernels._kernels) <= before + 3
