"""Activations: documented values, gradients, hard places, errors."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg
from tapegrad.nnet import activations as act

FUNCTIONS: dict[str, Any] = {
    "elu": lambda x: act.elu(x, 0.3),
    "glu": lambda x: act.glu(np.concatenate([x, 0.5 * x], -1)),
    "hard_tanh": lambda x: act.hard_tanh(x, lower_bound=-0.7, upper_bound=1.3),
    "leaky_relu": lambda x: act.leaky_relu(x, 0.1),
    "logsoftmax": act.logsoftmax,
    "relu": act.relu,
    "selu": act.selu,
    "sigmoid": act.sigmoid,
    "soft_sign": act.soft_sign,
    "softmax": act.softmax,
    "tanh": act.tanh,
}
NAMES = sorted(FUNCTIONS)


def away_from_kinks(shape: tuple[int, ...], seed: int) -> Any:
    x = np.random.default_rng(seed).uniform(-3, 3, shape)
    for kink in (0.0, -0.7, 1.3):
        x = np.where(np.abs(x - kink) < 0.02, x + 0.05, x)
    return x


def central(f: Any, x: Any, t: Any, h: float = 1e-5) -> Any:
    return (np.asarray(f(x + h * t)) - np.asarray(f(x - h * t))) / (2 * h)


@pytest.mark.parametrize("name", NAMES)
@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_gradients_are_those_of_differences(name: str, shape: Any, seed: int) -> None:
    f, x = FUNCTIONS[name], away_from_kinks(shape, seed)
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, shape)
    out, tangent = tg.jvp(f, (x,), (t,))
    np.testing.assert_allclose(tangent, central(f, x, t), rtol=1e-5, atol=1e-7)
    g = rng.uniform(-1, 1, out.shape)
    leaf = tg.tensor(x)
    f(leaf).backward(g)
    np.testing.assert_allclose(np.sum(leaf.grad * t), np.sum(g * tangent), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_works_compiled_batched_and_to_second_order(name: str) -> None:
    f, x = FUNCTIONS[name], away_from_kinks((3, 4), 0)
    weights = np.random.default_rng(1).normal(size=f(x).shape[1:])

    def loss(x: Any) -> Any:
        return np.sum(np.sin(f(x)) * weights)

    grads = np.stack([tg.grad(loss)(row) for row in x])
    np.testing.assert_allclose(tg.vmap(tg.grad(loss))(x), grads, rtol=1e-10, atol=1e-12)
    compiled = tg.jit(tg.grad(loss))
    for row, wanted in zip(x, grads):
        np.testing.assert_allclose(compiled(row), wanted, rtol=1e-10, atol=1e-12)
    second = tg.grad(lambda x: np.sum(tg.grad(loss)(x) * weights[0]))(x[0])
    wanted = [central(lambda z: np.sum(tg.grad(loss)(z) * weights[0]), x[0], e) for e in np.eye(4)]
    np.testing.assert_allclose(second, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_of_floats_stays(name: str, dtype: Any) -> None:
    x = tg.tensor(np.linspace(-2, 2, 6), dtype=dtype)
    y = FUNCTIONS[name](x)
    assert y.dtype == dtype
    y.backward()
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_constants(name: str) -> None:
    f = getattr(act, name)
    more = {"elu": (1.0,), "leaky_relu": (1.0,)}.get(name, ())
    x = tg.tensor([1.0, 2.0])
    assert not f(x, *more).constant
    assert f(x, *more, constant=True).constant
    assert f([1.0, 2.0], *more).constant
    assert f(np.arange(2), *more).constant
    assert not f([1.0, 2.0], *more, constant=False).constant


@pytest.mark.parametrize(
    ("f", "gradient"),
    [
        (lambda x: act.elu(x, 0.3), 1.0),
        (act.hard_tanh, 1.0),
        (lambda x: act.hard_tanh(x, lower_bound=0), 0.0),
        (lambda x: act.hard_tanh(x, upper_bound=0), 0.0),
        (lambda x: act.leaky_relu(x, 0.1), 0.0),
        (act.relu, 0.0),
        (act.selu, 1.0507009873554805),
        (act.soft_sign, 1.0),
        (act.sigmoid, 0.25),
    ],
)
def test_documented_gradients_at_zero(f: Any, gradient: float) -> None:
    x = tg.tensor([0.0])
    f(x).backward()
    assert x.grad[0] == gradient


def test_relu_keeps_the_sign_of_zero_and_shows_nan_and_infinities() -> None:
    y = act.relu([-2.0, 0.0, 3.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(y, [0, 0, 3, np.inf, 0, np.nan])
    assert np.signbit(y.data[0]) and not np.signbit(y.data[1])
    assert act.relu([1, -2]).dtype.kind == "i"


def test_nothing_overflows_or_warns_at_large_arguments() -> None:
    large = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    scores = np.array([[1e6, 1e6 + 1, 0.0], [2e50, 2e50, 1e50]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (np.float32, np.float64):
            x = tg.tensor(large, dtype=dtype)
            for f in (act.sigmoid, act.selu, lambda x: act.elu(x, 1.0), act.soft_sign):
                y = f(x)
                y.backward()
                assert np.isfinite(y.data).all() and np.isfinite(x.grad).all()
        for f in (act.softmax, act.logsoftmax):
            s = tg.tensor(scores)
            f(s)[..., 0].backward()
            assert np.isfinite(f(scores).data).all() and np.isfinite(s.grad).all()
    np.testing.assert_array_equal(act.sigmoid(large), [0, np.exp(-800.0), 0.5, 1, 1])
    np.testing.assert_allclose(act.softmax(scores)[1], [0.5, 0.5, 0])
    np.testing.assert_allclose(act.logsoftmax(scores)[0, 1], -np.log1p(np.exp(-1.0)))


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), (0, 2), (0, 1, 2)])
def test_softmax_takes_axes(axis: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    e = np.exp(x)
    p = e / np.sum(e, axis=axis, keepdims=True)
    np.testing.assert_allclose(act.softmax(x, axis=axis), p)
    np.testing.assert_allclose(act.logsoftmax(x, axis=axis), np.log(p))


def test_softmax_of_scalars_integers_and_nothing() -> None:
    assert act.softmax(3.0).item() == 1.0 and act.logsoftmax(3.0).item() == 0.0
    assert act.softmax(np.array([1, 1])).dtype == np.float64
    for shape in ((0, 3), (3, 0)):
        assert act.softmax(np.ones(shape)).shape == shape
        assert act.logsoftmax(np.ones(shape)).shape == shape


def test_documented_values() -> None:
    x = np.arange(-5.0, 5.0)
    np.testing.assert_allclose(
        act.glu(x), [-2.5, -2.92423431, -2.64239123, -1.90514825, -0.98201379]
    )
    np.testing.assert_allclose(act.selu([-5.0, -1.0]), [-1.74625336, -1.11133074])
    np.testing.assert_allclose(act.elu([-5.0, 2.0], 0.1), [-0.09932621, 2.0], rtol=1e-6)
    np.testing.assert_allclose(act.soft_sign([-5, 4]), [-5 / 6, 0.8])


def test_the_slope_of_a_leaky_relu_can_be_learnt() -> None:
    slope = tg.tensor(0.1)
    act.leaky_relu([-2.0, 3.0, -1.0], slope).backward()
    assert slope.grad == -3.0


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TypeError, lambda: act.elu([1.0])),
        (TypeError, lambda: act.elu([1.0], "a")),
        (TypeError, lambda: act.elu([1.0], [1.0, 2.0])),
        (TypeError, lambda: act.elu([1.0], 1j)),
        (TypeError, lambda: act.leaky_relu([1.0], None)),
        (TypeError, lambda: act.leaky_relu([1.0], np.ones(3))),
        (TypeError, lambda: act.hard_tanh([1.0], lower_bound="a")),
        (TypeError, lambda: act.hard_tanh([1.0], -1, 1)),
        (TypeError, lambda: act.glu([1.0, 2.0], None)),
        (ValueError, lambda: act.glu([1.0, 2.0, 3.0])),
        (ValueError, lambda: act.glu([1.0, 2.0], 1)),
        (TypeError, lambda: act.relu([1j])),
        (TypeError, lambda: act.selu([1.0], alpha=1.0)),
        (ValueError, lambda: act.softmax([1.0], axis=3)),
    ],
)
def test_errors(error: type[Exception], call: Any) -> None:
    with pytest.raises(error):
        call()
