"""The logistic function, and values that count as constants.

>>> import numpy as np
>>> from tapegrad.ops.elementwise.logistic import sigmoid_p
>>> sigmoid_p(np.array([-1e4, 0.0, 1e4]))
array([0. , 0.5, 1. ])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.elementwise.elementwise import elementwise
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import tree_map
from tapegrad.tape.core.types import Array

__all__ = ["sigmoid_p", "stop_gradient", "stop_gradient_p"]


def _sigmoid(x: Array) -> Any:
    x = np.asarray(x)
    if x.dtype == np.float16:  # exp would overflow where the result does not vanish
        return _sigmoid(x.astype(np.float32)).astype(np.float16)
    with np.errstate(over="ignore", under="ignore"):
        y = np.asarray(np.exp(-x) if x.dtype.kind == "f" else np.exp(-x.astype(float)))
    y += 1
    return np.divide(1, y, out=y)


sigmoid_p: Primitive = elementwise(
    "sigmoid", _sigmoid, (lambda g, y, x: g * (y * (1 - y)),), "1 / (1 + exp(-x))"
)

#: The same values without a derivative: for shifts and scales on which a result does not depend.
stop_gradient_p: Primitive = elementwise(
    "stop_gradient",
    np.positive,
    (None,),
    "x",
    source=lambda args, params: f"np.positive({args[0]})",
    takes_complex=True,
)


def stop_gradient(x: Any) -> Any:
    """Return the same values as constants: no gradient flows back through them, at any order.

    Parameters
    ----------
    x : array_like, or a nest of them
        Tensors of any trace become constants. Tuples, lists and dicts are taken apart; whatever else
        is in them is returned as it is.

    Returns
    -------
    nest
        Of the structure of `x`. For a tensor inside ``grad`` or ``jvp`` it holds the array that NumPy
        would have there; for an imperative tensor, a constant tensor with a copy of its data.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0)
    np.float64(3.0)
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.stop_gradient({"w": x, "name": "layer"})["w"].constant
    True
    """
    return tree_map(_without_gradient, x)


def _without_gradient(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    trace = leaf.live_trace
    if trace.appearance.number_type(leaf) is not None:  # it stands for what is no tensor
        return leaf
    value = apply(stop_gradient_p, (leaf,))
    if trace.level or isinstance(value, Tensor):
        return value
    return Tensor(value, constant=True, copy=False)
