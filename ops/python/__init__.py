"""Functions of Python and of its standard library on tensors."""

from tapegrad.ops.python import averages, conversions, mathematics  # noqa: F401  # they register
