"""Checks of what users pass."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.location import user_location

__all__ = [
    "as_result",
    "check_constant",
    "check_numeric",
    "is_fraction",
    "refuse_complex",
    "refuse_mask",
    "refuse_result",
]


def check_constant(constant: Any) -> None:
    """Refuse anything but a bool or None."""
    if constant is not None and type(constant) is not bool and type(constant) is not np.bool_:
        raise TypeError(f"constant must be True, False or None, not {constant!r}")


def check_numeric(dtype: np.dtype[Any]) -> None:
    """Refuse dtypes that are not numbers."""
    if dtype.kind not in NUMERIC:
        raise TypeError(
            f"a tensor holds numbers (float, complex, int or bool); the data has dtype {dtype}"
        )


def is_fraction(a: Any) -> bool:
    """Whether `a` is a real number that NumPy does not know, and would put into an array of objects."""
    return isinstance(a, Real) and not isinstance(a, int | float | np.generic)


def refuse_mask(a: Any) -> None:
    """Refuse masked arrays: nobody would see that their mask was lost."""
    if type(a).__name__ == "MaskedArray":  # numpy.ma need not be loaded
        raise TypeError(
            "tensors take no masked arrays, whose mask would be lost; use np.where(mask, 0, x), "
            "x[~mask], or where=~mask"
        )


def as_result(out: Any, primitive: Any) -> np.ndarray[Any, Any]:
    """Return what a primitive has computed, a scalar of NumPy's, as an array."""
    if isinstance(out, np.ndarray) and type(out) is not np.ndarray:
        refuse_result(out, primitive)
    return np.asarray(out)


def refuse_complex(primitive: Any, operands: Any) -> None:
    """Refuse complex operands of a primitive that does not say that it takes them."""
    for a in operands:
        if type(a) is complex or (hasattr(a, "dtype") and a.dtype.kind == "c"):
            raise TypeError(_NO_COMPLEX.format(primitive.name, user_location()))


_NO_COMPLEX = (
    "{}: complex numbers have no derivative here, at {}. Write it with functions that have "
    "(docs/guide/complex.md lists them), take x.real and x.imag, or pass tg.stop_gradient(x) if no "
    "derivative is meant."
)


def refuse_result(out: Any, primitive: Any) -> None:
    """Say that a derivative ends at an operand of a kind that is not followed."""
    if type(out) is np.ndarray and out.dtype.kind == "c":
        raise TypeError(_NO_COMPLEX.format(primitive.name, user_location()))
    if isinstance(out, np.ndarray) and type(out) is not np.ndarray:
        what, how = f"a {type(out).__name__}", "np.asarray(operand)"
    else:
        what, how = f"an array of dtype {out.dtype}", "operand.astype(float)"
    raise TypeError(
        f"{primitive.name}: the result is {what}, and its derivative would be lost, at "
        f"{user_location()}. Pass {how} if it holds real numbers, or tg.stop_gradient(x) if no "
        "derivative is meant."
    )
