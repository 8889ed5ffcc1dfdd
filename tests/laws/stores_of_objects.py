"""Random programs that store by objects, generators, closures, masks and views; see ``stores``.

The statements are those of ``stores``, and further ones: properties, slots, context managers, generators
that are sent values, variables of outer functions, queues, copies, numbers without a derivative,
and the indices and functions by which NumPy writes into parts of arrays.
"""

from __future__ import annotations

import copy
import functools
import itertools
import types
from collections import deque
from typing import Any

import numpy as np
from stores import BEGIN, Program

__all__ = ["ObjectProgram"]

CLASSES = """\
    class Kept:
        count = 0
        def __init__(self, a):
            self.held = a; Kept.count += 1
        @property
        def a(self):
            return self.held
        @a.setter
        def a(self, value):
            self.held = value * 1.0; self.n = Kept.count
        def __getitem__(self, i):
            return self.held[i]
        def __setitem__(self, i, value):
            self.held[i] = value
        def __iadd__(self, value):
            self.held += value
            return self
    class Slots:
        __slots__ = ("a", "b")
    class Scaled:
        k = 1.0
        def __init__(self, k):
            self.k = k
        def __enter__(self):
            self.before, Scaled.k = Scaled.k, self.k
            return self
        def __exit__(self, *error):
            Scaled.k = self.before
    def running():
        total = 0.0
        while True:
            total = total * 0.5 + (yield total)
"""
SPACE: dict[str, Any] = {
    "np": np, "copy": copy, "deque": deque, "functools": functools, "itertools": itertools,
    "Namespace": types.SimpleNamespace,
}  # fmt: skip


class ObjectProgram(Program):
    """Writes a function of an array with four elements; `seed` says which."""

    begin = BEGIN.replace("    x = x0", CLASSES + "    x = x0")
    space = SPACE

    def _statement(self) -> None:
        if self.random.random() < 0.4:
            super()._statement()
            return
        self._pick(
            self._crossed, self._masked, self._dots, self._backwards, self._along, self._taken,
            self._under_a_mask, self._at, self._sorted_there, self._single, self._whole_numbers,
            self._truths, self._kept, self._slotted, self._sent, self._entered, self._queue,
            self._outer_variable, self._without_axes, self._iterated, self._namespace, self._moved,
            self._deep, self._complex, self._part_by_part, self._exchanged, self._functions,
        )()  # fmt: skip

    def _matrix(self) -> str:
        known = [name for name, shape in self.arrays.items() if len(shape) == 2]
        if known:
            return self._pick(*known)  # type: ignore[no-any-return]
        name = self._new("w")
        self._emit(f"{name} = np.full((2, 3), 0.4)")
        self.arrays[name] = (2, 3)
        return name

    def _named(self, text: str) -> None:
        """Give a number a name."""
        name = self._new("n")
        self._emit(f"{name} = {text}")
        self.numbers.append(name)

    # Indices and functions of NumPy's -----------------------------------------------------------------

    def _crossed(self) -> None:
        m = self._matrix()
        rows, columns = self.arrays[m]
        where = f"np.ix_([{self.random.randrange(rows)}], [0, {columns - 1}])"
        self._emit(f"{m}[{where}] {self._pick('=', '+=', '*=')} {self._number()}")

    def _masked(self) -> None:
        m, n = self._matrix(), self._number()
        self._emit(self._pick(
            f"{m}[{m} > 0.5] = {n}", f"{m}[({m} < 0.9) & ({m} > 0.1)] *= {n}",
            f"{m}[{m}[:, 0] > 0.3] += {n}", f"{m}[..., {m}[0] > 0.3] = {n}",
            f"{m}[{m} > 0.5] = {m}[{m} > 0.5][::-1] * 0.9",
        ))  # fmt: skip

    def _dots(self) -> None:
        a, n = self._any(), self._number()
        self._emit(self._pick(
            f"{a}[..., 0] = {n}", f"{a}[None, ..., 1] += {n}", f"{a}[..., None][0] *= {n}",
            f"{a}[..., ::-2] = {n}", f"{a}[..., -1:] -= {n}", f"{a}.T[..., 0] = {n}",
        ))  # fmt: skip

    def _backwards(self) -> None:
        a, name = self._vector(), self._new("v")
        self._emit(f"{name} = {a}[::-1]", f"{name}[:2] += {a}[:2].copy() * {self._number()}")
        self.arrays[name] = self.arrays[a]

    def _along(self) -> None:
        m = self._matrix()
        place = f"np.argmax({m}, 1, keepdims=True)"
        self._emit(f"np.put_along_axis({m}, {place}, {self._number()}, 1)")

    def _taken(self) -> None:
        a, name = self._vector(), self._new("w")
        self._emit(f"{name} = np.zeros(3)", self._pick(
            f"np.take({a}, [0, 1, -1], out={name})", f"{a}.take([1, 0, 0], out={name})",
            f"np.take({a}, [0, 1, 5], out={name}, mode='clip')",
            f"np.compress([1, 1], {a}, out={name}[:2])",
            f"np.choose([0, 1, 0], [{a}[:3], {a}[-3:]], out={name})",
            f"np.cumsum({a}[:3], out={name})", f"np.clip({a}[:3], 0.2, 0.8, out={name})",
            f"np.add.reduce(np.outer({a}[:3], {a}[:3]), axis=0, out={name})",
            f"np.matmul(np.ones((3, 2)), {a}[:2], out={name})",
            f"{name}[:] = np.add.reduceat({a}, [0, 2, 1])",
        ))  # fmt: skip
        self.arrays[name] = (3,)

    def _under_a_mask(self) -> None:
        a, n = self._any(), self._number()
        self._emit(self._pick(
            f"np.multiply({a}, {n}, out={a}, where={a} > 0.5)",
            f"np.sin({a}, out={a}, where=np.asarray({a}) < 0.4)",
            f"np.copyto({a}, {n}, where={a} > 0.7)", f"np.add({a}, 1.0, where={a} > 0.2, out={a})",
        ))  # fmt: skip

    def _at(self) -> None:
        a, n = self._vector(), self._number()
        self._emit(self._pick(
            f"np.add.at({a}, [0, 0, 1], {n})", f"np.multiply.at({a}, [1, 1], {n})",
            f"np.subtract.at({a}, slice(0, 2), {n})", f"np.negative.at({a}, [0])",
        ))  # fmt: skip

    def _sorted_there(self) -> None:
        how = self._pick(".sort()", ".sort(axis=0)", "[::-1].sort()", ".T.sort()", ".partition(1)")
        self._emit(f"{self._any()}{how}")

    def _single(self) -> None:
        a, name = self._any(), self._new("c")
        self._emit(f"{name} = np.full({self.arrays[a]}, 0.5, np.float32)", f"{name}[0] = 0.25")
        self._emit(f"{name} = {a} * {name} + {name}.astype(float)")
        self.arrays[name] = self.arrays[a]

    def _whole_numbers(self) -> None:
        a, name = self._vector(), self._new("k")
        self._emit(
            f"{name} = np.zeros({self.arrays[a][0]}, int)", f"{name}[:] = {a} * 3",
            f"{name}[0] += 2", f"{a} += {name} * {self._number()}", f"{a}[{name}[0] % 2] *= 0.5",
        )  # fmt: skip

    def _truths(self) -> None:
        a, name = self._vector(), self._new("b")
        self._emit(
            f"{name} = {a} > {self._pick(0.2, 0.5)}", f"{name}[0] = not {name}[0]",
            f"{name} |= {a} < 0.1", f"{a}[{name}] = {self._number()}",
            f"{a} *= np.where({name}, 0.9, 1.1)",
        )  # fmt: skip

    def _part_by_part(self) -> None:
        m, n = self._matrix(), self._number()
        self._emit(self._pick(
            f"{m}[:, [0, 1]] = {m}[:, [1, 0]]", f"{m}[[0, 1]] = {m}[[1, 0]]",
            f"{m}[[0, 1], [1, 0]] += {n}", f"{m}[1:, :-1] = {m}[:-1, 1:].copy()",
            f"{m}[0][{m}[0] > 0.4] = {n}", f"np.fill_diagonal({m}, {n})", f"{m}.flat[1:3] = {n}",
            f"{m}[np.triu_indices(2)] *= 0.7",
        ))  # fmt: skip

    def _exchanged(self) -> None:
        a, n = self._vector(), self._number()
        self._emit(self._pick(
            f"{a}[0], {a}[1] = {a}[1], {a}[0]", f"{a}[0], {a}[-1] = {a}[-1] * 0.5, {n}",
            f"({a}[0], *_), {a}[1] = {a}, {n}", f"{a}[:2] = {a}[1], {a}[0]",
            f"{a}[:2] = [{n}, {a}[0]]",
        ))  # fmt: skip

    def _moved(self) -> None:
        a, n, name = self._vector(), self._number(), self._new("c")
        self._emit(f"{name} = " + self._pick(
            f"np.maximum.accumulate({a})", f"np.add.accumulate({a})[::-1]", f"np.roll({a}, 1)",
            f"np.diff({a}, prepend={n})", f"np.clip({a}, 0.1, {n} + 1)", f"np.gradient({a})",
            f"np.interp({a}, [0, 1], [{n}, 1.0])", f"np.convolve({a}, [0.5, 0.2], 'same')",
        ))  # fmt: skip
        self.arrays[name] = self.arrays[a]

    def _deep(self) -> None:
        a, name = self._any(), self._new("c")
        self._emit(f"{name} = copy.deepcopy([{a}, {a}])[1]", f"{name}[..., 0] = {self._number()}")
        self.arrays[name] = self.arrays[a]

    def _complex(self) -> None:
        a, name = self._any(), self._new("c")
        self._emit(
            f"{name} = {a} + 1j * np.asarray({a})", f"{name}.imag[..., 0] = {self._number()}"
        )
        self._emit(f"{name} *= {name}", f"{name} = {name}.real + 0.2 * np.abs({name})")
        self.arrays[name] = self.arrays[a]

    # Objects and functions ----------------------------------------------------------------------------

    def _kept(self) -> None:
        a, name, n = self._any(), self._new("h"), self._number()
        first = ", ".join("0" for _ in self.arrays[a])
        self._emit(f"{name} = Kept({a})", self._pick(
            f"{name}.a = {self._array(self.arrays[a])}", f"{name}.a += {n}", f"{name} += {n}",
            f"{name}[{first}] = {n}", f"{name}.a[{first}] *= {n}; {name}.a = {name}.a",
        ))  # fmt: skip
        if not self.depth:
            self.holders.append((f"{name}.a", self.arrays[a]))

    def _slotted(self) -> None:
        a, name = self._any(), self._new("h")
        self._emit(f"{name} = Slots()", f"{name}.a = {name}.b = {a}")
        self._emit(f"{name}.b {self._pick('+=', '*=')} {self._number()}")
        self._emit(f"{name}.a = {name}.a * {self._number()}")
        if not self.depth:
            self.holders.append((f"{name}.a", self.arrays[a]))

    def _sent(self) -> None:
        name = self._new("g")
        self._emit(f"{name} = running()", f"next({name})")
        self._named(
            f"[{name}.send(v) for v in {self._vector()}][-1] + {name}.send({self._number()})"
        )

    def _entered(self) -> None:
        name = self._new("s")
        self._emit(f"with Scaled({self._number()}) as {name}:")
        self._emit(f"    {self._vector()}[0] = {self._number()} * Scaled.k")
        self._named(f"{name}.k * Scaled.k")

    def _queue(self) -> None:
        name = self._new("q")
        self._emit(
            f"{name} = deque({self._vector()}, maxlen=3)", f"{name}.append({self._number()})"
        )
        self._emit(f"{name}.rotate(1)", f"{name}[1] *= {self._number()}")
        self._named(f"{name}[0] * {name}[-1] + sum({name}) * 0.1")

    def _outer_variable(self) -> None:
        name, go = self._new("f"), self._new("f")
        self._emit(
            f"def {name}():", f"    t = {self._number()}", "    def go(v):", "        nonlocal t",
            f"        t = t * 0.5 + v; {self._vector()}[1] = t", "        return t", "    return go",
            f"{go} = {name}()",
        )  # fmt: skip
        self._named(f"{go}({self._number()}) + {go}(0.3) * {go}({self._number()})")

    def _without_axes(self) -> None:
        name, other = self._new("z"), self._new("z")
        self._emit(f"{name} = np.array(0.5)", f"{name}[()] = {self._number()}", f"{other} = {name}")
        self._emit(f"{name} {self._pick('+=', '*=')} {self._number()}")
        self._named(f"{name} * 0.5 + {other} + {name}.item()")

    def _iterated(self) -> None:
        a, b = self._vector(), self._vector()
        self._named(self._pick(
            f"list(itertools.accumulate({a}))[-1]", f"sum(p - q for p, q in itertools.pairwise({a}))",
            f"sum(p * q for p, q in itertools.product({a}[:2], {b}[:2]))",
            f"sum(itertools.starmap(lambda p, q: p * q, zip({a}, {b})))",
            f"sum(sum(g) * (1 + k) for k, g in itertools.groupby({a}, lambda v: v > 0.5))",
            f"functools.reduce(lambda p, q: p * 0.5 + q, {a})", f"max({a}, key=lambda v: -v * v)",
            f"sorted({a})[1] * min({b})", f"sum(map(lambda p, q: p * q, {a}, {b}))",
            f"list(itertools.islice(itertools.cycle({a}), 5))[-1]",
        ))  # fmt: skip

    def _namespace(self) -> None:
        name, copied, n = self._new("h"), self._new("h"), self._number()
        self._emit(
            f"{name} = Namespace(a={self._vector()}, b=[{self._vector()}, {n}])",
            f"{name}.b[1] += {self._number()}", f"{name}.b[0][0] = {name}.b[1]",
            f"vars({name})['a'] = {name}.a * 0.9",
            f"{copied} = copy.{self._pick('copy', 'deepcopy')}({name})",
            f"{copied}.a[0] = {self._number()}; {copied}.b[1] = 0.1",
        )  # fmt: skip
        self._named(f"{name}.a[0] + {name}.b[1] * {copied}.a[-1]")

    def _functions(self) -> None:
        name, a = self._new("f"), self._vector()
        self._emit(f"{name} = [lambda v, k=k: v * {a}[k] for k in range(2)]")
        self._emit(f"{a}[0] = {self._number()}")
        self._named(f"{name}[0]({self._number()}) + {name}[1](0.5)")
