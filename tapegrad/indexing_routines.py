"""Indexing routines, under the name that MyGrad's documentation gives their section.

>>> from tapegrad import indexing_routines
>>> indexing_routines.where([True, False], 1.0, 0.0)
Tensor([1., 0.])
"""

from tapegrad.ops import where

__all__ = ["where"]
