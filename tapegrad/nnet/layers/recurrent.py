"""Layers that carry a state from step to step: ``gru``.

>>> import numpy as np
>>> from tapegrad.nnet.layers import gru
>>> weights = [np.zeros((3, 2)), np.zeros((2, 2)), np.zeros(2)] * 3
>>> gru(np.zeros((5, 4, 3)), *weights).shape
(6, 4, 2)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.nnet.layers.utils import integer
from tapegrad.ops.declare.ufunc import as_tensor
from tapegrad.ops.layers.recurrent import gru_p
from tapegrad.tape import Tensor
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.types import Array, ArrayLike, DTypeLike

__all__ = ["gru"]


def gru(
    X: Any, Uz: Any, Wz: Any, bz: Any, Ur: Any, Wr: Any, br: Any, Uh: Any, Wh: Any, bh: Any,
    s0: ArrayLike = None, bp_lim: int | None = None, dropout: float = 0.0,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Run a gated recurrent unit over sequences.

    With the states S, the data X and the logistic function σ::

        Z[t] = σ(X[t] @ Uz + S[t-1] @ Wz + bz)
        R[t] = σ(X[t] @ Ur + S[t-1] @ Wr + br)
        H[t] = tanh(X[t] @ Uh + (R[t] * S[t-1]) @ Wh + bh)
        S[t] = (1 - Z[t]) * H[t] + Z[t] * S[t-1]

    Parameters
    ----------
    X : array_like, shape (T, N, C)
        Sequences of length T of N examples.
    Uz, Ur, Uh : array_like, shape (C, D)
        Weights of the data.
    Wz, Wr, Wh : array_like, shape (D, D)
        Weights of the state.
    bz, br, bh : array_like, shape (D,)
        Biases.
    s0 : array_like, shape (N, D), optional
        The state before the first step; a constant. By default zeros.
    bp_lim : int, optional
        Over how many steps back the gradient of a state is propagated; by default over all.
    dropout : float
        The share, in [0, 1), of what is dropped: of the weights of the state, and of the three
        products with the data by masks that stay the same at all steps. What is left is scaled by
        ``1 / (1 - dropout)``.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape (T + 1, N, D)
        The states, the first of which is `s0`.

    Raises
    ------
    TypeError
        If `bp_lim` is not an integer.
    ValueError
        For wrong shapes, a `dropout` outside of [0, 1), a `bp_lim` below 1, or an `s0` that is a
        variable.

    Examples
    --------
    >>> import numpy as np
    >>> import tapegrad as tg
    >>> from tapegrad.nnet.layers import gru
    >>> one, zero = tg.ones((1, 1), dtype=float), tg.zeros(1, dtype=float)
    >>> x = np.ones((2, 1, 1))
    >>> s = gru(x, one, one, zero, one, one, zero, one, one, zero)
    >>> s[:, 0, 0]
    Tensor([0.        , 0.20482421, 0.34675308])
    """
    X, s0 = as_tensor(X), None if s0 is None else as_tensor(s0)
    named = {"Uz": Uz, "Wz": Wz, "bz": bz, "Ur": Ur, "Wr": Wr, "br": br, "Uh": Uh, "Wh": Wh}
    weights = {name: as_tensor(a) for name, a in {**named, "bh": bh}.items()}
    _check(X, weights, s0, bp_lim, dropout)
    steps, count, channels = X.shape
    size = weights["bz"].shape[0]
    data = np.reshape(X, (steps * count, channels))
    given, recurrent = [], []
    for gate in "zrh":
        x = np.reshape(data @ weights["U" + gate], (steps, count, size))
        W = weights["W" + gate]
        if dropout:
            x = x * _mask((count, size), dropout, x.dtype)
            W = W * _mask((size, size), dropout, W.dtype)
        given.append(x + weights["b" + gate])
        recurrent.append(W)
    if s0 is None:
        s0 = np.zeros((count, size), given[0].dtype if given[0].dtype.kind == "f" else float)
    limit = None if bp_lim is None or bp_lim >= steps else int(bp_lim)
    return apply(gru_p, (*given, np.stack(recurrent), s0), {"limit": limit}, constant)  # type: ignore[no-any-return]


def _mask(shape: tuple[int, ...], dropout: float, dtype: DTypeLike) -> Any:
    """Draw zeros, with probability `dropout`, and what keeps the mean."""
    kept = np.random.random_sample(shape) >= dropout  # noqa: NPY002  # the stream of tg.random
    return kept.astype(dtype if dtype.kind == "f" else float) * (1 / (1 - dropout))


def _check(X: Any, weights: dict[str, Any], s0: Array, bp_lim: Any, dropout: Any) -> None:
    """Raise if an argument of ``gru`` does not fit the others."""
    if X.ndim != 3:
        raise ValueError(f"gru: `X` must have shape (T, N, C), not {X.shape}")
    size = weights["bz"].shape[-1] if weights["bz"].ndim else 0
    wanted = {"U": (X.shape[2], size), "W": (size, size), "b": (size,)}
    for name, a in weights.items():
        if a.shape != wanted[name[0]]:
            raise ValueError(
                f"gru: `{name}` must have shape {wanted[name[0]]}, for C = {X.shape[2]} and "
                f"D = {size}, the length of `bz`; it has {a.shape}"
            )
    if not 0 <= dropout < 1:
        raise ValueError(f"gru: `dropout` must be at least 0 and below 1, not {dropout}")
    if bp_lim is not None:
        if integer(bp_lim) is None:
            raise TypeError(f"gru: `bp_lim` must be an integer, not {bp_lim!r}")
        if bp_lim < 1:
            raise ValueError(f"gru: `bp_lim` must be at least 1, not {bp_lim}")
    if s0 is None:
        return
    if s0.shape != (X.shape[1], size):
        raise ValueError(f"gru: `s0` must have shape {(X.shape[1], size)}, not {s0.shape}")
    if not s0.live_trace.level and not s0.constant:
        raise ValueError("gru: `s0` must be a constant; use tg.tensor(s0, constant=True)")
