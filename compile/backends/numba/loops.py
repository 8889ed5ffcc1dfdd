"""Loops: the source of a kernel from its values, reductions and results.

The axes of a kernel are loops, one in another, those over rows first. Where values of the rows are
used by what comes after them, the inner loops stand there several times, one run after another within
each row; a value of an earlier run is computed again in a later one, or kept for the length of a row
if that is dear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.compile.fusion import scalars
from tapegrad.compile.fusion.nest import Nest, Operand, Reduced, Value

__all__ = ["BLOCK", "source"]


#: Elements of a block that is summed by itself.
BLOCK = 16384

#: The same for float32 numbers, also within a row: their errors would be seen.
PART = 4096


def source(nest: Nest, *, exact: bool = False) -> str:
    """Write the source; with `exact`, of a kernel that has no limits for arguments."""
    text = "\n".join(_Source(nest, exact).lines()) + "\n"
    return _with_exact_functions(text, nest.functions) if exact else text


class _Source:
    """Writes the loops of one nest."""

    def __init__(self, nest: Nest, exact: bool) -> None:
        self.nest = nest
        self.limited = not exact and any(v.limit for v in nest.values.values())
        self.arrays = {o.name: o for o in nest.outputs}
        self.blocked = nest.rank > 0 and any(r.full for r in nest.reductions)
        self.runs: list[list[str]] = []
        self.first: dict[str, int] = {}  # the run that computes a value first
        self._divide()
        self.scratch = self._kept_between_runs()
        self.out: list[str] = []

    def lines(self) -> list[str]:
        nest, out = self.nest, self.out
        arguments = ["first"] * nest.turned + [f"n{i}" for i in range(nest.rank)]
        arguments += [o.name for o in (*nest.operands, *nest.outputs)]
        arguments += [r.name for r in nest.reductions if r.stored]
        out.append(f"def kernel({', '.join(arguments)}):")
        if self.limited:
            out.append("    beyond = False")
        for name in self.scratch:
            sizes = ", ".join(f"n{i}" for i in range(nest.split, nest.rank))
            out.append(f"    w_{name} = np.empty(({sizes},), {nest.values[name].dtype})")
        for r in nest.reductions:
            if r.full:
                out.append(f"    {r.name} = {'0.0' if r.widened else _start(r)}")
        self._open_block()
        self._open(0, nest.split, nest.reductions, self._loads_of_rows())
        for level, names in enumerate(self.runs):
            self._run(level, names)
        self._close(0, nest.split, nest.reductions)
        self._close_block()
        wide = {r.name for r in nest.reductions if r.full and r.widened}
        returned = [f"float32({name})" if name in wide else name for name in nest.returned]
        returned += ["beyond"] if self.limited else []
        if returned:
            out.append(f"    return {', '.join(returned)}")
        return out

    # What is computed in which run ------------------------------------------------------------------

    def _divide(self) -> None:
        """Find the names that each run over the elements computes or loads, in order."""
        nest = self.nest
        elements = [v for v in nest.values.values() if not v.row]
        reduced = [r for r in nest.reductions if not r.over_rows]
        count = 1 + max([v.level for v in elements] + [r.level for r in reduced], default=0)
        order = {name: i for i, name in enumerate(nest.values)}
        for level in range(count):
            results = [v for v in elements if v.stored or v.name in nest.returned]
            wanted = {v.name for v in results if v.level == level}
            for r in reduced:
                if r.level == level:
                    wanted.update(r.uses)
            found = self._with_uses(wanted, level)
            self.runs.append(sorted(found, key=lambda name: (order.get(name, -1), name)))
            for name in found:
                self.first.setdefault(name, level)

    def _with_uses(self, wanted: set[str], level: int) -> set[str]:
        """Add what the wanted values are computed from, up to what an earlier run has kept."""
        found: set[str] = set()
        stack = list(wanted)
        while stack:
            name = stack.pop()
            value = self.nest.values.get(name)
            if name in found or (value is not None and value.row):
                continue
            found.add(name)
            if value is not None and not self._is_kept(value, level):
                stack.extend(value.uses)
        return found

    def _is_kept(self, value: Value, level: int) -> bool:
        """Whether a run finds a value where an earlier one left it."""
        earlier = self.first.get(value.name, level) < level
        return earlier and (value.dear or bool(value.stored))

    def _kept_between_runs(self) -> list[str]:
        kept = []
        for level, names in enumerate(self.runs):
            for name in names:
                value = self.nest.values.get(name)
                if value is None or not self._is_kept(value, level):
                    continue
                if not value.stored and name not in kept:
                    kept.append(name)
        return kept

    # Loops ---------------------------------------------------------------------------------------

    def _summed_in_parts(self, reductions: list[Reduced]) -> list[Reduced]:
        """Return the sums along the last loop that are made of sums of blocks."""
        nest = self.nest
        if not nest.rank > max(nest.split, int(self.blocked or nest.turned)):
            return []
        return [r for r in reductions if r.local and r.rounds]

    def _add_part(self, r: Reduced, pad: str) -> None:
        """Write how the sum of a block of the last loop joins the others."""
        total = f"s_{r.name}"
        if r.widened:
            self.out.append(f"{pad}d_{total} += t_{total}")
        else:
            self.out.append(f"{pad}{total} = mul_reassoc({total}, t_{total})")

    def _open(
        self,
        first: int,
        last: int,
        reductions: Any,
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
                pad, part = self._pad(i), f"c{i} * {PART}"
                self.out.append(f"{pad}for c{i} in range((n{i} + {PART - 1}) // {PART}):")
                self.out += [f"{pad}    t_s_{r.name} = {_start(r)}" for r in parts]
                self.out.append(f"{pad}    for k{i} in range(min({PART}, n{i} - {part})):")
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
        wide = any(r.full and r.node.dtype == np.float64 for r in self.nest.reductions)
        block = BLOCK if wide else PART
        size = f"{block} // ({inner}) + 1" if inner else str(block)
        # Counted from 0, so that LLVM sees that no index is negative and vectorises.
        self.out += [f"    b0 = {size}", "    for c0 in range((n0 + b0 - 1) // b0):"]
        self.out.append("        u0 = c0 * b0")
        full = [r for r in self.nest.reductions if r.full]
        parts = self._summed_in_parts(full)
        for r in full:
            self._begin(r, "        ", r in parts)

    def _close_block(self) -> None:
        full = [r for r in self.nest.reductions if r.full]
        parts = self._summed_in_parts(full)
        for r in full:
            combine = scalars.REDUCTIONS[r.kind][1]
            if r.widened:
                self.out.append(f"        {r.name} += {'d_' * (r in parts)}s_{r.name}")
            else:
                self.out.append(f"        {r.name} = {combine}({r.name}, s_{r.name})")

    def _begin(self, r: Reduced, pad: str, in_parts: bool) -> None:
        """Write with what a sum begins."""
        if in_parts and r.widened:
            self.out.append(f"{pad}d_s_{r.name} = 0.0")
        else:
            self.out.append(f"{pad}s_{r.name} = {_start(r)}")

    def _close(self, first: int, last: int, reductions: Any) -> None:
        for i in reversed(range(first, last)):
            for r in reductions:
                if r.stored and r.opens_at(i):
                    self.out.append(f"{self._pad(i)}{_element(r.name, r.dims)} = s_{r.name}")

    def _run(self, level: int, names: list[str]) -> None:
        """Write one run over the elements of a row, and what follows on the row."""
        nest = self.nest
        reductions = [r for r in nest.reductions if r.level == level and not r.over_rows]
        parts = self._summed_in_parts(reductions)
        self._open(nest.split, nest.rank, reductions, self._loads(names), parts)
        pad = self._pad(nest.rank + bool(parts))
        for name in names:
            if name in nest.values:
                self._compute(nest.values[name], level, pad)
        new = [v for n in names if (v := nest.values.get(n)) and self.first[n] == level]
        for limit in dict.fromkeys(v.limit for v in new if v.limit):
            self._check(limit, pad)
        for r in reductions:
            self._combine(r, pad, "t_" * (r in parts))
        for r in parts:
            self._add_part(r, self._pad(nest.rank))
        for i in reversed(range(nest.split, nest.rank)):
            for r in parts:
                if r.widened and not r.full and r.opens_at(i):
                    self.out.append(f"{self._pad(i)}s_{r.name} = float32(d_s_{r.name})")
            # What ends within a row comes before the norm, whose text has branches.
            if i > nest.split:
                self._close(i, i + 1, reductions)
        for r in reductions:
            if r.kind == "vector_norm":
                self._finish_norm(r)
        self._close(nest.split, min(nest.split + 1, nest.rank), reductions)
        self._row(level)

    def _check(self, limit: tuple[str, float], pad: str) -> None:
        if self.limited:
            self.out.append(f"{pad}beyond |= abs({limit[0]}) > {limit[1]!r}")

    def _compute(self, value: Value, level: int, pad: str) -> None:
        if self._is_kept(value, level):
            self.out.append(f"{pad}{value.name} = {self._where(value)}")
            return
        self.out.append(f"{pad}{value.name} = {value.text}")
        if self.first[value.name] == level and (value.stored or value.name in self.scratch):
            self.out.append(f"{pad}{self._where(value)} = {value.name}")

    def _where(self, value: Value) -> str:
        """Return the element of an array that holds a value between runs, or after them."""
        if value.stored:
            return _element(value.stored, self.arrays[value.stored].dims)
        return _element(f"w_{value.name}", range(self.nest.split, self.nest.rank))

    def _row(self, level: int) -> None:
        """Write what is computed once for each row, after a run over its elements."""
        nest = self.nest
        pad = self._pad(nest.split)
        for value in nest.values.values():
            if not value.row or value.level != level or not value.text:
                continue
            self.out.append(f"{pad}{value.name} = {value.text}")
            if value.limit:
                self._check(value.limit, pad)
            if value.stored:
                self.out.append(f"{pad}{self._where(value)} = {value.name}")
        for r in nest.reductions:
            if r.over_rows and r.level == level:
                self._combine(r, pad)

    def _combine(self, r: Reduced, pad: str, part: str = "") -> None:
        combine = scalars.REDUCTIONS[r.kind][1]
        target = f"{part}s_{r.name}" if r.local else _element(r.name, r.dims)
        value = r.value
        if r.kind == "vector_norm":
            value = scalars.power_text(value, r.ord, _suffix(r))
        self.out.append(f"{pad}{target} = {combine}({target}, {value})")

    # Norms ---------------------------------------------------------------------------------------

    def _finish_norm(self, r: Reduced) -> None:
        """Write how a sum of powers becomes a norm.

        Where it overflowed or underflowed, the row is divided by its greatest element: two more runs,
        for such rows alone.
        """
        limits = np.finfo(r.node.dtype)
        low = float(limits.tiny) / float(limits.eps)
        pad, total, largest = self._pad(self.nest.split), f"s_{r.name}", f"m_{r.name}"
        zero, suffix = _start(r), _suffix(r)
        root = scalars.root_text(total, r.ord, suffix)
        self.out.append(f"{pad}if {total} >= {low!r} and {total} < inf:")
        self.out.append(f"{pad}    {total} = {root}")
        self.out.append(f"{pad}else:")
        self.out.append(f"{pad}    {largest} = {zero}")
        self._again(r, 1, [f"{largest} = maximum({largest}, abs({r.value}))"])
        self.out.append(f"{pad}    {total} = {largest}")
        self.out.append(f"{pad}    if {largest} > 0 and {largest} < inf:")
        self.out.append(f"{pad}        {total} = {zero}")
        ratio, power = f"y_{r.name}", scalars.power_text(f"y_{r.name}", r.ord, suffix)
        again = [f"{ratio} = {r.value} / {largest}", f"{total} = add_reassoc({total}, {power})"]
        self._again(r, 2, again)
        self.out.append(f"{pad}        {total} = {largest} * {root}")

    def _again(self, r: Reduced, deeper: int, statements: list[str]) -> None:
        """Write one more run over the elements that a reduction is made of."""
        nest, extra = self.nest, "    " * deeper
        order = {name: i for i, name in enumerate(nest.values)}
        names = sorted(self._with_uses(set(r.uses), r.level), key=lambda n: order.get(n, -1))
        loads = self._loads(names)
        for i in range(nest.split, nest.rank):
            self.out.append(f"{extra}{self._pad(i)}for i{i} in range(n{i}):")
            self.out += [extra + self._pad(i + 1) + text for text in loads.get(i + 1, [])]
        pad = extra + self._pad(nest.rank)
        for name in names:
            if name in nest.values:
                value = nest.values[name]
                kept = self._is_kept(value, r.level)
                self.out.append(f"{pad}{name} = {self._where(value) if kept else value.text}")
        self.out += [pad + text for text in statements]

    # Loads ---------------------------------------------------------------------------------------

    def _load(self, o: Operand) -> tuple[int, str]:
        depth = max(i + 1 for i, varies in enumerate(o.axes) if varies)
        return depth, f"v_{o.name} = {_element(o.name, o.dims)}"

    def _loads(self, names: list[str]) -> dict[int, list[str]]:
        """Return the loads of one run, by the depth at which they stand."""
        loads: dict[int, list[str]] = {}
        for o in self.nest.operands:
            if any(o.axes) and f"v_{o.name}" in names:
                depth, text = self._load(o)
                if depth > self.nest.split:
                    loads.setdefault(depth, []).append(text)
        return loads

    def _loads_of_rows(self) -> dict[int, list[str]]:
        loads: dict[int, list[str]] = {}
        for o in self.nest.operands:
            if any(o.axes):
                depth, text = self._load(o)
                if depth <= self.nest.split:
                    loads.setdefault(depth, []).append(text)
        return loads

    def _pad(self, depth: int) -> str:
        return "    " * (depth + 1 + self.blocked)


def _element(name: str, dims: Iterable[int]) -> str:
    return f"{name}[{', '.join(f'i{d}' for d in dims) or '()'}]"


def _start(r: Reduced) -> str:
    text = scalars.REDUCTIONS[r.kind][0]
    return f"{scalars.NUMBA_NAMES[r.node.dtype]}({text})"


def _suffix(r: Reduced) -> str:
    return "f32" if r.node.dtype == np.float32 else "f64"


def _with_exact_functions(text: str, functions: set[tuple[str, str]]) -> str:
    for name, suffix in functions:
        if suffix and (name, "float32" if suffix == "f32" else "float64") in scalars.LIMITS:
            text = re.sub(rf"\b{name}_{suffix}\(", f"np.{name}(", text)
    return text
