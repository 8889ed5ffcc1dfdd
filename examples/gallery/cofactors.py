"""A determinant by Laplace's expansion: very many operations on single numbers."""

from typing import Any

import numpy as np


def determinant(matrix: Any) -> Any:
    """Expand along the first row, and the cofactors along theirs."""

    def expand(row: int, columns: tuple[int, ...]) -> Any:
        if len(columns) == 1:
            return matrix[row, columns[0]]
        total = 0.0
        for i, column in enumerate(columns):
            minor = expand(row + 1, columns[:i] + columns[i + 1 :])
            total = total + (-1) ** i * matrix[row, column] * minor
        return total

    return expand(0, tuple(range(len(matrix))))


def data(n: int) -> tuple[Any, ...]:
    """Return a square matrix."""
    return (np.random.default_rng(0).normal(size=(n, n)),)
