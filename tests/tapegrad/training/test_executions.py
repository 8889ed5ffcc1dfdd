"""Several steps in one compiled call are the same training as single steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim
from tapegrad.training import NonFiniteError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 3))
Y = np.tanh(X @ np.array([1.0, -2.0, 3.0])) + 0.1
START = {"w": RNG.normal(size=(3, 4)), "v": np.ones(4), "b": 0.0}


def loss(params: Any, X: Any, Y: Any) -> Any:
    return np.mean((np.tanh(X @ params["w"]) @ params["v"] + params["b"] - Y) ** 2)


def fitted(steps: Any, **options: Any) -> Any:
    given = {"epochs": 3, "batch_size": 8, "seed": 1, "clip_norm": 0.5, **options}
    return tg.fit(loss, START, (X, Y), given.pop("optimiser", optim.adam(0.1)),
                  steps_per_execution=steps, **given)  # fmt: skip


def same(one: Any, other: Any) -> None:
    for what in ("params", "state"):
        a, b = tg.tree_leaves(getattr(one, what)), tg.tree_leaves(getattr(other, what))
        for x, y in zip(a, b, strict=True):
            assert type(x) is type(y) and x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)
    for name in ("loss", "gradient_norm", "learning_rate", "epoch_ends"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(other.history, name))
    assert (one.steps, one.epochs, one.stopped) == (other.steps, other.epochs, other.stopped)


OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {},
    "a schedule": {"optimiser": optim.adam, "learning_rate": lambda step: 0.1 / (1 + step)},
    "no ragged batch": {"drop_last": True, "optimiser": optim.sgd(0.1, 0.9)},
    "a search along lines": {"optimiser": optim.lbfgs(), "batch_size": None, "epochs": 2},
    "validation": {"validation": (X[:20], Y[:20]), "early_stop": 1, "epochs": 30},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("steps", [4, "epoch"])
def test_bits_are_those_of_single_steps(name: str, steps: Any) -> None:
    one, several = fitted(1, **OPTIONS[name]), fitted(steps, **OPTIONS[name])
    same(one, several)
    assert np.all(np.diff(one.history.loss[:3]) != 0)
    for values in one.history.validation:
        np.testing.assert_array_equal(
            one.history.validation[values], several.history.validation[values]
        )


def test_bits_are_the_same_in_float32() -> None:
    start = tg.tree_map(np.float32, START)
    data = X.astype(np.float32), Y.astype(np.float32)
    runs = [
        tg.fit(loss, start, data, optim.adam(0.1), epochs=2, batch_size=8, steps_per_execution=n)
        for n in (1, "epoch")
    ]
    same(*runs)
    assert runs[1].params["w"].dtype == np.float32


def test_an_epoch_is_recorded_once_for_each_shape_of_a_batch() -> None:
    assert fitted("epoch", drop_last=True).recordings == 1
    assert fitted("epoch").recordings == 2  # the last batch is smaller


def test_a_hook_comes_after_each_call() -> None:
    seen = []

    def hook(loop: Any) -> None:
        seen.append((loop.step, loop.epoch, loop.epoch_ended))

    fitted(4, epochs=2, hook=hook)
    assert seen == [(4, 1, False), (7, 1, False), (7, 1, True)] + [
        (11, 2, False), (14, 2, False), (14, 2, True),
    ]  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3, "epoch"])
@pytest.mark.parametrize("bad", [0, 19, 49])
def test_what_is_not_finite_is_found_in_its_step(steps: Any, bad: int) -> None:
    spoiled = X.copy()
    spoiled[bad, 1] = np.nan
    options: Any = {"batch_size": 8, "shuffle": False, "steps_per_execution": steps}
    with pytest.raises(NonFiniteError) as error:
        tg.fit(loss, START, (spoiled, Y), optim.adam(0.1), **options)
    assert f"the loss is nan in step {bad // 8 + 1} (epoch 1)" in str(error.value)
    assert f"example {bad} of the data" in str(error.value)
    kept = error.value.result
    assert kept.steps == bad // 8 == len(kept.history)
    if kept.steps:
        good = tg.fit(loss, START, (X[: 8 * kept.steps], Y[: 8 * kept.steps]), optim.adam(0.1),
                      batch_size=8, shuffle=False)  # fmt: skip
        np.testing.assert_array_equal(kept.params["w"], good.params["w"])
        np.testing.assert_array_equal(kept.history.loss, good.history.loss)


def test_a_run_goes_on_from_a_checkpoint_amid_an_epoch(tmp_path: Any) -> None:
    path = tmp_path / "run.npz"

    def leave(loop: Any) -> None:
        if loop.step >= 11:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fitted(2, checkpoint=path, save_every=3, hook=leave)
    assert tg.training.load_checkpoint(path).step == 9  # calls end at 2, 4, 6, 7, 9, 11
    same(fitted(2, checkpoint=path), fitted(1))


def test_batches_of_others_may_be_filled_anew_and_differ_in_shape() -> None:
    def batches() -> Any:
        held = np.empty((10, 3)), np.empty(10)
        for first in range(0, 50, 10):
            held[0][:], held[1][:] = X[first : first + 10], Y[first : first + 10]
            yield held
            if first == 20:
                yield X[:3], Y[:3]

    runs = [
        tg.fit(loss, START, lambda epoch: batches(), optim.adam(0.1), epochs=2,
               steps_per_execution=steps)
        for steps in (1, 2, "epoch")
    ]  # fmt: skip
    same(runs[0], runs[1])
    same(runs[0], runs[2])


def test_batches_without_arrays_are_steps_too() -> None:
    def alone(w: Any, *more: Any) -> Any:
        return w @ w

    for data in (None, [()] * 3, [(1.0, "text")] * 3):
        runs = [tg.fit(alone, np.ones(2), data, optim.sgd(0.25), epochs=2, steps_per_execution=n)
                for n in (1, "epoch")]  # fmt: skip
        same(*runs)


def test_what_does_not_fit_is_refused() -> None:
    for steps, text in ((0, "at least 1"), ("all", "a number or 'epoch', not 'all'")):
        with pytest.raises(ValueError, match=text):
            fitted(steps)
    with pytest.raises(TypeError, match="must be an integer"):
        fitted(2.5)
    with pytest.raises(TypeError, match="without an executor"):
        fitted(2, executor=2)


def test_several_steps_take_one_rate_or_one_for_each() -> None:
    step = tg.training.Step(lambda w, x: np.sum((w - x) ** 2), optim.sgd, learning_rate=0.25)
    w = np.zeros(2)
    batches = (np.ones((2, 2)),)
    assert step.several(w, step.init(w), batches)[0].tolist() == [0.75, 0.75]
    assert step.several(w, step.init(w), batches, [0.5, 0.0])[0].tolist() == [1.0, 1.0]
    assert step.several(w, step.init(w), batches, 0.5)[2].tolist() == [2.0, 0.0]
    assert step.stats().traces == 1
