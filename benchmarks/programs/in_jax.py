"""What JAX needs to be told in another way: writes without writing, and loops as one operation."""

from typing import Any

import jax.numpy as jnp
from jax import lax


def rnn(w: Any, u: Any, inputs: Any) -> Any:
    """See `workloads.rnn`."""

    def step(state: Any, x: Any) -> Any:
        return jnp.tanh(x @ w + state @ u), None

    state, _ = lax.scan(step, jnp.zeros(inputs.shape[1:]), inputs)
    return jnp.sum(state * state)


def jacobi_2d(a: Any, steps: int = 100) -> Any:
    """See `workloads.jacobi_2d`."""

    def step(a: Any, _: Any) -> Any:
        around = a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        return a.at[1:-1, 1:-1].set(0.2 * (a[1:-1, 1:-1] + around)), None

    a, _ = lax.scan(step, a, None, length=steps)
    return jnp.sum(a * a)
