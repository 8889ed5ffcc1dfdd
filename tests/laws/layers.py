"""Layers and their backward passes in NumPy, written for reading: one channel or step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.primitive import primitives


def _wide(*arrays: Any) -> list[Any]:
    return [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]


def _flat(*parts: Any) -> Any:
    return np.concatenate([np.ravel(p) for p in parts])


def normalise(x: Any, gamma: Any, beta: Any, *, eps: float) -> Any:
    out = np.zeros(x.shape, np.result_type(x, gamma, beta))
    for c in range(x.shape[1]):
        if x.size:
            (v,) = _wide(x[:, c])
            out[:, c] = gamma[c] * (v - v.mean()) / np.sqrt(v.var() + eps) + beta[c]
    return out


def normalise_pull(g: Any, x: Any, gamma: Any, beta: Any, *, eps: float) -> Any:
    g, x, gamma = _wide(g, x, gamma)
    gx, along = np.zeros_like(x), np.zeros_like(gamma)
    for c in range(x.shape[1]):
        if x.size:
            scale = 1 / np.sqrt(x[:, c].var() + eps)
            unit = (x[:, c] - x[:, c].mean()) * scale
            along[c] = np.sum(g[:, c] * unit)
            away = g[:, c] - g[:, c].mean() - unit * np.mean(g[:, c] * unit)
            gx[:, c] = gamma[c] * scale * away
    return _flat(gx, along, np.sum(g, axis=(0, *range(2, g.ndim))))


def crossentropy(x: Any, labels: Any) -> Any:
    (wide,) = _wide(x)
    rows = [np.logaddexp.reduce(row) - row[k] for row, k in zip(wide, labels)]
    return np.array(rows, x.dtype)


def crossentropy_pull(g: Any, x: Any, labels: Any) -> Any:
    g, x = _wide(g, x)
    out = np.zeros_like(x)
    for i, k in enumerate(labels):
        out[i] = g[i] * np.exp(x[i] - np.logaddexp.reduce(x[i]))
        out[i, k] -= g[i]
    return _flat(out)


def gru(xz: Any, xr: Any, xh: Any, W: Any, s0: Any, *, limit: int | None) -> Any:
    dtype = np.result_type(xz, xr, xh, W, s0)
    xz, xr, xh, W, s = _wide(xz, xr, xh, W, s0)
    states = [s]
    for az, ar, ah in zip(xz, xr, xh):
        z, r = 1 / (1 + np.exp(-az - s @ W[0])), 1 / (1 + np.exp(-ar - s @ W[1]))
        h = np.tanh(ah + (r * s) @ W[2])
        s = (1 - z) * h + z * s
        states.append(s)
    return np.stack(states).astype(dtype)


def gru_pull(g: Any, *args: Any, limit: int | None) -> Any:
    """The composition: the laws of ``gru`` compare the pass over arrays with differences."""
    return primitives["gru_pull"].composition(*_wide(g, *args), limit=limit)  # type: ignore[attr-defined]


REFERENCES = {
    f.__name__: f
    for f in (normalise, normalise_pull, crossentropy, crossentropy_pull, gru, gru_pull)
}
