"""Optimisers as objects, which write into tensors that hold their gradients.

Each one applies the transformation of the same name to every tensor by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tapegrad.optim.checks import at_least
from tapegrad.optim.optimisers import adagrad, adam, adamw, lion, rmsprop, sgd
from tapegrad.optim.transformation import GradientTransformation, apply_updates, chain, identity
from tapegrad.optim.wrappers import add_decayed_weights
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.state import no_autodiff

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Lion", "Optimizer", "RMSprop"]


class Optimizer(ABC):
    """What the optimisers of tensors have in common.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        The parameters, or groups of them: ``{"params": tensors, "lr": 0.1}``, with options that
        differ from those of the optimiser.
    **defaults
        The options of groups that say nothing else.

    Attributes
    ----------
    param_groups : list of dict
        The groups, with all options. Options may be changed between steps.

    Examples
    --------
    >>> import tapegrad as tg
    >>> w, b = tg.tensor([1.0, 2.0]), tg.tensor(0.5)
    >>> optimiser = tg.optim.SGD([{"params": [w]}, {"params": [b], "lr": 0.0}], lr=0.5)
    >>> isinstance(optimiser, tg.optim.Optimizer)
    True
    >>> (w.sum() + b).backward()
    >>> optimiser.step()
    >>> w, b
    (Tensor([0.5, 1.5]), Tensor(0.5))
    """

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._states: dict[Tensor, Any] = {}
        what = type(self).__name__
        if isinstance(params, Tensor | np.ndarray | Mapping) or not isinstance(params, Iterable):
            raise TypeError(
                f"{what} takes an iterable of tensors, or of dicts of options, not one "
                f"{type(params).__name__}"
            )
        given = list(params)
        if not given:
            raise ValueError(f"{what}: there are no parameters")
        if not any(isinstance(item, Mapping) for item in given):
            given = [{"params": given}]
        for group in given:
            self.add_param_group(group)

    @abstractmethod
    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        """Return what a group's options describe."""

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            ``"params"``, a tensor or an iterable of tensors, and options.

        Raises
        ------
        TypeError
            For what is no tensor.
        ValueError
            For an unknown option or one out of its bounds, a constant, a tensor that is there
            already, and a group without tensors.

        Examples
        --------
        >>> import tapegrad as tg
        >>> optimiser = tg.optim.SGD([tg.tensor(1.0)], lr=0.5)
        >>> optimiser.add_param_group({"params": [tg.tensor(2.0)], "lr": 0.1})
        >>> [group["lr"] for group in optimiser.param_groups]
        [0.5, 0.1]
        """
        what = f"{type(self).__name__}: group {len(self.param_groups)}"
        if not isinstance(param_group, Mapping):
            raise TypeError(f"{what} must be a dict, as the others are, not {param_group!r}")
        unknown = [key for key in param_group if key not in ("params", *self.defaults)]
        if unknown:
            known = ", ".join(map(repr, self.defaults))
            raise ValueError(f"{what}: unknown option {unknown[0]!r}; there are 'params', {known}")
        if "params" not in param_group:
            raise ValueError(f"{what} has no 'params'")
        found = param_group["params"]
        tensors = [found] if isinstance(found, Tensor) else list(found)
        if not tensors:
            raise ValueError(f"{what}: there are no parameters")
        seen = {id(tensor) for group in self.param_groups for tensor in group["params"]}
        for i, tensor in enumerate(tensors):
            _check_tensor(tensor, f"{what}: parameter {i}")
            if id(tensor) in seen:
                raise ValueError(f"{what}: parameter {i} is there already")
            seen.add(id(tensor))
        group = {**self.defaults, **param_group, "params": tensors}
        self._transformation(group)  # which looks at the options
        self.param_groups.append(group)

    def step(self) -> None:
        """Write the next values of all tensors into their arrays, by their gradients.

        Tensors whose gradient is None stay as they are. Nothing of this is recorded.

        Raises
        ------
        ValueError
            For a tensor whose array must not be written into, as long as a graph needs it.

        Examples
        --------
        >>> import tapegrad as tg
        >>> w = tg.tensor([1.0, 2.0])
        >>> optimiser = tg.optim.SGD([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimiser.step()
        >>> w
        Tensor([0., 0.])
        """
        with no_autodiff:  # a learning rate may be a tensor
            for number, group in enumerate(self.param_groups):
                transformation = self._transformation(group)
                for i, tensor in enumerate(group["params"]):
                    if tensor.grad is not None:
                        what = f"{type(self).__name__}: parameter {i} of group {number}"
                        self._move(tensor, transformation, what)

    def _move(self, tensor: Tensor, transformation: GradientTransformation, what: str) -> None:
        data = tensor.data
        if not data.flags.writeable:
            raise ValueError(
                f"{what} is read-only: it takes part in a graph; call backward() or clear_graph() of "
                "its result first"
            )
        if tensor not in self._states:
            self._states[tensor] = transformation.init(data)
        updates, state = transformation.update(tensor.grad, self._states[tensor], data)
        self._states[tensor] = state
        data[...] = apply_updates(data, updates)

    def zero_grad(self) -> None:
        """Set all gradients to None.

        Between steps this is not needed: a tensor forgets its gradient when it takes part in a new
        computation, and gradients of several computations never add up. It matters for a tensor that
        the next loss does not depend on: it would be moved again by its old gradient, and is left
        alone without one.

        Examples
        --------
        >>> import tapegrad as tg
        >>> w = tg.tensor([1.0, 2.0])
        >>> optimiser = tg.optim.SGD([w], lr=0.5)
        >>> w.sum().backward()
        >>> optimiser.zero_grad()
        >>> w.grad is None
        True
        """
        for group in self.param_groups:
            for tensor in group["params"]:
                tensor.null_grad()


def _check_tensor(tensor: Any, what: str) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{what} must be a Tensor, not {type(tensor).__name__}")
    if tensor.live_trace.level:
        raise TypeError(f"{what} is traced; inside transformations use the functions, such as adam")
    if tensor.constant:
        raise ValueError(f"{what} is a constant, and never has a gradient")


def _pair(group: Mapping[str, Any], what: str) -> tuple[Any, Any]:
    betas = group["betas"]
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"{what}: betas must be two numbers, not {betas!r}")
    return betas[0], betas[1]


def _decay(group: Mapping[str, Any], what: str) -> GradientTransformation:
    """The penalty that is added to the gradient, which has no state."""
    decay = at_least(group["weight_decay"], f"{what}: weight_decay")
    return add_decayed_weights(decay) if decay else identity()


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
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        return chain(
            _decay(group, "Adam"), adam(group["lr"], *_pair(group, "Adam"), eps=group["eps"])
        )


class AdamW(Optimizer):
    """Adam with weights that decay by themselves, and not through the gradient.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        See :class:`Optimizer`.
    lr, betas, eps
        As in :class:`Adam`.
    weight_decay : float
        At each step tensors lose this part of themselves, times the learning rate.

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
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _transformation(self, group: Mapping[str, Any]) -> GradientTransformation:
        b1, b2 = _pair(group, "AdamW")
        return adamw(group["lr"], b1, b2, group["eps"], weight_decay=group["weight_decay"])


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
