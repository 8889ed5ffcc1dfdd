"""Sparse derivatives: a chain of 100,000 variables, and bundle adjustment with 31,843 observations.

Of the chain, finding pattern and colours is held against one evaluation of the compressed hessian; of
bundle adjustment, the sparse jacobian against two pullbacks by the parameters as each observation sees
them, which somebody wrote who knew the structure, and which are not put together into a matrix.
"""

from typing import Any

import numpy as np

import tapegrad as tg
from benchmarks.harness import Goal, Options, Report, Table, Timing, measure
from examples.gallery.bundle_adjustment import data, residuals
from tapegrad.tape.transforms.compression import FlatTrace, Graph, scheme_of
from tapegrad.tape.transforms.pullbacks import pull_from

WRT = (0, 1, 2)
SIZE = (49, 7776, 31_843)


def chained(x: Any) -> Any:
    """Rosenbrock's function of many variables."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def by_hand(cameras: Any, points: Any, weights: Any, by: Any, which: Any, features: Any) -> Any:
    """Two pullbacks, of both coordinates of all observations, to parameters picked for each."""
    each = np.arange(len(by))

    def of_picked(c: Any, x: Any, w: Any) -> Any:
        return residuals(c, x, w, each, each, features)[0]

    _, pull = tg.vjp(of_picked, cameras[by], points[which], weights)
    unit = np.eye(2)[:, None] * np.ones((len(by), 1))
    return pull(unit[0]), pull(unit[1])


def run(options: Options) -> Report:
    """Measure both programs."""
    x = np.random.default_rng(0).normal(size=100_000)
    _, pullback, _ = pull_from(tg.grad(chained), (x,), False, "benchmark", kind=FlatTrace)
    hessian = tg.sparse_hessian(chained, triple=True)
    compiled = tg.sparse_hessian(chained, triple=True, compiled=True)
    calls = {
        "finding pattern and colours": lambda: scheme_of(Graph(pullback), symmetric=True),
        "sparse_hessian": lambda: hessian(x),
        "sparse_hessian, compiled": lambda: compiled(x),
    }
    chain = measure(calls, options.rounds)
    args = data(*SIZE)
    jacobian = tg.sparse_jacobian(residuals, WRT, triple=True)
    fast = tg.sparse_jacobian(residuals, WRT, triple=True, compiled=True)
    jitted = tg.jit(by_hand)
    bundle = measure(
        {
            "two pullbacks by hand": lambda: by_hand(*args),
            "two pullbacks by hand, jit": lambda: jitted(*args),
            "sparse_jacobian": lambda: jacobian(*args),
            "sparse_jacobian, compiled": lambda: fast(*args),
        },
        options.rounds,
    )
    hand, ours = "two pullbacks by hand", "sparse_jacobian"
    goals = [
        _goal("one evaluation", chain, "finding pattern and colours", "sparse_hessian"),
        _goal(hand, bundle, ours, hand),
        _goal(f"{hand}, jit", bundle, f"{ours}, compiled", f"{hand}, jit"),
    ]
    tables = [_table("chain of 100,000", chain), _table("bundle adjustment, 31,843", bundle)]
    return Report(tables, {"Goals, by the best samples": goals})


def _table(title: str, timings: dict[str, Timing]) -> Table:
    rows = [[name, f"{t.median * 1e3:,.2f}"] for name, t in timings.items()]
    return Table(title, ["milliseconds", "median"], rows)


def _goal(text: str, timings: dict[str, Timing], ours: str, bound: str) -> Goal:
    return Goal(f"{ours}: {text}", timings[ours].best * 1e3, timings[bound].best * 1e3, "ms")
