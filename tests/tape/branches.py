"""Functions with branches, each to be run with ``cond`` and with ``if``."""

import numpy as np

import tapegrad as tg


def operands(choose, x):
    return choose(np.sum(x) > 0, lambda x: np.sum(np.exp(x)), lambda x: np.sum(x**3), x)


def outside(choose, x):
    return choose(np.sum(x) > 0, lambda: np.log(np.sum(x)), lambda: np.sum(np.sin(x)))


def nested(choose, x):
    def inner(x, s):
        return choose(x[0] > 0.5, lambda x: s * np.sum(x**3), lambda x: np.sum(np.sin(x)), x)

    return choose(np.sum(x) > 0, inner, lambda x, s: np.sum(x * x) * 2.0, x, np.sum(x))


def nests(choose, x):
    out = choose(
        np.sum(x) > 0,
        lambda d, y: {"a": d["x"] * 2, "b": (np.sum(d["x"]), y)},
        lambda d, y: {"a": np.cos(y), "b": (0.0, d["x"])},
        {"x": x},
        x * x,
    )
    return np.sum(out["a"]) * out["b"][0] + np.sum(out["b"][1])


def derivatives_inside(choose, x):
    def slope(x):
        return np.sum(tg.grad(lambda x: np.sum(np.exp(x) * x))(x) * x)

    def batch(x):
        return np.sum(tg.vmap(lambda a: a * np.sum(x))(x))

    return choose(np.sum(x) > 0, slope, batch, x)


def buffers(choose, x):
    def shifted(x):
        out = np.zeros_like(x)
        out[1:] = x[:-1]
        out *= 2
        return np.sum(out * x)

    def filled(x):
        out = tg.zeros(3, dtype=float)
        out[0] = x[1] * x[2]
        return np.sum(out)

    return choose(np.sum(x) > 0, shifted, filled, x)


def indices(choose, x):
    n = np.argmax(x)
    return choose(n < 2, lambda x, n: x[n + 1] * x[n], lambda x, n: x[n] ** 2, x, n)


def jitted(choose, x):
    return choose(np.sum(x) > 0, tg.jit(lambda x: np.sum(np.tanh(x) * x)), np.sum, x)


def asking(choose, x):
    """A branch that branches by values in Python."""

    def asks(x):
        return np.sum(x * x) if x[0] > 0.5 else np.sum(x)

    return choose(np.sum(x) > 0, asks, lambda x: np.sum(np.sin(x)), x)


def shapes(choose, x):
    """A branch in which shapes depend on values."""
    return choose(np.sum(x) > 0, lambda x: np.sum(x[x > 0.4] ** 2), lambda x: np.sum(x), x)


def views(choose, x):
    """Branches are the first to see a view whose base has been written to; the view is used after."""
    x = x * 1.0
    last, middle = x[1:], x[1:2]
    x[:2] = 3.0 * x[1:]

    def inner(x):
        return choose(x[0] > 0.5, lambda: np.sum(last) * middle[0], lambda: np.sum(x) * last[1])

    out = choose(np.sum(x) > 0, inner, lambda x: np.sum(x * last[0]), x)
    return out + np.sum(last * last) * middle[0]


FUNCTIONS = [operands, outside, nested, nests, derivatives_inside, buffers, indices, jitted,
             asking, shapes, views]  # fmt: skip


def pair(function):
    """The function with ``cond``, and with ``if``."""

    def choose(pred, true_fun, false_fun, *operands):
        return (true_fun if pred else false_fun)(*operands)

    return lambda x: function(tg.cond, x), lambda x: function(choose, x)
