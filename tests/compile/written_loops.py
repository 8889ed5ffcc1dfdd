"""Functions with loops of Python's: those that ``jit`` takes for one operation, and others."""

import math

import numpy as np

import tapegrad as tg

N = 90
X = np.linspace(0.1, 1, N)
W = 2.0


def indexed(x):
    s = 0.0
    for i in range(N):
        s = s + x[i] * i
    return s


def rows(x):
    s = np.zeros(3)
    for r in x[:, None] * np.ones(3):
        s = np.tanh(s + r)
    return s.sum()


def numbers(x):
    t, y, k = 0.0, x[0], 0
    for _ in range(N):
        y = y + 0.01 * np.sin(y + t)
        t += 0.01
        k += 2
    return y * t * k


def stored(x):
    out = np.zeros(N)
    out[0] = x[0]
    for i in range(1, N):
        out[i] = 0.5 * out[i - 1] + x[i]
    return (out * out).sum()


def stored_back_and_forth(x):
    out, m = np.ones(N + 1), np.zeros((N, 2))
    for i in range(N - 1, -1, -1):
        out[i] = out[i + 1] * x[i]
        out[i] += x[i - 3]
        m[i, 0] = out[i] * x[i]
        m[i, 1] = m[i, 0] - out[i + 1]
    return (out * np.arange(N + 1.0)).sum() + (m * m).sum()


def stored_at_every_second(x):
    out = np.concatenate([x, x])
    for i in range(2, 2 * N, 2):
        out[i] = out[i - 2] * 0.5 + out[i - 1]
    return (out * np.arange(2 * N)).sum()


def changed_in_place(x):
    y, z = x.copy(), np.zeros(N)
    for i in range(N):
        y += 0.01 * np.sin(y)
        z[3] = y[i]
    return y.sum() + z[3]


def changed_parts_of_an_array(x):
    u, table = np.zeros((6, 6)), np.sin(np.arange(N) * 0.1)
    u[2:4, 2:4] = 1.0
    for i in range(N):
        u[1:-1, 1:-1] += x[0] * 0.1 * (u[:-2, 1:-1] - u[1:-1, 1:-1]) + table[i]
    return (u**2).sum()


def swapped(x):
    a, b = x, x * 2
    for _ in range(N):
        a, b = b, a * 0.9 + b * 0.05
    return (a + 3 * b).sum()


def nested(x):
    s = 0.0
    for i in range(N):
        for k in range(3):
            s = s * 0.9 + x[i] * k
    return s


def two_loops(x):
    s = 0.0
    for i in range(N):
        p = 0.0
        for j in range(N):
            p = p + x[j] * x[i]
        s = s + np.sin(p)
    return s


def broken(x):
    s = 0.0
    for i in range(N):
        s = s + x[i]
        if s > 3:
            break
    else:
        s = s * 100
    return s * i


def returned(x):
    s = 0.0
    for i, r in enumerate(x):
        s = s + r
        if s > 3:
            return s * i * r
    return s


def in_two_ways(x):
    s = 0.0
    for i in range(N):
        s = s + x[i] if x[i] > 0.5 else s * 0.9 + x[i] ** 2
    return s


def in_turns(x):
    s = 0.0
    for i in range(N):
        if i % 3 == 0:
            continue
        s = s * 0.9 if i % 2 else s + x[i]
    return s


def at_first(x):
    s = 0.0
    for i in range(N):
        s = x[i] if i == 0 else s * 0.9 + x[i]
    else:
        s = s * 2
    return s


def zipped(x):
    s = 0.0
    for i, (a, b) in enumerate(zip(x[1:], x[::-1]), 1):
        s = s * 0.5 + a * b / i
    for a in reversed(x):
        s = s * 0.9 + a
    for c in [0.01 * k for k in range(N)]:
        s = s + c * x[0]
    return s


def begun(x):
    pairs = zip(x, x[::-1])
    a, b = next(pairs)
    s = a
    for a, b in pairs:
        s = s * 0.5 + a * b
    return s


def closed_over(x):
    scale = 0.4

    def step(y):
        return y * scale * W

    s = 0.0
    for i in range(N):
        s = step(s) + sum([x[i] * j for j in range(3)])
    return s


def in_an_object(x):
    class State:
        pass

    state = State()
    state.total = 0.0
    for i in range(N):
        state.total = state.total + x[i]
    return state.total


def appended(x):
    places, squares = [x[0]], []
    for i in range(N):
        places.append(x[i] * 2)
        squares.append(x[i] ** 2)
    return np.array(places).sum() + np.stack(squares).prod() + len(places) * x[0]


def appended_states(x):
    states, s = [], x
    for _ in range(N):
        s = np.sin(s) + 0.1 * x
        states.append(s)
    s *= 2.0  # the last of the list, too
    return np.array(states).sum() + s.sum()


def appended_and_read(x):
    values = [x[0]]
    for i in range(N):
        values.append(values[-1] * 0.5 + x[i])
    return values[-1] + sum(values)


def appended_and_changed(x):
    v, kept = np.zeros(2), []
    for i in range(N):
        v[0] = x[i]
        kept.append(v)
    return np.stack(kept).sum()


def changed_parts(x):
    hidden, params = [x[0], x[1]], {"w": x[:3], "b": 0.0}
    for i in range(N):
        for k in range(2):
            hidden[k] = np.tanh(hidden[k] * x[i]) + hidden[1 - k]
        params["w"] = params["w"] * 0.9 + hidden[0]
        params["b"] += 0.5
    return hidden[0] * hidden[1] + params["w"].sum() * params["b"]


def appended_in_two_ways(x):
    kept, s = [], x[0]
    for i in range(N):
        if x[i] > 0.5:
            s = s * 0.9
            kept.append(s)
        else:
            kept.append(x[i] * 2)
            s = s + x[i]
    return np.array(kept).sum() + s


def until_it_is_small(x):
    y, k = x, 0
    while np.abs(y).sum() > 1e-3 and k < 500:
        y = y * 0.8
        k += 1
    return y.sum() * 1e3 + k


def newton(x):
    a = x[3] + 2
    y = a
    while abs(y * y - a) > 1e-12:
        y = 0.5 * (y + a / y)
    return y


def forever(x):
    s, k = x[0], 0
    while True:
        s = s * 1.05
        k = k + 1
        if s > 20:
            break
        if k % 10 == 0:
            s = s + 0.01
    return s * k


def continued(x):
    s, k, t = x[0], 0, 0.0
    while k < N - 1 and s < 1e3:
        k += 1
        t += 0.1
        if k % 7 == 0:
            continue
        s = s + x[k] * t
        if s > 50:
            break
    else:
        s = s * 2
    return s * k


def continued_in_a_loop(x):
    s, k = x[0], 0
    while k < N - 1:
        k += 1
        y = s + 1
        while y > 0.5:
            y = y * 0.7
            if y > 0.8:
                continue
            y = y * 0.9
        s = y + x[k]
    return s


def a_loop_in_a_loop(x):
    s = x[0]
    for i in range(N):
        y = s + 2
        while y > 0.5:
            y = y * 0.7
        s = y + x[i]
    return s


def with_math(x):
    s = 0.0
    for i in range(N):
        s = s * 0.5 + math.sqrt(i) * x[i] + math.cos(0.1 * i)
    return s


def of_a_derivative(x):
    y = x
    for _ in range(N):
        y = y - 0.1 * tg.grad(lambda y: ((y - x**2) ** 2).sum())(y)
    return y.sum()


ONE_OPERATION = [
    in_an_object, appended_and_read,
    indexed, rows, numbers, stored, stored_back_and_forth, stored_at_every_second, changed_in_place,
    changed_parts_of_an_array,
    swapped, nested, two_loops, broken, returned, in_two_ways, in_turns, at_first, zipped, closed_over,
    appended, appended_states, appended_in_two_ways, changed_parts, until_it_is_small, newton, forever,
    continued, continued_in_a_loop, a_loop_in_a_loop, with_math, of_a_derivative,
]  # fmt: skip
AS_WRITTEN = [begun, appended_and_changed]
