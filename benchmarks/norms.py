"""Norms of many vectors with their gradients, and the norm of many gradients, in float64.

The first table takes the norms of 10,000 vectors of 100 numbers and the gradient of their sum; the
second the common 2-norm of 100 arrays of 10,000 numbers, and clipping to a bound that it does not
reach, so that every call does the same. "One read" is a compiled sum of squares in one array of as
many numbers: nothing that looks at every number is much faster.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Contestant, Goal, Options, Report, Table, Timing, measure

Call = Callable[[], Any]
ORDERS = [1, 2, 3, np.inf]
OURS, EAGER = "tapegrad jit", "tapegrad eager"


def _vectors() -> Any:
    return np.random.default_rng(0).normal(size=(10_000, 100))


def _gradients() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=10_000) for _ in range(100)]


# Norms of rows -----------------------------------------------------------------------------------


def _mygrad(ord: float) -> Call:
    import mygrad

    x = mygrad.tensor(_vectors())

    def call() -> Any:
        total = mygrad.linalg.norm(x, ord, axis=1).sum()
        total.backward()
        return total.item(), x.grad

    return call


def _torch(ord: float) -> Call:
    import torch

    x = torch.from_numpy(_vectors()).requires_grad_()

    def call() -> Any:
        x.grad = None
        total = torch.linalg.vector_norm(x, ord, dim=1).sum()
        total.backward()
        return total.item(), x.grad.numpy()

    return call


def _jax(ord: float) -> Call:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x = jnp.asarray(_vectors())
    call = jax.jit(jax.value_and_grad(lambda x: jnp.linalg.norm(x, ord, axis=1).sum()))
    return lambda: jax.block_until_ready(call(x))


def _tapegrad(ord: float) -> Call:
    import tapegrad as tg

    x = tg.tensor(_vectors())

    def call() -> Any:
        total = tg.linalg.vector_norm(x, ord, axis=1).sum()
        total.backward()
        return total.item(), x.grad

    return call


def _tapegrad_jit(ord: float) -> Call:
    import tapegrad as tg

    x = _vectors()
    compiled = tg.jit(
        tg.value_and_grad(lambda x: np.sum(tg.linalg.vector_norm(x, ord, axis=1))), strict=True
    )
    return lambda: compiled(x)


ROWS = [
    Contestant("mygrad", ("mygrad",), _mygrad),
    Contestant("torch eager", ("torch",), _torch),
    Contestant("jax jit", ("jax",), _jax),
    Contestant(EAGER, ("tapegrad",), _tapegrad),
    Contestant(OURS, ("tapegrad",), _tapegrad_jit),
]

# The norm of many arrays -------------------------------------------------------------------------


def _torch_norm(_: Any) -> Call:
    import torch

    tensors = [torch.from_numpy(g) for g in _gradients()]
    return lambda: torch.nn.utils.get_total_norm(tensors)


def _torch_clip(_: Any) -> Call:
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(10_000, dtype=torch.float64)) for _ in range(100)]
    for parameter, gradient in zip(parameters, _gradients()):
        parameter.grad = torch.from_numpy(gradient)
    return lambda: torch.nn.utils.clip_grad_norm_(parameters, 2e3)


def _grad_norm(_: Any) -> Call:
    import tapegrad as tg

    gradients = _gradients()
    return lambda: tg.nnet.util.grad_norm(gradients)


def _grad_norm_jit(_: Any) -> Call:
    import tapegrad as tg

    gradients = _gradients()
    compiled = tg.jit(lambda gradients: tg.nnet.util.grad_norm(gradients), strict=True)
    return lambda: compiled(gradients)


def _clip_jit(_: Any) -> Call:
    import tapegrad as tg

    gradients = _gradients()
    compiled = tg.jit(lambda gradients: tg.clip_by_global_norm(gradients, 2e3), strict=True)
    return lambda: compiled(gradients)[1]


def _clip(_: Any) -> Call:
    import tapegrad as tg

    tensors = [tg.tensor(np.zeros(10_000)) for _ in range(100)]
    for tensor, gradient in zip(tensors, _gradients()):
        (tensor * gradient).sum().backward()
    return lambda: tg.nnet.util.clip_grad_norm(tensors, 2e3)


def _one_read(_: Any) -> Call:
    import tapegrad as tg

    joined = np.concatenate(_gradients())
    compiled = tg.jit(lambda x: np.sqrt(np.sum(x * x)), strict=True)
    return lambda: compiled(joined)


TOTAL = [
    Contestant("torch get_total_norm", ("torch",), _torch_norm),
    Contestant("tapegrad grad_norm", ("tapegrad",), _grad_norm),
    Contestant("tapegrad jit(grad_norm)", ("tapegrad",), _grad_norm_jit),
    Contestant("one read", ("tapegrad",), _one_read),
    Contestant("torch clip_grad_norm_ (in place)", ("torch",), _torch_clip),
    Contestant("tapegrad clip_grad_norm (in place)", ("tapegrad",), _clip),
    Contestant("tapegrad jit(clip_by_global_norm)", ("tapegrad",), _clip_jit),
]


def _prepared(contestants: list[Contestant], given: Any, agree: Any, notes: list[str]) -> Any:
    """Return the calls of those that are installed and right."""
    calls: dict[str, Call] = {}
    for contestant in contestants:
        if contestant.missing():
            continue
        try:
            call = contestant.prepare(given)
            if agree(call()):
                calls[contestant.name] = call
            else:
                notes.append(f"{contestant.name}: wrong result")
        except Exception as error:  # one broken peer must not take the table away
            notes.append(f"{contestant.name}: {type(error).__name__}: {error}")
    return calls


def _of_rows(options: Options, notes: list[str]) -> tuple[Table, list[Goal]]:
    head = ["microseconds, value and gradient (ratio to tapegrad jit)"]
    table = Table("vector_norm of 10,000 x 100", [*head, *(f"ord {o}" for o in ORDERS)])
    rows = [c for c in ROWS if options.wants(c.name)]
    cells = {c.name: [c.name] for c in rows}
    goals = []
    for ord in ORDERS if rows else ():
        value, gradient = _tapegrad(ord)()

        def agree(got: Any) -> bool:
            return np.allclose(got[0], value) and np.allclose(got[1], gradient)  # noqa: B023

        timings = measure(_prepared(rows, ord, agree, notes), options.rounds)
        for name, row in cells.items():
            row.append(_cell(timings, name, OURS))
        others = [t.best for name, t in timings.items() if not name.startswith("tapegrad")]
        if OURS in timings and others:
            goals.append(
                Goal(f"ord {ord}: the fastest", _us(timings, OURS), min(others) * 1e6, "us")
            )
    table.rows += cells.values()
    return table, goals


def _us(timings: dict[str, Timing], name: str, factor: float = 1.0) -> float | None:
    return timings[name].best * 1e6 * factor if name in timings else None


def _cell(timings: dict[str, Timing], name: str, unit: str) -> str:
    if name not in timings:
        return "-"
    ratio = f" ({timings[name].median / timings[unit].median:.2f})" if unit in timings else ""
    return f"{timings[name].median * 1e6:,.0f}{ratio}"


def _of_all(options: Options, notes: list[str]) -> tuple[Table, list[Goal]]:
    table = Table("100 arrays of 10,000", ["microseconds (ratio to one read)", "2-norm"])
    rows = [c for c in TOTAL if options.wants(c.name)]
    want = float(np.linalg.norm(np.concatenate(_gradients())))
    calls = _prepared(rows, None, lambda got: np.isclose(float(got), want), notes)
    timings = measure(calls, options.rounds)
    table.rows += [[c.name, _cell(timings, c.name, "one read")] for c in rows]
    pairs = [
        ("grad_norm: torch", "tapegrad grad_norm", "torch get_total_norm"),
        ("jit(grad_norm): torch", "tapegrad jit(grad_norm)", "torch get_total_norm"),
        (
            "jit(clip): torch",
            "tapegrad jit(clip_by_global_norm)",
            "torch clip_grad_norm_ (in place)",
        ),
    ]
    found = [(t, a, b) for t, a, b in pairs if a in timings]
    return table, [Goal(t, _us(timings, a), _us(timings, b), "us") for t, a, b in found]


def run(options: Options) -> Report:
    """Measure norms of rows, and of many arrays together."""
    notes: list[str] = []
    first, goals = _of_rows(options, notes)
    second, more = _of_all(options, notes)
    tables = [t for t in (first, second) if t.rows]
    return Report(tables, {"Goals, by the best samples": goals + more}, notes)
