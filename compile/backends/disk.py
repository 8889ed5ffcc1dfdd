"""Object code on disk: what one process has compiled, others load.

Files are named by what they were made from (source, kinds, processor, versions) and carry a checksum.
They appear whole or not at all, so that processes that start together do not disturb each other. If
anything goes wrong here (a full disk, a folder that cannot be written, a damaged file), that costs a
compilation.

The folder is ``TAPEGRAD_CACHE_DIR``, or ``tapegrad`` in the user's folder for caches; with an empty
``TAPEGRAD_CACHE_DIR`` nothing is kept. It must belong to the user and be closed to others, since what
lies there is run.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterator

__all__ = ["LIMIT", "clear_cache", "folder", "read", "write"]

#: Bytes from which on the files that were not used for longest are removed, to three quarters of it.
LIMIT = 256 << 20
#: After how many files of this process the size is looked at.
_OFTEN = 64
#: Seconds after which a file that is used is marked as used anew.
_DAY = 86_400

_ENDING = ".tgo"
_written = 0


def folder() -> str | None:
    """Return where the files lie, or None if nothing is to be kept."""
    given = os.environ.get("TAPEGRAD_CACHE_DIR")
    if given is not None:
        return given or None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "tapegrad") if os.path.isabs(base) else None


def read(key: str) -> bytes | None:
    """Return what is kept under a key, or None."""
    place = _usable()
    if place is None:
        return None
    path = os.path.join(place, key + _ENDING)
    try:
        with open(path, "rb") as file:
            content = file.read()
            used = os.fstat(file.fileno()).st_mtime
        if time.time() - used > _DAY:
            os.utime(path)
    except OSError:
        return None
    checksum, code = content[:4], content[4:]
    if not code or checksum != _checksum(code):
        with contextlib.suppress(OSError):
            os.unlink(path)
        return None
    return code


def write(key: str, code: bytes) -> None:
    """Keep object code under a key, if that is possible."""
    global _written
    place = _usable(make=True)
    if place is None:
        return
    path = os.path.join(place, key + _ENDING)
    own = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    try:
        with open(own, "xb") as file:
            file.write(_checksum(code) + code)
        os.replace(own, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(own)
        return
    if _written % _OFTEN == 0:
        _trim(place)
    _written += 1


def clear_cache() -> None:
    """Remove all compiled kernels from disk.

    What this process has loaded stays in use. The folder is that of the environment variable
    ``TAPEGRAD_CACHE_DIR``, by default ``tapegrad`` in the user's folder for caches; in it, only files of
    this library are touched.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.clear_cache()
    """
    place = folder()
    for path, _, _ in _files(place) if place else ():
        with contextlib.suppress(OSError):
            os.unlink(path)


def _checksum(code: bytes) -> bytes:
    return zlib.crc32(code).to_bytes(4, "little")


def _usable(make: bool = False) -> str | None:
    """Return the folder if it is there and only the user can write into it."""
    place = folder()
    if place is None:
        return None
    try:
        if make:
            os.makedirs(place, mode=0o700, exist_ok=True)
        found = os.stat(place)
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return None
    if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        return None
    return place


def _files(place: str) -> Iterator[tuple[str, int, float]]:
    """Give path, size and time of last use of each file, also of those that were never finished."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _ENDING in entry.name:
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    yield entry.path, found.st_size, found.st_mtime


def _trim(place: str) -> None:
    """Remove what was not used for longest, if there is too much."""
    files = sorted(_files(place), key=lambda file: file[2])
    total = sum(size for _, size, _ in files)
    if total <= LIMIT:
        return
    for path, size, _ in files:
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
        if total <= LIMIT * 3 // 4:
            return
