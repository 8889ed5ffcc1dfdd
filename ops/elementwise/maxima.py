"""The greater and the lesser of two operands.

Where both are equal they share the gradient evenly, as central differences do: the derivative of
``np.maximum(x, x)`` is 1. ``backward()`` gives neither any, as documented, by a primitive of its own
with the same forward function. Complex numbers NumPy compares by real part, then imaginary part; the
derivative is that of the operand that is chosen.

>>> import numpy as np, tapegrad as tg
>>> float(tg.grad(lambda x: np.maximum(x, x))(1.0))
1.0
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import Ufunc
from tapegrad.ops.elementwise.elementwise import elementwise
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import implements

__all__ = ["fmax", "fmin", "maximum", "minimum"]

_TIES = (
    "Where both are equal\nthey share the gradient evenly, but ``backward()`` gives neither any."
)


def _halved(g: Any, x: Any, y: Any) -> Any:
    """Halve a cotangent where the operands are equal."""
    tie = x == y
    if not isinstance(tie, Tensor) and not tie.any():
        return g
    half, one = (np.asarray(share, g.dtype) for share in (0.5, 1.0))
    return g * np.where(tie, half, one)


def choice(
    ufunc: np.ufunc,
    better: np.ufunc,
    as_good: np.ufunc,
    *,
    takes_nan: bool,
    doc: str,
) -> Ufunc:
    """Declare a function that chooses between two operands.

    Parameters
    ----------
    ufunc : numpy.ufunc
    better, as_good : numpy.ufunc
        The comparisons for which an operand is chosen.
    takes_nan : bool
        Whether nan is chosen before all numbers, or after them.
    doc : str
        What the function computes.
    """

    def chosen(compare: np.ufunc, x: Any, y: Any) -> Any:
        return np.logical_or(compare(x, y), np.isnan(x if takes_nan else y))

    rules = (
        lambda g, z, x, y: np.where(chosen(as_good, x, y), _halved(g, x, y), 0.0),
        lambda g, z, x, y: np.where(chosen(better, x, y), 0.0, _halved(g, x, y)),
    )
    compare = (lambda f, x, y: f(x, y)) if takes_nan else chosen  # as documented: nan is the second
    documented = (
        lambda g, z, x, y: np.where(compare(better, x, y), g, 0.0),
        lambda g, z, x, y: np.where(compare(as_good, x, y), 0.0, g),
    )
    name = ufunc.__name__
    kernel = f"{name}(x, y)"
    imperative = elementwise(f"{name}_imperative", ufunc, documented, kernel, takes_complex=True)
    primitive = elementwise(name, ufunc, rules, kernel, imperative=imperative, takes_complex=True)
    return implements(ufunc)(Ufunc(primitive, doc))  # type: ignore[return-value]


maximum = choice(
    np.maximum, np.greater, np.greater_equal, takes_nan=True,
    doc=f"The greater operand, or the one that is nan. {_TIES}",
)  # fmt: skip
minimum = choice(
    np.minimum, np.less, np.less_equal, takes_nan=True,
    doc=f"The lesser operand, or the one that is nan. {_TIES}",
)  # fmt: skip
fmax = choice(
    np.fmax, np.greater, np.greater_equal, takes_nan=False,
    doc=f"The greater operand, or the one that is not nan. {_TIES}",
)  # fmt: skip
fmin = choice(
    np.fmin, np.less, np.less_equal, takes_nan=False,
    doc=f"The lesser operand, or the one that is not nan. {_TIES}",
)  # fmt: skip
