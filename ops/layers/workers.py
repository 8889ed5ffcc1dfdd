"""Large work on arrays, shared by the processors.

NumPy lets other threads run while it copies and multiplies. So each of our threads takes parts of the
work from the first copy to the last, and what it works on stays in its processor's cache. BLAS has
threads of its own, which share a single product, and fetch what they need of the operands from the
cache of the processor that made them. So a product is kept small enough that BLAS computes it in the
thread that asks.

>>> import numpy as np
>>> from tapegrad.ops.layers.workers import in_threads
>>> out = np.zeros(2)
>>> in_threads([lambda i=i: out.__setitem__(i, i + 1) for i in range(2)], threads=2)
>>> out
array([1., 2.])
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from tapegrad.tape.core.threads import Usage, after_fork, pool

__all__ = ["in_threads", "multiply", "processors", "sum_in_threads", "work_arrays"]

#: OpenBLAS computes products of fewer multiplications in the thread that asks for them.
_OWN_THREAD = (1 << 19) - 1

#: Work of fewer multiplications does not pay for waking threads.
_WORTHWHILE = 1 << 22

#: After a product, the threads of BLAS wait for the next one at full speed, for a tenth of a second,
#: which leaves no processor to ours. Where that goes on, as in networks that have large products of
#: other kinds too, one thread does all: when threads that got a processor for less than `_UNDISTURBED`
#: of their time have spent `_PATIENCE` seconds more than those that did get one. After `_LEAVE` seconds
#: they try again.
_UNDISTURBED = 0.8
_PATIENCE = 0.3
_LEAVE = 2.0

#: Bytes that a thread keeps to work in. From 4 << 20 on NumPy asks for huge pages, which would be
#: touched as a whole.
_KEPT = (4 << 20) - 4096


class _Crowding:
    """How many threads there may be, and whether they got the processors that they wanted."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget what was noted."""
        self.most = _available()
        self.seconds = 0.0
        self.left_until = 0.0

    def note(self, usage: Usage) -> None:
        """Take note of how threads fared."""
        used, took = usage
        self.seconds += took if used < _UNDISTURBED * took else -took
        self.seconds = max(self.seconds, 0.0)
        if self.seconds > _PATIENCE:
            self.seconds, self.left_until = 0.0, time.monotonic() + _LEAVE


def _available() -> int:
    """Return how many threads work on one layer: at most eight, and no more than BLAS may have."""
    counts = [8, pool.count]
    settings = [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
    return max(1, min(counts + [int(text) for text in settings if text.isdecimal()]))


_crowding = _Crowding()
after_fork(_crowding.renew)


def processors(multiplications: int) -> int:
    """Return how many processors such a piece of work is worth.

    Work is divided by this number, never by how many threads there are at the moment, so that the same
    call gives the same bits.
    """
    return _crowding.most if multiplications >= _WORTHWHILE else 1


def in_threads(tasks: Sequence[Callable[[], Any]], threads: int) -> None:
    """Make calls that do not depend on each other, on several threads; this is one of them.

    Returns when all are done. If one raises, those not begun are left out. While threads do not get
    processors, this one makes all calls.
    """
    if time.monotonic() < _crowding.left_until:
        threads = 1
    _crowding.note(pool.share(tasks, threads))


def sum_in_threads(
    add: Callable[[Any, Any], Any], parts: Sequence[Any], totals: Any, threads: int
) -> Any:
    """Return the sum over parts, of which ``add(total, part)`` adds one to an array.

    Each array of `totals`, which are zeros, takes its share of the parts, in order, so that the number
    of threads has no influence on the result.
    """
    count = len(totals)
    cuts = [i * len(parts) // count for i in range(count + 1)]

    def add_all(total: Any, some: Sequence[Any]) -> None:
        for part in some:
            add(total, part)

    tasks = [
        partial(add_all, total, parts[start:stop])
        for total, (start, stop) in zip(totals, pairwise(cuts))
    ]
    in_threads(tasks, threads)
    for total in totals[1:]:
        totals[0] += total
    return totals[0]


def multiply(a: Any, b: Any, out: Any, limit: int = _OWN_THREAD) -> None:
    """Multiply stacks of matrices, in products of at most so many multiplications.

    `out` has the stacked axes of both.
    """
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    if rows * depth * columns <= limit:
        np.matmul(a, b, out=out)
        return
    if columns > 8 and 8 * depth * columns > limit:  # keep eight rows together
        half = (columns // 2 + 7) // 8 * 8
        for part in (slice(0, half), slice(half, columns)):
            multiply(a, b[..., part], out[..., part], limit)
        return
    most = max(1, min(rows, limit // (depth * columns)))
    size = next(n for n in range(most, 0, -1) if rows % n == 0)
    if 2 * size >= min(most, 16):  # one more stacked axis
        a = a.reshape(*a.shape[:-2], rows // size, size, depth)
        out = out.reshape(*out.shape[:-2], rows // size, size, columns)
        np.matmul(a, b[..., None, :, :], out=out)
        return
    for first in range(0, rows, most):
        part = slice(first, first + most)
        np.matmul(a[..., part, :], b, out=out[..., part, :])


class _Memory(threading.local):
    spare: Any = None


_memory = _Memory()


@contextmanager
def work_arrays(dtype: np.dtype[Any], *shapes: tuple[int, ...]) -> Iterator[list[Any]]:
    """Lend arrays with arbitrary values, in memory that the thread keeps for the next time.

    The system hands out fresh memory page by page, which can take longer than what is done with it.
    """
    sizes = [math.prod(shape) for shape in shapes]
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + -(-size * dtype.itemsize // 64) * 64)
    memory = _memory.spare
    if memory is None or memory.size < offsets[-1]:
        memory = np.empty(max(offsets[-1], _KEPT), np.uint8)
    else:
        _memory.spare = None  # a finalizer that works meanwhile gets other memory
    yield [np.ndarray(shape, dtype, memory, offset) for shape, offset in zip(shapes, offsets)]
    if memory.size == _KEPT:
        _memory.spare = memory
