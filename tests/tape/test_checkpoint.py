"""``checkpoint``: the same derivatives, from the arguments alone."""

import gc
import math
import tracemalloc

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(7)
W = 0.3 * RNG.normal(size=(4, 4))
X = RNG.normal(size=4)


def affine(x, w):
    return np.tanh(np.sin(w @ x) * x)


def nests(x, w):
    out = {"a": x * 2, "b": (w @ x, [np.sum(x)])}
    return np.tanh(out["a"]) * out["b"][1][0] + out["b"][0]


def buffers(x, w):
    out = np.zeros(4)
    for i in range(4):
        out[i] = x[i] * w[i, i]
    y = x * 1.0
    y += out
    return y * x


def branches(x, w):
    return np.exp(x) * w[0] if np.sum(x) > 0 else np.sin(x) * w[1]


def numbers(x, w):
    return x * math.exp(0.1 * float(x[0])) + w[0] * float(w[1, 1])


def several(x, w):
    def inner(x):
        return tg.cond(x[0] > 0, lambda x: x * w[0], lambda x: np.sin(x), x)

    return inner(x) + inner(-x)


def closures(x, w):
    inner = tg.checkpoint(lambda y: np.tanh(w @ y) * x)
    return inner(inner(x))


def ties(x, w):
    return np.maximum(x, x) * w[0] + np.clip(x, x, 5.0)


def derivatives(x, w):
    return tg.grad(lambda x: np.sum(affine(x, w)))(x) + tg.vmap(lambda a: a * x[0])(x)


BLOCKS = [affine, nests, buffers, branches, numbers, several, closures, ties, derivatives]
every = pytest.mark.parametrize("block", BLOCKS, ids=lambda f: f.__name__)


def loss_of(block):
    return lambda x, w: np.sum(block(block(x, w), w) ** 2)


TRANSFORMS = {
    "grad": lambda f: tg.grad(f, (0, 1)),
    "jit of grad": lambda f: tg.jit(tg.grad(f, (0, 1))),
    "grad of jit": lambda f: tg.grad(tg.jit(f), (0, 1)),
    "jvp": lambda f: lambda x, w: tg.jvp(f, (x, w), (X + 1, W * 2)),
    "jit of jvp": lambda f: tg.jit(lambda x, w: tg.jvp(f, (x, w), (X + 1, W * 2))),
    "forward over reverse": lambda f: lambda x, w: tg.hvp(f, (x, w), (X + 1, W * 2)),
    "reverse over reverse": lambda f: lambda x, w: tg.jacrev(tg.grad(f, 1))(x, w),
    "reverse over forward": lambda f: lambda x, w: tg.jacrev(tg.jacfwd(f), 1)(x, w),
    "jit of hessian": lambda f: tg.jit(tg.hessian(f)),
    "batch of gradients": lambda f: (
        lambda x, w: tg.vmap(tg.grad(f), (0, None))(np.stack([x, 2 * x]), w)
    ),
    "gradient of a batch": lambda f: (
        lambda x, w: tg.grad(lambda w: np.sum(tg.vmap(f, (0, None))(np.stack([x, 2 * x]), w)))(w)
    ),
}


@every
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_values_and_derivatives_are_those_of_the_function(block, transform):
    if block is numbers and transform == "grad of jit":
        pytest.skip("float() of a value raises there without checkpoint, too")
    make = TRANSFORMS[transform]
    wanted = tg.tree_leaves(make(loss_of(block))(X, W))
    got = make(loss_of(tg.checkpoint(block)))
    for _ in range(2):
        for a, b in zip(tg.tree_leaves(got(X, W)), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@every
def test_imperative_tensors_and_tapes(block):
    if block is derivatives:
        pytest.skip("tensors are constants to transformations inside")
    if block in (buffers, numbers):
        block = tg.adapt(block)
    t, u = tg.tensor(X), tg.tensor(W)
    loss_of(block)(t, u).backward()
    x, w = tg.tensor(X), tg.tensor(W)
    loss_of(tg.checkpoint(block))(x, w).backward()
    np.testing.assert_allclose(x.grad, t.grad)
    np.testing.assert_allclose(w.grad, u.grad)


def test_on_a_tape_it_is_one_entry():
    x, w = tg.tensor(X), tg.tensor(W)
    with tg.Tape() as tape:
        loss = loss_of(tg.checkpoint(affine))(x, w)
    program = tape.program([x, w], [loss])
    assert [e.primitive.name for e in program.entries].count("checkpoint") == 2
    program.verify()
    wanted = tg.grad(loss_of(affine), (0, 1))(X + 1, W)
    got = program.reverse()(X + 1, W, np.array(1.0))
    np.testing.assert_allclose(got[1], wanted[0])
    np.testing.assert_allclose(got[2], wanted[1])
    for got, wanted in zip(tape.gradient(loss, [x, w]), tg.grad(loss_of(affine), (0, 1))(X, W)):
        np.testing.assert_allclose(got, wanted)


def test_the_function_runs_once_and_is_run_again_as_a_program():
    calls = []

    def block(x):
        calls.append(1)
        return np.sin(x) * x

    tg.grad(lambda x: np.sum(tg.checkpoint(block)(x)))(X)
    assert len(calls) == 1


def test_random_numbers_are_not_drawn_anew():
    def dropped(x, rng):
        return np.sum(x * rng.random(4) * np.sin(x))

    got = tg.grad(lambda x: tg.checkpoint(dropped)(x, np.random.default_rng(3)))(X)
    np.testing.assert_allclose(got, tg.grad(lambda x: dropped(x, np.random.default_rng(3)))(X))
    rng, mask = np.random.default_rng(3), np.random.default_rng(3).random(4)
    got = tg.grad(lambda x: np.sum(tg.checkpoint(lambda x: x * rng.random(4))(x)))(X)
    np.testing.assert_array_equal(got, mask)


def test_what_is_read_from_outside_is_differentiated():
    def loss(wrap):
        def inside(w):
            block = wrap(lambda x: np.tanh(w @ x) * np.sin(x))
            return np.sum(block(block(X)))

        return inside

    wanted = tg.grad(loss(lambda f: f))(W)
    np.testing.assert_allclose(tg.grad(loss(tg.checkpoint))(W), wanted)
    np.testing.assert_allclose(tg.jit(tg.grad(loss(tg.checkpoint)))(W), wanted)
    np.testing.assert_allclose(tg.grad(tg.jit(loss(tg.checkpoint)))(W), wanted)
    w = tg.tensor(W)
    loss(tg.checkpoint)(w).backward()
    np.testing.assert_allclose(w.grad, wanted)


def residuals(wrap, depth, gradient_of=tg.grad):
    """Peak memory of a gradient through `depth` blocks, in arrays of the size of the argument."""
    block = wrap(lambda x: np.sin(np.tanh(np.exp(np.sin(np.cos(x))))) * 1.01)

    def loss(x):
        for _ in range(depth):
            x = block(x)
        return np.sum(x)

    x = np.ones(50_000)
    gradient = gradient_of(loss)
    gradient(x)
    gc.collect()
    tracemalloc.start()
    try:
        gradient(x)
        return tracemalloc.get_traced_memory()[1] / x.nbytes
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_the_arguments_and_of_one_block():
    small, large = residuals(tg.checkpoint, 10), residuals(tg.checkpoint, 30)
    assert (large - small) / 20 < 2.5  # an argument of each block, and its cotangent
    assert residuals(lambda f: f, 30) > 3 * large


def test_compiled_the_second_run_stays():
    def compiled(loss):
        return tg.jit(tg.grad(loss))

    with_checkpoint = residuals(tg.checkpoint, 20, compiled)
    assert with_checkpoint < 0.7 * residuals(lambda f: f, 20, compiled)
    block = tg.checkpoint(lambda x: np.sum(np.tanh(np.exp(x) * x)))
    text = tg.jit(tg.value_and_grad(block)).explain(X)
    assert text.count("np.exp(") == 2
    assert "np.array(x0)  # when" in text


def test_nests_keywords_and_other_arguments():
    @tg.checkpoint
    def block(params, x, *, power, name="a"):
        return {"y": params["w"] * x**power, name: None}

    assert repr(block) == "<checkpoint(block)>"
    got = tg.grad(lambda w: block({"w": w}, 3.0, power=2)["y"])(2.0)
    assert got == 9.0
    assert tg.jit(tg.grad(lambda w: block({"w": w}, 3.0, power=2)["y"]))(2.0) == 9.0


def test_float32_and_python_numbers_keep_their_dtypes():
    x = X.astype(np.float32)
    block = tg.checkpoint(lambda x, c: np.sin(x * c) * 2.0)
    for make in (tg.grad, lambda f: tg.jit(tg.grad(f)), lambda f: tg.grad(tg.jit(f))):
        assert make(lambda x: np.sum(block(x, 3.0)))(x).dtype == np.float32
    got = tg.grad(lambda c: np.sum(block(x, c)))(3.0)
    np.testing.assert_allclose(got, np.sum(2 * x * np.cos(3 * x)), rtol=1e-5)


def test_what_can_be_no_program_is_run_as_without():
    kept = np.zeros(4)

    def block(x):
        kept[:] = kept + 1
        return np.sin(x) * x

    got = tg.grad(lambda x: np.sum(tg.checkpoint(block)(x)))(X)
    np.testing.assert_allclose(got, np.cos(X) * X + np.sin(X))


def test_writes_after_the_call_do_not_reach_the_second_run():
    t = tg.tensor(X)
    y = t * 1.0
    z = tg.checkpoint(lambda y: np.sin(y) * y)(y)
    y += 100.0
    np.sum(z).backward()
    np.testing.assert_allclose(t.grad, np.cos(X) * X + np.sin(X))


def test_remat_is_another_name():
    assert tg.remat is tg.checkpoint
    with pytest.raises(TypeError, match="checkpoint takes a function"):
        tg.checkpoint(3)
