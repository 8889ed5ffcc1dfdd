"""Fusion makes few kernels, and none that is not worth it."""

import numpy as np
from staged import steps_of

import tapegrad as tg

X = np.linspace(0.5, 2.0, 6).reshape(2, 3)


def benchmark(x):
    return np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))


def test_a_chain_with_its_reduction_is_one_kernel():
    steps = steps_of(benchmark, X)
    assert len(steps) == 1
    assert steps[0][-1] == "sum"


def test_forward_and_backward_meet_in_one_kernel():
    assert len(steps_of(tg.value_and_grad(benchmark), X)) == 1


def test_what_needs_a_reduction_comes_after_it():
    steps = steps_of(lambda x: np.exp(x - np.max(x)), X)
    assert steps == [["max"], ["subtract", "exp"]] or steps == ["max", ["subtract", "exp"]]


def test_a_library_call_divides_kernels():
    steps = steps_of(lambda x, w: np.exp((np.sin(x) * 2) @ w) * 3, X, np.eye(3))
    assert "matmul" in steps
    place = steps.index("matmul")
    assert steps[place - 1] == ["sin", "multiply"]
    assert steps[place + 1] == ["exp", "multiply"]


def test_one_operation_that_numpy_does_as_fast_is_left_to_it():
    assert steps_of(lambda x: x + x, X) == ["add"]


def test_different_spaces_are_different_kernels():
    steps = steps_of(lambda x, y: (np.sin(x) * 2, np.sin(y) * 2), X, np.ones(7))
    assert steps == [["sin", "multiply"], ["sin", "multiply"]]


def test_small_parts_that_have_nothing_in_common_share_calls_in_equal_numbers():
    xs = [np.linspace(0, 1, 5) + i for i in range(30)]
    steps = steps_of(lambda *xs: [np.sin(x) * x for x in xs], *xs)
    assert len(steps) == 2 and steps[0] == steps[1]
    assert len(steps[0]) == 30


def test_small_parts_that_differ_share_a_call():
    steps = steps_of(lambda x, y: (np.sin(x) * 2, np.cos(y) + 1), *np.ones((2, 5)))
    assert steps == [["sin", "multiply", "cos", "add"]]


def test_parts_of_which_one_needs_another_stay_apart():
    def program(x, w):
        for _ in range(2):
            x = (np.sin(x) * 2) @ w
        return x

    assert steps_of(program, np.ones(5), np.eye(5)) == [["sin", "multiply"], "matmul"] * 2


def test_large_parts_that_have_nothing_in_common_are_equal_kernels():
    x, y = np.ones((2, 5000))
    steps = steps_of(lambda x, y: (np.sin(x) * 2, np.sin(y) * 2), x, y)
    assert steps == [["sin", "multiply"]] * 2


def test_what_waits_for_a_part_waits_for_the_call_that_it_shares():
    def program(x, y, w):
        a, b = np.sin(x) * 2, np.cos(y) * 3
        c, d = a @ w, b @ w
        return np.exp(c) * a, np.exp(d) * b

    steps = steps_of(program, *np.ones((2, 5)), np.eye(5))
    assert steps == [
        ["sin", "multiply", "cos", "multiply"],
        "matmul",
        "matmul",
        ["exp", "multiply"] * 2,
    ]
