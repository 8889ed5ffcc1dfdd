"""``numpy.fft``: values to the bit, derivatives against the matrices of the transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(5)
NORMS = [None, "backward", "ortho", "forward"]
ALONG = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
OVER = ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"]
REAL = {"rfft", "ihfft", "rfft2", "rfftn"}


def numbers(name: str, *shape: int) -> Any:
    """Complex numbers, or real ones for the transforms that take no others."""
    x = RNG.normal(size=shape)
    return x if name in REAL else x + 1j * RNG.normal(size=shape)


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize(("n", "axis"), [(None, -1), (4, 0), (7, 1), (3, -2), (1, 0)])
@pytest.mark.parametrize("norm", NORMS)
def test_a_transform_along_an_axis_is_numpys(name: str, n: Any, axis: int, norm: Any) -> None:
    function, x = getattr(np.fft, name), numbers(name, 5, 6)
    expected = function(x, n, axis, norm)
    got = function(tg.tensor(x), n, axis=axis, norm=norm)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got.data, expected)


@pytest.mark.parametrize("name", OVER)
@pytest.mark.parametrize(
    "where",
    [{}, {"axes": (0, 2)}, {"s": (3, 8), "axes": (1, 0)}, {"s": (-1, 4), "axes": (0, 1)},
     {"axes": (0, 0)}],
)  # fmt: skip
def test_a_transform_over_axes_is_numpys(name: str, where: Any) -> None:
    function, x = getattr(np.fft, name), numbers(name, 4, 5, 6)
    if name in ("rfft2", "rfftn") and where.get("axes") == (0, 0):
        pytest.skip("NumPy transforms what it has halved")
    expected = function(x, **where, norm="ortho")
    np.testing.assert_array_equal(function(tg.tensor(x), **where, norm="ortho").data, expected)


def in_numbers(function: Any, x: Any, g: Any) -> Any:
    """The gradient of Re(sum(g * f(x))) by the real and imaginary parts of x: f is linear."""
    out = np.zeros(x.shape, x.dtype)
    for i in np.ndindex(x.shape):
        unit = np.zeros(x.shape, x.dtype)
        unit[i] = 1
        out[i] = np.sum(g * function(unit)).real
        if x.dtype.kind == "c":
            out[i] -= 1j * np.sum(g * function(1j * unit)).real
    return out


@pytest.mark.parametrize("name", [*ALONG, *OVER])
@pytest.mark.parametrize("size", [4, 5, 7, 8])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_cotangents_are_those_of_the_matrix(name: str, size: int, norm: str) -> None:
    x = numbers(name, 3, size)
    for option in ({}, {"n": 5} if name in ALONG else {"s": (4, 6), "axes": (0, 1)}):

        def function(v: Any, option: Any = option) -> Any:
            return getattr(np.fft, name)(v, norm=norm, **option)

        y, pullback = tg.vjp(function, x)
        g = RNG.normal(size=y.shape)
        g = g if y.dtype.kind == "f" else g + 1j * RNG.normal(size=y.shape)
        (got,) = pullback(g)
        assert got.dtype == x.dtype
        np.testing.assert_allclose(got, in_numbers(function, x, g), atol=1e-12)
        t = numbers(name, *x.shape)
        np.testing.assert_allclose(tg.jvp(function, (x,), (t,))[1], function(t), atol=1e-12)


def test_second_derivatives_know_that_half_a_spectrum_has_parts_that_do_not_count() -> None:
    x = RNG.normal(size=6)

    def f(x: Any) -> Any:
        spectrum = np.fft.rfft(x)
        return np.sum(np.fft.irfft(spectrum**2 * np.abs(spectrum)) ** 2)

    step = 1e-5
    slope = tg.grad(f)
    columns = [(slope(x + step * e) - slope(x - step * e)) / (2 * step) for e in np.eye(6)]
    np.testing.assert_allclose(tg.hessian(f)(x), np.transpose(columns), rtol=1e-7, atol=1e-4)
    # The imaginary parts of the first and the last element of half a spectrum of even length.
    z = RNG.normal(size=4) + 1j * RNG.normal(size=4)
    g = tg.grad(lambda z: np.sum(np.fft.irfft(z) ** 3))(z)
    assert g[0].imag == 0 and g[3].imag == 0
    _, tangent = tg.jvp(tg.grad(lambda z: np.sum(np.fft.irfft(z) ** 3)), (z,), (1j * np.eye(4)[0],))
    assert not tangent.any()


def test_batches_and_compiled_code_give_the_same() -> None:
    x = RNG.normal(size=(3, 4, 6))

    def f(x: Any) -> Any:
        spectrum = np.fft.rfft2(x, s=(5, 8), axes=(-2, -1), norm="ortho")
        return np.sum(np.abs(np.fft.irfft2(spectrum * np.conj(spectrum))) ** 2)

    each = [tg.grad(f)(row) for row in x]
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(x), each, rtol=1e-12)
    compiled = tg.jit(tg.grad(f), strict=True)
    for row, expected in zip(x, each, strict=True):
        np.testing.assert_allclose(compiled(row), expected, rtol=1e-12)
    assert compiled.stats().eager_calls == 0


def test_imperative_tensors_and_out() -> None:
    x = tg.tensor([1.0, 2.0, 4.0])
    out = tg.zeros(3, dtype=complex)
    assert np.fft.fft(x, out=out) is out
    (out * out.conj()).real.sum().backward()
    np.testing.assert_allclose(x.grad, 6 * x.data)


def test_single_precision_stays() -> None:
    x = RNG.normal(size=5).astype(np.float32)
    assert np.fft.rfft(tg.tensor(x)).dtype == np.complex64
    assert tg.grad(lambda x: np.sum(np.abs(np.fft.rfft(x))))(x).dtype == np.float32


def test_frequencies_are_constants_and_follow_the_spacing() -> None:
    def f(d: Any, x: Any) -> Any:
        spectrum = np.fft.rfft(x * np.hanning(4))
        return np.sum(np.fft.rfftfreq(4, d) * np.abs(spectrum)) + np.sum(np.fft.fftfreq(4) ** 2)

    x = np.array([1.0, 2.0, -1.0, 0.5])
    by_spacing, by_signal = tg.grad(f, argnums=(0, 1))(0.5, x)
    assert by_spacing == pytest.approx(-(f(0.5, x) - np.sum(np.fft.fftfreq(4) ** 2)) / 0.5)
    compiled = tg.jit(tg.grad(f, argnums=(0, 1)), strict=True)
    for d in (0.5, 0.25):
        np.testing.assert_allclose(compiled(d, x)[1], by_signal * 0.5 / d)
    assert compiled.stats().traces == 1


def test_wrong_arguments_raise_what_numpy_raises() -> None:
    x, z = tg.tensor([1.0, 2.0]), tg.tensor([1j, 2.0])
    for call, error, text in [
        (lambda: np.fft.fft(x, 0), ValueError, "data points"),
        (lambda: np.fft.fft(x, norm="none"), ValueError, "norm"),
        (lambda: np.fft.fft(x, axis=1), np.exceptions.AxisError, "axis 1"),
        (lambda: np.fft.fftn(x, s=(2, 2), axes=(0,)), ValueError, "different lengths"),
        (lambda: np.fft.irfft(tg.tensor([1.0])), ValueError, "data points"),
        (lambda: np.fft.rfft(z), TypeError, "real"),
    ]:
        with pytest.raises(error, match=text):
            call()
