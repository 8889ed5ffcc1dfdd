"""SciPy's optimiser fits the nested parameters of a small network to handwritten digits.

    python examples/digits_minimize.py

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


def fit(steps: int, *, compiled: bool, seed: int = 0) -> tuple[Any, float, float]:
    """Return what SciPy found, the accuracy on images held out, and the seconds that it took."""
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
    right = np.argmax(scores(unravel(found.x), images[held]), axis=1) == labels[held]
    return found, float(np.mean(right)), took


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Fit with the function as it is and compiled, and print how they compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args(arguments).steps
    runs = {}
    for name, compiled in {"as it is": False, "compiled": True}.items():
        found, accuracy, took = runs[name] = fit(steps, compiled=compiled)
        print(
            f"{name:9}  loss {found.fun:.4f} after {found.nit} steps, {found.nfev} calls  "
            f"held out {accuracy:.1%}  {took / found.nfev * 1e3:.2f} ms a call"
        )
    return runs


if __name__ == "__main__":
    main()
