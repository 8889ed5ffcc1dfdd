"""Running a kernel over large arrays: in chunks, on several threads.

Chunks keep sums accurate (each is summed by itself) and the working set in cache. Threads are our own
and run ``nogil`` kernels over ranges: Numba's threading layers abort when two threads call in at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CHUNK", "PARALLEL", "Chunked"]

#: Elements of one chunk.
CHUNK = 16384
#: Elements from which on several threads share the work.
PARALLEL = 65536

#: What reductions start from.
START = {"sum": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf, "vector_norm": 0.0}
_COMBINE = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}


class _Pool:
    """The threads that share large kernels, made when first needed, anew after a fork."""

    def __init__(self) -> None:
        self.size = max(
            1,
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1),
        )
        self.executor: ThreadPoolExecutor | None = None
        self.mutex = threading.Lock()
        self.process = 0

    def get(self) -> ThreadPoolExecutor:
        with self.mutex:
            if self.executor is None or self.process != os.getpid():
                self.executor = ThreadPoolExecutor(
                    max(self.size - 1, 1), thread_name_prefix="tapegrad"
                )
                self.process = os.getpid()
            return self.executor


_pool = _Pool()


@dataclass(slots=True, frozen=True)
class Chunked:
    """A kernel call that is split along the first axis of its space.

    Attributes
    ----------
    kernel : callable
    sizes : tuple of int
    sliced : tuple of bool
        For each operand and output, whether it has the first axis.
    partial : tuple of (kind, shape, dtype, sliced)
        For each partial reduction, what it is; not sliced ones are combined over the chunks.
    full : tuple of str
        The kinds of the reductions that the kernel returns.
    flagged : bool
        Whether the kernel also returns that it left the range of a function.
    """

    kernel: Callable[..., Any]
    sizes: tuple[int, ...]
    sliced: tuple[bool, ...]
    partial: tuple[tuple[str, bool], ...]
    full: tuple[str, ...]
    flagged: bool

    def __call__(self, *arrays: Any) -> Any:
        """Run the kernel over `arrays`: operands, outputs, then partial reductions."""
        first = self.sizes[0]
        inner = int(np.prod(self.sizes[1:], dtype=np.int64))
        rows = max(1, CHUNK // max(inner, 1))
        bounds = [(lo, min(lo + rows, first)) for lo in range(0, first, rows)]
        workers = min(_pool.size, len(bounds)) if first * inner >= PARALLEL else 1
        if workers == 1:
            parts = [self._run(bounds, arrays)]
        else:
            shares = [bounds[i * len(bounds) // workers : (i + 1) * len(bounds) // workers]
                      for i in range(workers)]  # fmt: skip
            executor = _pool.get()
            futures = [executor.submit(self._run, share, arrays) for share in shares[1:]]
            parts = [self._run(shares[0], arrays)]
            parts += [future.result() for future in futures]
        return self._joined(parts, arrays)

    def _run(self, bounds: list[tuple[int, int]], arrays: tuple[Any, ...]) -> Any:
        """Run some chunks; return their reductions."""
        count = len(self.sliced)
        totals: list[Any] = []
        own: list[Any] = [
            a if sliced else None for a, (_, sliced) in zip(arrays[count:], self.partial)
        ]
        for lo, hi in bounds:
            given = [a[lo:hi] if s else a for a, s in zip(arrays, self.sliced)]
            for i, (kind, sliced) in enumerate(self.partial):
                target = arrays[count + i]
                given.append(target[lo:hi] if sliced else np.full_like(target, START[kind]))
            result = self.kernel(hi - lo, *self.sizes[1:], *given)
            for i, (kind, sliced) in enumerate(self.partial):
                if not sliced:
                    part = given[count + i]
                    own[i] = part if own[i] is None else _COMBINE[kind](own[i], part)
            returned = () if result is None else result if type(result) is tuple else (result,)
            totals.append(returned)
        return totals, own

    def _joined(self, parts: list[Any], arrays: tuple[Any, ...]) -> Any:
        count = len(self.sliced)
        for i, (kind, sliced) in enumerate(self.partial):
            if not sliced:
                target = arrays[count + i]
                for _, own in parts:
                    _COMBINE[kind](target, own[i], out=target)
        columns = list(zip(*(totals for part, _ in parts for totals in part)))
        returned = [_COMBINE[kind].reduce(np.array(c)) for kind, c in zip(self.full, columns)]
        if self.flagged:
            returned.append(any(columns[-1]))
        if not returned:
            return None
        return returned[0] if len(returned) == 1 else tuple(returned)
