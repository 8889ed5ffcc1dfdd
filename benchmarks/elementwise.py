"""Dispatch and fusion: f(x) = sum(tanh(x) * exp(-x * x) + sin(x)) and its gradient.

Each library is used in its best ordinary way: what can be prepared once (a leaf tensor, a compiled
function) is prepared outside of the timing. All compute value and gradient in float64.
"""

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Contestant, Goal, Options, Report, Table, Timing, measure

Array = NDArray[np.float64]
Call = Callable[[], Any]
SIZES = [10, 1000, 1_000_000]
JIT = "tapegrad jit (NumPy in and out)"


def _f(np: Any, x: Any) -> Any:
    """Apply the function in terms of the namespace `np` of any of the libraries."""
    return np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))


def by_hand(x: Array) -> tuple[Any, Array]:
    """Return value and gradient as one would write them with NumPy."""
    t, e = np.tanh(x), np.exp(-x * x)
    te = t * e
    return np.sum(te + np.sin(x)), e - te * (t + 2 * x) + np.cos(x)


def _numpy(x: Array) -> Call:
    return lambda: by_hand(x)


def _mygrad(x: Array) -> Call:
    import mygrad

    leaf = mygrad.tensor(x)

    def call() -> Any:
        y = _f(mygrad, leaf)
        y.backward()
        return y.data, leaf.grad

    return call


def _mygrad_unguarded(x: Array) -> Call:
    import mygrad

    return mygrad.mem_guard_off(_mygrad(x))


def _autograd(x: Array) -> Call:
    import autograd
    import autograd.numpy

    value_and_grad = autograd.value_and_grad(lambda x: _f(autograd.numpy, x))
    return lambda: value_and_grad(x)


def _torch(x: Array) -> Call:
    import torch

    leaf = torch.from_numpy(x).requires_grad_()

    def call() -> Any:
        leaf.grad = None
        y = _f(torch, leaf)
        y.backward()
        return y.detach(), leaf.grad

    return call


def _torch_compile(x: Array) -> Call:
    import torch

    compiled = torch.compile(torch.func.grad_and_value(lambda x: _f(torch, x)))
    tensor = torch.from_numpy(x)

    def call() -> Any:
        gradient, value = compiled(tensor)
        return value, gradient

    return call


def _jax(x: Array) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    compiled = jax.jit(jax.value_and_grad(lambda x: _f(jax.numpy, x)))
    array = jax.numpy.asarray(x)

    def call() -> Any:
        value, gradient = compiled(array)
        gradient.block_until_ready()  # quicker than jax.block_until_ready on the pair
        return value, gradient

    return call


def _jax_numpy(x: Array) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    compiled = jax.jit(jax.value_and_grad(lambda x: _f(jax.numpy, x)))

    def call() -> Any:
        value, gradient = compiled(x)
        return np.asarray(value), np.asarray(gradient)  # quicker than float(value)

    return call


def _tapegrad_backward(x: Array) -> Call:
    import tapegrad as tg

    leaf = tg.tensor(x)

    def call() -> Any:
        y = _f(tg, leaf)
        y.backward()
        return y.data, leaf.grad

    return call


def _tapegrad_functional(x: Array) -> Call:
    import tapegrad as tg

    value_and_grad = tg.value_and_grad(lambda x: _f(np, x))
    return lambda: value_and_grad(x)


def _tapegrad_jit(x: Array) -> Call:
    import tapegrad as tg

    compiled = tg.jit(tg.value_and_grad(lambda x: _f(np, x)))
    return lambda: compiled(x)


CONTESTANTS = [
    Contestant("mygrad", ("mygrad",), _mygrad),
    Contestant("mygrad, memory guard off", ("mygrad",), _mygrad_unguarded),
    Contestant("autograd", ("autograd",), _autograd),
    Contestant("torch eager", ("torch",), _torch),
    Contestant("torch.compile", ("torch",), _torch_compile),
    Contestant("jax jit", ("jax",), _jax),
    Contestant("jax jit (NumPy in and out)", ("jax",), _jax_numpy),
    Contestant("NumPy by hand", (), _numpy),
    Contestant("tapegrad eager, backward()", ("tapegrad",), _tapegrad_backward),
    Contestant("tapegrad eager, value_and_grad", ("tapegrad",), _tapegrad_functional),
    Contestant(JIT, ("tapegrad",), _tapegrad_jit),
]


def _prepare(contestant: Contestant, x: Array, notes: list[str]) -> Call | str:
    """Return the call to be timed, with its answer checked, or the reason why there is none."""
    if contestant.missing():
        return "not installed"
    if contestant.name == "torch.compile" and not shutil.which("c++"):
        return "no compiler"
    try:
        call = contestant.prepare(x)
        for _ in range(3):
            value, gradient = call()
    except Exception as error:  # one broken peer must not take the table away
        notes.append(f"{contestant.name}, n = {x.size}: {type(error).__name__}: {error}")
        return "failed"
    expected = by_hand(x)
    if not np.allclose(value, expected[0], rtol=1e-9, atol=1e-9):
        return "wrong value"
    if not np.allclose(gradient, expected[1], rtol=1e-9, atol=1e-9):
        return "wrong gradient"
    return call


def run(options: Options) -> Report:
    """Measure all contestants at all sizes."""
    contestants = [c for c in CONTESTANTS if options.wants(c.name)]
    timings: dict[int, dict[str, Timing]] = {}
    problems: dict[int, dict[str, str]] = {}
    notes: list[str] = []
    for n in SIZES:
        x = np.random.default_rng(0).normal(size=n)
        prepared = {c.name: _prepare(c, x, notes) for c in contestants}
        calls = {name: call for name, call in prepared.items() if not isinstance(call, str)}
        problems[n] = {name: why for name, why in prepared.items() if isinstance(why, str)}
        timings[n] = measure(calls, options.rounds)

    head = ["microseconds a call (ratio to tapegrad jit)", *(f"n = {n:,}" for n in SIZES)]
    table = Table("f(x) = sum(tanh(x)*exp(-x*x) + sin(x)), value and gradient, float64", head)
    for contestant in contestants:
        cells = [
            problems[n].get(contestant.name) or _cell(timings[n], contestant.name) for n in SIZES
        ]
        table.rows.append([contestant.name, *cells])
    goals = {
        "Goals, by the medians": _goals(timings, lambda timing: timing.median),
        "Goals, by the best samples": _goals(timings, lambda timing: timing.best),
    }
    return Report([table], goals, notes)


def _cell(timings: dict[str, Timing], name: str) -> str:
    own = timings[name].median * 1e6
    text = f"{own:,.2f}" if own < 100 else f"{own:,.0f}"
    ratio = f"{timings[name].median / timings[JIT].median:,.2f}" if JIT in timings else "-"
    return f"{text} ({ratio})"


def _goals(
    timings: dict[int, dict[str, Timing]], statistic: Callable[[Timing], float]
) -> list[Goal]:
    def us(n: int, *names: str, factor: float = 1.0) -> float | None:
        known = [timings[n][name] for name in names if name in timings[n]]
        found = [statistic(timing) * 1e6 * factor for timing in known]
        return min(found, default=None)

    eager, jax = "tapegrad eager, backward()", ("jax jit", "jax jit (NumPy in and out)")
    return [
        Goal("eager, n = 10: half of mygrad", us(10, eager), us(10, "mygrad", factor=0.5), "us"),
        Goal(
            "eager, n = 1,000: half of mygrad",
            us(1000, eager),
            us(1000, "mygrad", factor=0.5),
            "us",
        ),
        Goal("eager, n = 10: torch eager", us(10, eager), us(10, "torch eager"), "us"),
        Goal("jit, n = 10", us(10, JIT), 2.5, "us"),
        Goal(
            "jit, n = 1,000: a fifth of jax, the better row",
            us(1000, JIT),
            us(1000, *jax, factor=1 / 5),
            "us",
        ),
        Goal(
            "jit, n = 1,000,000: a third of jax, the better row",
            us(1_000_000, JIT),
            us(1_000_000, *jax, factor=1 / 3),
            "us",
        ),
    ]
