"""Optimisers: gradient transformations with explicit state, and objects that move tensors.

>>> import numpy as np, tapegrad as tg
>>> optimiser = tg.optim.adam(0.1)
>>> w = np.array([1.0, -1.0])
>>> updates, state = optimiser.update(tg.grad(lambda w: w @ w)(w), optimiser.init(w), w)
>>> tg.optim.apply_updates(w, updates).round(4)
array([ 0.9, -0.9])
"""

from tapegrad.optim.limits import clip_by_global_norm, clip_by_norm, clip_by_value
from tapegrad.optim.moments import (
    ScaleByAdamState,
    ScaleByAmsgradState,
    scale_by_adam,
    scale_by_amsgrad,
)
from tapegrad.optim.objects import SGD, Adagrad, Adam, AdamW, Lion, RMSprop
from tapegrad.optim.optimisers import adagrad, adam, adamw, amsgrad, lion, rmsprop, sgd
from tapegrad.optim.optimizer import Optimizer
from tapegrad.optim.quasi_newton import LbfgsState, lbfgs
from tapegrad.optim.scaling import (
    ScaleByLionState,
    ScaleByRmsState,
    ScaleByRssState,
    ScaleByScheduleState,
    TraceState,
    scale,
    scale_by_learning_rate,
    scale_by_lion,
    scale_by_rms,
    scale_by_rss,
    scale_by_schedule,
    trace,
)
from tapegrad.optim.schedules import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    join_schedules,
    linear_schedule,
    piecewise_constant_schedule,
    warmup_cosine_decay_schedule,
)
from tapegrad.optim.transformation import GradientTransformation, apply_updates, chain, identity
from tapegrad.optim.wrappers import (
    AccumulateState,
    AverageState,
    MaskedState,
    accumulate,
    add_decayed_weights,
    average,
    averaged_params,
    masked,
)

__all__ = [
    "SGD",
    "AccumulateState",
    "Adagrad",
    "Adam",
    "AdamW",
    "AverageState",
    "GradientTransformation",
    "LbfgsState",
    "Lion",
    "MaskedState",
    "Optimizer",
    "RMSprop",
    "ScaleByAdamState",
    "ScaleByAmsgradState",
    "ScaleByLionState",
    "ScaleByRmsState",
    "ScaleByRssState",
    "ScaleByScheduleState",
    "TraceState",
    "accumulate",
    "adagrad",
    "adam",
    "adamw",
    "add_decayed_weights",
    "amsgrad",
    "apply_updates",
    "average",
    "averaged_params",
    "chain",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "constant_schedule",
    "cosine_decay_schedule",
    "exponential_decay",
    "identity",
    "join_schedules",
    "lbfgs",
    "linear_schedule",
    "lion",
    "masked",
    "piecewise_constant_schedule",
    "rmsprop",
    "scale",
    "scale_by_adam",
    "scale_by_amsgrad",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_rms",
    "scale_by_rss",
    "scale_by_schedule",
    "sgd",
    "trace",
    "warmup_cosine_decay_schedule",
]
