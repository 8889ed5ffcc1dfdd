"""SciPy's optimiser fits the nested parameters of a small network to handwritten digits.

    python examples/digits_minimize.py --picture mistakes.png

A hidden layer of 24 units, and a linear one, learn the digits that tapegrad ships from all images but a
fifth, which is held out. Large weights are penalised, so that there is a minimum to be found.

``scipy.optimize.minimize`` knows vectors only. ``tg.ravel_pytree`` makes one of a nest of parameters,
and leads back; ``tg.value_and_grad`` gives what ``jac=True`` asks for.
"""

import argparse
import time
from typing import Any

import numpy as np
from scipy.optimize import minimize

import tapegrad as tg
from tapegrad.data import load_digits
from tapegrad.nnet import softmax_crossentropy

HIDDEN, PENALTY = 24, 1e-3


def start(rng: np.random.Generator) -> dict[str, Any]:
    """Return parameters: a hidden layer, and scores of ten classes."""

    def layer(inputs: int, outputs: int) -> dict[str, Any]:
        return {"w": rng.normal(size=(inputs, outputs)) / np.sqrt(inputs), "b": np.zeros(outputs)}

    return {"hidden": layer(64, HIDDEN), "scores": layer(HIDDEN, 10)}


def scores(p: dict[str, Any], images: Any) -> Any:
    """Return the scores of ten classes for images of shape (N, 64)."""
    h = np.tanh(images @ p["hidden"]["w"] + p["hidden"]["b"])
    return h @ p["scores"]["w"] + p["scores"]["b"]


def loss(p: dict[str, Any], images: Any, labels: Any) -> Any:
    """Return the mean cross-entropy, and a penalty on large weights."""
    weights = sum(np.sum(layer["w"] ** 2) for layer in p.values())
    return softmax_crossentropy(scores(p, images), labels) + PENALTY * weights


def fit(steps: int, *, compiled: bool, seed: int = 0) -> tuple[Any, float, float, Any]:
    """Return what SciPy found, the accuracy on images held out, the seconds, and the mistakes."""
    rng = np.random.default_rng(seed)
    images, labels = load_digits()
    images = images / 16.0
    order = rng.permutation(len(images))
    held, learnt = order[:360], order[360:]
    x0, unravel = tg.ravel_pytree(start(rng))

    def f(x: Any) -> Any:
        return loss(unravel(x), images[learnt], labels[learnt])

    function = tg.value_and_grad(f)
    began = time.perf_counter()
    found = minimize(
        tg.jit(function) if compiled else function, x0, jac=True, method="L-BFGS-B",
        options={"maxiter": steps},
    )  # fmt: skip
    took = time.perf_counter() - began
    read = np.argmax(scores(unravel(found.x), images[held]), axis=1)
    mistakes = [(images[i], int(labels[i]), int(r)) for i, r in zip(held, read) if labels[i] != r]
    return found, 1 - len(mistakes) / len(held), took, mistakes


def draw(path: str, mistakes: list[tuple[Any, int, int]]) -> None:
    """Save a picture of the first images held out that are read wrongly."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = plt.subplots(1, 8, figsize=(8, 1.6), layout="constrained")
    for ax in axes:
        ax.axis("off")
    for ax, (image, label, read) in zip(axes, mistakes):
        ax.imshow(image.reshape(8, 8), cmap="gray_r")
        ax.set_title(f"{label}, read as {read}", fontsize=8)
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Fit with the function as it is and compiled, and print how they compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    runs = {}
    for name, compiled in {"as it is": False, "compiled": True}.items():
        found, accuracy, took, mistakes = runs[name] = fit(chosen.steps, compiled=compiled)
        print(
            f"{name:9}  loss {found.fun:.4f} after {found.nit} steps, {found.nfev} calls  "
            f"held out {accuracy:.1%}  {took / found.nfev * 1e3:.2f} ms a call"
        )
    if chosen.picture:
        draw(chosen.picture, mistakes)
    return runs


if __name__ == "__main__":
    main()
