"""Training: ``tg.fit``, and the pieces that it is made of.

>>> import numpy as np, tapegrad as tg
>>> result = tg.fit(lambda w: (w - 3.0) ** 2, 0.0, None, tg.optim.sgd(0.25), epochs=20)
>>> float(result.params.round(3)), result
(3.0, FitResult(20 steps, stopped by 'epochs', History(20 steps, 20 epochs, last loss 3.27418e-11)))
"""

from tapegrad.training.checkpoints import Checkpoint, load_checkpoint
from tapegrad.training.findings import NonFiniteError
from tapegrad.training.fitting import fit
from tapegrad.training.history import History
from tapegrad.training.loader import Loader
from tapegrad.training.loop import FitResult, Loop
from tapegrad.training.steps import Step
from tapegrad.training.stopping import EarlyStop

__all__ = [
    "Checkpoint",
    "EarlyStop",
    "FitResult",
    "History",
    "Loader",
    "Loop",
    "NonFiniteError",
    "Step",
    "fit",
    "load_checkpoint",
]
