"""Random programs that change shapes: compiled values and gradients are those of the eager run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shapes import Shapes

import tapegrad as tg


def assert_equal(got: Any, expected: Any, program: Shapes) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape and got.dtype == expected.dtype, program
    narrow = "f" in program.dtypes
    size = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(
        got, expected, rtol=3e-3 if narrow else 1e-8, atol=(3e-3 if narrow else 1e-8) * size,
        err_msg=str(program),
    )  # fmt: skip


def check(seed: int) -> None:
    program = Shapes(np.random.default_rng(seed))
    arrays = program.arrays()

    def loss(*xs: Any) -> Any:
        return sum(np.sum(y * 0.5) for y in program.run(*xs))

    gradient = tg.grad(loss, tuple(range(len(arrays))))
    with np.errstate(all="ignore"):
        for function in (program.run, gradient):
            compiled, expected = tg.jit(function), function(*arrays)
            for _ in range(4):  # the first calls record
                for got, want in zip(compiled(*arrays), expected):
                    assert_equal(got, want, program)


@pytest.mark.parametrize("seed", range(30))
def test_compiled_programs_agree_with_eager_ones(seed: int) -> None:
    check(seed)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(30, 390))
def test_many_compiled_programs_agree_with_eager_ones(seed: int) -> None:
    check(seed)
