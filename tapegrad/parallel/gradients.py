"""Gradients in parts: each part by itself, and their sum in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.optim.checks import count_of
from tapegrad.parallel.part import Part, added
from tapegrad.parallel.workers import Workers
from tapegrad.tape.core.pytree import flatten, unflatten

__all__ = ["ValueAndGrad", "split", "value_and_grad"]


def split(data: Any, blocks: int) -> list[tuple[Any, ...]]:
    """Cut the arrays of a nest into consecutive blocks along their first axis.

    Parameters
    ----------
    data : nest of arrays
        A tuple stands for several arguments.
    blocks : int
        How many; fewer if there are fewer examples.

    Returns
    -------
    list of tuple
        Of the arguments of each block, which differ by at most one example in length.

    Raises
    ------
    ValueError
        For arrays of different lengths, or without examples.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.parallel.split(np.arange(5), 2)
    [(array([0, 1, 2]),), (array([3, 4]),)]
    """
    leaves, structure = flatten(data)
    arrays = [np.asarray(leaf) for leaf in leaves]
    lengths = sorted({len(array) if array.ndim else 0 for array in arrays})
    if len(lengths) != 1 or not lengths[0]:
        raise ValueError(f"split: the arrays must have a common number of examples, not {lengths}")
    count = min(count_of(blocks, "blocks", 1), lengths[0])
    cuts = [np.array_split(array, count) for array in arrays]
    nests = [unflatten(structure, [cut[i] for cut in cuts]) for i in range(count)]
    return [nest if type(nest) is tuple else (nest,) for nest in nests]


class ValueAndGrad:
    """A function of parameters and parts; see :func:`value_and_grad`."""

    def __init__(self, function: Callable[..., Any], workers: Workers) -> None:
        self._part, self.workers = Part(function), workers

    def __call__(
        self, params: Any, parts: Sequence[Any], weights: Sequence[float] | None = None
    ) -> tuple[Any, Any]:
        """Return the weighted sum of the values of all parts, and its gradient.

        Parameters
        ----------
        params : nest of arrays
        parts : sequence
            The further arguments of each part, a tuple; what is no tuple is one argument.
        weights : sequence of float, optional
            By default each part counts by its share of the examples: the length of its first array, so
            that the mean of parts is the mean of the whole. Parts without arrays count equally.

        Returns
        -------
        value : NumPy scalar
        gradient : nest like `params`

        Raises
        ------
        ValueError
            Without parts, or for a wrong number of weights.
        """
        arguments = [part if type(part) is tuple else (part,) for part in parts]
        if not arguments:
            raise ValueError("value_and_grad: there are no parts")
        if weights is None:
            weights = _shares(arguments)
        if len(weights) != len(arguments):
            raise ValueError(
                f"value_and_grad: there are {len(arguments)} parts, and {len(weights)} weights"
            )
        calls = [(i, params, *both) for i, both in enumerate(zip(arguments, weights))]
        value, total = self.workers.total(self._part, calls, added)
        leaves = [np.asarray(leaf)[()] for leaf in total]
        return np.asarray(value)[()], unflatten(flatten(params)[1], leaves)


def _shares(arguments: list[tuple[Any, ...]]) -> list[float]:
    leaves = [flatten(part)[0] for part in arguments]
    sizes = [len(found[0]) if found and np.ndim(found[0]) else 1 for found in leaves]
    return [size / sum(sizes) for size in sizes]


def value_and_grad(function: Callable[..., Any], executor: Any) -> ValueAndGrad:
    """Return a function that computes value and gradient in parts, by the workers of an executor.

    Parameters
    ----------
    function : callable
        ``function(params, *part)`` returns a number: for data, the mean over the examples of the part.
        A part may also be the number of a block, which the function loads itself.
    executor : Executor, callable, int, Dask client or Workers
        See :class:`Workers`.

    Returns
    -------
    ValueAndGrad
        Called with parameters and the list of parts.

    Notes
    -----
    The bits of the result depend on the parts, and not on the number of workers: each part is computed
    by itself, and they are added up as a tree over their order, neighbours first. The workers of a Dask
    client do this themselves, so that one gradient comes back. Processors of different kinds may compute
    different last bits.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> def block(w, index):
    ...     x = np.arange(4.0) + 4.0 * index  # each part loads its own data
    ...     return np.mean((w - x) ** 2)
    >>> with ThreadPoolExecutor(2) as executor:
    ...     gradient = tg.parallel.value_and_grad(block, executor)
    ...     value, slope = gradient(0.0, range(3))
    >>> float(slope)
    -11.0
    """
    workers = executor if isinstance(executor, Workers) else Workers(executor)
    return ValueAndGrad(function, workers)
