"""linearize, linear_transpose, hvp, and the argnums of vjp and jvp."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import Frozen, Params, like, same, trees, vector

import tapegrad as tg

X = np.array([0.5, -1.0, 2.0])
A = np.random.default_rng(3).normal(size=(4, 3))
C = np.array([1.5, -2.0, 0.25])


def mixed(tree):
    total = sum((np.sum(np.sin(leaf)) for leaf in tg.tree_leaves(tree)), start=0.3)
    return [tg.tree_map(lambda a: np.tanh(a * total), tree), {"t": total * total}]


@settings(max_examples=40)
@given(tree=trees(4), seed=st.integers(0, 99))
def test_a_derivative_is_the_jvp_and_its_transpose_is_the_pullback(tree, seed):
    v = like(tree, seed)
    value, derivative = tg.linearize(mixed, tree)
    wanted, tangent = tg.jvp(mixed, (tree,), (v,))
    same(value, wanted)
    same(derivative(v), tangent)
    same(derivative(v), tangent)  # it can be called again
    u = like(value, seed + 1)
    _, pullback = tg.vjp(mixed, tree)
    pulled = pullback(u)[0]
    np.testing.assert_allclose(vector(pulled) @ vector(v), vector(u) @ vector(tangent), 1e-9, 1e-9)
    same(tg.linear_transpose(derivative, tree)(u)[0], pulled)


def test_the_function_is_run_once():
    runs = []

    def f(x):
        runs.append(1)
        return np.sin(x) * x

    value, derivative = tg.linearize(f, X)
    for k in range(3):
        e = np.eye(3)[k]
        np.testing.assert_allclose(derivative(e), (np.cos(X) * X + np.sin(X)) * e)
    assert len(runs) == 1
    np.testing.assert_allclose(value, f(X))


def test_derivatives_are_taken_at_the_point_even_if_it_is_overwritten():
    x = X.copy()
    w = C.copy()
    value, derivative = tg.linearize(lambda x: x * x * w, x)
    x[:] = w[:] = value[:] = 7.0
    np.testing.assert_allclose(derivative(np.ones(3)), 2 * X * C)


def test_derivatives_nest_with_everything():
    _, derivative = tg.linearize(lambda x: np.sin(x) * x, X)
    wanted = np.diag(np.cos(X) * X + np.sin(X))
    np.testing.assert_allclose(tg.vmap(derivative)(np.eye(3)), wanted)
    np.testing.assert_allclose(tg.jacrev(derivative)(C), wanted)
    f = lambda x: np.sum(tg.linearize(lambda x: np.sin(x) * x, x)[1](C) ** 2)
    step = 1e-5 * np.eye(3)
    slopes = [(f(X + t) - f(X - t)) / 2e-5 for t in step]
    np.testing.assert_allclose(tg.grad(f)(X), slopes, 1e-6)
    for _ in range(3):
        np.testing.assert_allclose(tg.jit(tg.grad(f))(X), tg.grad(f)(X))
    leaf = tg.tensor(X)
    _, derivative = tg.linearize(lambda x: x**3, leaf)
    np.sum(derivative(np.ones(3))).backward()
    np.testing.assert_allclose(leaf.grad, 6 * X)


def test_argnums_choose_what_moves_and_the_rest_may_be_anything():
    def f(x, name, p, n):
        return np.sum(x * p["w"]) * n * len(name)

    args = (X, "ab", {"w": C}, 3)
    value, pullback = tg.vjp(f, *args, argnums=0)
    np.testing.assert_allclose(pullback(1.0), 6 * C)
    by_p, by_x = tg.vjp(f, *args, argnums=(2, 0))[1](1.0)
    np.testing.assert_allclose(by_p["w"], 6 * X)
    np.testing.assert_allclose(by_x, 6 * C)
    assert tg.jvp(f, args, X, argnums=0) == (value, 6 * np.sum(X * C))
    assert tg.jvp(f, args, ({"w": X},), argnums=(2,))[1] == 6 * np.sum(X * X)
    _, derivative = tg.linearize(f, *args, argnums=(0, 2))
    np.testing.assert_allclose(derivative(X, {"w": C}), 12 * np.sum(X * C))
    _, derivative = tg.linearize(f, *args, argnums=-2)
    np.testing.assert_allclose(derivative({"w": X}), 6 * np.sum(X * X))
    product = tg.hvp(f, args, (X, {"w": C}), argnums=(0, 2))
    same(product, (6 * C, {"w": 6 * X}))
    same(tg.hvp(lambda x, n: np.sum(x**n), (X, 3), C, argnums=0), 6 * X * C)
    for transform in (tg.vjp, tg.linearize):
        with pytest.raises(TypeError, match=f"{transform.__name__}: argnums=7, but"):
            transform(f, *args, argnums=7)
    with pytest.raises(TypeError, match="jvp: argnums=7, but"):
        tg.jvp(f, args, X, argnums=7)


def test_has_aux_goes_through():
    f = lambda x: (np.sum(x**3), {"twice": x * 2, "name": "aux"})
    value, derivative, aux = tg.linearize(f, X, has_aux=True)
    assert derivative(np.ones(3)) == np.sum(3 * X**2) and value == np.sum(X**3)
    product, more = tg.hvp(f, (X,), (C,), has_aux=True)
    np.testing.assert_allclose(product, 6 * X * C)
    for found in (aux, more):
        assert found["name"] == "aux" and type(found["twice"]) is np.ndarray
    *_, aux = tg.vjp(f, X, has_aux=True, argnums=0)
    assert aux["name"] == "aux"
    *_, aux = tg.jvp(f, (X,), (X,), True)
    assert aux["name"] == "aux"


def test_hvp_gives_one_argument_its_own_structure_and_several_a_tuple():
    f = lambda p: np.sum(p.w**2) * p.b
    same(tg.hvp(f, (Params(X, 2.0),), (Params(C, 1.0),)), Params(4 * C + 2 * X, 2 * np.sum(X * C)))
    got = tg.hvp(lambda x, y: x**2 * y**3, (2.0, 3.0), (1.0, 10.0))
    assert got == (2 * 27.0 + 4 * 27.0 * 10, 4 * 27.0 + 4 * 18.0 * 10)
    assert tg.hvp(lambda x: x**4, [2.0], [1.0]) == 48.0
    big = np.linspace(0.0, 1.0, 20_000)
    np.testing.assert_allclose(tg.hvp(lambda x: np.sum(x**4), (big,), (big,)), 12 * big**3)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: tg.hvp(np.sin, (X,), (X,)), tg.NonScalarOutputError, r"hvp\(sin\)"),
        (lambda: tg.hvp(np.sum, X, (X,)), TypeError, "hvp: primals and tangents must be tuples or"),
        (lambda: tg.hvp(np.sum, (X,), (X[:2],)), ValueError, r"hvp: the tangent has shape \(2,\)"),
        (lambda: tg.hvp(np.sum, (X,), (X, X)), ValueError, r"hvp: the tangents must be as the primals"),
        (lambda: tg.hvp(np.sum, (3,), (1.0,)), TypeError, "hvp differentiates by float arguments"),
        (lambda: tg.jvp(np.sum, (X,), X), TypeError, "must be tuples or lists"),
        (lambda: tg.linearize(np.sin, 3), TypeError, "linearize differentiates by float"),
        (lambda: tg.linearize(lambda x: x > 0, X), TypeError, r"linearize\(<lambda>\): .*dtype bool"),
        (lambda: tg.linearize(np.sin, X)[1](X, X), ValueError, r"be as the primals: the structure"),
        (lambda: tg.linearize(np.sin, X)[1](X[:1]), ValueError, r"has shape \(1,\), its primal \(3,\)"),
        (lambda: tg.linearize(lambda p: p["a"], {"a": X})[1](X), ValueError, r"at \[0\], .* \{'a'"),
    ],
)  # fmt: skip
def test_wrong_uses_are_refused_in_plain_words(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_what_they_return_says_what_it_is():
    def loss(x):
        return np.sum(x)

    assert repr(tg.linearize(loss, X)[1]) == "<derivative of loss>"
    assert repr(tg.vjp(loss, Frozen(X, 1.0).x)[1]) == "<pullback to 1 arrays>"


# linear_transpose ----------------------------------------------------------------------------


def written(x):
    y = np.zeros_like(x)
    y[0] = 2.0 * x[1]
    y[1:] += x[1:]
    y[2] = 0.0
    return y


LINEAR = {
    "product": (lambda x: A @ x, np.zeros(3)),
    "arithmetic": (lambda x: -(x * C) / 2.0 - x[::-1] + 3.0 * x, np.zeros(3)),
    "sums": (lambda x: np.sum(x, axis=0) - np.mean(x, axis=0), np.zeros((2, 3))),
    "indices": (lambda x: x[[0, 0, 2]] + np.take(x, [1, 1, 0]), np.zeros(3)),
    "joining": (lambda x: np.concatenate([x, np.stack([x, 2 * x])[1][1:]]), np.zeros(3)),
    "choice by constants": (lambda x: np.where(C > 0, x, 0.0), np.zeros(3)),
    "running": (lambda x: np.cumsum(np.diff(x)), np.zeros(4)),
    "shapes": (lambda x: np.tile(np.roll(x.reshape(3, 2).T, 1), 2).ravel(), np.zeros(6)),
    "einsum": (lambda x: np.einsum("ij,jk->k", A, x), np.zeros((3, 2))),
    "padding": (lambda x: np.pad(np.repeat(x, 2), 1), np.zeros(3)),
    "convolution": (lambda x: np.convolve(x, C), np.zeros(5)),
    "interpolated": (lambda x: np.interp([0.5, 1.5], [0.0, 1.0, 2.0], x), np.zeros(3)),
    "writes": (written, np.zeros(3)),
    "float32": (lambda x: x.astype(np.float32) * np.float32(2.0), np.zeros(3)),
    "nothing": (lambda x: np.zeros(2), np.zeros(3)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_the_transpose_of_a_linear_function_is_its_adjoint(name):
    f, x = LINEAR[name]
    rng = np.random.default_rng(0)
    v = rng.normal(size=x.shape)
    out = np.asarray(f(v))
    u = rng.normal(size=out.shape).astype(out.dtype)
    (back,) = tg.linear_transpose(f, x)(u)
    assert back.shape == x.shape and back.dtype == x.dtype
    np.testing.assert_allclose(np.sum(back * v), np.sum(u * out), 1e-5, 1e-6)
    (again,) = tg.linear_transpose(tg.jit(f), x)(u)
    np.testing.assert_allclose(again, back, 1e-5, 1e-6)


def test_a_transpose_is_linear_in_all_arguments_together_and_takes_nests():
    transpose = tg.linear_transpose(lambda p, y: {"z": A @ p["x"] - y}, {"x": X}, np.ones(4))
    u = np.arange(4.0)
    p, y = transpose({"z": u})
    np.testing.assert_allclose(p["x"], A.T @ u)
    np.testing.assert_allclose(y, -u)
    twice = tg.linear_transpose(transpose, {"z": u})
    np.testing.assert_allclose(twice(({"x": X}, np.ones(4)))[0]["z"], A @ X - 1.0)


def branches(x):
    return x if x[0] > 0 else 2.0 * x


@pytest.mark.parametrize(
    "f, what",
    [
        (lambda x: x * x, r"applies multiply .*test_linear\.py"),
        (np.tanh, "applies tanh"),
        (lambda x: np.maximum(x, 0.0), "applies maximum"),
        (lambda x: np.where(x > 0, x, 0.0), "applies greater"),
        (np.abs, "applies absolute"),
        (np.max, "applies max"),
        (np.linalg.norm, "applies vector_norm"),
        (branches, "applies greater"),
        (lambda x: x * float(x[0]), "(applies multiply|Python takes the value)"),
        (lambda x: x + 1.0, "it is not 0 where its arguments are"),
        (lambda x: 1.0 / x, "applies"),
    ],
)
def test_what_is_not_linear_is_refused_and_named(f, what):
    for function in (f, tg.jit(f)):
        for _ in range(2):
            with pytest.raises(ValueError, match=f"the function is not linear: .*{what}"):
                tg.linear_transpose(function, X)


def running(c, x):
    return c + 2 * x, c * 3


def in_python(x):
    c, ys = 0.0, []
    for row in x:
        c, y = running(c, row)
        ys.append(y)
    return np.stack(ys)


LOOPS = {
    "scan": (lambda x: tg.scan(running, 0.0, x)[1], in_python),
    "while_loop": (
        lambda x: tg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2 + x), (0, x))[1],
        lambda x: 15 * x,
    ),
    "switch": (lambda x: tg.switch(1, [np.sin, lambda x: 4 * x], x), lambda x: 4 * x),
    "pullback": (
        lambda g: tg.vjp(
            lambda x: tg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, np.sin(s[1])), (0, x))[
                1
            ],
            np.ones(3),
        )[1](g)[0],
        lambda g: tg.vjp(lambda x: np.sin(np.sin(np.sin(x))), np.ones(3))[1](g)[0],
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_transposed(name):
    ours, python = LOOPS[name]
    x, g = np.array([1.0, -2.0, 0.5]), np.array([0.3, 1.0, -1.0])
    for f in (ours, tg.jit(ours)):
        np.testing.assert_allclose(
            tg.linear_transpose(f, x)(g)[0], tg.linear_transpose(python, x)(g)[0]
        )
    np.testing.assert_allclose(tg.linearize(ours, x)[1](x), python(x))


def test_a_loop_is_not_linear_if_it_multiplies_what_it_carries():
    for f in (
        lambda x: tg.scan(lambda c, row: (c * row, None), 1.0, x)[0],
        lambda x: tg.scan(lambda c, row: ((c[0] * c[1], c[1] + row), None), (0.0, 0.0), x)[0][0],
        lambda x: tg.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, 1.0 + 0 * x)
        )[1],
    ):
        with pytest.raises(ValueError, match=r"it applies multiply"):
            tg.linear_transpose(f, np.ones(3))
    with pytest.raises(ValueError, match=r"it applies less"):
        tg.linear_transpose(
            lambda x: tg.while_loop(lambda s: s[0] < 3, lambda s: s * 2, x), np.ones(3)
        )
