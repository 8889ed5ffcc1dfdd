"""Initializers: distributions, dtypes, errors."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nnet import initializers as init

SCALED = ["glorot_normal", "glorot_uniform", "he_normal", "he_uniform"]
SHAPE = (40, 30, 5, 5)
FAN_IN, FAN_OUT = 30 * 25, 40 * 25


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("gain", [1, 5 / 3, tg.tensor(2.0)])
def test_the_spread_is_the_documented_one(name: str, gain: Any) -> None:
    np.random.seed(0)
    w = getattr(init, name)(*SHAPE, gain=gain).data
    std = float(gain) * np.sqrt(1 / FAN_IN if "he" in name else 2 / (FAN_IN + FAN_OUT))
    assert w.dtype == np.float32 and w.shape == SHAPE
    np.testing.assert_allclose(w.std(), std, rtol=0.02)
    np.testing.assert_allclose(w.mean(), 0, atol=std / 50)
    if "uniform" in name:
        bound = np.sqrt(3) * std
        assert np.abs(w).max() <= np.float32(bound)
        assert np.abs(w).max() > 0.99 * bound


@pytest.mark.parametrize("name", [*SCALED, "normal", "uniform", "dirac"])
def test_shapes_dtypes_and_constants(name: str) -> None:
    f = getattr(init, name)
    assert f(2, 3).shape == f((2, 3)).shape == (2, 3)
    assert f(2, 3).dtype == np.float32 and not f(2, 3).constant
    for dtype in ("float16", np.float64):
        assert f(2, 3, dtype=dtype).dtype == dtype
    assert f(2, 3, constant=True).constant
    assert f(0, 3).shape == (0, 3)


@pytest.mark.parametrize("name", [*SCALED, "normal", "uniform"])
def test_the_seed_of_the_library_decides(name: str) -> None:
    f = getattr(init, name)
    tg.random.seed(3)
    first = f(4, 4).data
    second = f(4, 4).data
    tg.random.seed(3)
    np.testing.assert_array_equal(f(4, 4), first)
    assert (first != second).any()


def test_normal_and_uniform_take_their_parameters_and_any_number_of_axes() -> None:
    np.random.seed(0)
    x = init.normal(20000, mean=3, std=2, dtype="float64")
    np.testing.assert_allclose([np.mean(x), np.std(x)], [3, 2], rtol=0.03)
    u = init.uniform(20000, lower_bound=-1, upper_bound=3).data
    assert u.min() >= -1 and u.max() < 3 and u.mean() == pytest.approx(1, abs=0.05)
    assert init.normal().shape == () and init.uniform(2, 1, 2).shape == (2, 1, 2)
    half = init.uniform(50000, dtype="float16").data
    assert half.max() < 1, "the upper bound does not belong to the interval"


def test_dirac_filters_leave_the_data_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 7))
    w = init.dirac(3, 3, 3, 3, dtype=float)
    np.testing.assert_array_equal(tg.nnet.conv_nd(x, w, stride=1, padding=1), x)
    np.testing.assert_array_equal(init.dirac(3, 2), np.eye(3, 2))
    assert init.dirac(2, 2, dtype="int8").constant


@pytest.mark.parametrize("name", [*SCALED, "dirac"])
def test_a_shape_needs_two_axes(name: str) -> None:
    for shape in ((), (3,)):
        with pytest.raises(ValueError, match="at least 2 axes"):
            getattr(init, name)(*shape)


@pytest.mark.parametrize("name", [*SCALED, "normal", "uniform"])
def test_random_values_are_floats(name: str) -> None:
    with pytest.raises(ValueError, match="floating"):
        getattr(init, name)(2, 2, dtype=int)


def test_errors() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        init.normal(3, std=-1)
    with pytest.raises(ValueError, match="greater"):
        init.uniform(3, lower_bound=2)
    with pytest.raises(TypeError, match="integers"):
        init.normal(2.5)
    with pytest.raises(ValueError, match="negative"):
        init.normal(-1)
    with pytest.raises(ValueError):
        init.dirac(2, 2, dtype=int, constant=False)
