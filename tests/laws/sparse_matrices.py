"""Samples of the primitives of sparse matrices, and what these are in NumPy, for the laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: Shapes, numbers of elements, and numbers of columns of the dense operand.
SIZES = (
    ((3, 4), 5, 1), ((4, 2), 7, 3), ((1, 1), 3, 2), ((5, 3), 0, 2), ((3, 3), 4, 0), ((0, 3), 0, 2),
    ((3, 0), 0, 1),
)  # fmt: skip


def pattern(rng: np.random.Generator, shape: tuple[int, int], count: int) -> tuple[Any, Any]:
    """Places of elements: rows without any, and several elements at the same place, among them."""
    rows, columns = shape
    of_rows = np.sort(rng.integers(0, rows, count)) if count else np.zeros(0, int)
    indptr = np.searchsorted(of_rows, np.arange(rows + 1))
    return rng.integers(0, columns, count) if count else np.zeros(0, int), indptr


def dense(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> Any:
    """The matrix with all its zeros."""
    full = np.zeros(shape, data.dtype)
    rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
    np.add.at(full, (rows, indices), data)
    return full


def _matmul(data: Any, x: Any, indices: Any, indptr: Any, *, shape: Any, transposed: bool) -> Any:
    full = dense(data, indices, indptr, shape)
    return (full.T if transposed else full) @ x


def _sampled(left: Any, right: Any, indices: Any, indptr: Any) -> Any:
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return (left @ right.T)[rows, indices] if len(rows) else np.zeros(0, left.dtype)


REFERENCES = {"csr_matmul": _matmul, "csr_sampled": _sampled}


def samples() -> dict[str, list[Callable[[Any], Any]]]:
    """Samples of both primitives, at all sizes."""
    found: dict[str, list[Callable[[Any], Any]]] = {"csr_matmul": [], "csr_sampled": []}
    for shape, count, width in SIZES:
        for transposed in (False, True):

            def product(
                rng: Any, shape: Any = shape, n: int = count, k: int = width, t: bool = transposed
            ) -> Any:
                x = rng.uniform(-2, 2, (shape[0] if t else shape[1], k))
                arrays = rng.uniform(-2, 2, n), x, *pattern(rng, shape, n)
                return arrays, {"shape": shape, "transposed": t}

            found["csr_matmul"].append(product)

        def sampled(rng: Any, shape: Any = shape, n: int = count, k: int = width) -> Any:
            left, right = (rng.uniform(-2, 2, (m, k)) for m in shape)
            return (left, right, *pattern(rng, shape, n)), {}

        found["csr_sampled"].append(sampled)
    return found


def _spsolve(data: Any, b: Any, indices: Any, indptr: Any, *, transposed: bool) -> Any:
    full = dense(data, indices, indptr, (len(b), len(b))).astype(np.result_type(data, np.float32))
    dtype = np.result_type(data, b)
    return np.linalg.solve(full.T if transposed else full, b.astype(full.dtype)).astype(dtype)


SPSOLVE = "scipy.sparse.linalg.spsolve"
REFERENCES[SPSOLVE] = _spsolve


def system(rng: np.random.Generator, n: int, width: int, transposed: bool) -> Any:
    """A regular system: the last element of each row lies on the diagonal, and outweighs the others."""
    indices = np.stack([rng.integers(0, n, n), rng.integers(0, n, n), np.arange(n)], 1).ravel()
    data = np.stack([rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), rng.uniform(3, 4, n)], 1).ravel()
    arrays = data, rng.uniform(-2, 2, (n, width)), indices, np.arange(n + 1) * 3
    return arrays, {"transposed": transposed}
