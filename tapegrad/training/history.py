"""What was measured while training ran, as arrays."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["History"]

_STEP = ("loss", "gradient_norm", "step_time", "learning_rate")


class History:
    """Loss, norm of the gradient and time of each step; what validations gave.

    Attributes
    ----------
    loss, gradient_norm : array
        Of each step: the loss before it, and the 2-norm of all gradients before they were clipped.
    step_time : array
        Seconds of the compiled step; the first one includes recording and compiling.
    learning_rate : array
        nan where the optimiser has its own.
    epoch_ends : array of int
        How many steps there were at the end of each epoch.
    validation : dict of arrays
        By name; data give ``"loss"``.
    validation_steps : array of int
        After how many steps each validation was.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> result = tg.fit(lambda w: w @ w, np.ones(2), None, tg.optim.sgd(0.25), epochs=3)
    >>> result.history.loss, result.history.gradient_norm.round(3)
    (array([2.   , 0.5  , 0.125]), array([2.828, 1.414, 0.707]))
    """

    def __init__(self) -> None:
        self._steps = {name: array("d") for name in _STEP}
        self._ends, self._validated = array("q"), array("q")
        self._validation: dict[str, array[float]] = {}

    def __len__(self) -> int:
        """The number of steps."""
        return len(self._steps["loss"])

    @property
    def epochs(self) -> int:
        """The number of epochs that have ended."""
        return len(self._ends)

    def add(self, loss: float, gradient_norm: float, step_time: float, rate: float) -> None:
        """Note a step."""
        for name, value in zip(_STEP, (loss, gradient_norm, step_time, rate)):
            self._steps[name].append(value)

    def end_epoch(self) -> None:
        """Note that an epoch has ended."""
        self._ends.append(len(self))

    def add_validation(self, values: dict[str, float]) -> None:
        """Note what a validation gave."""
        if self._validated and values.keys() != self._validation.keys():
            raise ValueError(
                f"the validation gave {', '.join(values) or 'nothing'}, and before "
                f"{', '.join(self._validation)}"
            )
        self._validated.append(len(self))
        for name, value in values.items():
            self._validation.setdefault(name, array("d")).append(value)

    def mean_of_last_epoch(self) -> float:
        """Return the mean loss of the steps of the last epoch that has ended."""
        first = self._ends[-2] if len(self._ends) > 1 else 0
        return float(np.mean(self.loss[first : self._ends[-1]]))

    @property
    def loss(self) -> NDArray[np.float64]:
        """The loss before each step."""
        return np.array(self._steps["loss"])

    @property
    def gradient_norm(self) -> NDArray[np.float64]:
        """The norm of all gradients, before clipping."""
        return np.array(self._steps["gradient_norm"])

    @property
    def step_time(self) -> NDArray[np.float64]:
        """The seconds of each step."""
        return np.array(self._steps["step_time"])

    @property
    def learning_rate(self) -> NDArray[np.float64]:
        """The learning rate of each step."""
        return np.array(self._steps["learning_rate"])

    @property
    def epoch_ends(self) -> NDArray[np.int64]:
        """How many steps there were at the end of each epoch."""
        return np.array(self._ends, np.int64)

    @property
    def validation(self) -> dict[str, NDArray[np.float64]]:
        """What validations gave, by name."""
        return {name: np.array(values) for name, values in self._validation.items()}

    @property
    def validation_steps(self) -> NDArray[np.int64]:
        """After how many steps each validation was."""
        return np.array(self._validated, np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it, by name."""
        found: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _STEP}
        found["epoch_ends"], found["validation_steps"] = self.epoch_ends, self.validation_steps
        for name, values in self.validation.items():
            found[f"validation/{name}"] = values
        return found

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]]) -> History:
        """Return the history that gave these arrays."""
        new = cls()
        for name in _STEP:
            new._steps[name] = array("d", arrays[name].tolist())
        new._ends = array("q", arrays["epoch_ends"].tolist())
        new._validated = array("q", arrays["validation_steps"].tolist())
        for name, values in arrays.items():
            if name.startswith("validation/"):
                new._validation[name.partition("/")[2]] = array("d", values.tolist())
        return new

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses and the norm of the gradient; needs the extra ``tapegrad[plot]``.

        Parameters
        ----------
        axes : matplotlib Axes, optional
            Where to; by default a new figure.

        Returns
        -------
        Axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        if axes is None:
            try:
                from matplotlib import pyplot
            except ImportError as error:
                raise ImportError(
                    "history.plot() needs matplotlib: pip install 'tapegrad[plot]'"
                ) from error
            axes = pyplot.subplots(figsize=(7, 4), layout="constrained")[1]
        steps = np.arange(1, len(self) + 1)
        axes.plot(steps, self.loss, lw=0.8, alpha=0.5, color="C0", label="loss of each step")
        if len(self._ends) > 1:
            parts = np.split(self.loss[: self._ends[-1]], self._ends[:-1])
            means = [part.mean() for part in parts]
            axes.plot(self._ends, means, color="C0", label="mean of each epoch")
        if "loss" in self._validation:
            axes.plot(
                self._validated,
                self._validation["loss"],
                "o-",
                ms=3,
                color="C1",
                label="validation",
            )
        if np.all(self.loss > 0) and len(self):
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        second = axes.twinx()
        second.plot(steps, self.gradient_norm, lw=0.6, alpha=0.4, color="C2", label="gradient norm")
        second.set_ylabel("gradient norm")
        lines = [*axes.get_lines(), *second.get_lines()]
        axes.legend(lines, [line.get_label() for line in lines], loc="upper right")
        return axes

    def __repr__(self) -> str:
        if not len(self):
            return "History(no steps)"
        return f"History({len(self)} steps, {self.epochs} epochs, last loss {self.loss[-1]:.6g})"
