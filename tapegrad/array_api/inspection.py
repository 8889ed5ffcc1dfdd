"""What there is: dtypes, what is known of them, devices, capabilities."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

__all__ = [
    "Info",
    "__array_namespace_info__",
    "bool",
    "finfo",
    "float32",
    "float64",
    "iinfo",
    "int8",
    "int16",
    "int32",
    "int64",
    "isdtype",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]  # fmt: skip

DType = np.dtype[Any]

bool = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(f"i{n}") for n in (1, 2, 4, 8))
uint8, uint16, uint32, uint64 = (np.dtype(f"u{n}") for n in (1, 2, 4, 8))
float32, float64 = np.dtype("f4"), np.dtype("f8")
_DTYPES = {
    d.name: d
    for d in (bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64)
}


def isdtype(dtype: DType, kind: Any) -> builtins.bool:
    """Whether a dtype is of a kind: ``'bool'``, ``'integral'``, ``'real floating'``, ..., a dtype, or
    one of several of these.
    """
    return builtins.bool(np.isdtype(dtype, kind))


def finfo(type: Any, /) -> Any:
    """Return what limits the floats of a dtype, or of an array's."""
    return np.finfo(getattr(type, "dtype", type))


def iinfo(type: Any, /) -> Any:
    """Return the limits of the integers of a dtype, or of an array's."""
    return np.iinfo(getattr(type, "dtype", type))


class Info:
    """What the namespace can do, as the standard asks for it."""

    def capabilities(self) -> dict[str, Any]:
        """Return which optional behaviour there is."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Return the one device."""
        return "cpu"

    def devices(self) -> list[str]:
        """Return all devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """Return the dtypes that arrays have if nobody says which."""
        return {"real floating": float64, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """Return the dtypes by name; with `kind` those of it, or of one of several."""
        if kind is None:
            return dict(_DTYPES)
        return {name: d for name, d in _DTYPES.items() if isdtype(d, kind)}


def __array_namespace_info__() -> Info:
    """Return what tells about devices, dtypes and capabilities.

    Examples
    --------
    >>> from tapegrad import array_api as xp
    >>> xp.__array_namespace_info__().default_dtypes()["real floating"]
    dtype('float64')
    """
    return Info()
