"""Functions with loops whose trips run in machine code: with the library's loops, and with Python's."""

import numpy as np

import tapegrad as tg

X = np.array([0.3, -0.7, 1.1])


def scanned(step, carry, xs=None, length=None, reverse=False):
    """What ``scan`` does, by Python's loop."""
    leaves = tg.tree_leaves(xs)
    trips = range(len(leaves[0]) if leaves else length)
    ys = []
    for t in reversed(trips) if reverse else trips:
        carry, y = step(carry, tg.tree_map(lambda x, t=t: x[t], xs))
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    return carry, tg.tree_map(lambda *rows: np.stack(rows), *ys) if ys else None


def repeated(goes_on, step, value):
    """What ``while_loop`` does, by Python's loop."""
    while goes_on(value):
        value = step(value)
    return value


# Functions of one array, with the loops that they are to use -------------------------------------

ROWS = np.random.default_rng(0).normal(size=(7, 3))
W = np.random.default_rng(1).normal(size=(3, 3)) / 2


def elementwise(scan, loop, x):
    return np.sum(scan(lambda c, _: (c + 0.1 * np.sin(c) * x, None), x * x, None, 9)[0] * x)


def with_rows(scan, loop, x):
    def step(c, row):
        c = np.tanh(c * x + row)
        return c, (c * c, row * 2.0)

    c, (ys, zs) = scan(step, x, ROWS)
    return np.sum(c) + np.sum(ys * zs) + np.sum(ys[2] * x)


def from_the_end(scan, loop, x):
    def step(c, row):
        return c * 0.9 + np.cos(row * x), c

    c, ys = scan(step, x, ROWS, None, True)
    return np.sum(c * ys[0]) + np.sum(ys**2)


def rows_apart(scan, loop, x):
    table = np.asfortranarray(np.tile(ROWS, (2, 2)))[::2, ::2][:, ::-1]
    c, ys = scan(lambda c, row: (c + row * c * x, row * c), x, table)
    return np.sum(c * ys)


def several(scan, loop, x):
    """Arrays, numbers, an integer and a truth value are carried, and change places."""

    def step(carry, row):
        a, b, s, n, flag = carry
        total = np.sum(a * row)
        return (b, a + 0.1 * total, s * 0.5 + total, n + 1, np.logical_not(flag)), np.where(
            flag, a, b
        ) * n

    carry, ys = scan(step, (x, x * 2.0, np.float64(1.0), np.int64(0), np.bool_(True)), ROWS)
    return np.sum(carry[0] * carry[1]) * carry[2] + np.sum(ys) + carry[3] * x[0]


def reductions(scan, loop, x):
    """Rows, columns, means and roots of what is carried."""

    def step(c, row):
        columns = np.sum(c, axis=0) + np.mean(c * row, axis=0)
        c = np.tanh(c * row + columns) / np.sum(np.exp(c), axis=1, keepdims=True)
        return c, (np.sum(c * row, axis=0), np.mean(c), np.sqrt(np.sum(c * c)))

    c, (sums, means, norms) = scan(step, np.outer(x, x), ROWS)
    return np.sum(c) + np.sum(sums * means[:, None]) + np.sum(norms)


def products(scan, loop, x):
    """Products of all kinds, with weights that are not changed and others that are."""
    weights = W * x

    def step(carry, row):
        h, m = carry
        h = np.tanh(weights @ h + row @ W.T)
        m = 0.5 * m @ W + np.outer(h, row)
        return (h, m), (m @ h, h @ x)

    (h, m), (vs, numbers) = scan(step, (x, np.outer(x, x)), ROWS)
    return np.sum(h) + np.sum(m * W) + np.sum(vs**2) + np.sum(numbers)


def views(scan, loop, x):
    """Parts of what is carried, turned, reshaped and laid side by side."""

    def step(c, row):
        m = np.outer(row, c)
        c = np.concatenate([c[1:], m.T[:1, 2] * x[0]]) + m.reshape(9)[::4] * 0.1
        return c, (c[::-1], np.broadcast_to(c[:1], (2, 1)))

    c, (ys, zs) = scan(step, x, ROWS)
    return np.sum(c) + np.sum(ys * ROWS) + np.sum(zs)


def unchanged(scan, loop, x):
    """What is carried stays, or becomes a constant, a row, or what does not change."""
    always = np.exp(x)

    def step(carry, row):
        a, b, c, d = carry
        return (a, np.array([1.0, 2.0, 3.0]), row, always), (b * a, c * d, always)

    carry, ys = scan(step, (x, x, x, x), ROWS)
    return sum(np.sum(v * x) for v in (*carry, *ys))


def counted(scan, loop, x):
    def goes_on(state):
        return state[0] < 9

    return np.sum(loop(goes_on, lambda s: (s[0] + 1, s[1] * np.cos(s[1] * x)), (0, x))[1] ** 2)


def until(scan, loop, x):
    def goes_on(state):
        return np.sum(state[0] ** 2) > 0.01

    def step(state):
        y, total = state
        return 0.7 * y * np.cos(total * x), total + np.sum(y * x)

    y, total = loop(goes_on, step, (x, 0.0))
    return total * np.sum(y + 1.0)


def never(scan, loop, x):
    return np.sum(loop(lambda c: c[0] > 100.0, lambda c: c * 2.0, x) * x)


def elements(scan, loop, x):
    """Elements and rows at indices that are carried, read and written."""

    def step(carry, row):
        c, i = carry
        m = np.outer(c, row)
        c = np.where(np.arange(3) == i, c[i - 1] * x[i], c * 0.9)
        total = m[i] * 0.1 + m[:, i] * np.sin(c[i]) + m[1:, ::2][0, i - 2]
        return (c, 1 - i), (total, np.flip(total)[-1 - i])

    (c, _), (rows, numbers) = scan(step, (x, np.int64(1)), ROWS)
    return np.sum(c * x) + np.sum(rows**2) + np.sum(numbers * ROWS[:, 0])


def ways(scan, loop, x):
    """Choices in each trip, by a truth value and by a number, and rows laid side by side."""

    def step(carry, row):
        c, i = carry
        halves = [lambda c: c * 0.5, lambda c: c + x, lambda c: c * row[0]]
        if scan is scanned:
            c = c * row if c[0] > row[1] else np.sin(c) - row
            c = halves[min(max(i, 0), 2)](c)
        else:
            c = tg.cond(c[0] > row[1], lambda c: c * row, lambda c: np.sin(c) - row, c)
            c = tg.switch(i, halves, c)
        return (c, 2 - 2 * i), np.stack([c, row, x, c * row, c[::-1], x * 2.0])

    (c, _), rows = scan(step, (x, np.int64(-1)), ROWS)
    return np.sum(c * x) + np.sum(rows**2)


def nested(scan, loop, x):
    """Loops inside of loops: over rows of rows, backwards, with a state of both."""
    blocks = np.stack([ROWS[:3], ROWS[2:5], ROWS[4:]])

    def step(carry, block):
        a, b = carry

        def inner(c, row):
            c = c * np.cos(row * a) + b
            return c, c * row

        last, forth = scan(inner, a, block)
        first, back = scan(lambda c, row: (c + row * last, c * x), last, forth, None, True)
        return (first, last - b), (np.sum(back), forth[1])

    (a, b), (sums, rows) = scan(step, (x, x * x), blocks)
    return np.sum(a * b) + np.sum(sums) + np.sum(rows * ROWS[:3])


def inside_until(scan, loop, x):
    """A scan in each trip of a loop of unknown length."""

    def step(state):
        y, n = state
        return scan(lambda c, row: (c * 0.8 + 0.01 * np.tanh(row * c), None), y, ROWS)[0], n + 1.0

    y, n = loop(lambda state: np.sum(state[0] ** 2) > 1e-3, step, (x, 0.0))
    return np.sum(y * x) * n


SCANS = [
    elementwise, with_rows, from_the_end, rows_apart, several, reductions, products, views, unchanged,
    nested, elements, ways,
]  # fmt: skip
FUNCTIONS = [*SCANS, counted, until, never, inside_until]


def pair(function):
    """The function with our loops, and with Python's."""
    return (
        lambda x: function(tg.scan, tg.while_loop, x),
        lambda x: function(scanned, repeated, x),
    )


def in_kernels(compiled, *arguments):
    """Whether all loops of a compiled function run in machine code."""
    text = compiled.explain(*arguments)
    found = "loop_scan(" in text or "loop_while(" in text
    return found and not any(f"run_{name}(" in text for name in ("scan", "while", "unwind"))
