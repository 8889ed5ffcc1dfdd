"""The demo: train a small classifier three times, see that the ways agree, then fit a larger one.

Run it as ``python -m tapegrad.demo``. A 64-32-10 network learns handwritten digits by gradient
descent from the same start and on the same batches, (a) imperatively, (b) with a function that
returns the gradient, and (c) with that function compiled. Then ``tg.fit`` trains a convolutional
network by compiled steps. It needs no network and takes seconds.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tapegrad as tg
from tapegrad.data import load_digits
from tapegrad.nnet import conv_nd, max_pool, relu, softmax_crossentropy

RATE = 0.5
BATCH = 128
HELD_OUT = 360
SEED = 0
COMPARED_STEPS = 5

Arrays = dict[str, NDArray[np.float64]]
Batch = tuple[NDArray[np.float64], NDArray[np.float64]]
Step = tuple[float, Arrays, Arrays]


def loss(params: Any, X: Any, Y: Any) -> Any:
    """Mean cross-entropy of the network on images `X` and one-hot labels `Y`: plain NumPy."""
    hidden = np.tanh(X @ params["W1"] + params["b1"])
    logits = hidden @ params["W2"] + params["b2"]
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_probability = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return -np.mean(np.sum(Y * log_probability, axis=1))


def imperative(start: Arrays, batches: Sequence[Batch]) -> Iterator[Step]:
    """Train with tensors that hold their gradient, in the manner of a script."""
    weights = {name: tg.tensor(value) for name, value in start.items()}
    for X, Y in batches:
        value = loss(weights, X, Y)
        value.backward()
        gradients = {name: weight.grad for name, weight in weights.items()}
        for weight in weights.values():
            weight.data -= RATE * weight.grad
        yield float(value), gradients, {name: weight.data for name, weight in weights.items()}


def functional(start: Arrays, batches: Sequence[Batch]) -> Iterator[Step]:
    """Train with a function from parameters to value and gradients; all are plain arrays."""
    return _descend(tg.value_and_grad(loss), start, batches)


def compiled(start: Arrays, batches: Sequence[Batch]) -> Iterator[Step]:
    """Train with the same function, compiled."""
    return _descend(tg.jit(tg.value_and_grad(loss)), start, batches)


def _descend(value_and_gradients: Any, start: Arrays, batches: Sequence[Batch]) -> Iterator[Step]:
    params = start
    for X, Y in batches:
        value, gradients = value_and_gradients(params, X, Y)
        params = {name: params[name] - RATE * gradients[name] for name in params}
        yield float(value), gradients, params


WAYS = {"imperative": imperative, "functional": functional, "compiled": compiled}


@dataclass(slots=True)
class Run:
    """What one way of training gave: its last loss, its weights, and some of its gradients."""

    loss: float = np.nan
    params: Arrays = field(default_factory=dict)
    gradients: dict[int, Arrays] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def train(name: str, start: Arrays, batches: Sequence[Batch], *, report_every: int) -> Run:
    """Train one way over all batches, print progress, and keep the gradients to be compared."""
    run = Run()
    copies = {key: value.copy() for key, value in start.items()}
    steps = WAYS[name](copies, batches)
    for count in range(1, len(batches) + 1):
        began = time.perf_counter()
        run.loss, gradients, run.params = next(steps)
        run.seconds.append(time.perf_counter() - began)
        if count <= COMPARED_STEPS or count == len(batches):
            run.gradients[count] = {key: np.array(value) for key, value in gradients.items()}
        if count % report_every == 0 or count == len(batches):
            print(f"  {name:<11} step {count:5d}   loss {run.loss:.4f}", flush=True)
    return run


def prepare(epochs: int) -> tuple[Arrays, list[Batch], Batch]:
    """Return the starting weights, all training batches in order, and the held-out part."""
    random = np.random.default_rng(SEED)
    images, labels = load_digits()
    X, Y = images / 16.0, np.eye(10)[labels]
    order = random.permutation(len(X))
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]
    batches = []
    for _ in range(epochs):
        order = random.permutation(rest)
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            batches.append((X[chosen], Y[chosen]))
    start = {
        "W1": random.normal(size=(64, 32)) / np.sqrt(64),
        "b1": np.zeros(32),
        "W2": random.normal(size=(32, 10)) / np.sqrt(32),
        "b2": np.zeros(10),
    }
    return start, batches, (X[held_out], Y[held_out])


def accuracy(params: Arrays, X: NDArray[np.float64], Y: NDArray[np.float64]) -> float:
    """Return the share of images whose most likely class is the right one."""
    logits = np.tanh(X @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"]
    return float(np.mean(np.argmax(logits, axis=1) == np.argmax(Y, axis=1)))


def largest_difference(runs: Sequence[Run], step: int) -> float:
    """Return the largest difference between any two runs' gradients at `step`."""
    stacks = [np.stack([run.gradients[step][key] for run in runs]) for key in runs[0].params]
    return max(float(np.max(np.ptp(stack, axis=0))) for stack in stacks)


def kernel_sample(explanation: str) -> str:
    """Return the longest of the generated kernels in the text that ``explain()`` gives."""
    kernels = explanation.split("# kernel")[1:]
    longest = max(kernels, key=lambda text: text.count("\n"), default="(no kernel)")
    return "\n".join(f"  | {line}" for line in f"# kernel {longest}".rstrip().splitlines())


# The convolutional network ------------------------------------------------------------------------


def scores(p: Any, images: Any) -> Any:
    """Return the scores of ten classes for images of shape (N, 1, 8, 8)."""
    x = relu(conv_nd(images, p["filters 1"], stride=1, padding=1) + p["shift 1"])
    x = max_pool(x, (2, 2), 2)
    x = relu(conv_nd(x, p["filters 2"], stride=1, padding=1) + p["shift 2"])
    x = max_pool(x, (2, 2), 2)
    return np.reshape(x, (x.shape[0], -1)) @ p["dense"] + p["bias"]


def network(random: np.random.Generator) -> Arrays:
    """Return parameters of two convolutions and a dense layer, 6,090 numbers."""
    return {
        "filters 1": random.normal(size=(16, 1, 3, 3)) / 2.0,
        "shift 1": np.zeros((16, 1, 1)),
        "filters 2": random.normal(size=(32, 16, 3, 3)) / 8.0,
        "shift 2": np.zeros((32, 1, 1)),
        "dense": random.normal(size=(128, 10)) / 12.0,
        "bias": np.zeros(10),
    }


def moved(batch: Batch, random: np.random.Generator) -> Batch:
    """Return images moved by up to one pixel, each its own way, so that there are more to learn from."""
    images, labels = batch
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    corners = random.integers(0, 3, (len(images), 2))
    return np.stack([x[:, i : i + 8, j : j + 8] for x, (i, j) in zip(padded, corners)]), labels


def fit_convolutions(epochs: int, *, progress: bool = True) -> tg.training.FitResult:
    """Train the convolutional network; the accuracy on the held-out part is in the history."""
    random = np.random.default_rng(SEED)
    images, labels = load_digits()
    X = images.reshape(-1, 1, 8, 8) / 16.0
    order = random.permutation(len(X))
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]

    def validate(p: Any) -> dict[str, float]:
        found = np.asarray(scores(p, X[held_out]))
        right = np.argmax(found, axis=1) == labels[held_out]
        return {
            "loss": float(softmax_crossentropy(found, labels[held_out])),
            "accuracy": right.mean(),
        }

    data = tg.training.Loader((X[rest], labels[rest]), 64, seed=SEED, transform=moved)
    steps = epochs * len(data)
    return tg.fit(
        lambda p, x, y: softmax_crossentropy(scores(p, x), y),
        network(random),
        data,
        tg.optim.adam,
        learning_rate=lambda step: 0.02 * (0.5 + 0.5 * np.cos(np.pi * step / steps)),
        clip_norm=2.0,
        epochs=epochs,
        validation=validate,
        progress=progress,
    )


def show_fit(epochs: int, picture: str | None) -> None:
    """Train the convolutional network, print what came out, and draw it into a file."""
    print(f"\ntg.fit: a convolutional network, {epochs} epochs of compiled steps")
    began = time.perf_counter()
    result = fit_convolutions(epochs)
    history = result.history
    print(
        f"  held-out accuracy {history.validation['accuracy'][-1]:.1%} after {result.steps} steps,"
        f" median step {np.median(history.step_time) * 1e3:.1f} ms,"
        f" {result.recordings} recordings (full batches, and the last one of an epoch),"
        f" {time.perf_counter() - began:.1f} s"
    )
    if picture is not None:
        history.plot().figure.savefig(picture)
        print(f"  losses and gradient norms are drawn in {picture}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status: 0 if the three ways agree."""
    parser = argparse.ArgumentParser(prog="python -m tapegrad.demo", description=__doc__)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training images")
    parser.add_argument("--fit-epochs", type=int, default=30, help="those of the larger network")
    parser.add_argument("--picture", help="a file to draw its history into (needs tapegrad[plot])")
    arguments = parser.parse_args(argv)
    epochs = arguments.epochs

    began = time.perf_counter()
    start, batches, held_out = prepare(epochs)
    print("UCI handwritten digits: 1,437 images to train on, 360 held out (a random split).")
    print(f"A 64-32-10 tanh network, batches of {BATCH}, {len(batches)} steps, three times.")
    runs = {}
    for name in WAYS:
        print()
        runs[name] = train(name, start, batches, report_every=max(1, len(batches) // 6))

    print("\n              loss   held-out accuracy   first step   median step")
    for name, run in runs.items():
        print(
            f"{name:<11} {run.loss:.4f} {accuracy(run.params, *held_out):19.1%}"
            f" {run.seconds[0] * 1e3:9.1f} ms {np.median(run.seconds) * 1e6:10.0f} us"
        )
    print("(the first step of the compiled way includes recording and compiling)")

    print("\nlargest difference between the three gradients")
    differences = {}
    for step in sorted(runs["compiled"].gradients):
        differences[step] = largest_difference(list(runs.values()), step)
        print(f"  step {step:5d}   {differences[step]:.1e}")

    print("\none of the kernels that were generated for the compiled way:")
    print(kernel_sample(tg.jit(tg.value_and_grad(loss)).explain(start, *batches[0])))

    show_fit(arguments.fit_epochs, arguments.picture)

    agree = max(differences.values()) < 1e-8
    print(f"\n{'The three ways agree' if agree else 'THE THREE WAYS DISAGREE'};", end=" ")
    print(f"{time.perf_counter() - began:.1f} s in all.")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
