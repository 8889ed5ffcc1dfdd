"""Sixteen workloads of numerical programs: elementwise, reductions, products, loops, whole steps."""

from typing import Any

import numpy as np


def chain(x: Any) -> Any:
    """Sum a chain of elementwise operations."""
    return np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))


def chain_data(n: int, dtype: str = "float64") -> tuple[Any, ...]:
    """Return numbers around zero."""
    return (np.random.default_rng(0).normal(size=n).astype(dtype),)


def rosenbrock(x: Any) -> Any:
    """Evaluate Rosenbrock's function of many variables: slices that overlap."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


#: Coefficients of Abramowitz and Stegun's 26.2.17, highest power first.
NORMAL_TAIL = (1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530)


def normal_distribution(x: Any) -> Any:
    """Return the probability that a standard normal number is below `x`, to seven digits."""
    k = 1 / (1 + 0.2316419 * np.abs(x))
    series = 0.0
    for coefficient in NORMAL_TAIL:
        series = k * (coefficient + series)
    above = 1 - 0.3989422804014327 * np.exp(-0.5 * x * x) * series
    return np.where(x > 0, above, 1 - above)


def black_scholes(spot: Any, strike: Any, years: Any, rate: Any, volatility: Any) -> Any:
    """Return the sum of the prices of call options; its gradient is what traders call the greeks."""
    spread = volatility * np.sqrt(years)
    upper = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
    paid = strike * np.exp(-rate * years) * normal_distribution(upper - spread)
    return np.sum(spot * normal_distribution(upper) - paid)


def black_scholes_data(n: int) -> tuple[Any, ...]:
    """Return `n` options: spot, strike, years, rate, volatility."""
    rng = np.random.default_rng(0)
    bounds = [(20, 200), (20, 200), (0.1, 3), (0.01, 0.05), (0.1, 0.6)]
    return tuple(rng.uniform(low, high, n) for low, high in bounds)


def logistic(w: Any, features: Any, labels: Any) -> Any:
    """Return the regularised loss of logistic regression with labels of -1 and 1."""
    return np.mean(np.log1p(np.exp(-labels * (features @ w)))) + 1e-3 * np.sum(w * w)


def logistic_data(n: int, k: int) -> tuple[Any, ...]:
    """Return weights, features and labels."""
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(n) > 0.5, 1.0, -1.0)
    return rng.normal(size=k), rng.normal(size=(n, k)), labels


def mlp(parameters: Any, images: Any, classes: Any) -> Any:
    """Return the mean cross-entropy of a network of two dense layers."""
    w, b, v, c = parameters
    scores = np.maximum(images @ w + b, 0) @ v + c
    scores = scores - np.max(scores, axis=1, keepdims=True)
    logs = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
    return -np.mean(np.sum(classes * logs, axis=1))


def mlp_data(batch: int, pixels: int = 784, hidden: int = 128) -> tuple[Any, ...]:
    """Return parameters, images and classes in float32."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return (rng.normal(size=shape) * 0.1).astype(np.float32)

    parameters = [normal(pixels, hidden), normal(hidden), normal(hidden, 10), normal(10)]
    return (
        parameters,
        normal(batch, pixels),
        np.eye(10, dtype=np.float32)[rng.integers(0, 10, batch)],
    )


def log_sum_exp(z: Any, axis: int) -> Any:
    """Return the logarithm of the sum of exponentials, without overflow."""
    top = np.max(z, axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.sum(np.exp(z - top), axis=axis))


def mixture(alphas: Any, means: Any, scales: Any, lower: Any, points: Any) -> Any:
    """Return the log-likelihood of a mixture of Gaussians, without its constant.

    The inverse of each covariance is L @ L.T; `scales` are the logarithms of the diagonal of L, and
    `lower` is what stands below it.
    """
    centred = points[:, None, :] - means[None]
    turned = np.exp(scales)[None] * centred + np.einsum("kij,nkj->nki", lower, centred)
    logs = alphas[None] + np.sum(scales, axis=1)[None] - 0.5 * np.sum(turned * turned, axis=2)
    return np.sum(log_sum_exp(logs, 1)) - points.shape[0] * log_sum_exp(alphas, 0)


def mixture_data(n: int, d: int, k: int) -> tuple[Any, ...]:
    """Return `k` components in `d` dimensions, and `n` points."""
    rng = np.random.default_rng(0)
    points, alphas = rng.normal(size=(n, d)), rng.normal(size=k)
    means, scales = rng.normal(size=(k, d)), rng.normal(size=(k, d))
    return alphas, means, scales, np.tril(0.1 * rng.normal(size=(k, d, d)), -1), points


def pairwise(points: Any) -> Any:
    """Return the energy of all pairs of points."""
    apart = points[:, None, :] - points[None]
    square = np.sum(apart * apart, axis=2) + 0.1
    return np.sum(1 / square**3 - 1 / square)


def pairwise_data(n: int) -> tuple[Any, ...]:
    """Return points in space."""
    return (3 * np.random.default_rng(0).normal(size=(n, 3)),)


def rnn(w: Any, u: Any, inputs: Any) -> Any:
    """Run a recurrent network, step by step."""
    state = np.zeros(inputs.shape[1:])
    for t in range(inputs.shape[0]):
        state = np.tanh(inputs[t] @ w + state @ u)
    return np.sum(state * state)


def rnn_data(steps: int, batch: int, units: int) -> tuple[Any, ...]:
    """Return two matrices and a sequence."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(steps, batch, units))
    return 0.2 * rng.normal(size=(units, units)), 0.2 * rng.normal(size=(units, units)), inputs


def jacobi_2d(a: Any, steps: int = 100) -> Any:
    """Average each point of a grid with its neighbours, in place, many times over."""
    a = a * 1.0
    for _ in range(steps):
        a[1:-1, 1:-1] = 0.2 * (
            a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        )
    return np.sum(a * a)


def jacobi_2d_data(n: int) -> tuple[Any, ...]:
    """Return a square grid."""
    return (np.random.default_rng(0).normal(size=(n, n)),)


def attention(queries: Any, keys: Any, values: Any) -> Any:
    """Return the sum of squares of what several heads attend to."""
    scale = np.float32(queries.shape[-1] ** -0.5)
    scores = np.matmul(queries, np.swapaxes(keys, -1, -2)) * scale
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = weights / np.sum(weights, axis=-1, keepdims=True)
    return np.sum(np.matmul(weights, values) ** 2)


def attention_data(batch: int, heads: int, length: int, width: int) -> tuple[Any, ...]:
    """Return queries, keys and values in float32."""
    rng = np.random.default_rng(0)
    shape = batch, heads, length, width
    return tuple(rng.normal(size=shape).astype(np.float32) for _ in range(3))


def layer_norm(x: Any, gain: Any, bias: Any) -> Any:
    """Normalise rows, then squash and sum them."""
    mean = np.mean(x, axis=1, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=1, keepdims=True)
    return np.sum(np.tanh((x - mean) / np.sqrt(variance + np.float32(1e-5)) * gain + bias))


def layer_norm_data(n: int, k: int) -> tuple[Any, ...]:
    """Return rows, gain and bias in float32."""
    x = np.random.default_rng(0).normal(size=(n, k)).astype(np.float32)
    return x, np.ones(k, np.float32), np.zeros(k, np.float32)


def clip_and_adam(parameters: Any, gradients: Any, first: Any, second: Any, step: Any) -> Any:
    """Clip gradients by the norm of all of them, and do one step of Adam; nothing is differentiated."""
    norm = np.sqrt(sum(np.sum(g * g) for g in gradients))
    scale = np.minimum(1.0, 1.0 / (norm + 1e-6))
    single = np.float32
    results: tuple[Any, ...] = [], [], []
    for p, g, m, v in zip(parameters, gradients, first, second):
        g = g * scale
        m = single(0.9) * m + single(0.1) * g
        v = single(0.999) * v + single(0.001) * g * g
        towards = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + single(1e-8))
        for kept, value in zip(results, (p - single(1e-3) * towards, m, v)):
            kept.append(value)
    return results


def clip_and_adam_data(count: int, rows: int = 64, columns: int = 256) -> tuple[Any, ...]:
    """Return four lists of arrays in float32, and the number of the step."""
    rng = np.random.default_rng(0)
    lists = [
        [rng.normal(size=(rows, columns)).astype(np.float32) for _ in range(count)]
        for _ in range(4)
    ]
    return *lists[:3], [v * v for v in lists[3]], 10.0


def coupled(x: Any) -> Any:
    """Couple neighbours and, by a product, everything: the hessian has no zeros."""
    pairs = np.tanh(x[1:] * x[:-1]) * np.exp(-(x[1:] ** 2))
    return np.sum(pairs) + np.prod(np.cos(0.01 * x))
