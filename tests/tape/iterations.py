"""Functions with loops, each to be run with the library's loops and with Python's."""

from types import SimpleNamespace

import numpy as np

import tapegrad as tg
from tapegrad import tree_map


def _scan(f, init, xs=None, length=None, reverse=False, checkpoint=None):
    leaves = tg.tree_leaves(xs)
    trips = range(len(leaves[0]) if leaves else length)
    carry, ys = init, []
    for t in reversed(trips) if reverse else trips:
        carry, y = f(carry, tree_map(lambda x, t=t: x[t], xs))
        ys.append(y)
    if reverse:
        ys.reverse()
    return carry, tree_map(lambda *rows: np.stack(rows), *ys)


def _while_loop(cond_fun, body_fun, value):
    while cond_fun(value):
        value = body_fun(value)
    return value


def _fori_loop(lower, upper, body_fun, value):
    for i in range(lower, upper):
        value = body_fun(i, value)
    return value


OURS = SimpleNamespace(
    scan=tg.scan,
    while_loop=tg.while_loop,
    fori_loop=tg.fori_loop,
    map=tg.map,
    switch=tg.switch,
    cond=tg.cond,
)
PYTHON = SimpleNamespace(
    scan=_scan,
    while_loop=_while_loop,
    fori_loop=_fori_loop,
    map=lambda f, xs: _scan(lambda c, x: (c, f(x)), (), xs)[1],
    switch=lambda index, branches, *args: branches[min(max(index, 0), len(branches) - 1)](*args),
    cond=lambda pred, yes, no, *args: (yes if pred else no)(*args),
)

W = np.array([[0.5, -0.3, 0.2], [0.1, 0.7, -0.4], [-0.6, 0.2, 0.3]])
ROWS = np.random.default_rng(0).normal(size=(5, 3))


def recurrent(loops, x):
    """A scan of nests, with numbers, invariants, and results of several shapes."""
    scale = np.exp(x)  # what does not change from trip to trip

    def step(carry, row):
        h = np.tanh(W @ carry["h"] * scale + row[0] * row[1])
        return {"n": carry["n"] + 1.5 * row[1], "h": h}, (h * x, np.sum(h))

    carry, (hs, sums) = loops.scan(step, {"h": x, "n": 0.0}, (ROWS, np.arange(5.0)))
    return np.sum(carry["h"] * hs[2]) * carry["n"] + np.sum(np.sin(hs)) + sums[1] * sums[3]


def backwards(loops, x):
    """A scan from the end, whose derivative keeps every second state."""
    xs = ROWS * x

    def step(total, row):
        total = total * 0.9 + row * np.sum(row * total)
        return total, total * row

    total, ys = loops.scan(step, x, xs, reverse=True, checkpoint=2)
    return np.sum(total**2) + np.sum(ys[0] * ys[-1])


def only_carried(loops, x):
    """A scan over nothing."""

    def step(c, _):
        return np.sin(c) * x + c, None

    return np.sum(loops.scan(step, x * x, None, length=4)[0])


def counted(loops, x):
    """A loop over integers, which read and write elements."""

    def step(i, out):
        out = out + x[i % 3] * np.cos(out)
        return np.where(np.arange(3) == i, out[i - 1], out)

    return np.sum(loops.fori_loop(0, 3, step, np.zeros(3)) * x)


def until(loops, x):
    """A loop whose number of trips depends on the values."""

    def step(state):
        y, total, n = state
        return 0.7 * y * np.cos(total * x), total + np.sum(y * x), n + 1

    def goes_on(state):
        return np.sum(state[0] ** 2) > 0.01

    y, total, n = loops.while_loop(goes_on, step, (x, 0.0, 0))
    return total * np.sum(y + 1.0) + n


def newton(loops, x):
    """Iterations inside a scan."""

    def root(a):
        return loops.while_loop(
            lambda r: abs(r * r - a) > 1e-13 * a, lambda r: 0.5 * (r + a / r), a
        )

    def step(total, row):
        return total + root(1.0 + np.sum(row * x) ** 2), None

    return loops.scan(step, 0.0, ROWS)[0]


def chosen(loops, x):
    """Branches inside a loop, by the integer and by the values."""

    def step(i, y):
        y = loops.switch(i, [np.sin, lambda y: y * y * x, lambda y: y + x], y)
        return loops.cond(np.sum(y) > 0, lambda y: y * 0.5, lambda y: y * x + 1.0, y)

    return np.sum(loops.fori_loop(0, 4, step, x))


def mapped(loops, x):
    """Rows one after another, and a scan in each."""

    def each(row):
        return loops.scan(lambda c, r: (c * r + x[0], c), x[1], row * x)[1]

    return np.sum(loops.map(each, ROWS) ** 2)


def slopes(loops, x):
    """Derivatives inside a loop."""

    def step(y, _):
        return y - 0.1 * tg.grad(lambda y: np.sum(np.cos(y) * x * y))(y), None

    return np.sum(loops.scan(step, x, None, length=3)[0] ** 2)


def asking(loops, x):
    """A loop that branches by values in Python."""

    def step(c, row):
        c = c * row if row[0] > 0 else c + row
        return c, c

    return np.sum(loops.scan(step, x, ROWS)[1])


FUNCTIONS = [
    recurrent,
    backwards,
    only_carried,
    counted,
    until,
    newton,
    chosen,
    mapped,
    slopes,
    asking,
]


def pair(function):
    """The function with the library's loops, and with Python's."""
    return lambda x: function(OURS, x), lambda x: function(PYTHON, x)
