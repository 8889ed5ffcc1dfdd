"""Tensors in NumPy's ``.npz`` archives: ``save`` and ``load``.

An archive holds the array ``data`` and, if the tensor has a gradient, ``grad``. Nothing is ever
unpickled, and a file is complete or not there: it is written under another name and then renamed.
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from io import TextIOBase
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tapegrad.files import new_file
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC

__all__ = ["load", "save"]


def save(file: str | Path | BinaryIO, tensor: Tensor) -> None:
    """Save a tensor and its gradient.

    Parameters
    ----------
    file : str, Path or binary file
        Where to. A name gets the ending ``.npz`` if it has not got it. An existing file is replaced
        at once when the new one is complete.
    tensor : Tensor
        Its data and, if there is one, its gradient are saved; whether it is a constant is not.

    Raises
    ------
    TypeError
        If `tensor` is no tensor, or one that a transformation traces.

    See Also
    --------
    load

    Examples
    --------
    >>> import tapegrad as tg
    >>> from tempfile import TemporaryFile
    >>> with TemporaryFile() as file:
    ...     tg.save(file, tg.tensor([1.0, 2.0]))
    ...     _ = file.seek(0)
    ...     tg.load(file)
    Tensor([1., 2.])
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"save takes a tensor, not {type(tensor).__name__}; for arrays there is np.save"
        )
    _check_binary(file)
    trace = tensor.live_trace
    if trace.level:
        trace.appearance.apply_foreign(
            tensor, "tapegrad.save", _write, (file, tensor, tensor.grad), {},
            "save: the tensor is traced by a transformation; save its result instead",
        )  # fmt: skip
    else:
        _write(file, np.asarray(tensor), tensor.grad)


def _write(file: Any, data: Any, grad: Any) -> None:
    arrays = {"data": data} if grad is None else {"data": data, "grad": grad}
    if not isinstance(file, str | os.PathLike):
        np.savez(file, **arrays)  # type: ignore[arg-type]
        return
    path = os.path.realpath(os.fspath(file))
    with new_file(path if path.endswith(".npz") else f"{path}.npz") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _check_binary(file: Any) -> None:
    if isinstance(file, TextIOBase):
        raise TypeError("the file is open for text; open it in binary mode, as 'rb' or 'wb'")


def load(file: str | Path | BinaryIO) -> Tensor:
    """Load a tensor that :func:`save` has written, with its gradient.

    Parameters
    ----------
    file : str, Path or binary file

    Returns
    -------
    Tensor
        Floats are variable, integers constant.

    Raises
    ------
    ValueError
        For a file that is no such archive, was damaged or cut off, or holds pickled objects.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    save

    Examples
    --------
    >>> import tapegrad as tg
    >>> from tempfile import TemporaryFile
    >>> x = tg.tensor([1.0, 2.0])
    >>> (x * x).backward()
    >>> with TemporaryFile() as file:
    ...     tg.save(file, x)
    ...     _ = file.seek(0)
    ...     tg.load(file).grad
    array([2., 4.])
    """
    _check_binary(file)
    try:
        arrays = _read(file)
    except FileNotFoundError:
        raise
    except (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, PermissionError | IsADirectoryError):
            raise
        raise ValueError(f"{_name(file)} holds no tensor that can be read: {error}") from error
    data, grad = arrays["data"], arrays.get("grad")
    for name, array in arrays.items():
        if array.dtype.kind not in NUMERIC:
            raise ValueError(
                f"{_name(file)}: {name!r} has dtype {array.dtype}; a tensor holds numbers"
            )
    tensor = Tensor(data, copy=False)
    if grad is not None:
        if tensor.constant or grad.shape != data.shape or grad.dtype != data.dtype:
            raise ValueError(
                f"{_name(file)}: the gradient, {grad.dtype} of shape {grad.shape}, does not fit the "
                f"data, {data.dtype} of shape {data.shape}"
            )
        tensor.node.grad = grad
    return tensor


def _name(file: Any) -> str:
    return str(file) if isinstance(file, str | os.PathLike) else repr(getattr(file, "name", file))


def _read(file: Any) -> dict[str, Any]:
    _check_kind(file)
    with np.load(file, allow_pickle=False) as archive:
        if "data" not in archive.files:
            raise ValueError(f"the archive holds {archive.files}, but no 'data'")
        names = [name for name in ("data", "grad") if name in archive.files]
        for name in names:
            _check_size(archive.zip, name)
        return {name: archive[name] for name in names}


def _check_kind(file: Any) -> None:
    """Say what a file is that is no archive; NumPy would take it for a pickle."""
    if isinstance(file, str | os.PathLike):
        with open(file, "rb") as stream:
            _check_kind(stream)
        return
    if not hasattr(file, "seek"):
        return  # no file: NumPy says so
    start = file.tell()
    first = file.read(6)
    file.seek(start)
    if first == b"\x93NUMPY":
        raise ValueError("it is a single array, not an archive written by save")
    whole = zipfile.is_zipfile(file)
    file.seek(start)
    if not whole:
        raise ValueError(
            "the archive was cut off or damaged" if first[:2] == b"PK" else
            "it is empty" if not first else "it is no archive written by save"
        )  # fmt: skip


def _check_size(archive: Any, name: str) -> None:
    """Refuse a member that is no array, or whose header promises more than there is."""
    member = archive.getinfo(f"{name}.npy") if f"{name}.npy" in archive.namelist() else None
    if member is None:
        raise ValueError(f"{name!r} is no array")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            return
        left = member.file_size - stream.tell()
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"{name!r} should have {shape} elements of {dtype}, but has {left} bytes")
