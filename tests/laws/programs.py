"""Random programs in plain NumPy: a grammar, an interpreter, and what must hold for each.

A program is a list of statements over a growing list of variables, of which the first are the
arguments. It is run by :func:`run` with nothing but NumPy's functions and operators, so that arrays
and tensors go through the very same Python code.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from checks import FIRST, assert_near, assert_same_bits
from differences import difference, directions, dot
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.tape.program.printing import run_source

UNARY = {
    "sin": np.sin,
    "tanh": np.tanh,
    "exp": lambda x: np.exp(np.cos(x)),
    "square": np.square,
    "negative": operator.neg,
    "abs": np.abs,
    "root": lambda x: np.sqrt(1.0 + x * x),
    "floor": lambda x: x - np.floor(x) * 0.25,
    "softsign": lambda x: x / (1.0 + abs(x)),
    "rectify": lambda x: np.where(x > 0.1, x, 0.1 * x),
}
BINARY = {
    "add": np.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    # np.maximum gives no gradient where both are equal, as they are where it is applied twice.
    "maximum": lambda x, y: np.where(x > 0.7 * y - 0.1, x, 0.7 * y - 0.1),
    "divide": lambda x, y: x / (2.0 + np.cos(y)),
    "hypot": lambda x, y: np.hypot(x, 1.0 + y * y),
    "where": lambda x, y: np.where(x < y, np.sin(x), y),
}
REDUCE = {"sum": np.sum, "mean": np.mean, "max": np.max, "var": np.var, "prod": np.prod}
VIEWS = {
    "reverse": lambda x: x[::-1],
    "transpose": lambda x: x.T,
    "tail": lambda x: x[1:],
    "every other": lambda x: x[..., ::2],
    "new axis": lambda x: x[None],
    "flat": lambda x: np.reshape(x, -1),
    "row": lambda x: x[0],
    "swap": lambda x: np.swapaxes(x, 0, -1),
    "column": lambda x: x[..., 0],
}
INDICES: dict[str, Any] = {
    "all": ...,
    "first": 0,
    "last": (..., -1),
    "head": slice(None, 2),
    "backwards": (..., slice(None, None, -1)),
    "list": [0, -1],
    "twice": [0, 0],
}
IN_PLACE = {"+=": operator.iadd, "-=": operator.isub, "*=": operator.imul}
INTO = {"add": np.add, "multiply": np.multiply, "logaddexp": np.logaddexp, "subtract": np.subtract}

SHAPES = [(), (3,), (2, 3), (2, 1)]


def run(program: Any, *args: Any, trail: list[Any] | None = None) -> tuple[Any, ...]:
    """Run a program: all its variables at the end. `trail` receives what its branches saw."""
    variables = list(args)
    _run(program, variables, [] if trail is None else trail)
    return tuple(variables)


def _run(statements: Any, v: list[Any], trail: list[Any]) -> None:
    for kind, *rest in statements:
        if kind == "unary":
            v.append(UNARY[rest[0]](v[rest[1]]))
        elif kind == "binary":
            v.append(BINARY[rest[0]](v[rest[1]], v[rest[2]]))
        elif kind == "reduce":
            name, a, axis, keepdims = rest
            v.append(REDUCE[name](v[a], axis=axis, keepdims=keepdims))
        elif kind == "view":
            v.append(VIEWS[rest[0]](v[rest[1]]))
        elif kind == "take":
            v.append(v[rest[0]][np.array(rest[1])])
        elif kind == "cond":
            a, threshold, yes, no, b = rest
            ways = [_way(UNARY[name], v[a]) for name in (yes, no)]
            v.append(tg.cond(np.sum(v[a]) > threshold, *ways, v[b]))
        elif kind == "scan":
            name, a, b, reverse, checkpoint = rest
            step = _trip(UNARY[name], v[a])
            v += tg.scan(step, v[a], v[b], reverse=reverse, checkpoint=checkpoint)
        elif kind == "while":
            name, a, threshold, most = rest
            v.append(tg.while_loop(*_trips(UNARY[name], v[a], threshold, most), (0, v[a]))[1])
        elif kind == "copy":
            v.append(np.copy(v[rest[0]]))
        elif kind == "zeros":
            v.append(np.zeros_like(v[rest[0]]))
        elif kind == "set":
            a, index, b = rest
            v[a][INDICES[index]] = v[b]
        elif kind == "set where":
            a, threshold, number = rest
            v[a][v[a] > threshold] = number
        elif kind == "in place":
            name, a, b = rest
            v[a] = IN_PLACE[name](v[a], v[b])
        elif kind == "in part":
            name, a, index, b = rest
            part = v[a]
            part[INDICES[index]] = IN_PLACE[name](part[INDICES[index]], v[b])
        elif kind == "into":
            name, a, b, out, masked = rest
            if masked:
                INTO[name](v[a], v[b], out=v[out], where=v[out] < 0.2)
            else:
                INTO[name](v[a], v[b], out=v[out])
        else:
            _run_block(kind, rest, v, trail)


def _way(function: Any, outside: Any) -> Any:
    """A branch that reads a value from outside, too."""
    return lambda x: function(x) * np.cos(np.sum(outside))


def _trip(function: Any, outside: Any) -> Any:
    """A step of a scan that reads a value from outside, too."""

    def step(carry: Any, row: Any) -> Any:
        carry = function(carry) * np.cos(np.sum(row)) + 0.1 * np.sum(outside)
        return carry, np.sum(np.sin(carry)) * row

    return step


def _trips(function: Any, outside: Any, threshold: float, most: int) -> Any:
    """The condition and the body of a loop whose length depends on the values."""

    def goes_on(state: Any) -> Any:
        return (state[0] < most) & (np.sum(state[1]) > threshold)

    def body(state: Any) -> Any:
        return state[0] + 1, function(state[1]) * np.cos(np.sum(outside))

    return goes_on, body


def _run_block(kind: str, rest: Any, v: list[Any], trail: list[Any]) -> None:
    count = len(v)
    if kind == "loop":
        for _ in range(rest[0]):
            _run(rest[1], v, trail)
            del v[count:]
    elif kind == "branch":
        a, threshold, yes, no = rest
        taken = bool(np.sum(v[a]) > threshold)
        trail.append(taken)
        _run(yes if taken else no, v, trail)
    else:
        assert kind == "times", kind
        a, body = rest
        times = int(abs(float(np.sum(v[a])))) % 3
        trail.append(times)
        for _ in range(times):
            _run(body, v, trail)
            del v[count:]
    del v[count:]


# The grammar -------------------------------------------------------------------------------------


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _shape_after(function: Any, shape: tuple[int, ...]) -> Any:
    try:
        return function(np.empty(shape)).shape
    except (IndexError, ValueError, np.exceptions.AxisError):
        return None


class _Scope:
    """Shapes of the variables while a program is drawn, and which of them may be written to."""

    def __init__(self, draw: Any, shapes: list[Any], writable: list[bool]) -> None:
        self.draw = draw
        self.shapes = list(shapes)
        self.writable = list(writable)

    def pick(self, accept: Any = None, label: str = "variable") -> Any:
        found = [i for i, s in enumerate(self.shapes) if accept is None or accept(i, s)]
        return self.draw(st.sampled_from(found), label=label) if found else None

    def name(self, table: Any) -> Any:
        return self.draw(st.sampled_from(sorted(table)))

    def make(self, statement: Any, shape: Any, writable: bool = False) -> Any:
        self.shapes.append(shape)
        self.writable.append(writable)
        return statement

    def statement(self, depth: int) -> Any:
        kinds = [
            "unary",
            "binary",
            "reduce",
            "view",
            "take",
            "copy",
            "zeros",
            "cond",
            "scan",
            "while",
        ]
        kinds += 2 * ["set", "in place", "in part", "into"] + ["set where"]
        kinds += ["loop", "branch", "times"] if depth else []
        return getattr(self, "_" + self.draw(st.sampled_from(kinds)).replace(" ", "_"))(depth)

    def _unary(self, depth: int) -> Any:
        a = self.pick()
        return self.make(("unary", self.name(UNARY), a), self.shapes[a])

    def _binary(self, depth: int) -> Any:
        a = self.pick()

        def meets(i: int, s: Any) -> bool:
            return _fits(s, self.shapes[a]) or _fits(self.shapes[a], s)

        b = self.pick(meets)
        shape = np.broadcast_shapes(self.shapes[a], self.shapes[b])
        return self.make(("binary", self.name(BINARY), a, b), shape)

    def _reduce(self, depth: int) -> Any:
        a = self.pick()
        rank = len(self.shapes[a])
        axis = self.draw(st.sampled_from([None, *range(rank)]))
        keep = self.draw(st.booleans())
        shape = np.sum(np.empty(self.shapes[a]), axis=axis, keepdims=keep).shape
        return self.make(("reduce", self.name(REDUCE), a, axis, keep), shape)

    def _view(self, depth: int) -> Any:
        name = self.name(VIEWS)

        def possible(i: int, s: Any) -> bool:
            new = _shape_after(VIEWS[name], s) if s else None
            return new is not None and 0 not in new and 0 < len(new) < 4

        a = self.pick(possible)
        if a is None:
            return self._copy(depth)
        # A reshape may copy, so that a write to it reaches its base or not: NumPy decides.
        shape = _shape_after(VIEWS[name], self.shapes[a])
        return self.make(("view", name, a), shape, self.writable[a])

    def _take(self, depth: int) -> Any:
        a = self.pick(lambda i, s: len(s) > 0)
        if a is None:
            return self._copy(depth)
        n = self.shapes[a][0]
        index = tuple(self.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=3)))
        return self.make(("take", a, index), (len(index), *self.shapes[a][1:]), True)

    def _cond(self, depth: int) -> Any:
        threshold = self.draw(st.sampled_from([-1.0, 0.0, 0.5]))
        b = self.pick()
        names = self.name(UNARY), self.name(UNARY)
        return self.make(("cond", self.pick(), threshold, *names, b), self.shapes[b])

    def _scan(self, depth: int) -> Any:
        a, b = self.pick(), self.pick(lambda i, s: len(s) > 0)
        if b is None:
            return self._copy(depth)
        checkpoint = self.draw(st.sampled_from([None, 1, 2]))
        statement = ("scan", self.name(UNARY), a, b, self.draw(st.booleans()), checkpoint)
        return self.make(self.make(statement, self.shapes[a]), self.shapes[b])

    def _while(self, depth: int) -> Any:
        a = self.pick()
        threshold = self.draw(st.sampled_from([-1.0, 0.0, 0.5]))
        most = self.draw(st.integers(0, 3))
        return self.make(("while", self.name(UNARY), a, threshold, most), self.shapes[a])

    def _copy(self, depth: int) -> Any:
        a = self.pick()
        return self.make(("copy", a), self.shapes[a], bool(self.shapes[a]))

    def _zeros(self, depth: int) -> Any:
        a = self.pick()
        return self.make(("zeros", a), self.shapes[a], bool(self.shapes[a]))

    def target(self) -> Any:
        return self.pick(lambda i, s: self.writable[i] and len(s) > 0, "written to")

    def _part(self, depth: int) -> Any:
        a = self.target()
        if a is None:
            return None
        index = self.name(INDICES)
        shape = np.empty(self.shapes[a])[INDICES[index]].shape
        return a, index, self.pick(lambda i, s: _fits(s, shape)), shape

    def _set(self, depth: int) -> Any:
        found = self._part(depth)
        if found is None or found[2] is None:
            return self._copy(depth)
        return ("set", *found[:3])

    def _in_part(self, depth: int) -> Any:
        found = self._part(depth)
        if found is None or found[2] is None:
            return self._copy(depth)
        return ("in part", self.name(IN_PLACE), *found[:3])

    def _set_where(self, depth: int) -> Any:
        a = self.target()
        if a is None:
            return self._copy(depth)
        return ("set where", a, self.draw(st.sampled_from([-0.5, 0.2, 1.0])), 0.25)

    def _in_place(self, depth: int) -> Any:
        a = self.target()
        b = None if a is None else self.pick(lambda i, s: _fits(s, self.shapes[a]))
        if b is None:
            return self._copy(depth)
        return ("in place", self.name(IN_PLACE), a, b)

    def _into(self, depth: int) -> Any:
        out = self.target()
        fits = [self.pick(lambda i, s: _fits(s, self.shapes[out])) for _ in "ab"] if out else [None]
        if fits[0] is None:
            return self._copy(depth)
        return ("into", self.name(INTO), *fits, out, self.draw(st.booleans()))

    def body(self) -> Any:
        inner = _Scope(self.draw, self.shapes, self.writable)
        return tuple(inner.statement(0) for _ in range(self.draw(st.integers(1, 3))))

    def _loop(self, depth: int) -> Any:
        return ("loop", self.draw(st.integers(0, 3)), self.body())

    def _times(self, depth: int) -> Any:
        return ("times", self.pick(), self.body())

    def _branch(self, depth: int) -> Any:
        threshold = self.draw(st.sampled_from([-1.0, 0.0, 0.5]))
        return ("branch", self.pick(), threshold, self.body(), self.body())


@st.composite
def programs(draw: Any) -> Any:
    """A program and two sets of arguments of the same shapes and layouts."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3), label="shapes")
    scope = _Scope(draw, shapes, [len(s) > 0 for s in shapes])
    statements = [scope.statement(1) for _ in range(draw(st.integers(2, 8), label="length"))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    order = draw(st.sampled_from("CF"), label="order")
    sets = [[np.array(rng.uniform(-1.5, 1.5, s), order=order) for s in shapes] for _ in range(2)]
    return tuple(statements), sets


# What must hold ----------------------------------------------------------------------------------


def loss(program: Any, *args: Any, trail: list[Any] | None = None) -> Any:
    """A scalar in which every variable counts, the arguments as they are at the end among them."""
    total: Any = 0.0
    for k, value in enumerate(run(program, *args, trail=trail)):
        total = total + np.sum(np.cos(value + 0.3 * k)) / (k + 1)
    return total


def copies(args: Any) -> list[Any]:
    return [np.array(a) for a in args]


def moved(a: Any, by: Any) -> Any:
    """The sum, laid out in memory as `a`: whether a reshape is a view depends on it."""
    out = np.array(a)
    out += by
    return out


def tame(program: Any, args: Any) -> bool:
    """Whether no number gets so large that differences would lose their digits."""
    values = run(program, *copies(args))
    return all(np.isfinite(x).all() and np.max(np.abs(x), initial=0.0) < 50 for x in values)


def check_values(program: Any, args: Any) -> None:
    """Tensors, and variables of every trace, go the way that arrays go."""
    given = copies(args)
    expected = run(program, *given)
    tensors = [tg.tensor(a) for a in args]
    for k, (got, wanted) in enumerate(zip(run(program, *tensors), expected, strict=True)):
        assert_near(got.data if isinstance(got, tg.Tensor) else got, wanted, 1e-12, f"variable {k}")
    for k, (got, wanted) in enumerate(zip(tensors, given)):
        assert_near(got.data, wanted, 1e-12, f"tensor {k}, written to")
    value = loss(program, *copies(args))
    both = tg.value_and_grad(lambda *a: loss(program, *a), argnums=tuple(range(len(args))))
    assert_near(both(*args)[0], value, 1e-12, "value_and_grad")
    ones = [np.ones_like(a) for a in args]
    assert_near(tg.jvp(lambda *a: loss(program, *a), args, ones)[0], value, 1e-12, "jvp")


def check_gradients(program: Any, args: Any) -> None:
    """Every way of asking for the gradient gives the same, and it is that of the differences."""
    kept = copies(args)
    numbers = tuple(range(len(args)))
    gradient = tg.grad(lambda *a: loss(program, *a), argnums=numbers)
    functional = gradient(*args)
    for a, b in zip(args, kept):
        assert_same_bits(a, b, "an argument after grad, which may not write")

    leaves = [tg.tensor(a) for a in args]
    # A write into a leaf makes a new version of it; copies keep the leaves as they are.
    loss(program, *(+leaf for leaf in leaves)).backward()
    imperative = [np.zeros(x.shape) if x.grad is None else x.grad for x in leaves]

    taped = [tg.tensor(a) for a in args]
    with tg.Tape() as tape:
        y = loss(program, *taped)
    by_tape = tape.gradient(y, taped)

    for what, other in (("backward()", imperative), ("Tape.gradient", by_tape)):
        for k, (got, wanted) in enumerate(zip(other, functional, strict=True)):
            assert_near(got, wanted, 1e-12, f"{what} and grad, argument {k}")

    rng = np.random.default_rng(0)
    for k in numbers:
        t = directions(args, rng, only=k)

        def along(s: float, t: Any = t) -> Any:
            return loss(program, *(moved(a, s * d) for a, d in zip(args, t)))

        slope = difference(along, FIRST)
        assert_near(dot(functional, t), slope, FIRST, f"gradient of argument {k}")
        tangent = tg.jvp(lambda *a: loss(program, *a), args, t)[1]
        assert_near(tangent, slope, FIRST, f"jvp along argument {k}")


def check_jit(program: Any, sets: Any, strict: bool = False) -> None:
    """jit gives what the function gives, results and written arguments, however branches go."""

    def f(*args: Any) -> Any:
        return loss(program, *args), run(program, *args)[len(args) :]

    compiled = tg.jit(f, strict=strict)
    for args in [*sets, *sets, *sets]:
        expected_args, got_args = copies(args), copies(args)
        expected, got = f(*expected_args), compiled(*got_args)
        assert_near(got[0], expected[0], 1e-11, "jit")
        for k, (a, b) in enumerate(zip(got[1], expected[1], strict=True)):
            assert_near(a, b, 1e-11, f"jit, variable {k}")
        for k, (a, b) in enumerate(zip(got_args, expected_args, strict=True)):
            assert_near(a, b, 1e-11, f"jit, argument {k}, written to")


def check_jit_of_gradient(program: Any, sets: Any, strict: bool = False) -> None:
    """jit(grad(f)) is grad(f), and does not write into the arguments."""
    gradient = tg.grad(lambda *a: loss(program, *a), argnums=tuple(range(len(sets[0]))))
    compiled = tg.jit(gradient, strict=strict)
    for args in [*sets, *sets, *sets]:
        given = copies(args)
        for k, (a, b) in enumerate(zip(compiled(*given), gradient(*args), strict=True)):
            assert_near(a, b, 1e-10, f"jit of the gradient, argument {k}")
        for a, b in zip(given, args):
            assert_same_bits(a, b, "an argument after jit(grad), which may not write")


def check_tape(program: Any, sets: Any) -> None:
    """A replay and the printed tape do to the last bit what the recording did."""
    trail: list[Any] = []
    tensors = [tg.tensor(a) for a in sets[0]]
    with tg.Tape() as tape:
        y = loss(program, *tensors, trail=trail)
    assert_same_bits(tape.replay({})[y], y.data, "replay")
    constants: dict[str, Any] = {}
    source = tape.program().source(constants)
    printed = run_source(source, *tape.leaves.values(), **constants)
    assert_same_bits(np.asarray(printed), y.data, f"printed tape\n{source}\n")
    other: list[Any] = []
    with tg.Tape():  # the same way of computing as in the recording
        again = loss(program, *(tg.tensor(a) for a in sets[1]), trail=other)
    used = [(t, a) for t, a in zip(tensors, sets[1]) if t in tape.replay({})]
    if other == trail and len(used) == len(tensors):
        assert_same_bits(tape.replay(dict(used))[y], again.data, "replay of other values")
