"""What a user's file looks like to a type checker: what is right passes, ten mistakes are made.

Each mistake has its number at the end of its line; `tests/tapegrad/test_types.py` has a checker look.
"""

import numpy as np
from numpy.typing import NDArray

import tapegrad as tg
from tapegrad.typing import ArrayLike

Vector = NDArray[np.float64]


def loss(w: Vector, x: Vector, *, scale: float = 1.0) -> np.float64:
    return np.float64(scale * np.sum((x @ w) ** 2))


def half(x: ArrayLike) -> tg.Tensor:
    return tg.astensor(x) * 0.5 + 1.0


@tg.jit
def step(w: Vector, x: Vector) -> Vector:
    return w - 0.1 * np.asarray(tg.grad(loss)(w, x, scale=2.0))


@tg.jit(strict=True)
def strictly(w: Vector) -> Vector:
    return np.sin(w)


w, x = np.ones(3), np.ones((2, 3))
value, slope = tg.value_and_grad(loss)(w, x)
doubled: np.float64 = 2 * value
new: Vector = step(w, x=x)
sines: Vector = strictly(w)
counted: int = step.stats().traces
mapped = tg.vmap(half)(x)
t = half([1.0, 2.0])
total: tg.Tensor = -(t * 2 + t @ t) / t[0]
total.backward()
many = tg.jit(tg.grad(loss))(w, x)

tg.grad(loss)(w)  # mistake 1: an argument is missing
tg.grad(loss)(w, x, scala=2.0)  # mistake 2: a name is misspelled
step(w, x, 3)  # mistake 3: an argument too many
text: str = step(w, x)  # mistake 4: the result is no text
tg.jit(loss, static_argnum=1)  # mistake 5: jit has no such option
step.stat()  # mistake 6: nor such a method
total.backwards()  # mistake 7: nor have tensors
tg.value_and_gradient(loss)  # mistake 8: nor has the package
number: float = t * 2  # mistake 9: a tensor is no float
w[0] = tg.grad(loss)(x, w)[0]  # mistake 10: arrays in the wrong order; their types are equal
