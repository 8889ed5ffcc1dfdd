"""Loops: the source of a kernel from its values, reductions and results.

The axes of a kernel are loops, one in another, those over rows first. Where values of the rows are
used by what comes after them, the inner loops stand there several times, one run after another within
each row; a value of an earlier run is computed again in a later one, or kept for the length of a row
if that is dear.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tapegrad.compile.backends.expressions import Call, Expression, Name, calls, substitute
from tapegrad.compile.backends.llvm.dialect import (
    TYPES,
    ExpressionWriter,
    is_dear,
    limit_of,
    number,
)
from tapegrad.compile.backends.loop_nest import Argument, LoopNest, Reduced, Value, Window

__all__ = ["BLOCK", "FLAG", "Source", "has_limits", "write"]


#: Elements of a block that is summed by itself.
BLOCK = 16384

#: The same for float32 numbers, also within a row: their errors would be seen.
BLOCK32 = 4096

#: The variable that says whether an argument was too large; it is returned last.
FLAG = "beyond"

_FLOAT64 = np.dtype(float)


class Source(NamedTuple):
    """The text of a function called ``kernel``, and the functions that it calls."""

    text: str
    functions: frozenset[tuple[str, str]]


def write(nest: LoopNest, *, exact: bool = False) -> Source:
    """Write the source; with `exact`, of a kernel that has no limits for arguments."""
    loops = _Loops(nest, exact)
    text = "\n".join(loops.lines()) + "\n"
    return Source(text, frozenset(loops.write.functions))


def has_limits(nest: LoopNest) -> bool:
    """Whether a kernel has functions that are right only up to a limit."""
    return any(_limits(value.expression) for value in nest.values)


def _limits(expression: Expression) -> list[tuple[Expression, float]]:
    """Return the arguments that have a limit, and the limit."""
    found = [(call.arguments[0], limit_of(call)) for call in calls(expression)]
    return [(argument, limit) for argument, limit in found if limit is not None]


def _rounds(r: Reduced) -> bool:
    """Whether the errors of a long reduction would be seen."""
    return r.dtype == np.float32 and r.rounding != "none"


def _is_wide(r: Reduced) -> bool:
    """Whether blocks are combined in float64; products would not overflow there as NumPy's do."""
    return r.dtype == np.float32 and r.rounding == "wide"


class _Loops:
    """Writes the loops of one nest."""

    def __init__(self, nest: LoopNest, exact: bool) -> None:
        self.nest = nest
        self.values = {value.name: value for value in nest.values}
        self.limited = not exact and has_limits(nest)
        self.arrays = {o.name: o for o in (*nest.operands, *nest.outputs) if o.dims}
        self.windows = {window.name: window for window in nest.windows}
        self.of_rows = {r.name for r in nest.reductions}
        self.blocked = nest.rank > 0 and any(r.full for r in nest.reductions)
        self.write = ExpressionWriter(self._local, exact)
        self.runs: list[list[str]] = []
        self.first: dict[str, int] = {}  # the run that computes a value first
        self._divide()
        self.scratch = self._kept_between_runs()
        self.out: list[str] = []

    def _local(self, name: str) -> str:
        """Return the variable that holds a value: an element of an array, or a row's total."""
        if name in self.arrays:
            return f"v_{name}"
        return f"s_{name}" if name in self.of_rows else name

    def lines(self) -> list[str]:
        nest, out = self.nest, self.out
        arguments = ["first"] * nest.turned + [f"n{i}" for i in range(nest.rank)]
        arguments += [*nest.bounds, *(a.name for a in (*nest.operands, *nest.filled))]
        arguments += [r.name for r in nest.partials]
        out.append(f"def kernel({', '.join(arguments)}):")
        if self.limited:
            out.append(f"    {FLAG} = False")
        for name in self.scratch:
            sizes = ", ".join(f"n{i}" for i in range(nest.split, nest.rank))
            dtype = self.values[name].expression.dtype
            out.append(f"    w_{name} = np.empty(({sizes},), {TYPES[dtype]})")
        for r in nest.reductions:
            if r.full:
                out.append(f"    {r.name} = {_start(r, wide=_is_wide(r))}")
        self._open_block()
        self._open(0, nest.split, nest.reductions, self._loads_of_rows())
        for run, names in enumerate(self.runs):
            self._run(run, names)
        self._close(0, nest.split, nest.reductions)
        self._close_block()
        wide = {r.name for r in nest.reductions if r.full and _is_wide(r)}
        returned = [f"float32({name})" if name in wide else name for name in nest.returned]
        returned += [FLAG] if self.limited else []
        if returned:
            out.append(f"    return {', '.join(returned)}")
        return out

    # What is computed in which run ------------------------------------------------------------------

    def _divide(self) -> None:
        """Find the names that each run over the elements computes or loads, in order."""
        nest = self.nest
        elements = [v for v in nest.values if not v.of_row]
        reduced = [r for r in nest.reductions if not r.of_rows]
        count = 1 + max([v.run for v in elements] + [r.run for r in reduced], default=0)
        for run in range(count):
            results = [v for v in elements if v.stored or v.name in nest.returned]
            wanted = {v.name for v in results if v.run == run}
            for r in reduced:
                if r.run == run:
                    wanted.update(r.uses)
            found = self._with_uses(wanted, run)
            self.runs.append(self._in_order(found))
            for name in found:
                self.first.setdefault(name, run)

    def _in_order(self, names: Iterable[str]) -> list[str]:
        """Sort names: what is loaded, then values in the order in which they are computed."""
        order = {name: i for i, name in enumerate(self.values)}
        return sorted(names, key=lambda name: (order.get(name, -1), name))

    def _with_uses(self, wanted: set[str], run: int) -> set[str]:
        """Add what the wanted values are computed from, up to what an earlier run has left."""
        found: set[str] = set()
        stack = list(wanted)
        while stack:
            name = stack.pop()
            value = self.values.get(name)
            if name in found or name in self.of_rows or (value is not None and value.of_row):
                continue
            found.add(name)
            if value is not None and not self._is_kept(value, run):
                stack.extend(value.uses)
        return found

    def _is_kept(self, value: Value, run: int) -> bool:
        """Whether a run finds a value where an earlier one left it."""
        if not self.first.get(value.name, run) < run:
            return False
        return bool(value.stored) or any(is_dear(call) for call in calls(value.expression))

    def _kept_between_runs(self) -> list[str]:
        """Return the values that need an array for the length of a row."""
        kept: dict[str, None] = {}
        for run, names in enumerate(self.runs):
            for name in names:
                value = self.values.get(name)
                if value is not None and self._is_kept(value, run) and not value.stored:
                    kept[name] = None
        return list(kept)

    # Loops ---------------------------------------------------------------------------------------

    def _summed_in_parts(self, reductions: Iterable[Reduced]) -> list[Reduced]:
        """Return the reductions along the last loop that are made of those of blocks."""
        nest = self.nest
        if not nest.rank > max(nest.split, int(self.blocked or nest.turned)):
            return []
        return [r for r in reductions if r.local and _rounds(r) and not r.of_rows]

    def _add_part(self, r: Reduced, pad: str) -> None:
        """Write how the total of a block of the last loop joins the others."""
        total = f"{'d_' * _is_wide(r)}s_{r.name}"
        part = f"t_s_{r.name}"
        self.out.append(f"{pad}{total} = {self.write.combine(r.combine, total, part)}")

    def _open(
        self,
        first: int,
        last: int,
        reductions: Iterable[Reduced],
        loads: dict[int, list[str]],
        parts: Iterable[Reduced] = (),
    ) -> None:
        """Begin the loops `first` to `last`; load what varies along none of the inner ones."""
        for i in range(first, last):
            for r in reductions:
                if not r.full and r.opens_at(i):
                    self._begin(r, self._pad(i), r in parts)
            if i == 0 and (self.blocked or self.nest.turned):
                bound, start = ("min(b0, n0 - u0)", ["u0"]) if self.blocked else ("n0", [])
                start = ["first"] * self.nest.turned + start
                self.out.append(f"{self._pad(i)}for k0 in range({bound}):")
                self.out.append(f"{self._pad(i + 1)}i0 = {' + '.join(start)} + k0")
            elif parts and i == last - 1:
                pad, part = self._pad(i), f"c{i} * {BLOCK32}"
                self.out.append(f"{pad}for c{i} in range((n{i} + {BLOCK32 - 1}) // {BLOCK32}):")
                self.out += [f"{pad}    t_s_{r.name} = {_start(r)}" for r in parts]
                self.out.append(f"{pad}    for k{i} in range(min({BLOCK32}, n{i} - {part})):")
                self.out.append(f"{pad}        i{i} = {part} + k{i}")
                self.out += [f"{pad}        {text}" for text in loads.get(i + 1, [])]
                continue
            else:
                self.out.append(f"{self._pad(i)}for i{i} in range(n{i}):")
            self.out += [self._pad(i + 1) + text for text in loads.get(i + 1, [])]

    def _open_block(self) -> None:
        """Begin the loop over blocks: each is summed by itself, so that errors do not add up."""
        if not self.blocked:
            return
        inner = " * ".join(f"n{i}" for i in range(1, self.nest.rank))
        full = [r for r in self.nest.reductions if r.full]
        block = BLOCK if any(r.dtype == np.float64 for r in full) else BLOCK32
        size = f"{block} // ({inner}) + 1" if inner else str(block)
        # Counted from 0, so that LLVM sees that no index is negative and vectorises.
        self.out += [f"    b0 = {size}", "    for c0 in range((n0 + b0 - 1) // b0):"]
        self.out.append("        u0 = c0 * b0")
        parts = self._summed_in_parts(full)
        for r in full:
            self._begin(r, "        ", r in parts)

    def _close_block(self) -> None:
        full = [r for r in self.nest.reductions if r.full]
        parts = self._summed_in_parts(full)
        for r in full:
            part = f"{'d_' * (r in parts and _is_wide(r))}s_{r.name}"
            self.out.append(f"        {r.name} = {self.write.combine(r.combine, r.name, part)}")

    def _begin(self, r: Reduced, pad: str, in_parts: bool) -> None:
        """Write with what a reduction begins."""
        if in_parts and _is_wide(r):
            self.out.append(f"{pad}d_s_{r.name} = {_start(r, wide=True)}")
        else:
            self.out.append(f"{pad}s_{r.name} = {_start(r)}")

    def _close(self, first: int, last: int, reductions: Iterable[Reduced]) -> None:
        for i in reversed(range(first, last)):
            for r in reductions:
                if r.stored and r.opens_at(i):
                    self.out.append(f"{self._pad(i)}{_element(r.name, r.dims)} = s_{r.name}")

    def _run(self, run: int, names: list[str]) -> None:
        """Write one run over the elements of a row, and what follows on the row."""
        nest = self.nest
        reductions = [r for r in nest.reductions if r.run == run and not r.of_rows]
        parts = self._summed_in_parts(reductions)
        self._open(nest.split, nest.rank, reductions, self._loads(names), parts)
        pad = self._pad(nest.rank + bool(parts))
        for name in names:
            if name in self.values:
                self._compute(self.values[name], run, pad)
        new = [v for n in names if (v := self.values.get(n)) and self.first[n] == run]
        self._check(new, pad)
        for r in reductions:
            self._combine(r, pad, "t_" * (r in parts))
        for r in parts:
            self._add_part(r, self._pad(nest.rank))
        for i in reversed(range(nest.split, nest.rank)):
            for r in parts:
                if _is_wide(r) and not r.full and r.opens_at(i):
                    self.out.append(f"{self._pad(i)}s_{r.name} = float32(d_s_{r.name})")
            # What ends within a row comes before what may run over it again, which has branches.
            if i > nest.split:
                self._close(i, i + 1, reductions)
        for r in reductions:
            self._finish(r)
        self._close(nest.split, min(nest.split + 1, nest.rank), reductions)
        self._row(run)

    def _check(self, values: Iterable[Value], pad: str) -> None:
        """Write the test of the arguments that have a limit."""
        if self.limited:
            limits = [limit for value in values for limit in _limits(value.expression)]
            for argument, limit in dict.fromkeys(limits):
                self.out.append(f"{pad}{FLAG} |= abs({self.write(argument)}) > {limit!r}")

    def _compute(self, value: Value, run: int, pad: str) -> None:
        if self._is_kept(value, run):
            self.out.append(f"{pad}{value.name} = {self._where(value)}")
            return
        self.out.append(f"{pad}{value.name} = {self.write(value.expression)}")
        if self.first[value.name] == run and (value.stored or value.name in self.scratch):
            self.out.append(f"{pad}{self._where(value)} = {value.name}")

    def _where(self, value: Value) -> str:
        """Return the element of an array that holds a value between runs, or after them."""
        if value.stored:
            out = self.arrays[value.stored]
            place = self.arrays[out.over] if out.over else out
            return _element(place.name, place.dims)
        return _element(f"w_{value.name}", range(self.nest.split, self.nest.rank))

    def _row(self, run: int) -> None:
        """Write what is computed once for each row, after a run over its elements."""
        nest = self.nest
        pad = self._pad(nest.split)
        for value in nest.values:
            if not value.of_row or value.run != run:
                continue
            self.out.append(f"{pad}{value.name} = {self.write(value.expression)}")
            self._check([value], pad)
            if value.stored:
                self.out.append(f"{pad}{self._where(value)} = {value.name}")
        for r in nest.reductions:
            if r.of_rows and r.run == run:
                self._combine(r, pad)

    def _combine(self, r: Reduced, pad: str, part: str = "") -> None:
        target = f"{part}s_{r.name}" if r.local else _element(r.name, r.dims)
        value = self.write(r.element)
        self.out.append(f"{pad}{target} = {self.write.combine(r.combine, target, value)}")

    # What becomes of totals ------------------------------------------------------------------------

    def _finish(self, r: Reduced) -> None:
        """Write how the total of a row becomes the result.

        A total that is not good is computed again from elements that are divided by the greatest of
        their magnitudes: two more runs, for such rows alone.
        """
        pad, total, unit = self._pad(self.nest.split), f"s_{r.name}", f"m_{r.name}"
        x = {"x": Name(total, r.dtype)}
        finished = f"{total} = {self.write(substitute(r.finish or Name('x', r.dtype), x))}"
        if r.safe is None:
            self.out += [f"{pad}{finished}"] * (r.finish is not None)
            return
        zero = number(0, r.dtype)
        self.out.append(f"{pad}if {self.write(substitute(r.safe, x))}:")
        self.out.append(f"{pad}    {finished}")
        self.out.append(f"{pad}else:")
        self.out.append(f"{pad}    {unit} = {zero}")
        size = f"abs({self.write(r.operand)})"
        self._again(r, 1, [f"{unit} = {self.write.instruction('maximum', unit, size)}"])
        self.out.append(f"{pad}    {total} = {unit}")
        self.out.append(f"{pad}    if {unit} > 0 and {unit} < inf:")
        self.out.append(f"{pad}        {total} = {_start(r)}")
        ratio = f"y_{r.name}"
        element = self.write(r.scaled_element(ratio))
        self._again(r, 2, [
            f"{ratio} = {self.write(Call('divide', (r.operand, Name(unit, r.dtype)), r.dtype))}",
            f"{total} = {self.write.combine(r.combine, total, element)}",
        ])  # fmt: skip
        self.out.append(f"{pad}        {finished}")
        self.out.append(f"{pad}        {total} = {unit} * {total}")

    def _again(self, r: Reduced, deeper: int, statements: list[str]) -> None:
        """Write one more run over the elements that a reduction is made of."""
        nest, extra = self.nest, "    " * deeper
        names = self._in_order(self._with_uses(set(r.uses), r.run))
        loads = self._loads(names)
        for i in range(nest.split, nest.rank):
            self.out.append(f"{extra}{self._pad(i)}for i{i} in range(n{i}):")
            self.out += [extra + self._pad(i + 1) + text for text in loads.get(i + 1, [])]
        pad = extra + self._pad(nest.rank)
        for name in names:
            if name in self.values:
                value = self.values[name]
                kept = self._is_kept(value, r.run)
                source = self._where(value) if kept else self.write(value.expression)
                self.out.append(f"{pad}{name} = {source}")
        self.out += [pad + text for text in statements]

    # Loads ---------------------------------------------------------------------------------------

    def _loads(self, names: list[str]) -> dict[int, list[str]]:
        """Return the loads of one run, by the depth at which they stand."""
        operands = [o for o in self.nest.operands if o.name in names and o.dims]
        used = {o.window for o in operands}
        windows = [w for w in self.nest.windows if w.name in names or w.name in used]
        return {
            depth: texts
            for depth, texts in self._by_depth(windows, operands).items()
            if depth > self.nest.split
        }

    def _loads_of_rows(self) -> dict[int, list[str]]:
        operands = [o for o in self.nest.operands if o.dims]
        return {
            depth: texts
            for depth, texts in self._by_depth(self.nest.windows, operands).items()
            if depth <= self.nest.split
        }

    def _by_depth(
        self, windows: Iterable[Window], operands: Iterable[Argument]
    ) -> dict[int, list[str]]:
        """Return what is looked up at each depth: whether a window is met, then elements."""
        found: dict[int, list[str]] = {}
        for window in windows:
            found.setdefault(_depth(window.loops), []).append(_meeting(window))
        for o in operands:
            own = self.windows.get(o.window)
            loops = o.dims if own is None else (*o.dims, *own.loops)
            found.setdefault(_depth(loops), []).append(_load(o, own))
        return found

    def _pad(self, depth: int) -> str:
        return "    " * (depth + 1 + self.blocked)


def _depth(loops: Iterable[int]) -> int:
    """Return the number of loops around what depends on the indices of some."""
    return 1 + max(loops, default=-1)


def _meeting(window: Window) -> str:
    """Return the statement that finds out whether an element lies in a window."""
    tests = [
        f"i{loop} >= {window.begin(loop)} and i{loop} < {window.end(loop)}" for loop in window.loops
    ]
    return f"{window.name} = {' and '.join(tests) or 'True'}"


def _load(o: Argument, window: Window | None) -> str:
    if window is None:
        return f"v_{o.name} = {_element(o.name, o.dims)}"
    indices = [f"i{d} - {window.begin(d)}" if d in window.loops else f"i{d}" for d in o.dims]
    element = f"{o.name}[{', '.join(indices)}]"
    return f"v_{o.name} = {element} if {window.name} else {number(0, o.dtype)}"


def _element(name: str, dims: Iterable[int]) -> str:
    return f"{name}[{', '.join(f'i{d}' for d in dims) or '()'}]"


def _start(r: Reduced, *, wide: bool = False) -> str:
    return number(r.initial, _FLOAT64 if wide else r.dtype)
