"""Parts: a kernel that has much to do is divided along its outermost loop, and threads share the parts.

The threads are those of ``tape/core``, and kernels let the interpreter go on: Numba's threading layers
abort when two threads call in at once. The parts are few, since handing the interpreter's lock to and
fro costs time; a kernel sums in blocks by itself (``loops.py``). They do not depend on the number of
threads, and so nor do the results.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tapegrad.compile.backends.expressions import calls
from tapegrad.compile.backends.llvm.dialect import is_dear
from tapegrad.compile.backends.loop_nest import LoopNest, Reduced
from tapegrad.tape.core.threads import pool

__all__ = ["WORTH_DIVIDING", "InParts", "parts_of"]

#: Nanoseconds of work from which on it is divided (waking one costs some 50 us), and what one part
#: should take.
WORTH_DIVIDING = 150_000
PART = 100_000
MOST_PARTS = 16

#: What an element costs, measured: to load or store it from the cache, and one vectorised function.
_NS_AN_ARRAY, _NS_A_FUNCTION = 0.1, 0.8


def parts_of(nest: LoopNest, sizes: tuple[int, ...]) -> int:
    """Return into how many parts to divide the outermost loop: 1 for not at all."""
    if not sizes:
        return 1
    work = math.prod(sizes) * _cost(nest)
    if work <= WORTH_DIVIDING:
        return 1
    return min(max(2, int(work / PART)), MOST_PARTS, sizes[0])


def _cost(nest: LoopNest) -> float:
    """Return roughly how many nanoseconds an element takes."""
    arrays = sum(bool(a.dims) for a in (*nest.operands, *nest.outputs))
    elements = [value.expression for value in nest.values if not value.of_row]
    functions = sum(any(map(is_dear, calls(expression))) for expression in elements)
    return _NS_AN_ARRAY * arrays + _NS_A_FUNCTION * functions


class _Joined(NamedTuple):
    """How the results that parts give for one reduction become one."""

    combine: np.ufunc
    initial: float

    @classmethod
    def of(cls, r: Reduced) -> _Joined:
        return cls(getattr(np, r.combine), r.initial)


@dataclass(slots=True, frozen=True)
class InParts:
    """A kernel call that is split along its outermost loop.

    Attributes
    ----------
    kernel : callable
    sizes : tuple of int
    parts : int
    sliced : tuple of bool
        For each operand and output, whether its first axis is that loop's.
    partials : tuple of (_Joined or None)
        For each reduction that goes into an array how those of the parts are joined, or None if each
        part fills a part of the array.
    full : tuple of _Joined
        The same for the reductions that the kernel returns.
    flagged : bool
        Whether the kernel also returns that it left the range of a function.
    turned : bool
        Whether the kernel takes whole arrays and the first index.
    """

    kernel: Callable[..., Any]
    sizes: tuple[int, ...]
    parts: int
    sliced: tuple[bool, ...]
    partials: tuple[_Joined | None, ...]
    full: tuple[_Joined, ...]
    flagged: bool
    turned: bool

    @classmethod
    def of(
        cls, nest: LoopNest, kernel: Callable[..., Any], sizes: tuple[int, ...], parts: int,
        flagged: bool,
    ) -> InParts:  # fmt: skip
        """Divide the kernel of a nest."""
        sliced = tuple(0 in a.dims for a in (*nest.operands, *nest.outputs))
        partials = tuple(_Joined.of(r) if r.gone[0] else None for r in nest.partials)
        full = tuple(_Joined.of(r) for r in nest.reductions if r.full)
        return cls(kernel, sizes, parts, sliced, partials, full, flagged, nest.turned)

    def __call__(self, *arrays: Any) -> Any:
        """Run the kernel over `arrays`: operands, outputs, then partial reductions."""
        first, parts = self.sizes[0], self.parts
        bounds = [i * first // parts for i in range(parts + 1)]
        done: list[Any] = [None] * parts

        def run(i: int) -> None:
            done[i] = self._run(bounds[i], bounds[i + 1], arrays)

        pool.share([partial(run, i) for i in range(parts)], pool.count)
        return self._joined(done, arrays)

    def _run(self, lo: int, hi: int, arrays: tuple[Any, ...]) -> tuple[Any, list[Any]]:
        """Run one part; return its full reductions, and the arrays of the partial ones."""
        own = [a[lo:hi] if s and not self.turned else a for a, s in zip(arrays, self.sliced)]
        for target, joined in zip(arrays[len(self.sliced) :], self.partials):
            if joined is not None:
                own.append(np.full_like(target, joined.initial))
            else:
                own.append(target if self.turned else target[lo:hi])
        first = (lo,) if self.turned else ()
        result = self.kernel(*first, hi - lo, *self.sizes[1:], *own)
        returned = () if result is None else result if type(result) is tuple else (result,)
        return returned, own[len(self.sliced) :]

    def _joined(self, parts: list[Any], arrays: tuple[Any, ...]) -> Any:
        targets = arrays[len(self.sliced) :]
        for i, joined in enumerate(self.partials):
            if joined is not None:
                for _, parted in parts:
                    joined.combine(targets[i], parted[i], out=targets[i])
        columns = list(zip(*(returned for returned, _ in parts)))
        totals = [joined.combine.reduce(np.array(c)) for joined, c in zip(self.full, columns)]
        if self.flagged:
            totals.append(any(columns[-1]))
        if not totals:
            return None
        return totals[0] if len(totals) == 1 else tuple(totals)
