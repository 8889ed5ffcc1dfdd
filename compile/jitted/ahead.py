"""Ahead of time: a call is recorded, and compiled, before it is made.

What is made this way holds for the shapes and dtypes that were named. Where values lead another way than
the recording, the jitted function itself goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.compile.jitted.entering import AS_IT_IS, MISS, entrance
from tapegrad.compile.jitted.labels import labels
from tapegrad.compile.jitted.options import Static, plain
from tapegrad.compile.jitted.recording import Recording, Run, Unsettled, finish, leaf_key
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.pytree import Structure, shown, unflatten
from tapegrad.tape.program.examples import example
from tapegrad.tape.transforms.inspection import ShapeDtypeStruct
from tapegrad.tape.transforms.transformed import spelled

__all__ = ["Compiled", "Lowered", "exemplary"]


def exemplary(leaves: Sequence[Any]) -> list[Any]:
    """Return leaves with arrays in the place of what says their shape and dtype, and of tensors."""
    return [
        example(leaf.shape, leaf.dtype)
        if type(leaf) is ShapeDtypeStruct
        else np.array(leaf.consume("lower"))
        if isinstance(leaf, Tensor)
        else leaf
        for leaf in leaves
    ]


class Lowered:
    """A call of a jitted function that is recorded; see ``jit(f).lower``.

    Attributes
    ----------
    program : Program
        What the function does for such arguments.
    problem : str
        Why it is run as it is, or nothing.
    leaves : list
        The leaves of the call.
    """

    def __init__(self, jitted: Any, args: Any, kwargs: Any) -> None:
        given, self._structure = jitted.chosen.apart((args, kwargs))
        self._jitted = jitted
        self.leaves = exemplary(given)
        self._kinds = [_kind(leaf) for leaf in self.leaves]
        problem = jitted.not_a_call()
        try:
            jitted.key_of(self.leaves, self._structure)
        except Unsettled as stop:
            problem = f"it is called with {stop}"
        self._run: Run | None = None
        if not problem:
            args, kwargs = unflatten(self._structure, plain(self.leaves))
            self._run = Run(jitted.__wrapped__, args, kwargs, jitted.varying, jitted.chosen)
            problem = self._run.problem
        self._labels = labels(jitted.__wrapped__, self._structure)
        self.problem = problem
        self.program = (
            Recording.as_it_is([], "").program if self._run is None else self._run.program
        )

    def compile(self) -> Compiled:
        """Compile all that such a call needs.

        Raises
        ------
        RuntimeError
            With ``strict=True``, if the function cannot be compiled.
        """
        recording = self.recording()
        if recording.problem and self._jitted.options.strict:
            raise RuntimeError(f"{self._jitted.spelled()}: {recording.problem}")
        recording.enter = entrance(recording, self.leaves, self._structure, self._jitted.chosen)
        recording.arguments.clear()
        self._jitted.count(recording)
        return Compiled(self._jitted, recording, self._kinds, self._structure)

    def recording(self) -> Recording:
        """Return the recording with its plan."""
        if self._run is None:
            return Recording.as_it_is(self.leaves, self.problem)
        return finish(self._run, strict=self._jitted.options.strict, commit=False)

    def as_text(self) -> str:
        """Return the tape: what was recorded, before all passes, as NumPy source."""
        text = self.program.source()
        return f"# run without compiling: {self.problem}\n{text}" if self.problem else text

    def __repr__(self) -> str:
        return f"<{spelled(self._jitted)}, lowered for {_described(self._labels, self._kinds)}>"


class Compiled:
    """A jitted function for arguments of given shapes and dtypes; see ``jit(f).lower``.

    Raises
    ------
    TypeError
        When it is called with others.
    """

    def __init__(
        self, jitted: Any, recording: Recording, kinds: list[Any], structure: Structure
    ) -> None:
        self._jitted = jitted
        self._recording = recording
        self._structure = structure
        self._kinds = kinds
        self._labels = labels(jitted.__wrapped__, structure)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = self._recording.enter(args, kwargs)
        except Exception:  # the function itself will say what is wrong
            result = MISS
        if result is not MISS and result is not AS_IT_IS:
            return result
        self._check(args, kwargs)
        return self._jitted(*args, **kwargs)

    def _check(self, args: Any, kwargs: Any) -> None:
        leaves, structure = self._jitted.chosen.apart((args, kwargs))
        name = getattr(self._jitted, "__name__", "function")
        if structure != self._structure:
            raise TypeError(
                f"{name} was compiled for arguments {shown(self._structure)}, and is called with "
                f"{shown(structure)}"
            )
        for label, wanted, leaf in zip(self._labels, self._kinds, leaves):
            got = _kind(leaf)
            if got != wanted:
                raise TypeError(
                    f"{name} was compiled for {label} as {_named(wanted)}, and is called with "
                    f"{_named(got)}; jit itself compiles for all kinds"
                )

    def as_text(self) -> str:
        """Return what a call executes: the tape after all passes, the plan, the kernels."""
        return self._recording.explain(getattr(self._jitted, "__name__", "function"))

    def __repr__(self) -> str:
        return f"<{spelled(self._jitted)}, compiled for {_described(self._labels, self._kinds)}>"


def _kind(leaf: Any) -> Any:
    """Return what an argument has to agree in: shape and dtype, or the signature."""
    if isinstance(leaf, (np.ndarray, np.generic, Tensor, ShapeDtypeStruct)):
        return ShapeDtypeStruct(leaf.shape, leaf.dtype)
    try:
        return leaf_key(leaf)
    except Unsettled as stop:
        return str(stop)


def _named(kind: Any) -> str:
    if type(kind) is ShapeDtypeStruct:
        return f"{kind.dtype.name}{list(kind.shape)}"
    if type(kind) is Static:
        return f"the static value {kind.value!r}"
    return kind.__name__ if isinstance(kind, type) else repr(kind)


def _described(labels: Sequence[str], kinds: Sequence[Any]) -> str:
    return ", ".join(f"{label}: {_named(kind)}" for label, kind in zip(labels, kinds))
