"""Passes remove what is exactly nothing, and nothing else."""

import numpy as np
import pytest
from staged import names, optimised, program_of

import tapegrad as tg
from tapegrad.compile.passes import pipeline as passes
from tapegrad.tape.program.verification import verify

X = np.linspace(0.5, 2.0, 6).reshape(2, 3)


def test_dead_entries_are_dropped():
    def f(x):
        np.exp(x)
        return np.sin(x)

    assert names(program_of(f, X)) == ["exp", "sin"]
    assert names(optimised(f, X)) == ["sin"]


def test_equal_expressions_are_computed_once():
    assert names(optimised(lambda x: np.exp(x) * np.exp(x), X)) == ["exp", "multiply"]


def test_two_results_do_not_become_one_array():
    assert names(optimised(lambda x: (np.exp(x), np.exp(x)), X)) == ["exp", "exp"]


def test_factors_of_one_and_reshapes_to_the_same_shape_vanish():
    f = lambda x: np.sin(np.reshape(x * 1.0, x.shape) / 1.0)
    assert names(optimised(f, X)) == ["sin"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sin(x * 0),
        lambda x: np.sin(x - x),
        lambda x: np.sin(x + 0),
        lambda x: np.sin(x / x),
    ],
)
def test_what_is_nothing_only_for_ordinary_numbers_stays(function):
    assert len(names(optimised(function, X))) == 2


def test_constants_that_hold_one_number_everywhere_are_that_number():
    def tangent(x):
        return tg.jvp(lambda x: np.sum(np.sin(x[:, None] - x[None]) ** 2), (x,), (np.ones_like(x),))

    program = optimised(tangent, X)
    arrays = [o for e in program.entries for o in e.operands if type(o) is np.ndarray]
    assert all(o.size == 1 or not any(o.strides) for o in arrays)
    for a, b in zip(tg.jit(tangent)(X), tangent(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("number", [0.0, -0.0, np.nan, 3.0])
def test_constants_keep_signs_of_zeros_and_nan(number):
    constant = np.array([[number, number, number], [0.0, -0.0, number]])
    for c in (constant, np.full((2, 3), number)):
        f = lambda x, c=c: np.copysign(1.0, c * x) + np.isnan(c + x)
        np.testing.assert_array_equal(tg.jit(f)(X), f(X))


def test_a_factor_of_one_that_changes_the_dtype_stays():
    x = X.astype(np.float32)
    assert len(names(optimised(lambda x: np.sin(x * np.float64(1.0)), x))) >= 2


def test_means_and_variances_become_sums():
    assert "mean" not in names(optimised(lambda x: x - np.mean(x, axis=1, keepdims=True), X))
    assert "var" not in names(optimised(lambda x: np.var(x, axis=0), X))


def test_broadcasts_are_left_to_the_operations_that_use_them():
    f = lambda x: np.broadcast_to(x[0], (2, 3)) * x
    assert "broadcast_to" not in names(optimised(f, X))


def test_every_pass_leaves_a_well_formed_program():
    f = tg.grad(lambda x: np.sum(np.exp(x) * np.mean(x, axis=0) @ x.T) + x.std())
    program = program_of(f, X)
    verify(program)
    for step in passes.PIPELINE:
        program = step(program)
        verify(program)


def test_verify_finds_a_value_that_is_used_before_it_is_made():
    program = program_of(lambda x: np.exp(np.sin(x)), X)
    program = program.with_entries(program.entries[::-1])
    with pytest.raises(AssertionError, match="not made before"):
        verify(program)


def test_a_python_number_is_not_taken_for_a_numpy_scalar():
    program = optimised(lambda x, a: (x * np.multiply(a, 1.0), x * a), X.astype("f4"), 0.7)
    assert [str(o.dtype) for o in program.outputs] == ["float64", "float32"]
    assert names(program) == ["multiply", "multiply", "multiply"]


def test_a_repeated_operand_stays_where_nothing_else_has_the_shape():
    def both(x):
        return np.broadcast_to(x[0], (2, 3)) + np.broadcast_to(x[1], (2, 3))

    def crossed(x):
        return np.broadcast_to(x[:1], (2, 3)) * np.broadcast_to(x[:, :1], (2, 3))

    x = np.arange(6.0).reshape(2, 3)
    for function in (both, crossed, lambda x: np.exp(np.broadcast_to(np.sum(x), (2, 3)))):
        optimised(function, x)  # each pass is verified
        jitted = tg.jit(function)
        for _ in range(4):
            np.testing.assert_array_equal(jitted(x), function(x))
