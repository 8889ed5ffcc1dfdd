"""A training that is running: what one step does, what is kept, and what a hook sees."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tapegrad.files import remove_leftovers
from tapegrad.optim.checks import at_least
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.training.checkpoints import load_checkpoint, write_checkpoint
from tapegrad.training.executions import Arguments, alike, stacked
from tapegrad.training.findings import NonFiniteError, cause_of
from tapegrad.training.history import History
from tapegrad.training.steps import RATE, Step, own_leaf
from tapegrad.training.stopping import EarlyStop, Patience

__all__ = ["ENDS", "FitResult", "Loop"]

#: How a training ends that goes on when it is resumed.
ENDS = "epochs", "interrupt"
#: Computes value and gradient of a batch elsewhere: ``function(params, batch)``.
Elsewhere = Callable[[Any, tuple[Any, ...]], tuple[Any, Any]]


@dataclass
class FitResult:
    """What :func:`tapegrad.fit` returns.

    Attributes
    ----------
    params, state : nest of arrays
        Parameters, and the state of the optimiser, after the last step; the parameters may be those of
        the best validation.
    history : History
    stopped : str
        Why it ended: ``"epochs"``, ``"early stop"``, ``"interrupt"``, or what a hook has said.
    steps, epochs : int
        How many were done.
    recordings : int
        How often the step was recorded to be compiled.
    """

    params: Any
    state: Any
    history: History
    stopped: str
    steps: int
    epochs: int
    recordings: int

    def __repr__(self) -> str:
        return f"FitResult({self.steps} steps, stopped by {self.stopped!r}, {self.history!r})"


class Loop:
    """A training that is running; what hooks get after each step.

    Attributes
    ----------
    step, epoch : int
        How many steps were done, and the number of the epoch, from 1.
    loss, gradient_norm : float
        Of this step.
    epoch_ended : bool
        Whether an epoch has ended, and not only a step.
    validation : dict of str to float
        What the last validation gave.
    history : History
    notes : dict
        For the hook: what JSON holds, kept in checkpoints.
    """

    validation: dict[str, float]
    notes: dict[str, Any]

    def __init__(
        self,
        step: Step,
        params: Any,
        data: Any,
        early_stop: EarlyStop | None = None,
        blocks: int | None = None,
    ) -> None:
        self._step, self._data, self._blocks = step, data, blocks
        self._params, self._state = params, step.init(params)
        self.step, self.loss, self.gradient_norm = 0, math.nan, math.nan
        self.epoch_ended, self.validation = False, {}
        self.history, self.notes = History(), {}
        self._rate: float | None = None
        self._patience = Patience(early_stop) if early_stop else None
        self._best: Any = None
        self.stopped = ""

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 1."""
        return self.history.epochs + (not self.epoch_ended)

    @property
    def params(self) -> Any:
        """The parameters, copied: the next step writes over them."""
        return _copied(self._params)

    @property
    def state(self) -> Any:
        """The state of the optimiser, copied."""
        return _copied(self._state)

    @property
    def learning_rate(self) -> float | None:
        """The learning rate of the next step; None if the optimiser has its own."""
        return self._rate_at(self.step)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if not self._step.takes_rate:
            raise TypeError(
                "this optimiser has a learning rate of its own; give fit a function that makes the "
                "optimiser, as in fit(..., tg.optim.adam, learning_rate=0.1)"
            )
        self._rate = float(at_least(value, RATE))

    def _rate_at(self, step: int) -> float | None:
        if not self._step.takes_rate or self._rate is not None:
            return self._rate
        return float(self._step.rate_at(step))

    def stop(self, why: str = "hook") -> None:
        """End the training after this step."""
        self.stopped = str(why)

    # Steps ----------------------------------------------------------------------------------------

    def advance(self, batches: list[Arguments], elsewhere: Elsewhere | None = None) -> None:
        """Do a step for each batch; those that are alike in one call.

        Raises
        ------
        NonFiniteError
            If the loss or a gradient is not finite: then nothing has changed in this step.
        """
        self.epoch_ended = False
        left = len(batches)
        for some in alike(batches):
            rates = [self._rate_at(self.step + i) for i in range(len(some))]
            began = time.perf_counter()
            values, norms = self._run(some, rates, elsewhere)
            took = (time.perf_counter() - began) / len(some)
            for batch, rate, value, norm in zip(some, rates, values, norms):
                self.loss, self.gradient_norm = float(value), float(norm)
                if not math.isfinite(self.loss) or not math.isfinite(self.gradient_norm):
                    raise self._not_finite(batch, self._data.position - left)
                left -= 1
                self.step += 1
                known = math.nan if rate is None else rate
                self.history.add(self.loss, self.gradient_norm, took, known)

    def _run(
        self, batches: list[Arguments], rates: list[float | None], elsewhere: Elsewhere | None
    ) -> tuple[Any, Any]:
        """Return the value and the norm of each step."""
        before = self._params, self._state
        if len(batches) > 1:
            known = rates if self._step.takes_rate else None
            self._params, self._state, *found = self._step.several(
                *before, stacked(batches), known, count=len(batches)
            )
            return tuple(found)  # type: ignore[return-value]
        (batch,), (rate,) = batches, rates
        if elsewhere is None:
            after = self._step(*before, batch, rate)
        else:
            after = self._step.update(*before, *elsewhere(self._params, batch), rate)
        self._params, self._state, value, norm = after
        return (value,), (norm,)

    def _not_finite(self, batch: Arguments, position: int) -> NonFiniteError:
        what, value = "loss", self.loss
        if math.isfinite(value):
            what, value = "norm of the gradient", self.gradient_norm
        places = self._data.places(position)
        cause = cause_of(self._step.loss, self._params, batch, self._state, places)
        error = NonFiniteError(
            f"the {what} is {value} in step {self.step + 1} (epoch {self.epoch}): {cause}"
        )
        error.result = self.result()
        return error

    def end_epoch(self, values: dict[str, float] | None) -> None:
        """Note the end of an epoch, and what the validation gave; see whether to stop early."""
        self.epoch_ended = True
        self.history.end_epoch()
        if values is not None:
            self.validation = values
            self.history.add_validation(values)
        if self._patience is None:
            return
        watched = {"loss": self.history.mean_of_last_epoch()} if values is None else values
        if self._patience.improves(watched, self.step):
            self._best = self.params if self._patience.rule.restore_best else None
        elif self._patience.is_over:
            self.stopped = "early stop"

    def result(self) -> FitResult:
        """Return what there is."""
        is_best = self._best is not None and self.stopped not in ("", "interrupt")
        return FitResult(
            _copied(self._best) if is_best else self.params,
            self.state, self.history, self.stopped, self.step, self.history.epochs,
            self._step.stats().traces,
        )  # fmt: skip

    # Checkpoints ----------------------------------------------------------------------------------

    def save(self, path: str) -> None:
        """Write a checkpoint; a disk that is full is no reason to lose what was computed."""
        numbers, arrays = self._data.state()
        kept = {
            "step": self.step, "amid": self._is_amid(), "data": numbers, "rate": self._rate,
            "settings": self._settings(),
            "validation": self.validation, "notes": self.notes, "stopped": self.stopped,
            "patience": self._patience.numbers() if self._patience else None,
        }  # fmt: skip
        nests = {"params": self._params, "state": self._state}
        if self._best is not None:
            nests["best"] = self._best
        try:
            write_checkpoint(path, nests, kept, {"data": arrays, "history": self.history.arrays()})
        except OSError as error:
            warnings.warn(
                f"the checkpoint of step {self.step} could not be written ({error}); training goes on, "
                f"and {_what_is_there(path)}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _is_amid(self) -> bool:
        """Whether an epoch has begun and not ended."""
        return self.step > 0 and not self.epoch_ended

    def _settings(self) -> dict[str, Any]:
        own = {"clip_norm": self._step.clip_norm, "blocks": self._blocks}
        return {**self._data.settings(), **own}

    def resume(self, path: str) -> bool:
        """Go on where a checkpoint was written; return whether there is one."""
        remove_leftovers(path)
        if not os.path.exists(path):
            return False
        found = load_checkpoint(path)
        params, state = found.nest("params", self._params), found.nest("state", self._state)
        numbers = found.description["numbers"]
        for name, mine in self._settings().items():
            theirs = numbers["settings"].get(name)
            if theirs != mine:
                raise ValueError(
                    f"{path}: the checkpoint was made with {name} = {theirs}, and this run has {mine}; "
                    "resume=False begins anew and replaces it"
                )
        self._params, self._state = params, state
        self._data.restore(numbers["data"], found.arrays("data"), path, numbers["amid"])
        self.epoch_ended = self.step > 0 and not numbers["amid"]
        self.step, self._rate = numbers["step"], numbers["rate"]
        self.validation, self.notes = numbers["validation"], numbers["notes"]
        self.history = found.history
        stopped = numbers["stopped"]
        self.stopped = "" if stopped in ENDS else stopped
        if self._patience is not None and numbers["patience"]:
            self._patience.restore(numbers["patience"])
            if "best" in found.description["nests"]:
                self._best = found.nest("best", self._params)
        return True


def _what_is_there(path: str) -> str:
    return f"{path} is as it was" if os.path.exists(path) else f"{path} is not there"


def _copied(tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return unflatten(structure, [own_leaf(leaf) for leaf in leaves])
