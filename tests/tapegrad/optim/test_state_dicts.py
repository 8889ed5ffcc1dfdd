"""Optimisers are kept as plain dicts under PyTorch's names, and go on from them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim

MAKERS: dict[str, tuple[Any, set[str]]] = {
    "SGD": (lambda p: optim.SGD(p, lr=0.1), set()),
    "SGD, momentum": (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1), {"momentum_buffer"},
    ),
    "RMSprop": (
        lambda p: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.5),
        {"square_avg", "grad_avg", "momentum_buffer"},
    ),
    "Adagrad": (lambda p: optim.Adagrad(p, lr=0.1), {"sum"}),
    "Adam": (lambda p: optim.Adam(p, lr=0.1), {"step", "exp_avg", "exp_avg_sq"}),
    "AdamW, amsgrad": (
        lambda p: optim.AdamW(p, lr=0.1, amsgrad=True),
        {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    ),
    "Lion": (lambda p: optim.Lion(p, lr=0.1), {"exp_avg"}),
    "a schedule": (
        lambda p: optim.SGD(p, lr=optim.piecewise_constant_schedule(0.1, {2: 0.5})), {"step"},
    ),
}  # fmt: skip
START = [np.array([1.0, -2.0, 0.5]), np.array(0.25), np.ones((2, 2), np.float32)]


def moved(tensors: Any, optimiser: Any, steps: int) -> None:
    for _ in range(steps):
        sum(((t - 0.1) ** 2).sum() for t in tensors[:2]).backward()
        optimiser.step()


@pytest.mark.parametrize("name", MAKERS)
def test_it_goes_on_with_the_same_bits(name: str) -> None:
    make, names = MAKERS[name]
    whole, half = [[tg.tensor(value) for value in START] for _ in range(2)]
    optimiser = make(whole)
    moved(whole, optimiser, 5)
    first = make(half)
    moved(half, first, 2)
    kept = copy.deepcopy(first.state_dict())
    assert {*kept["state"][0]} == names
    assert 2 not in kept["state"]  # which never had a gradient
    again = [tg.tensor(tensor.data) for tensor in half]
    second = make(again)
    second.load_state_dict(kept)
    moved(again, second, 3)
    for one, other in zip(whole, again):
        np.testing.assert_array_equal(one.data, other.data)
    assert tg.tree_structure(second.state_dict()) == tg.tree_structure(optimiser.state_dict())
    for one, other in zip(*(tg.tree_leaves(o.state_dict()["state"]) for o in (second, optimiser))):
        np.testing.assert_array_equal(one, other)


def test_options_are_taken_over_group_by_group() -> None:
    a, b = tg.tensor([1.0]), tg.tensor([2.0])
    first = optim.Adam([{"params": [a]}, {"params": [b], "lr": 0.5, "amsgrad": True}], lr=0.1)
    (a * b).sum().backward()
    first.step()
    second = optim.Adam([{"params": [tg.tensor([0.0])]}, {"params": [tg.tensor([0.0])]}])
    second.load_state_dict(first.state_dict())
    assert [group["lr"] for group in second.param_groups] == [0.1, 0.5]
    assert [group["amsgrad"] for group in second.param_groups] == [False, True]
    assert first.state_dict()["param_groups"][1]["params"] == [1]
    assert {*second.state_dict()["state"][1]} > {*second.state_dict()["state"][0]}


def test_what_is_kept_is_a_copy() -> None:
    w = tg.tensor([1.0, 2.0])
    optimiser = optim.SGD([w], lr=0.1, momentum=0.5)
    moved([w, w], optimiser, 1)
    kept = optimiser.state_dict()
    buffer = kept["state"][0]["momentum_buffer"]
    before = buffer.copy()
    moved([w, w], optimiser, 1)
    np.testing.assert_array_equal(buffer, before)
    optimiser.load_state_dict(kept)
    buffer[:] = 100.0
    np.testing.assert_array_equal(optimiser.state_dict()["state"][0]["momentum_buffer"], before)


def test_arrays_are_converted_to_the_dtype_of_their_tensor() -> None:
    w = tg.tensor(np.ones(2, np.float32))
    optimiser = optim.Adam([w])
    kept = optimiser.state_dict()
    kept["state"][0] = {"step": 3, "exp_avg": [1.0, 2.0], "exp_avg_sq": np.ones(2)}
    optimiser.load_state_dict(kept)
    found = optimiser.state_dict()["state"][0]
    assert found["exp_avg"].dtype == np.float32 and found["step"] == 3


def changed(what: str) -> Any:
    kept = optim.Adam([tg.tensor([1.0, 2.0])]).state_dict()
    kept["state"][0] = {"step": 1, "exp_avg": np.ones(2), "exp_avg_sq": np.ones(2)}
    group = kept["param_groups"][0]
    if what == "groups":
        kept["param_groups"] = [group, group]
    elif what == "parameters":
        group["params"] = [0, 1]
    elif what == "shapes":
        kept["state"][0]["exp_avg"] = np.ones(3)
    elif what == "names":
        del kept["state"][0]["exp_avg_sq"]
    elif what == "numbers":
        kept["state"][7] = kept["state"][0]
    elif what == "unknown options":
        group.update(foreach=None, maximize=True)
    elif what == "missing options":
        del group["eps"]
    elif what == "bounds":
        group["lr"] = -1.0
    return kept


@pytest.mark.parametrize(
    "what, text",
    {
        "groups": "Adam.load_state_dict: 2 groups, and there are 1",
        "parameters": "group 0 has 2 parameters, and should have 1",
        "shapes": r"parameter 0: 'exp_avg' has shape \(3,\), and should have \(2,\)",
        "names": "parameter 0 has no 'exp_avg_sq'",
        "numbers": "there is no parameter 7",
        "unknown options": "group 0: unknown option 'maximize', which is True",
        "missing options": "group 0 has no option 'eps'",
        "bounds": "learning rate must be at least 0, not -1",
    }.items(),
)
def test_what_does_not_fit_is_refused_and_changes_nothing(what: str, text: str) -> None:
    optimiser = optim.Adam([tg.tensor([1.0, 2.0])], lr=0.25)
    with pytest.raises(ValueError, match=text):
        optimiser.load_state_dict(changed(what))
    assert optimiser.param_groups[0]["lr"] == 0.25 and not optimiser.state_dict()["state"]
