"""``adapt``: imperative code whose conversions, ``math`` and stores into plain arrays are followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.tape.core.later import later
from tapegrad.tape.transforms.transformed import transformed

__all__ = ["adapt"]


def adapt(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does the same, and keeps tensors in their graph where Python converts.

    ``float(x)``, ``math.sin(x)``, ``np.asarray(x)``, ``x.item()`` and stores into plain arrays take the
    data out of an imperative tensor, and cut it off from its graph. In an adapted function, and in all
    functions written in Python that it calls, they keep it there, as they do in functions that ``grad``
    is given. Arguments are written into as without ``adapt``.

    Parameters
    ----------
    function : callable

    Returns
    -------
    callable
        What it returns is in the graph: tensors stand for plain arrays that tensors were stored into.
        What the user's own objects hold when it returns are the tensors that were stored there, but
        numbers where they were converted to numbers: ``losses.append(float(loss))``.

    Examples
    --------
    >>> import math
    >>> import numpy as np, tapegrad as tg
    >>> def length(v):
    ...     squares = np.zeros(2)
    ...     for i in range(2):
    ...         squares[i] = v[i] ** 2
    ...     return math.sqrt(squares.sum())
    >>> v = tg.tensor([3.0, 4.0])
    >>> tg.adapt(length)(v).backward()
    >>> v.grad
    array([0.6, 0.8])
    """

    @transformed(adapt, function)
    def adapted(*args: Any, **kwargs: Any) -> Any:
        return later.read(None, function, args, kwargs)

    return adapted
