"""Layers of neural networks, forward and backward, in float32, against mygrad and torch.

The loss is the sum of the result; every leaf (data and parameters) gets its gradient. Convolutions
map to as many filters as there are channels, and to 32 from three. tapegrad runs imperatively, as the
peers do, and compiled by ``jit``.

The second table is the memory that a convolution takes at its peak, forward and backward, beyond
what was there before: data and filters. Each library is measured in a process of its own, after a
convolution of as many tiny images has loaded what is loaded at first use.
"""

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness import Contestant, Goal, Options, Report, Table, Timing, measure

Arrays = list[Any]
Call = Callable[[], Any]
OURS, JIT = "tapegrad eager, backward()", "tapegrad jit"
CONVOLUTIONS = [
    ("conv 32x3x32x32, 3x3", (32, 3, 32, 32), 32, 3),
    ("conv 32x3x32x32, 5x5", (32, 3, 32, 32), 32, 5),
    ("conv 32x64x16x16, 3x3", (32, 64, 16, 16), 64, 3),
    ("conv 32x64x16x16, 5x5", (32, 64, 16, 16), 64, 5),
]
PEAK = "peak memory of"
OTHERS = [
    "max_pool 32x64x32x32, 2x2",
    "batchnorm 32x64x32x32",
    "gru T=50, N=32, 64 -> 64",
    "softmax_crossentropy 1024x1000",
]
LAYERS = [name for name, *_ in CONVOLUTIONS] + OTHERS


def _data(layer: str) -> Arrays:
    """Return the leaves of a layer; the labels of a loss are not among them."""
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> Any:
        return (rng.normal(size=shape) * scale).astype(np.float32)

    for name, (n, c, *size), filters, k in CONVOLUTIONS:
        if layer == name:
            return [normal(n, c, *size), normal(filters, c, k, k)]
        if layer == _tiny(name):
            return [normal(n, c, k + 1, k + 1), normal(filters, c, k, k)]
    if layer.startswith("max_pool"):
        return [normal(32, 64, 32, 32)]
    if layer.startswith("batchnorm"):
        return [normal(32, 64, 32, 32), normal(64), normal(64)]
    if layer.startswith("gru"):
        weights = [normal(*s, scale=0.1) for s in ((64, 64), (64, 64), (64,)) * 3]
        return [normal(50, 32, 64), *weights]
    return [normal(1024, 1000)]


def _tiny(convolution: str) -> str:
    return convolution + ", tiny"


def _labels() -> Any:
    return np.random.default_rng(1).integers(0, 1000, 1024)


def _layer(nnet: Any, layer: str, leaves: Arrays) -> Any:
    """Apply a layer of mygrad or of tapegrad."""
    if layer.startswith("conv"):
        return nnet.conv_nd(*leaves, stride=1)
    if layer.startswith("max_pool"):
        return nnet.max_pool(leaves[0], (2, 2), 2)
    if layer.startswith("batchnorm"):
        return nnet.batchnorm(leaves[0], gamma=leaves[1], beta=leaves[2], eps=1e-5)
    if layer.startswith("gru"):
        return nnet.gru(*leaves)
    return nnet.softmax_crossentropy(leaves[0], _labels())


def _eager(library: Any, nnet: Any, layer: str) -> Call:
    leaves = [library.tensor(a) for a in _data(layer)]

    def call() -> Any:
        _layer(nnet, layer, leaves).sum().backward()
        return [leaf.grad for leaf in leaves]

    return call


def _mygrad(layer: str) -> Call:
    import mygrad
    import mygrad.nnet

    return _eager(mygrad, mygrad.nnet, layer)


def _tapegrad(layer: str) -> Call:
    import tapegrad as tg

    return _eager(tg, tg.nnet, layer)


def _tapegrad_jit(layer: str) -> Call:
    import tapegrad as tg

    leaves = _data(layer)
    labels = _labels()

    def loss(leaves: Arrays, labels: Any) -> Any:
        if layer.startswith("softmax"):
            return tg.nnet.softmax_crossentropy(leaves[0], labels)
        return np.sum(_layer(tg.nnet, layer, leaves))

    compiled = tg.jit(tg.grad(loss))
    return lambda: compiled(leaves, labels)


def _torch(layer: str) -> Call:
    import torch
    from torch.nn import functional

    leaves = [torch.from_numpy(a).requires_grad_() for a in _data(layer)]
    x, *rest = leaves
    labels = torch.from_numpy(_labels())
    if layer.startswith("gru"):
        return _torch_gru(leaves)

    def apply() -> Any:
        if layer.startswith("conv"):
            return functional.conv2d(x, rest[0])
        if layer.startswith("max_pool"):
            return functional.max_pool2d(x, 2)
        if layer.startswith("batchnorm"):
            return functional.batch_norm(x, None, None, rest[0], rest[1], training=True)
        return functional.cross_entropy(x, labels)

    def call() -> Any:
        for leaf in leaves:
            leaf.grad = None
        apply().sum().backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return call


def _torch_gru(leaves: Any) -> Call:
    """Return torch's own layer, whose reset gate acts after the product: alike, but not the same."""
    import torch

    layer = torch.nn.GRU(64, 64)
    x = leaves[0]

    def call() -> Any:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].sum().backward()
        return []

    return call


CONTESTANTS = [
    Contestant("mygrad", ("mygrad",), _mygrad),
    Contestant("torch eager", ("torch",), _torch),
    Contestant(OURS, ("tapegrad",), _tapegrad),
    Contestant(JIT, ("tapegrad",), _tapegrad_jit),
]


def _agree(got: Arrays, expected: Arrays) -> bool:
    return all(
        np.allclose(a, b, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(b).max())))
        for a, b in zip(got, expected)
    )


def run(options: Options) -> Report:
    """Measure all contestants on the layers that are wanted."""
    head = ["milliseconds, forward and backward (ratio to tapegrad eager)"]
    table = Table("Layers, float32", [*head, *(c.name for c in CONTESTANTS)])
    goals: list[Goal] = []
    notes: list[str] = []
    for layer in filter(options.wants, LAYERS):
        calls: dict[str, Call] = {}
        cells = dict.fromkeys((c.name for c in CONTESTANTS), "not installed")
        expected = _tapegrad(layer)()
        for contestant in CONTESTANTS:
            if contestant.missing():
                continue
            try:
                call = contestant.prepare(layer)
                got = call()
            except Exception as error:  # one broken peer must not take the table away
                notes.append(f"{contestant.name}, {layer}: {type(error).__name__}: {error}")
                cells[contestant.name] = "failed"
                continue
            if not _agree(got, expected):
                cells[contestant.name] = "wrong gradient"
                continue
            calls[contestant.name] = call
        timings = _measure(calls, options.rounds)
        for name, timing in timings.items():
            ratio = f"{timing.median / timings[OURS].median:.2f}" if OURS in timings else "-"
            cells[name] = f"{timing.median * 1e3:,.2f} ({ratio})"
        table.rows.append([layer, *cells.values()])
        goals += _goals(layer, timings)
    peaks, peak_goals = _peaks(options)
    titles = {"Goals, by the best samples": goals, "Goals for memory": peak_goals}
    tables = [t for t in (table, peaks) if t.rows]
    return Report(tables, {title: found for title, found in titles.items() if found}, notes)


def _measure(calls: dict[str, Call], rounds: int) -> dict[str, Timing]:
    """Take three samples of each contestant in turns, each time after a rest.

    The threads of BLAS and of OpenMP wait for more work at full speed for a tenth of a second, at
    the expense of whoever comes next.
    """
    samples: dict[str, list[Timing]] = {name: [] for name in calls}
    for _ in range(max(2, rounds // 3)):
        for name, call in calls.items():
            time.sleep(0.15)
            samples[name].append(measure({name: call}, 3)[name])
    return {
        name: Timing(median(t.median for t in timings), min(t.best for t in timings))
        for name, timings in samples.items()
    }


def _goals(layer: str, timings: dict[str, Timing]) -> list[Goal]:
    def ms(name: str, factor: float = 1.0) -> float | None:
        return timings[name].best * 1e3 * factor if name in timings else None

    goals = [Goal(f"{layer}: half of mygrad", ms(OURS), ms("mygrad", 0.5), "ms")]
    if layer.startswith(("conv", "gru")):
        goals.append(Goal(f"{layer}: 1.5 of torch", ms(OURS), ms("torch eager", 1.5), "ms"))
    return goals


def _peaks(options: Options) -> tuple[Table, list[Goal]]:
    """Measure the peak memory of the convolutions that are wanted."""
    contestants = [c for c in CONTESTANTS if c.name != JIT]
    head = "megabytes (ratio to tapegrad eager)"
    table = Table(
        f"{PEAK} convolutions, forward and backward", [head, *(c.name for c in contestants)]
    )
    goals = []
    for layer in filter(options.wants, (name for name, *_ in CONVOLUTIONS)):
        peaks = {c.name: _peak(c.name, layer) for c in contestants if not c.missing()}
        ours = peaks.get(OURS)
        cells = dict.fromkeys((c.name for c in contestants), "not installed")
        for name, peak in peaks.items():
            ratio = f"{peak / ours:.2f}" if ours and peak else "-"
            cells[name] = "not measured" if peak is None else f"{peak:.2f} ({ratio})"
        table.rows.append([layer, *cells.values()])
        theirs = peaks.get("torch eager")
        bound = theirs and 1.25 * theirs
        goals.append(Goal(f"{PEAK} {layer}: 1.25 of torch", ours, bound, "MB"))
    return table, goals


def _peak(name: str, layer: str) -> float | None:
    """Run a contestant in a fresh process; return the megabytes that one call takes."""
    code = f"from benchmarks.layers import peak_growth; print(peak_growth({name!r}, {layer!r}))"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    return float(done.stdout) / 1e6 if done.returncode == 0 else None


def peak_growth(name: str, layer: str) -> int:
    """Return by how many bytes the peak of this process's memory grows in the first call of a layer."""
    contestant = next(c for c in CONTESTANTS if c.name == name)
    tiny = contestant.prepare(_tiny(layer))
    for _ in range(3):
        tiny()
    call = contestant.prepare(layer)
    gc.collect()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what is there now
    result = call()
    growth = _status("VmHWM") - before
    del result
    return growth


def _status(field: str) -> int:
    """Return a number of bytes that Linux knows about this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")
