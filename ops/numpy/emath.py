"""``numpy.emath``: functions that answer with complex numbers where real ones have no answer.

>>> import numpy as np
>>> import tapegrad as tg
>>> np.emath.sqrt(tg.tensor([-4.0, 9.0]))
Tensor([0.+2.j, 3.+0.j], dtype=complex128)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__: list[str] = []


def _widened(x: ArrayLike, has_no_answer: Callable[[Array], Array]) -> Any:
    """Return numbers as complex ones, if there are any real ones among them without an answer.

    That is an outcome which Python consumes.
    """
    x = as_tensor(x)
    if x.dtype.kind == "c" or not bool(np.any(has_no_answer(x))):
        return x
    return functions["cast"](
        x, np.dtype(np.complex64 if x.dtype.char in "fbhBH" else np.complex128)
    )


def _is_negative(x: Array) -> Any:
    return x < 0


def _is_large(x: Array) -> Any:
    return np.abs(x) > 1


def _declare(numpys: Any, ufunc: np.ufunc, has_no_answer: Callable[[Array], Array]) -> None:
    """Register a function of one operand."""
    implements(numpys)(lambda x: ufunc(_widened(x, has_no_answer)))


for _name, _ufunc, _outside in (
    ("sqrt", np.sqrt, _is_negative), ("log", np.log, _is_negative), ("log2", np.log2, _is_negative),
    ("log10", np.log10, _is_negative), ("arccos", np.arccos, _is_large),
    ("arcsin", np.arcsin, _is_large), ("arctanh", np.arctanh, _is_large),
):  # fmt: skip
    _declare(getattr(np.emath, _name), _ufunc, _outside)


@implements(np.emath.logn)
def _logn(n: ArrayLike, x: ArrayLike) -> Array:
    return np.log(_widened(x, _is_negative)) / np.log(_widened(n, _is_negative))


@implements(np.emath.power)
def _power(x: ArrayLike, p: ArrayLike) -> Array:
    x, p = _widened(x, _is_negative), as_tensor(p)
    if p.dtype.kind in "iu" and bool(np.any(p < 0)):
        p = functions["cast"](p, np.dtype(float))
    return np.power(x, p)


@implements(np.sort_complex)
def _sort_complex(a: ArrayLike) -> Array:
    a = as_tensor(a)
    dtype = np.sort_complex(np.empty(0, a.dtype)).dtype
    return functions["cast"](np.sort(a), dtype)  # type: ignore[no-any-return]
