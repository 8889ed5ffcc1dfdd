"""Steps and whole trainings under jit, scan, vmap and grad: as without, and recorded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim
from tapegrad.compile.jitted.recording import record

RNG = np.random.default_rng(2)
X = RNG.normal(size=(20, 3))
Y = X @ np.array([1.0, -2.0, 3.0]) + 0.5
START = {"w": np.zeros(3), "b": np.float64(0.0)}
OPTIMISERS = {
    "sgd": optim.sgd(0.1, 0.9, nesterov=True),
    "rmsprop": optim.rmsprop(0.1, centered=True, eps=1e-2, momentum=0.5),
    "adagrad": optim.adagrad(0.5),
    "adam": optim.adam(0.1),
    "adamw": optim.adamw(
        optim.warmup_cosine_decay_schedule(0.0, 0.1, 5, 20),
        weight_decay=0.1,
        mask={"w": True, "b": False},
    ),
    "amsgrad": optim.amsgrad(0.1),
    "lion": optim.lion(optim.exponential_decay(0.1, 5, 0.5, staircase=True)),
    "clipped": optim.chain(
        optim.clip_by_value(3.0), optim.clip_by_norm(2.0), optim.clip_by_global_norm(1.0),
        optim.sgd(optim.piecewise_constant_schedule(0.3, {3: 0.5, 6: 0.5}), 0.5),
    ),
    "accumulated": optim.accumulate(optim.chain(optim.adam(0.1), optim.average(0.9)), 3),
    "masked": optim.chain(
        optim.masked(optim.adam(0.1), lambda tree: {"w": True, "b": False}),
        optim.masked(optim.scale(0.0), {"w": False, "b": True}),
    ),
    "a schedule of the user's": optim.sgd(lambda count: 0.1 * np.cos(count / 10)),
}  # fmt: skip


def loss(params: Any, X: Any, Y: Any) -> Any:
    return np.mean((X @ params["w"] + params["b"] - Y) ** 2)


def step_of(optimiser: Any) -> Any:
    def step(params: Any, state: Any) -> Any:
        grads = tg.grad(loss)(params, X, Y)
        updates, state = optimiser.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    return step


def trained(step: Any, optimiser: Any, count: int = 10) -> Any:
    both = START, optimiser.init(START)
    for _ in range(count):
        both = step(*both)
    return both


def close(found: Any, wanted: Any) -> None:
    assert tg.tree_structure(found) == tg.tree_structure(wanted)
    for a, b in zip(tg.tree_leaves(found), tg.tree_leaves(wanted)):
        assert type(a) is type(b) and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_compiled_step_is_recorded_once(name: str) -> None:
    step = step_of(OPTIMISERS[name])
    fast = tg.jit(step)
    wanted = trained(step, OPTIMISERS[name])
    close(trained(fast, OPTIMISERS[name]), wanted)
    assert fast.stats().traces == 1 and fast.stats().eager_calls == 0
    assert not np.array_equal(wanted[0]["w"], START["w"])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_whole_training_in_a_scan_and_in_a_loop(name: str) -> None:
    optimiser = OPTIMISERS[name]
    step = step_of(optimiser)
    wanted = trained(step, optimiser)

    def scanned(params: Any, state: Any) -> Any:
        both, _ = tg.scan(lambda both, _: (step(*both), 0.0), (params, state), np.arange(10.0))
        return both

    def looped(params: Any, state: Any) -> Any:
        for _ in range(10):
            params, state = step(params, state)
        return params, state

    close(scanned(START, optimiser.init(START)), wanted)
    for function in (scanned, looped):
        fast = tg.jit(function)
        for _ in range(2):
            close(fast(START, optimiser.init(START)), wanted)
        assert fast.stats().traces == 1 and fast.stats().eager_calls == 0


@pytest.mark.parametrize("make", [optim.sgd, optim.adam, optim.lion])
def test_a_learning_rate_that_is_an_argument_may_change(make: Any) -> None:
    def step(params: Any, state: Any, rate: Any) -> Any:
        optimiser = make(rate)
        updates, state = optimiser.update(tg.grad(loss)(params, X, Y), state, params)
        return optim.apply_updates(params, updates), state

    fast = tg.jit(step)
    both = same = START, make(0.1).init(START)
    for count in range(12):
        rate = np.array(0.1 / (1 + count))
        both, same = step(*both, rate), fast(*same, rate)
    close(same, both)
    assert fast.stats().traces == 1 and fast.stats().eager_calls == 0
    assert not np.allclose(both[0]["w"], trained(step_of(make(0.1)), make(0.1), 12)[0]["w"])


def test_a_learning_rate_of_float64_leaves_float32_alone() -> None:
    params = np.ones(3, "f4")

    def step(params: Any, state: Any, rate: Any) -> Any:
        updates, state = optim.adam(rate).update(params, state, params)
        return updates, state

    for function in (step, tg.jit(step)):
        _, state = function(params, optim.adam(0.1).init(params), np.array(0.1))
        updates, state = function(params, state, np.array(0.2))
        assert updates.dtype == state[0].mu.dtype == state[0].nu.dtype == np.float32


def test_a_step_has_a_derivative_by_the_learning_rate() -> None:
    def final(rate: Any) -> Any:
        return loss(trained(step_of(optim.adam(rate)), optim.adam(0.0), 3)[0], X, Y)

    slope = (final(0.1 + 1e-6) - final(0.1 - 1e-6)) / 2e-6
    np.testing.assert_allclose(tg.grad(final)(0.1), slope, rtol=1e-6)


def test_several_trainings_in_a_batch() -> None:
    starts = RNG.normal(size=(4, 3))
    optimiser = optim.accumulate(optim.adam(0.1), 2)

    def train(w: Any) -> Any:
        both = {"w": w, "b": np.float64(0.0)}, optimiser.init({"w": w, "b": np.float64(0.0)})
        for _ in range(4):
            both = step_of(optimiser)(*both)
        return both[0]["w"]

    wanted = np.stack([train(start) for start in starts])
    np.testing.assert_allclose(tg.vmap(train)(starts), wanted, rtol=1e-12)
    assert not np.allclose(wanted, starts)


def test_a_compiled_step_sees_that_another_optimiser_is_meant() -> None:
    chosen = {"optimiser": optim.sgd(0.5)}

    def step(params: Any) -> Any:
        optimiser = chosen["optimiser"]
        return optimiser.update(params, optimiser.init(params), params)[0]

    fast = tg.jit(step)
    np.testing.assert_allclose(fast(np.ones(2)), -0.5)
    chosen["optimiser"] = optim.sgd(0.25)
    np.testing.assert_allclose(fast(np.ones(2)), -0.25)


def test_what_functions_of_the_user_read_may_change() -> None:
    chosen = {"rate": 0.5, "b": True, "factor": 1.0}

    def scaled(grads: Any, state: Any, params: Any = None) -> Any:
        return tg.tree_map(lambda g: g * chosen["factor"], grads), state

    optimisers = {
        "rate": optim.sgd(lambda count: chosen["rate"]),
        "size": optim.scale_by_schedule(lambda count: -chosen["rate"]),
        "b": optim.masked(optim.scale(-0.5), lambda tree: [chosen["b"]]),
        "factor": optim.chain(optim.GradientTransformation(lambda p: (), scaled), optim.sgd(0.5)),
    }
    fast = {
        name: tg.jit(lambda p, o=optimiser: o.update(p, o.init(p), p)[0])
        for name, optimiser in optimisers.items()
    }
    for values, wanted in (((0.5, True, 1.0), -0.5), ((-1.0, False, -2.0), 1.0)):
        chosen.update(zip(chosen, values))
        for function in fast.values():
            np.testing.assert_array_equal(function([np.ones(2)])[0], wanted)


SHAPES = {
    "equal": [(32,)] * 60,
    "large": [(100, 100)] * 60,
    "different": [(n + 3,) for n in range(60)],
    "layers": [(32, 32), (32,)] * 30,
}


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize(
    "optimiser",
    [optim.sgd(0.1, 0.9), optim.adam(0.1), optim.adamw(0.1), optim.lion(0.1), optim.adagrad(0.1)]
    + [optim.rmsprop(0.1), optim.rmsprop(0.1, centered=True, momentum=0.9)],
    ids=["sgd", "adam", "adamw", "lion", "adagrad", "rmsprop", "rmsprop, centered"],
)
def test_an_update_of_sixty_arrays_compiles_at_most_two_kernels(
    optimiser: Any, shapes: str
) -> None:
    params = [np.ones(shape) for shape in SHAPES[shapes]]

    def step(grads: Any, state: Any, params: Any) -> Any:
        updates, state = optimiser.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    plan = record(step, (params, optimiser.init(params), params), {}, strict=True)[0].plan
    assert len({kernel.source for kernel in plan.kernels}) <= 2
    assert not plan.library_steps
