"""The functions of the Python array API standard (2025.12), for tensors.

Libraries that are written for the standard find it by ``x.__array_namespace__()``. It is a module of
its own since defaults differ: the standard's default dtype is float64 here, as NumPy's, where
``tapegrad.zeros`` and its kind keep the float32 that MyGrad documents. All that its functions return are
tensors; floats are variable where they are made, and what they compute is in the graph.

Complex numbers are not a part of it, and so the standard's ``fft`` has only what is real.

>>> import tapegrad as tg
>>> from tapegrad import array_api as xp
>>> xp.zeros(2).dtype, tg.zeros(2).dtype
(dtype('float64'), dtype('float32'))
>>> x = xp.asarray([3.0, 4.0])
>>> x.__array_namespace__() is xp
True
>>> xp.linalg.vector_norm(x).backward()
>>> x.grad
array([0.6, 0.8])
"""

import sys as _sys
from types import ModuleType as _ModuleType

from numpy import e, inf, nan, newaxis, pi

from tapegrad.array_api import fft, linalg
from tapegrad.array_api.adopted import *  # noqa: F403  # what NumPy's functions do for tensors
from tapegrad.array_api.adopted import __all__ as _adopted
from tapegrad.array_api.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from tapegrad.array_api.inspection import (
    __array_namespace_info__,
    bool,
    finfo,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tapegrad.array_api.own import (
    argsort,
    astype,
    can_cast,
    clip,
    result_type,
    sort,
    take_along_axis,
)

__array_api_version__ = "2025.12"
_VERSIONS = frozenset({"2021.12", "2022.12", "2023.12", "2024.12", "2025.12"})


def _namespace(api_version: str | None = None) -> _ModuleType:
    """Return this module, which serves all versions of the standard so far."""
    if api_version is not None and api_version not in _VERSIONS:
        raise ValueError(
            f"tapegrad has the array API standard up to {__array_api_version__}, not {api_version!r}"
        )
    return _sys.modules[__name__]


__all__ = [
    "__array_api_version__",
    "__array_namespace_info__",
    "arange",
    "argsort",
    "asarray",
    "astype",
    "bool",
    "can_cast",
    "clip",
    "e",
    "empty",
    "empty_like",
    "eye",
    "fft",
    "finfo",
    "float32",
    "float64",
    "from_dlpack",
    "full",
    "full_like",
    "iinfo",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "isdtype",
    "linalg",
    "linspace",
    "nan",
    "newaxis",
    "ones",
    "ones_like",
    "pi",
    "result_type",
    "sort",
    "take_along_axis",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "zeros",
    "zeros_like",
]
__all__ += _adopted


def __dir__() -> list[str]:
    return __all__
