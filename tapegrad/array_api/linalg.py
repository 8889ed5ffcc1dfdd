"""Linear algebra by the standard: what ``numpy.linalg`` has in common with it."""

from __future__ import annotations

import numpy as np

from tapegrad.array_api.adopting import adopt

__all__: list[str] = []

_TABLE = {
    "x, /, *, upper=False": "cholesky",
    "x1, x2, /, *, axis=-1": "cross vecdot",
    "x, /": "det eigh eigvalsh inv matrix_transpose slogdet svdvals",
    "x, /, *, offset=0": "diagonal",
    "x1, x2, /": "matmul outer solve",
    "x, /, *, keepdims=False, ord='fro'": "matrix_norm",
    "x, n, /": "matrix_power",
    "x, /, *, rtol=None": "matrix_rank pinv",
    "x, /, *, mode='reduced'": "qr",
    "x, /, *, full_matrices=True": "svd",
    "x1, x2, /, *, axes=2": "tensordot",
    "x, /, *, offset=0, dtype=None": "trace",
    "x, /, *, axis=None, keepdims=False, ord=2": "vector_norm",
}

for _parameters, _names in _TABLE.items():
    for _name in _names.split():
        globals()[_name] = adopt(getattr(np.linalg, _name), _name, _parameters)
        __all__ += [_name]


def __dir__() -> list[str]:
    return __all__
