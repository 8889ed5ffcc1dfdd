"""Networks of layers train, imperatively and compiled, and get the same gradients both ways."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nnet import conv_nd, max_pool, relu, softmax_crossentropy

Params = list[Any]


def network(params: Params, x: Any) -> Any:
    """Scores of two convolutions, with pooling in between, and a dense layer."""
    first, second, dense, bias = params
    h = max_pool(relu(conv_nd(x, first, stride=1, padding=1)), (2, 2), 2)
    h = relu(conv_nd(h, second, stride=1))
    return h.reshape(len(x), -1) @ dense + bias


def loss(params: Params, x: Any, labels: Any) -> Any:
    return softmax_crossentropy(network(params, x), labels)


def problem(channels: int, dtype: Any) -> tuple[Params, Any, Any]:
    """Parameters, images and labels: which half of an image is brighter."""
    rng = np.random.default_rng(0)
    shapes = [(channels, 2, 3, 3), (8, channels, 3, 3), (8 * 2 * 2, 2), (2,)]
    params = [rng.normal(size=s) / np.sqrt(max(1, np.prod(s[1:]))) for s in shapes]
    labels = rng.integers(0, 2, 24)
    x = rng.normal(size=(24, 2, 8, 8)) * 0.5
    x[labels == 0, :, :4] += 1
    x[labels == 1, :, 4:] += 1
    return [p.astype(dtype) for p in params], x.astype(dtype), labels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [4, 40])
def test_gradients_are_the_same_compiled_and_imperative(channels: int, dtype: Any) -> None:
    params, x, labels = problem(channels, dtype)
    leaves = [tg.tensor(p) for p in params]
    value = loss(leaves, x, labels)
    value.backward()
    compiled = tg.jit(tg.value_and_grad(loss), strict=True)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    for _ in range(2):  # the recording, and the plan
        again, gradients = compiled(params, x, labels)
        np.testing.assert_allclose(again, value, rtol=tolerance)
        for got, leaf in zip(gradients, leaves):
            assert got.dtype == leaf.grad.dtype == dtype
            np.testing.assert_allclose(got, leaf.grad, rtol=tolerance, atol=tolerance)


def test_gradients_are_those_of_differences() -> None:
    params, x, labels = problem(5, np.float64)
    gradients = tg.jit(tg.grad(loss))(params, x, labels)
    rng = np.random.default_rng(1)
    for i, gradient in enumerate(gradients):
        way = rng.normal(size=gradient.shape)
        ends = [
            loss([p + s * way if i == j else p for j, p in enumerate(params)], x, labels)
            for s in (1e-5, -1e-5)
        ]
        slope = float(ends[0] - ends[1]) / 2e-5
        assert np.isclose(np.sum(way * gradient), slope, rtol=1e-5, atol=1e-8), i


def test_a_convolutional_network_learns_compiled() -> None:
    params, x, labels = problem(8, np.float32)

    @tg.jit(strict=True)
    def step(params: Params, x: Any, labels: Any) -> Any:
        value, gradients = tg.value_and_grad(loss)(params, x, labels)
        return value, [p - 0.2 * g for p, g in zip(params, gradients)]

    values = []
    for _ in range(30):
        value, params = step(params, x, labels)
        values.append(float(value))
    assert values[-1] < 0.2 * values[0]
    assert (np.argmax(np.asarray(network(params, x)), axis=1) == labels).mean() > 0.9
