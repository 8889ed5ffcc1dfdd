"""What workers run: value and gradient of a part, by a function that they compile once."""

from __future__ import annotations

import hashlib
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile import jit
from tapegrad.tape import value_and_grad
from tapegrad.tape.core.pytree import flatten, unflatten

__all__ = ["Part", "added"]

#: The functions that this process was sent, by the hash of what they were sent as.
_known: dict[str, Part] = {}


class Part:
    """Computes value and gradient of a function for one part of the data.

    It is sent as the function itself, and compiled once in each process: so a worker that was just
    started needs nothing that another one had. Kernels come from the cache on disk.

    Parameters
    ----------
    function : callable
        ``function(params, *part)`` returns a number.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._compiled = jit(value_and_grad(function), wait=True)
        self._sent: tuple[str, bytes] | None = None

    def __call__(
        self, index: int, params: Any, part: tuple[Any, ...], weight: float = 1.0
    ) -> tuple[Any, list[Any]]:
        """Return the value, and the leaves of the gradient, times a weight."""
        params, part = _laid_out((params, part))
        try:
            value, grads = self._compiled(params, *part)
        except Exception as error:
            error.add_note(f"in part {index} of a gradient, at {_place_of(error)}")
            raise
        leaves = [np.asarray(leaf) for leaf in flatten(grads)[0]]
        scaled = [np.asarray(leaf * leaf.dtype.type(weight)) for leaf in leaves]
        return np.asarray(weight * np.asarray(value)), scaled

    def __reduce__(self) -> Any:
        if self._sent is None:
            data = _pickled(self.function)
            self._sent = hashlib.sha256(data).hexdigest(), data
        return _received, self._sent


def added(one: tuple[Any, list[Any]], other: tuple[Any, list[Any]]) -> tuple[Any, list[Any]]:
    """Return the sum of two answers."""
    return one[0] + other[0], [a + b for a, b in zip(one[1], other[1])]


def _laid_out(tree: Any) -> Any:
    """Return a nest with arrays as the compiler takes them; received ones may be unaligned."""
    leaves, structure = flatten(tree)
    arrays = [
        np.require(a, requirements=["C", "A"]) if type(a) is np.ndarray else a for a in leaves
    ]
    return unflatten(structure, arrays)


def _received(key: str, data: bytes) -> Part:
    """Return the function that was sent, the one from before if it was sent before."""
    if key not in _known:
        _known[key] = Part(pickle.loads(data))
    return _known[key]


def _pickled(function: Any) -> bytes:
    """Return a function as bytes: by its name, or by value where cloudpickle is installed."""
    try:
        return pickle.dumps(function)
    except Exception as error:
        try:
            import cloudpickle
        except ImportError:
            raise TypeError(
                f"{function!r} cannot be sent to another process ({error}). Define it at the top of a "
                "module, or install cloudpickle, or use a ThreadPoolExecutor"
            ) from error
        return bytes(cloudpickle.dumps(function))


def _place_of(error: BaseException) -> str:
    """Return the last line of the user's that an error came through."""
    frames = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in ("tapegrad", "numpy")
    ]
    return frames[-1] if frames else "an unknown place"
