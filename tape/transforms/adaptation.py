"""``adapt``: imperative code whose conversions, ``math`` and stores into plain arrays are followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.later import later
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.pytree import flatten
from tapegrad.tape.core.types import P, R
from tapegrad.tape.transforms.transformed import spelled, transformed

__all__ = ["adapt"]


def adapt(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that does the same, and keeps tensors in their graph where Python converts.

    ``float(x)``, ``math.sin(x)``, ``np.asarray(x)``, ``x.item()`` and stores into plain arrays take the
    data out of an imperative tensor, and cut it off from its graph. In an adapted function, and in all
    functions written in Python that it calls, they keep it there, as they do in functions that ``grad``
    is given. What is written into arguments is written there, as without ``adapt``.

    Parameters
    ----------
    function : callable

    Returns
    -------
    callable
        What it returns is in the graph: tensors stand for plain arrays that tensors were stored into.
        What the user's own objects hold when it returns are the tensors that were stored there, but
        numbers where they were converted to numbers: ``losses.append(float(loss))``.

    Raises
    ------
    TracedArrayError
        Where code that is not written in Python takes the data out of a variable tensor; and if the
        result depends on what the function wrote into a tensor that it was given: the gradient that
        this gets is the one by what it holds afterwards. Give it a copy, ``+x``.

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
        leaves = [a for a in flatten((args, kwargs))[0] if isinstance(a, Tensor)]
        before = [(a, a.node) for a in leaves if not a.live_trace.level]
        result = later.read(None, function, args, kwargs)
        written = [a.node for a, node in before if a.node is not node and _is_leaf(node)]
        if written and _depends(result, written):
            raise TracedArrayError(
                f"{spelled(function)} writes into a tensor that it was given: the gradient of that "
                "would be the one by what it holds now. Give it a copy, +x"
            )
        return result

    return adapted


def _is_leaf(node: Node) -> bool:
    return not node.constant and node.primitive is None


def _depends(result: Any, written: list[Node]) -> bool:
    """Whether a result was computed from one of these nodes."""
    tensors = (a for a in flatten(result)[0] if isinstance(a, Tensor) and not a.live_trace.level)
    waiting = [a.node for a in tensors]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node in written:
            return True
        if id(node) not in seen:
            seen.add(id(node))
            waiting.extend(source for source in node.inputs if source is not None)
    return False
