"""Kinds of dtypes: what tensors hold, and what has derivatives.

>>> import numpy as np
>>> np.dtype(complex).kind in CONTINUOUS, np.dtype(int).kind in CONTINUOUS
(True, False)
"""

from __future__ import annotations

__all__ = ["CONTINUOUS", "NUMERIC", "REAL"]

#: Kinds of the dtypes whose values have derivatives: floats and complex numbers.
CONTINUOUS = "fc"
#: Kinds of the dtypes of real numbers.
REAL = "fiub"
#: Kinds of the dtypes that tensors hold.
NUMERIC = "fiubc"
