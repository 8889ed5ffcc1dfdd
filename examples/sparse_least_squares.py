"""Terrain from scattered heights: sparse least squares whose smoothness is chosen by a derivative.

    python examples/sparse_least_squares.py --picture terrain.png

The height of the ground is known at one place in ten of a grid. The surface asked for is close to
these heights, x[places] = heights, and smooth: its second differences down and across are small. Both
together are one sparse system of least squares, with three unknown weights: for the bends down, across
and diagonally. A third of the known heights is set aside, and the weights are those whose surface misses
these least.

Each surface is the solution of the normal equations, by SciPy's sparse solver. ``tg.sparse.spsolve`` has
derivatives by the elements of the matrix, which cost one more solution, so that SciPy's ``minimize``
finds all three weights by gradients. The heights, of the hills around Jacksboro in Tennessee, are a
sample that matplotlib ships.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

import tapegrad as tg

MEASURED = 0.1


def terrain(every: int) -> Any:
    """Return heights in metres on a grid."""
    from matplotlib.cbook import get_sample_data

    with get_sample_data("jacksboro_fault_dem.npz") as file:
        return file["elevation"][::every, ::every].astype(float)


def second_differences(n: int) -> Any:
    """Return the matrix that makes n - 2 second differences of n numbers."""
    return sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(n - 2, n))


def first_differences(n: int) -> Any:
    """Return the matrix that makes n - 1 differences of n numbers."""
    return sparse.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(n - 1, n))


def bends(rows: int, columns: int) -> list[Any]:
    """Return the matrices that make bends down, across and diagonally of a flat grid."""
    down = sparse.kron(second_differences(rows), sparse.eye_array(columns))
    across = sparse.kron(sparse.eye_array(rows), second_differences(columns))
    diagonal = sparse.kron(first_differences(rows), first_differences(columns))
    return [down, across, diagonal]


def equations(shape: tuple[int, int], places: Any, heights: Any) -> Callable[[Any], Any]:
    """Return the function that solves the normal equations for the logs of three weights."""
    n = shape[0] * shape[1]
    A = sparse.csr_array(
        (np.ones(len(places)), (np.arange(len(places)), places)), shape=(len(places), n)
    )
    fixed, *weighted = [(M.T @ M).tocoo() for M in (A, *bends(*shape))]
    right = A.T @ heights
    # The elements of all four matrices, row by row; those at the same place are added.
    rows, columns = np.concatenate([M.coords for M in (fixed, *weighted)], axis=1)
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(n + 1))

    def surface(logs: Any) -> Any:
        parts = [fixed.data] + [np.exp(log) * M.data for log, M in zip(logs, weighted)]
        matrix = tg.sparse.csr(np.concatenate(parts)[order], columns[order], starts, (n, n))
        return tg.sparse.spsolve(matrix, right)

    return surface


def draw(path: str, pictures: dict[str, Any], places: Any) -> None:
    """Save a picture of the measured places, the surface, and the terrain."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    true = pictures["terrain"]
    known = np.full(true.size, np.nan)
    known[places] = true.ravel()[places]
    pictures = {"what is known": known.reshape(true.shape), **pictures}
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
    for ax, (name, picture) in zip(axes, pictures.items()):
        ax.imshow(picture, cmap="terrain", vmin=true.min(), vmax=true.max())
        ax.set(title=name, xticks=[], yticks=[])
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Choose the weights, print what was missed before and after, and draw the surface."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--every", type=int, default=3, help="use each n-th row and column")
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    true = terrain(chosen.every)
    rng = np.random.default_rng(0)
    places = rng.choice(true.size, int(MEASURED * true.size), replace=False)
    aside, used = places[::3], np.delete(places, slice(None, None, 3))
    heights = true.ravel()
    surface = equations(true.shape, used, heights[used])

    def missed(logs: Any) -> Any:
        return np.mean((surface(logs)[aside] - heights[aside]) ** 2)

    start = np.zeros(3)
    found = minimize(tg.value_and_grad(missed), start, jac=True, method="L-BFGS-B", tol=1e-4)
    # The last surface is made of all that is known.
    last = np.asarray(equations(true.shape, places, heights[places])(found.x))
    unknown = np.delete(np.arange(true.size), places)
    off = np.sqrt(np.mean((last - heights)[unknown] ** 2))
    weights = ", ".join(f"{weight:.1e}" for weight in np.exp(found.x))
    print(
        f"heights set aside are missed by {np.sqrt(missed(start)):.1f} m with weights of 1, by "
        f"{np.sqrt(found.fun):.1f} m with {weights}, after {found.nfev} calls"
    )
    print(
        f"the {len(unknown)} heights that nobody measured, by {off:.1f} m (of {heights.std():.1f})"
    )
    if chosen.picture:
        draw(chosen.picture, {"surface": last.reshape(true.shape), "terrain": true}, places)
    return {"found": found, "surface": last, "off": off, "missed": missed}


if __name__ == "__main__":
    main()
