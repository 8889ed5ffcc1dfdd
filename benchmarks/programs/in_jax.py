"""What JAX needs to be told in another way: writes without writing, and loops as one operation."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def rnn(w: Any, u: Any, inputs: Any) -> Any:
    """See `workloads.rnn`."""

    def step(state: Any, x: Any) -> Any:
        return jnp.tanh(x @ w + state @ u), None

    state, _ = lax.scan(step, jnp.zeros(inputs.shape[1:]), inputs)
    return jnp.sum(state * state)


def jacobi_2d(a: Any, steps: int = 100) -> Any:
    """See `workloads.jacobi_2d`."""

    def step(a: Any, _: Any) -> Any:
        around = a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        return a.at[1:-1, 1:-1].set(0.2 * (a[1:-1, 1:-1] + around)), None

    a, _ = lax.scan(step, a, None, length=steps)
    return jnp.sum(a * a)


def lstm(layers: Any, ends: Any, start: Any, rows: Any) -> Any:
    """See `examples.gallery.lstm.loss`."""

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + jnp.exp(-x))

    def step(states: Any, both: Any) -> Any:
        row, following = both
        x, after = row * ends[0], []
        for (weights, biases), (hidden, cell) in zip(layers, states):
            keep = sigmoid(x * weights[0] + biases[0])
            take = sigmoid(hidden * weights[1] + biases[1])
            give = sigmoid(x * weights[2] + biases[2])
            change = jnp.tanh(hidden * weights[3] + biases[3])
            cell = cell * keep + take * change
            x = give * jnp.tanh(cell)
            after.append((x, cell))
        predicted = x * ends[1] + ends[2]
        surprise = predicted - jnp.log(2 + jnp.sum(jnp.exp(predicted)))
        return after, jnp.sum(following * surprise)

    states = [(hidden, cell) for hidden, cell in start]
    _, gains = lax.scan(step, states, (rows[:-1], rows[1:]))
    return -jnp.sum(gains) / rows[1:].size


def runge_kutta(speeds: Any, y: Any, steps: int = 50) -> Any:
    """See `examples.gallery.runge_kutta.last_amounts`."""
    h = 1.0 / steps

    def rate(y: Any) -> Any:
        lost = speeds * y * y
        return jnp.concatenate([-lost[:1], lost[:-1] - lost[1:]])

    def step(y: Any, _: Any) -> Any:
        k1 = rate(y)
        k2 = rate(y + 0.5 * h * k1)
        k3 = rate(y + 0.5 * h * k2)
        k4 = rate(y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    y, _ = lax.scan(step, y, None, length=steps)
    return jnp.sum(y * y)


def bundle_adjustment_blocks(
    cameras: Any, points: Any, weights: Any, by: Any, which: Any, features: Any
) -> Any:
    """Return the blocks of the jacobian of `examples.gallery.bundle_adjustment`, by observation."""
    from examples.gallery.bundle_adjustment import residuals

    one = jnp.zeros(1, dtype=int)

    def of_one(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        distance, regular = residuals(
            camera[None], point[None], weight[None], one, one, feature[None]
        )
        return distance[0], regular[0]

    each = jax.vmap(jax.jacrev(of_one, argnums=(0, 1, 2)))
    return each(cameras[by], points[which], weights, features)


def heat_3d(a: Any, steps: int = 20) -> Any:
    """See `npbench.heat_3d`."""

    def flow(source: Any, target: Any) -> Any:
        middle = source[1:-1, 1:-1, 1:-1]
        return target.at[1:-1, 1:-1, 1:-1].set(
            0.125 * (source[2:, 1:-1, 1:-1] - 2.0 * middle + source[:-2, 1:-1, 1:-1])
            + 0.125 * (source[1:-1, 2:, 1:-1] - 2.0 * middle + source[1:-1, :-2, 1:-1])
            + 0.125 * (source[1:-1, 1:-1, 2:] - 2.0 * middle + source[1:-1, 1:-1, :-2])
            + middle
        )

    def step(both: Any, _: Any) -> Any:
        a, b = both
        b = flow(a, b)
        return (flow(b, a), b), None

    (a, _), _ = lax.scan(step, (a, a), None, length=steps)
    return jnp.sum(a * a)


def convolution(images: Any, weights: Any, bias: Any) -> Any:
    """See `npbench.convolution`; here each pixel of the result is one of a batch."""
    size = weights.shape[0]
    n, rows, columns = images.shape[0], images.shape[1] - size + 1, images.shape[2] - size + 1

    def pixel(i: Any, j: Any) -> Any:
        window = lax.dynamic_slice(images, (0, i, j, 0), (n, size, size, images.shape[3]))
        return jnp.sum(window[..., None] * weights[None], axis=(1, 2, 3))

    along = jax.vmap(jax.vmap(pixel, (None, 0)), (0, None))
    out = jnp.moveaxis(along(jnp.arange(rows), jnp.arange(columns)), 2, 0) + bias
    return jnp.sum(out * out)


def convolution_of_library(images: Any, weights: Any, bias: Any) -> Any:
    """See `npbench.convolution`; here JAX's own convolution."""
    kinds = ("NHWC", "HWIO", "NHWC")
    out = lax.conv_general_dilated(images, weights, (1, 1), "VALID", dimension_numbers=kinds)
    return jnp.sum((out + bias) ** 2)


def n_body(place: Any, speed: Any, mass: Any, steps: int = 10) -> Any:
    """See `npbench.n_body`."""
    h = 0.01

    def accelerations(place: Any) -> Any:
        apart = place[None] - place[:, None]
        square = jnp.sum(apart * apart, axis=2) + 0.01
        return jnp.einsum("ijk,ij->ik", apart, square**-1.5 * mass[None])

    def step(state: Any, _: Any) -> Any:
        place, speed, force = state
        speed = speed + 0.5 * h * force
        place = place + h * speed
        force = accelerations(place)
        return (place, speed + 0.5 * h * force, force), None

    start = place, speed, accelerations(place)
    (_, speed, _), _ = lax.scan(step, start, None, length=steps)
    return 0.5 * jnp.sum(mass[:, None] * speed * speed)
