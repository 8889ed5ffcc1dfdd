"""A convolutional network learns handwritten digits; the whole step is compiled.

    python examples/digits_convolution.py --picture losses.png

Two convolutions, a batch norm and a linear layer tell the ten digits apart, which tapegrad ships; a
fifth of the images is held out. Forward pass, backward pass, clipping by the norm of all gradients, and
the update with momentum are one function of arrays, which ``tg.jit`` compiles. Nothing in it is special
to compiling: without the decorator it does the same, only slower.
"""

import argparse
import time
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.data import load_digits
from tapegrad.nnet import batchnorm, conv_nd, max_pool, relu, softmax_crossentropy

RATE, MOMENTUM, GREATEST_NORM = 0.1, 0.9, 2.0


def start(rng: np.random.Generator) -> dict[str, Any]:
    """Return parameters: two convolutions and a dense layer."""

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape) * np.sqrt(2.0 / np.prod(shape[1:]))

    return {
        "filters 1": normal(16, 1, 3, 3),
        "scale": np.ones(16),
        "shift": np.zeros(16),
        "filters 2": normal(32, 16, 2, 2),
        "dense": normal(32 * 2 * 2, 10),
        "bias": np.zeros(10),
    }


def scores(p: dict[str, Any], images: Any) -> Any:
    """Return the scores of ten classes for images of shape (N, 1, 8, 8)."""
    x = conv_nd(images, p["filters 1"], stride=1, padding=1)
    x = relu(batchnorm(x, gamma=p["scale"], beta=p["shift"], eps=1e-5))
    x = max_pool(x, (2, 2), 2)
    x = relu(conv_nd(x, p["filters 2"], stride=2))
    return np.reshape(x, (x.shape[0], -1)) @ p["dense"] + p["bias"]


def loss(p: dict[str, Any], images: Any, labels: Any) -> Any:
    """Return the mean cross-entropy."""
    return softmax_crossentropy(scores(p, images), labels)


def step(p: dict[str, Any], velocity: dict[str, Any], images: Any, labels: Any) -> Any:
    """Return the loss, the norm of its gradient, and parameters and velocities after one step."""
    value, gradient = tg.value_and_grad(loss)(p, images, labels)
    gradient, norm = tg.clip_by_global_norm(gradient, GREATEST_NORM)
    velocity = {k: MOMENTUM * velocity[k] - RATE * gradient[k] for k in p}
    return value, norm, {k: p[k] + velocity[k] for k in p}, velocity


def train(step: Any, steps: int, seed: int = 0) -> tuple[list[float], list[float], float]:
    """Train; return the losses, the seconds of each step, and the accuracy on images held out."""
    rng = np.random.default_rng(seed)
    images, labels = load_digits()
    images = images.reshape(-1, 1, 8, 8) / 16.0
    order = rng.permutation(len(images))
    held, learnt = order[:360], order[360:]
    p = start(rng)
    velocity = {k: np.zeros_like(v) for k, v in p.items()}
    losses, seconds = [], []
    for _ in range(steps):
        batch = rng.choice(learnt, 64, replace=False)
        began = time.perf_counter()
        value, _, p, velocity = step(p, velocity, images[batch], labels[batch])
        seconds.append(time.perf_counter() - began)
        losses.append(float(value))
    right = np.argmax(np.asarray(scores(p, images[held])), axis=1) == labels[held]
    return losses, seconds, float(np.mean(right))


def draw(path: str, runs: dict[str, Any]) -> None:
    """Save a picture of losses over steps, and over seconds."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
    for name, (losses, seconds, _) in runs.items():
        left.semilogy(losses, label=name, lw=1, ls="--" if name == "compiled" else "-")
        right.semilogy(np.cumsum(seconds), losses, label=name, lw=1)
    left.set(xlabel="steps", ylabel="loss")
    right.set(xlabel="seconds, with those of compiling")
    left.legend()
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train with the step as it is and compiled, and print how they compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    runs = {}
    for name, function in {"as it is": step, "compiled": tg.jit(step)}.items():
        losses, seconds, accuracy = runs[name] = train(function, chosen.steps)
        middle = np.median(seconds) * 1e3
        print(f"{name:9}  loss {losses[-1]:.4f}  held out {accuracy:.1%}  step {middle:.2f} ms")
    if chosen.picture:
        draw(chosen.picture, runs)
    return runs


if __name__ == "__main__":
    main()
