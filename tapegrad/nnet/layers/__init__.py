"""Layers: ``batchnorm``, ``conv_nd``, ``max_pool`` and ``gru``.

>>> import tapegrad as tg
>>> from tapegrad.nnet.layers import max_pool
>>> max_pool(tg.tensor([1.0, 2.0]), (2,), 1)
Tensor([2.])
"""

from tapegrad.nnet.layers.convolutional import conv_nd, max_pool
from tapegrad.nnet.layers.normalisation import batchnorm
from tapegrad.nnet.layers.recurrent import gru

__all__ = ["batchnorm", "conv_nd", "gru", "max_pool"]
