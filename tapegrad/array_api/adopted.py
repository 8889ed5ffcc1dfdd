"""What the standard and NumPy have in common: the same names, parameters and meaning.

One table tells the standard's parameters; what NumPy does for tensors is in :mod:`tapegrad.ops`.
"""

from __future__ import annotations

import numpy as np

from tapegrad.array_api.adopting import adopt

__all__: list[str] = []

_OVER_AXES = "x, /, *, axis=None, keepdims=False"
_SUMMED = "x, /, *, axis=None, dtype=None, keepdims=False"
_SPREAD = "x, /, *, axis=None, correction=0.0, keepdims=False"
_RUNNING = "x, /, *, axis=None, dtype=None, include_initial=False"
_TABLE = {
    "x, /": """
        abs acos acosh asin asinh atan atanh bitwise_invert ceil cos cosh exp expm1 floor isfinite
        isinf isnan log log10 log1p log2 logical_not negative positive reciprocal round sign signbit
        sin sinh sqrt square tan tanh trunc
        matrix_transpose nonzero unique_all unique_counts unique_inverse unique_values
    """,
    "x1, x2, /": """
        add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign
        divide equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and
        logical_or logical_xor matmul maximum minimum multiply nextafter not_equal pow remainder
        subtract
    """,
    _OVER_AXES: "all any max mean min count_nonzero",
    "x, /, *, axis=None, keepdims=False, ": "argmax argmin",
    _SUMMED: "prod sum",
    _SPREAD: "std var",
    _RUNNING: "cumulative_prod cumulative_sum",
    "x, /, shape": "broadcast_to",
    "*arrays": "broadcast_arrays",
    "*shapes": "broadcast_shapes",
    "*arrays, indexing='xy'": "meshgrid",
    "arrays, /, *, axis=0": "concat stack",
    "x, /, axis": "expand_dims squeeze",
    "x, /, *, axis=None": "flip",
    "x, /, *, axis=0": "unstack",
    "x, source, destination, /": "moveaxis",
    "x, /, axes": "permute_dims",
    "x, repeats, /, *, axis=None": "repeat",
    "x, /, shape, *, copy=None": "reshape",
    "x, /, shift, *, axis=None": "roll",
    "x, repetitions, /": "tile",
    "x, /, *, k=0": "tril triu",
    "x1, x2, /, *, axes=2": "tensordot",
    "x1, x2, /, *, axis=-1": "vecdot",
    "x1, x2, /, *, invert=False": "isin",
    "x1, x2, /, *, side='left', sorter=None": "searchsorted",
    "x, indices, /, *, axis=None": "take",
    "condition, x1, x2, /": "where",
    "x, /, *, axis=-1, n=1, prepend=None, append=None": "diff",
}

for _parameters, _names in _TABLE.items():
    for _name in _names.split():
        globals()[_name] = adopt(getattr(np, _name), _name, _parameters)
        __all__ += [_name]
