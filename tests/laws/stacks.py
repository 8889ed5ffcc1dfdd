"""Stacks of transformations, each beside a reference that uses NumPy alone.

A :class:`Function` is a function of one array written in NumPy, and the same thing by differences and
loops. ``grad``, ``jvp`` and ``jacobian`` stand against central differences (of sixth order, in extended
precision where the machine has it, so that three of them can be nested), ``vmap`` against a loop, and
``jit`` against nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tapegrad as tg

_REAL = np.longdouble
_STEP = 0.003
_WEIGHTS = (
    (1, _REAL(4) / 5),
    (2, _REAL(-1) / 5),
    (3, _REAL(4) / 105),
    (4, _REAL(-1) / 280),
)  # of the eighth order
#: Relative to the largest number. A level of differences in double precision loses two digits.
TOLERANCE = 1e-6 if np.finfo(_REAL).eps < 1e-18 else 1e-4


@dataclass(frozen=True)
class Function:
    """A function of one array: ours, the reference, and the shapes of argument and result."""

    name: str
    ours: Callable[[Any], Any]
    reference: Callable[[Any], Any]
    shape: tuple[int, ...]
    out: tuple[int, ...]


def _slope(f: Callable[[Any], Any], x: Any, t: Any) -> Any:
    """Derivative of a function of an array along `t`."""
    h = _REAL(_STEP)
    return sum(w * (f(x + k * h * t) - f(x - k * h * t)) for k, w in _WEIGHTS) / h


def _gradient(f: Callable[[Any], Any], x: Any) -> Any:
    steps = np.eye(x.size, dtype=_REAL).reshape(x.size, *x.shape)
    return np.array([_slope(f, x, t) for t in steps], dtype=_REAL).reshape(x.shape)


def _direction(shape: tuple[int, ...]) -> Any:
    return np.cos(1.0 + np.arange(np.prod(shape, dtype=int))).reshape(shape)


def summed(f: Function) -> Function:
    """A weighted sum of the result: what ``grad`` needs."""
    if f.out == ():
        return f
    w = _direction(f.out)
    return Function(
        f"sum({f.name})",
        lambda x: np.sum(w * f.ours(x)),
        lambda x: np.sum(w * f.reference(x)),
        f.shape,
        (),
    )


def grad(f: Function) -> Function:
    f = summed(f)
    name = f"grad({f.name})"
    ours = tg.grad(f.ours)
    return Function(name, ours, lambda x: _gradient(f.reference, x), f.shape, f.shape)


def value_and_grad(f: Function) -> Function:
    f = summed(f)

    def ours(x: Any) -> Any:
        value, gradient = tg.value_and_grad(f.ours)(x)
        return value * gradient

    name = f"value_and_grad({f.name})"
    return Function(
        name, ours, lambda x: f.reference(x) * _gradient(f.reference, x), f.shape, f.shape
    )


def jvp(f: Function) -> Function:
    t = _direction(f.shape)
    return Function(
        f"jvp({f.name})",
        lambda x: tg.jvp(f.ours, (x,), (t,))[1],
        lambda x: _slope(f.reference, x, t),
        f.shape,
        f.out,
    )


def vjp(f: Function) -> Function:
    g = _direction(f.out)
    return Function(
        f"vjp({f.name})",
        lambda x: tg.vjp(f.ours, x)[1](g)[0],
        lambda x: _gradient(lambda x: np.sum(g * f.reference(x)), x),
        f.shape,
        f.shape,
    )


def vmap(f: Function) -> Function:
    """Two examples, along the last axis."""

    def loop(x: Any) -> Any:
        return np.stack([f.reference(x[..., k]) for k in range(2)], axis=-1)

    ours = tg.vmap(f.ours, in_axes=-1, out_axes=-1)
    return Function(f"vmap({f.name})", ours, loop, (*f.shape, 2), (*f.out, 2))


def jit(f: Function) -> Function:
    return Function(f"jit({f.name})", tg.jit(f.ours), f.reference, f.shape, f.out)


TRANSFORMATIONS = {
    "grad": grad,
    "jit": jit,
    "jvp": jvp,
    "value_and_grad": value_and_grad,
    "vjp": vjp,
    "vmap": vmap,
}

# The functions at the bottom. They take scalars and vectors alike, and know no dtype. ------------


def _branch(x: Any) -> Any:
    if np.sum(x) > 0.4:
        return np.sum(np.sin(x) * x)
    return np.sum(np.exp(0.5 * x))


def _in_place(x: Any) -> Any:
    y = np.copy(x) * 1.5
    y[0] = x[1] * y[2]
    y[1:] *= np.cos(x[:-1])
    view = y[::-1]
    view += x
    return y


def _loop(x: Any) -> Any:
    y = x
    for k in range(3):
        y = np.sin(y + 0.1 * k) + 0.5 * x
    return y


def _filled(x: Any) -> Any:
    y = np.zeros_like(x)
    y[1:] = x[:-1] ** 2
    y[0] = x[2]
    return y * x


def _masked(x: Any) -> Any:
    return np.where(x > 0.1, np.tanh(x), x * x - 0.3 * x)


def _scan(x: Any) -> Any:
    total, ys = tg.scan(lambda c, row: (np.sin(c * row) + x[0], c * x), np.sum(x), x, checkpoint=2)
    return total * ys[2]


def _scan_in_python(x: Any) -> Any:
    total, ys = np.sum(x), []
    for row in x:
        ys.append(total * x)
        total = np.sin(total * row) + x[0]
    return total * ys[2]


def _while(x: Any) -> Any:
    return tg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, np.sin(s[1]) * x + s[1]), (0, x))[
        1
    ]


def _while_in_python(x: Any) -> Any:
    y = x
    for _ in range(3):
        y = np.sin(y) * x + y
    return y


_A = np.array([[0.3, -0.7, 0.2], [1.1, 0.4, -0.5], [-0.2, 0.6, 0.9]])

SCALAR = {
    "sine of square": lambda x: np.sin(x * x),
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-2.0 * x)),
    "branch": _branch,
    "loop": _loop,
}
VECTOR = {
    "linear": lambda x: np.tanh(_A @ x),
    "quadratic": lambda x: x @ _A @ x,
    "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
    "products": lambda x: np.cumsum(x)[::-1] * np.prod(x),
    "in place": _in_place,
    "filled": _filled,
    "masked": _masked,
    "branch": _branch,
    "outer": lambda x: np.sum(np.sin(x[:, None] * x), axis=0) + np.var(x),
    "gathered": lambda x: np.sqrt(1.5 + x[np.array([0, 2, 2])] ** 2) * np.mean(x),
}
LOOPS = {"scan": (_scan, _scan_in_python), "while": (_while, _while_in_python)}
BOTTOM = [
    *(Function(name, f, f, (), np.shape(f(0.5))) for name, f in SCALAR.items()),
    *(Function(name, f, f, (3,), np.shape(f(np.ones(3)))) for name, f in VECTOR.items()),
    *(Function(name, *both, (3,), (3,)) for name, both in LOOPS.items()),
]


def stack(bottom: Function, names: Any) -> Function:
    """Put transformations upon a function, the first innermost."""
    for name in names:
        bottom = TRANSFORMATIONS[name](bottom)
    return bottom


def point(f: Function, seed: int) -> Any:
    """An argument, far from where the branches and masks of the functions change."""
    rng = np.random.default_rng(seed)
    far = 27 * _STEP  # how far three nested differences of vectors may reach
    while True:
        x = np.asarray(rng.uniform(-1.5, 1.5, f.shape))
        sums = np.sum(x, axis=0) if f.shape[:1] == (3,) else x
        if np.min(np.abs(sums - 0.4)) > far and np.min(np.abs(x - 0.1)) > far / 3:
            return x


def bottoms() -> Any:
    return st.sampled_from(BOTTOM)


def check(f: Function, x: Any) -> None:
    """Ours is the reference, at three calls (a plan is made at the first, and used later)."""
    expected = np.asarray(f.reference(x.astype(_REAL)), dtype=np.float64)
    scale = 1.0 + np.max(np.abs(expected), initial=0.0)
    for call in range(3):
        given = x.copy()
        got = np.asarray(f.ours(given))
        assert got.shape == expected.shape, f"{f.name}: shape {got.shape}, not {expected.shape}"
        assert got.dtype == np.float64, f"{f.name}: dtype {got.dtype}"
        error = np.max(np.abs(got - expected), initial=0.0)
        assert error <= TOLERANCE * scale, (
            f"{f.name}({x!r}), call {call}: {got} and {expected} differ by {error:.3g}"
        )
        assert np.array_equal(given, x), f"{f.name} wrote into its argument"
