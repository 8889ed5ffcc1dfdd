"""Activations, losses and layers where numbers are hard: large scores, ties, float32, nothing at all."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg
from tapegrad.nnet import activations as act
from tapegrad.nnet import batchnorm, gru, losses
from tapegrad.ops.layers.crossentropy import crossentropy_p
from tapegrad.tape.array.application import apply

ACTIVATIONS: dict[str, Any] = {
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
LOSSES: dict[str, Any] = {
    "focal_loss": lambda x, y: losses.focal_loss(1 / (1 + np.exp(x)), y, alpha=0.7, gamma=1.5),
    "softmax_focal_loss": lambda x, y: losses.softmax_focal_loss(x, y, gamma=0.5),
    "multiclass_hinge": lambda x, y: losses.multiclass_hinge(x, y, 0.7),
    "negative_log_likelihood": losses.negative_log_likelihood,
    "softmax_crossentropy": losses.softmax_crossentropy,
    "margin_ranking_loss": lambda x, y: losses.margin_ranking_loss(x, x[::-1] * 0.3, 1, 0.1),
}


def slope(f: Any, x: Any, t: Any, h: float = 1e-5) -> Any:
    """Derivative in the direction `t` by central differences of fourth order."""
    near, far = (np.asarray(f(x + s * t)) - np.asarray(f(x - s * t)) for s in (h, 2 * h))
    return (8 * near - far) / (12 * h)


def gradient(f: Any, x: Any, g: Any) -> Any:
    """The gradient by ``backward``, which runs the passes over arrays."""
    leaf = tg.tensor(x)
    f(leaf).backward(g)
    return np.zeros_like(x) if leaf.grad is None else leaf.grad


# Large scores and ties ---------------------------------------------------------------------------


@st.composite
def scores(draw: Any) -> Any:
    """Rows of which some elements are equal, some far apart, all of them far from 0 or near it."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5))
    steps = st.sampled_from([0.0, 0.0, 0.125, 1.0, 3.0, 40.0, 1000.0])
    x = draw(hnp.arrays(float, shape, elements=steps))
    return x + draw(st.sampled_from([0.0, -19.0, -1e3, 2.0**17]))


@pytest.mark.parametrize("name", ["softmax", "logsoftmax"])
@given(x=scores(), seed=st.integers(0, 2**32 - 1))
def test_softmax_of_large_and_equal_scores(name: str, x: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    t, g, f = rng.uniform(-1, 1, x.shape), rng.uniform(-1, 1, x.shape), ACTIVATIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = np.sum(gradient(f, x, g) * t)
        pushed = tg.jvp(f, (x,), (t,))[1]
    wanted = slope(f, x, t, 1e-3)
    np.testing.assert_allclose(got, np.sum(wanted * g), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pushed, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["softmax_crossentropy", "softmax_focal_loss"])
@given(x=scores(), seed=st.integers(0, 2**32 - 1))
def test_losses_of_large_and_equal_scores(name: str, x: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, t = rng.integers(0, x.shape[1], len(x)), rng.uniform(-1, 1, x.shape)
    f = lambda x: np.sum(LOSSES[name](x, y))
    if name == "softmax_focal_loss" and x.shape[1] == 1:
        return  # certain: the limit of a power of nothing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = np.sum(gradient(f, x, None) * t)
    np.testing.assert_allclose(got, slope(f, x, t, 1e-3), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(got, np.sum(tg.grad(f)(x) * t), rtol=1e-9, atol=1e-12)


@given(x=scores(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_compiled_losses_of_large_and_equal_scores(x: Any, seed: int) -> None:
    y = np.random.default_rng(seed).integers(0, x.shape[1], len(x))
    value, grad = COMPILED(x, y)
    np.testing.assert_allclose(value, losses.softmax_crossentropy(x, y), rtol=1e-12, atol=1e-15)
    wanted = gradient(lambda x: losses.softmax_crossentropy(x, y), x, None)
    np.testing.assert_allclose(grad, wanted, rtol=1e-11, atol=1e-15)


COMPILED = tg.jit(tg.value_and_grad(losses.softmax_crossentropy))


def test_a_sure_prediction_keeps_its_digits() -> None:
    """The loss of a sure prediction is log(1 + what is left), however small that is."""
    for shift in (0.0, 18.0, 1000.0):
        for left in (1e-3, 1e-6):
            x = np.array([[0.0, np.log(left)]], np.float32) + np.float32(shift)
            exact = np.log1p(np.exp(float(x[0, 1]) - float(x[0, 0])))
            loss = float(losses.softmax_crossentropy(x, [0]))
            assert abs(loss - exact) <= 1.2e-7


def test_equal_wrong_classes_count_each() -> None:
    x = tg.tensor([[1.0, 1.0, 1.0]])
    losses.multiclass_hinge(x, [1]).backward()
    np.testing.assert_array_equal(x.grad, [[1.0, -2.0, 1.0]])


# Single precision --------------------------------------------------------------------------------


def away_from_kinks(shape: Any, seed: int) -> Any:
    x = np.random.default_rng(seed).uniform(-3, 3, shape).astype(np.float32)
    for kink in (0.0, -0.7, 1.3):
        x = np.where(np.abs(x - np.float32(kink)) < 0.02, x + np.float32(0.05), x)
    return x


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_activations_in_single_precision(name: str, shape: Any, seed: int) -> None:
    f, x = ACTIVATIONS[name], away_from_kinks(shape, seed)
    with np.errstate(all="ignore" if not x.size else "warn"):  # the logarithm of an empty sum
        out = f(x)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, f(x.astype(float)), rtol=2e-6, atol=2e-6)
        g = np.random.default_rng(seed).uniform(-1, 1, out.shape).astype(np.float32)
        got, wanted = gradient(f, x, g), gradient(f, x.astype(float), g.astype(float))
    assert got.dtype == np.float32 and got.shape == shape
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
@given(n=st.integers(1, 5), c=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_losses_in_single_precision(name: str, n: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.permutation(n * c).reshape(n, c) * 0.37 / c + 0.211).astype(np.float32)
    y = rng.integers(0, c, n)
    f = lambda x: np.sum(LOSSES[name](x, y))
    assert f(x).dtype == np.float32
    np.testing.assert_allclose(f(x), f(x.astype(float)), rtol=1e-5, atol=1e-6)
    got, wanted = gradient(f, x, None), gradient(f, x.astype(float), None)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-6)


@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=5),
    offset=st.sampled_from([0.0, 100.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_batchnorm_in_single_precision(shape: Any, offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) + offset).astype(np.float32)
    gamma, g = rng.normal(size=shape[1]).astype(np.float32), rng.normal(size=shape)
    f = lambda x: batchnorm(x, gamma=gamma.astype(x.dtype), eps=0.1)
    np.testing.assert_allclose(f(x), f(x.astype(float)), atol=1e-5)
    got, wanted = gradient(f, x, g), gradient(f, x.astype(float), g)
    np.testing.assert_allclose(got, wanted, atol=2e-5 * max(1, np.abs(wanted).max()))


def gru_weights(rng: Any, c: int, d: int) -> list[Any]:
    return [rng.uniform(-1, 1, s) for _ in range(3) for s in ((c, d), (d, d), (d,))]


@given(t=st.integers(0, 6), n=st.integers(0, 3), c=st.integers(0, 3), d=st.integers(0, 4),
       limit=st.none() | st.integers(1, 4), seed=st.integers(0, 2**32 - 1))  # fmt: skip
@settings(max_examples=40)
def test_gru_in_single_precision(
    t: int, n: int, c: int, d: int, limit: int | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    args = [rng.normal(size=(t, n, c)), *gru_weights(rng, c, d)]
    singles = [tg.tensor(a, dtype=np.float32) for a in args]
    doubles = [tg.tensor(single.data.astype(float)) for single in singles]
    g = rng.normal(size=(t + 1, n, d))
    for leaves in (singles, doubles):
        states = gru(*leaves, bp_lim=limit)
        assert states.dtype == leaves[0].dtype and states.shape == (t + 1, n, d)
        states.backward(g)
    for single, double in zip(singles, doubles):
        assert single.grad.dtype == np.float32
        np.testing.assert_allclose(single.grad, double.grad, rtol=1e-4, atol=2e-5)


# What the layers do with other operands ----------------------------------------------------------


def test_the_first_state_of_a_gru_has_its_gradient_where_it_is_traced() -> None:
    rng = np.random.default_rng(0)
    X, ps, s0 = rng.normal(size=(3, 2, 2)), gru_weights(rng, 2, 3), rng.normal(size=(2, 3))
    t, g = rng.normal(size=s0.shape), rng.normal(size=(4, 2, 3))
    f = lambda s: np.sum(gru(X, *ps, s) * g)
    np.testing.assert_allclose(np.sum(tg.grad(f)(s0) * t), slope(f, s0, t), rtol=1e-8)
    cut = tg.grad(lambda s: np.sum(gru(X, *ps, s, bp_lim=1)[2:]))(s0)
    np.testing.assert_array_equal(cut, 0.0)


def test_dropout_masks_take_part_in_the_gradients() -> None:
    rng = np.random.default_rng(0)
    X, ps = rng.normal(size=(3, 2, 2)), gru_weights(rng, 2, 3)

    def f(*args: Any) -> Any:
        tg.random.seed(5)
        return np.sum(np.sin(gru(*args, dropout=0.4)))

    leaves = [tg.tensor(a) for a in (X, *ps)]
    f(*leaves).backward()
    ts = [rng.normal(size=a.shape) for a in (X, *ps)]
    along = lambda s: f(*(a + s * t for a, t in zip((X, *ps), ts)))
    wanted = slope(along, 0.0, 1.0)
    np.testing.assert_allclose(sum(np.sum(a.grad * t) for a, t in zip(leaves, ts)), wanted, 1e-8)


def test_compiled_layers_give_what_eager_ones_give() -> None:
    rng = np.random.default_rng(0)
    X, ps = rng.normal(size=(5, 2, 2)), gru_weights(rng, 2, 3)
    x, gamma = rng.normal(size=(4, 3, 5)), rng.normal(size=3)
    for f, args in (
        (lambda X, *ps: np.sum(np.sin(gru(X, *ps))), (X, *ps)),
        (lambda X, *ps: np.sum(np.sin(gru(X, *ps, bp_lim=2))), (X, *ps)),
        (lambda x, a: np.sum(np.sin(batchnorm(x, gamma=a, beta=a, eps=1e-3))), (x, gamma)),
    ):
        everything = tuple(range(len(args)))
        compiled = tg.jit(tg.grad(f, everything), strict=True)
        for scale in (1.0, 0.5):
            scaled = [a * scale for a in args]
            for got, wanted in zip(compiled(*scaled), tg.grad(f, everything)(*scaled)):
                np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-13)


def test_layers_of_constants_lists_and_integers() -> None:
    y = batchnorm([[1, 2], [3, 6]], eps=0)
    assert y.constant and y.dtype == float
    np.testing.assert_array_equal(y, [[-1, -1], [1, 1]])
    x = np.ones((2, 1), np.float32)
    assert batchnorm(x, gamma=np.ones(1), eps=1).dtype == float
    assert not batchnorm(x, eps=1, constant=False).constant
    assert batchnorm(tg.tensor(x), eps=1, constant=True).constant
    beta = tg.tensor([1.0])
    batchnorm(x, beta=beta, eps=1).backward()
    np.testing.assert_array_equal(beta.grad, [2.0])


def test_an_empty_batch_has_an_empty_gradient() -> None:
    for name, f in LOSSES.items():
        x = tg.tensor(np.ones((0, 3)))
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
            f(x, np.zeros(0, int)).backward()
        assert x.grad.shape == (0, 3), name
    for shape in ((0, 3), (0, 3, 2), (2, 3, 0)):
        x, gamma = tg.tensor(np.ones(shape)), tg.tensor(np.ones(3))
        batchnorm(x, gamma=gamma, eps=0.1).backward()
        assert x.grad.shape == shape
        np.testing.assert_array_equal(gamma.grad, 0.0)


def test_nan_scores_stay_in_their_row() -> None:
    x = tg.tensor([[0.0, 1.0], [np.nan, 0.0]])
    apply(crossentropy_p, (x, np.array([0, 0]))).backward(np.ones(2))
    np.testing.assert_array_equal(np.isnan(x.grad), [[False, False], [True, True]])


def test_arrays_are_free_after_the_backward_pass() -> None:
    scores, labels = np.ones((2, 3)), np.array([0, 1])
    loss = losses.softmax_crossentropy(tg.tensor(scores, copy=False), labels)
    for array in (scores, labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    loss.backward()
    scores[0], labels[0] = 5.0, 2


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: batchnorm(x, eps=0.1),
        lambda x: losses.softmax_crossentropy(x, [0, 1, 1]),
        lambda x: gru(x[None], *[np.ones(s) * 0.1 for s in ((2, 2), (2, 2), (2,))] * 3),
    ],
)
def test_a_later_write_does_not_change_the_gradient(layer: Any) -> None:
    values = np.array([[1.0, 2.0], [4.0, 0.0], [3.0, 5.0]])
    x = tg.tensor(values)
    between = x * 1.0
    result = layer(between)
    between[...] = 0.0
    result.backward()
    np.testing.assert_array_equal(x.grad, gradient(layer, values, None))


# Elementary functions and statistics -------------------------------------------------------------


def slopes(f: Any, *args: Any) -> list[list[float]]:
    """The gradients by ``backward`` and by a compiled function."""
    leaves = [tg.tensor(a) for a in args]
    f(*leaves).backward()
    compiled = tg.jit(tg.grad(f, tuple(range(len(args)))), strict=True)
    for _ in range(4):
        last = compiled(*args)
    for leaf, slope in zip(leaves, last):
        assert leaf.grad.dtype == slope.dtype == leaf.dtype
    return [[float(leaf.grad) for leaf in leaves], [float(slope) for slope in last]]


@pytest.mark.parametrize(
    ("f", "args", "wanted"),
    [
        (np.logaddexp, (1e17, 1e17), (0.5, 0.5)),
        (np.logaddexp, (1e5, 1e5 - 40), (1.0, np.exp(-40.0))),
        (np.logaddexp, (np.float32(2e7), np.float32(2e7)), (0.5, 0.5)),
        (np.logaddexp, (np.float16(1000), np.float16(999)), (0.7311, 0.2689)),
        (np.logaddexp, (-np.inf, -np.inf), (0.5, 0.5)),
        (np.logaddexp, (np.inf, np.inf), (0.5, 0.5)),
        (np.logaddexp, (np.inf, 1.0), (1.0, 0.0)),
        (np.logaddexp, (-np.inf, 1.0), (0.0, 1.0)),
        (np.logaddexp2, (1e17, 1e17), (0.5, 0.5)),
        (np.logaddexp2, (1e5, 1e5 - 40), (1.0, 2.0**-40)),
        (np.arctan2, (1e200, 1e200), (5e-201, -5e-201)),
        (np.arctan2, (1e-200, 1e-200), (5e199, -5e199)),
        (np.arctan2, (np.float16(300), np.float16(300)), (1 / 600, -1 / 600)),
        (np.arccosh, (1e200,), (1e-200,)),
        (np.arccosh, (np.float16(300),), (1 / 300,)),
        (np.power, (0.0, 0.0), (0.0, 0.0)),
        (np.hypot, (1e300, 1e300), (np.sqrt(0.5), np.sqrt(0.5))),
    ],
)
def test_slopes_at_hard_places(f: Any, args: Any, wanted: Any) -> None:
    args = tuple(np.asarray(a) for a in args)
    with np.errstate(invalid="ignore"):
        for got in slopes(f, *args):
            np.testing.assert_allclose(got, wanted, rtol=5e-3 if args[0].dtype == "e" else 1e-12)


def test_the_curvature_of_logaddexp_counts_where_both_are_large_and_equal() -> None:
    for x in (0.0, 1e5, 1e17):
        assert float(tg.grad(tg.grad(lambda v, x=x: np.logaddexp(v, x)))(x)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "x", [np.full(3, 0.1), np.full(3, 1e8 + 0.1), np.full((2, 3), 0.1), np.array([1, 1 + 2.0**-52])]
)
def test_rounding_of_the_mean_is_not_taken_for_a_spread(x: Any) -> None:
    """The mean of equal numbers may differ from them, so that their std is not 0."""
    f = lambda x: np.sum(np.std(x, axis=-1))
    compiled = tg.jit(tg.grad(f), strict=True)
    for got in (gradient(f, x, None), tg.grad(f)(x), *(compiled(x) for _ in range(4))):
        assert abs(np.sum(got)) < 1e-12
        if np.ptp(x) == 0:
            np.testing.assert_allclose(got, 0.0, atol=1e-12)
