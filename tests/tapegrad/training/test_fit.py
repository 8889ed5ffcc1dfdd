"""``tg.fit`` does what a loop written by hand does, and counts what it compiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim, training

RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 3))
Y = X @ np.array([1.0, -2.0, 3.0]) + 0.5 + 0.01 * RNG.normal(size=50)
START = {"w": np.zeros(3), "b": 0.0}


def loss(params: Any, X: Any, Y: Any) -> Any:
    return np.mean((X @ params["w"] + params["b"] - Y) ** 2)


def by_hand(optimiser: Any, clip_norm: float, epochs: int, size: int, seed: int) -> Any:
    """The same training, eager and written out, with the orders that a generator draws."""
    params: Any = {"w": np.zeros(3), "b": np.float64(0.0)}
    state, rng = optimiser.init(params), np.random.default_rng(seed)
    losses, norms = [], []
    for _ in range(epochs):
        order = rng.permutation(len(X))
        for first in range(0, len(X), size):
            chosen = order[first : first + size]
            value, grads = tg.value_and_grad(loss)(params, X[chosen], Y[chosen])
            grads, norm = tg.clip_by_global_norm(grads, clip_norm)
            updates, state = optimiser.update(grads, state, params)
            params = optim.apply_updates(params, updates)
            losses.append(value)
            norms.append(norm)
    return params, state, losses, norms


@pytest.mark.parametrize("size, recordings", [(None, 1), (10, 1), (16, 2), (50, 1), (64, 1)])
def test_it_is_the_loop_that_one_would_write_and_is_recorded_once_for_each_shape(
    size: int | None, recordings: int
) -> None:
    optimiser = optim.adam(0.1)
    params, state, losses, norms = by_hand(optimiser, 7.5, 6, size or 50, 7)
    result = tg.fit(
        loss, START, (X, Y), optimiser, epochs=6, batch_size=size, seed=7, clip_norm=7.5
    )
    for found, wanted in ((result.params, params), (result.state, state)):
        assert tg.tree_structure(found) == tg.tree_structure(wanted)
        for a, b in zip(tg.tree_leaves(found), tg.tree_leaves(wanted)):
            np.testing.assert_allclose(a, b, rtol=1e-9)
    np.testing.assert_allclose(result.history.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(result.history.gradient_norm, norms, rtol=1e-9)
    assert max(norms) > 7.5  # some were clipped, and some not
    assert min(norms) < 7.5
    assert result.recordings == recordings
    assert len(result.history.step_time) == result.steps == len(losses)
    assert np.all(result.history.step_time > 0) and result.epochs == 6
    assert result.stopped == "epochs"


def test_parameters_that_are_given_and_data_stay_as_they_are() -> None:
    start = {"w": np.ones(3), "b": np.array(0.5)}
    kept = {name: value.copy() for name, value in start.items()}
    data = X.copy(), Y.copy()
    result = tg.fit(loss, start, data, optim.sgd(0.1), epochs=3, batch_size=10)
    assert all(np.array_equal(start[name], kept[name]) for name in kept)
    assert np.array_equal(data[0], X) and np.array_equal(data[1], Y)
    assert not np.array_equal(result.params["w"], start["w"])


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Model:
    layers: list[Any]
    offset: Any
    nothing: None = None


NESTS = {
    "an array": (X[0], lambda p: p),
    "a number": (3.0, lambda p: np.full(3, 1.0) * p),
    "float32": (X[0].astype("f4"), lambda p: p),
    "a list of tuples": ([(X[0], X[1])], lambda p: p[0][0] * p[0][1]),
    "a named tuple": (Pair(X[0], [X[1]]), lambda p: p.a + p.b[0]),
    "a dataclass": (Model([X[0]], np.array(1.0)), lambda p: p.layers[0] + p.offset),
    "None in it": ({"w": X[0], "none": None}, lambda p: p["w"]),
    "Fortran order": (np.asfortranarray(X[:3]), lambda p: p[0] + p[:, 1]),
    "one element": (np.full(1, 3.0), lambda p: np.ones(3) * p),
}


@pytest.mark.parametrize("name", NESTS)
def test_parameters_are_any_nest(name: str, tmp_path: Any) -> None:
    start, read = NESTS[name]

    def distance(params: Any) -> Any:
        return np.sum((read(params) - np.arange(3.0)) ** 2)

    path = tmp_path / "run.npz"
    optimiser = optim.chain(optim.trace(0.5), optim.average(0.5), optim.sgd(0.01))
    result = tg.fit(distance, start, None, optimiser, epochs=8, checkpoint=path)
    half = tg.fit(distance, start, None, optimiser, epochs=4, checkpoint=tmp_path / "half.npz")
    again = tg.fit(distance, start, None, optimiser, epochs=8, checkpoint=tmp_path / "half.npz")
    assert tg.tree_structure(result.params) == tg.tree_structure(start)
    assert result.history.loss[-1] < half.history.loss[0]
    for a, b in zip(tg.tree_leaves(result.params), tg.tree_leaves(start)):
        assert a.dtype == np.asarray(b).dtype and a.shape == np.shape(b)
    pairs = zip(
        tg.tree_leaves((result.params, result.state)), tg.tree_leaves((again.params, again.state))
    )
    assert all(a.tobytes() == b.tobytes() for a, b in pairs)
    assert result.recordings == again.recordings == 1


# The learning rate --------------------------------------------------------------------------------


def test_a_changed_learning_rate_records_nothing_anew() -> None:
    rates = [0.1 / (1 + i) for i in range(10)]

    def change(loop: Any) -> None:
        loop.learning_rate = rates[min(loop.step, 9)]

    result = tg.fit(loss, START, (X, Y), optim.adam, learning_rate=rates[0], epochs=10, hook=change)
    np.testing.assert_array_equal(result.history.learning_rate, rates)
    assert result.recordings == 1

    def schedule(count: int) -> float:
        return rates[count]

    same = tg.fit(loss, START, (X, Y), optim.adam, learning_rate=schedule, epochs=10)
    assert same.params["w"].tobytes() == result.params["w"].tobytes()
    constant = tg.fit(loss, START, (X, Y), optim.adam(0.1), epochs=10)
    assert not np.allclose(constant.params["w"], result.params["w"])
    assert np.isnan(constant.history.learning_rate).all()


def test_an_optimiser_that_searches_calls_the_loss_on_the_same_batch() -> None:
    result = tg.fit(loss, START, (X, Y), optim.lbfgs(), epochs=12)
    exact = np.linalg.lstsq(np.column_stack([X, np.ones(50)]), Y, rcond=None)[0]
    np.testing.assert_allclose([*result.params["w"], result.params["b"]], exact, rtol=1e-6)
    assert result.recordings == 1


# Kernels ------------------------------------------------------------------------------------------


def test_an_update_of_sixty_arrays_is_two_kernels_in_place() -> None:
    params = [RNG.normal(size=20 + i) for i in range(60)]

    def update(grads: Any, state: Any, params: Any, rate: Any) -> Any:
        updates, state = optim.adam(rate).update(grads, state, params)
        return optim.apply_updates(params, updates), state

    fast = tg.jit(update, donate_argnums=(1, 2), strict=True)
    state, grads = optim.adam(0.1).init(params), [np.ones_like(p) for p in params]
    text = fast.explain(grads, state, params, np.float64(0.1))
    distinct = {line.split(",")[0] for line in text.splitlines() if line.startswith("# kernel")}
    assert len(distinct) == 2 and " 0 library steps" in text.partition("\n")[0]
    after, state = fast(grads, state, params, np.float64(0.1))
    again, _ = fast(grads, state, after, np.float64(0.2))
    assert all(a is b for a, b in zip(again, after))
    assert fast.stats().traces == 1


# Validation, early stop, hooks --------------------------------------------------------------------


def test_validation_is_the_mean_over_examples_whatever_the_batches() -> None:
    held = X[:17] + 0.1, Y[:17]
    result = tg.fit(loss, START, (X, Y), optim.sgd(0.1), epochs=3, batch_size=5, validation=held)
    np.testing.assert_allclose(
        result.history.validation["loss"][-1], loss(result.params, *held), rtol=1e-12
    )
    np.testing.assert_array_equal(result.history.validation_steps, [10, 20, 30])
    np.testing.assert_array_equal(result.history.epoch_ends, [10, 20, 30])


@pytest.mark.parametrize("kind", ["a loader", "a list", "a function"])
def test_validation_takes_whatever_gives_batches(kind: str) -> None:
    held = X[:17] + 0.1, Y[:17]
    batches = [(held[0][i : i + 5], held[1][i : i + 5]) for i in range(0, 17, 5)]
    validation = {
        "a loader": training.Loader(held, 4, transform=lambda batch, rng: 1 / 0),
        "a list": batches,
        "a function": lambda params: {"loss": loss(params, *held)},
    }[kind]
    result = tg.fit(
        loss, START, (X, Y), optim.sgd(0.1), epochs=3, batch_size=5, validation=validation
    )
    np.testing.assert_allclose(
        result.history.validation["loss"][-1], loss(result.params, *held), rtol=1e-12
    )


def test_early_stop_returns_the_best_parameters() -> None:
    values = iter([3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 1.1, 0.5])
    seen = []

    def validate(params: Any) -> dict[str, float]:
        seen.append(params["w"].copy())
        return {"error": next(values)}

    rule = training.EarlyStop(3, monitor="error")
    result = tg.fit(
        loss, START, (X, Y), optim.sgd(0.01), epochs=8, validation=validate, early_stop=rule
    )
    assert result.stopped == "early stop" and result.epochs == 7
    np.testing.assert_array_equal(result.params["w"], seen[3])
    assert list(result.history.validation["error"]) == [3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 1.1]


def test_early_stop_may_wait_for_more_and_for_a_difference() -> None:
    def run(values: list[float], **rule: Any) -> int:
        found = iter(values)
        return tg.fit(
            loss, START, (X, Y), optim.sgd(0.01), epochs=6,
            validation=lambda params: next(found), early_stop=training.EarlyStop(**rule),
        ).epochs  # fmt: skip

    assert run([1, 2, 3, 4, 5, 6], patience=2, mode="max") == 6
    assert run([1, 2, 3, 4, 5, 6], patience=2) == 3
    assert run([6, 5, 4, 3, 2, 1], patience=2) == 6
    assert run([6, 5, 4, 3, 2, 1], patience=2, min_delta=1.5) == 6
    assert run([6, 5.9, 5.8, 5.7, 2, 1], patience=2, min_delta=1.5) == 3


def test_without_validation_early_stop_watches_the_mean_loss_of_an_epoch() -> None:
    result = tg.fit(lambda w: (w - 1.0) ** 2, 1.0, None, optim.sgd(0.1), epochs=9, early_stop=2)
    assert result.stopped == "early stop" and result.epochs == 3


def test_a_hook_sees_each_step_and_each_epoch_and_may_stop() -> None:
    seen: list[Any] = []

    def hook(loop: Any) -> None:
        seen.append((loop.step, loop.epoch, loop.epoch_ended, loop.loss, loop.params["w"]))
        if loop.step == 5:
            loop.stop("enough")

    result = tg.fit(loss, START, (X, Y), optim.sgd(0.1), epochs=9, batch_size=20, hook=hook)
    assert [entry[:3] for entry in seen] == [
        (1, 1, False), (2, 1, False), (3, 1, False), (3, 1, True), (4, 2, False), (5, 2, False),
    ]  # fmt: skip
    assert result.stopped == "enough" and result.steps == 5 and result.epochs == 1
    np.testing.assert_array_equal([entry[3] for entry in seen if not entry[2]], result.history.loss)
    assert not np.array_equal(seen[0][4], seen[1][4])  # copies: the next step does not change them


def test_a_loop_without_a_rate_of_its_own_says_how_to_get_one() -> None:
    def hook(loop: Any) -> None:
        assert loop.learning_rate is None
        loop.learning_rate = 0.1

    with pytest.raises(TypeError, match="fit a function that makes the optimiser"):
        tg.fit(loss, START, (X, Y), optim.sgd(0.1), hook=hook)


def test_history_is_drawn() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    result = tg.fit(loss, START, (X, Y), optim.sgd(0.1), epochs=3, batch_size=20, validation=(X, Y))
    axes = result.history.plot()
    labels = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_array_equal(labels["loss of each step"], result.history.loss)
    assert {"mean of each epoch", "validation"} <= set(labels)
    assert result.history.plot(axes) is axes


def test_drawing_without_matplotlib_says_what_to_install(monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"tapegrad\[plot\]"):
        training.History().plot()


def test_steps_are_what_a_scan_in_a_compiled_function_is_made_of() -> None:
    step = training.Step(loss, optim.adam, learning_rate=0.1, clip_norm=7.5)
    batches, rates = (X.reshape(5, 10, 3), Y.reshape(5, 10)), np.linspace(0.1, 0.05, 5)

    @tg.jit
    def epoch(params: Any, state: Any, batches: Any, rates: Any) -> Any:
        def body(both: Any, item: Any) -> Any:
            params, state, value, norm = step(*both, *item)
            return (params, state), (value, norm)

        return tg.scan(body, (params, state), (batches, rates))

    params = {"w": np.zeros(3), "b": np.float64(0.0)}
    state = step.init(params)
    (found, _), (values, norms) = epoch(params, state, batches, rates)
    for i in range(5):
        batch = batches[0][i], batches[1][i]
        params, state, value, norm = step(params, state, batch, rates[i])
        np.testing.assert_allclose([values[i], norms[i]], [value, norm], rtol=1e-9)
    np.testing.assert_allclose(found["w"], params["w"], rtol=1e-9)
    assert epoch.stats().traces == 1 and epoch.stats().eager_calls == 0
    with pytest.raises(ValueError, match="at least 0, not -1"):
        step(params, state, batch, -1.0)


def test_steps_write_over_the_parameters_of_the_step_before() -> None:
    places: list[Any] = []

    def hook(loop: Any) -> None:
        leaves = tg.tree_leaves((loop._params, loop._state))
        places.append([leaf.ctypes.data for leaf in leaves if leaf.ndim])
        assert all(leaf.base is None for leaf in leaves)

    tg.fit(loss, START, (X, Y), optim.adam(0.1), epochs=4, hook=hook)
    assert places[1] == places[3] and len(places[1]) == 3
