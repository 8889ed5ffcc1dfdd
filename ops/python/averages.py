"""Means and spreads of the module ``statistics``, which computes them exactly, with fractions.

The other functions of that module are right as they are: they sort, and compute with operators. It is
not imported here; its functions are found when they are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tapegrad.ops.python.scalars import applied, declare_of_vectors, vector
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.replacements import replaces
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive, Registry, functions

__all__ = ["find_average"]

Function = Callable[..., Any]


def _spread(v: Any, center: Any, fewer: int) -> Any:
    """The mean square of differences, divided by the number less `fewer`."""
    middle = np.mean(v, -1, keepdims=True) if center is None else center[..., None]
    return np.sum((v - middle) ** 2, -1) / (v.shape[-1] - fewer)


def _root(v: Any, center: Any, fewer: int) -> Any:
    return np.sqrt(_spread(v, center, fewer))


#: Compositions that have the same derivatives: of the data, and of the second argument or None.
_COMPOSITIONS: dict[str, Function] = {
    "mean": lambda v, _: np.mean(v, -1),
    "fmean": lambda v, w: np.mean(v, -1) if w is None else np.sum(v * w, -1) / np.sum(w, -1),
    "geometric_mean": lambda v, _: np.exp(np.mean(np.log(v), -1)),
    "harmonic_mean": lambda v, w: (
        1 / np.mean(1 / v, -1) if w is None else np.sum(w, -1) / np.sum(w / v, -1)
    ),
    "variance": lambda v, center: _spread(v, center, 1),
    "pvariance": lambda v, center: _spread(v, center, 0),
    "stdev": lambda v, center: _root(v, center, 1),
    "pstdev": lambda v, center: _root(v, center, 0),
}
_WEIGHTED = frozenset({"fmean", "harmonic_mean"})
#: What gives numbers of the class of the data.
_KEEPS_CLASS = frozenset({"mean", "harmonic_mean", "variance", "pvariance"})


def find_average(key: Any) -> Any:
    """Register what is called in place of a function of ``statistics``, and return it, or None.

    `key` is the function, or the name of a primitive that it applies.
    """
    module = sys.modules.get("statistics")
    if module is None:
        return None
    if isinstance(key, str):
        name = key.removeprefix("statistics.").removesuffix("_weighted").removesuffix("_about")
        key = getattr(module, name, None) if name in _COMPOSITIONS and name != key else None
    name = getattr(key, "__name__", "")
    if name not in _COMPOSITIONS or getattr(module, name, None) is not key:
        return None
    if key is not None and key not in functions:
        _register(name, key)
    return functions[key]


Registry.finders.append(find_average)


def _register(name: str, original: Function) -> None:
    compose = _COMPOSITIONS[name]
    full = f"statistics.{name}"
    alone = declare_of_vectors(full, original, lambda v: compose(v, None), 1)
    if name in _WEIGHTED:
        paired = declare_of_vectors(f"{full}_weighted", original, compose, 2)
    else:  # the last element is the center
        paired = declare_of_vectors(
            f"{full}_about",
            lambda v: original(v[:-1], v[-1]),
            lambda v: compose(v[..., :-1], v[..., -1]),
            1,
        )

    def function(data: Iterable[Any], second: Any = None, **named: Any) -> Any:
        second = next(iter(named.values()), second)  # weights=, xbar= or mu=
        items = list(data)
        others = [] if second is None else list(second) if name in _WEIGHTED else [second]
        if not any(isinstance(a, Tensor) for a in (*items, *others)):
            return original(items, **named) if named else original(items, *_given(second))
        return _average(original, alone, paired, items, others, name)

    replaces(original, within="anywhere")(function)


def _given(second: Any) -> tuple[Any, ...]:
    return () if second is None else (second,)


def _average(
    original: Function, alone: Primitive, paired: Primitive, items: list[Any], others: list[Any],
    name: str,
) -> Any:  # fmt: skip
    n = len(items)

    def of_numbers(*numbers: Any) -> Any:
        if not others:
            return original(numbers)
        return original(numbers[:n], numbers[n:] if name in _WEIGHTED else numbers[n])

    def of_tensors(*numbers: Any) -> Any:
        if not others:
            return apply(alone, (vector(numbers),))
        if name in _WEIGHTED:
            return apply(paired, (vector(numbers[:n]), vector(numbers[n:])))
        return apply(paired, (vector(numbers),))

    numpys = any(isinstance(a, Tensor) and issubclass(stands_for(a), np.generic) for a in items)
    keeps = name in _KEEPS_CLASS and numpys
    return applied(of_numbers, of_tensors, *items, *others, python=not keeps)
