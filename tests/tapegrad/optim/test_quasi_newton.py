"""L-BFGS: its directions, its line search, and that it finds minima, compiled too."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim


def rosenbrock(params: Any) -> Any:
    x = np.concatenate([params["a"], params["b"][0]])
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def start(dtype: Any = "f8") -> Any:
    return {"a": np.full(3, -1.2, dtype), "b": (np.ones(4, dtype), None)}


def step_of(function: Any, optimiser: Any) -> Any:
    def step(params: Any, state: Any) -> Any:
        value, grads = tg.value_and_grad(function)(params)
        updates, state = optimiser.update(grads, state, params, value=value, value_fn=function)
        return optim.apply_updates(params, updates), state

    return step


def inverse_hessian(pairs: list[Any], size: int) -> Any:
    """What BFGS makes of some pairs, as a matrix."""
    if not pairs:
        return None
    s, y = pairs[-1]
    found = np.eye(size) * (s @ y) / (y @ y)
    for s, y in pairs:
        weight = 1 / (s @ y)
        left = np.eye(size) - weight * np.outer(s, y)
        found = left @ found @ left.T + weight * np.outer(s, s)
    return found


@pytest.mark.parametrize("memory", [1, 3, 20])
def test_directions_are_those_of_the_matrix_and_lengths_those_of_wolfe(memory: int) -> None:
    def function(x: Any) -> Any:
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    gradient = tg.grad(function)
    optimiser, x = optim.lbfgs(memory), np.array([-1.2, 1.0, 0.7, -0.3])
    state, pairs = optimiser.init(x), []
    for _ in range(15):
        value, g = function(x), gradient(x)
        updates, state = optimiser.update(g, state, x, value=value, value_fn=function)
        matrix = inverse_hessian(pairs[-memory:], 4)
        direction = -g / max(np.linalg.norm(g), 1.0) if matrix is None else -matrix @ g
        length = (updates @ direction) / (direction @ direction)
        np.testing.assert_allclose(updates, length * direction, rtol=1e-6, atol=1e-12)
        new = x + updates
        assert function(new) <= value + 1e-4 * (g @ updates) + 1e-15
        assert abs(gradient(new) @ updates) <= 0.9 * abs(g @ updates) * (1 + 1e-9)
        pairs.append((updates, gradient(new) - g))
        x = new
    assert state.count == 15 and not np.array_equal(x, [-1.2, 1.0, 0.7, -0.3])


def test_a_step_is_made_longer_where_the_function_still_falls() -> None:
    def function(x: Any) -> Any:
        return np.sum((x - 1000.0) ** 2)

    optimiser, x = optim.lbfgs(), np.zeros(1)
    grads = tg.grad(function)(x)
    updates, _ = optimiser.update(grads, optimiser.init(x), x, value=function(x), value_fn=function)
    assert updates[0] == 128.0  # the first power of two that leaves less than 0.9 of the slope


def test_a_step_is_made_shorter_where_the_function_has_risen() -> None:
    def function(x: Any) -> Any:
        return np.sum(50.0 * (x - 0.1) ** 2)

    optimiser, x = optim.lbfgs(), np.array([0.4])
    grads = tg.grad(function)(x)
    updates, _ = optimiser.update(grads, optimiser.init(x), x, value=function(x), value_fn=function)
    # A step of 1, which is the first one tried, leads uphill.
    np.testing.assert_allclose(updates, -0.5, rtol=1e-14)


def test_a_value_that_is_not_a_number_makes_the_step_shorter() -> None:
    def function(x: Any) -> Any:
        return np.sum(x - 0.01 * np.log(x))

    x, optimiser = np.array([0.5, 0.02]), optim.lbfgs()
    state = optimiser.init(x)
    with np.errstate(all="ignore"):
        for _ in range(30):
            x, state = step_of(function, optimiser)(x, state)
            assert np.all(np.isfinite(function(x)))
    np.testing.assert_allclose(x, 0.01, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_minima_are_found_with_one_recording(dtype: str) -> None:
    optimiser = optim.lbfgs(5)
    step = step_of(rosenbrock, optimiser)
    fast = tg.jit(step)
    slow, compiled = [(start(dtype), optimiser.init(start(dtype)))] * 2
    for _ in range(60):
        slow, compiled = step(*slow), fast(*compiled)
    assert fast.stats().traces == 1 and fast.stats().eager_calls == 0
    for params, state in (slow, compiled):
        assert tg.tree_structure(params) == tg.tree_structure(start())
        for leaf in tg.tree_leaves(params):
            np.testing.assert_allclose(leaf, 1.0, atol=1e-3 if dtype == "f4" else 1e-7)
        assert {leaf.dtype.str for leaf in tg.tree_leaves((params, state))} == {f"<{dtype}", "<i8"}


def test_a_whole_search_in_a_scan() -> None:
    optimiser = optim.lbfgs(5)

    def search(params: Any) -> Any:
        both = params, optimiser.init(params)
        step = step_of(rosenbrock, optimiser)
        return tg.scan(lambda both, _: (step(*both), 0.0), both, np.arange(60.0))[0][0]

    for function in (search, tg.jit(search)):
        for leaf in tg.tree_leaves(function(start())):
            np.testing.assert_allclose(leaf, 1.0, atol=1e-7)


def test_at_the_minimum_nothing_moves() -> None:
    optimiser, x = optim.lbfgs(), {"a": np.ones(3), "b": (np.ones(4), None)}
    moved, state = step_of(rosenbrock, optimiser)(x, optimiser.init(x))
    moved, state = step_of(rosenbrock, optimiser)(moved, state)
    assert all(np.all(leaf == 1.0) for leaf in tg.tree_leaves(moved))
    assert not np.any(state.weights)


def test_what_rounding_adds_to_a_value_does_not_count() -> None:
    x = np.array([1.0 + 1e-9])

    def function(p: Any) -> Any:
        rounded = np.where(p == x, 0.0, np.finfo(float).eps)
        return 1.0 + np.sum((p - 1.0) ** 2 + rounded)

    optimiser = optim.lbfgs()
    grads, value = tg.grad(function)(x), function(x)
    assert function(np.ones(1)) > value
    updates, _ = optimiser.update(grads, optimiser.init(x), x, value=value, value_fn=function)
    np.testing.assert_allclose(updates, -1e-9, rtol=1e-6)


def test_the_function_is_read_as_it_is_when_it_is_called() -> None:
    chosen = {"factor": 1.0}

    def function(x: Any) -> Any:
        return chosen["factor"] * np.sum((x - 0.1) ** 2)

    optimiser, x = optim.lbfgs(), np.array([0.4])
    state, grads, value = optimiser.init(x), np.array([30.0]), 4.5

    def step(x: Any) -> Any:
        return optimiser.update(grads, state, x, value=value, value_fn=function)[0]

    fast = tg.jit(step)
    for factor, wanted in ((50.0, -0.5), (100.0, -0.25)):
        chosen["factor"] = factor
        np.testing.assert_allclose(fast(x), step(x), rtol=1e-14)
        np.testing.assert_allclose(fast(x), wanted, rtol=1e-14)


def test_the_function_may_be_any_that_can_be_differentiated() -> None:
    def function(x: Any) -> Any:
        out = np.zeros(2)
        out[0] = math.cos(x[0])
        out[1] = float(x[1]) ** 2
        return np.sum(out)

    both = np.array([2.0, 1.0]), optim.lbfgs().init(np.ones(2))
    for _ in range(12):
        both = step_of(function, optim.lbfgs())(*both)
    np.testing.assert_allclose(both[0], [np.pi, 0.0], atol=1e-7)


X = np.ones(2)
STATE = optim.lbfgs().init(X)
BAD = {
    "memory": (lambda: optim.lbfgs(0), "memory_size must be at least 1"),
    "trials": (lambda: optim.lbfgs(max_linesearch_steps=0), "max_linesearch_steps must be"),
    "decrease": (lambda: optim.lbfgs(decrease=-0.1), "decrease must be at least 0"),
    "curvature": (lambda: optim.lbfgs(curvature=1.0), "curvature must be at least 0 and less"),
    "order": (lambda: optim.lbfgs(decrease=0.5, curvature=0.4), "less than curvature"),
    "alone": (lambda: optim.lbfgs().update(X, STATE, X), "update needs the parameters, their"),
    "chain": (
        lambda: optim.chain(optim.lbfgs()).update(X, (STATE,), X),
        "update needs the parameters, their value and the function",
    ),
    "value": (
        lambda: optim.lbfgs().update(X, STATE, X, value=X, value_fn=np.sum),
        "the value must be a number, not of shape (2,)",
    ),
    "shape": (
        lambda: optim.lbfgs().update(np.ones(3), STATE, X, value=1.0, value_fn=np.sum),
        "the gradient has shape (3,), and the parameter (2,)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_refused(name: str) -> None:
    run, message = BAD[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        run()
