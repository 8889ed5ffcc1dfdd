"""The memory guard: arrays of users that a live graph refers to are read-only.

A lock is an object whose life is the lock's life: entries of a graph hold it, and when the last of
them goes the array gets back the flag that it had. ``lock`` finds the living lock of an array, so
that an array used a thousand times has one.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from typing import Any

import numpy as np

__all__ = ["ArrayLock", "is_locked", "lock"]

Array = np.ndarray[Any, Any]

# id(array) -> weak reference to its lock. The lock object keeps the array alive, so the id is its.
_locks: dict[int, weakref.ref[ArrayLock]] = {}
# Re-entrant, because a lock may be collected (and run __del__) while this thread holds the mutex.
_mutex = threading.RLock()


class ArrayLock:
    """Keeps one array read-only for as long as the lock is alive."""

    __slots__ = ("__weakref__", "array", "below", "pending", "reference")

    def __init__(self, array: Array, below: ArrayLock | None) -> None:
        self.array = array
        self.below = below
        self.pending: list[Array] = []
        self.reference = weakref.ref(self)

    def __del__(self) -> None:
        with _mutex:
            key = id(self.array)
            # Another thread may have locked the array anew while this lock was dying.
            if _locks.get(key) is not self.reference:
                return
            del _locks[key]
            below = self.below
            self.below = None
            if below is not None and _is_shared(below):
                # NumPy allows a view to be writeable only when its base is.
                below.pending.append(self.array)
                below.pending.extend(self.pending)
                return
            del below
            for array in (self.array, *self.pending):
                # It fails when the user made the base read-only in the meantime.
                with contextlib.suppress(ValueError):
                    array.flags.writeable = True


def _is_shared(below: ArrayLock) -> bool:
    """Whether somebody but the caller holds the lock `below`."""
    # The caller's variable, this function's parameter and getrefcount's own argument are three.
    return sys.getrefcount(below) > 3


def lock(array: Array) -> ArrayLock | None:
    """Make `array` and the arrays whose memory it shares read-only while the result lives.

    Returns ``None`` for arrays that were read-only to begin with.
    """
    with _mutex:
        key = id(array)
        reference = _locks.get(key)
        if reference is not None:
            living = reference()
            if living is not None:
                return living
        base = array.base
        below = lock(base) if isinstance(base, np.ndarray) else None
        if reference is None and not array.flags.writeable:
            return below
        new = ArrayLock(array, below)
        _locks[key] = new.reference
        array.flags.writeable = False
        return new


def is_locked(array: Array) -> bool:
    """Whether `array` is read-only because a living lock holds it."""
    reference = _locks.get(id(array))
    return reference is not None and reference() is not None
