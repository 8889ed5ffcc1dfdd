"""Random numbers of NumPy's generators whose parameters are traced.

What is drawn is what NumPy draws, from the same stream, written as a function of numbers that do not
depend on the parameters: so derivatives are those of the path (``loc + scale * z`` by loc is 1). Where
there is no such function, as of counts, a parameter with a derivative is refused.

>>> import numpy as np
>>> import tapegrad as tg
>>> rng = np.random.default_rng(0)
>>> float(tg.grad(lambda scale: rng.normal(5.0, scale))(2.0).round(4))
0.1257
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import operand
from tapegrad.tape.array.numbers import plain_value
from tapegrad.tape.array.replacements import Replacement
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.primitive import Registry, functions

__all__ = ["find_draw"]

_MODULE = "numpy.random"
_CLASSES = ("Generator", "RandomState")
_ADVICE = (
    "the draw has no derivative by its parameters, at {place}. Draw numbers that do not depend on "
    "them, and make the rest a function of these (np.sqrt(v) * rng.standard_normal(n)), or pass "
    "tg.stop_gradient(...)"
)

Draw = Callable[..., Any]


def _plain(a: Any, name: str) -> Any:
    """Return a parameter without its trace; refuse to lose a derivative."""
    if isinstance(a, list | tuple):
        return type(a)([_plain(b, name) for b in a])
    if is_differentiated(a):
        raise TracedArrayError(f"random.{name}: {_ADVICE.format(place=user_location())}")
    return plain_value(a, name)


def _path(names: str, defaults: tuple[Any, ...], standard: str, path: Draw) -> Draw:
    """Make the draws of a family.

    Parameters
    ----------
    names : str
        Of the parameters.
    defaults : tuple
        What they are if they are not given; None if they must be.
    standard : str
        The method that draws what does not depend on them.
    path : callable
        ``path(z, *parameters)``.
    """
    keys = names.split()

    def draw(original: Draw, generator: Any, *args: Any, size: Any = None, **kwargs: Any) -> Any:
        if len(args) > len(keys):
            *args, size = args  # type: ignore[assignment]
        given = dict(zip(keys, args)) | kwargs
        values = [operand(given.pop(key, value)) for key, value in zip(keys, defaults)]
        if given or any(v is None for v in values):
            raise TypeError(f"{original.__name__}() takes {', '.join(keys)}, and size")
        shape = np.broadcast_shapes(*map(np.shape, values)) if size is None else size
        z = getattr(generator, standard)(size=None if shape == () and size is None else shape)
        return path(z, *values)

    return draw


_LOCATED: dict[str, Draw] = {
    "normal": _path("loc scale", (0.0, 1.0), "standard_normal", lambda z, m, s: m + s * z),
    "lognormal": _path(
        "mean sigma", (0.0, 1.0), "standard_normal", lambda z, m, s: np.exp(m + s * z)
    ),
    "uniform": _path("low high", (0.0, 1.0), "random", lambda z, a, b: a + (b - a) * z),
    "exponential": _path("scale", (1.0,), "standard_exponential", lambda z, s: s * z),
    "laplace": _path("loc scale", (0.0, 1.0), "laplace", lambda z, m, s: m + s * z),
    "logistic": _path("loc scale", (0.0, 1.0), "logistic", lambda z, m, s: m + s * z),
    "gumbel": _path("loc scale", (0.0, 1.0), "gumbel", lambda z, m, s: m + s * z),
    "rayleigh": _path("scale", (1.0,), "rayleigh", lambda z, s: s * z),
    "weibull": _path(
        "a", (None,), "standard_exponential", lambda z, a: np.power(z, 1.0 / a)
    ),
    "pareto": _path("a", (None,), "standard_exponential", lambda z, a: np.expm1(z / a)),
}  # fmt: skip


def _permutation(original: Draw, generator: Any, x: Any, axis: int = 0) -> Any:
    """The elements, or what lies along an axis, in random order."""
    if not x.shape:
        return original(generator, _plain(x, "permutation"))
    return np.take(x, generator.permutation(x.shape[axis]), axis=axis)


def _choice(
    original: Draw, generator: Any, a: Any, size: Any = None, replace: bool = True, p: Any = None,
    axis: int = 0, **options: Any,
) -> Any:  # fmt: skip
    """Elements that are chosen by numbers; not differentiated by their probabilities."""
    if p is not None:
        p = _plain(p, "choice")
    if not isinstance(a, Tensor) or not a.shape:
        return original(generator, _plain(a, "choice"), size, replace, p)
    chosen = generator.choice(a.shape[axis], size, replace, p, **options)
    return np.take(a, chosen, axis=axis)


def _refused(original: Draw, generator: Any, *args: Any, **kwargs: Any) -> Any:
    """Draw with plain parameters; refuse to lose a derivative."""
    name = original.__name__
    plain = [_plain(a, name) for a in args]
    return original(generator, *plain, **{key: _plain(a, name) for key, a in kwargs.items()})


_DRAWS: dict[str, Draw] = {**_LOCATED, "permutation": _permutation, "choice": _choice}
#: These change what they are given, or ask about the generator.
_OTHERS = ("shuffle", "spawn", "seed", "get_state", "set_state", "tomaxint", "bytes")


def find_draw(key: Any) -> Any:
    """Register a method of NumPy's generators, and return what tensors do for it; None for others."""
    module = sys.modules.get(_MODULE)
    owner, _, name = str(getattr(key, "__qualname__", "")).partition(".")
    if module is None or owner not in _CLASSES or not name or name[0] == "_":
        return None
    if vars(getattr(module, owner)).get(name) is not key or name in _OTHERS:
        return None
    ours = partial(_DRAWS.get(name, _refused), key)
    functions[key] = found = Replacement(key, ours, "nested")
    return found


Registry.finders.append(find_draw)
