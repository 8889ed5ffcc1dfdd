"""What the primitives of linear algebra are in NumPy, for the laws."""

from __future__ import annotations

from typing import Any

import numpy as np


def wide(x: Any) -> Any:
    """Return float16 as float32."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _svd(x: Any) -> Any:
    u, s, vh = np.linalg.svd(wide(x), full_matrices=False)
    v = np.conj(np.swapaxes(vh, -1, -2))
    return np.concatenate((u, s[..., None, :], v), axis=-2).astype(x.dtype)


def _polar(x: Any) -> Any:
    u, _, vh = np.linalg.svd(wide(x), full_matrices=False)
    return (u @ vh).astype(x.dtype)


def _in_linalg(name: str, pick: Any = None) -> Any:
    """A function of numpy.linalg, which takes no float16."""

    def function(*xs: Any, **params: Any) -> Any:
        y = getattr(np.linalg, name)(*map(wide, xs), **params)
        y = y if pick is None else pick(y)
        if y.dtype.kind == "i":
            return y
        dtype = np.result_type(*xs)  # a logarithm of magnitudes is real
        return y.astype(dtype if y.dtype.kind == "c" else np.zeros((), dtype).real.dtype)

    return function


def _symmetric(function: Any) -> Any:
    return lambda x, **params: function((x + np.conj(np.swapaxes(x, -1, -2))) / 2, **params)


def _below(first: Any, second: Any) -> Any:
    return np.concatenate((first, second), axis=-2)


def _eigh(x: Any, uplo: str = "L") -> Any:
    w, v = np.linalg.eigh(wide(x), uplo)
    return _below(w[..., None, :], v).astype(x.dtype)


def _eig(x: Any) -> Any:
    y = _below((found := np.linalg.eig(wide(x)))[0][..., None, :], found[1])
    return y.astype(np.complex128 if y.dtype in (float, complex) else np.complex64)


def _cofactors(x: Any) -> Any:
    x = wide(x)
    return np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2)


#: NumPy takes no float16, and gives the same as of float32.
REFERENCES = {
    "inv": _in_linalg("inv"),
    "det": _in_linalg("det"),
    "logabsdet": _in_linalg("slogdet", lambda y: y[1]),
    "det_sign": _in_linalg("slogdet", lambda y: y[0]),
    "cofactor": lambda x: _cofactors(x).astype(x.dtype),
    "solve": _in_linalg("solve"),
    "lstsq": _in_linalg("lstsq", lambda y: y[0]),
    "pinv": _in_linalg("pinv"),
    "matrix_rank": _in_linalg("matrix_rank"),
    "cholesky": _symmetric(_in_linalg("cholesky")),
    "qr_packed": _in_linalg("qr", lambda y: _below(*y)),
    "eigh_packed": _symmetric(_eigh),
    "eig_packed": _eig,
    "svd_thin": _svd,
    "undetermined": lambda x, at: np.zeros_like(x),
    "svd_packed": _svd,
    "polar_factor": _polar,
    "nuclear_norm": lambda x: np.linalg.norm(wide(x), "nuc", axis=(-2, -1)).astype(x.dtype),
}
