"""Each optimiser against its formulas, written out here with plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim

START = np.array([1.0, -2.0, 0.5])
GRADS = [
    np.array([0.3, -1.0, 2.0]), np.array([-0.7, 0.0, 2.5]), np.array([1.5, 1.0, -0.1]),
    np.array([0.2, -0.4, 0.0]), np.array([-2.0, 3.0, 1.0]), np.array([0.1, 0.1, 0.1]),
]  # fmt: skip

Steps = Iterator[Any]


def descent(lr: float, momentum: float = 0.0, nesterov: bool = False) -> Steps:
    p, velocity = START, 0.0
    for g in GRADS:
        velocity = momentum * velocity + g
        p = p - lr * (g + momentum * velocity if nesterov else velocity)
        yield p


def rms(
    lr: float, decay: float, eps: float, inside: bool, centered: bool, momentum: float = 0.0,
    start: float = 0.0,
) -> Steps:  # fmt: skip
    p, square, mean, velocity = START, start, 0.0, 0.0
    for g in GRADS:
        square = decay * square + (1 - decay) * g**2
        mean = decay * mean + (1 - decay) * g
        variance = square - mean**2 if centered else square
        root = np.sqrt(variance + eps) if inside else np.sqrt(variance) + eps
        velocity = momentum * velocity + g / root
        p = p - lr * velocity
        yield p


def rss(lr: float, start: float, eps: float, inside: bool) -> Steps:
    p, total = START, start
    for g in GRADS:
        total = total + g**2
        p = p - lr * g / (np.sqrt(total + eps) if inside else np.sqrt(total) + eps)
        yield p


def moments(
    lr: Callable[[int], float], b1: float, b2: float, eps: float, root: float = 0.0,
    decay: Any = 0.0, penalty: float = 0.0,
) -> Steps:  # fmt: skip
    p, m, v = START, 0.0, 0.0
    for t, g in enumerate(GRADS, 1):
        g = g + penalty * p
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t) + root) + eps)
        p = p - lr(t - 1) * (step + decay * p)
        yield p


def greatest(
    lr: float, b1: float, b2: float, eps: float, corrected: bool, decay: float = 0.0
) -> Steps:
    p, m, v, most = START, 0.0, 0.0, np.zeros(3)
    for t, g in enumerate(GRADS, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        lack = 1 - b2**t
        most = np.maximum(most, v / lack if corrected else v)
        root = np.sqrt(most) if corrected else np.sqrt(most) / np.sqrt(lack)
        p = p - lr * (m / (1 - b1**t) / (root + eps) + decay * p)
        yield p


def signs(lr: float, b1: float, b2: float, decay: float) -> Steps:
    p, m = START, np.zeros(3)
    for g in GRADS:
        p = p - lr * (np.sign(b1 * m + (1 - b1) * g) + decay * p)
        m = b2 * m + (1 - b2) * g
        yield p


def constant(lr: float) -> Callable[[int], float]:
    return lambda count: lr


FUNCTIONS = {
    "sgd": (optim.sgd(0.1), descent(0.1)),
    "momentum": (optim.sgd(0.1, 0.9), descent(0.1, 0.9)),
    "nesterov": (optim.sgd(0.1, 0.9, nesterov=True), descent(0.1, 0.9, True)),
    "rmsprop": (optim.rmsprop(0.1), rms(0.1, 0.9, 1e-8, True, False)),
    "rmsprop, all options": (
        optim.rmsprop(0.1, 0.8, 1e-3, 0.5, False, True, 0.7),
        rms(0.1, 0.8, 1e-3, False, True, 0.7, 0.5),
    ),
    "adagrad": (optim.adagrad(0.1), rss(0.1, 0.1, 1e-7, True)),
    "adagrad, root": (optim.adagrad(0.1, 0.0, 1e-3, False), rss(0.1, 0.0, 1e-3, False)),
    "adam": (optim.adam(0.1), moments(constant(0.1), 0.9, 0.999, 1e-8)),
    "adam, all options": (
        optim.adam(0.1, 0.5, 0.75, 1e-3, 1e-2),
        moments(constant(0.1), 0.5, 0.75, 1e-3, 1e-2),
    ),
    "adam, a schedule": (
        optim.adam(lambda count: 0.1 / (1.0 + count)),
        moments(lambda count: 0.1 / (1 + count), 0.9, 0.999, 1e-8),
    ),
    "adamw": (
        optim.adamw(0.1, weight_decay=0.2),
        moments(constant(0.1), 0.9, 0.999, 1e-8, decay=0.2),
    ),
    "amsgrad": (optim.amsgrad(0.1, 0.8, 0.5), greatest(0.1, 0.8, 0.5, 1e-8, True)),
    "lion": (optim.lion(0.1, weight_decay=0.2), signs(0.1, 0.9, 0.99, 0.2)),
}
OBJECTS = {
    "SGD": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), descent(0.1, 0.9)),
    "SGD, nesterov": (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        descent(0.1, 0.9, True),
    ),
    "RMSprop": (lambda p: optim.RMSprop(p), rms(0.01, 0.99, 1e-8, False, False)),
    "RMSprop, centred": (
        lambda p: optim.RMSprop(p, alpha=0.8, eps=1e-3, momentum=0.7, centered=True),
        rms(0.01, 0.8, 1e-3, False, True, 0.7),
    ),
    "Adagrad": (lambda p: optim.Adagrad(p), rss(0.01, 0.0, 1e-10, False)),
    "Adam": (lambda p: optim.Adam(p), moments(constant(0.001), 0.9, 0.999, 1e-8)),
    "Adam, penalty": (
        lambda p: optim.Adam(p, lr=0.1, weight_decay=0.3),
        moments(constant(0.1), 0.9, 0.999, 1e-8, penalty=0.3),
    ),
    "AdamW": (
        lambda p: optim.AdamW(p, lr=0.1),
        moments(constant(0.1), 0.9, 0.999, 1e-8, decay=0.01),
    ),
    "Adam, amsgrad": (
        lambda p: optim.Adam(p, lr=0.1, betas=(0.8, 0.5), amsgrad=True),
        greatest(0.1, 0.8, 0.5, 1e-8, False),
    ),
    "AdamW, amsgrad": (
        lambda p: optim.AdamW(p, lr=0.1, betas=(0.8, 0.5), amsgrad=True),
        greatest(0.1, 0.8, 0.5, 1e-8, False, 0.01),
    ),
    "Lion": (lambda p: optim.Lion(p, lr=0.1, weight_decay=0.2), signs(0.1, 0.9, 0.99, 0.2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_function(name: str) -> None:
    optimiser, formula = FUNCTIONS[name]
    wanted = list(formula)
    params, state = START, optimiser.init(START)
    for g, want in zip(GRADS, wanted, strict=True):
        updates, state = optimiser.update(g, state, params)
        params = optim.apply_updates(params, updates)
        np.testing.assert_allclose(params, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", OBJECTS)
def test_the_object(name: str) -> None:
    make, formula = OBJECTS[name]
    tensor = tg.tensor(START)
    memory, optimiser = tensor.data, make([tensor])
    for g, want in zip(GRADS, list(formula), strict=True):
        (tensor * g).sum().backward()
        optimiser.step()
        np.testing.assert_allclose(tensor.data, want, rtol=1e-12, atol=1e-13)
    assert tensor.data is memory


def test_a_mask_says_which_weights_decay() -> None:
    params = {"w": START, "b": START}
    zeros = {"w": np.zeros(3), "b": np.zeros(3)}
    for make in (optim.adamw, optim.lion):
        for mask in ({"w": True, "b": False}, lambda tree: {name: name == "w" for name in tree}):
            optimiser = make(0.1, weight_decay=0.5, mask=mask)
            updates, _ = optimiser.update(zeros, optimiser.init(params), params)
            np.testing.assert_allclose(updates["w"], -0.05 * START)
            np.testing.assert_array_equal(updates["b"], 0)


PAIRS = {
    "SGD": (
        lambda p, lr: optim.SGD(p, lr, 0.9, nesterov=True),
        lambda lr: optim.sgd(lr, 0.9, True),
    ),
    "SGD, penalty": (
        lambda p, lr: optim.SGD(p, lr, weight_decay=0.1),
        lambda lr: optim.chain(optim.add_decayed_weights(0.1), optim.sgd(lr)),
    ),
    "RMSprop": (
        lambda p, lr: optim.RMSprop(p, lr, momentum=0.5, centered=True),
        lambda lr: optim.rmsprop(lr, 0.99, eps_in_sqrt=False, centered=True, momentum=0.5),
    ),
    "Adagrad": (optim.Adagrad, lambda lr: optim.adagrad(lr, 0.0, 1e-10, eps_in_sqrt=False)),
    "Adam": (optim.Adam, optim.adam),
    "AdamW": (optim.AdamW, lambda lr: optim.adamw(lr, weight_decay=0.01)),
    "Lion": (optim.Lion, lambda lr: optim.lion(lr, weight_decay=0.0)),
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("rate", [0.05, optim.cosine_decay_schedule(0.1, 8)], ids=["", "schedule"])
@pytest.mark.parametrize("name", PAIRS)
def test_functions_and_objects_agree_to_the_last_bit(name: str, rate: Any, dtype: str) -> None:
    make_object, make_function = PAIRS[name]
    rng = np.random.default_rng(0)
    data, target = rng.normal(size=(5, 3)).astype(dtype), rng.normal(size=5).astype(dtype)
    params = {"w": rng.normal(size=3).astype(dtype), "b": np.ones((), dtype)}
    tensors = {key: tg.tensor(value) for key, value in params.items()}

    def loss(p: Any) -> Any:
        return np.sum((data @ p["w"] + p["b"] - target) ** 2)

    by_object, by_function = make_object(tensors.values(), rate), make_function(rate)
    state, start = by_function.init(params), params
    for _ in range(10):
        loss(tensors).backward()
        by_object.step()
        updates, state = by_function.update(tg.grad(loss)(params), state, params)
        params = optim.apply_updates(params, updates)
    for key, tensor in tensors.items():
        assert tensor.dtype == params[key].dtype == dtype
        np.testing.assert_array_equal(tensor.data, params[key])
        assert not np.array_equal(params[key], start[key])
