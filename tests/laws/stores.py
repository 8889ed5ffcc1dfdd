"""Random programs that store: into arrays, views, containers and objects, under several names.

The programs are straight NumPy as people write it. What is drawn are the ways by which a value that is
differentiated gets into a plain array, and by which it is read again.
"""

from __future__ import annotations

import linecache
import random
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

__all__ = ["Program"]

Shape = tuple[int, ...]
SHAPES: list[Shape] = [(4,), (3,), (5,), (2, 3), (3, 2)]
BEGIN = """\
def f(x0):
    class Box:
        pass
    x = x0 * 1.0
    w = np.zeros(4)
"""


class Program:
    """Writes a function of an array with four elements; `seed` says which."""

    begin = BEGIN
    space: ClassVar[dict[str, Any]] = {"np": np}

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.depth = 0
        self.names = 0
        self.arrays: dict[str, Shape] = {"x": (4,), "w": (4,)}
        self.numbers: list[str] = []
        self.lists: list[str] = []
        self.holders: list[tuple[str, Shape]] = []
        for _ in range(self.random.randint(6, 16)):
            self._statement()
        ends = [f"np.sum(np.cos({a}))" for a in self.arrays]
        ends += [f"np.sin({n})" for n in self.numbers] + [f"sum({li}) * 0.3" for li in self.lists]
        self.source = self.begin + "\n".join([*self.lines, f"    return {' + '.join(ends)}\n"])
        self.function = self._made(f"<stores {seed}>")

    def _made(self, name: str) -> Callable[[Any], Any]:
        linecache.cache[name] = len(self.source), None, self.source.splitlines(True), name
        scope = dict(self.space)
        exec(compile(self.source, name, "exec"), scope)
        return scope["f"]  # type: ignore[no-any-return]

    # Parts ------------------------------------------------------------------------------------------

    def _emit(self, *lines: str) -> None:
        self.lines += ["    " * (self.depth + 1) + line for line in lines]

    def _new(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    def _pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def _any(self) -> str:
        return self._pick(*self.arrays)

    def _vector(self) -> str:
        return self._pick(*(name for name, shape in self.arrays.items() if len(shape) == 1))

    def _alike(self) -> tuple[str, str]:
        pairs = [
            (a, b) for a in self.arrays for b in self.arrays if self.arrays[a] == self.arrays[b]
        ]
        return self._pick(*pairs)  # type: ignore[no-any-return]

    def _element(self, array: str) -> str:
        return f"{array}[{', '.join(str(self.random.randrange(n)) for n in self.arrays[array])}]"

    def _slice(self, n: int) -> tuple[str, int]:
        return self._pick(  # type: ignore[no-any-return]
            ("[1:]", n - 1), ("[:-1]", n - 1), ("[::2]", (n + 1) // 2), ("[::-1]", n), ("[:]", n),
            (f"[[0, {n - 1}, 1]]", 3), (f"[1:][:{n - 2}]", n - 2),
        )  # fmt: skip

    def _number(self, depth: int = 0) -> str:
        array = self._any()
        choices = [
            str(self._pick(0.5, 1.0, 2.0, -0.3)), f"np.sum({array}) * 0.1", f"{array}.mean()",
            self._element(array), f"float({self._element(array)})", f"{array}.max() * 0.5",
            f"{array}.flat[1]", f"{array}.item(0)", f"{array}.tolist()[0]" if array == "w" else "0.7",
            f"np.dot({array}.ravel(), {array}.ravel()) * 0.1",
        ]  # fmt: skip
        choices += [*self.numbers, *(f"np.sin({n})" for n in self.numbers)]
        choices += [f"{held}.mean()" for held, _ in self.holders]
        return self._pick(*choices)  # type: ignore[no-any-return]

    def _array(self, shape: Shape, depth: int = 0) -> str:
        known = [name for name, of in self.arrays.items() if of == shape]
        known += [held for held, of in self.holders if of == shape]
        choices = [f"np.full({shape}, {self._number()})", *known, *known]
        if depth < 3:
            inner, other = self._array(shape, depth + 1), self._array(shape, depth + 1)
            choices += [
                f"({inner} + {other})", f"np.sin({inner})", f"({inner} * {self._number()})",
                f"np.where({inner} > 0.5, {other}, {self._number()})",
            ]  # fmt: skip
        if len(shape) == 1:
            elements = ", ".join(self._number() for _ in range(shape[0]))
            choices += [f"np.array([{elements}])", f"np.stack([{elements}])"]
            choices += [f"{n}[1:]" for n, of in self.arrays.items() if of == (shape[0] + 1,)]
            choices += [f"np.array([v for v in {n}])" for n in known if n in self.arrays]
        return self._pick(*choices)  # type: ignore[no-any-return]

    # Statements -------------------------------------------------------------------------------------

    def _statement(self) -> None:
        ways = [
            self._make, self._store, self._store, self._view, self._update, self._copy, self._name,
            self._out, self._list, self._swap, self._whole, self._call, self._mask, self._hold,
            self._function, self._iterator, self._sorted, self._sum, self._rows, self._stencil,
            self._seen_otherwise, self._parts, self._chained, self._given_on, self._cast,
            self._update_number,
        ]  # fmt: skip
        if self.depth < 2:
            ways += [self._over_array, self._over_range, self._branch, self._try]
        self._pick(*ways)()

    def _make(self) -> None:
        shape, name = self._pick(*SHAPES), self._new("w")
        self._emit(f"{name} = np.{self._pick('zeros', 'ones', 'empty')}({shape})", f"{name}[:] = 1")
        self.arrays[name] = shape

    def _store(self) -> None:
        array = self._any()
        shape = self.arrays[array]
        kind = self.random.random()
        if kind < 0.05:
            empty = self._pick("2:2", "3:1", ":0", "99:")
            self._emit(f"{array}[{empty}] {self._pick('=', '+=', '*=')} {self._number()}")
        elif kind < 0.4:
            self._emit(f"{self._element(array)} {self._pick('=', '+=')} {self._number()}")
        elif len(shape) == 2:
            self._emit(f"{array}[{self.random.randrange(shape[0])}] = {self._array(shape[1:])}")
        else:
            part, n = self._slice(shape[0])
            self._emit(f"{array}{part} {self._pick('=', '=', '+=')} {self._array((n,))}")

    def _view(self) -> None:
        array, name = self._any(), self._new("v")
        shape = self.arrays[array]
        if len(shape) == 1:
            part, n = self._slice(shape[0])
            if n > 1:
                self._emit(f"{name} = {array}{part}")
                self.arrays[name] = (n,)
            return
        part, of = self._pick(
            (f"[{self.random.randrange(shape[0])}]", shape[1:]), (".T", shape[::-1]),
            (".reshape(-1)", (shape[0] * shape[1],)), (".ravel()", (shape[0] * shape[1],)),
            (f"[:, {self.random.randrange(shape[1])}]", shape[:1]),
        )  # fmt: skip
        self._emit(f"{name} = {array}{part}")
        self.arrays[name] = of

    def _update(self) -> None:
        array = self._any()
        value = self._pick(self._number(), self._array(self.arrays[array]))
        self._emit(f"{array} {self._pick('+=', '*=', '-=')} {value}")

    def _update_number(self) -> None:
        """Numbers do not change: whoever else holds one keeps what it was."""
        if not self.numbers:
            self._name()
        number, kept = self._pick(*self.numbers), self._new("n")
        held, index = self._pick((kept, ""), (self._new("l"), "[0]"))
        self._emit(f"{held} = [{number}, 0.5]" if index else f"{kept} = {number}")
        self._emit(f"{held}{index} {self._pick('+=', '*=')} {self._number()}")
        if index:
            self._emit(f"{kept} = {held}[0] * {number}")
        self.numbers.append(kept)

    def _copy(self) -> None:
        array, name = self._any(), self._new("c")
        how = self._pick(
            "{}.copy()", "np.array({})", "np.asarray({})", "{}", "{} * 1.5", "np.copy({})",
            "{}.astype(float)", "+{}", "np.ascontiguousarray({})",
        )  # fmt: skip
        self._emit(f"{name} = {how.format(array)}")
        self.arrays[name] = self.arrays[array]

    def _name(self) -> None:
        name = self._new("n")
        self._emit(f"{name} = {self._number()}")
        self.numbers.append(name)

    def _out(self) -> None:
        array = self._any()
        other = self._array(self.arrays[array])
        how = self._pick(
            "np.add({0}, {1}, out={0})", "np.multiply({1}, 0.5, {0})", "np.sin({1}, {0})"
        )
        self._emit(how.format(array, other))

    def _list(self) -> None:
        if not self.lists or self.random.random() < 0.4:
            name = self._new("l")
            self._emit(f"{name} = [{self._number()}, {self._number()}]")
            self.lists.append(name)
            return
        name, value = self._pick(*self.lists), self._number()
        how = self._pick(
            "{0}[0] = {1}", "{0}.append({1})", "{0}[-1] = {0}[0] * 0.5", "{0} += [{1}]"
        )
        self._emit(how.format(name, value))

    def _swap(self) -> None:
        a, b = self._alike()
        self._emit(f"{a}, {b} = {b}, {a}")

    def _whole(self) -> None:
        a, b = self._alike()
        self._emit(self._pick(f"{a}[...] = {b}", f"{a}[:] = {b}", f"{a}[()] = {b}"))

    def _call(self) -> None:
        array, vector = self._any(), self._vector()
        choices = (
            f"{array}.fill({self._number()})",
            f"{array}.flat[1] = {self._number()}",
            f"np.copyto({array}, {self._array(self.arrays[array])})",
            f"np.add.at({vector}, [0, 1, 0], {self._number()})",
            f"np.put({vector}, [0, -1], {self._number()})",
            f"{array}.put([1], {self._number()})",
            f"np.putmask({array}, {array} > 0.6, {self._number()})",
            f"{vector}.__setitem__(slice(1, None), {self._number()})",
        )  # fmt: skip
        self._emit(self._pick(*choices))

    def _mask(self) -> None:
        array = self._any()
        self._emit(
            f"{array}[{array} > {self._pick(0.2, 0.6)}] {self._pick('=', '*=')} {self._number()}"
        )

    def _hold(self) -> None:
        array, name = self._any(), self._new("h")
        shape = self.arrays[array]
        held, made = self._pick(
            (f"{name}['a']", f"{name} = {{'a': {array}}}"), (f"{name}[0]", f"{name} = [{array}, 1]"),
            (f"{name}.a", f"{name} = Box(); {name}.a = {array}"),
            (f"{name}[1]", f"{name} = (2, {array})"),
        )  # fmt: skip
        self._emit(*made.split("; "))
        first = ", ".join("0" for _ in shape)
        self._emit(f"{held}[{first}] = {self._number()}")
        if "(2" not in made:
            self._emit(f"{held} {self._pick('*=', '+=')} {self._number()}")
        if not self.depth:
            self.holders.append((held, shape))

    def _function(self) -> None:
        name, array, result = self._new("f"), self._any(), self._new("n")
        first = ", ".join("0" for _ in self.arrays[array])
        head = self._pick(f"z, q={array}", "z")
        kept = "q" if "q" in head else array
        self._emit(f"def {name}({head}):", f"    {kept}[{first}] = z * 0.5")
        self._emit(f"    return z + {kept}.sum()", f"{result} = {name}({self._number()})")
        self.numbers.append(result)

    def _iterator(self) -> None:
        name, result = self._new("it"), self._new("n")
        made = self._pick(
            "iter({})", "reversed({})", "(v * 2 for v in {})", "{}.flat", "map(abs, {})"
        )
        self._emit(f"{name} = {made.format(self._vector())}")
        if "flat" not in made:
            self._emit(f"next({name})")
        self._emit(f"{self._vector()}[1] = {self._number()}", f"{result} = next({name})")
        self.numbers.append(result)

    def _sorted(self) -> None:
        vector, name = self._vector(), self._new("c")
        if self.random.random() < 0.3:
            self._emit(f"{vector}.sort()")
            return
        self._emit(f"{name} = np.{self._pick('sort', 'cumsum', 'flip', 'square')}({vector})")
        self.arrays[name] = self.arrays[vector]

    def _sum(self) -> None:
        a, b, name = self._vector(), self._vector(), self._new("n")
        self._emit(f"{name} = sum(p * q for p, q in zip({a}, {b})) * 0.1")
        self.numbers.append(name)

    def _rows(self) -> None:
        pairs = [(name, shape) for name, shape in self.arrays.items() if len(shape) == 2]
        if pairs:
            array, shape = self._pick(*pairs)
            name = self._new("v")
            how = self._pick("{0}, *_ = {1}", "for {0} in {1}: pass", "{0} = next(iter({1}))")
            self._emit(how.format(name, array), f"{array}[0] = {self._number()}")
            self.arrays[name] = shape[1:]

    def _stencil(self) -> None:
        array = self._vector()
        self._emit(f"{array}[1:-1] = {array}[1:-1] + 0.1 * ({array}[2:] - {array}[:-2])")

    def _seen_otherwise(self) -> None:
        """Functions of NumPy's that return views."""
        array, name = self._any(), self._new("v")
        shape = self.arrays[array]
        how, of = self._pick(
            ("np.squeeze({0}[None])", shape), ("np.flipud({0})", shape), ("{0}.view()", shape),
            ("np.expand_dims({0}, 0)[0]", shape), ("np.transpose({0})", shape[::-1]),
            ("np.atleast_1d({0})", shape),
            ("np.ravel({0})", (int(np.prod(shape)),)), ("{0}[...]", shape),
            ("np.asanyarray({0})", shape),
            ("np.moveaxis({0}, 0, -1)", shape[1:] + shape[:1]), ("np.real({0})", shape),
            ("np.atleast_2d({0})[0]", shape[-1:]), ("np.swapaxes({0}, 0, -1)", shape[::-1]),
        )  # fmt: skip
        self._emit(f"{name} = {how.format(array)}")
        self.arrays[name] = of

    def _parts(self) -> None:
        """Several views at once, some of which are written into."""
        array, a, b = self._vector(), self._new("v"), self._new("v")
        n = self.arrays[array][0]
        if n == 4:
            how = self._pick(
                "np.split({0}, 2)",
                "{0}.reshape(2, 2)",
                "({0}[:2], {0}[2:])",
                "list({0}.reshape(2, 2))",
            )
            self._emit(
                f"{a}, {b} = {how.format(array)}",
                f"{a}[0] {self._pick('=', '*=')} {self._number()}",
            )
            self.arrays[a] = self.arrays[b] = (2,)
            return
        pairs = [name for name, shape in self.arrays.items() if len(shape) == 2]
        if pairs:
            row = self._new("r")
            heads = [f"for {row} in {pairs[0]}:", f"for {row}, _ in zip({pairs[0]}, range(2)):",
                     f"for _, {row} in enumerate({pairs[0]}):"]  # fmt: skip
            way = self._pick(
                f"{row}[0] = {self._number()}",
                f"{row} *= {self._number()}",
                f"{row}[:] = {row}[::-1] * 1.5",
            )
            self._emit(self._pick(*heads), f"    {way}")

    def _chained(self) -> None:
        """Stores through expressions that are views."""
        array = self._any()
        value = self._number()
        if len(self.arrays[array]) == 2:
            place = self._pick(
                "[0][1]",
                ".T[1][0]",
                "[1, :][1:][0]",
                ".reshape(-1)[2]",
                "[:, 0][1]",
                "[::-1][0, 0]",
            )
        else:
            place = self._pick(
                "[1:][0]",
                "[::-1][1]",
                "[:2][-1]",
                "[None][0, 1]",
                ".reshape(-1, 1)[1, 0]",
                "[...][1]",
            )
        self._emit(f"{array}{place} {self._pick('=', '+=', '*=')} {value}")

    def _given_on(self) -> None:
        """Arrays that functions take, return, and write into."""
        array, name, view, function = self._vector(), self._new("n"), self._new("v"), self._new("g")
        head, body = self._pick(
            ("a, k", "a[1:][0] = k; return a[1:]"), ("a, k", "a *= k; return a[1:]"),
            ("a, *k", "a[1] = k[0]; return a[1:]"), ("a, k=0.1", "b = a[1:]; b += k; return b"),
            ("a, k", "a = a * k; a[0] = k; return a[1:]"),
        )  # fmt: skip
        self._emit(f"def {function}({head}):", *(f"    {line}" for line in body.split("; ")))
        self._emit(f"{view} = {function}({array}, {self._number()})", f"{name} = {view}[0] * 0.5")
        self.arrays[view] = (self.arrays[array][0] - 1,)
        if self.arrays[view] == (1,):
            del self.arrays[view]
        self.numbers.append(name)

    def _cast(self) -> None:
        array, name = self._any(), self._new("c")
        how = self._pick(
            "{0}.astype(float, copy=False)", "np.array({0}, copy=None)", "np.require({0}, float)",
            "np.array({0}, ndmin=1)", "np.asfortranarray({0})", "np.array([*{0}])",
        )  # fmt: skip
        self._emit(f"{name} = {how.format(array)}")
        self.arrays[name] = self.arrays[array]

    def _block(self, *ends: str) -> None:
        known = dict(self.arrays), list(self.numbers), list(self.lists), list(self.holders)
        self.depth += 1
        for _ in range(self.random.randint(1, 3)):
            self._statement()
        self._emit(*ends)
        self.depth -= 1
        self.arrays, self.numbers, self.lists, self.holders = known

    def _over_array(self) -> None:
        place, element, written = self._new("i"), self._new("e"), self._vector()
        part = self._pick("", "[:-1]", "[::-1]", ".flat", "[1:]")
        self._emit(f"for {place}, {element} in enumerate({self._vector()}{part}):")
        n = self.arrays[written][0]
        way = f"{self._pick('=', '+=')} {element} * {self._number()}"
        self._block(f"{written}[({place} + 1) % {n}] {way}")

    def _over_range(self) -> None:
        place, written = self._new("i"), self._vector()
        self._emit(f"for {place} in range({self.random.randint(1, 4)}):")
        self._block(f"{written}[{place} % {self.arrays[written][0]}] = {self._number()}")

    def _branch(self) -> None:
        self._emit(f"if {self._number()} > 0.4:")
        self._block("pass")

    def _try(self) -> None:
        self._emit("try:")
        self._block(f"{self._vector()}[9] = {self._number()}")
        self._emit("except IndexError:", f"    {self._vector()}[0] = {self._number()}")
