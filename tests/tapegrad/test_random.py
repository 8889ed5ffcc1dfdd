"""Random tensors come from NumPy's global legacy stream, with the documented parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

PAIRS: list[Any] = [
    (lambda: tg.random.rand(2, 3), lambda: np.random.rand(2, 3)),
    (lambda: tg.random.rand(), lambda: np.random.rand()),
    (lambda: tg.random.randn(4), lambda: np.random.randn(4)),
    (lambda: tg.random.randint(5), lambda: np.random.randint(5)),
    (lambda: tg.random.randint(2, 9, (3, 2)), lambda: np.random.randint(2, 9, (3, 2))),
    (lambda: tg.random.randint(0, 9, 4, np.int8), lambda: np.random.randint(0, 9, 4, np.int8)),
    (lambda: tg.random.random((2, 2)), lambda: np.random.random((2, 2))),
    (lambda: tg.random.random_sample(3), lambda: np.random.random_sample(3)),
    (lambda: tg.random.ranf(3), lambda: np.random.random_sample(3)),
    (lambda: tg.random.sample(), lambda: np.random.random_sample()),
]


@pytest.mark.parametrize(("ours", "numpys"), PAIRS)
def test_the_numbers_are_numpys(ours: Any, numpys: Any) -> None:
    tg.random.seed(3)
    got = ours()
    np.random.seed(3)
    expected = np.asarray(numpys())
    assert isinstance(got, tg.Tensor)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


def test_floats_are_variable_unless_asked_and_integers_constant() -> None:
    assert not tg.random.rand(2).constant
    assert tg.random.rand(2, constant=True).constant
    assert tg.random.randn(2, constant=True).constant
    assert tg.random.random(2, constant=True).constant
    assert tg.random.randint(3, shape=(2,)).constant


def test_compiled_functions_draw_anew() -> None:
    with pytest.warns(RuntimeWarning, match="random"):
        compiled = tg.jit(lambda x: x * tg.random.rand(3))
        draws = [np.asarray(compiled(np.ones(3))) for _ in range(3)]
    assert not np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[1], draws[2])
