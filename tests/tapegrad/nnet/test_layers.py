"""Layers: documented values, gradients for drawn shapes, hard places, errors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.nnet import batchnorm, conv_nd, gru, max_pool, sliding_window_view
from tapegrad.nnet.layers import utils


def check_gradients(f: Any, *args: Any, seed: int = 0, rtol: float = 1e-5) -> None:
    """Compare forward and reverse mode with central differences along a random direction."""
    rng = np.random.default_rng(seed)
    ts = [rng.uniform(-1, 1, a.shape) for a in args]
    h = 1e-5
    out, tangent = tg.jvp(f, args, ts)
    g = rng.uniform(-1, 1, out.shape)

    def along(s: float) -> Any:
        return np.sum(g * np.asarray(f(*(a + s * t for a, t in zip(args, ts)))))

    slope = (along(h) - along(-h)) / (2 * h)
    scale = 1 + abs(slope)
    assert abs(np.sum(g * tangent) - slope) < rtol * scale
    leaves = [tg.tensor(a) for a in args]
    f(*leaves).backward(g)
    pulled = sum(np.sum(leaf.grad * t) for leaf, t in zip(leaves, ts) if leaf.grad is not None)
    assert abs(pulled - slope) < rtol * scale


# conv_nd -----------------------------------------------------------------------------------------


@st.composite
def convolutions(draw: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Shapes of data and filters, and parameters that tile."""
    ndim = draw(st.integers(1, 3))
    n, c, f = (draw(st.integers(1, 3)) for _ in range(3))
    size, window, stride, padding, dilation = [], [], [], [], []
    for _ in range(ndim):
        w, s, d = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        total = (draw(st.integers(1, 3)) - 1) * s + d * (w - 1) + 1
        p = draw(st.integers(0, min(2, (total - 1) // 2)))
        size.append(total - 2 * p)
        for values, v in ((window, w), (stride, s), (padding, p), (dilation, d)):
            values.append(v)
    how = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation)}
    return (n, c, *size), (f, c, *window), how


def slowly(x: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """Convolve by the definition."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    windows = sliding_window_view(x, w.shape[2:], stride, dilation)
    k = w.ndim - 2
    out = np.tensordot(windows, w, ([k + 1, *range(k + 2, windows.ndim)], range(1, w.ndim)))
    return np.moveaxis(out, (-2, -1), (0, 1))


@given(convolutions(), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=60)
def test_convolution_and_its_gradients_for_any_shape(drawn: Any, seed: int, dtype: Any) -> None:
    x_shape, w_shape, how = drawn
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-1, 1, x_shape), rng.uniform(-1, 1, w_shape)
    out = conv_nd(x.astype(dtype), w.astype(dtype), **how)
    assert out.dtype == dtype
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(out, slowly(x, w, **how), rtol=tolerance, atol=tolerance)
    check_gradients(lambda x, w: conv_nd(x, w, **how), x, w, seed=seed)


@given(convolutions(), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_convolution_to_second_order_batched_and_compiled(drawn: Any, seed: int) -> None:
    x_shape, w_shape, how = drawn
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-1, 1, (3, *x_shape)), rng.uniform(-1, 1, (3, *w_shape))

    def loss(x: Any, w: Any) -> Any:
        return np.sum(np.sin(conv_nd(x, w, **how)))

    def penalty(x: Any, w: Any) -> Any:
        return np.sum(np.square(tg.grad(loss)(x, w)))

    check_gradients(penalty, x[0], w[0], seed=seed, rtol=1e-4)
    for axes in ((0, 0), (0, None), (None, 0)):
        given_ = [a if axis == 0 else a[0] for a, axis in zip((x, w), axes)]
        got = tg.vmap(tg.grad(loss, (0, 1)), in_axes=axes)(*given_)
        for k in range(3):
            wanted = tg.grad(loss, (0, 1))(
                *(a if i is None else a[k] for a, i in zip(given_, axes))
            )
            for part, other in zip(got, wanted):
                np.testing.assert_allclose(part[k], other, rtol=1e-9, atol=1e-12)
    compiled = tg.jit(tg.grad(loss, (0, 1)))
    for k in range(2):
        for part, other in zip(compiled(x[k], w[k]), tg.grad(loss, (0, 1))(x[k], w[k])):
            np.testing.assert_allclose(part, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("shape", [(9, 3, 32, 32), (5, 20, 16, 16)])
def test_convolution_of_several_parts_of_a_batch(shape: Any, k: int) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=(40, shape[1], k, k))
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    np.testing.assert_allclose(conv_nd(x, w, **how), slowly(x, w, **how), rtol=1e-9, atol=1e-9)
    check_gradients(lambda x, w: conv_nd(x, w, stride=1, padding=1), x, w)


def test_documented_convolution() -> None:
    x = tg.zeros((1, 1, 16))
    x[..., 5:11] = 1
    k = tg.ones((1, 1, 5))
    out = conv_nd(x, k, stride=1)
    np.testing.assert_array_equal(out, [[[0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0]]][0:1])
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, [[[1, 2, 3, 4, *[5] * 8, 4, 3, 2, 1]]])
    np.testing.assert_array_equal(k.grad, [[[6, 6, 6, 6, 6]]])
    assert x.grad.dtype == k.grad.dtype == np.float32
    data, bank = np.ones((1, 1, 10, 12, 10)), np.ones((2, 1, 3, 1, 2))
    assert conv_nd(data, bank, stride=1).shape == (1, 2, 8, 12, 9)


def test_integers_convolve_to_constants() -> None:
    out = conv_nd(np.arange(5).reshape(1, 1, 5), np.ones((1, 1, 2), int), stride=1)
    assert out.constant and out.dtype.kind == "i"
    np.testing.assert_array_equal(out, [[[1, 3, 5, 7]]])


X, W = np.zeros((2, 3, 8)), np.zeros((4, 3, 3))


@pytest.mark.parametrize(
    ("text", "x", "w", "how"),
    [
        ("tile", X, W, {"stride": 2}),
        ("does not fit", X, np.zeros((4, 3, 9)), {"stride": 1}),
        ("does not fit", X, W, {"stride": 1, "dilation": 4}),
        ("channels", X, np.zeros((4, 2, 3)), {"stride": 1}),
        ("three axes", X[0], W, {"stride": 1}),
        ("as many axes", X, W[..., None], {"stride": 1}),
        ("positive", X, W, {"stride": 0}),
        ("positive", X, W, {"stride": (-1,)}),
        ("non-negative", X, W, {"stride": 1, "padding": -1}),
        ("positive", X, W, {"stride": 1, "dilation": 0}),
        ("1 numbers", X, W, {"stride": (1, 1)}),
        ("at least one element", X, np.zeros((4, 3, 0)), {"stride": 1}),
    ],
)
def test_convolutions_that_make_no_sense(text: str, x: Any, w: Any, how: Any) -> None:
    with pytest.raises(ValueError, match=text):
        conv_nd(x, w, **how)


def test_the_stride_of_a_convolution_must_be_given_by_name() -> None:
    with pytest.raises(TypeError, match="stride"):
        conv_nd(X, W)
    with pytest.raises(TypeError):
        conv_nd(X, W, 1)
    with pytest.raises(TypeError, match="stride"):
        conv_nd(X, W, stride=1.5)


# max_pool ----------------------------------------------------------------------------------------


@given(
    lead=st.lists(st.integers(1, 3), max_size=2),
    axes=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3
    ),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_pooling_and_its_gradients_for_any_shape(lead: Any, axes: Any, seed: int) -> None:
    pool, stride = tuple(a[0] for a in axes), tuple(a[1] for a in axes)
    size = tuple((count - 1) * s + p for p, s, count in axes)
    rng = np.random.default_rng(seed)
    x = rng.permutation(int(np.prod((*lead, *size)))).reshape(*lead, *size) * 0.1
    windows = sliding_window_view(x, pool, stride)
    wanted = np.max(windows, axis=tuple(range(-len(pool), 0)))
    k = len(pool)
    wanted = np.moveaxis(wanted, range(k), range(wanted.ndim - k, wanted.ndim))
    np.testing.assert_array_equal(max_pool(x, pool, stride), wanted)
    check_gradients(lambda x: max_pool(x, pool, stride), x, seed=seed)
    single = tg.tensor(x, dtype=np.float32)
    max_pool(single, pool, stride).backward()
    assert single.grad.dtype == np.float32


def test_pooling_works_compiled_batched_and_to_second_order() -> None:
    x = np.random.default_rng(0).permutation(96).reshape(3, 2, 4, 4) * 0.1

    def loss(x: Any) -> Any:
        return np.sum(np.sin(max_pool(x, (2, 2), 2)))

    grads = np.stack([tg.grad(loss)(a) for a in x])
    np.testing.assert_allclose(tg.vmap(tg.grad(loss))(x), grads)
    compiled = tg.jit(tg.grad(loss))
    for a, wanted in zip(x, grads):
        np.testing.assert_allclose(compiled(a), wanted, rtol=1e-12)
    check_gradients(lambda x: tg.grad(loss)(x), x[0])


def test_of_equal_maxima_the_first_gets_the_gradient_and_nan_wins() -> None:
    x = tg.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, np.nan], [0.0, np.nan, 0.0]])
    out = max_pool(x, (2, 2), 1)
    np.testing.assert_array_equal(out, [[1, np.nan], [np.nan, np.nan]])
    out.backward()
    np.testing.assert_array_equal(x.grad, [[1, 0, 0], [0, 0, 2], [0, 1, 0]])


def test_a_large_window_and_infinities() -> None:
    x = np.random.default_rng(0).permutation(400).reshape(20, 20) * 1.0
    leaf = tg.tensor(x)
    max_pool(leaf, (20, 20), 1).backward()
    np.testing.assert_array_equal(leaf.grad, x == x.max())
    low = tg.tensor([-np.inf, -np.inf])
    max_pool(low, (2,), 1).backward()
    np.testing.assert_array_equal(low.grad, [1, 0])


@pytest.mark.parametrize(
    ("error", "pool", "stride"),
    [
        (ValueError, (3,), 2), (ValueError, (9,), 1), (ValueError, (2,), 0), (ValueError, (0,), 1),
        (ValueError, (2, 2, 2), 1), (ValueError, (), 1), (ValueError, (2,), (1, 1)),
        (TypeError, 2, 1), (TypeError, (2.0,), 1), (TypeError, (2,), "a"),
    ],
)  # fmt: skip
def test_pools_that_make_no_sense(error: type[Exception], pool: Any, stride: Any) -> None:
    with pytest.raises(error, match="max_pool"):
        max_pool(np.zeros((4, 8)), pool, stride)


# batchnorm ---------------------------------------------------------------------------------------


@given(
    shape=st.lists(st.integers(2, 4), min_size=2, max_size=5),
    affine=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_batchnorm_and_its_gradients(shape: Any, affine: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, gamma, beta = rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[1])
    axes = (0, *range(2, len(shape)))
    wide = (1, shape[1], *(1,) * (len(shape) - 2))
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-2)
    if not affine:
        np.testing.assert_allclose(batchnorm(x, eps=1e-2), y, rtol=1e-9, atol=1e-12)
        check_gradients(lambda x: batchnorm(x, eps=1e-2), x, seed=seed)
        return
    y = y * gamma.reshape(wide) + beta.reshape(wide)
    out = batchnorm(x, gamma=gamma, beta=beta, eps=1e-2)
    np.testing.assert_allclose(out, y, rtol=1e-9, atol=1e-12)
    check_gradients(
        lambda x, g, b: batchnorm(x, gamma=g, beta=b, eps=1e-2), x, gamma, beta, seed=seed
    )


def test_batchnorm_compiled_and_to_second_order() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 2))

    def loss(x: Any) -> Any:
        return np.sum(np.sin(3 * batchnorm(x, eps=1e-3)))

    np.testing.assert_allclose(tg.jit(tg.grad(loss))(x), tg.grad(loss)(x), rtol=1e-9, atol=1e-10)
    check_gradients(tg.grad(loss), x, rtol=1e-4)


def test_batchnorm_keeps_float32_and_checks_its_arguments() -> None:
    x = np.ones((3, 2), np.float32)
    assert batchnorm(x, eps=np.float64(1e-3)).dtype == np.float32
    np.testing.assert_array_equal(batchnorm(x, eps=1e-3), np.zeros((3, 2)))
    for text, call in (
        ("shape", lambda: batchnorm(np.ones(3), eps=0.1)),
        ("gamma", lambda: batchnorm(x, gamma=np.ones(3), eps=0.1)),
        ("beta", lambda: batchnorm(x, beta=1.0, eps=0.1)),
        ("eps", lambda: batchnorm(x, eps=-1.0)),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(TypeError, match="eps"):
        batchnorm(x)
    with pytest.raises(TypeError, match="eps"):
        batchnorm(x, eps="a")


# gru ---------------------------------------------------------------------------------------------


def weights(rng: Any, c: int, d: int) -> list[Any]:
    return [rng.uniform(-1, 1, s) for _ in range(3) for s in ((c, d), (d, d), (d,))]


def by_hand(X: Any, s: Any, ps: Any) -> Any:
    Uz, Wz, bz, Ur, Wr, br, Uh, Wh, bh = ps
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    out = [s]
    for x in X:
        z, r = sigmoid(x @ Uz + s @ Wz + bz), sigmoid(x @ Ur + s @ Wr + br)
        h = np.tanh(x @ Uh + (r * s) @ Wh + bh)
        s = (1 - z) * h + z * s
        out.append(s)
    return np.stack(out)


@given(t=st.integers(1, 4), n=st.integers(1, 3), c=st.integers(1, 3), d=st.integers(1, 3),
       seed=st.integers(0, 2**32 - 1))  # fmt: skip
@settings(max_examples=30)
def test_gru_and_its_gradients(t: int, n: int, c: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, s0, ps = rng.normal(size=(t, n, c)), rng.normal(size=(n, d)), weights(rng, c, d)
    np.testing.assert_allclose(gru(X, *ps), by_hand(X, np.zeros((n, d)), ps), rtol=1e-9)
    np.testing.assert_allclose(gru(X, *ps, s0), by_hand(X, s0, ps), rtol=1e-9)
    check_gradients(lambda X, *ps: gru(X, *ps, s0), X, *ps, seed=seed)


def test_gru_compiled_batched_and_to_second_order() -> None:
    rng = np.random.default_rng(0)
    X, ps = rng.normal(size=(2, 3, 2, 2)), weights(rng, 2, 3)

    def loss(X: Any, *ps: Any) -> Any:
        return np.sum(np.square(gru(X, *ps)))

    grads = np.stack([tg.grad(loss)(x, *ps) for x in X])
    np.testing.assert_allclose(tg.jit(tg.grad(loss))(X[0], *ps), grads[0], rtol=1e-9)
    batched = tg.vmap(tg.grad(loss), in_axes=(0, *(None,) * 9))(X, *ps)
    np.testing.assert_allclose(batched, grads, rtol=1e-9)
    check_gradients(lambda X: tg.grad(loss)(X, *ps), X[0], rtol=1e-4)


def test_gru_propagates_no_further_than_asked() -> None:
    rng = np.random.default_rng(0)
    ps = weights(rng, 2, 3)
    values = rng.normal(size=(6, 2, 2))
    full = gru(values, *ps).data
    for limit in (1, 2, 5, 6, 100):
        X = tg.tensor(values)
        out = gru(X, *ps, bp_lim=limit)
        np.testing.assert_allclose(out, full, rtol=1e-12)
        out[-1].sum().backward()
        reached = [bool(np.any(g)) for g in X.grad]
        assert reached == [6 - t <= limit for t in range(1, 7)], limit


def test_gru_drops_weights_and_inputs_with_masks_that_stay() -> None:
    rng = np.random.default_rng(0)
    X, ps = np.repeat(rng.normal(size=(1, 4, 3)), 3, axis=0), weights(rng, 3, 200)
    ps[1], ps[4], ps[7] = (np.zeros((200, 200)),) * 3  # no recurrence: only the masks on X U
    tg.random.seed(0)
    h = gru(X, *ps, dropout=0.4).data
    tg.random.seed(0)
    np.testing.assert_array_equal(gru(X, *ps, dropout=0.4), h)
    tg.random.seed(1)
    assert (gru(X, *ps, dropout=0.4).data != h).any()
    # The update gate and the candidate are the same at all steps, so the state decays to one point.
    z = (h[2:] - h[1:-1])[1] / (h[2:] - h[1:-1])[0]
    kept = np.abs(z - 1 / (1 + np.exp(-(ps[2])))) > 1e-6
    assert 0.5 < kept.mean() < 0.7
    x = tg.tensor(X)
    gru(x, *ps, dropout=0.4).backward()
    assert np.isfinite(x.grad).all()


def test_gru_of_mixed_precision_constants_and_positional_flags() -> None:
    rng = np.random.default_rng(0)
    X, ps = rng.normal(size=(2, 2, 2)), weights(rng, 2, 2)
    single = [p.astype(np.float32) for p in ps]
    assert gru(X.astype(np.float32), *single).dtype == np.float32
    assert gru(X, *single).dtype == np.float64
    assert gru(X, *ps).constant
    leaves = [tg.tensor(p) for p in ps]
    assert not gru(X, *leaves).constant
    assert gru(X, *leaves, None, None, 0.0, True).constant
    assert gru(np.ones((2, 2, 2), int), *ps).shape == (3, 2, 2)


def test_gru_checks_its_arguments() -> None:
    rng = np.random.default_rng(0)
    X, ps = rng.normal(size=(2, 2, 2)), weights(rng, 2, 3)
    for text, call in (
        ("`X`", lambda: gru(X[0], *ps)),
        ("`Wr`", lambda: gru(X, *ps[:4], np.zeros((2, 3)), *ps[5:])),
        ("`Uz`", lambda: gru(X, np.zeros((3, 3)), *ps[1:])),
        ("`s0`", lambda: gru(X, *ps, np.zeros((2, 2)))),
        ("constant", lambda: gru(X, *ps, tg.zeros((2, 3)))),
        ("dropout", lambda: gru(X, *ps, dropout=1.0)),
        ("dropout", lambda: gru(X, *ps, dropout=-0.1)),
        ("bp_lim", lambda: gru(X, *ps, bp_lim=0)),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(TypeError, match="bp_lim"):
        gru(X, *ps, bp_lim=1.5)


# Windows -----------------------------------------------------------------------------------------


def test_windows_are_the_documented_slices() -> None:
    x = np.arange(10 * 12 * 6).reshape(10, 12, 6)
    y = sliding_window_view(x, (3, 3), (2, 2), (2, 1))
    assert y.shape == (4, 2, 10, 3, 3)
    for i, j in np.ndindex(4, 2):
        np.testing.assert_array_equal(
            y[i, j], x[:, 2 * i : 2 * i + 6 : 2, 2 * j : 2 * j + 3][:, :3]
        )
    assert np.shares_memory(x, y) and not y.flags.writeable
    assert tg.sliding_window_view is utils.sliding_window_view
    turned = x.transpose(2, 0, 1)
    np.testing.assert_array_equal(sliding_window_view(turned, (2,), 1)[3], turned[..., 3:5])
    assert sliding_window_view(tg.arange(4.0), (2,), 2).shape == (2, 2)


@pytest.mark.parametrize(
    ("error", "window", "step", "dilation"),
    [
        (ValueError, (3, 2), 0, None), (ValueError, (3, 2), -1, None), (ValueError, (7, 2), 1, None),
        (ValueError, (3, 2, 1), 1, None), (ValueError, (3, 2), (1,), None),
        (TypeError, (3, 0), 1, None), (TypeError, 3, 1, None), (TypeError, (3.0, 2), 1, None),
        (TypeError, (3, 2), 1.0, None), (ValueError, (3, 2), 1, 0), (ValueError, (3, 2), 1, (1,)),
        (ValueError, (3, 2), 1, 4), (TypeError, (3, 2), 1, 1.5),
    ],
)  # fmt: skip
def test_windows_that_make_no_sense(
    error: type[Exception], window: Any, step: Any, dilation: Any
) -> None:
    with pytest.raises(error):
        sliding_window_view(np.arange(36).reshape(6, 6), window, step, dilation)


# A network ---------------------------------------------------------------------------------------


def test_a_convolutional_network_trains_compiled() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 16)
    x = rng.normal(size=(16, 1, 6, 6)).astype(np.float32) + labels[:, None, None, None]
    filters = rng.normal(size=(4, 1, 3, 3)).astype(np.float32)
    dense = rng.normal(size=(16, 2)).astype(np.float32) * 0.1

    def loss(params: Any, x: Any, labels: Any) -> Any:
        h = tg.nnet.relu(batchnorm(conv_nd(x, params[0], stride=1), eps=1e-5))
        h = max_pool(h, (2, 2), 2)
        return tg.nnet.softmax_crossentropy(np.reshape(h, (16, 16)) @ params[1], labels)

    step = tg.jit(tg.value_and_grad(loss))
    params = [filters, dense]
    first, _ = step(params, x, labels)
    for _ in range(30):
        last, grads = step(params, x, labels)
        params = [p - 0.3 * g for p, g in zip(params, grads)]
        assert grads[0].dtype == np.float32
    assert last < 0.5 * first
