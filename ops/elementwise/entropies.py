"""Special functions without SciPy: logistic functions, and products with logarithms.

>>> from tapegrad import special
>>> special.xlogy([0.0, 2.0], [0.0, 1.0])
Tensor([0., 0.])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.elementwise.special_own import Special, own
from tapegrad.tape.array.application import bind

__all__ = ["entr", "expit", "log_expit", "logit", "rel_entr", "xlog1py", "xlogy"]


def _expit(x: Any) -> Any:
    power = np.exp(-np.abs(x))
    return np.where(x < 0, power, 1.0) / (1.0 + power)


def _logit(p: Any) -> Any:
    near = np.abs(p - 0.5) < 0.2
    close = np.where(near, p, 0.5)
    return np.where(near, np.log1p((2.0 * close - 1.0) / (1.0 - close)), np.log(p / (1.0 - p)))


def _log_expit(x: Any) -> Any:
    return np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))


def _product(x: Any, logarithm: Any) -> Any:
    """Return a product that is 0 where x is, whatever the logarithm is, but for nan."""
    none = (x == 0) & ~np.isnan(logarithm)
    return np.where(none, 0.0, x * np.where(none, 0.0, logarithm))


def _xlogy(x: Any, y: Any) -> Any:
    return _product(x, np.where((x == 0) & ~np.isnan(y), 0.0, np.log(y)))


def _xlog1py(x: Any, y: Any) -> Any:
    return _product(x, np.where((x == 0) & ~np.isnan(y), 0.0, np.log1p(y)))


def _entr(x: Any) -> Any:
    return np.where(x < 0, -np.inf, -_xlogy(x, x))


def _rel_entr(x: Any, y: Any) -> Any:
    inside = (x > 0) & (y > 0)
    a, b = np.where(inside, x, 1.0), np.where(inside, y, 1.0)
    near = np.abs(a - b) < 0.5 * b
    ratio = np.log1p(np.where(near, (a - b) / b, 0.0))
    far = np.log(a) - np.log(b)
    quotient = a / b
    whole = np.isfinite(quotient) & (quotient > 0)
    far = np.where(whole, np.log(np.where(whole, quotient, 1.0)), far)
    value = a * np.where(near, ratio, far)
    edge = np.where((x == 0) & (y >= 0), 0.0, np.where(np.isnan(x) | np.isnan(y), np.nan, np.inf))
    return np.where(inside, value, edge)


expit: Special = own(
    "expit", _expit, "1 / (1 + exp(-x))", "The logistic function.",
    lambda g, y, x: g * (y * bind(expit.primitive, -x)),
)  # fmt: skip
logit = own(
    "logit", _logit, "log(p / (1 - p))", "The inverse of the logistic function.",
    lambda g, y, p: g / (p * (1.0 - p)),
)  # fmt: skip
log_expit = own(
    "log_expit", _log_expit, "log(expit(x))", "The logarithm of the logistic function.",
    lambda g, y, x: g * bind(expit.primitive, -x),
)  # fmt: skip
xlogy = own(
    "xlogy", _xlogy, "x * log(y)", "A product that is 0 where x is, also if y is.",
    lambda g, z, x, y: g * np.log(y),
    lambda g, z, x, y: g * x / y,
)  # fmt: skip
xlog1py = own(
    "xlog1py", _xlog1py, "x * log(1 + y)", "A product that is 0 where x is, also if 1 + y is.",
    lambda g, z, x, y: g * np.log1p(y),
    lambda g, z, x, y: g * x / (1.0 + y),
)  # fmt: skip
entr = own(
    "entr", _entr, "-x * log(x)", "A term of an entropy.", lambda g, y, x: -g * (np.log(x) + 1.0)
)
rel_entr = own(
    "rel_entr", _rel_entr, "x * log(x / y)", "A term of a relative entropy.",
    lambda g, z, x, y: g * (np.log(x / y) + 1.0),
    lambda g, z, x, y: -g * (x / y),
)  # fmt: skip
