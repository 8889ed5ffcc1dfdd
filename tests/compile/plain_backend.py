"""A back end of plain Python: what a nest means, written down as shortly as possible.

It computes each value when it is asked for, with NumPy's scalars, and knows no order of loops, no
blocks, no buffers and no threads. So it tells whether those of another back end make a difference.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from tapegrad.compile.backends import llvm
from tapegrad.compile.backends.expressions import Expression, evaluate, names
from tapegrad.compile.backends.interface import Kernel, Layout
from tapegrad.compile.backends.loop_nest import Argument, LoopNest, Reduced
from tapegrad.compile.backends.repetition import Loop
from tapegrad.tape.core.slots import Recurrence

# The kernels of the two are to be compared, so that both take the same.
DTYPES, supports, gains, combines = llvm.DTYPES, llvm.supports, llvm.gains, llvm.combines
problems: list[str] = []

Index = tuple[int, ...]


def usable() -> bool:
    """Python is there."""
    return True


def same_layouts(layouts: Sequence[Layout]) -> Callable[..., bool]:
    """Compare as the layouts are written."""
    expected = list(layouts)
    return lambda *arrays: [(a.shape, a.strides, a.dtype) for a in arrays] == expected


def repeats(nest: LoopNest) -> bool:
    """Plain loops are right for all arguments."""
    return False


def recurrence(
    rule: Recurrence, dtype: np.dtype[Any], of_rows: bool, reverse: bool
) -> Callable[..., None]:
    """Follow a recurrence element by element."""

    def run(n0: int, n1: int, n2: int, *arrays: Any) -> None:
        *operands, out = arrays
        for i, k in itertools.product(range(n0), range(n2)):
            t = None
            for j in reversed(range(n1)) if reverse else range(n1):
                own = {name: f"{name}" for name in "xyz"}
                values = dict(zip("xyz", (operand[i, j, k] for operand in operands)))
                text = (rule.start if t is None else rule.step).format(**own)
                t = out[i, j, k] = eval(text, values | {"t": t})

    return run


def loop(steps: Loop) -> None:
    """Leave loops to Python."""


def compile(nest: LoopNest, sizes: Index) -> Kernel:
    """Return a nest as a callable."""
    return Kernel(lambda *given: _Run(nest, sizes, given)(), (), None, str(nest), "compiled")


class _Run:
    """One call of a kernel; an index has a number for each loop, those of rows first."""

    def __init__(self, nest: LoopNest, sizes: Index, given: tuple[Any, ...]) -> None:
        self.nest = nest
        self.sizes = sizes
        arguments = (*nest.operands, *nest.filled, *nest.partials)
        named = [*nest.bounds, *(a.name for a in arguments)]
        self.given = dict(zip(named, given, strict=True))
        for out in nest.outputs:
            if out.over:  # read as it was, while it is written
                self.given[out.name] = self.given[out.over]
                self.given[out.over] = self.given[out.over].copy()
        self.windows = {window.name: window for window in nest.windows}
        self.operands = {a.name: a for a in nest.operands}
        self.arrays = {a.name: a for a in (*nest.operands, *nest.outputs)}
        self.values = {v.name: v for v in nest.values}
        self.reductions = {r.name: r for r in nest.reductions}
        self.totals: dict[tuple[str, Index], Any] = {}

    def __call__(self) -> Any:
        with np.errstate(all="ignore"):
            for out in self.nest.outputs:
                (value,) = (v for v in self.values.values() if v.stored == out.name)
                for index in self._points(out.dims):
                    place = tuple(index[d] for d in self.arrays[out.over or out.name].dims)
                    self.given[out.name][place] = self.value(value.name, index)
            for r in self.nest.partials:
                for index in self._points(r.dims):
                    self.given[r.name][tuple(index[d] for d in r.dims)] = self.result(r, index)
            zeros = (0,) * len(self.sizes)
            returned = tuple(self.value(name, zeros) for name in self.nest.returned)
        return returned if len(returned) > 1 else returned[0] if returned else None

    def _points(self, loops: Any, start: Index = ()) -> Iterator[Index]:
        """Yield indices that run through some loops, and are 0, or as in `start`, in the others."""
        other = start or (0,) * len(self.sizes)
        ranges = [range(n) if i in loops else (other[i],) for i, n in enumerate(self.sizes)]
        return itertools.product(*ranges)

    def value(self, name: str, index: Index) -> Any:
        """Return what goes by a name, at one point of the space."""
        if name in self.windows:
            return all(
                self.given[self.windows[name].begin(i)] <= index[i]
                and index[i] < self.given[self.windows[name].end(i)]
                for i in self.windows[name].loops
            )
        if name in self.operands:
            return self.operand(self.operands[name], index)
        if name in self.reductions:
            return self.result(self.reductions[name], index)
        return self.expression(self.values[name].expression, index)

    def operand(self, operand: Argument, index: Index) -> Any:
        """Return an element of an operand, or zero outside of its window."""
        given, window = self.given[operand.name], self.windows.get(operand.window)
        if window is not None:
            if not self.value(window.name, index):
                return operand.dtype.type(0)
            index = tuple(
                i - self.given[window.begin(d)] if d in window.loops else i
                for d, i in enumerate(index)
            )
        if operand.dims:
            given = given[tuple(index[d] for d in operand.dims)]
        return operand.dtype.type(given)

    def expression(self, expression: Expression, index: Index) -> Any:
        return evaluate(expression, {name: self.value(name, index) for name in names(expression)})

    def result(self, r: Reduced, index: Index) -> Any:
        """Return the result of a reduction at the point of `index` that it leaves."""
        key = r.name, tuple(index[d] for d in r.dims)
        if key not in self.totals:
            self.totals[key] = self._result(r, index)
        return self.totals[key]

    def _result(self, r: Reduced, index: Index) -> Any:
        def finished(total: Any) -> Any:
            return total if r.finish is None else evaluate(r.finish, {"x": total})

        total = self._total(r, index, lambda x: x)
        if r.safe is None or evaluate(r.safe, {"x": total}):
            return finished(total)
        unit = reduce(np.maximum, (abs(x) for x in self._elements(r, index)))
        if not 0 < unit < np.inf:
            return unit
        return unit * finished(self._total(r, index, lambda x: x / unit))

    def _total(self, r: Reduced, index: Index, prepared: Callable[[Any], Any]) -> Any:
        combine = getattr(np, r.combine)
        dtype = np.dtype(float) if r.rounding == "wide" else r.dtype
        total = dtype.type(r.initial)
        for x in self._elements(r, index):
            total = combine(total, evaluate(r.each, {"x": prepared(x)}), dtype=dtype)
        return r.dtype.type(total)

    def _elements(self, r: Reduced, index: Index) -> Iterator[Any]:
        """Yield the operand at each point that goes into one result."""
        loops = {i for i, gone in enumerate(r.gone) if gone}
        if r.of_rows:  # which have one value each
            loops &= set(range(self.nest.split))
        for point in self._points(loops, index):
            yield self.expression(r.operand, point)
