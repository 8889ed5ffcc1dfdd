"""Writes docs/numpy_functions.md: NumPy's functions, and what comes of calling each with traced values.

The calls are those of ``tests/ops/numpy/surface.py``. Each is run plainly, under vjp, jvp, vmap and jit,
and compared with NumPy's value, with differences, and with a loop over examples.

python docs/make_numpy_functions.py          # rewrite the page
"""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tapegrad as tg

PAGE = Path(__file__).with_name("numpy_functions.md")
SURFACE = Path(__file__).parents[1] / "tests" / "ops" / "numpy" / "surface.py"
#: What other libraries make of the same calls, written by ``measure_numpy_functions.py``.
PEERS = Path(__file__).with_name("measured") / "numpy_functions.json"

HEAD = """# NumPy's functions

Made by `python docs/make_numpy_functions.py`, which calls each function with traced values; a test keeps
it up to date. Aliases share a row.

With NumPy {version}.

- *value*: under a transformation it is NumPy's.
- *vjp*, *jvp*: `yes` where they agree with differences; `constant` where the result has no derivative by
  its nature (integers, truth values, steps) and none is given; `refused` where an error says what to do.
- *vmap*: agrees with a loop over the examples.
- *jit*: agrees with the function itself, and is compiled. `plain` means that calls run as they are:
  random numbers must be drawn anew, or nobody has said that the function only computes.
- *autograd*, *jax*: reverse mode of the same calls with their modules in the place of NumPy, measured
  once with {peers}. `no`: the function is missing, or raises; `wrong`: another derivative
  than differences give. Calls are as NumPy takes them, with lists and writes; complex results are
  compared by their real parts.

What jumps (`floor`, `sign`) counts as constant between its jumps.

| function | call | value | vjp | jvp | vmap | jit | autograd | jax |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

TAIL = """
## Without values that could have a derivative

Sizes, texts, files and settings: {constant}.

## Others

{others}
"""


def surface() -> Any:
    """Load the tables of calls."""
    spec = importlib.util.spec_from_file_location("surface", SURFACE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seeded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Draw the same random numbers each time."""

    def run(*args: Any) -> Any:
        np.random.seed(0)  # noqa: NPY002  # what the calls draw from
        return function(*args)

    return run


def function_of(call: str, name: str, base: Any = None, space: Any = np) -> Callable[..., Any]:
    """Return a call as a function of its sample, which transformations can read."""
    text = f"lambda {name}: {call}"
    if base is not None:
        text = f"lambda {name}: [t := base.copy(), {call}, t][-1]"
    return eval(text, {"np": space, "base": base})  # type: ignore[no-any-return]


def same(a: Any, b: Any) -> bool:
    """Whether two results are equal up to rounding; of several, each."""
    if isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    kinds = (np.ndarray, np.generic, float, int)
    if isinstance(b, kinds) and np.asarray(b).dtype.kind in "fiubc":
        return bool(np.allclose(np.asarray(a), b, 1e-9, 1e-11, equal_nan=True))
    return bool(np.all(np.asarray(a) == np.asarray(b)))


def is_smooth(y: Any) -> bool:
    """Whether a result is one array of numbers that are no integers."""
    return isinstance(y, np.ndarray | np.inexact) and np.asarray(y).dtype.kind in "fc"


def stacked(results: list[Any]) -> Any:
    """Return the results of examples as one; of several, each."""
    if isinstance(results[0], tuple | list):
        return [stacked(list(parts)) for parts in zip(*results, strict=True)]
    return np.stack(results)


def in_one(f: Callable[..., Any], y: Any) -> tuple[Callable[..., Any], Any]:
    """Return a function of several arrays as one of one, and its result."""
    if isinstance(y, tuple) and all(isinstance(part, np.ndarray) for part in y):

        def joined(x: Any) -> Any:
            return np.concatenate([1.0 * np.ravel(part) for part in f(x)])

        return joined, np.concatenate([1.0 * np.ravel(part) for part in y])
    return f, y


def derivatives(f: Callable[..., Any], x: Any, y: Any) -> tuple[str, str]:
    """Compare the derivatives with differences along a direction."""
    t = np.random.default_rng(1).normal(size=x.shape)
    g = np.random.default_rng(2).normal(size=np.shape(y))
    run, step = seeded(f), 1e-6
    ends = [np.asarray(run(x + s * t)) for s in (step, -step)]
    differences = (ends[0] - ends[1]) / (2 * step)
    hole = np.isnan(np.asarray(differences))
    found = []
    pushed = seeded(lambda: tg.jvp(f, (x,), (t,))[1])()
    real = (lambda x: np.real(f(x))) if np.iscomplexobj(y) else f
    pulled = seeded(lambda: tg.vjp(real, x)[1](np.where(hole, 0.0, g)))()[0]
    want = float(np.sum(np.real(np.where(hole, 0.0, differences)) * g))
    slope = float(np.sum(np.where(np.isnan(x), 0.0, pulled) * t))
    near = np.allclose(np.where(hole, 0, pushed), np.where(hole, 0, differences), 1e-5, 1e-6)
    flat = not np.any(differences[~hole])
    found.append("yes" if abs(slope - want) <= 1e-5 * (1 + abs(want)) else "WRONG")
    found.append("yes" if near else "WRONG")
    if flat:
        found = ["constant" if word == "yes" else word for word in found]
    return found[0], found[1]


def attempt(run: Callable[[], Any]) -> Any:
    """Return a word, or that an error was raised which says what to do."""
    try:
        return run()
    except Exception as error:
        return "refused" if isinstance(error, TypeError | ValueError) else type(error).__name__


def row(call: str, x: Any, name: str, *, base: Any = None) -> list[str]:
    """Return the cells of a call."""
    f = function_of(call, name, base)
    try:
        y = seeded(f)(x)
    except TypeError:  # of dates, which a table of numbers has none of
        return ["", "refused", "refused", "", ""]
    floats = x.dtype.kind == "f"

    def value() -> str:
        if not floats:
            return "yes" if same(tg.adapt(f)(x), y) else "WRONG"
        traced = seeded(lambda: tg.vjp(f, x)[0])() if is_smooth(y) else None
        return "yes" if traced is None or same(traced, y) else "WRONG"

    def batched() -> str:
        rows = np.stack([x, x[::-1]]) if x.ndim else x
        if isinstance(y, np.dtype | type):  # examples differ in their values alone
            return "yes"
        each = seeded(lambda: [f(row) for row in rows])()
        got = seeded(tg.vmap(f))(rows)
        return "yes" if same(got, stacked(each)) else "WRONG"

    def compiled() -> str:
        jitted = tg.jit(f)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            good = same(seeded(jitted)(x), y) and same(seeded(jitted)(x), y)
        compiles = not jitted.stats().eager_calls
        return ("yes" if compiles else "plain") if good else "WRONG"

    joined, whole = in_one(f, y)
    both = ("constant", "constant")
    if floats and is_smooth(whole):
        both = attempt(lambda: derivatives(joined, x, whole))
    elif floats and ".random." in call:  # counts
        both = attempt(lambda: (str(seeded(tg.grad(lambda x: np.sum(f(x))))(x)),) * 2)
    if both == "refused":
        return ["", "refused", "refused", "", ""]
    return [attempt(value), *both, attempt(batched), attempt(compiled)]


def aliases(tables: Any) -> dict[int, list[str]]:
    """The names of each function in the public namespaces."""
    found: dict[int, list[str]] = {}
    for prefix, module in tables.MODULES.items():
        for name in dir(module):
            if not name.startswith("_"):
                found.setdefault(id(getattr(module, name)), []).append(f"np.{prefix}{name}")
    return found


class Called(NamedTuple):
    """A call of the tables."""

    call: str
    kind: str
    names: list[str]  # of the function, with its aliases
    sample: str
    x: Any
    base: Any  # what a call writes into


def called(tables: Any) -> Iterator[Called]:
    """Go through the calls of the tables, one for each function."""
    named, seen = aliases(tables), set()
    listed = [
        (call, kind)
        for kind in ("FORMS", "PLAIN", "IN_PLACE", "REFUSED", "READ", "DRAWN", "UNDRAWN")
        for call in tables.calls(getattr(tables, kind))
    ]
    for call, kind in sorted(listed, key=lambda pair: tables.name_of(pair[0])):
        value: Any = np
        for part in tables.name_of(call).split("."):
            value = getattr(value, part)
        if "DRAWN" not in kind and id(value) in seen:
            continue
        seen.add(id(value))
        names = sorted(named.get(id(value), [f"np.{tables.name_of(call)}"]))
        sample, base = tables.sample_of(call), None
        if kind == "IN_PLACE":
            base = np.arange(5.0) / 7
            if "diagonal" in call:
                base, sample = np.arange(16.0).reshape(4, 4), "p"
                call = re.sub(r"\bv\b", sample, call)
        x = tables.SAMPLES[sample]
        if x.dtype.kind == "f":
            x = x * 1.0137  # away from the places at which rounding jumps
        yield Called(call, kind, names, sample, x, base)


def rows(tables: Any, keep: Callable[[int], bool] = lambda k: True) -> dict[str, str]:
    """Return the rows of the table by their calls; those that `keep` rejects are empty."""
    peers = json.loads(PEERS.read_text(encoding="utf-8"))
    found = {}
    for k, (call, _, names, sample, x, base) in enumerate(called(tables)):
        cells = row(call, x, sample, base=base) if keep(k) else []
        shown = ", ".join(f"`{name}`" for name in names)
        text = call.replace("|", "\\|")
        others = [peers[name].get(call, "") for name in ("autograd", "jax")]
        found[call] = f"| {shown} | `{text}` | {' | '.join(cells + others)} |" if cells else ""
    return found


def page() -> str:
    """Return the whole page."""
    tables = surface()
    peers = json.loads(PEERS.read_text(encoding="utf-8"))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = "\n".join(rows(tables).values())
    constant = ", ".join(f"`np.{name}`" for name in tables.CONSTANT.split() if tables._exists(name))
    others = "\n".join(
        f"- {', '.join(f'`np.{n}`' for n in names.split() if tables._exists(n))}: {why}."
        for names, why in tables.OTHERS.items()
        if any(map(tables._exists, names.split()))
    )
    return (
        HEAD.format(version=".".join(np.__version__.split(".")[:2]), peers=peers["versions"])
        + table
        + "\n"
        + TAIL.format(constant=constant, others=others)
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
