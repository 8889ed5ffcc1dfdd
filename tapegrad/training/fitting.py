"""``fit``: the loop around the pieces."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tapegrad.optim.checks import count_of
from tapegrad.parallel import Workers, split, value_and_grad
from tapegrad.training.interrupts import Interrupts
from tapegrad.training.loader import batches_of
from tapegrad.training.loop import ENDS, FitResult, Loop
from tapegrad.training.progress import Progress
from tapegrad.training.steps import Step, own
from tapegrad.training.stopping import EarlyStop
from tapegrad.training.validation import Validation, validation_of

__all__ = ["fit"]


def fit(
    loss: Callable[..., Any],
    params: Any,
    data: Any,
    optimiser: Any,
    *,
    epochs: int = 1,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: Any = 0,
    drop_last: bool = False,
    learning_rate: Any = None,
    clip_norm: float | None = None,
    validation: Any = None,
    early_stop: int | EarlyStop | None = None,
    hook: Callable[[Loop], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    save_every: int | None = None,
    resume: bool = True,
    progress: bool | None = None,
    on_interrupt: str = "raise",
    executor: Any = None,
    blocks: int = 4,
) -> FitResult:
    """Train parameters by compiled steps.

    Parameters
    ----------
    loss : callable
        ``loss(params, *batch)`` returns a number: the mean over the examples of a batch, written in
        NumPy.
    params : nest of arrays of floats
        Where to start; they stay as they are.
    data : nest of arrays, Loader, iterable, callable or None
        Arrays with a common first axis, in a tuple (the arguments of the loss), a dict or alone (one
        argument). Or a :class:`Loader`; a list or another iterable of batches, iterated in each epoch;
        a function of the number of the epoch that returns one. None for a loss of parameters alone.
    optimiser : GradientTransformation or callable
        Such as ``tg.optim.adam(0.1)``; or a function that makes one of a learning rate, as
        ``tg.optim.adam``.
    epochs : int
        How often to go through the data.
    batch_size, shuffle, seed, drop_last
        As of :class:`Loader`, for arrays.
    learning_rate : float or callable
        Where `optimiser` is a function: a number, or a function of the number of steps before. It is an
        argument of the compiled step, so that a hook may change it.
    clip_norm : float, optional
        The greatest norm of all gradients together.
    validation : data or callable, optional
        Data, of which the mean loss is computed after each epoch, in their order and without a
        transform; or a function of the parameters, which returns a number or a dict of them.
    early_stop : int or EarlyStop, optional
        After how many validations without improvement to stop.
    hook : callable, optional
        Called with the :class:`Loop` after each step, and once more at the end of each epoch, when
        ``loop.epoch_ended`` is true. It may read everything, change ``loop.learning_rate``, and call
        ``loop.stop()``.
    checkpoint : str or Path, optional
        A file to be written at the end of each epoch, at the end, and at Ctrl-C.
    save_every : int, optional
        Write it after so many steps, too.
    resume : bool
        Whether to go on where that file was written, if there is one.
    progress : bool, optional
        Whether to show a line of progress on the standard error stream; by default if it is a terminal.
    on_interrupt : "raise" or "return"
        What to do at Ctrl-C after the step is complete and the checkpoint written. The KeyboardInterrupt
        has what was done so far as its ``result``. A second Ctrl-C does not wait.
    executor : Executor, callable, int or Dask client, optional
        Who computes the gradients, in parts: see :class:`tapegrad.parallel.Workers`.
    blocks : int
        Into how many parts each batch is then cut. Bits depend on it, and not on how many workers there
        are.

    Returns
    -------
    FitResult
        With ``params``, ``state``, ``history`` and ``stopped``.

    Raises
    ------
    NonFiniteError
        If a loss or a gradient is not finite; it says where that came from. Its ``result`` is what there
        was before the step.
    ValueError
        For parameters without arrays, a bound that is negative, data whose length changes, a checkpoint
        of another model (with the leaf that differs) or of other settings.
    TypeError
        For parameters that hold no floats, or an optimiser and a learning rate that do not go together.

    Notes
    -----
    The same call gives the same bits on one machine, also when it was killed and resumed. A step is
    recorded once for each shape of a batch. A checkpoint is written under another name, synced and
    renamed; where the disk is full, a warning says so and training goes on.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 2))
    >>> Y = X @ np.array([1.0, -2.0]) + 0.5
    >>> def loss(params, X, Y):
    ...     return np.mean((X @ params["w"] + params["b"] - Y) ** 2)
    >>> start = {"w": np.zeros(2), "b": 0.0}
    >>> result = tg.fit(loss, start, (X, Y), tg.optim.adam(0.1), epochs=60, batch_size=20)
    >>> result.params["w"].round(3), float(result.params["b"].round(3))
    (array([ 1., -2.]), 0.5)
    >>> result.steps, result.recordings
    (300, 1)
    """
    epochs = count_of(epochs, "epochs", 0)
    if on_interrupt not in ("raise", "return"):
        raise ValueError(f"on_interrupt must be 'raise' or 'return', not {on_interrupt!r}")
    every = None if save_every is None else count_of(save_every, "save_every", 1)
    if every is not None and checkpoint is None:
        raise TypeError("save_every needs a checkpoint, the name of a file")
    step = Step(loss, optimiser, clip_norm=clip_norm, learning_rate=learning_rate, donate=True)
    batches = batches_of(data, batch_size, shuffle, seed, drop_last)
    parts = None if executor is None else count_of(blocks, "blocks", 1)
    loop = Loop(step, own(params, "fit"), batches, EarlyStop.of(early_stop), parts)
    path = None if checkpoint is None else _place(os.fspath(checkpoint))
    resumed = path is not None and resume and loop.resume(path)
    checked = validation_of(validation, loss, batch_size)
    shown = Progress(progress, epochs * len(batches), loop.step)
    if resumed:
        shown.say(f"goes on after step {loop.step}, from {path}")
    elsewhere = None if executor is None else _InParts(loss, executor, blocks)
    with Interrupts() as interrupts:
        run = _Run(loop, batches, checked, hook, path, every, shown, interrupts, elsewhere)
        try:
            run.until(epochs)
        finally:
            shown.close()
            if elsewhere is not None:
                elsewhere.close()
    if interrupts.asked and on_interrupt == "raise":
        interrupt = KeyboardInterrupt()
        interrupt.result = loop.result()  # type: ignore[attr-defined]
        raise interrupt
    return loop.result()


def _place(path: str) -> str:
    """Return the name of a checkpoint; an impossible one is better found before the first step."""
    path = path if path.endswith(".npz") else f"{path}.npz"
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"checkpoint: there is no folder {folder}")
    return path


class _InParts:
    """Value and gradient of a batch, computed by workers."""

    def __init__(self, loss: Callable[..., Any], executor: Any, blocks: int) -> None:
        self.blocks, self.gradient = blocks, value_and_grad(loss, executor)
        self._is_ours = not isinstance(executor, Workers)

    def __call__(self, params: Any, batch: tuple[Any, ...]) -> tuple[Any, Any]:
        return self.gradient(params, split(batch, self.blocks))

    def close(self) -> None:
        if self._is_ours:
            self.gradient.workers.close()


@dataclass
class _Run:
    """Epochs and steps, and what comes after each."""

    loop: Loop
    batches: Any
    validation: Validation | None
    hook: Callable[[Loop], None] | None
    path: str | None
    every: int | None
    shown: Progress
    interrupts: Interrupts
    elsewhere: _InParts | None = None
    saved: Any = None

    def until(self, epochs: int) -> None:
        """Go on until so many epochs are done, or something stops it."""
        loop = self.loop
        while not loop.stopped and loop.history.epochs < epochs:
            self.epoch()
        loop.stopped = loop.stopped or "epochs"
        self.save()

    def epoch(self) -> None:
        """Do the steps of an epoch, or of the rest of one that was interrupted."""
        loop = self.loop
        for batch in self.batches:
            loop.advance(batch, self.elsewhere)
            self.shown.step(loop.epoch, loop.loss, loop.gradient_norm, loop.validation)
            self.after()
            if self.every is not None and loop.step % self.every == 0:
                self.save()
            if loop.stopped:
                return
        values = None if self.validation is None else self.validation(loop.params)
        loop.end_epoch(values)
        self.after()
        self.save()

    def after(self) -> None:
        """What comes after a step, and after an epoch."""
        if self.hook is not None:
            self.hook(self.loop)
        if self.interrupts.asked:
            self.loop.stopped = "interrupt"

    def save(self) -> None:
        """Write a checkpoint, if there is something new to keep."""
        loop = self.loop
        there = loop.step, loop.history.epochs, loop.stopped in ("", *ENDS)
        if self.path is not None and there != self.saved:
            loop.save(self.path)
            self.saved = there
