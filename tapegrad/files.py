"""Files that are complete or not there: written under another name, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

__all__ = ["new_file", "remove_leftovers"]

_ENDING = ".partial"


@contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """Give a binary file to write into, which replaces the one at a path when the block has ended.

    Where the block raises, or the disk is full, what lay at the path is as it was. When this returns,
    the new file is on the disk, under its name.

    Parameters
    ----------
    path : str

    Yields
    ------
    binary file

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_file(f"{folder}/a.txt") as file:
    ...         _ = file.write(b"all of it")
    ...     open(f"{folder}/a.txt").read(), os.listdir(folder)
    ('all of it', ['a.txt'])
    """
    path = os.path.realpath(path)
    temporary = f"{path}.{uuid.uuid4().hex}{_ENDING}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    out = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(out, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(path):
            os.chmod(temporary, os.stat(path).st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(path))


def _sync_folder(folder: str) -> None:
    """Put the new name on the disk, where the system can: a name is an entry of its folder."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(path: str) -> None:
    """Remove what processes that were killed while they wrote have left beside a path."""
    folder, name = os.path.split(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(folder):
            middle = entry[len(name) + 1 : -len(_ENDING)]
            if entry == f"{name}.{middle}{_ENDING}" and len(middle) == 32:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, entry))
