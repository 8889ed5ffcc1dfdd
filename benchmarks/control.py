"""Loops as one operation, forward and backward, in float64, against JAX and loops in Python.

Rows: a recurrent network over 50 steps by ``scan``; 10,000 steps of ten numbers by ``scan``, with all
that its derivative needs kept, by segments of 100, and unrolled 20 times; the same by ``while_loop``,
which JAX does not differentiate in reverse. Times are those of value and gradient together, after the
first call.

The second table is what the first call takes, recording and compiling included, and the third the memory
that NumPy allocates at the peak of a call.
"""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Contestant, Goal, Options, Report, Table, measure

Call = Callable[[], Any]
STEPS, SEGMENT = 10_000, 100
RNN = "rnn T=50, N=32, 64 -> 64"
LONG, SEGMENTS, UNROLLED, WHILE = (
    f"scan of {STEPS:,} steps",
    f"the same, checkpoint={SEGMENT}",
    "the same, unroll=20",
    f"while_loop of {STEPS:,} steps",
)
ROWS = [RNN, LONG, SEGMENTS, UNROLLED, WHILE]
EAGER, JIT, JAX = "tapegrad eager", "tapegrad jit", "jax jit"
PYTHON, COMPILED = "tapegrad, Python's loop", "tapegrad jit, Python's loop"


def _weights() -> list[Any]:
    rng = np.random.default_rng(0)
    return [0.1 * rng.normal(size=(64, 64)) for _ in range(2)] + [np.zeros(64)]


def _data() -> Any:
    return np.random.default_rng(1).normal(size=(50, 32, 64))


def _loss(row: str, numpy: Any, control: Any, checkpoint: Callable[..., Any] | None) -> Any:
    """Return the loss of a row and its arguments, in the words of tapegrad or of JAX."""
    if row == RNN:
        data = _data()

        def recurrent(w: Any, u: Any, b: Any) -> Any:
            def step(h: Any, x: Any) -> Any:
                h = numpy.tanh(h @ w + x @ u + b)
                return h, h

            return numpy.sum(control.scan(step, numpy.zeros((32, 64)), data)[1] ** 2)

        return recurrent, _weights()

    def trip(c: Any, x: Any) -> Any:
        return c + 0.001 * numpy.sin(c) * x

    def scanned(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return trip(c, x), None

        start = numpy.ones(10)
        if row == SEGMENTS and checkpoint is not None:  # JAX has no such argument

            @checkpoint
            def segment(c: Any, _: Any) -> Any:
                return control.scan(step, c, None, length=SEGMENT)

            last, _ = control.scan(segment, start, None, length=STEPS // SEGMENT)
        elif row == SEGMENTS:
            last, _ = control.scan(step, start, length=STEPS, checkpoint=SEGMENT)
        else:
            unroll = 20 if row == UNROLLED else 1
            last, _ = control.scan(step, start, None, length=STEPS, unroll=unroll)
        return numpy.sum(last)

    def repeated(x: Any) -> Any:
        def goes_on(state: Any) -> Any:
            return state[0] < STEPS

        def body(state: Any) -> Any:
            return state[0] + 1, trip(state[1], x)

        return numpy.sum(control.while_loop(goes_on, body, (0, numpy.ones(10)))[1])

    return (repeated if row == WHILE else scanned), [np.array(2.0)]


def _tapegrad(row: str) -> Call:
    import tapegrad as tg

    loss, arguments = _loss(row, np, tg, None)
    gradient = tg.value_and_grad(loss, argnums=tuple(range(len(arguments))))
    return lambda: gradient(*arguments)


def _tapegrad_jit(row: str) -> Call:
    import tapegrad as tg

    loss, arguments = _loss(row, np, tg, None)
    gradient = tg.jit(tg.value_and_grad(loss, argnums=tuple(range(len(arguments)))))
    return lambda: gradient(*arguments)


class _Python:
    """Loops in Python, in the words of ``scan`` and ``while_loop``."""

    @staticmethod
    def scan(f: Any, init: Any, xs: Any = None, length: Any = None, **_: Any) -> Any:
        carry, ys = init, []
        for t in range(length if xs is None else len(xs)):
            carry, y = f(carry, None if xs is None else xs[t])
            if xs is not None:
                ys.append(y)
        return carry, None if xs is None else np.stack(ys)

    @staticmethod
    def while_loop(goes_on: Any, body: Any, state: Any) -> Any:
        while goes_on(state):
            state = body(state)
        return state


def _in_python(row: str) -> Call:
    import tapegrad as tg

    loss, arguments = _loss(row, np, _Python, None)
    gradient = tg.value_and_grad(loss, argnums=tuple(range(len(arguments))))
    return lambda: gradient(*arguments)


def _compiled_in_python(row: str) -> Call:
    import tapegrad as tg

    loss, arguments = _loss(row, np, _Python, None)
    gradient = tg.jit(tg.value_and_grad(loss, argnums=tuple(range(len(arguments)))))
    return lambda: gradient(*arguments)


def _jax(row: str) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    loss, arguments = _loss(row, jax.numpy, jax.lax, jax.checkpoint)
    gradient = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(len(arguments)))))
    return lambda: jax.block_until_ready(gradient(*arguments))


CONTESTANTS = [
    Contestant(PYTHON, ("tapegrad",), _in_python),
    Contestant(JAX, ("jax",), _jax),
    Contestant(EAGER, ("tapegrad",), _tapegrad),
    Contestant(JIT, ("tapegrad",), _tapegrad_jit),
    Contestant(COMPILED, ("tapegrad",), _compiled_in_python),
]


def _peak(call: Call) -> float:
    """Return the megabytes that NumPy allocates at the peak of a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def run(options: Options) -> Report:
    """Measure all contestants on the rows that are wanted."""
    names = [c.name for c in CONTESTANTS]
    times = Table("Loops, float64", ["milliseconds, value and gradient", *names])
    firsts = Table("The first call", ["seconds", *names])
    peaks = Table("Peak memory", ["megabytes", *(n for n in names if n != JAX)])
    best: dict[tuple[str, str], float] = {}
    memory: dict[tuple[str, str], float] = {}
    for row in filter(options.wants, ROWS):
        calls: dict[str, Call] = {}
        first = dict.fromkeys(names, "not installed")
        for contestant in CONTESTANTS:
            if contestant.missing():
                continue
            if row == WHILE and contestant.name == JAX:
                first[JAX] = "refuses"
                continue
            call = contestant.prepare(row)
            began = time.perf_counter()
            call()
            first[contestant.name] = f"{time.perf_counter() - began:.2f}"
            calls[contestant.name] = call
        timings = measure(calls, max(3, options.rounds // 3))
        best.update({(row, name): t.best * 1e3 for name, t in timings.items()})
        shown = {n: f"{timings[n].median * 1e3:,.2f}" if n in timings else first[n] for n in names}
        times.rows.append([row, *shown.values()])
        firsts.rows.append([row, *first.values()])
        memory.update({(row, n): _peak(call) for n, call in calls.items() if n != JAX})
        shown = {n: f"{memory[row, n]:,.2f}" if n in calls else first[n] for n in names if n != JAX}
        peaks.rows.append([row, *shown.values()])
    return Report([times, firsts, peaks], {"Goals, by the best samples": _goals(best, memory)})


def _goals(best: dict[tuple[str, str], float], memory: dict[tuple[str, str], float]) -> list[Goal]:
    def bound(row: str, name: str, factor: float) -> float | None:
        found = best.get((row, name))
        return None if found is None else factor * found

    goals = [
        Goal(f"{row}: no slower than jax", best.get((row, JIT)), bound(row, JAX, 1.0), "ms")
        for row in (RNN, LONG, SEGMENTS, UNROLLED)
    ]
    goals += [
        Goal(
            f"{name}: segments 1.5 times the time",
            best.get((SEGMENTS, name)),
            bound(LONG, name, 1.5),
            "ms",
        )
        for name in (EAGER, JIT)
    ]
    everything = memory.get((LONG, JIT))
    part = None if everything is None else 0.2 * everything
    goals.append(Goal("segments: a fifth of the memory", memory.get((SEGMENTS, JIT)), part, "MB"))
    return [goal for goal in goals if goal.measured is not None]
