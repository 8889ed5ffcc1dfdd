"""Booleans and integers compute in kernels as NumPy computes with them, or stay with NumPy."""

import numpy as np
import pytest

import tapegrad as tg

Z = np.linspace(1.0, 2.0, 4)
BYTES = np.array([0, 1, 200, 255], np.uint8)
NUMBERS = np.arange(4)
HOLES = np.array([1.0, np.nan, 2.0, np.nan])
FUNCTIONS = {
    "or": lambda z: np.sum(((z > 1) + (z > 1.5)) * z),
    "or compared": lambda z: np.where(((z > 1) + (z > 1.5)) == True, z, 0),  # noqa: E712
    "greatest of booleans": lambda z: np.maximum(z > 1, z > 1.5) * z,
    "booleans compared": lambda z: ((z > 1.2) < (z > 1.6)) * z - ((z > 1.6) >= (z < 1.2)) * z,
    "negative numbers as unsigned ones": lambda z: (BYTES - z * 9).astype(np.uint32) * 2.0,
    "not nan, beside what never is": lambda z: np.fmax(z * HOLES, z > 1.2) * 2,
    "above what a byte holds": lambda z: np.where(BYTES > -1, z, 0) * 2,
    "below what a byte holds": lambda z: np.where(BYTES < 300, z, 0) * 2,
    "equal to what a byte cannot hold": lambda z: (BYTES == 256) * z * 2,
    "shift by a word": lambda z: np.left_shift(NUMBERS, 64) * z * 2,
    "shift right by a word": lambda z: np.right_shift(NUMBERS - 2, 64) * z * 2,
    "sine of what arcsine gives": lambda z: np.arcsin(np.sin(z * 1e11)) * 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_small_types_are_as_without_jit(name):
    function = FUNCTIONS[name]
    jitted, expected = tg.jit(function, strict=True), function(Z)
    for _ in range(4):
        np.testing.assert_allclose(jitted(Z), expected, rtol=1e-9)
    assert jitted.stats().traces < 4


def test_gradients_through_or_of_booleans():
    gradient = tg.grad(FUNCTIONS["or"])
    jitted = tg.jit(gradient)
    for _ in range(4):
        np.testing.assert_array_equal(jitted(Z), gradient(Z))


@pytest.mark.parametrize("k", [-1, 0, 256, 300])
def test_python_integers_beside_bytes(k):
    def function(img, k, z):
        return np.where(img > k, z, 0) * 2

    jitted = tg.jit(function, strict=True)
    for _ in range(3):
        np.testing.assert_array_equal(jitted(BYTES, k, Z), function(BYTES, k, Z))
