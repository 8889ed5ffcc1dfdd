"""Neural networks: layers, activations, losses and initializers.

Everything here is a composition of operations on tensors, so that it works imperatively, under
``grad``, ``vjp``, ``jvp`` and ``vmap`` to any order, and compiled.

>>> import tapegrad as tg
>>> from tapegrad.nnet import softmax_crossentropy
>>> softmax_crossentropy(tg.tensor([[2.0, 2.0, 2.0]]), [0])
Tensor(1.09861229)
"""

from tapegrad.nnet import util
from tapegrad.nnet.activations import (
    elu,
    glu,
    hard_tanh,
    leaky_relu,
    logsoftmax,
    relu,
    selu,
    sigmoid,
    soft_sign,
    softmax,
    tanh,
)
from tapegrad.nnet.initializers import (
    dirac,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    normal,
    uniform,
)
from tapegrad.nnet.layers import batchnorm, conv_nd, gru, max_pool
from tapegrad.nnet.layers.utils import sliding_window_view
from tapegrad.nnet.losses import (
    focal_loss,
    margin_ranking_loss,
    multiclass_hinge,
    negative_log_likelihood,
    softmax_crossentropy,
    softmax_focal_loss,
)

__all__ = [
    "batchnorm",
    "conv_nd",
    "dirac",
    "elu",
    "focal_loss",
    "glorot_normal",
    "glorot_uniform",
    "glu",
    "gru",
    "hard_tanh",
    "he_normal",
    "he_uniform",
    "leaky_relu",
    "logsoftmax",
    "margin_ranking_loss",
    "max_pool",
    "multiclass_hinge",
    "negative_log_likelihood",
    "normal",
    "relu",
    "selu",
    "sigmoid",
    "sliding_window_view",
    "soft_sign",
    "softmax",
    "softmax_crossentropy",
    "softmax_focal_loss",
    "tanh",
    "uniform",
    "util",
]
