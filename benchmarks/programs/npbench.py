"""Programs of the NPBench collection, from their descriptions; each returns a sum to differentiate.

Linear algebra kernels (atax, gemver, correlation), stencils in place (heat_3d) and without writes
(horizontal diffusion), and whole small programs (distances on a globe, a network's convolution, bodies
that attract each other).
"""

from typing import Any

import numpy as np


def atax(a: Any, x: Any) -> Any:
    """Multiply by a matrix and then by its transpose."""
    y = (a @ x) @ a
    return np.sum(y * y)


def atax_data(m: int, n: int) -> tuple[Any, ...]:
    """Return a matrix and a vector."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(m, n)) / m, rng.normal(size=n)


def gemver(a: Any, u1: Any, v1: Any, u2: Any, v2: Any, y: Any, z: Any) -> Any:
    """Add two outer products to a matrix, and multiply by it and by its transpose."""
    alpha, beta = 1.5, 1.2
    a = a + np.outer(u1, v1) + np.outer(u2, v2)
    x = beta * (y @ a) + z
    w = alpha * (a @ x)
    return np.sum(w * w)


def gemver_data(n: int) -> tuple[Any, ...]:
    """Return a matrix and six vectors."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, n)) / n, *(rng.normal(size=n) for _ in range(6))


def correlation(data: Any) -> Any:
    """Return the sum of squares of the correlations of columns."""
    mean = np.mean(data, axis=0)
    deviation = np.sqrt(np.mean((data - mean) ** 2, axis=0))
    deviation = np.where(deviation <= 0.1, 1.0, deviation)
    scaled = (data - mean) / (np.sqrt(data.shape[0]) * deviation)
    matrix = scaled.T @ scaled
    return np.sum(matrix * matrix)


def matrix_data(n: int, m: int) -> tuple[Any, ...]:
    """Return a matrix."""
    return (np.random.default_rng(0).normal(size=(n, m)),)


def arc_distance(theta_1: Any, phi_1: Any, theta_2: Any, phi_2: Any) -> Any:
    """Return the sum of the distances of pairs of points on a sphere."""
    half = np.sin((theta_2 - theta_1) / 2) ** 2
    half = half + np.cos(theta_1) * np.cos(theta_2) * np.sin((phi_2 - phi_1) / 2) ** 2
    return np.sum(2 * np.arctan2(np.sqrt(half), np.sqrt(1 - half)))


def arc_distance_data(n: int) -> tuple[Any, ...]:
    """Return latitudes and longitudes of pairs of points."""
    rng = np.random.default_rng(0)
    return tuple(rng.uniform(0.1, 1.4, n) for _ in range(4))


def heat_3d(a: Any, steps: int = 20) -> Any:
    """Let heat flow in a block, to and fro between two arrays that are written in place."""
    a = a * 1.0
    b = a * 1.0
    for _ in range(steps):
        for source, target in ((a, b), (b, a)):
            middle = source[1:-1, 1:-1, 1:-1]
            target[1:-1, 1:-1, 1:-1] = (
                0.125 * (source[2:, 1:-1, 1:-1] - 2.0 * middle + source[:-2, 1:-1, 1:-1])
                + 0.125 * (source[1:-1, 2:, 1:-1] - 2.0 * middle + source[1:-1, :-2, 1:-1])
                + 0.125 * (source[1:-1, 1:-1, 2:] - 2.0 * middle + source[1:-1, 1:-1, :-2])
                + middle
            )
    return np.sum(a * a)


def block_data(n: int) -> tuple[Any, ...]:
    """Return a block of numbers."""
    return (np.random.default_rng(0).normal(size=(n, n, n)),)


def horizontal_diffusion(field: Any, coefficient: Any) -> Any:
    """Diffuse a field of the atmosphere, with a flux that never goes against the gradient."""
    around = field[2:, 1:-1] + field[:-2, 1:-1] + field[1:-1, 2:] + field[1:-1, :-2]
    curved = 4.0 * field[1:-1, 1:-1] - around

    steps = curved[1:, 1:-1] - curved[:-1, 1:-1]
    slopes = field[2:-1, 2:-2] - field[1:-2, 2:-2]
    along = np.where(steps * slopes > 0, 0.0, steps)

    steps = curved[1:-1, 1:] - curved[1:-1, :-1]
    slopes = field[2:-2, 2:-1] - field[2:-2, 1:-2]
    across = np.where(steps * slopes > 0, 0.0, steps)

    flux = along[1:] - along[:-1] + across[:, 1:] - across[:, :-1]
    out = field[2:-2, 2:-2] - coefficient * flux
    return np.sum(out * out)


def horizontal_diffusion_data(i: int, j: int, k: int) -> tuple[Any, ...]:
    """Return a field with a margin, and coefficients."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(i + 4, j + 4, k)), rng.uniform(size=(i, j, k))


def convolution(images: Any, weights: Any, bias: Any) -> Any:
    """Convolve images with filters, pixel by pixel of the result, as the description has it."""
    size, channels = weights.shape[0], weights.shape[3]
    n, rows, columns = images.shape[0], images.shape[1] - size + 1, images.shape[2] - size + 1
    out = np.empty((n, rows, columns, channels))
    for i in range(rows):
        for j in range(columns):
            window = images[:, i : i + size, j : j + size, :, None]
            out[:, i, j, :] = np.sum(window * weights[None], axis=(1, 2, 3))
    out = out + bias
    return np.sum(out * out)


def convolution_data(n: int, size: int, inputs: int, outputs: int, window: int) -> tuple[Any, ...]:
    """Return images, filters and bias."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(window, window, inputs, outputs))
    return rng.normal(size=(n, size, size, inputs)), weights, rng.normal(size=outputs)


def accelerations(place: Any, mass: Any) -> Any:
    """Return how bodies attract each other; close ones less than Newton says."""
    apart = place[None] - place[:, None]
    square = np.sum(apart * apart, axis=2) + 0.01
    return np.einsum("ijk,ij->ik", apart, square**-1.5 * mass[None])


def n_body(place: Any, speed: Any, mass: Any, steps: int = 10) -> Any:
    """Return the energy of bodies after some steps of the leapfrog method."""
    h = 0.01
    force = accelerations(place, mass)
    for _ in range(steps):
        speed = speed + 0.5 * h * force
        place = place + h * speed
        force = accelerations(place, mass)
        speed = speed + 0.5 * h * force
    return 0.5 * np.sum(mass[:, None] * speed * speed)


def n_body_data(n: int) -> tuple[Any, ...]:
    """Return places, speeds and masses."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), np.full(n, 20.0 / n)
