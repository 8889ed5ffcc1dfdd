"""Tensors in NumPy's ``.npz`` archives: ``save`` and ``load``.

An archive holds the array ``data`` and, if the tensor has a gradient, ``grad``. Nothing is ever
unpickled, and a file is complete or not there: it is written under another name and then renamed.
"""

from __future__ import annotations

import os
import uuid
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tapegrad.tape.tensor import Tensor, imperative

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
    if type(tensor) is not Tensor:
        raise TypeError(
            f"save takes a tensor, not {type(tensor).__name__}; for arrays there is np.save"
        )
    if tensor._trace is not imperative.trace:
        raise TypeError("save: the tensor is traced by a transformation; save its result instead")
    arrays = {"data": np.asarray(tensor)}
    if tensor.grad is not None:
        arrays["grad"] = tensor.grad
    if not isinstance(file, str | os.PathLike):
        np.savez(file, **arrays)  # type: ignore[arg-type]
        return
    path = os.path.realpath(os.fspath(file))
    if not path.endswith(".npz"):
        path += ".npz"
    temporary = f"{path}.{uuid.uuid4().hex}.partial"
    out = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        with os.fdopen(out, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(path):
            os.chmod(temporary, os.stat(path).st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
        if array.dtype.kind not in "fiub":
            raise ValueError(
                f"{_name(file)}: {name!r} has dtype {array.dtype}; a tensor holds real numbers"
            )
    tensor = Tensor(data, copy=False)
    if grad is not None:
        if tensor.constant or grad.shape != data.shape or grad.dtype != data.dtype:
            raise ValueError(
                f"{_name(file)}: the gradient, {grad.dtype} of shape {grad.shape}, does not fit the "
                f"data, {data.dtype} of shape {data.shape}"
            )
        tensor._node.grad = grad
    return tensor


def _name(file: Any) -> str:
    return str(file) if isinstance(file, str | os.PathLike) else repr(getattr(file, "name", file))


def _read(file: Any) -> dict[str, Any]:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("it is a single array, not an archive written by save")
    with archive:
        if "data" not in archive.files:
            raise ValueError(f"the archive holds {archive.files}, but no 'data'")
        return {name: archive[name] for name in ("data", "grad") if name in archive.files}
