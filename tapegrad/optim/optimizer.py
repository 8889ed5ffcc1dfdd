"""What the optimisers of tensors have in common: groups of parameters, and steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tapegrad.optim.state_dicts import named, restored
from tapegrad.optim.transformation import GradientTransformation, apply_updates
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.state import no_autodiff

__all__ = ["Optimizer"]


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

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For an option out of its bounds, a constant, and where there are no parameters.

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

    def state_dict(self) -> dict[str, Any]:
        """Return the options of all groups, and what is kept of each tensor, under PyTorch's names.

        Returns
        -------
        dict
            ``"state"``: by the number of the tensor (through all groups) a dict of arrays, copied, and
            of the number of its steps; tensors that were never moved have none. ``"param_groups"``: the
            groups, with numbers in the place of tensors. A learning rate that is a schedule is in there
            as it is.

        Examples
        --------
        >>> import tapegrad as tg
        >>> w = tg.tensor([1.0, 2.0])
        >>> optimiser = tg.optim.SGD([w], lr=0.5, momentum=0.9)
        >>> (w * w).sum().backward()
        >>> optimiser.step()
        >>> optimiser.state_dict()["state"]
        {0: {'momentum_buffer': array([2., 4.])}}
        >>> optimiser.state_dict()["param_groups"][0]["params"]
        [0]
        """
        numbers = {tensor: i for i, tensor in enumerate(self._tensors())}
        states = {numbers[t]: named(self._states[t]) for t in numbers if t in self._states}
        groups = [
            {**group, "params": [numbers[tensor] for tensor in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where another optimiser of this kind was: take over its options, and what it kept.

        Parameters
        ----------
        state_dict : dict
            What :meth:`state_dict` returned. It is copied. Arrays are converted to the dtype of their
            tensor.

        Raises
        ------
        ValueError
            If groups, tensors, options or shapes are others; then nothing has changed.

        Examples
        --------
        >>> import tapegrad as tg
        >>> w = tg.tensor([1.0, 2.0])
        >>> first = tg.optim.Adam([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> first.step()
        >>> second = tg.optim.Adam([tg.tensor([1.0, 2.0])])
        >>> second.load_state_dict(first.state_dict())
        >>> second.param_groups[0]["lr"], second.state_dict()["state"][0]["step"]
        (0.5, 1)
        """
        what = f"{type(self).__name__}.load_state_dict"
        given, kept = list(state_dict["param_groups"]), dict(state_dict["state"])
        if len(given) != len(self.param_groups):
            raise ValueError(f"{what}: {len(given)} groups, and there are {len(self.param_groups)}")
        groups, states = [], {}
        for number, (group, new) in enumerate(zip(self.param_groups, given)):
            tensors, numbers = group["params"], list(new["params"])
            if len(numbers) != len(tensors):
                raise ValueError(
                    f"{what}: group {number} has {len(numbers)} parameters, and should have "
                    f"{len(tensors)}"
                )
            groups.append({**self._options(new, f"{what}: group {number}"), "params": tensors})
            transformation = self._transformation(groups[-1])
            for i, tensor in zip(numbers, tensors):
                if i in kept:
                    state = transformation.init(tensor.data)
                    states[tensor] = restored(state, kept.pop(i), f"{what}: parameter {i}")
        if kept:
            raise ValueError(f"{what}: there is no parameter {next(iter(kept))}")
        self.param_groups, self._states = groups, states

    def _options(self, group: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Return the options of a group that was kept; ones of other libraries must be off."""
        for name, value in group.items():
            if name not in ("params", *self.defaults) and value:
                raise ValueError(f"{what}: unknown option {name!r}, which is {value!r}")
        missing = [name for name in self.defaults if name not in group]
        if missing:
            raise ValueError(f"{what} has no option {missing[0]!r}")
        return {name: group[name] for name in self.defaults}

    def _tensors(self) -> list[Tensor]:
        return [tensor for group in self.param_groups for tensor in group["params"]]


def _check_tensor(tensor: Any, what: str) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{what} must be a Tensor, not {type(tensor).__name__}")
    if tensor.live_trace.level:
        raise TypeError(f"{what} is traced; inside transformations use the functions, such as adam")
    if tensor.constant:
        raise ValueError(f"{what} is a constant, and never has a gradient")
