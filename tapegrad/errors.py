"""The exceptions of tapegrad, which :mod:`tapegrad.tape.core.errors` defines.

>>> from tapegrad.errors import InvalidBackprop, MyGradException
>>> issubclass(InvalidBackprop, MyGradException)
True
"""

from tapegrad.tape.core.errors import (
    InvalidBackprop,
    InvalidGradient,
    LeakedTensorError,
    MyGradException,
    NonScalarOutputError,
    PatternError,
    TapegradError,
    TracedArrayError,
)

__all__ = [
    "InvalidBackprop",
    "InvalidGradient",
    "LeakedTensorError",
    "MyGradException",
    "NonScalarOutputError",
    "PatternError",
    "TapegradError",
    "TracedArrayError",
]
