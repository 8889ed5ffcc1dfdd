"""Saving and loading: what comes back, and what bad files do."""

from __future__ import annotations

import io
import os
import stat
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
    return {
        "empty": b"",
        "text": b"not an archive",
        "single array": single.getvalue(),
        "cut off": whole[: len(whole) // 2],
        "cut at the end": whole[:-10],
        "damaged": bytes(flipped),
        "pickled": archive(data=np.array([{"a": 1}, None], dtype=object)),
        "no data": archive(other=np.ones(2)),
        "complex": archive(data=np.array([1j])),
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


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "nothing.npz")
