"""``jit``: call -> signature -> plan, or record -> passes -> plan.

*jit never changes an answer and never refuses a program.* A plan stands for the function only while
the signature, the checks on what it read and the guards hold; otherwise the function is recorded anew,
and past a stated number of recordings it is run as it is.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Generic, NamedTuple

import numpy as np

from tapegrad.compile.backends.interface import current
from tapegrad.compile.jitted.ahead import Lowered, exemplary
from tapegrad.compile.jitted.calls import call_through
from tapegrad.compile.jitted.entering import AS_IT_IS, MISS, entrance
from tapegrad.compile.jitted.methods import JitMethod
from tapegrad.compile.jitted.options import Options, plain
from tapegrad.compile.jitted.recording import Recording, Run, Unsettled, finish, leaf_key
from tapegrad.compile.passes.layout import copy_as_it_lies
from tapegrad.compile.plans.profile import Profile, profile_of
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.html import as_html, is_public
from tapegrad.tape.core.later import later
from tapegrad.tape.core.pytree import unflatten
from tapegrad.tape.core.types import P, R
from tapegrad.tape.core.watching import watching
from tapegrad.tape.python.places import quiet
from tapegrad.tape.python.recorder import Recorder
from tapegrad.tape.transforms.transformed import by_name, spelled

__all__ = ["Jit", "Stats"]

#: Recordings of one signature (one for each way that its branches went) before it runs eagerly.
MOST_VARIANTS = 8
#: Signatures that are remembered.
MOST_SIGNATURES = 512
#: How often a function may raise while it is recorded before it runs eagerly.
MOST_ERRORS = 8
#: Changes of numbers that are read from outside, before these are inputs.
_NUMBERS = (float, int, np.generic)


#: Reasons to compile nothing in this process that have been given.
_told: set[str] = set()


def tell_once(reason: str) -> None:
    """Say why nothing is compiled in this process."""
    if reason not in _told:
        _told.add(reason)
        warn(f"jit runs functions as they are: {reason}")


def warn(text: str) -> None:
    """Warn at the line of the user's that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("tapegrad."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)


#: What the rest of the compiler knows of a jitted function: not for completion.
_INTERNAL = frozenset({"chosen", "count", "options", "recording_of", "spelled", "varying"})


class Stats(NamedTuple):
    """What a jitted function has done so far."""

    traces: int
    kernels_compiled: int
    kernels_loaded: int
    kernels_reused: int
    eager_calls: int


@dataclass(slots=True)
class _Signature:
    """The ways through a function of one signature."""

    variants: list[Recording] = field(default_factory=list)
    eager: str = ""
    errors: int = 0


class Jit(Generic[P, R]):
    """A function that is compiled when it is called; see :func:`tapegrad.jit`.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> fast = tg.jit(lambda x: np.sum(np.sin(x) ** 2))
    >>> isinstance(fast, tg.Jit)
    True
    >>> float(fast(np.zeros(3))), fast.stats().traces
    (0.0, 1)
    """

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self.options = options
        self.chosen = options.chosen(function)
        self._signatures: dict[Any, _Signature] = {}
        self._mutex = threading.RLock()
        self._traces = 0
        self._origins: Counter[str] = Counter()
        self._eager_calls = 0
        #: The way into the recording that held last.
        self._fast: Callable[..., Any] | None = None
        self._warned = False
        #: The places of numbers that were seen to change: they are inputs.
        self.varying: set[str] = set()

    @classmethod
    def of(cls, function: Callable[P, R], options: Options) -> Jit[P, R]:
        """Make one of what should be a function."""
        if not callable(function):
            raise TypeError(f"jit takes a function, not {type(function).__name__}")
        return cls(function, options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        fast = self._fast
        if fast is not None:
            try:
                result = fast(args, kwargs)
            except Exception:  # the function itself will say what is wrong
                result = MISS
            if result is AS_IT_IS and not self.options.strict:
                self._eager_calls += 1
                return self._function(*args, **kwargs)
            if result is not MISS and result is not AS_IT_IS:
                return result
        return self._slowly(args, kwargs)

    def _slowly(self, args: Any, kwargs: Any) -> Any:
        """Find the recording that stands for this call, or make one."""
        problems = current().problems
        if problems:
            return self._run_eagerly(problems[0], args, kwargs)
        if watching.get() is not None:
            return self._watched(args, kwargs)
        if not quiet():
            return self._run_eagerly("NumPy's error mode asks for more than warnings", args, kwargs)
        try:
            leaves, structure = self.chosen.apart((args, kwargs))
        except RecursionError:
            return self._run_eagerly("its arguments are nested too deep", args, kwargs)
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            return call_through(self, leaves, structure)
        try:
            key = self.key_of(leaves, structure)
        except Unsettled as stop:
            return self._run_eagerly(f"it is called with {stop}", args, kwargs)
        signature = self._signatures.get(key)
        if signature is not None:
            if signature.eager:
                if not self.options.strict:
                    as_it_is = Recording.as_it_is(leaves, signature.eager)
                    self._fast = entrance(as_it_is, leaves, structure, self.chosen)
                return self._run_eagerly(signature.eager, args, kwargs)
            for i, variant in enumerate(list(signature.variants)):
                try:
                    result = variant.enter(args, kwargs)
                except Exception:
                    continue
                if result is MISS:
                    continue
                if i:
                    self._put_first(signature, variant)
                self._fast = variant.enter
                if result is AS_IT_IS:
                    return self._run_eagerly(variant.problem, args, kwargs)
                return result
        return self._record(key, leaves, structure, args, kwargs)

    def _watched(self, args: Any, kwargs: Any) -> Any:
        """Run the function where each operation is looked at: on traced values, and without a plan."""
        leaves, _ = self.chosen.apart((args, kwargs))
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            return later.called(self._function)(*args, **kwargs)
        try:
            run = Run(self._function, args, kwargs, self.varying, self.chosen)
        except FloatingPointError:
            raise
        except Exception:  # run as it is, it says what it would say
            return self._function(*args, **kwargs)
        if run.problem:
            return self._function(*args, **kwargs)
        run.commit()
        return run.result

    @staticmethod
    def key_of(leaves: list[Any], structure: Any) -> Any:
        """Return the signature of a call."""
        return (structure, tuple([leaf_key(leaf) for leaf in leaves]))

    def _signature(self, key: Any) -> _Signature:
        """Return what is known of a signature; of too many, the first is forgotten."""
        if key not in self._signatures and len(self._signatures) >= MOST_SIGNATURES:
            del self._signatures[next(iter(self._signatures))]
        return self._signatures.setdefault(key, _Signature())

    def _put_first(self, signature: _Signature, variant: Recording) -> None:
        """Try first next time what held this time."""
        with self._mutex:
            if variant in signature.variants:
                others = [v for v in signature.variants if v is not variant]
                signature.variants = [variant, *others]

    def _warn(self, reason: str) -> None:
        name = getattr(self, "__name__", "function")
        if self.options.strict:
            raise RuntimeError(f"jit({name}, strict=True): {reason}")
        if reason in current().problems:
            tell_once(reason)
        elif not self._warned:
            self._warned = True
            what = f"jit({name}) runs without compiling from here on"
            warn(f"{what}: {reason}")

    def _run_eagerly(self, reason: str, args: Any, kwargs: Any) -> Any:
        self._warn(reason)
        self._eager_calls += 1
        return self._function(*args, **kwargs)

    def _record(self, key: Any, leaves: Any, structure: Any, args: Any, kwargs: Any) -> Any:
        """Record what the function does, keep it as a plan, and return the result.

        Recording has no effect: where the function cannot be recorded, it is then run as it is. No lock
        is held meanwhile: threads that come in at once record each for itself.
        """
        with self._mutex:
            signature = self._signature(key)
            self._note_changes(signature, leaves)
            if len(signature.variants) >= MOST_VARIANTS:
                signature.eager = self._too_many(signature, leaves)
                signature.variants = []
        if signature.eager:
            return self._run_eagerly(signature.eager, args, kwargs)
        wait = self.options.wait
        recording, result = self.recording_for(signature, structure, args, kwargs, commit=not wait)
        if recording is None or recording.problem:
            reason = signature.eager if recording is None else recording.problem
            if not reason:
                return self._function(*args, **kwargs)
            return self._run_eagerly(reason, args, kwargs)
        return self._served(recording, args, kwargs) if wait else result

    def _served(self, recording: Recording, args: Any, kwargs: Any) -> Any:
        """Serve a call that was recorded without effect by its plan, as all later ones.

        What was recorded was computed by NumPy, whose last bits may be others.
        """
        try:
            result = recording.enter(args, kwargs)
        except Exception:  # the function itself will say what is wrong
            result = MISS
        if result is MISS or result is AS_IT_IS:
            self._eager_calls += 1
            return self._function(*args, **kwargs)
        return result

    def recording_for(
        self, signature: _Signature, structure: Any, args: Any, kwargs: Any, *, commit: bool = True
    ) -> tuple[Recording | None, Any]:
        """Record a call and keep the recording; None where the function has raised."""
        problem = self.not_a_call()
        try:
            if problem:
                signature.eager = problem
                return None, None
            run = Run(self._function, args, kwargs, self.varying, self.chosen)
        except Exception as error:
            signature.errors += 1
            if signature.errors >= MOST_ERRORS:
                signature.eager = f"it raised {type(error).__name__} {MOST_ERRORS} times"
            return None, None
        recording = finish(run, strict=self.options.strict, commit=commit)
        recording.enter = entrance(recording, run.leaves, structure, self.chosen)
        recording.arguments.clear()
        self.count(recording)
        with self._mutex:
            signature.variants = [recording, *signature.variants]
        return recording, run.result

    def not_a_call(self) -> str:
        """Return why calling the function runs none of it, or nothing."""
        if inspect.isgeneratorfunction(self._function):
            return "it reads its arguments when it is iterated (a generator)"
        if inspect.iscoroutinefunction(self._function) or inspect.isasyncgenfunction(
            self._function
        ):
            return "it reads its arguments when it is awaited"
        return ""

    def _note_changes(self, signature: _Signature, leaves: list[Any]) -> None:
        """Numbers that were read from outside and are others now are inputs from now on."""
        for variant in signature.variants:
            for check in variant.changed(leaves):
                number = isinstance(check.seen, _NUMBERS) and type(check.seen) is not bool
                if check.kind == "equal" and number:
                    self.varying.add(check.place.text)
        known = self.varying
        signature.variants = [
            v
            for v in signature.variants
            if not any(c.kind == "equal" and c.place.text in known for c in v.checks)
        ]

    def _too_many(self, signature: _Signature, leaves: list[Any]) -> str:
        changed = {c.place.text for v in signature.variants for c in v.changed(leaves)}
        if changed:
            return (
                f"what it reads from its closure and globals has changed {MOST_VARIANTS} times: "
                f"{', '.join(sorted(changed))}. Pass it as an argument"
            )
        guards = [g for v in signature.variants for g in v.boundary.guards]
        lines = ", ".join(sorted({str(g.where) for g in guards}))
        return (
            f"its branches went {MOST_VARIANTS} different ways for arguments of one kind; values "
            f"are consumed at {lines}"
        )

    def recording_of(self, leaves: list[Any], structure: Any) -> Recording | None:
        """Return the recording whose way a call with these leaves takes; it is made if need be."""
        try:
            key = self.key_of(leaves, structure)
        except Unsettled:
            return None
        with self._mutex:
            signature = self._signature(key)
        if signature.eager or current().problems:
            return None
        found = next((v for v in list(signature.variants) if v.stands_for(leaves)), None)
        if found is None and len(signature.variants) < MOST_VARIANTS:
            args, kwargs = unflatten(structure, plain(leaves))
            found, _ = self.recording_for(signature, structure, args, kwargs, commit=False)
        return found

    @property
    def derived(self) -> list[Any]:
        """The programs that follow from the recordings: derivatives and batches."""
        variants = [v for s in self._signatures.values() for v in s.variants if v.is_pure]
        return [p for v in variants for p in v.pure.derived]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind a jitted method to its instance, which is then an argument like others."""
        return self if instance is None else JitMethod(self, instance)

    def stats(self) -> Stats:
        """Return counts: traces, kernels compiled, loaded from disk, reused, calls run eagerly."""
        origins = self._origins
        return Stats(
            self._traces,
            origins["compiled"],
            origins["loaded"],
            origins["known"],
            self._eager_calls,
        )

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Return what a call with these arguments executes: the tape, the plan, the kernels.

        The function is recorded, which has no effect.
        """
        return self._looked_into(args, kwargs)[0].explain(getattr(self, "__name__", "function"))

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Return where the time of a call with these arguments goes: a table of the plan's steps.

        Each has its time (the median of several runs), the bytes that it reads and writes, what this
        means as a share of the speed at which this machine copies memory, and the lines of the function
        that it comes from. The function is recorded and its plan is run on copies, which has no effect.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> table = tg.jit(lambda x: np.sum(np.tanh(x @ x))).profile(np.eye(50))
        >>> [step.what for step in table.steps]
        ['matmul', 'tanh, sum', 'results']
        """
        recording, leaves = self._looked_into(args, kwargs)
        if recording.problem or recording.plan is None:
            return Profile([], recording.problem)
        return profile_of(recording.plan, recording.inputs(leaves))

    def _looked_into(self, args: Any, kwargs: Any) -> tuple[Recording, list[Any]]:
        """Return a recording of a call, made anew, and the leaves of the call."""
        lowered = self.lower(*args, **kwargs)
        return lowered.recording(), lowered.leaves

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Record a call ahead of time, without effect.

        Parameters
        ----------
        *args, **kwargs
            As of a call; a :class:`ShapeDtypeStruct` may stand for an array. Values that the function
            consumes are then those of an example.

        Returns
        -------
        Lowered
            Its ``as_text()`` is what was recorded; its ``compile()`` returns a function for exactly
            these shapes and dtypes, which raises TypeError for others. Where their values lead another
            way, it goes on as the jitted function does.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> lowered = tg.jit(np.dot).lower(tg.ShapeDtypeStruct((2, 3), float), np.ones(3))
        >>> dot = lowered.compile()
        >>> dot(np.eye(2, 3), np.arange(3.0))
        array([0., 1.])
        >>> dot(np.eye(3), np.arange(3.0))
        Traceback (most recent call last):
        TypeError: dot was compiled for a as float64[2, 3], and is called with float64[3, 3]; ...
        """
        return Lowered(self, args, kwargs)

    def warm_up(self, *args: Any, **kwargs: Any) -> None:
        """Record and compile for such a call, and run the plan on copies once, without effect.

        Parameters
        ----------
        *args, **kwargs
            As of :meth:`lower`.
        """
        leaves, structure = self.chosen.apart((args, kwargs))
        leaves = exemplary(leaves)
        recording = self.recording_of(leaves, structure)
        if recording is not None and recording.plan is not None:
            with contextlib.suppress(Exception):  # the function itself will say what is wrong
                recording.plan.run(*map(copy_as_it_lies, recording.inputs(leaves)))

    def count(self, recording: Recording) -> None:
        """Count a recording, and its kernels."""
        with self._mutex:
            self._traces += 1
            if recording.plan is not None:
                self._origins += recording.plan.origins

    def __reduce__(self) -> Any:
        return by_name(self) or (Jit, (self._function, self.options))

    def spelled(self) -> str:
        """Return the call that makes this, as text."""
        return f"jit({spelled(self._function)}{self.options.spelled()})"

    def __repr__(self) -> str:
        return f"<jit {spelled(self._function)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: what was done so far."""
        done = self.stats()
        kernels = done.kernels_compiled + done.kernels_loaded + done.kernels_reused
        facts = [
            f"{done.traces} recordings",
            f"{kernels} kernels ({done.kernels_compiled} compiled now)",
        ]
        return as_html(self.spelled(), [*facts, f"{done.eager_calls} calls without compiling"])

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if is_public(name) and name not in _INTERNAL]


def _read_jitted(jitted: Jit) -> Any:
    """What is recorded of a jitted function inside of another: the function itself."""
    return jitted._function


def _read_method(method: JitMethod) -> Any:
    function = method.__func__._function
    return function.__get__(method.__self__) if type(function) is FunctionType else method.__func__


Recorder.inside[Jit] = _read_jitted
Recorder.inside[JitMethod] = _read_method
