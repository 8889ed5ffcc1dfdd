"""Gated recurrent units: all steps as one primitive.

Forward, a step is three small matrix products and a dozen ufuncs that write into memory which is
there already. Backward, the gates of all steps are computed anew from the states by three large
products; only the products that carry the cotangent from step to step are small.

>>> import numpy as np
>>> from tapegrad.ops.layers.recurrent import gru_p
>>> data, weights = [np.zeros((2, 1, 3))] * 3, np.zeros((3, 3, 3))
>>> gru_p(*data, weights, np.ones((1, 3)), limit=None)[:, 0, 0]
array([1.  , 0.5 , 0.25])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.composed import Layer, packed, unpacked
from tapegrad.ops.elementwise.logistic import sigmoid_p, stop_gradient_p
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.types import Array, Params

__all__ = ["gru_p"]

# Arguments: what the data give to the update gate, the reset gate and the candidate, of shape
# (T, N, D); the weights of the state for each of them, of shape (3, D, D); the state before the first
# step, of shape (N, D). The parameter `limit` says over how many steps, before the one that made it,
# the gradient of a state is propagated; None stands for all. The result are the states, (T + 1, N, D).


def _composition(xz: Array, xr: Array, xh: Array, W: Any, s0: Array, *, limit: int | None) -> Any:
    Wz, Wr, Wh = W[0], W[1], W[2]

    def step(s: Any, t: int) -> Any:
        z = bind(sigmoid_p, np.matmul(s, Wz) + xz[t])
        r = bind(sigmoid_p, np.matmul(s, Wr) + xr[t])
        h = np.tanh(np.matmul(r * s, Wh) + xh[t])
        return h + z * (s - h)

    states = [s0]
    # recent[d] is the current state, whose gradient passes d steps back; all are equal in value.
    recent = [s0] * (1 if limit is None else limit + 1)
    for t in range(xz.shape[0]):
        before = recent if limit is None else [bind(stop_gradient_p, recent[0]), *recent[:-1]]
        recent = [step(s, t) for s in before]
        states.append(recent[-1])
    return np.stack(states)


def _pull(
    g: Array, y: Array, xz: Array, xr: Array, xh: Array, W: Any, s0: Array, *, limit: int | None
) -> Any:
    """The cotangents as a function of all operands, the states `y` among them."""
    Wz, Wr, Wh = W[0], W[1], W[2]
    s = y[:-1]
    z = bind(sigmoid_p, np.matmul(s, Wz) + xz)
    r = bind(sigmoid_p, np.matmul(s, Wr) + xr)
    h = np.tanh(np.matmul(r * s, Wh) + xh)
    of_z, of_h, of_r = (s - h) * (z * (1 - z)), (1 - z) * (1 - h * h), s * (r * (1 - r))
    steps: list[Any] = []
    carried: list[Any] = []  # element k has come back by k + 1 steps
    for t in range(xz.shape[0] - 1, -1, -1):
        here = [g[t + 1], *carried]
        if limit is None:
            here = [sum(here[1:], here[0])]
        carried, parts = [], []
        for d in here:
            dh = d * of_h[t]
            back = np.matmul(dh, np.swapaxes(Wh, 0, 1))
            dz, dr = d * of_z[t], back * of_r[t]
            parts.append(np.stack([dz, dr, dh]))
            carried.append(
                d * z[t]
                + back * r[t]
                + np.matmul(dz, np.swapaxes(Wz, 0, 1))
                + np.matmul(dr, np.swapaxes(Wr, 0, 1))
            )
        carried = carried[:limit]
        steps.append(sum(parts[1:], parts[0]))
    first = sum(carried, g[0])
    if not steps:
        return packed([xz, xr, xh, np.zeros(W.shape, W.dtype), first])
    dz, dr, dh = (np.stack([d[k] for d in steps[::-1]]) for k in range(3))
    weights = np.stack([_product(a, b) for a, b in ((s, dz), (s, dr), (r * s, dh))])
    return packed([dz, dr, dh, weights, first])


def _product(a: Array, b: Array) -> Any:
    """Sum the products of transposed `a` and `b`, (..., T, N, D), over steps and examples."""
    rows = (*a.shape[:-3], a.shape[-3] * a.shape[-2], a.shape[-1])
    return np.matmul(np.swapaxes(np.reshape(a, rows), -1, -2), np.reshape(b, rows))


# Passes over arrays ------------------------------------------------------------------------------


def _run(
    xz: Array, xr: Array, xh: Array, W: Any, s0: Array, *, limit: int | None
) -> tuple[Any, None]:
    steps, count, size = xz.shape
    dtype = xz.dtype
    y = np.empty((steps + 1, count, size), dtype)
    y[0] = s0
    # The logistic function of -a is 1 / (1 + exp(a)): the products get the sign.
    minus_z, minus_r = np.negative(W[:2], order="C")
    Wh = np.ascontiguousarray(W[2])
    gates = np.empty((2, count, size), dtype)
    z, r = gates
    h, part = np.empty((2, count, size), dtype)
    one = np.ones((), dtype)
    states = list(y)
    with np.errstate(over="ignore", under="ignore"):
        for s, new, az, ar, ah in zip(states, states[1:], xz, xr, xh):
            np.dot(s, minus_z, z)
            np.subtract(z, az, z)
            np.dot(s, minus_r, r)
            np.subtract(r, ar, r)
            np.exp(gates, gates)
            np.add(gates, one, gates)
            np.reciprocal(gates, gates)
            np.multiply(r, s, part)
            np.dot(part, Wh, h)
            np.add(h, ah, h)
            np.tanh(h, h)
            np.subtract(s, h, part)
            np.multiply(z, part, part)
            np.add(h, part, new)
    return y, None


def _gate(s: Any, W: Any, x: Array, out: Any) -> Any:
    """The logistic function of ``s @ W + x``, for all steps."""
    flat = (-1, out.shape[2])
    np.matmul(s.reshape(flat), -W, out=out.reshape(flat))
    out -= x
    with np.errstate(over="ignore", under="ignore"):
        np.exp(out, out)
    out += 1
    return np.reciprocal(out, out)


def _run_back(
    g: Array, y: Array, residuals: None, out: list[Any],
    xz: Array, xr: Array, xh: Array, W: Any, s0: Array, *, limit: int | None,
) -> None:  # fmt: skip
    dz, dr, dh, weights, first = out
    if not dz.size:
        weights[...] = 0
        first[...] = g[0]
        return
    s = np.ascontiguousarray(y[:-1])
    z, r, q, rest = np.empty((4, *dz.shape), dz.dtype)
    flat = (-1, dz.shape[2])
    _gate(s, W[0], xz, z)
    _gate(s, W[1], xr, r)
    np.multiply(r, s, q)
    np.matmul(q.reshape(flat), W[2], out=dh.reshape(flat))
    dh += xh
    np.tanh(dh, dh)
    # The derivatives of a state by the three sums inside the functions, and of r * s by r's.
    np.subtract(1, z, rest)
    np.subtract(s, dh, dz)
    dz *= z
    dz *= rest
    np.multiply(dh, dh, dh)
    np.subtract(1, dh, dh)
    dh *= rest
    np.subtract(1, r, dr)
    dr *= q
    turned = np.ascontiguousarray(np.swapaxes(W, 1, 2))
    if limit is None:
        first[...] = _carry_back(g, z, r, dz, dr, dh, turned)
    else:
        first[...] = _carry_back_to_limit(g, z, r, dz, dr, dh, turned, limit)
    for part, a, d in zip(weights, (s, s, q), (dz, dr, dh)):
        np.matmul(a.reshape(flat).T, d.reshape(flat), out=part)


def _carry_back(g: Array, z: Array, r: Array, dz: Any, dr: Any, dh: Any, W: Any) -> Any:
    """Turn the derivatives of each step into cotangents, in place; return the cotangent of s0."""
    Wz, Wr, Wh = W
    carry = np.zeros(dz.shape[1:], dz.dtype)
    here, back, more = np.empty((3, *dz.shape[1:]), dz.dtype)
    steps = (a[::-1] for a in (g[1:], z, r, dz, dr, dh))
    for g_t, z_t, r_t, dz_t, dr_t, dh_t in zip(*steps):
        np.add(g_t, carry, here)
        np.multiply(here, dz_t, dz_t)
        np.multiply(here, dh_t, dh_t)
        np.dot(dh_t, Wh, back)
        np.multiply(back, dr_t, dr_t)
        np.dot(dz_t, Wz, carry)
        np.dot(dr_t, Wr, more)
        np.add(carry, more, carry)
        np.multiply(here, z_t, here)
        np.add(carry, here, carry)
        np.multiply(back, r_t, back)
        np.add(carry, back, carry)
    return carry + g[0]


def _carry_back_to_limit(
    g: Array, z: Array, r: Array, dz: Any, dr: Any, dh: Any, W: Any, limit: int
) -> Any:
    """Do the same for cotangents that come no further than `limit` steps: each age is one row."""
    Wz, Wr, Wh = W
    shape = (limit + 1, *dz.shape[1:])
    here = np.zeros(shape, dz.dtype)
    for t in range(len(dz) - 1, -1, -1):
        here[0] = g[t + 1]
        by_h = here * dh[t]
        back = by_h @ Wh
        by_z, by_r = here * dz[t], back * dr[t]
        there = here * z[t] + back * r[t] + by_z @ Wz + by_r @ Wr
        for total, part in ((dz, by_z), (dr, by_r), (dh, by_h)):
            np.add.reduce(part, axis=0, out=total[t])
        here[1:] = there[:-1]
    return here[1:].sum(axis=0) + g[0]


# Batching ----------------------------------------------------------------------------------------


def _folded(args: Sequence[Array], batched: Sequence[bool], size: int) -> list[Any]:
    """Make a batch of arrays (..., N, D) one array with more examples."""
    out = []
    for a, flag in zip(args, batched):
        if not flag:
            a = np.broadcast_to(a, (size, *a.shape))
        a = np.moveaxis(a, 0, -3)
        shape = (*a.shape[:-3], a.shape[-3] * a.shape[-2], a.shape[-1])
        out.append(np.reshape(a, shape))
    return out


def _unfolded(a: Array, size: int) -> Any:
    """Undo :func:`_folded`; `size` is not 0."""
    shape = (*a.shape[:-2], size, a.shape[-2] // size, a.shape[-1])
    return np.moveaxis(np.reshape(a, shape), -3, 0)


def _each(
    primitive: Any, args: Sequence[Array], batched: Sequence[bool], size: int, params: Params
) -> Any:
    """Apply a primitive to one example after the other."""
    if not size:
        one = bind(
            primitive, *(np.zeros(a.shape[b:], a.dtype) for a, b in zip(args, batched)), **params
        )
        return np.zeros((0, *one.shape), one.dtype)
    return np.stack(
        [
            bind(primitive, *(a[k] if b else a for a, b in zip(args, batched)), **params)
            for k in range(size)
        ]
    )


def _batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    if batched[3] or not size:
        return _each(gru_p, args, batched, size, params)
    *xs, s0 = _folded((*args[:3], args[4]), (*batched[:3], batched[4]), size)
    return _unfolded(bind(gru_p, *xs, args[3], s0, **params), size)


def _batch_back(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    if batched[5] or not size:
        return _each(gru_p.pull, args, batched, size, params)
    g, y, *xs, s0 = _folded((*args[:5], args[6]), (*batched[:5], batched[6]), size)
    W = args[5]
    flat = bind(gru_p.pull, g, y, *xs, W, s0, **params)
    dz, dr, dh, _, first = unpacked(flat, [a.shape for a in (*xs, W, s0)])
    # The gradient of the weights comes summed over the examples, and is computed for each.
    s = y[:-1]
    q = bind(sigmoid_p, np.matmul(s, W[1]) + xs[1]) * s
    dz, dr, dh, s, q, first = (_unfolded(a, size) for a in (dz, dr, dh, s, q, first))
    weights = np.stack([_product(a, d) for a, d in ((s, dz), (s, dr), (q, dh))], axis=1)
    return packed([dz, dr, dh, weights, first], (size,))


gru_p = Layer(
    "gru",
    _run,
    _run_back,
    _composition,
    5,
    reads_result=True,
    pull=_pull,
    batch=_batch,
    pull_batch=_batch_back,
)
