"""Writes docs/measured/numpy_functions.json: what autograd and JAX make of the calls of the table.

Needs an environment with both, NumPy, and this repository on the path:

python docs/measure_numpy_functions.py
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import autograd
import autograd.numpy
import jax
import numpy as np

HERE = Path(__file__).parent
jax.config.update("jax_enable_x64", True)


def script() -> Any:
    """Load what makes the table."""
    spec = importlib.util.spec_from_file_location("make", HERE / "make_numpy_functions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_autograd(f: Callable[..., Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
    pull, y = autograd.make_vjp(f)(x)
    return y, pull


def by_jax(f: Callable[..., Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
    y, pull = jax.vjp(f, x)
    return y, lambda g: pull(jax.numpy.asarray(g))[0]


LIBRARIES = {"autograd": (autograd.numpy, by_autograd), "jax": (jax.numpy, by_jax)}


def verdict(make: Any, item: Any, space: Any, vjp: Any) -> str:
    """Return a word on one call: its value and, if it has one, its derivative."""
    f = make.function_of(item.call, item.sample, item.base)
    own = make.function_of(item.call, item.sample, item.base, space)
    try:
        y = make.seeded(f)(item.x)
    except TypeError:
        return ""
    try:
        if np.iscomplexobj(y):  # compared by its real part
            whole, plain = own, f
            own, f = lambda x: space.real(whole(x)), lambda x: np.real(plain(x))
            y = np.real(y)
        if item.x.dtype.kind != "f" or not make.is_smooth(y):
            return "constant" if make.same(make.seeded(own)(item.x), y) else "no"
        g = np.random.default_rng(2).normal(size=np.shape(y))
        t = np.random.default_rng(1).normal(size=item.x.shape)
        value, pull = make.seeded(lambda: vjp(own, item.x))()
        ends = [np.asarray(make.seeded(f)(item.x + s * t)) for s in (1e-6, -1e-6)]
        slopes = (ends[0] - ends[1]) / 2e-6
        hole = np.isnan(slopes)
        if not make.same(np.asarray(value), y):
            return "no"
        pulled = np.asarray(pull(np.where(hole, 0.0, g)))
    except Exception:
        return "no"
    want = np.sum(np.where(hole, 0.0, slopes) * g)
    slope = np.sum(np.where(np.isnan(item.x), 0.0, pulled) * t)
    if abs(slope - want) > 1e-5 * (1 + abs(want)):
        return "wrong"
    return "yes" if np.any(slopes[~hole]) else "constant"


def main() -> None:
    make = script()
    found: dict[str, Any] = {
        "versions": ", ".join(f"{n} {importlib.metadata.version(n)}" for n in LIBRARIES)
    }
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (space, vjp) in LIBRARIES.items():
            found[name] = {
                item.call: verdict(make, item, space, vjp) for item in make.called(make.surface())
            }
    make.PEERS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
