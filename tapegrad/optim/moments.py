"""Adam's parts: means of the gradients and of their squares, and the greatest of the latter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapegrad.optim.checks import as_factor, at_least, fraction, like, matched
from tapegrad.optim.scaling import filled, mean, start_of_count
from tapegrad.optim.transformation import GradientTransformation
from tapegrad.tape.core.pytree import unflatten

__all__ = ["ScaleByAdamState", "ScaleByAmsgradState", "scale_by_adam", "scale_by_amsgrad"]


class ScaleByAdamState(NamedTuple):
    """State of :func:`scale_by_adam`: the count, and means of gradients and of their squares."""

    count: Any
    mu: Any
    nu: Any


class ScaleByAmsgradState(NamedTuple):
    """State of :func:`scale_by_amsgrad`: as Adam's, and the greatest mean squares so far."""

    count: Any
    mu: Any
    nu: Any
    nu_max: Any


def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
) -> GradientTransformation:
    """Return the transformation that divides the mean gradient by the root of the mean square.

    Parameters
    ----------
    b1, b2 : float
        How much of both means stays at each step, at least 0 and less than 1.
    eps, eps_root : float
        What is added to the root, and to the mean square, before it is divided.

    Returns
    -------
    GradientTransformation

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Notes
    -----
    The means start at zero; what they lack at the beginning is made good (Kingma and Ba, 2014).

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> adam = tg.optim.scale_by_adam()
    >>> update, state = adam.update(np.array([4.0, -0.5]), adam.init(np.zeros(2)))
    >>> update.round(6)
    array([ 1., -1.])
    """

    def squares(nus: list[Any], lack: Any) -> Any:
        return [nu / as_factor(lack, nu.dtype) for nu in nus], ()

    return _by_moments("scale_by_adam", ScaleByAdamState, (b1, b2, eps, eps_root), squares)


def scale_by_amsgrad(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    of_corrected: bool = True,
) -> GradientTransformation:
    """Return Adam's transformation with the greatest mean square so far in place of the last one.

    Parameters
    ----------
    b1, b2, eps, eps_root
        As in :func:`scale_by_adam`.
    of_corrected : bool
        Whether the greatest is that of the mean squares after what they lack at the beginning was made
        good, as optax has it, or before, as PyTorch has it.

    Returns
    -------
    GradientTransformation

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a number out of its bounds.

    Notes
    -----
    Steps cannot grow because the gradients get smaller (Reddi, Kale and Kumar, 2018).

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> amsgrad = tg.optim.scale_by_amsgrad(b1=0.0, b2=0.5)
    >>> state = amsgrad.init(np.zeros(1))
    >>> for gradient in (4.0, 1.0, 1.0):
    ...     update, state = amsgrad.update(np.array([gradient]), state)
    ...     print(update)
    [1.]
    [0.25]
    [0.25]
    """

    def squares(nus: list[Any], lack: Any, before: list[Any]) -> Any:
        result, greatest = [], []
        for nu, most in zip(nus, before):
            factor = as_factor(lack, nu.dtype)
            most = np.maximum(most, nu / factor if of_corrected else nu)
            result.append(most if of_corrected else most / factor)
            greatest.append(most)
        return result, (greatest,)

    return _by_moments("scale_by_amsgrad", ScaleByAmsgradState, (b1, b2, eps, eps_root), squares)


def _by_moments(
    what: str, state_of: Any, numbers: tuple[float, ...], squares: Callable[..., Any]
) -> GradientTransformation:
    """Return the transformation that divides the mean gradient by the root of what `squares` gives.

    That gets the mean squares, what these lack at the beginning, and what the state keeps besides the
    means; it returns by what is divided, and what is kept next.
    """
    b1, b2 = (float(fraction(n, f"{what}: {name}")) for n, name in zip(numbers, ("b1", "b2")))
    eps, eps_root = (
        float(at_least(n, f"{what}: {name}")) for n, name in zip(numbers[2:], ("eps", "eps_root"))
    )
    nests = len(state_of._fields) - 1

    def init(params: Any) -> Any:
        return state_of(start_of_count(), *(filled(params, 0.0, what) for _ in range(nests)))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = matched(grads, state.mu, what)
        old_mu, old_nu, *kept = (like(structure, n, f"{what}: the state") for n in state[1:])
        count = state.count + 1
        lack1, lack2 = 1.0 - b1**count, 1.0 - b2**count
        mus = [mean(b1, mu, g) for mu, g in zip(old_mu, leaves)]
        nus = [mean(b2, nu, g * g) for nu, g in zip(old_nu, leaves)]
        found, kept = squares(nus, lack2, *kept)
        result = []
        for mu, square in zip(mus, found):
            root = np.sqrt(square + eps_root if eps_root else square)
            result.append(mu / as_factor(lack1, mu.dtype) / (root + eps))
        new = (unflatten(structure, leaves) for leaves in (mus, nus, *kept))
        return unflatten(structure, result), state_of(count, *new)

    return GradientTransformation(init, update)
