"""One epoch of training: a 64-32-10 tanh network on the digits, 14 batches of 128, Adam, in float64.

Each contestant begins at the same parameters and returns the loss of its last step, which has to be the
same. With "a call for each step" Python goes from batch to batch; with "scan" the whole epoch is one
compiled call. Batches are cut beforehand, and first calls are not timed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Contestant, Goal, Options, Report, Table, measure

Call = Callable[[], Any]
RATE, BATCH, STEPS = 0.01, 128, 14
OURS, OURS_SCAN = "tapegrad Step, a call for each step", "tapegrad Step in a scan"
ROW = "digits, one epoch"


def _start() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "W1": rng.normal(size=(64, 32)) / 8.0,
        "b1": np.zeros(32),
        "W2": rng.normal(size=(32, 10)) / 6.0,
        "b2": np.zeros(10),
    }


def _batches() -> tuple[Any, Any]:
    from tapegrad.data import load_digits

    images, labels = load_digits()
    count = BATCH * STEPS
    X, Y = images[:count] / 16.0, np.eye(10)[labels[:count]]
    return X.reshape(STEPS, BATCH, 64), Y.reshape(STEPS, BATCH, 10)


def _loss(numpy: Any) -> Callable[..., Any]:
    """Return the loss in the words of NumPy or of JAX."""

    def loss(p: Any, X: Any, Y: Any) -> Any:
        scores = numpy.tanh(X @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
        shifted = scores - numpy.max(scores, axis=1, keepdims=True)
        likely = shifted - numpy.log(numpy.sum(numpy.exp(shifted), axis=1, keepdims=True))
        return -numpy.mean(numpy.sum(Y * likely, axis=1))

    return loss


def _tapegrad(_: Any) -> Call:
    import tapegrad as tg

    step = tg.training.Step(_loss(np), tg.optim.adam, learning_rate=RATE, donate=True)
    X, Y = _batches()
    state = step.init(_start())

    def call() -> Any:
        params, own = _start(), tg.tree_map(np.copy, state)
        for i in range(STEPS):
            params, own, value, _ = step(params, own, (X[i], Y[i]), RATE)
        return value

    return call


def _tapegrad_scan(_: Any) -> Call:
    import tapegrad as tg

    step = tg.training.Step(_loss(np), tg.optim.adam, learning_rate=RATE)
    X, Y = _batches()

    @tg.jit
    def epoch(params: Any, state: Any, X: Any, Y: Any) -> Any:
        def body(both: Any, batch: Any) -> Any:
            params, state, value, _ = step(*both, batch)
            return (params, state), value

        return tg.scan(body, (params, state), (X, Y))

    start = _start()
    state = step.init(start)
    return lambda: epoch(start, state, X, Y)[1][-1]


def _jax_step() -> Any:
    """Return Adam's step, and its first state, in JAX."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    loss = _loss(jnp)

    def step(both: Any, batch: Any) -> Any:
        params, (count, mu, nu) = both
        value, grads = jax.value_and_grad(loss)(params, *batch)
        count = count + 1
        mu = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mu, grads)
        nu = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, nu, grads)

        def moved(p: Any, m: Any, v: Any) -> Any:
            root = jnp.sqrt(v / (1.0 - 0.999**count)) + 1e-8
            return p - RATE * (m / (1.0 - 0.9**count)) / root

        return (jax.tree.map(moved, params, mu, nu), (count, mu, nu)), value

    zeros = jax.tree.map(jnp.zeros_like, _start())
    return step, (jnp.zeros(()), zeros, zeros)


def _jax(_: Any) -> Call:
    import jax

    step, state = _jax_step()
    X, Y = map(jax.numpy.asarray, _batches())
    compiled = jax.jit(step)

    def call() -> Any:
        both: Any = jax.tree.map(jax.numpy.asarray, (_start(), state))
        for i in range(STEPS):
            both, value = compiled(both, (X[i], Y[i]))
        return jax.block_until_ready(value)

    return call


def _jax_scan(_: Any) -> Call:
    import jax

    step, state = _jax_step()
    X, Y = map(jax.numpy.asarray, _batches())
    both = jax.tree.map(jax.numpy.asarray, (_start(), state))
    compiled = jax.jit(lambda both, X, Y: jax.lax.scan(step, both, (X, Y)))
    return lambda: jax.block_until_ready(compiled(both, X, Y))[1][-1]


def _torch(_: Any) -> Call:
    import torch

    X, Y = map(torch.from_numpy, _batches())

    def call() -> Any:
        p = {name: torch.from_numpy(a).requires_grad_() for name, a in _start().items()}
        optimiser = torch.optim.Adam(p.values(), lr=RATE)
        for i in range(STEPS):
            optimiser.zero_grad()
            scores = torch.tanh(X[i] @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
            value = -(Y[i] * torch.log_softmax(scores, 1)).sum(1).mean()
            value.backward()
            optimiser.step()
        return value.item()

    return call


CONTESTANTS = [
    Contestant("torch eager", ("torch",), _torch),
    Contestant("jax jit, a call for each step", ("jax",), _jax),
    Contestant("jax scan in a jit", ("jax",), _jax_scan),
    Contestant(OURS, ("tapegrad",), _tapegrad),
    Contestant(OURS_SCAN, ("tapegrad",), _tapegrad_scan),
]


def run(options: Options) -> Report:
    """Measure an epoch, and hold ours against half of the time of the fastest other."""
    notes: list[str] = []
    calls: dict[str, Call] = {}
    wanted = float(_tapegrad(None)())
    for contestant in (c for c in CONTESTANTS if options.wants(c.name) and not c.missing()):
        try:
            call = contestant.prepare(None)
            if np.isclose(float(call()), wanted, rtol=1e-6):
                calls[contestant.name] = call
            else:
                notes.append(f"{contestant.name}: another loss, {float(call()):.6f}")
        except Exception as error:  # one broken peer must not take the table away
            notes.append(f"{contestant.name}: {type(error).__name__}: {error}")
    timings = measure(calls, options.rounds)
    table = Table(f"{ROW}, {STEPS} steps", ["microseconds a step", "median", "best"])
    for name, timing in timings.items():
        cells = (f"{seconds * 1e6 / STEPS:,.1f}" for seconds in timing)
        table.rows.append([name, *cells])
    others = [t.best for name, t in timings.items() if not name.startswith("tapegrad")]
    ours = [timings[name].best for name in (OURS, OURS_SCAN) if name in timings]
    goal = Goal(
        "half of the fastest other's step",
        min(ours) * 1e6 / STEPS if ours else None,
        min(others) * 0.5e6 / STEPS if others else None,
        "us",
    )
    return Report([table], {"Goals, by the best samples": [goal]}, notes)
