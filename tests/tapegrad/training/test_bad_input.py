"""What cannot be trained is refused by name, and what is not finite is traced to where it came from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim, training

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=40)


def loss(w: Any, X: Any, Y: Any) -> Any:
    return np.mean((X @ w - Y) ** 2)


def fit(*, loss: Any = loss, params: Any = None, data: Any = None, **options: Any) -> Any:
    params = np.zeros(3) if params is None else params
    optimiser = options.pop("optimiser", optim.sgd(0.1))
    return tg.fit(loss, params, (X, Y) if data is None else data, optimiser, **options)


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"params": {}}, ValueError, "params holds no arrays"),
        ({"params": []}, ValueError, "params holds no arrays"),
        ({"params": {"w": np.arange(3)}}, TypeError, r"parameter at \['w'\] must hold floats"),
        ({"clip_norm": -1.0}, ValueError, "clip_norm must be positive, not -1"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm must be positive, not 0"),
        ({"clip_norm": np.nan}, ValueError, "clip_norm must be positive, not nan"),
        ({"learning_rate": 0.1}, TypeError, "this optimiser has its own"),
        ({"optimiser": optim.adam}, TypeError, "needs a learning_rate"),
        ({"optimiser": optim.adam, "learning_rate": -0.1}, ValueError, "at least 0, not -0.1"),
        ({"optimiser": optim.adam, "learning_rate": lambda n: -1.0}, ValueError, "not -1"),
        ({"optimiser": lambda rate: rate, "learning_rate": 0.1}, TypeError, "must be a Gradient"),
        ({"optimiser": 3}, TypeError, "the optimiser must be a GradientTransformation, not int"),
        ({"epochs": -1}, ValueError, "epochs must be at least 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 64, "drop_last": True}, ValueError, "leave none"),
        ({"save_every": 3}, TypeError, "save_every needs a checkpoint"),
        ({"early_stop": 0}, ValueError, "early_stop must be at least 1"),
        ({"on_interrupt": "stop"}, ValueError, "must be 'raise' or 'return', not 'stop'"),
        ({"seed": -1}, TypeError, "the seed must be an integer that is not negative"),
        ({"data": (X, Y[:-1])}, ValueError, r"the data at \[0\] have 40 examples, and the data at"),
        ({"data": (X[:0], Y[:0])}, ValueError, "hold no examples"),
        ({"data": (X, 1.0)}, ValueError, r"the data at \[1\] must have an axis of examples"),
        ({"data": 5}, TypeError, "data must be a nest of arrays, a Loader, an iterable"),
        ({"data": []}, ValueError, "the data gave no batches"),
        ({"data": [(X, Y)], "batch_size": 3}, TypeError, "the data are batches already"),
        ({"loss": "mse"}, TypeError, "the loss must be a function, not str"),
        ({"loss": lambda w, X, Y: X @ w}, tg.NonScalarOutputError, "shape"),
        ({"validation": lambda w: {}, "early_stop": 2}, ValueError, "watches 'loss'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(options: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        fit(**options)


def test_the_rule_of_early_stop_is_checked() -> None:
    with pytest.raises(ValueError, match="patience must be at least 1"):
        training.EarlyStop(0)
    with pytest.raises(ValueError, match="mode must be 'min' or 'max'"):
        training.EarlyStop(1, mode="least")
    with pytest.raises(ValueError, match="min_delta must be at least 0"):
        training.EarlyStop(1, min_delta=-1.0)


def test_gradients_that_are_none_are_named() -> None:
    step = training.Step(loss, optim.sgd(0.1))
    params = {"w": np.zeros(3), "b": np.zeros(1)}
    with pytest.raises(ValueError, match=r"gradient at \['b'\] is None"):
        step.update(params, step.init(params), 1.0, {"w": np.ones(3), "b": None})


def test_a_state_of_another_structure_is_refused() -> None:
    growing = optim.GradientTransformation(lambda p: (), lambda g, s, p=None: (g, (*s, g)))
    with pytest.raises(ValueError, match="a state of another structure"):
        fit(optimiser=growing)


# Data whose length changes ------------------------------------------------------------------------


def test_arrays_that_get_longer_between_epochs_are_an_error() -> None:
    data = X.copy()

    def hook(loop: Any) -> None:
        if loop.epoch_ended:
            data.resize((50, 3), refcheck=False)

    with pytest.raises(ValueError, match="50 examples at the start of epoch 2, and had 40 before"):
        fit(loss=lambda w, X: np.mean((X @ w - 1.0) ** 2), data=(data,), epochs=3, hook=hook)


@pytest.mark.parametrize("lengths, text", [((3, 2), "2 batches"), ((2, 3), "more than 2 batches")])
def test_batches_that_become_more_or_fewer_are_an_error(lengths: Any, text: str) -> None:
    def batches(epoch: int) -> Any:
        return [(X[:10], Y[:10])] * lengths[epoch]

    with pytest.raises(ValueError, match=f"gave {text} in epoch 2, and {lengths[0]} in those"):
        fit(data=batches, epochs=2)


def test_an_iterator_is_used_up_after_one_epoch() -> None:
    batches = ((X[i : i + 10], Y[i : i + 10]) for i in range(0, 40, 10))
    with pytest.raises(ValueError, match="An iterator can be used once"):
        fit(data=batches, epochs=2)


# Not finite ---------------------------------------------------------------------------------------


def not_finite(**options: Any) -> training.NonFiniteError:
    with pytest.raises(training.NonFiniteError) as raised, np.errstate(all="ignore"):
        fit(**options)
    return raised.value


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_data_are_named_by_their_example(value: float) -> None:
    bad = X.copy()
    bad[17, 2] = value
    for shuffle in (True, False):
        error = not_finite(data=(bad, Y), batch_size=8, epochs=2, shuffle=shuffle)
        assert f"argument 1 of the loss holds {value} at [" in str(error)
        assert "example 17 of the data" in str(error)
        assert np.all(np.isfinite(error.result.params))
        assert len(error.result.history) == error.result.steps < 5


def test_bad_parameters_are_named() -> None:
    error = not_finite(
        loss=lambda p, X, Y: loss(p["w"], X, Y) + p["b"],
        params={"w": np.zeros(3), "b": np.array(np.inf)},
    )
    assert "the loss is inf in step 1 (epoch 1): params['b'] holds inf, before the step" in str(
        error
    )


def test_the_first_operation_that_gave_nan_is_named_with_its_line() -> None:
    def diverging(w: Any, X: Any, Y: Any) -> Any:
        return np.sum(np.log(1.0 - w)) + loss(w, X, Y)  # decreases until w is 1

    error = not_finite(loss=diverging, optimiser=optim.sgd(0.3), epochs=50)
    assert "log made nan of finite numbers" in str(error)
    assert f"{Path(__file__).name}:{diverging.__code__.co_firstlineno + 1}" in str(error)
    step = error.result.steps + 1
    assert f"in step {step} (epoch {step})" in str(error)
    before = error.result.params
    assert np.all(np.isfinite(before)) and error.result.steps > 0
    same = fit(loss=diverging, optimiser=optim.sgd(0.3), epochs=error.result.steps)
    np.testing.assert_array_equal(same.params, before)


def test_a_gradient_that_is_not_finite_stops_too() -> None:
    def kinked(w: Any, X: Any, Y: Any) -> Any:
        return np.sqrt(np.sum(w * w)) + 0.0 * loss(w, X, Y)

    error = not_finite(loss=kinked)
    assert "the norm of the gradient is nan in step 1" in str(error)
    assert "the derivative of sqrt by argument 0 made" in str(error)


def test_a_compiled_step_keeps_what_it_was_given_where_something_is_not_finite() -> None:
    step = training.Step(lambda w, x: np.sum(w * x), optim.adam(0.1))
    w, state = np.ones(2), optim.adam(0.1).init(np.ones(2))
    w, state, _, _ = step(w, state, (np.ones(2),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same, kept, value, norm = step(w, state, (np.array([np.nan, 1.0]),))
    assert np.isnan(value) and np.isnan(norm)
    for a, b in zip(tg.tree_leaves((same, kept)), tg.tree_leaves((w, state))):
        np.testing.assert_array_equal(a, b)
