"""``jit``: call -> signature -> plan, or record -> passes -> plan.

*jit never changes an answer and never refuses a program.* A plan stands for the function only while
the signature, the captures and the guards hold; otherwise the function is recorded anew, and past a
stated number of recordings it is run as it is.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tapegrad.compile.capture import Captures, survey
from tapegrad.compile.dispatch import MISS, fast_call
from tapegrad.compile.recording import Recording, leaf_key, record
from tapegrad.compile.through import call_through
from tapegrad.tape.pytree import flatten
from tapegrad.tape.staging import CannotStage
from tapegrad.tape.tensor import Tensor

__all__ = ["Jit", "Stats", "jit"]

#: Recordings of one signature (one for each way that its branches went) before it runs eagerly.
MOST_VARIANTS = 8
#: Sets of captured values before the function runs eagerly.
MOST_STATES = 8


class Stats(NamedTuple):
    """What a jitted function has done so far."""

    traces: int
    kernels_compiled: int
    kernels_reused: int
    eager_calls: int


@dataclass(slots=True)
class _Signature:
    """The plans of one signature: one for each way that the guards went."""

    variants: list[Recording] = field(default_factory=list)
    eager: str = ""
    recordings: int = 0


@dataclass(slots=True)
class _State:
    """The plans that belong to one set of captured values."""

    captures: Captures
    signatures: dict[Any, _Signature] = field(default_factory=dict)


class Jit:
    """A function that is compiled when it is called; see :func:`jit`."""

    def __init__(self, function: Callable[..., Any], strict: bool) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._strict = strict
        self._states: list[_State] = []
        self._mutex = threading.RLock()
        self._traces = 0
        self._compiled = 0
        self._reused = 0
        self._eager_calls = 0
        self._eager = ""
        #: The fast way into the recording that held last.
        self._fast: Callable[..., Any] | None = None
        self._warned = False
        self.derived: dict[Any, Jit] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        fast = self._fast
        if fast is not None and not kwargs:
            result = fast(args)
            if result is not MISS:
                return result
        leaves, structure = flatten((args, kwargs))
        if self._eager:
            return self._run_eagerly(args, kwargs)
        for leaf in leaves:
            if type(leaf) is Tensor:
                return call_through(self, leaves, structure)
        key = (structure, tuple([leaf_key(leaf) for leaf in leaves]))
        state = self._current_state()
        if state is None:
            return self._run_eagerly(args, kwargs)
        try:
            signature = state.signatures.get(key)
        except TypeError:  # an argument that cannot be compared: nothing can be kept about it
            return self._run_eagerly(args, kwargs)
        if signature is not None:
            if signature.eager:
                return self._run_eagerly(args, kwargs)
            for i, variant in enumerate(signature.variants):
                done, result = variant.run(leaves)
                if done:
                    if i:
                        self._promote(signature, variant)
                    if variant.fast is None:
                        variant.fast = fast_call(variant, state.captures, structure, leaves)
                    self._fast = variant.fast or None
                    return result
        return self._record(state, key, leaves, structure, args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind a jitted method to its instance."""
        if instance is None:
            return self
        bound = instance.__dict__.setdefault("_tapegrad_jitted", {})
        name = getattr(self, "__name__", repr(self))
        if name not in bound:
            bound[name] = Jit(functools.partial(self._function, instance), self._strict)
            bound[name]._function = self._function.__get__(instance, owner)
        return bound[name]

    def _promote(self, signature: _Signature, variant: Recording) -> None:
        """Try first next time what held this time."""
        with self._mutex:
            if variant in signature.variants:
                signature.variants.remove(variant)
                signature.variants.insert(0, variant)

    def _current_state(self) -> _State | None:
        for i, state in enumerate(self._states):
            if state.captures.hold():
                if i:
                    with self._mutex:
                        self._states.remove(state)
                        self._states.insert(0, state)
                return state
        with self._mutex:
            if len(self._states) >= MOST_STATES:
                self._give_up(
                    f"what it reads from its closure and globals has changed {MOST_STATES} times: "
                    f"{self._what_changed()}. Pass it as an argument."
                )
                return None
            state = _State(survey(self._function))
            self._states.insert(0, state)
            return state

    def _what_changed(self) -> str:
        captures = self._states[0].captures
        names = [str(r.key) for r in captures.references if not r.holds()]
        return ", ".join(dict.fromkeys(names)) or "the size of a container"

    def _give_up(self, reason: str) -> None:
        self._eager = reason
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if self._strict:
            raise RuntimeError(
                f"jit({getattr(self, '__name__', 'function')}, strict=True): {reason}"
            )
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"jit({getattr(self, '__name__', 'function')}) runs without compiling from here on: "
                f"{reason}",
                RuntimeWarning,
                stacklevel=4,
            )

    def _run_eagerly(self, args: Any, kwargs: Any) -> Any:
        self._eager_calls += 1
        return self._function(*args, **kwargs)

    def _record(
        self, state: _State, key: Any, leaves: list[Any], structure: Any, args: Any, kwargs: Any
    ) -> Any:
        """Run the function on real values, keep what it did as a plan, and return its result."""
        with self._mutex:
            signature = state.signatures.setdefault(key, _Signature())
            if len(signature.variants) >= MOST_VARIANTS:
                lines = {str(g.where) for v in signature.variants for g in v.program.guards}
                signature.eager = f"its branches went {MOST_VARIANTS} different ways"
                self._warn(
                    f"{signature.eager} for arguments of one kind; values are consumed at "
                    f"{', '.join(sorted(lines))}"
                )
                return self._run_eagerly(args, kwargs)
            try:
                recording, result = record(
                    self._function, state.captures, leaves, structure, strict=self._strict
                )
            except CannotStage as stop:
                signature.eager = stop.reason
                self._warn(stop.reason)
                return self._run_eagerly(args, kwargs)
            self._traces += 1
            signature.recordings += 1
            self._compiled += recording.plan.compiled
            self._reused += recording.plan.reused
            problem = recording.problem or self._volatile(signature, recording)
            if problem:
                signature.eager = problem
                signature.variants.clear()
                self._warn(problem)
            elif recording.trusted:
                signature.variants.insert(0, recording)
            return result

    def _volatile(self, signature: _Signature, recording: Recording) -> str:
        """Compare the constants of a second recording with those of the first.

        Constants that the function computed outside its traced values may be different at each call
        (a file, a clock); a recording with such constants is used when two recordings agree.
        """
        if recording.trusted:
            return ""
        for other in signature.variants:
            if other.same_way(recording) and other.same_watched(recording):
                if other.same_constants(recording):
                    other.trusted = True
                    return ""
                return "it computes with values that are others at each call"
        signature.variants.append(recording)
        return ""

    def stats(self) -> Stats:
        """Return counts: traces, kernels compiled, kernels reused, calls that were run eagerly."""
        return Stats(self._traces, self._compiled, self._reused, self._eager_calls)

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Return what a call with these arguments executes: the tape, the plan, the kernels.

        The function is run once, on copies of the arguments.
        """
        leaves, structure = flatten((args, kwargs))
        leaves = [np.array(v) if isinstance(v, np.ndarray) else v for v in leaves]
        leaves = [np.array(v.consume("explain")) if type(v) is Tensor else v for v in leaves]
        name = getattr(self, "__name__", "function")
        try:
            recording, _ = record(
                self._function, survey(self._function), leaves, structure, strict=self._strict
            )
        except CannotStage as stop:
            return f"{name} is run without compiling: {stop.reason}"
        if recording.problem:
            return f"{name} is run without compiling: {recording.problem}"
        return recording.explain(name)

    def __repr__(self) -> str:
        return f"<jit {getattr(self, '__name__', self._function)!s}>"


def jit(function: Callable[..., Any] | None = None, *, strict: bool = False) -> Any:
    """Compile a function; it gives what it would give without.

    Parameters
    ----------
    function : callable
        Takes arrays, numbers, tensors, or nests of them; written in NumPy. What :func:`grad`,
        :func:`value_and_grad`, :func:`vmap` and the others return is a function like any.
    strict : bool
        Raise instead of warning when the function cannot be compiled and would be run as it is.

    Returns
    -------
    Jit
        A callable with the methods ``explain(*args)`` and ``stats()``.

    Notes
    -----
    The first call with arrays of new shapes or dtypes runs the function and records it. Machine code
    depends on ranks and dtypes only, so a new size costs milliseconds. Branches that depend on values
    are recorded each way they go, at most 8 ways. A function that draws random numbers, or that
    changes what is outside it, runs as it is.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> f = tg.jit(tg.grad(lambda x: np.sum(x * np.exp(x))))
    >>> f(np.zeros(2))
    array([1., 1.])
    """
    if function is None:
        return functools.partial(jit, strict=strict)
    if not callable(function):
        raise TypeError(f"jit takes a function, not {type(function).__name__}")
    return Jit(function, strict)
