"""What can be recorded: one declaration per primitive, and the NumPy-facing functions.

Importing a module registers its primitives (``tapegrad.tape.primitive.primitives``) and what
tensors do for NumPy's functions (``functions``). The layers' modules (``convolution``, ``pooling``,
``recurrent``, ``normalisation``, ``crossentropy``) are imported by ``tapegrad.nnet``. Elementwise
operations are one line each in :mod:`tapegrad.ops.elementwise`; see there how to add one. This layer
imports NumPy and ``tapegrad.tape``.
"""
# ruff: noqa: F403  # each module lists what it offers

from tapegrad.ops import (
    applying,
    assigning,
    calculus,
    choosing,
    comparisons,
    contraction,
    creation,
    elementwise,
    indexing,  # noqa: F401  # registers what it declares
    inspection,  # noqa: F401  # registers what it declares
    joining,
    linear,
    logistic,  # noqa: F401  # registers what it declares
    nan_reductions,
    norms,  # noqa: F401  # registers what it declares
    numpy_reductions,
    plain,
    polynomials,
    quantiles,
    rearranging,
    reductions,
    running,
    selecting,
    sets,
    statistics,
    views,
)
from tapegrad.ops.applying import *
from tapegrad.ops.assigning import *
from tapegrad.ops.calculus import *
from tapegrad.ops.choosing import *
from tapegrad.ops.comparisons import *
from tapegrad.ops.contraction import *
from tapegrad.ops.conversion import asarray, astensor, tensor
from tapegrad.ops.creation import *
from tapegrad.ops.elementwise import *
from tapegrad.ops.joining import *
from tapegrad.ops.linear import *
from tapegrad.ops.nan_reductions import *
from tapegrad.ops.numpy_reductions import *
from tapegrad.ops.plain import *
from tapegrad.ops.polynomials import *
from tapegrad.ops.quantiles import *
from tapegrad.ops.rearranging import *
from tapegrad.ops.reductions import *
from tapegrad.ops.running import *
from tapegrad.ops.selecting import *
from tapegrad.ops.sets import *
from tapegrad.ops.statistics import *
from tapegrad.ops.views import *

__all__ = ["asarray", "astensor", "tensor"]
__all__ += applying.__all__
__all__ += assigning.__all__
__all__ += calculus.__all__
__all__ += choosing.__all__
__all__ += comparisons.__all__
__all__ += contraction.__all__
__all__ += creation.__all__
__all__ += elementwise.__all__
__all__ += joining.__all__
__all__ += linear.__all__
__all__ += nan_reductions.__all__
__all__ += numpy_reductions.__all__
__all__ += plain.__all__
__all__ += polynomials.__all__
__all__ += quantiles.__all__
__all__ += rearranging.__all__
__all__ += reductions.__all__
__all__ += running.__all__
__all__ += selecting.__all__
__all__ += sets.__all__
__all__ += statistics.__all__
__all__ += views.__all__
