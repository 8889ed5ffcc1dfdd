"""Optimisers as objects, which write into tensors that hold their gradients.

Each one applies the transformation of the same name to every tensor by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tapegrad.optim.checks import at_least
from tapegrad.optim.moments import scale_by_adam, scale_by_amsgrad
from tapegrad.optim.optimisers import adagrad, lion, rmsprop, sgd
from tapegrad.optim.optimizer import Optimizer
from tapegrad.optim.scaling import scale_by_learning_rate
from tapegrad.optim.transformation import GradientTransformation, chain, identity
from tapegrad.optim.wrappers import add_decayed_weights

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Lion", "RMSprop"]


def _pair(group: Mapping[str, Any], what: str) -> tuple[Any, Any]:
    betas = group["betas"]
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"{what}: betas must be two numbers, not {betas!r}")
    return betas[0], betas[1]


def _decay(group: Mapping[str, Any], what: str) -> GradientTransformation:
    """The penalty that is added to the gradient, which has no state."""
    decay = at_least(group["weight_decay"], f"{what}: weight_decay")
    return add_decayed_weights(decay) if decay else identity()


def _moments(group: Mapping[str, Any], what: str) -> GradientTransformation:
    """What Adam divides, and by what."""
    b1, b2 = _pair(group, what)
    if group["amsgrad"]:
        return scale_by_amsgrad(b1, b2, group["eps"], of_corrected=False)
    return scale_by_adam(b1, b2, group["eps"])


class SGD(Optimizer):
    """Gradient descent, with or without momentum.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr : float or callable
        The learning rate, or a schedule: a function of the number of steps before.
    momentum : float
        How much of the sum of the gradients stays at each step.
    weight_decay : float
        A multiple of the tensor, added to its gradient.
    nesterov : bool
        Whether the step is the one of Nesterov's method.

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For an option out of its bounds, a constant, and where there are no parameters.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([3.0, -2.0])
    >>> optimiser = tg.optim.SGD([w], lr=0.25)
    >>> for _ in range(3):
    ...     (w * w).sum().backward()
    ...     optimiser.step()
    >>> w
    Tensor([ 0.375, -0.25 ])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        return chain(_decay(group, "SGD"), sgd(group["lr"], group["momentum"], group["nesterov"]))


class RMSprop(Optimizer):
    """Steps divided by the root of the mean square of the gradients.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr : float or callable
        The learning rate, or a schedule.
    alpha : float
        How much of the mean square stays at each step.
    eps : float
        What is added to the root.
    weight_decay : float
        A multiple of the tensor, added to its gradient.
    momentum : float
        How much of the sum of the divided gradients stays at each step.
    centered : bool
        Whether to divide by the standard deviation.

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For an option out of its bounds, a constant, and where there are no parameters.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0])
    >>> optimiser = tg.optim.RMSprop([w], lr=0.1, alpha=0.75)
    >>> (3.0 * w).sum().backward()
    >>> optimiser.step()
    >>> w.data.round(6)
    array([0.8])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        return chain(
            _decay(group, "RMSprop"),
            rmsprop(
                group["lr"],
                group["alpha"],
                group["eps"],
                eps_in_sqrt=False,
                centered=group["centered"],
                momentum=group["momentum"],
            ),
        )


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of the squares of all gradients.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr : float or callable
        The learning rate, or a schedule.
    weight_decay : float
        A multiple of the tensor, added to its gradient.
    initial_accumulator_value : float
        What the sum starts from.
    eps : float
        What is added to the root.

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For an option out of its bounds, a constant, and where there are no parameters.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0])
    >>> optimiser = tg.optim.Adagrad([w], lr=0.1)
    >>> (3.0 * w).sum().backward()
    >>> optimiser.step()
    >>> w.data.round(6)
    array([0.9])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        start = group["initial_accumulator_value"]
        return chain(
            _decay(group, "Adagrad"), adagrad(group["lr"], start, group["eps"], eps_in_sqrt=False)
        )


class Adam(Optimizer):
    """The mean gradient divided by the root of the mean square.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr : float or callable
        The learning rate, or a schedule.
    betas : tuple of float
        How much of both means stays at each step.
    eps : float
        What is added to the root.
    weight_decay : float
        A multiple of the tensor, added to its gradient; see :class:`AdamW`.
    amsgrad : bool
        Whether to divide by the root of the greatest mean square so far.

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For an option out of its bounds, a constant, and where there are no parameters.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0, 1.0])
    >>> optimiser = tg.optim.Adam([w], lr=0.1)
    >>> (w * [3.0, -4.0]).sum().backward()
    >>> optimiser.step()
    >>> w.data.round(6)
    array([0.9, 1.1])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        return chain(
            _decay(group, "Adam"), _moments(group, "Adam"), scale_by_learning_rate(group["lr"])
        )


class AdamW(Optimizer):
    """Adam with weights that decay by themselves, and not through the gradient.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr, betas, eps, amsgrad
        As in :class:`Adam`.
    weight_decay : float
        At each step tensors lose this part of themselves, times the learning rate.

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For an option out of its bounds, a constant, and where there are no parameters.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([2.0])
    >>> optimiser = tg.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (0.0 * w).sum().backward()
    >>> optimiser.step()
    >>> w
    Tensor([1.9])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        return chain(
            _moments(group, "AdamW"),
            add_decayed_weights(group["weight_decay"]),
            scale_by_learning_rate(group["lr"]),
        )


class Lion(Optimizer):
    """Steps of one length for all elements, by the sign of a mean gradient.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr : float or callable
        The learning rate, or a schedule.
    betas : tuple of float
        How much of the mean goes into the sign, and how much of it stays at each step.
    weight_decay : float
        At each step tensors lose this part of themselves, times the learning rate.

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For an option out of its bounds, a constant, and where there are no parameters.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0, 1.0])
    >>> optimiser = tg.optim.Lion([w], lr=0.25)
    >>> (w * [3.0, -4.0]).sum().backward()
    >>> optimiser.step()
    >>> w
    Tensor([0.75, 1.25])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay)

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        b1, b2 = _pair(group, "Lion")
        return lion(group["lr"], b1, b2, group["weight_decay"])
