"""Nests of all kinds, dtypes, clipping, masks, accumulation, means, and what is refused."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim


class Layer(NamedTuple):
    w: Any
    b: Any


@dataclass
class Model:
    first: Any
    rest: Any


TREES = {
    "array": np.array([1.0, 2.0]),
    "scalar": np.float64(3.0),
    "number": 3.0,
    "tuple": (np.ones(2), np.float64(1.0)),
    "list": [np.ones((2, 3)), [np.zeros(0)]],
    "dict": {"w": np.ones(2), "none": None, "inner": {"b": np.ones(1)}},
    "ordered": OrderedDict(w=np.ones(2), b=np.ones(3)),
    "named": Layer(np.ones((2, 2)), None),
    "dataclass": Model([np.ones(2)], {"a": (np.ones(1),)}),
    "empty": {},
}
LEAFWISE = {
    "sgd": optim.sgd(0.1, 0.9, nesterov=True),
    "rmsprop": optim.rmsprop(0.1, centered=True),
    "adagrad": optim.adagrad(0.1),
    "adam": optim.adam(optim.linear_schedule(0.1, 0.01, 5)),
    "adamw": optim.adamw(0.1, weight_decay=0.1, mask=True),
    "lion": optim.lion(0.1),
    "clipped": optim.chain(
        optim.clip_by_value(2.0), optim.clip_by_norm(1.5), optim.scale(-0.5), optim.average(0.9)
    ),
    "accumulated": optim.accumulate(optim.adam(0.1), 2),
    "masked": optim.masked(optim.adam(0.1), True),
}  # fmt: skip
OPTIMISERS = {
    **LEAFWISE,
    "clipped together": optim.chain(optim.clip_by_global_norm(1.0), optim.sgd(0.5)),
}


def steps(optimiser: Any, params: Any, grads: Any, count: int = 3) -> tuple[Any, Any]:
    state = optimiser.init(params)
    for _ in range(count):
        updates, state = optimiser.update(grads, state, params)
        params = optim.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("name", LEAFWISE)
def test_nests_of_every_kind_are_moved_leaf_by_leaf(name: str, tree: str) -> None:
    params, optimiser = TREES[tree], LEAFWISE[name]
    grads = tg.tree_map(lambda leaf: np.cos(leaf) + 0.5, params)
    moved, state = steps(optimiser, params, grads)
    assert tg.tree_structure(moved) == tg.tree_structure(params)
    leaves = zip(tg.tree_leaves(params), tg.tree_leaves(grads), tg.tree_leaves(moved))
    for leaf, grad, found in leaves:
        alone, _ = steps(optimiser, leaf, grad)
        np.testing.assert_array_equal(found, alone)
        assert np.size(leaf) == 0 or not np.array_equal(found, leaf)
    before = optimiser.init(params)
    assert tg.tree_structure(before) == tg.tree_structure(state)
    for old, new in zip(tg.tree_leaves(before), tg.tree_leaves(state)):
        assert type(old) is type(new) and old.dtype == new.dtype and old.shape == new.shape


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("gradient", ["f4", "f8"])
def test_float32_stays_float32(name: str, gradient: str) -> None:
    params = {"w": np.array([1.0, 2.0], "f4"), "b": np.float32(0.5)}
    grads = tg.tree_map(lambda leaf: np.asarray(leaf, gradient), params)
    moved, state = steps(OPTIMISERS[name], params, grads)
    updates, _ = OPTIMISERS[name].update(grads, state, params)
    assert {leaf.dtype.str for leaf in tg.tree_leaves((moved, updates))} == {"<f4"}
    assert {leaf.dtype.str for leaf in tg.tree_leaves(state)} <= {"<f4", "<i8"}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_nothing_that_is_given_is_changed(name: str) -> None:
    params, grads = np.array([1.0, 2.0]), np.array([3.0, -4.0])
    state = OPTIMISERS[name].init(params)
    frozen = [params, grads, *(leaf for leaf in tg.tree_leaves(state) if np.ndim(leaf))]
    for array in frozen:
        array.flags.writeable = False
    before = [array.copy() for array in frozen]
    _, state = OPTIMISERS[name].update(grads, state, params)
    assert all(np.array_equal(a, b) for a, b in zip(frozen, before, strict=True))


def test_parameters_keep_their_dtype_whatever_the_updates_are() -> None:
    moved = optim.apply_updates([np.ones(2, "f4"), np.ones(2)], [np.ones(2), np.ones(2, "f4")])
    assert [leaf.dtype.str for leaf in moved] == ["<f4", "<f8"]


# Clipping -----------------------------------------------------------------------------------------

GRADS = {"w": np.array([3.0, 0.0]), "b": np.array([-4.0])}


def updates_of(transformation: Any, grads: Any = GRADS, params: Any = None) -> Any:
    return transformation.update(grads, transformation.init(grads), params)[0]


def test_a_global_norm_within_the_bound_changes_no_bit_and_a_greater_one_becomes_the_bound() -> (
    None
):
    for bound in (5.0, 6.0, np.inf):
        clipped = updates_of(optim.clip_by_global_norm(bound))
        assert all(np.array_equal(clipped[key], GRADS[key]) for key in GRADS)
    clipped = updates_of(optim.clip_by_global_norm(0.5))
    np.testing.assert_allclose(np.hstack([clipped["w"], clipped["b"]]), [0.3, 0.0, -0.4])


def test_the_norm_of_each_leaf_is_bounded_by_itself() -> None:
    clipped = updates_of(optim.clip_by_norm(3.5))
    np.testing.assert_array_equal(clipped["w"], [3.0, 0.0])
    np.testing.assert_allclose(clipped["b"], [-3.5])


def test_values_are_bounded_from_both_sides() -> None:
    clipped = updates_of(optim.clip_by_value(3.5))
    np.testing.assert_array_equal(clipped["w"], [3.0, 0.0])
    np.testing.assert_array_equal(clipped["b"], [-3.5])


def test_clipping_of_zeros_gives_zeros() -> None:
    for make in (optim.clip_by_norm, optim.clip_by_global_norm, optim.clip_by_value):
        np.testing.assert_array_equal(updates_of(make(1.0), np.zeros(3)), 0)


# Masks, accumulation, means -----------------------------------------------------------------------


def test_a_mask_hides_what_is_not_marked_from_the_inner_transformation() -> None:
    params = {"w": [np.ones(2), np.ones(3)], "steps": np.array([1, 2]), "b": np.ones(1)}
    grads = {"w": [np.full(2, 2.0), np.full(3, 3.0)], "steps": None, "b": np.full(1, 4.0)}
    optimiser = optim.masked(optim.adam(0.1), {"w": [True, False], "steps": False, "b": True})
    state = optimiser.init(params)
    assert state.inner_state[0].mu["w"][1] is None and state.inner_state[0].mu["steps"] is None
    updates, state = optimiser.update(grads, state, params)
    np.testing.assert_allclose(updates["w"][0], -0.1)
    np.testing.assert_allclose(updates["b"], -0.1)
    assert updates["w"][1] is grads["w"][1] and updates["steps"] is None
    again, _ = optimiser.update(grads, state)
    np.testing.assert_allclose(again["w"][0], -0.1)


def test_a_bool_in_the_mask_holds_for_all_below_it() -> None:
    params = {"w": [np.ones(2), {"a": np.ones(1)}], "b": np.ones(1)}
    updates = updates_of(optim.masked(optim.scale(5.0), {"w": True, "b": False}), params)
    assert updates["w"][0][0] == updates["w"][1]["a"] == 5 and updates["b"] == 1


def test_a_parameter_without_an_update_stays_as_it_is() -> None:
    moved = optim.apply_updates({"w": np.ones(2), "n": 7.0}, {"w": np.ones(2), "n": None})
    np.testing.assert_array_equal(moved["w"], 2)
    assert moved["n"] == 7


def test_accumulated_steps_are_those_of_the_large_batch() -> None:
    rng = np.random.default_rng(1)
    data, target = rng.normal(size=(24, 3)), rng.normal(size=24)

    def loss(w: Any, rows: slice) -> Any:
        return np.mean((data[rows] @ w - target[rows]) ** 2)

    whole, parts = optim.adam(0.1), optim.accumulate(optim.adam(0.1), 4)
    w = v = np.zeros(3)
    state, states = whole.init(w), parts.init(v)
    for _ in range(3):
        updates, state = whole.update(tg.grad(loss)(w, slice(0, 24)), state, w)
        w = optim.apply_updates(w, updates)
        for i in range(4):
            before = v
            grads = tg.grad(loss)(v, slice(6 * i, 6 * i + 6))
            updates, states = parts.update(grads, states, v)
            v = optim.apply_updates(v, updates)
            assert np.array_equal(v, before) == (i < 3)
        np.testing.assert_allclose(v, w, rtol=1e-11)
    assert states.mini_step == 0 and states.inner_state[0].count == 3


def test_one_gradient_in_a_round_changes_nothing() -> None:
    params, grads = np.array([1.0, 2.0]), np.array([3.0, -4.0])
    found, _ = steps(optim.accumulate(optim.adam(0.1), 1), params, grads)
    np.testing.assert_array_equal(found, steps(optim.adam(0.1), params, grads)[0])


def test_the_mean_of_the_parameters_follows_its_formula() -> None:
    optimiser = optim.accumulate(optim.chain(optim.sgd(0.5), optim.average(0.75)), 2)
    w = np.array([8.0, -4.0])
    mean, state = w.copy(), optimiser.init(w)
    for i in range(6):
        updates, state = optimiser.update(w, state, w)
        w = optim.apply_updates(w, updates)
        if i % 2:
            mean = 0.75 * mean + 0.25 * w
        np.testing.assert_allclose(optim.averaged_params(state), mean, rtol=1e-14)
    assert not np.allclose(mean, w)


def test_the_mean_does_not_share_memory_with_the_parameters() -> None:
    w = np.ones(2)
    state = optim.average(0.5).init(w)
    w[:] = 7
    np.testing.assert_array_equal(optim.averaged_params(state), 1)


# What is refused ----------------------------------------------------------------------------------

ADAM = optim.adam(0.1)
P = {"w": np.ones(2), "b": [np.ones(1)]}
BAD = {
    "missing key": (lambda: ADAM.update({"w": np.ones(2)}, ADAM.init(P), P), "the gradients: the str"),
    "inner": (lambda: updates_of(ADAM, {"w": np.ones(2), "b": np.ones(1)}, P), "at ['b']"),
    "none": (
        lambda: ADAM.update({"w": None, "b": [np.ones(1)]}, ADAM.init(P), P),
        "scale_by_adam: the gradient at ['w'] is None",
    ),
    "none, no params": (
        lambda: ADAM.update({"w": np.ones(2), "b": [None]}, ADAM.init(P)), "at ['b'][0] is None",
    ),
    "shape": (
        lambda: ADAM.update({"w": np.ones(2), "b": [np.ones(3)]}, ADAM.init(P), P),
        "the gradient at ['b'][0] has shape (3,), and the parameter (1,)",
    ),
    "update": (lambda: optim.apply_updates(P, {"w": np.ones(2), "b": [1.0]}), "at ['b'][0] has shape"),
    "nest as update": (
        lambda: optim.apply_updates(P, {"w": [np.ones(2)], "b": [None]}), "the updates: at ['w']",
    ),
    "state": (lambda: ADAM.update(P, ADAM.init(np.ones(2)), P), "the gradients"),
    "state of a chain": (lambda: ADAM.update(P, (), P), "a tuple of 2 parts"),
    "rate": (lambda: optim.sgd(-0.1), "the learning rate must be at least 0, not -0.1"),
    "nan": (lambda: optim.sgd(np.nan), "the learning rate must be at least 0, not nan"),
    "array": (lambda: optim.sgd(np.ones(2)), "without axes"),
    "schedule": (lambda: updates_of(optim.sgd(lambda c: np.ones(2))), "what the schedule returns"),
    "momentum": (lambda: optim.sgd(0.1, 1.0), "sgd: momentum must be at least 0 and less than 1"),
    "nesterov": (lambda: optim.sgd(0.1, nesterov=True), "nesterov needs a momentum"),
    "b1": (lambda: optim.adam(0.1, b1=-0.1), "scale_by_adam: b1 must be"),
    "b2": (lambda: optim.adam(0.1, b2=1.0), "scale_by_adam: b2 must be"),
    "lion": (lambda: optim.lion(0.1, b2=1.5), "scale_by_lion: b2 must be"),
    "eps": (lambda: optim.rmsprop(0.1, eps=-1.0), "eps must be at least 0"),
    "rms": (lambda: optim.rmsprop(0.1, decay=2.0), "scale_by_rms: decay must be"),
    "rss": (lambda: optim.adagrad(0.1, -1.0), "initial_accumulator_value must be"),
    "decay": (lambda: optim.adamw(0.1, weight_decay=-1.0), "weight_decay must be at least 0"),
    "value": (lambda: optim.clip_by_value(0.0), "max_delta must be positive"),
    "norm": (lambda: optim.clip_by_norm(-1.0), "clip_by_norm: max_norm must be positive"),
    "global norm": (lambda: optim.clip_by_global_norm(np.nan), "max_norm must be positive"),
    "every": (lambda: optim.accumulate(ADAM, 0), "every must be at least 1, not 0"),
    "average": (lambda: optim.average(1.0), "average: decay must be"),
    "no params": (lambda: updates_of(optim.adamw(0.1), P), "update needs the parameters"),
    "no mean": (lambda: optim.averaged_params(ADAM.init(P)), "averaged_params"),
    "mask": (lambda: optim.masked(ADAM, {"w": True, "b": [True, True]}).init(P), "at ['b']"),
}  # fmt: skip
WRONG_TYPES = {
    "integers": (lambda: ADAM.init({"w": np.ones(2), "n": np.arange(3)}), "the parameter at ['n']"),
    "integer gradients": (
        lambda: updates_of(optim.sgd(0.1), [np.arange(2)]),
        "the gradient at [0]",
    ),
    "integer parameters": (
        lambda: optim.apply_updates([np.arange(2)], [np.ones(2)]),
        "at [0] must",
    ),
    "rate": (lambda: optim.sgd("0.1"), "the learning rate must be a number"),
    "bool": (lambda: optim.sgd(True), "the learning rate must be a number"),
    "none": (lambda: optim.adam(None), "the learning rate must be a number"),
    "every": (lambda: optim.accumulate(ADAM, 2.0), "every must be an integer"),
    "chain": (lambda: optim.chain(ADAM, 0.1), "argument 1 must be a GradientTransformation"),
    "inner": (lambda: optim.masked(optim.adam, True), "inner must be a GradientTransformation"),
    "mask": (lambda: optim.masked(ADAM, {"w": True, "b": [1]}).init(P), "['b'][0]"),
    "schedule": (lambda: optim.scale_by_schedule(0.1), "the schedule must be a function"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_refused_with_their_place(name: str) -> None:
    run, message = BAD[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        run()


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_what_is_of_a_wrong_kind_is_refused(name: str) -> None:
    run, message = WRONG_TYPES[name]
    with pytest.raises(TypeError, match=re.escape(message)):
        run()
