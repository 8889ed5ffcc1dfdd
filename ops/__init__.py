"""What can be recorded: one declaration per primitive, and the NumPy-facing functions.

Importing a module registers its primitives (``tapegrad.tape.core.primitive.primitives``) and what
tensors do for NumPy's functions (``functions``). What few programs need is loaded when it is first
asked for: by name here, or in a registry. Elementwise operations are one line each in
:mod:`tapegrad.ops.elementwise.elementwise`; see there how to add one. This layer imports NumPy and
``tapegrad.tape``.
"""
# ruff: noqa: F403  # each folder lists what it offers

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tapegrad.ops import algebra, elementwise, reduce, shape
from tapegrad.ops.algebra import *
from tapegrad.ops.declare.conversion import asarray, astensor, from_dlpack, tensor
from tapegrad.ops.elementwise import *
from tapegrad.ops.reduce import *
from tapegrad.ops.shape import *
from tapegrad.tape.core.primitive import Registry as _Registry

if _TYPE_CHECKING:
    from tapegrad.ops.algebra import calculus, contraction, polynomials
    from tapegrad.ops.algebra.calculus import *
    from tapegrad.ops.algebra.contraction import *
    from tapegrad.ops.algebra.polynomials import *
    from tapegrad.ops.numpy import callbacks, creation, histograms, queries
    from tapegrad.ops.numpy.callbacks import *
    from tapegrad.ops.numpy.creation import *
    from tapegrad.ops.numpy.histograms import *
    from tapegrad.ops.numpy.queries import *
    from tapegrad.ops.reduce import nan_reductions, numpy_reductions, quantiles, running, statistics
    from tapegrad.ops.reduce.nan_reductions import *
    from tapegrad.ops.reduce.numpy_reductions import *
    from tapegrad.ops.reduce.quantiles import *
    from tapegrad.ops.reduce.running import *
    from tapegrad.ops.reduce.statistics import *
    from tapegrad.ops.shape import joining, rearranging, selecting, sets, writes
    from tapegrad.ops.shape.joining import *
    from tapegrad.ops.shape.rearranging import *
    from tapegrad.ops.shape.selecting import *
    from tapegrad.ops.shape.sets import *
    from tapegrad.ops.shape.writes import *

__all__ = ["asarray", "astensor", "from_dlpack", "tensor"]
__all__ += algebra.__all__
__all__ += elementwise.__all__
__all__ += reduce.__all__
__all__ += shape.__all__
if _TYPE_CHECKING:
    __all__ += calculus.__all__
    __all__ += callbacks.__all__
    __all__ += contraction.__all__
    __all__ += creation.__all__
    __all__ += histograms.__all__
    __all__ += joining.__all__
    __all__ += nan_reductions.__all__
    __all__ += numpy_reductions.__all__
    __all__ += polynomials.__all__
    __all__ += quantiles.__all__
    __all__ += queries.__all__
    __all__ += rearranging.__all__
    __all__ += running.__all__
    __all__ += selecting.__all__
    __all__ += sets.__all__
    __all__ += statistics.__all__
    __all__ += writes.__all__

#: Modules of which all that they offer is offered here, when it is first asked for.
_LATER = (
    "tapegrad.ops.reduce.numpy_reductions",
    "tapegrad.ops.numpy.creation",
    "tapegrad.ops.numpy.queries",
    "tapegrad.ops.numpy.histograms",
    "tapegrad.ops.shape.joining",
    "tapegrad.ops.shape.selecting",
    "tapegrad.ops.reduce.running",
    "tapegrad.ops.shape.rearranging",
    "tapegrad.ops.algebra.contraction",
    "tapegrad.ops.algebra.calculus",
    "tapegrad.ops.shape.writes",
    "tapegrad.ops.reduce.nan_reductions",
    "tapegrad.ops.reduce.quantiles",
    "tapegrad.ops.reduce.statistics",
    "tapegrad.ops.algebra.polynomials",
    "tapegrad.ops.shape.sets",
    "tapegrad.ops.numpy.callbacks",
)
_Registry.waiting = (
    *_LATER,
    "tapegrad.ops.algebra.norms",
    "tapegrad.ops.algebra.systems",
    "tapegrad.ops.algebra.conditions",
    "tapegrad.ops.algebra.determinants",
    "tapegrad.ops.algebra.decompositions",
    "tapegrad.ops.algebra.eigenvalues",
    "tapegrad.ops.algebra.fits",
    "tapegrad.ops.algebra.sparse",
    "tapegrad.ops.algebra.scipy_sparse",
    "tapegrad.ops.algebra.scipy_linalg",
    "tapegrad.ops.numpy.fft",
    "tapegrad.ops.numpy.emath",
    "tapegrad.ops.algebra.total_norm",
    "tapegrad.ops.layers.convolution",
    "tapegrad.ops.layers.crossentropy",
    "tapegrad.ops.layers.normalisation",
    "tapegrad.ops.layers.pooling",
    "tapegrad.ops.layers.recurrent",
    "tapegrad.ops.elementwise.exponents",
    "tapegrad.ops.elementwise.error_functions",
    "tapegrad.ops.elementwise.entropies",
    "tapegrad.ops.elementwise.gamma_functions",
    "tapegrad.ops.elementwise.gamma_function",
    "tapegrad.ops.elementwise.bessel_functions",
    "tapegrad.ops.elementwise.beta_functions",
    "tapegrad.ops.elementwise.incomplete_gamma",
    "tapegrad.ops.numpy.methods",
    "tapegrad.ops.numpy.conversions",
    "tapegrad.ops.numpy.draws",
    "tapegrad.ops.numpy.elementwise_calls",
    "tapegrad.ops.numpy.emath",
    "tapegrad.ops.numpy.grids",
    "tapegrad.ops.numpy.inspection",
    "tapegrad.ops.python.conversions",
    "tapegrad.ops.python.mathematics",
    "tapegrad.ops.python.averages",
    "tapegrad.ops.elementwise.scipy_special",
    *_Registry.waiting,
)
if not _TYPE_CHECKING:
    early = {name: globals()[name] for name in __all__}
    del __all__  # __getattr__ answers with the whole list


def __getattr__(name: str) -> _Any:
    if name == "__all__":
        return [*early, *(item for module in _LATER for item in _import_module(module).__all__)]
    if not name.startswith("_"):
        for module in map(_import_module, _LATER):
            if name in module.__all__:
                value = globals()[name] = getattr(module, name)
                return value
    raise AttributeError(f"module 'tapegrad.ops' has no attribute {name!r}")
