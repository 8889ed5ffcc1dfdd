"""Gradients and training in parts, on several threads, processes or machines.

>>> import numpy as np, tapegrad as tg
>>> from concurrent.futures import ThreadPoolExecutor
>>> def loss(w, x):
...     return np.mean((w - x) ** 2)
>>> with ThreadPoolExecutor(2) as executor:
...     gradient = tg.parallel.value_and_grad(loss, executor)
...     value, slope = gradient(0.0, tg.parallel.split((np.arange(6.0),), 3))
>>> float(value.round(3)), float(slope)
(9.167, -5.0)
"""

from tapegrad.parallel.gradients import ValueAndGrad, split, value_and_grad
from tapegrad.parallel.workers import Workers, wait_for_workers

__all__ = ["ValueAndGrad", "Workers", "split", "value_and_grad", "wait_for_workers"]
