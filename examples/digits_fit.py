"""A small network learns handwritten digits by ``tg.fit``: checkpoints, validation, a hook, early stop.

    python examples/digits_fit.py --checkpoint run.npz --picture history.png

A network with one hidden layer learns the digits that tapegrad ships: two thirds of them are learnt,
others say when to stop, and a fifth is held out to the end. The learning rate is halved where nothing
improves.

Stop it with Ctrl-C and start it again: it goes on, and ends with the same numbers as without. With
``--processes 2`` the gradients are computed by two processes, which changes the order of sums, and not
more.
"""

import argparse
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.data import load_digits


def start(rng: np.random.Generator) -> dict[str, Any]:
    """Return parameters of a network with one hidden layer."""
    return {
        "hidden": {"w": rng.normal(size=(64, 48)) / 8.0, "b": np.zeros(48)},
        "scores": {"w": rng.normal(size=(48, 10)) / 7.0, "b": np.zeros(10)},
    }


def scores(p: dict[str, Any], images: Any) -> Any:
    """Return the scores of ten classes for images of shape (N, 64)."""
    hidden = np.tanh(images @ p["hidden"]["w"] + p["hidden"]["b"])
    return hidden @ p["scores"]["w"] + p["scores"]["b"]


def loss(p: dict[str, Any], images: Any, labels: Any) -> Any:
    """Return the mean cross-entropy."""
    found = scores(p, images)
    shifted = found - np.max(found, axis=1, keepdims=True)
    likely = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return -np.mean(likely[np.arange(len(labels)), labels])


def halve(loop: tg.training.Loop) -> None:
    """Halve the learning rate where the validation has not improved for four epochs."""
    if not loop.epoch_ended:
        return
    losses = loop.history.validation["loss"]
    since = loop.notes.get("changed at", 0)
    rate = loop.learning_rate or 0.0
    if len(losses) - since > 4 and losses[-4:].min() > losses[:-4].min():
        loop.learning_rate = rate / 2
        loop.notes["changed at"] = len(losses)


def draw(path: str, history: tg.training.History) -> None:
    """Save a picture of the training."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    history.plot()
    plt.savefig(path)
    plt.close()


def main(arguments: list[str] | None = None) -> tg.training.FitResult:
    """Train, and print how many of the images held out are read rightly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--checkpoint", help="a file to go on from, and to write")
    parser.add_argument("--processes", type=int, help="how many compute the gradients")
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)

    rng = np.random.default_rng(0)
    images, labels = load_digits()
    X, order = images / 16.0, rng.permutation(len(images))
    test, held, learnt = order[:360], order[360:600], order[600:]

    def validate(p: Any) -> dict[str, float]:
        right = np.argmax(scores(p, X[held]), axis=1) == labels[held]
        return {"loss": float(loss(p, X[held], labels[held])), "accuracy": float(right.mean())}

    result = tg.fit(
        loss, start(rng), (X[learnt], labels[learnt]), tg.optim.adam,
        learning_rate=0.01, batch_size=64, epochs=chosen.epochs, clip_norm=1.0,
        validation=validate, early_stop=tg.training.EarlyStop(15, min_delta=1e-4), hook=halve,
        checkpoint=chosen.checkpoint, executor=chosen.processes,
    )  # fmt: skip
    right = np.argmax(scores(result.params, X[test]), axis=1) == labels[test]
    print(f"{result.epochs} epochs, stopped by {result.stopped!r}: {right.mean():.1%} held out")
    if chosen.picture:
        draw(chosen.picture, result.history)
    return result


if __name__ == "__main__":
    main()
