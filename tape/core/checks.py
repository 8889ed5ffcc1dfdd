"""Checks of what users pass."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_constant", "check_real", "refuse_mask"]


def check_constant(constant: Any) -> None:
    """Refuse anything but a bool or None."""
    if constant is not None and type(constant) is not bool and type(constant) is not np.bool_:
        raise TypeError(f"constant must be True, False or None, not {constant!r}")


def check_real(dtype: np.dtype[Any]) -> None:
    """Refuse dtypes that are not real numbers."""
    if dtype.kind not in "fiub":
        raise TypeError(
            f"a tensor holds real numbers (float, int or bool); the data has dtype {dtype}"
        )


def refuse_mask(a: Any) -> None:
    """Refuse masked arrays: nobody would see that their mask was lost."""
    if type(a).__name__ == "MaskedArray":  # numpy.ma need not be loaded
        raise TypeError(
            "tensors take no masked arrays, whose mask would be lost; use np.where(mask, 0, x), "
            "x[~mask], or where=~mask"
        )
