"""When to stop early: a value that has not improved for some time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tapegrad.optim.checks import at_least, count_of

__all__ = ["EarlyStop", "Patience"]


@dataclass(frozen=True)
class EarlyStop:
    """Stop when a value of the validation has not improved for some time.

    Parameters
    ----------
    patience : int
        After how many validations in a row without improvement.
    min_delta : float
        By how much a value must be better than the best one to be an improvement.
    monitor : str
        Which value of the validation; without a validation ``"loss"`` is the mean of an epoch's losses.
    mode : "min" or "max"
        Whether less is better, or more.
    restore_best : bool
        Whether the result has the parameters of the best validation.

    Raises
    ------
    ValueError
        For a number out of its bounds, or another mode.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.training.EarlyStop(3, monitor="accuracy", mode="max").patience
    3
    """

    patience: int
    min_delta: float = 0.0
    monitor: str = "loss"
    mode: str = "min"
    restore_best: bool = True

    def __post_init__(self) -> None:
        count_of(self.patience, "EarlyStop: patience", 1)
        at_least(self.min_delta, "EarlyStop: min_delta")
        if self.mode not in ("min", "max"):
            raise ValueError(f"EarlyStop: mode must be 'min' or 'max', not {self.mode!r}")

    @classmethod
    def of(cls, given: Any) -> EarlyStop | None:
        """Return what is meant by a patience, or by itself."""
        if given is None or isinstance(given, EarlyStop):
            return given
        return cls(count_of(given, "early_stop", 1))


class Patience:
    """How long a value has not improved.

    Attributes
    ----------
    best : float
    waited : int
        How many values came since.
    best_step : int
    """

    def __init__(self, rule: EarlyStop) -> None:
        self.rule = rule
        self.best, self.waited, self.best_step = math.inf, 0, 0

    def improves(self, values: dict[str, float], step: int) -> bool:
        """Note the values of a validation, and return whether they are the best so far."""
        if self.rule.monitor not in values:
            raise ValueError(
                f"EarlyStop watches {self.rule.monitor!r}, and the validation gives "
                f"{', '.join(values) or 'nothing'}"
            )
        value = values[self.rule.monitor] * (1 if self.rule.mode == "min" else -1)
        if value < self.best - self.rule.min_delta:
            self.best, self.waited, self.best_step = value, 0, step
            return True
        self.waited += 1
        return False

    @property
    def is_over(self) -> bool:
        """Whether it is time to stop."""
        return self.waited >= self.rule.patience

    def numbers(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"best": self.best, "waited": self.waited, "best_step": self.best_step}

    def restore(self, numbers: dict[str, Any]) -> None:
        """Take over what a checkpoint kept."""
        self.best, self.waited = numbers["best"], numbers["waited"]
        self.best_step = numbers["best_step"]
