"""A recurrent network of two layers that predicts the next row; weights act elementwise.

A loop in Python, as one writes it. Each layer has weights and biases of four gates: what is kept, what
is taken in, what is given out, and what it is changed to.
"""

from typing import Any

import numpy as np


def sigmoid(x: Any) -> Any:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-x))


def step(layer: Any, below: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
    """Return hidden and cell state of a layer after one row; `layer` has 4 weights and 4 biases."""
    weights, biases = layer
    keep = sigmoid(below * weights[0] + biases[0])
    take = sigmoid(hidden * weights[1] + biases[1])
    give = sigmoid(below * weights[2] + biases[2])
    change = np.tanh(hidden * weights[3] + biases[3])
    cell = cell * keep + take * change
    return give * np.tanh(cell), cell


def loss(layers: Any, ends: Any, start: Any, rows: Any) -> Any:
    """Return the mean surprise by each next row.

    `layers` is (L, 2, 4, d), `ends` (3, d) scales what comes in, and scales and shifts what goes out,
    `start` is (L, 2, d).
    """
    hidden = [state[0] for state in start]
    cells = [state[1] for state in start]
    total = 0.0
    for t in range(len(rows) - 1):
        x = rows[t] * ends[0]
        for i in range(len(hidden)):
            hidden[i], cells[i] = step(layers[i], x, hidden[i], cells[i])
            x = hidden[i]
        predicted = x * ends[1] + ends[2]
        surprise = predicted - np.log(2 + np.sum(np.exp(predicted)))
        total = total + np.sum(rows[t + 1] * surprise)
    return -total / (rows[1:].size)


def data(steps: int, layers: int, d: int) -> tuple[Any, ...]:
    """Return parameters, a start, and rows with a one each."""
    rng = np.random.default_rng(0)
    rows = np.eye(d)[rng.integers(0, d, steps)]
    shapes = [(layers, 2, 4, d), (3, d), (layers, 2, d)]
    return *(0.5 * rng.normal(size=shape) for shape in shapes), rows
