"""Small programs as textbooks write them, with writes in place, under all transformations."""

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(3)


def leapfrog(x, v, m):
    x, v = x.copy(), v.copy()

    def acceleration(x):
        a = np.zeros_like(x)
        for i in range(len(x)):
            for j in range(len(x)):
                if i != j:
                    r = x[j] - x[i]
                    a[i] += m[j] * r / np.sqrt(r @ r + 0.1) ** 3
        return a

    a = acceleration(x)
    for _ in range(2):
        v += 0.05 * a
        x += 0.1 * v
        a = acceleration(x)
        v += 0.05 * a
    return 0.5 * np.sum(m[:, None] * v**2) + np.sum(x[0] * x[1])


def gaussian_process(x, y, theta):
    n = len(x)
    k = np.exp(theta[0] - 0.5 * (x[:, None] - x) ** 2 * np.exp(theta[1])) + 0.1 * np.eye(n)
    lower = np.zeros_like(k)
    for i in range(n):
        for j in range(i + 1):
            s = k[i, j]
            for q in range(j):
                s -= lower[i, q] * lower[j, q]
            if i == j:
                lower[i, i] = np.sqrt(s)
            else:
                lower[i, j] = s / lower[j, j]
    z = y.copy()
    for i in range(n):
        z[i] -= lower[i, :i] @ z[:i]
        z[i] /= lower[i, i]
    return 0.5 * z @ z + np.sum(np.log(np.diag(lower)))


def elimination(m, c):
    m = m.copy()
    for k in range(3):
        p = k + np.argmax(np.abs(m[k:, k]))
        if p != k:
            m[[k, p]] = m[[p, k]]
        m[k] /= m[k, k]
        for i in range(3):
            if i != k:
                m[i] -= m[i, k] * m[k]
    return m[:, 3] @ c


def k_means(x, centres):
    centres = centres.copy()
    for _ in range(2):
        labels = np.argmin(((x[:, None] - centres) ** 2).sum(-1), axis=1)
        for k in range(2):
            if np.any(labels == k):
                centres[k] = x[labels == k].mean(axis=0)
    return np.sum(np.min(((x[:, None] - centres) ** 2).sum(-1), axis=1))


def bubble_sort(x):
    x = x.copy()
    for i in range(4):
        for j in range(3 - i):
            if x[j] > x[j + 1]:
                x[j], x[j + 1] = x[j + 1], x[j]
    return x @ np.arange(1.0, 5.0)


def training(w, b):
    x, y = np.cos(np.arange(8.0)).reshape(4, 2), np.array([0.0, 1.0, 1.0, 0.0])
    weights = {"w": w.copy(), "b": b.copy()}
    speed = {name: np.zeros_like(value) for name, value in weights.items()}
    for _ in range(3):
        h = np.maximum(x @ weights["w"] + weights["b"], 0)
        error = h.sum(axis=1) - y
        slope = np.ones_like(h) * error[:, None]
        slope[h <= 0] = 0
        for name, g in (("w", x.T @ slope), ("b", slope.sum(0))):
            speed[name] *= 0.9
            speed[name] += g
            weights[name] -= 0.05 * speed[name]
    return np.mean(error**2)


def masked_march(x):
    t, alive, steps = np.zeros_like(x), np.ones(3, bool), 0
    while alive.any() and steps < 6:
        t[alive] += 0.3 * np.cos(t[alive]) + 0.1 * x[alive]
        alive = t < 1.0
        steps += 1
    return np.sum(t**2)


def filtered(z, a, q, r):
    m, p, likelihood = 0.0, 1.0, 0.0
    for y in z:
        m = a * m
        p = a * a * p + q
        s, e = p + r, y - m
        m += p / s * e
        p *= 1 - p / s
        likelihood -= 0.5 * (np.log(s) + e * e / s)
    return likelihood


PROGRAMS = {
    leapfrog: (RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2)), np.array([1.0, 2.0, 0.5])),
    gaussian_process: (RNG.normal(size=3), RNG.normal(size=3), np.array([0.3, -0.2])),
    elimination: (RNG.normal(size=(3, 4)) + 3 * np.eye(3, 4, 1), RNG.normal(size=3)),
    k_means: (RNG.normal(size=(6, 2)) + 3 * (np.arange(6)[:, None] % 2), np.eye(2) * 2.5),
    bubble_sort: (np.array([3.0, -1.0, 2.0, 0.5]),),
    training: (RNG.normal(size=(2, 3)), RNG.normal(size=3)),
    masked_march: (np.array([0.3, 1.2, 2.0]),),
    filtered: (RNG.normal(size=4), 0.9, 0.2, 0.3),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_derivatives_are_those_of_the_program(program):
    args = PROGRAMS[program]
    cuts = np.cumsum([0, *(np.size(a) for a in args)])
    x = np.concatenate([np.ravel(a) for a in args])
    t = np.cos(np.arange(x.size))

    def whole(x):
        parts = [np.reshape(x[i:j], np.shape(a)) for i, j, a in zip(cuts, cuts[1:], args)]
        return program(*(p if np.ndim(p) else x[i] for i, p in zip(cuts, parts)))

    def slope(f, h=1e-5):
        return (8 * (f(x + h * t) - f(x - h * t)) - f(x + 2 * h * t) + f(x - 2 * h * t)) / (12 * h)

    kept = [np.array(a) for a in args]
    value, by_argument = tg.value_and_grad(program, argnums=tuple(range(len(args))))(*args)
    for a, b in zip(args, kept):
        np.testing.assert_array_equal(a, b)
    gradient = tg.grad(whole)
    flat = gradient(x)
    np.testing.assert_allclose(value, program(*kept), 1e-12)
    np.testing.assert_allclose(np.concatenate([np.ravel(g) for g in by_argument]), flat, 1e-10)
    np.testing.assert_allclose(flat @ t, slope(whole), 1e-6)
    np.testing.assert_allclose(tg.jvp(whole, (x,), (t,))[1], flat @ t, 1e-10)
    stack = np.stack([x, 1.01 * x])
    np.testing.assert_allclose(tg.vmap(gradient)(stack), [gradient(a) for a in stack], 1e-9, 1e-12)
    second = slope(gradient)
    np.testing.assert_allclose(tg.jvp(gradient, (x,), (t,))[1], second, 1e-5, 1e-6)
    np.testing.assert_allclose(tg.hessian(whole)(x) @ t, second, 1e-5, 1e-6)
