"""A gated recurrent network reads handwritten digits row by row, and says after each row what it thinks.

    python examples/gru.py --picture rows.png

Each image is a sequence of eight rows of eight pixels. The network has a state of 32 numbers that each
row changes: one gate says how much of the state is kept, another how much of it the change may see
(K. Cho et al., 2014). From each state a linear layer makes scores of the ten digits, and all of them are
trained: so the network guesses early, and what it thinks can be drawn row by row. The digits are those
that tapegrad ships; a fifth of them is held out.

The network is a Python loop that stores its results into an array. ``tg.fit`` differentiates it, and
compiles it with the optimiser as one step.
"""

import argparse
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.data import load_digits

STATE = 32


def start(rng: np.random.Generator) -> dict[str, Any]:
    """Return parameters: of two gates and the change, and of the scores."""

    def normal(inputs: int, outputs: int) -> Any:
        return rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)

    parts = ("keep", "see", "change")
    return {
        "row": {name: normal(8, STATE) for name in parts},
        "state": {name: normal(STATE, STATE) for name in parts},
        "bias": {name: np.zeros(STATE) for name in parts},
        "scores": normal(STATE, 10),
    }


def sigmoid(x: Any) -> Any:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-x))


def scores(p: Any, images: Any) -> Any:
    """Return scores of the digits after each row, for images of shape (N, 8, 8): shape (8, N, 10)."""
    state = np.zeros((len(images), STATE))
    found = np.empty((8, len(images), 10))
    for i in range(8):
        row = images[:, i]
        keep = sigmoid(row @ p["row"]["keep"] + state @ p["state"]["keep"] + p["bias"]["keep"])
        see = sigmoid(row @ p["row"]["see"] + state @ p["state"]["see"] + p["bias"]["see"])
        seen = (see * state) @ p["state"]["change"]
        change = np.tanh(row @ p["row"]["change"] + seen + p["bias"]["change"])
        state = keep * state + (1 - keep) * change
        found[i] = state @ p["scores"]
    return found


def log_probabilities(scores: Any) -> Any:
    """Return the logs of what scores say, along the last axis."""
    shifted = scores - np.max(scores, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def loss(p: Any, images: Any, labels: Any) -> Any:
    """Return the mean cross-entropy over all rows."""
    return -np.mean(log_probabilities(scores(p, images))[:, np.arange(len(labels)), labels])


def draw(path: str, p: Any, images: Any, labels: Any) -> None:
    """Save a picture of what the network thinks after each row of six images."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = plt.subplots(2, 6, figsize=(8, 3.5), layout="constrained")
    shown = [np.flatnonzero(labels == digit)[0] for digit in (0, 2, 3, 5, 8, 9)]
    beliefs = np.exp(log_probabilities(scores(p, images[shown])))
    for i, (above, below) in enumerate(axes.T):
        above.imshow(images[shown[i]], cmap="gray_r")
        above.axis("off")
        below.imshow(beliefs[:, i], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        below.set(xticks=range(10), yticks=[] if i else [0, 7], xlabel="digit")
        below.tick_params(labelsize=6)
    axes[1, 0].set(yticklabels=["row 1", "row 8"])
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, print how many of the images held out are read rightly after each row, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    images, labels = load_digits()
    images = images.reshape(-1, 8, 8) / 16.0
    order = rng.permutation(len(images))
    held, learnt = order[:360], order[360:]
    result = tg.fit(
        loss, start(rng), (images[learnt], labels[learnt]), tg.optim.adam(0.01),
        epochs=chosen.epochs, batch_size=64, clip_norm=1.0,
    )  # fmt: skip
    right = np.argmax(scores(result.params, images[held]), axis=-1) == labels[held]
    accuracy = right.mean(axis=1)
    print(f"loss {result.history.loss[0]:.3f} to {result.history.loss[-1]:.4f}")
    print("held out, right after each row:", "  ".join(f"{part:.1%}" for part in accuracy))
    if chosen.picture:
        draw(chosen.picture, result.params, images[held], labels[held])
    return {"result": result, "accuracy": accuracy}


if __name__ == "__main__":
    main()
