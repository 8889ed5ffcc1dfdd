"""Saving and loading: what comes back, and what bad files do."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def roundtrip(tensor: Any) -> Any:
    file = io.BytesIO()
    tg.save(file, tensor)
    file.seek(0)
    return tg.load(file)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "bool", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_data_come_back(dtype: str, shape: Any) -> None:
    x = tg.tensor(np.ones(shape, dtype))
    got = roundtrip(x)
    assert got.dtype == x.dtype and got.shape == x.shape and got.grad is None
    np.testing.assert_array_equal(got, x)
    assert got.constant == (x.dtype.kind != "f")


def test_the_gradient_comes_back_and_the_constant_flag_does_not() -> None:
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    got = roundtrip(x)
    np.testing.assert_array_equal(got.grad, [2.0, 4.0])
    assert not roundtrip(tg.tensor(1.0, constant=True)).constant
    (got * 3.0).backward()
    np.testing.assert_array_equal(got.grad, [3.0, 3.0])


def test_names_get_the_ending_and_numpy_reads_the_file(tmp_path: Path) -> None:
    tg.save(tmp_path / "x", tg.tensor([1.0]))
    tg.save(str(tmp_path / "y.npz"), tg.tensor([2.0]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npz", "y.npz"]
    assert np.load(tmp_path / "x.npz").files == ["data"]
    assert float(tg.load(tmp_path / "y.npz")[0]) == 2.0


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x.npz"
    tg.save(target, tg.tensor([1.0]))

    def fail(stream: Any, **arrays: Any) -> None:
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        tg.save(target, tg.tensor([2.0]))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]
    assert float(tg.load(target)[0]) == 1.0


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "x.npz"
    tg.save(target, tg.tensor([1.0]))
    target.chmod(0o640)
    tg.save(target, tg.tensor([2.0]))
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_only_tensors_are_saved() -> None:
    for other in (np.ones(2), [1.0], 3.0):
        with pytest.raises(TypeError, match="tensor"):
            tg.save(io.BytesIO(), other)  # type: ignore[arg-type]


def bad_files() -> dict[str, bytes]:
    def archive(**arrays: Any) -> bytes:
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()

    single = io.BytesIO()
    np.save(single, np.ones(3))
    whole = archive(data=np.ones(1000))
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0xFF

    def member(name: str, content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as members:
            members.writestr(name, content)
        return file.getvalue()

    header = (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(117) + b"\n"
    )
    return {
        "a pickle": pickle.dumps([1.0, 2.0]),
        "compressed": gzip.compress(whole),
        "a member that is no array": member("data.npy", b"not an array"),
        "a member without ending": member("data", b"bytes"),
        "a header that promises too much": member(
            "data.npy",
            b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80),
        ),
        "empty": b"",
        "text": b"not an archive",
        "single array": single.getvalue(),
        "cut off": whole[: len(whole) // 2],
        "cut at the end": whole[:-10],
        "damaged": bytes(flipped),
        "pickled": archive(data=np.array([{"a": 1}, None], dtype=object)),
        "no data": archive(other=np.ones(2)),
        "text data": archive(data=np.array(["a"])),
        "gradient of another shape": archive(data=np.ones(2), grad=np.ones(3)),
        "gradient of another dtype": archive(data=np.ones(2), grad=np.ones(2, "f")),
        "gradient of integers": archive(data=np.ones(2, int), grad=np.ones(2, int)),
    }


@pytest.mark.parametrize("kind", list(bad_files()))
def test_bad_files_are_value_errors(kind: str, tmp_path: Path) -> None:
    content = bad_files()[kind]
    with pytest.raises(ValueError):
        tg.load(io.BytesIO(content))
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.npz"):
        tg.load(path)


def test_the_error_says_what_the_file_is(tmp_path: Path) -> None:
    for kind, text in (
        ("empty", "empty"),
        ("text", "no archive"),
        ("single array", "single array"),
        ("cut off", "cut off"),
        ("a pickle", "no archive"),
        ("pickled", "Object arrays"),
        ("a header that promises too much", "but has 80 bytes"),
    ):
        with pytest.raises(ValueError, match=text):
            tg.load(io.BytesIO(bad_files()[kind]))


def test_files_that_are_open_for_text_and_other_things_are_type_errors(tmp_path: Path) -> None:
    for file in (io.StringIO("text"), None, 3, [1.0]):
        with pytest.raises(TypeError):
            tg.load(file)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            tg.save(file, tg.tensor(1.0))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_an_archive_is_read_from_where_the_file_stands() -> None:
    file = io.BytesIO()
    tg.save(file, tg.tensor([1.0, 2.0]))
    whole = io.BytesIO(file.getvalue())
    assert tg.load(whole).shape == (2,)


_KILLED = """
import os, signal, sys
import numpy as np
import tapegrad as tg

def half(stream, **arrays):
    stream.write(b"half of it")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)

np.savez = half
tg.save(sys.argv[1], tg.tensor([2.0]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_process_that_is_killed_while_it_saves_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x.npz"
    tg.save(target, tg.tensor([1.0]))
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(target)], check=False)
    assert ended.returncode < 0
    assert float(tg.load(target)[0]) == 1.0
    with pytest.raises(ValueError):  # what the other process left has another name
        tg.load(next(p for p in tmp_path.iterdir() if p != target))


def test_traced_tensors_are_saved_under_jit_alone(tmp_path: Path) -> None:
    def store(x: Any) -> Any:
        tg.save(tmp_path / "x", x * 2.0 if isinstance(x, tg.Tensor) else tg.tensor(x) * 2.0)
        return x

    with pytest.raises(TypeError, match="traced"):
        tg.grad(lambda x: np.sum(store(x)))(np.ones(2))
    with pytest.warns(RuntimeWarning, match="without compiling"):
        tg.jit(store)(np.ones(2))
    assert np.array_equal(tg.load(tmp_path / "x.npz"), [2.0, 2.0])


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "nothing.npz")
