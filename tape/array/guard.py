"""The memory guard: arrays of users that a live graph refers to are read-only.

A lock is an object whose life is the lock's life: entries of a graph hold it, and when the last of
them goes the array gets back the flag that it had. ``lock`` finds the living lock of an array, so
that an array used a thousand times has one.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

__all__ = [
    "ArrayLock", "ViewLock", "is_locked", "is_needed", "lock", "locked_array", "release_with",
    "unlocked",
]  # fmt: skip

Array = np.ndarray[Any, Any]


class ArrayLock:
    """Keeps one array read-only for as long as it is alive.

    Attributes
    ----------
    below : ArrayLock
        The lock of the array whose memory this one shares, if there is one.

    It has no ``__del__``: while that runs, another thread could still get hold of the dying lock
    through its weak reference, and rely on it.
    """

    __slots__ = ("__weakref__", "below")
    below: ArrayLock


class ViewLock(ArrayLock):
    """The lock of an entry that made a view, and needs no value.

    Users may not write into the array, which would change the view unseen; tensors are written into as
    ever.
    """

    __slots__ = ()


class _Record:
    """What is known of a locked array; it keeps the array alive, so that its id stays its own."""

    __slots__ = ("array", "limit", "pending", "value_lock", "view_lock", "views")

    def __init__(self, array: Array) -> None:
        self.array = array
        #: Views that wait for this array to be writeable before they can be.
        self.pending: tuple[Array, ...] = ()
        #: Views that were made while this array was locked, by id.
        self.views: dict[int, weakref.ref[Array]] | None = None
        self.limit = _MOST_VIEWS
        self.value_lock: weakref.ref[ArrayLock] | None = None
        self.view_lock: weakref.ref[ArrayLock] | None = None

    def living(self, kind: type[ArrayLock]) -> ArrayLock | None:
        """Return the lock of a kind, while it lives."""
        reference = self.view_lock if kind is ViewLock else self.value_lock
        return None if reference is None else reference()

    def renew(self, kind: type[ArrayLock]) -> ArrayLock:
        """Make the lock of a kind that stands for this record from now on."""
        new = kind()
        reference = weakref.ref(new, partial(_released, id(self.array)))
        if kind is ViewLock:
            self.view_lock = reference
        else:
            self.value_lock = reference
        return new

    def forget(self, reference: weakref.ref[ArrayLock]) -> bool:
        """Forget a lock that has died; return whether there is none left.

        Another thread may have locked the array anew while this one was dying.
        """
        if self.value_lock is reference:
            self.value_lock = None
        elif self.view_lock is reference:
            self.view_lock = None
        else:
            return False
        return self.value_lock is self.view_lock is None


#: How many views a record may know before those that are gone are forgotten.
_MOST_VIEWS = 256
_records: dict[int, _Record] = {}
# Re-entrant, because a lock may die (and run _released) while this thread holds the mutex.
_mutex = threading.RLock()


def _released(key: int, reference: weakref.ref[ArrayLock]) -> None:
    """Give an array back its flag; called when its lock has died."""
    with _mutex:
        record = _records.get(key)
        if record is None or not record.forget(reference):
            return
        del _records[key]
        waiting = (record.array, *record.pending)
        if record.views:
            views = [reference() for reference in list(record.views.values())]
            waiting += tuple(view for view in views if view is not None)
        base = record.array.base
        base_record = None if base is None else _records.get(id(base))
        if base_record is not None:
            # NumPy allows a view to be writeable only when its base is.
            base_record.pending += waiting
            return
        for array in waiting:
            # It fails when the user made the base read-only in the meantime.
            try:  # noqa: SIM105  # contextlib.suppress takes longer than the rest
                array.setflags(write=True)
            except ValueError:
                pass


def lock(array: Array, kind: type[ArrayLock] = ArrayLock) -> ArrayLock | None:
    """Make `array` and the arrays whose memory it shares read-only while the result lives.

    Returns ``None`` for arrays that were read-only to begin with.
    """
    with _mutex:
        record = _records.get(id(array))
        if record is not None:
            living = record.living(kind)
            if living is not None:
                return living
        base, below = array.base, None
        if base is not None and isinstance(base, np.ndarray):
            below = lock(base, kind)
        if record is None:
            if not array.flags.writeable:
                return below
            record = _records[id(array)] = _Record(array)
            array.setflags(write=False)
        new = record.renew(kind)
        if below is not None:
            new.below = below
        return new


def release_with(view: Array, source: Array) -> None:
    """Let `view`, which was made of `source` while that was locked, be released with its owner.

    NumPy made the view read-only, because `source` was; a view of what is read-only for another
    reason stays so, and so does one that NumPy never lets be written to.
    """
    key = id(view.base)
    owner = _records.get(key)
    if owner is None or not (source is owner.array or is_locked(source)):
        return
    if 0 in view.strides and _repeats(view):
        return
    views = owner.views
    if views is None:
        views = owner.views = {}
    if len(views) >= owner.limit:
        for old in [i for i, ref in list(views.items()) if ref() is None]:
            views.pop(old, None)
        owner.limit = 2 * len(views) + _MOST_VIEWS
    views[id(view)] = weakref.ref(view)
    if _records.get(key) is not owner:  # another thread has just released it
        view.flags.writeable = True


def _repeats(view: Array) -> bool:
    """Whether elements of a view share their place in memory."""
    return any(not step and n > 1 for step, n in zip(view.strides, view.shape))


def locked_array(held: Any) -> Array | None:
    """Return the array that a lock keeps read-only; None if `held` is no lock."""
    if isinstance(held, ArrayLock):
        for record in list(_records.values()):
            if record.living(type(held)) is held:
                return record.array
    return None


def is_needed(array: Array) -> bool:
    """Whether an entry has locked `array`, or what it is a view of, because it needs the value."""
    while isinstance(array, np.ndarray):
        record = _records.get(id(array))
        if record is not None and record.living(ArrayLock) is not None:
            return True
        array = array.base  # type: ignore[assignment]
    return False


@contextmanager
def unlocked(array: Array) -> Iterator[None]:
    """Let a locked array, and what it is a view of, be written into meanwhile."""
    with _mutex:
        chain: list[Array] = []
        while isinstance(array, np.ndarray) and not array.flags.writeable:
            chain.append(array)
            array = array.base  # type: ignore[assignment]
        try:
            for part in reversed(chain):
                part.setflags(write=True)
            yield
        finally:
            for part in chain:
                part.setflags(write=False)


def is_locked(array: Array) -> bool:
    """Whether `array` is read-only because a living lock holds it, or what it is a view of."""
    if id(array) in _records:
        return True
    owner = _records.get(id(array.base))
    view = owner.views.get(id(array)) if owner is not None and owner.views else None
    return view is not None and view() is array
