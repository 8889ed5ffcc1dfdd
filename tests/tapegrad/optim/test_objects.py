"""Optimisers as objects: groups, gradients that are not there, and what is refused."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim

ALL = [optim.SGD, optim.RMSprop, optim.Adagrad, optim.Adam, optim.AdamW, optim.Lion]


@pytest.mark.parametrize("kind", ALL)
def test_it_finds_a_minimum(kind: Any) -> None:
    w = tg.tensor([1.0, -1.0])
    optimiser = kind([w], lr=0.05, weight_decay=0.0)
    for _ in range(200):
        ((w - [0.5, 0.25]) ** 2).sum().backward()
        optimiser.step()
    np.testing.assert_allclose(w.data, [0.5, 0.25], atol=0.3 if kind is optim.Adagrad else 0.06)


@pytest.mark.parametrize("kind", ALL)
def test_tensors_without_a_gradient_stay_and_nothing_is_recorded(kind: Any) -> None:
    used, unused = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.0])
    optimiser = kind([used, unused], lr=0.1)
    (used * used).sum().backward()
    optimiser.step()
    np.testing.assert_array_equal(unused.data, [1.0, 2.0])
    assert not np.array_equal(used.data, [1.0, 2.0])
    assert used.creator is None and used.grad is not None


def test_a_learning_rate_that_is_a_tensor_is_taken_as_a_number() -> None:
    rate, w = tg.tensor(0.25), tg.tensor([1.0, 2.0])
    optimiser = optim.Adam([w], lr=rate)
    same = tg.tensor([1.0, 2.0])
    plain = optim.Adam([same], lr=0.25)
    for _ in range(2):
        (w * w + same * same).sum().backward()
        optimiser.step()
        plain.step()
    np.testing.assert_array_equal(w.data, same.data)
    assert w.creator is None and rate.grad is None and rate.data.flags.writeable


def test_a_copy_goes_on_by_itself() -> None:
    w = tg.tensor([1.0, 2.0])
    first = optim.Adam([w], lr=0.1)
    (w * w).sum().backward()
    first.step()
    second = copy.deepcopy(first)
    (other,) = second.param_groups[0]["params"]
    for tensor, optimiser in ((w, first), (other, second)):
        (tensor**3).sum().backward()
        optimiser.step()
    assert other is not w
    np.testing.assert_array_equal(other.data, w.data)


def test_steps_are_counted_for_each_tensor() -> None:
    early, late = tg.tensor([1.0]), tg.tensor([1.0])
    optimiser = optim.Adam([early, late], lr=0.1)
    (3.0 * early).sum().backward()
    optimiser.step()
    optimiser.zero_grad()
    (3.0 * early + 3.0 * late).sum().backward()
    optimiser.step()
    np.testing.assert_allclose(late.data, [0.9], rtol=1e-7)
    np.testing.assert_allclose(early.data, [0.8], rtol=1e-7)


def test_an_old_gradient_is_used_again_unless_it_is_set_to_none() -> None:
    a, b = tg.tensor([1.0]), tg.tensor([1.0])
    optimiser = optim.SGD([a, b], lr=0.25)
    (a + b).sum().backward()
    optimiser.step()
    (2.0 * a).sum().backward()  # the gradient of a is a new one, that of b is still there
    optimiser.step()
    assert (a.data, b.data) == (0.25, 0.5)
    optimiser.zero_grad()
    assert a.grad is None and b.grad is None
    a.sum().backward()
    optimiser.step()
    assert (a.data, b.data) == (0.0, 0.5)


def test_groups_have_options_of_their_own_which_may_change() -> None:
    a, b, c = (tg.tensor([1.0]) for _ in range(3))
    optimiser = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.25)
    optimiser.add_param_group({"params": [c], "weight_decay": 1.0})
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.5, 0.25]
    (a + b + c).sum().backward()
    optimiser.step()
    assert [t.item() for t in (a, b, c)] == [0.75, 0.5, 0.5]
    for group in optimiser.param_groups:
        group["lr"] = 0.125
    (a + b).sum().backward()
    c.null_grad()
    optimiser.step()
    assert [t.item() for t in (a, b, c)] == [0.625, 0.375, 0.5]
    optimiser.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="the learning rate must be at least 0, not -1"):
        optimiser.step()


def test_tensors_of_float32_and_without_axes() -> None:
    for kind in ALL:
        w = tg.tensor(np.float32(2.0))
        optimiser = kind([w], lr=0.1)
        for _ in range(2):
            (w * w).backward()
            optimiser.step()
        assert w.dtype == np.float32 and w.shape == () and w.item() < 2.0


def test_an_array_that_a_graph_needs_is_not_written() -> None:
    w = tg.tensor([1.0])
    optimiser = optim.SGD([w], lr=0.5)
    first, second = w * 2.0, w * 3.0
    first.backward()
    with pytest.raises(ValueError, match="parameter 0 of group 0 is read-only"):
        optimiser.step()
    assert w.item() == 1.0 and second.item() == 3.0
    second.clear_graph()
    optimiser.step()
    assert w.item() == 0.0


def t() -> Any:
    return tg.tensor([1.0])


W = tg.tensor([1.0])
BAD = {
    "empty": (ValueError, lambda: optim.SGD([]), "SGD: there are no parameters"),
    "empty group": (ValueError, lambda: optim.SGD([{"params": []}]), "there are no parameters"),
    "key": (
        ValueError,
        lambda: optim.Adam([{"params": [t()], "momentum": 0.5}]),
        "Adam: group 0: unknown option 'momentum'; there are 'params', 'lr', 'betas'",
    ),
    "no tensors": (ValueError, lambda: optim.SGD([{"lr": 0.5}]), "group 0 has no 'params'"),
    "twice": (ValueError, lambda: optim.SGD([W, W]), "parameter 1 is there already"),
    "in two groups": (
        ValueError,
        lambda: optim.SGD([{"params": [W]}, {"params": [W]}]),
        "group 1: parameter 0 is there already",
    ),
    "constant": (
        ValueError,
        lambda: optim.SGD([tg.tensor([1.0], constant=True)]),
        "parameter 0 is a constant",
    ),
    "rate": (ValueError, lambda: optim.SGD([t()], lr=-1.0), "the learning rate must be"),
    "rate of a group": (
        ValueError,
        lambda: optim.SGD([{"params": [t()], "lr": -2.0}]),
        "the learning rate must be at least 0, not -2",
    ),
    "betas": (ValueError, lambda: optim.Adam([t()], betas=(0.9, 1.0)), "b2 must be at least 0"),
    "one beta": (ValueError, lambda: optim.AdamW([t()], betas=0.9), "betas must be two numbers"),
    "decay": (ValueError, lambda: optim.SGD([t()], weight_decay=-1.0), "weight_decay must be"),
    "tensor": (TypeError, lambda: optim.SGD(t()), "takes an iterable of tensors"),
    "dict": (TypeError, lambda: optim.SGD({"w": t()}), "takes an iterable of tensors"),
    "array": (TypeError, lambda: optim.SGD([np.ones(2)]), "must be a Tensor, not ndarray"),
    "mixed": (TypeError, lambda: optim.SGD([{"params": [t()]}, t()]), "group 1 must be a dict"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused(name: str) -> None:
    error, make, message = BAD[name]
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_inside_transformations_it_is_refused() -> None:
    with pytest.raises(TypeError, match="parameter 0 is traced"):
        tg.grad(lambda x: optim.SGD([x]) and np.sum(x))(np.ones(2))
