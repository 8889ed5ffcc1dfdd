"""Random programs that change shapes: what is broadcast, turned, cut, joined and reduced.

Sizes of 1 are frequent, and an operation may have two operands that are both broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Shape = tuple[int, ...]
SIZES = [1, 2, 3, 5]
MAPS: dict[str, Callable[[Any], Any]] = {
    "exp": lambda x: np.exp(np.tanh(x)),
    "square": lambda x: np.square(np.tanh(x)),
    "sin": np.sin,
    "abs": np.abs,
    "negative": lambda x: -x,
    "sqrt": lambda x: np.sqrt(np.abs(x) + 1),
}
PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "divide": lambda x, y: x / (1 + np.square(y)),
    "where": lambda x, y: np.where(x > 0.1, x, y),
}
REDUCTIONS = ["sum", "mean", "max", "min", "prod", "var"]


class Shapes:
    """A random program; :meth:`run` executes it on arrays or tensors."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        count = int(rng.integers(1, 4))
        self.given = [self._shape(int(rng.integers(0, 4))) for _ in range(count)]
        self.dtypes = [str(rng.choice(["d", "d", "d", "f"])) for _ in range(count)]
        self.shapes: list[Shape] = list(self.given)
        self.steps: list[Callable[[list[Any]], Any]] = []
        self.text: list[str] = []
        kinds = ["map", "pair", "reduce", "repeat", "turn", "reshape", "cut", "join"]
        while len(self.steps) < 4 + count * 3:
            kind = rng.choice(kinds, p=[0.18, 0.26, 0.2, 0.1, 0.06, 0.08, 0.06, 0.06])
            place = len(self.shapes) - min(int(rng.geometric(0.3)), len(self.shapes))
            getattr(self, f"_{kind}")(place, self.shapes[place])
        last = len(self.shapes) - 1
        self.results = sorted({last, *(int(i) for i in rng.integers(count, last + 1, 2))})

    def arrays(self) -> list[Any]:
        """Return values for the inputs."""
        return [
            np.asarray(self.rng.normal(size=shape)).astype(dtype)
            for shape, dtype in zip(self.given, self.dtypes)
        ]

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """Run the program."""
        values = list(arrays)
        for step in self.steps:
            values.append(step(values))
        return tuple(values[i] for i in self.results)

    def __str__(self) -> str:
        return f"given {self.given} {self.dtypes}: {'; '.join(self.text)}; results {self.results}"

    def _shape(self, rank: int) -> Shape:
        return tuple(int(n) for n in self.rng.choice(SIZES, rank))

    def _add(self, text: str, shape: Shape, step: Callable[[list[Any]], Any]) -> None:
        self.text.append(text)
        self.shapes.append(shape)
        self.steps.append(step)

    def _map(self, i: int, shape: Shape) -> None:
        name = str(self.rng.choice(list(MAPS)))
        self._add(f"{name}({i})", shape, lambda v: MAPS[name](v[i]))

    def _pair(self, i: int, shape: Shape) -> None:
        for j in self.rng.permutation(len(self.shapes)):
            try:
                out = np.broadcast_shapes(shape, self.shapes[j])
            except ValueError:
                continue
            name = str(self.rng.choice(list(PAIRS)))
            self._add(f"{name}({i}, {j})", out, lambda v: PAIRS[name](v[i], v[j]))  # noqa: B023
            return

    def _reduce(self, i: int, shape: Shape) -> None:
        if not shape:
            return
        count = int(self.rng.integers(1, len(shape) + 1))
        axis = tuple(int(a) for a in self.rng.choice(len(shape), count, replace=False))
        keep, name = bool(self.rng.random() < 0.5), str(self.rng.choice(REDUCTIONS))
        out = tuple(1 if a in axis else n for a, n in enumerate(shape) if keep or a not in axis)
        self._add(
            f"{name}({i}, {axis}, {keep})",
            out,
            lambda v: getattr(np, name)(v[i], axis=axis, keepdims=keep),
        )

    def _repeat(self, i: int, shape: Shape) -> None:
        front = self._shape(int(self.rng.integers(0, 2)))
        if len(front + shape) > 4:
            return
        out = front + tuple(int(self.rng.choice(SIZES)) if n == 1 else n for n in shape)
        self._add(f"broadcast_to({i}, {out})", out, lambda v: np.broadcast_to(v[i], out))

    def _turn(self, i: int, shape: Shape) -> None:
        axes = tuple(int(a) for a in self.rng.permutation(len(shape)))
        out = tuple(shape[a] for a in axes)
        self._add(f"transpose({i}, {axes})", out, lambda v: np.transpose(v[i], axes))

    def _reshape(self, i: int, shape: Shape) -> None:
        at = int(self.rng.integers(0, len(shape) + 1))
        choices = [(int(np.prod(shape)),), shape[::-1], (*shape[:at], 1, *shape[at:])]
        out = choices[int(self.rng.integers(3))]
        if len(out) < 5:
            self._add(f"reshape({i}, {out})", out, lambda v: np.reshape(v[i], out))

    def _cut(self, i: int, shape: Shape) -> None:
        if not shape or shape[0] < 2:
            return
        part = slice(None, None, 2) if self.rng.random() < 0.5 else slice(1, None)
        out = (len(range(shape[0])[part]), *shape[1:])
        self._add(f"{i}[{part}]", out, lambda v: v[i][part])

    def _join(self, i: int, shape: Shape) -> None:
        if shape:
            out = (2 * shape[0], *shape[1:])
            self._add(f"concatenate({i})", out, lambda v: np.concatenate([v[i], v[i] * 2]))
