"""``custom_vjp`` and ``custom_jvp`` under every transformation."""

import functools
import math
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import InvalidGradient

X = np.array([0.3, -0.7, 1.9])
FACTOR = 10.0


@tg.custom_vjp
def by_vjp(x, y):
    return np.sin(x) * y


def _fwd(x, y):
    return by_vjp(x, y), (np.cos(x), np.sin(x), y)


def _bwd(residuals, g):
    cos, sin, y = residuals
    return FACTOR * g * cos * y, g * sin


by_vjp.defvjp(_fwd, _bwd)


@tg.custom_jvp
def by_jvp(x, y):
    return np.sin(x) * y


@by_jvp.defjvp
def _jvp(primals, tangents):
    (x, y), (s, t) = primals, tangents
    return by_jvp(x, y), FACTOR * np.cos(x) * y * s + np.sin(x) * t


@tg.custom_jvp
def by_jvps(x, y):
    return np.sin(x) * y


by_jvps.defjvps(
    lambda s, out, x, y: FACTOR * np.cos(x) * y * s,
    lambda t, out, x, y: np.sin(x) * t,
)

every = pytest.mark.parametrize("f", [by_vjp, by_jvp, by_jvps], ids=["vjp", "jvp", "jvps"])


def loss_of(f):
    return lambda x: np.sum(f(x, x * x) * x)


def gradient(x):
    """The gradient of ``loss_of``, by hand."""
    return FACTOR * np.cos(x) * x**3 + 2 * x**2 * np.sin(x) + np.sin(x) * x**2


def curvature(x):
    """The derivative of the code of the gradient, in which the function itself follows its rule."""
    by_rule = 4 * x**2 * np.cos(x) - x**3 * np.sin(x)
    return FACTOR * by_rule + 6 * x * np.sin(x) + 2 * x**2 * np.cos(x)


@every
def test_first_derivatives_follow_the_rule(f):
    loss = loss_of(f)
    wanted = gradient(X)
    np.testing.assert_allclose(loss(X), np.sum(np.sin(X) * X**3))
    np.testing.assert_allclose(tg.grad(loss)(X), wanted)
    np.testing.assert_allclose(tg.jvp(loss, (X,), (np.ones(3),))[1], np.sum(wanted))
    np.testing.assert_allclose(tg.jacfwd(loss)(X), wanted)
    np.testing.assert_allclose(tg.linearize(loss, X)[1](np.ones(3)), np.sum(wanted))


@every
def test_second_derivatives_are_those_of_the_rule(f):
    loss = loss_of(f)
    wanted = np.diag(curvature(X))
    reverse, forward = tg.jacrev, tg.jacfwd
    for outer in (reverse, forward):
        for inner in (reverse, forward):
            np.testing.assert_allclose(outer(inner(loss))(X), wanted, atol=1e-12)
    np.testing.assert_allclose(tg.jit(tg.hessian(loss))(X), wanted, atol=1e-12)


@every
def test_third_derivatives(f):
    def slope(x):
        return tg.grad(tg.grad(lambda x: f(x, 1.0)))(x)

    wanted = -FACTOR * math.cos(0.4)
    np.testing.assert_allclose(tg.grad(slope)(0.4), wanted)
    np.testing.assert_allclose(tg.jit(tg.grad(slope))(0.4), wanted)


STACKS = {
    "jit of grad": lambda loss: tg.jit(tg.grad(loss), strict=True),
    "grad of jit": lambda loss: tg.grad(tg.jit(loss, strict=True)),
    "jit of grad of jit": lambda loss: tg.jit(tg.grad(tg.jit(loss))),
    "jvp of jit": lambda loss: (
        lambda x: np.stack([tg.jvp(tg.jit(loss), (x,), (e,))[1] for e in np.eye(3)])
    ),
    "jit of jacfwd": lambda loss: tg.jit(tg.jacfwd(loss)),
    "cond": lambda loss: tg.grad(lambda x: tg.cond(np.sum(x) > 0, loss, lambda x: 0 * loss(x), x)),
    "jit of cond": lambda loss: tg.jit(
        tg.grad(lambda x: tg.cond(np.sum(x) > 0, loss, lambda x: 0 * loss(x), x)), strict=True
    ),
}


@every
@pytest.mark.parametrize("stack", STACKS)
def test_stacks(f, stack):
    function = STACKS[stack](loss_of(f))
    for _ in range(2):
        np.testing.assert_allclose(function(X), gradient(X))


@every
def test_batches(f):
    def loss(x):
        return f(x, x * x) * x

    wanted = gradient(X)
    np.testing.assert_allclose(tg.vmap(loss)(X), np.sin(X) * X**3)
    np.testing.assert_allclose(tg.vmap(tg.grad(loss))(X), wanted)
    np.testing.assert_allclose(tg.jit(tg.vmap(tg.grad(loss)))(X), wanted)
    batched = lambda X: np.sum(tg.vmap(loss)(X))
    np.testing.assert_allclose(tg.grad(batched)(X), wanted)
    np.testing.assert_allclose(tg.jit(tg.grad(batched))(X), wanted)
    np.testing.assert_allclose(tg.grad(tg.jit(batched))(X), wanted)
    np.testing.assert_allclose(tg.jvp(batched, (X,), (np.ones(3),))[1], np.sum(wanted))
    both = tg.grad(lambda X: np.sum(tg.vmap(lambda x: tg.vmap(lambda y: f(x, y))(X))(X)))(X)
    s = np.sum(X)
    np.testing.assert_allclose(both, FACTOR * np.cos(X) * s + np.sum(np.sin(X)))


@every
def test_an_argument_that_the_examples_share(f):
    def loss(y, X):
        return np.sum(tg.vmap(f, in_axes=(0, None))(X, y))

    np.testing.assert_allclose(tg.grad(loss)(2.0, X), np.sum(np.sin(X)))
    np.testing.assert_allclose(tg.jit(tg.grad(loss))(2.0, X), np.sum(np.sin(X)))
    np.testing.assert_allclose(tg.jvp(lambda y: loss(y, X), (2.0,), (1.0,))[1], np.sum(np.sin(X)))


@every
def test_imperative_tensors_and_tapes(f):
    t = tg.tensor(X)
    loss = loss_of(f)(t)
    loss.backward()
    np.testing.assert_allclose(t.grad, gradient(X))
    t = tg.tensor(X)
    with tg.Tape() as tape:
        loss = loss_of(f)(t)
    np.testing.assert_allclose(tape.gradient(loss, [t])[0], gradient(X))
    program = tape.program([t], [loss])
    program.verify()
    _, pulled = program.reverse()(X + 1, np.array(1.0))
    np.testing.assert_allclose(pulled, gradient(X + 1))
    np.testing.assert_allclose(program.forward()(X, np.ones(3))[1], np.sum(gradient(X)))
    np.testing.assert_allclose(program.compile()(X)[0], np.sum(np.sin(X) * X**3))
    np.testing.assert_allclose(program.batch(2)(np.stack([X, X]))[0], [loss.item()] * 2)
    assert "fun" in str(program)


@every
def test_a_result_that_is_written_into_leaves_the_residuals_alone(f):
    t = tg.tensor(X)
    y = f(t, tg.tensor(2 * np.ones(3), constant=True))
    y *= 3
    t2 = t * 1
    t2 += 5
    np.sum(y).backward()
    np.testing.assert_allclose(t.grad, 3 * FACTOR * np.cos(X) * 2)


def test_the_forward_rule_runs_only_where_the_function_is_differentiated():
    calls = []

    @tg.custom_vjp
    def f(x):
        calls.append("f")
        return x * 2

    def fwd(x):
        calls.append("fwd")
        return x * 2, x

    def bwd(x, g):
        calls.append("bwd")
        return (3 * g,)

    f.defvjp(fwd, bwd)
    f(1.0)
    tg.vmap(f)(X)
    f(tg.tensor(1.0, constant=True))
    with tg.no_autodiff:
        f(tg.tensor(1.0))
    assert calls == ["f"] * 4
    calls.clear()
    assert tg.grad(f)(1.0) == 3.0
    assert calls == ["fwd", "bwd"]
    calls.clear()
    tg.vjp(f, X)
    assert calls == ["fwd"]


def test_nests_of_arguments_and_results():
    @tg.custom_vjp
    def f(p, x):
        return {"a": p["w"] * x, "b": (np.sum(x), p["n"])}

    def fwd(p, x):
        return f(p, x), (p["w"], x)

    def bwd(residuals, g):
        w, x = residuals
        assert set(g) == {"a", "b"}
        return {"w": g["a"] * x, "n": None}, g["a"] * w + g["b"][0]

    f.defvjp(fwd, bwd)

    def loss(p, x):
        out = f(p, x)
        return np.sum(out["a"] ** 2) + 3 * out["b"][0] + out["b"][1]

    p = {"w": X, "n": 2}
    w, x = X, X + 1
    got = tg.grad(lambda w, x: loss({"w": w, "n": 2}, x), (0, 1))(w, x)
    np.testing.assert_allclose(got[0], 2 * w * x * x)
    np.testing.assert_allclose(got[1], 2 * w * x * w + 3)
    got = tg.jit(tg.grad(tg.jit(lambda x: loss(p, x))))(x)
    np.testing.assert_allclose(got, 2 * w * x * w + 3)


def test_fixed_arguments():
    @functools.partial(tg.custom_vjp, nondiff_argnums=(0, 2))
    def apply(function, x, n):
        return function(x) * n

    apply.defvjp(
        lambda function, x, n: (function(x) * n, x),
        lambda function, n, x, g: (g * 100 * n,),
    )
    assert tg.grad(lambda x: apply(np.sin, x, 3))(1.0) == 300.0
    assert tg.jit(tg.grad(lambda x: apply(np.sin, x, 3)))(1.0) == 300.0
    assert tg.grad(tg.jit(lambda x: apply(np.sin, x, 3)))(1.0) == 300.0
    with pytest.raises(TypeError, match="argument 2 is in nondiff_argnums"):
        tg.grad(lambda x: apply(np.sin, x, x))(1.0)

    @functools.partial(tg.custom_jvp, nondiff_argnums=0)
    def apply(function, x):
        return function(x)

    apply.defjvp(lambda function, p, t: (function(p[0]), 7 * t[0]))
    assert tg.grad(lambda x: apply(np.sin, x))(1.0) == 7.0


def test_arguments_by_name_and_defaults():
    @tg.custom_vjp
    def f(x, scale=2.0):
        return x * scale

    f.defvjp(lambda x, scale: (x * scale, scale), lambda scale, g: (g * scale * 5, None))
    assert tg.grad(lambda x: f(x, scale=3.0))(1.0) == 15.0
    assert tg.grad(f)(1.0) == 10.0


def test_methods():
    class Layer:
        def __init__(self, w):
            self.w = w

        @functools.partial(tg.custom_vjp, nondiff_argnums=(0,))
        def apply(self, x):
            return self.w * x

        apply.defvjp(lambda self, x: (self.w * x, None), lambda self, _, g: (self.w * g + 1,))

    layer = Layer(4.0)
    assert tg.grad(layer.apply)(1.0) == 5.0
    assert tg.jit(tg.grad(layer.apply))(1.0) == 5.0


def test_functions_that_ask_for_values():
    @tg.custom_vjp
    def f(x):
        return x * 2 if float(x) > 0 else x * 3

    def fwd(x):
        return f(x), float(x)

    def bwd(x, g):
        return (g * math.cos(x) if x > 0 else -g,)

    f.defvjp(fwd, bwd)
    for x, wanted in ((0.5, math.cos(0.5)), (-0.5, -1.0)):
        assert tg.grad(f)(x) == pytest.approx(wanted)
        assert tg.jit(tg.grad(f))(x) == pytest.approx(wanted)
        assert tg.grad(tg.jit(f))(x) == pytest.approx(wanted)
        assert tg.jit(f)(x) == pytest.approx(2 * x if x > 0 else 3 * x)
        t = tg.tensor(x)
        with tg.Tape() as tape:
            y = f(t)
        assert tape.gradient(y, [t])[0] == pytest.approx(wanted)
    points = np.array([0.5, -0.5])
    wanted = [math.cos(0.5), -1.0]
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(points), wanted)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(tg.vmap(f)(x)))(points), wanted)


def outside(y, x, *, rule):
    if rule == "vjp":
        f = tg.custom_vjp(lambda x: x * y)
        f.defvjp(lambda x: (x * y, y), lambda y, g: (g * y * 10,))
    else:
        f = tg.custom_jvp(lambda x: x * y)
        f.defjvp(lambda p, t: (p[0] * y, t[0] * y * 10))
    return f(x)


@pytest.mark.parametrize("rule", ["vjp", "jvp"])
def test_what_is_read_from_outside_has_the_derivative_of_the_code(rule):
    one = functools.partial(outside, rule=rule)
    assert tg.grad(one, 1)(2.0, 3.0) == 20.0
    assert tg.grad(tg.jit(one), 1)(2.0, 3.0) == 20.0
    assert tg.grad(lambda y: tg.grad(one, 1)(y, 3.0))(2.0) == 10.0
    np.testing.assert_allclose(tg.vmap(tg.grad(one, 1))(X, X), 10 * X)
    got = tg.grad(lambda x: np.sum(tg.vmap(one)(X, x)))(X)
    np.testing.assert_allclose(got, 10 * X)
    both = tg.grad(lambda x, y: np.sum(tg.vmap(one)(y, x)), (0, 1))(X, X + 1)
    np.testing.assert_allclose(both, [10 * (X + 1), X])
    assert tg.grad(tg.jit(one), (0, 1))(2.0, 3.0) == (3.0, 20.0)
    assert tg.jvp(one, (2.0, 3.0), (1.0, 1.0))[1] == 23.0
    assert tg.jvp(tg.jit(one), (2.0, 3.0), (1.0, 1.0))[1] == 23.0
    assert tg.grad(one, 0)(2.0, 3.0) == 3.0
    inner = tg.grad(lambda x: tg.grad(lambda y: one(y, x) * x)(2.0))
    assert inner(3.0) == 6.0  # the derivative of the code, x * x
    assert tg.jvp(lambda x: tg.grad(lambda y: one(y, x) * x)(2.0), (3.0,), (1.0,))[1] == 6.0
    y, x = tg.tensor(2.0), tg.tensor(3.0)
    if rule == "vjp":
        f = tg.custom_vjp(lambda x: x * y)
        f.defvjp(lambda x: (x * y, y.data), lambda y, g: (g * y * 10,))
        f(x).backward()
        assert (y.grad, x.grad) == (3.0, 20.0)


def test_the_derivative_is_the_rule_at_every_order():
    @tg.custom_vjp
    def rounded(x):
        return np.round(x)

    rounded.defvjp(lambda x: (np.round(x), None), lambda _, g: (g,))
    twice = tg.grad(tg.grad(lambda x: rounded(x) ** 2 / 2))
    assert twice(1.3) == 1.0
    assert tg.jit(twice)(1.3) == 1.0
    assert tg.grad(tg.grad(tg.jit(lambda x: rounded(x) ** 2 / 2)))(1.3) == 1.0
    assert tg.jacfwd(tg.jacfwd(lambda x: rounded(x) ** 2 / 2))(1.3) == 1.0


def test_a_rule_of_several_arguments_of_which_some_are_integers():
    @tg.custom_vjp
    def take(x, i):
        return x[i]

    def bwd(residuals, g):
        i, shape = residuals
        out = np.zeros(shape)
        out[i] = 5 * g
        return out, None

    take.defvjp(lambda x, i: (x[i], (i, x.shape)), bwd)
    i = np.array([0, 2])
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(take(x, i)))(X), [5, 0, 5])
    np.testing.assert_array_equal(tg.jit(tg.grad(lambda x: np.sum(take(x, i))))(X), [5, 0, 5])


def test_float32_stays_float32():
    x = X.astype(np.float32)
    for f in (by_vjp, by_jvp, by_jvps):
        for gradient_of in (tg.grad, lambda f: tg.jit(tg.grad(f)), lambda f: tg.grad(tg.jit(f))):
            assert gradient_of(loss_of(f))(x).dtype == np.float32


def test_errors_of_rules_say_whose_they_are():
    @tg.custom_vjp
    def f(x, y):
        return x * y

    with pytest.raises(AttributeError, match="f has no rule yet"):
        f(1.0, 2.0)
    f.defvjp(lambda x, y: x * y, lambda r, g: (g, g))
    with pytest.raises(TypeError, match="the fwd of f must return a pair"):
        tg.grad(f)(1.0, 2.0)
    f.defvjp(lambda x, y: (x * y, None), lambda r, g: g)
    with pytest.raises(InvalidGradient, match="a cotangent for each of 2 arguments"):
        tg.grad(f)(1.0, 2.0)
    f.defvjp(lambda x, y: (x * y, None), lambda r, g: (np.ones(3), g))
    with pytest.raises(InvalidGradient, match=r"shape \(3,\) for the argument at args\[0\]"):
        tg.grad(f)(1.0, 2.0)
    with pytest.raises(TypeError, match="takes a function"):
        tg.custom_vjp(3)
    with pytest.raises(TypeError, match="nondiff_argnums"):
        tg.custom_vjp(np.sin, nondiff_argnums=(-1,))

    g = tg.custom_jvp(lambda x: x)
    g.defjvp(lambda p, t: (p[0], t[0] ** 2))
    with pytest.raises(ValueError, match="is not linear: it applies"):
        tg.grad(g)(1.0)
    g.defjvp(lambda p, t: (p[0], np.ones(2)))
    with pytest.raises(ValueError, match="a tangent of shape"):
        tg.jvp(g, (1.0,), (1.0,))


def test_a_custom_function_of_a_module_can_be_pickled_and_prints():
    assert pickle.loads(pickle.dumps(by_vjp)) is by_vjp
    assert repr(by_jvp) == "<custom_jvp(by_jvp)>"


def test_rules_run_as_images():
    @tg.custom_vjp
    def f(x):
        return math.sin(x)

    f.defvjp(lambda x: (math.sin(x), x), lambda x, g: (g * math.cos(x),))
    assert tg.grad(tg.grad(f))(0.7) == pytest.approx(-math.sin(0.7))
    assert tg.jit(tg.grad(tg.grad(f)))(0.7) == pytest.approx(-math.sin(0.7))


def test_jit_reads_what_rules_read():
    scale = [2.0]

    @tg.custom_vjp
    def f(x):
        return x

    f.defvjp(lambda x: (x, None), lambda _, g: (g * scale[0],))
    gradient = tg.jit(tg.grad(f))
    assert gradient(1.0) == 2.0
    scale[0] = 5.0
    assert gradient(1.0) == 5.0


@every
def test_nobody_takes_a_custom_function_for_linear(f):
    with pytest.raises(ValueError, match="a rule of its own"):
        tg.linear_transpose(lambda x: f(x, 2.0), X)


def test_jit_notices_another_rule():
    f = tg.custom_vjp(lambda x: x * 1.0)
    holder = [f]
    for make in (lambda f: tg.jit(tg.grad(f)), lambda f: tg.grad(tg.jit(f))):
        gradient = make(lambda x: holder[0](x) * 1.0)
        for factor in (2.0, 3.0):
            f.defvjp(lambda x: (x * 1.0, None), lambda _, g, factor=factor: (g * factor,))
            assert gradient(1.0) == factor
