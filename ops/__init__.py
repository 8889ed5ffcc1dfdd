"""What can be recorded: one declaration per primitive, and the NumPy-facing functions.

Importing a module registers its primitives (``tapegrad.tape.core.primitive.primitives``) and what
tensors do for NumPy's functions (``functions``). Layers of networks, in ``layers``, are imported by
``tapegrad.nnet``. Elementwise operations are one line each in
:mod:`tapegrad.ops.elementwise.elementwise`; see there how to add one. This layer imports NumPy and
``tapegrad.tape``.
"""
# ruff: noqa: F403  # each folder lists what it offers

from tapegrad.ops import (
    algebra,
    elementwise,
    numpy,
    python,  # noqa: F401  # registers what it declares
    reduce,
    shape,
)
from tapegrad.ops.algebra import *
from tapegrad.ops.declare.conversion import asarray, astensor, tensor
from tapegrad.ops.elementwise import *
from tapegrad.ops.numpy import *
from tapegrad.ops.reduce import *
from tapegrad.ops.shape import *

__all__ = ["asarray", "astensor", "tensor"]
__all__ += algebra.__all__
__all__ += elementwise.__all__
__all__ += numpy.__all__
__all__ += reduce.__all__
__all__ += shape.__all__
