"""Losses: documented values, gradients, hard places, errors."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.nnet import losses

BY_LABEL: dict[str, Any] = {
    "focal_loss": lambda x, y: losses.focal_loss(np.exp(-x * x), y, alpha=0.7, gamma=1.5),
    "softmax_focal_loss": lambda x, y: losses.softmax_focal_loss(x, y, gamma=0.5),
    "multiclass_hinge": lambda x, y: losses.multiclass_hinge(x, y, 0.7),
    "negative_log_likelihood": lambda x, y: losses.negative_log_likelihood(
        x, y, weights=np.arange(1.0, x.shape[1] + 1)
    ),
    "softmax_crossentropy": losses.softmax_crossentropy,
    "margin_ranking_loss": lambda x, y: losses.margin_ranking_loss(x, x[::-1] * 0.3, y - 0.5, 0.1),
}
NAMES = sorted(BY_LABEL)


@pytest.mark.parametrize("name", NAMES)
@given(n=st.integers(1, 5), c=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
def test_gradients_are_those_of_differences(name: str, n: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.permutation(n * c).reshape(n, c) * 0.37 / c + 0.211
    y = rng.integers(0, c, n)
    t = rng.uniform(-1, 1, x.shape)

    def f(x: Any) -> Any:
        return np.sum(BY_LABEL[name](x, y))

    h = 1e-6
    slope = (float(f(x + h * t)) - float(f(x - h * t))) / (2 * h)
    np.testing.assert_allclose(np.sum(tg.grad(f)(x) * t), slope, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(tg.jvp(f, (x,), (t,))[1], slope, rtol=1e-4, atol=1e-7)
    leaf = tg.tensor(x, dtype=np.float32)
    f(leaf).backward()
    assert leaf.grad.dtype == np.float32
    np.testing.assert_allclose(leaf.grad, tg.grad(f)(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_works_compiled_with_labels_as_arguments_and_to_second_order(name: str) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.uniform(0.2, 1.5, (4, 3)), rng.normal(size=(4, 3))

    def f(x: Any, y: Any) -> Any:
        return np.sum(BY_LABEL[name](x, y))

    compiled = tg.jit(tg.grad(f))
    for _ in range(3):
        y = rng.integers(0, 3, 4)
        np.testing.assert_allclose(compiled(x, y), tg.grad(f)(x, y), rtol=1e-10, atol=1e-12)
    second = tg.grad(lambda x: np.sum(tg.grad(f)(x, y) * t))(x)
    h = 1e-5
    slope = np.sum((tg.grad(f)(x + h * t, y) - tg.grad(f)(x - h * t, y)) * t) / (2 * h)
    np.testing.assert_allclose(np.sum(second * t), slope, rtol=1e-4, atol=1e-6)


def test_documented_values() -> None:
    x = tg.tensor([[2.0, 2.0, 2.0], [0.0, 0.0, 1e6]])
    loss = losses.softmax_crossentropy(x, tg.tensor([0, 2]))
    np.testing.assert_allclose(loss, 0.54930614)
    loss.backward()
    np.testing.assert_allclose(x.grad, [[-1 / 3, 1 / 6, 1 / 6], [0, 0, 0]], atol=1e-15)
    sure = losses.negative_log_likelihood(tg.tensor([[0, -20, -20]]), tg.tensor([0]))
    assert repr(sure) == "Tensor(0.)"
    hinge = losses.multiclass_hinge([[3.0, 2.5, 0.0], [0.0, 0.0, 0.0]], [0, 1])
    np.testing.assert_allclose(hinge, (0.5 + 2) / 2)


def test_float32_scores_with_a_large_offset_lose_no_digits() -> None:
    x = np.array([[2.0, 2.0, 2.0]], np.float32)
    loss = losses.softmax_crossentropy(x + np.float32(2**20), [0])
    np.testing.assert_allclose(loss, np.log(3), rtol=1e-6)


def test_the_mean_divides_by_the_number_of_data_and_not_by_their_weights() -> None:
    x = np.array([[-1.0, -2.0], [-3.0, -4.0]])
    loss = losses.negative_log_likelihood(x, [0, 1], weights=[2.0, 5.0])
    np.testing.assert_allclose(loss, (2 * 1 + 5 * 4) / 2)


@pytest.mark.parametrize("gamma", [0, 0.25, 0.5, 1, 2])
def test_focal_loss_is_finite_where_the_class_is_certain(gamma: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = tg.tensor([[1.0, 0.3]])
        loss = losses.focal_loss(p, [0], gamma=gamma)
        loss.backward()
        np.testing.assert_array_equal(loss, [0.0])
        np.testing.assert_array_equal(p.grad, [[0.0 if gamma else -1.0, 0.0]])
        s = tg.tensor([[1e6, 0.0], [0.0, 1e6]])
        loss = losses.softmax_focal_loss(s, [0, 0], gamma=gamma)
        loss.backward()
    np.testing.assert_allclose(loss, [0.0, 1e6])
    assert np.isfinite(s.grad).all()


def test_focal_loss_curves_where_the_class_is_certain_if_its_focus_is_linear() -> None:
    f = lambda p, gamma: losses.focal_loss(p[None], [0], gamma=gamma)[0]
    p = np.array([1.0, 0.3])
    for gamma, curvature in ((1, 2.0), (1.5, 0.0), (2, 0.0)):  # like (1 - p) ** (1 + gamma)
        assert tg.hessian(f)(p, gamma).tolist() == [[curvature, 0.0], [0.0, 0.0]]


def test_focal_loss_without_focus_is_cross_entropy_for_each_datum() -> None:
    x, y = np.random.default_rng(0).normal(size=(5, 3)), [0, 1, 2, 1, 0]
    focal = losses.softmax_focal_loss(x, y)
    assert focal.shape == (5,)
    np.testing.assert_allclose(np.mean(focal), losses.softmax_crossentropy(x, y))


def test_hinge_points_have_gradient_zero() -> None:
    a, b = tg.tensor([1.0, 2.0]), tg.tensor([0.5, 5.0])
    losses.margin_ranking_loss(a, b, 1, 0.5).backward()
    np.testing.assert_array_equal(a.grad, [0.0, -0.5])
    np.testing.assert_array_equal(b.grad, [0.0, 0.5])
    x = tg.tensor([[1.0, 0.0, 3.0]])
    losses.multiclass_hinge(x, [0]).backward()
    np.testing.assert_array_equal(x.grad, [[-1.0, 0.0, 1.0]])


def test_the_direction_of_a_ranking_may_differ_from_datum_to_datum() -> None:
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((2, 2))
    loss = losses.margin_ranking_loss(a, b, [1, -1], 1.0)
    np.testing.assert_allclose(loss, (0 + 0 + 4 + 5) / 4)


X = np.full((3, 4), 0.25)


@pytest.mark.parametrize(
    "loss",
    [
        losses.focal_loss, losses.softmax_focal_loss, losses.multiclass_hinge,
        losses.negative_log_likelihood, losses.softmax_crossentropy,
    ],
)  # fmt: skip
def test_labels_and_shapes_are_checked(loss: Any) -> None:
    with pytest.raises(TypeError, match="integers"):
        loss(X, [0.0, 1.0, 2.0])
    with pytest.raises(TypeError, match="integers"):
        loss(X, [True, False, True])
    with pytest.raises(ValueError, match="one label per datum"):
        loss(X, [0, 1])
    with pytest.raises(ValueError, match="one label per datum"):
        loss(X, [[0, 1, 2]])
    with pytest.raises(ValueError, match="two axes"):
        loss(X[0], [0, 1, 2, 3])
    for bad in (4, -1):
        with pytest.raises(ValueError, match=f"label {bad}"):
            loss(X, [0, 1, bad])
    assert loss(tg.tensor(X), [0, 1, 2], constant=True).constant
    assert loss(X, [0, 1, 2]).constant


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ValueError, lambda: losses.focal_loss(X, [0, 1, 2], gamma=-1)),
        (ValueError, lambda: losses.softmax_focal_loss(X, [0, 1, 2], gamma=-1)),
        (TypeError, lambda: losses.focal_loss(X, [0, 1, 2], 1, 0)),
        (TypeError, lambda: losses.focal_loss(X, [0, 1, 2], alpha="a")),
        (TypeError, lambda: losses.multiclass_hinge(X, [0, 1, 2], "a")),
        (ValueError, lambda: losses.negative_log_likelihood(X, [0, 1, 2], weights=[1.0, 2.0])),
        (ValueError, lambda: losses.margin_ranking_loss(X, X, 1, -1)),
        (ValueError, lambda: losses.margin_ranking_loss(X, X[:2], 1, 1)),
        (ValueError, lambda: losses.margin_ranking_loss(X, X, [1, 1], 1)),
        (ValueError, lambda: losses.margin_ranking_loss(X[None], X[None], 1, 1)),
        (TypeError, lambda: losses.margin_ranking_loss(X, X, 1, "a")),
    ],
)
def test_errors(error: type[Exception], call: Any) -> None:
    with pytest.raises(error):
        call()
