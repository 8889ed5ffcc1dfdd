"""What the special functions are by Python's library, for the laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

_NORMAL = NormalDist()
_ROOT_2 = math.sqrt(2.0)


def _each(function: Callable[..., float]) -> Callable[..., Any]:
    """Apply a function of numbers to the elements of arrays."""

    def apply(*xs: Any) -> Any:
        out = np.frompyfunc(function, len(xs), 1)(*(np.asarray(x, float) for x in xs))
        return np.asarray(out, float).astype(np.result_type(*xs))

    return apply


REFERENCES = {
    "erf": _each(math.erf),
    "erfc": _each(math.erfc),
    "erfcx": _each(lambda x: math.exp(x * x) * math.erfc(x)),
    "erfinv": _each(lambda y: _NORMAL.inv_cdf((1 + y) / 2) / _ROOT_2),
    "erfcinv": _each(lambda y: -_NORMAL.inv_cdf(y / 2) / _ROOT_2),
    "ndtr": _each(lambda x: 0.5 * math.erfc(-x / _ROOT_2)),
    "log_ndtr": _each(lambda x: math.log(0.5 * math.erfc(-x / _ROOT_2))),
    "ndtri": _each(_NORMAL.inv_cdf),
    "expit": _each(lambda x: 1 / (1 + math.exp(-x))),
    "log_expit": _each(lambda x: -math.log1p(math.exp(-x))),
    "logit": _each(lambda p: math.log(p / (1 - p))),
    "xlogy": _each(lambda x, y: x * math.log(y)),
    "xlog1py": _each(lambda x, y: x * math.log1p(y)),
    "entr": _each(lambda x: -x * math.log(x)),
    "rel_entr": _each(lambda x, y: x * math.log(x / y)),
}
