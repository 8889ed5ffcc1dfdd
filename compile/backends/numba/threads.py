"""Threads: a kernel that has much to do runs on several, each over a part of the first axis.

They are our own and run ``nogil`` kernels: Numba's threading layers abort when two threads call in at
once. The parts are few, since handing the interpreter's lock to and fro costs time; a kernel sums in
blocks by itself (``loops.py``). They do not depend on the number of threads, and so nor do the results.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["START", "WORTH_SHARING", "Shared", "parts_of"]

#: Nanoseconds of work from which on threads share it (waking one costs some 50 us), and what one part
#: should take.
WORTH_SHARING = 150_000
PART = 100_000
MOST_PARTS = 16

#: What reductions start from.
START = {"sum": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf, "vector_norm": 0.0}
_COMBINE = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}


class _Pool:
    """The threads that share large kernels, made when first needed, anew after a fork."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin without threads; a child process after a fork has none, and the lock may be held."""
        self.size = max(
            1,
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1),
        )
        self.executor: ThreadPoolExecutor | None = None
        self.mutex = threading.Lock()

    def get(self) -> ThreadPoolExecutor:
        with self.mutex:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(
                    max(self.size - 1, 1), thread_name_prefix="tapegrad"
                )
            return self.executor


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.renew)


def parts_of(work: float, first: int) -> int:
    """Return into how many parts to divide `work` nanoseconds over `first` rows: 1 for not at all."""
    if work <= WORTH_SHARING:
        return 1
    return min(max(2, int(work / PART)), MOST_PARTS, first)


@dataclass(slots=True, frozen=True)
class Shared:
    """A kernel call that is split along its outermost loop.

    Attributes
    ----------
    kernel : callable
    sizes : tuple of int
    parts : int
    sliced : tuple of bool
        For each operand and output, whether its first axis is that loop's.
    partial : tuple of (kind, bool)
        For each reduction that goes into an array, its kind and whether that array varies in that
        loop; those of the parts are combined if not.
    full : tuple of str
        The kinds of the reductions that the kernel returns.
    flagged : bool
        Whether the kernel also returns that it left the range of a function.
    turned : bool
        Whether the kernel takes whole arrays and the first index.
    """

    kernel: Callable[..., Any]
    sizes: tuple[int, ...]
    parts: int
    sliced: tuple[bool, ...]
    partial: tuple[tuple[str, bool], ...]
    full: tuple[str, ...]
    flagged: bool
    turned: bool

    def __call__(self, *arrays: Any) -> Any:
        """Run the kernel over `arrays`: operands, outputs, then partial reductions."""
        first, parts = self.sizes[0], self.parts
        bounds = [(i * first // parts, (i + 1) * first // parts) for i in range(parts)]
        workers = min(_pool.size, parts)
        shares = [bounds[i * parts // workers : (i + 1) * parts // workers] for i in range(workers)]
        if workers == 1:
            return self._joined(self._share(bounds, arrays), arrays)
        try:
            executor = _pool.get()
            futures = [executor.submit(self._share, share, arrays) for share in shares[1:]]
        except RuntimeError:  # the interpreter shuts down, and starts no more threads
            return self._joined(self._share(bounds, arrays), arrays)
        done = self._share(shares[0], arrays)
        for future in futures:
            done += future.result()
        return self._joined(done, arrays)

    def _share(self, bounds: list[tuple[int, int]], arrays: tuple[Any, ...]) -> list[Any]:
        return [self._run(lo, hi, arrays) for lo, hi in bounds]

    def _run(self, lo: int, hi: int, arrays: tuple[Any, ...]) -> tuple[Any, list[Any]]:
        """Run one part; return its full reductions, and the arrays of the partial ones."""
        given = [a[lo:hi] if s and not self.turned else a for a, s in zip(arrays, self.sliced)]
        for target, (kind, own) in zip(arrays[len(self.sliced) :], self.partial):
            if not own:
                given.append(np.full_like(target, START[kind]))
            else:
                given.append(target if self.turned else target[lo:hi])
        first = (lo,) if self.turned else ()
        result = self.kernel(*first, hi - lo, *self.sizes[1:], *given)
        returned = () if result is None else result if type(result) is tuple else (result,)
        return returned, given[len(self.sliced) :]

    def _joined(self, parts: list[Any], arrays: tuple[Any, ...]) -> Any:
        targets = arrays[len(self.sliced) :]
        for i, (kind, own) in enumerate(self.partial):
            if not own:
                for _, parted in parts:
                    _COMBINE[kind](targets[i], parted[i], out=targets[i])
        columns = list(zip(*(returned for returned, _ in parts)))
        totals = [_COMBINE[kind].reduce(np.array(c)) for kind, c in zip(self.full, columns)]
        if self.flagged:
            totals.append(any(columns[-1]))
        if not totals:
            return None
        return totals[0] if len(totals) == 1 else tuple(totals)
