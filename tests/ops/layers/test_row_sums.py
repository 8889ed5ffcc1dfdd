"""Sums of rows, in every layout and length, and how exact they are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapegrad.ops.layers import row_sums as rows
from tapegrad.ops.layers.row_sums import buffer_for, sums


@given(
    count=st.integers(0, 4),
    length=st.integers(0, 40),
    across=st.booleans(),
    wide=st.integers(0, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_sums_of_rows_and_of_products(
    count: int, length: int, across: bool, wide: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    if across:
        a, b = rng.normal(size=(2, length, count + wide))[..., :count].swapaxes(1, 2)
    else:
        a, b = rng.normal(size=(2, count, length + wide))[..., :length]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_ALONG", 7)
        patch.setattr(rows, "_ACROSS", 5)
        np.testing.assert_allclose(sums(a), a.sum(axis=1), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(sums(a, b), (a * b).sum(axis=1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("length", [1000, 4097, 100_000, 1_000_000])
@pytest.mark.parametrize("across", [False, True])
def test_sums_of_equal_numbers_do_not_drift(length: int, across: bool) -> None:
    """Rounding errors of equal numbers do not cancel: a plain sum in float32 misses by far."""
    value = np.float32(0.1)
    a: Any = np.full((length, 2) if across else (2, length), value)
    a = a.T if across else a
    bound = 1e-5 if across else 2e-6
    np.testing.assert_allclose(sums(a), float(value) * length, rtol=bound)
    np.testing.assert_allclose(sums(a, a), float(value) ** 2 * length, rtol=bound)


def test_the_buffer_of_numpy_is_the_users_again() -> None:
    before = np.getbufsize()
    for length in (1, 64, 1000, 10**6):
        with buffer_for(length):
            pass
        assert np.getbufsize() == before
    with pytest.raises(ZeroDivisionError), buffer_for(1000):
        raise ZeroDivisionError
    assert np.getbufsize() == before
