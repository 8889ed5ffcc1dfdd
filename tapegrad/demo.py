"""The demo: train one small classifier three times and see that the three ways agree.

Run it as ``python -m tapegrad.demo``. A 64-32-10 network learns handwritten digits by gradient
descent from the same start and on the same batches, (a) imperatively, (b) with a function that
returns the gradient, and (c) with that function compiled. It needs no network and takes seconds.
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status: 0 if the three ways agree."""
    parser = argparse.ArgumentParser(prog="python -m tapegrad.demo", description=__doc__)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training images")
    epochs = parser.parse_args(argv).epochs

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

    agree = max(differences.values()) < 1e-8
    print(f"\n{'The three ways agree' if agree else 'THE THREE WAYS DISAGREE'};", end=" ")
    print(f"{time.perf_counter() - began:.1f} s in all.")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
