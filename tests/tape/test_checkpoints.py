"""How much loops keep for their derivatives, and that what they do not keep is computed again."""

import tracemalloc

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.transforms.control import scans
from tapegrad.tape.transforms.control import trips as bounds

X = np.linspace(0.5, 1.5, 64)


def long_scan(length, checkpoint=None):
    def f(x):
        def step(c, _):
            return c + 0.01 * np.sin(c * x) * np.cos(c), None

        return np.sum(tg.scan(step, x, length=length, checkpoint=checkpoint)[0])

    return f


def in_python(length):
    def f(x):
        c = x
        for _ in range(length):
            c = c + 0.01 * np.sin(c * x) * np.cos(c)
        return np.sum(c)

    return f


def peak(function, *args):
    """The most memory that a call takes at a time."""
    function(*args)
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("transformation", [lambda f: f, tg.jit], ids=["eager", "jit"])
def test_a_checkpointed_scan_keeps_as_much_as_a_short_one(transformation):
    short = peak(transformation(tg.grad(long_scan(200, 0))), X)
    everything = peak(transformation(tg.grad(long_scan(10_000, 0))), X)
    checkpointed = peak(transformation(tg.grad(long_scan(10_000, 100))), X)
    assert everything > 40 * short
    assert checkpointed < 1.5 * short


def test_a_scan_that_would_keep_too_much_is_checkpointed_by_itself(monkeypatch):
    everything = peak(tg.grad(long_scan(10_000)), X)
    monkeypatch.setattr(scans, "MOST_BYTES", 200 * 5 * X.nbytes)
    short = peak(tg.grad(long_scan(200, 0)), X)
    assert peak(tg.grad(long_scan(10_000)), X) < 1.5 * short < everything / 20
    np.testing.assert_allclose(tg.grad(long_scan(1000))(X), tg.grad(in_python(1000))(X), rtol=1e-10)


@pytest.mark.parametrize("most", [20, 3, 1])
def test_segments_that_would_keep_too_much_have_segments(monkeypatch, most):
    wanted = tg.grad(in_python(150))(X), tg.hvp(in_python(150), (X,), (X,))
    monkeypatch.setattr(scans, "MOST_BYTES", most * X.nbytes)
    f = long_scan(150)
    np.testing.assert_allclose(tg.grad(f)(X), wanted[0], rtol=1e-10)
    np.testing.assert_allclose(tg.jit(tg.grad(f))(X), wanted[0], rtol=1e-10)
    np.testing.assert_allclose(tg.hvp(f, (X,), (X,)), wanted[1], rtol=1e-9)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("checkpoint", [1, 2, 3, 5, 7, 11])
def test_every_interval_gives_the_same_derivatives(checkpoint, reverse):
    rows = np.random.default_rng(0).normal(size=(7, 3))

    def f(checkpoint):
        def loss(x, rows):
            def step(c, row):
                c = np.tanh(c * row + x * np.sum(row))
                return c, c * row

            c, ys = tg.scan(step, x, rows, reverse=reverse, checkpoint=checkpoint)
            return np.sum(c * ys[0]) + np.sum(ys**2)

        return loss

    x = np.array([0.3, -0.2, 0.5])
    for derivative in (
        lambda f: tg.grad(f, argnums=(0, 1)),
        lambda f: tg.vmap(tg.grad(f, argnums=(0, 1)), (0, None)),
        lambda f: lambda x, rows: tg.hvp(lambda x: f(x, rows), (x,), (x,)),
        lambda f: lambda x, rows: tg.jacrev(tg.grad(f, argnums=1))(x, rows),
    ):
        given = np.stack([x, -x]) if isinstance(derivative(f(0))(x[None], rows), tuple) else x
        pairs = zip(
            tg.tree_leaves(derivative(f(checkpoint))(given, rows)),
            tg.tree_leaves(derivative(f(0))(given, rows)),
        )
        for got, wanted in pairs:
            np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def kept_by(f, *args):
    """The parameters of the scans on the tape of a function's gradient."""
    x = tg.tensor(args[0])
    with tg.Tape() as tape:
        f(x, *args[1:])
    program = tape.program().reverse([0])
    return [e for e in program.entries if e.primitive.name == "scan"]


def test_what_does_not_change_from_trip_to_trip_is_not_stacked():
    matrix = tg.tensor(np.eye(50) * 0.5)

    def f(x):
        return np.sum(tg.scan(lambda c, _: (np.tanh(np.exp(matrix).T @ c), None), x, length=30)[0])

    forward, backward = kept_by(f, np.ones(50))
    stacked = [o.shape for o in forward.params["body"].outputs[1:]]
    assert stacked and all(shape == (50,) for shape in stacked)
    assert backward.params["stacked"] == len(stacked)


def test_what_is_stacked_already_is_not_stacked_again():
    def f(x, rows):
        return np.sum(tg.scan(lambda c, row: (c * row, None), x, rows)[0])

    forward, _ = kept_by(f, np.ones(3), tg.tensor(np.ones((5, 3))))
    assert len(forward.params["body"].outputs) == 2  # what is carried, before and after


def test_only_cotangents_that_are_asked_for_are_computed():
    table = np.ones((5, 3))

    def f(x):
        return np.sum(tg.scan(lambda c, row: (np.sin(c * row), None), x, table)[0])

    calls = []
    bind = primitives["scan"].forward

    def counting(*args, **params):
        calls.append(params["body"])
        return bind(*args, **params)

    primitives["scan"].forward = counting
    try:
        tg.grad(f)(np.ones(3))
    finally:
        primitives["scan"].forward = bind
    assert len(calls) == 2  # forward and back, and nothing is computed again
    assert len(calls[1].outputs) == 1  # the cotangent that is carried, and none of the rows


# Loops whose length nobody knows ------------------------------------------------------------------


def long_while(trips):
    def f(x):
        def step(state):
            i, c = state
            return i + 1, c + 0.01 * np.sin(c * x) * np.cos(c)

        return np.sum(tg.while_loop(lambda s: s[0] < trips, step, (0, x))[1])

    return f


@pytest.mark.parametrize("trips", [0, 1, 7, 8, 9, 16, 17, 63, 64, 65, 200])
def test_states_are_thinned_and_computed_again(monkeypatch, trips):
    wanted = tg.grad(in_python(trips))(X), tg.hvp(in_python(trips), (X,), (X,))
    monkeypatch.setattr(bounds, "MOST_STATES", 8)
    f = long_while(trips)
    np.testing.assert_allclose(tg.grad(f)(X), wanted[0], rtol=1e-10)
    np.testing.assert_allclose(tg.jit(tg.grad(f))(X), wanted[0], rtol=1e-10)
    np.testing.assert_allclose(tg.hvp(f, (X,), (X,)), wanted[1], rtol=1e-9)
    np.testing.assert_allclose(tg.grad(lambda x: tg.jvp(f, (x,), (X,))[1])(X), wanted[1], rtol=1e-9)


def test_a_thinned_loop_keeps_a_bounded_number_of_states():
    x = tg.tensor(X)
    loop = primitives["while"]
    results = {}
    forward = loop.forward

    def keeping(*args, **params):
        out = results["out"] = forward(*args, **params)
        return out

    loop.forward = keeping
    try:
        long_while(10_000)(x)
    finally:
        loop.forward = forward
    _, _, trips, every, counts, states = results["out"]
    assert (int(trips), int(every), counts.shape, states.shape) == (10_000, 64, (256,), (256, 64))
    np.testing.assert_array_equal(counts[:157], np.arange(157) * 64)


def test_the_memory_of_a_loop_does_not_grow_with_its_length():
    def memory(trips):
        return peak(tg.grad(long_while(trips)), X)

    assert memory(8000) < 1.5 * memory(500)


def test_states_that_are_large_are_fewer(monkeypatch):
    monkeypatch.setattr(bounds, "MOST_BYTES", 20 * X.nbytes)
    monkeypatch.setattr(bounds, "MOST_STATES", 256)
    np.testing.assert_allclose(tg.grad(long_while(100))(X), tg.grad(in_python(100))(X), rtol=1e-10)
