"""The exceptions of tapegrad, which :mod:`tapegrad.tape.errors` defines.

>>> from tapegrad.errors import InvalidBackprop, MyGradException
>>> issubclass(InvalidBackprop, MyGradException)
True
"""

from tapegrad.tape.errors import (
    InvalidBackprop,
    InvalidGradient,
    LeakedTensorError,
    MyGradException,
    NonScalarOutputError,
    TapegradError,
    TracedArrayError,
)

__all__ = [
    "InvalidBackprop",
    "InvalidGradient",
    "LeakedTensorError",
    "MyGradException",
    "NonScalarOutputError",
    "TapegradError",
    "TracedArrayError",
]
