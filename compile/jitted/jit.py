"""``jit``: call -> signature -> plan, or record -> passes -> plan.

*jit never changes an answer and never refuses a program.* A plan stands for the function only while
the signature, the captures and the guards hold; otherwise the function is recorded anew, and past a
stated number of recordings it is run as it is.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tapegrad.compile.backends.interface import current
from tapegrad.compile.jitted.calls import call_through
from tapegrad.compile.jitted.dispatch import MISS, fast_call
from tapegrad.compile.jitted.recording import Recording, Unsettled, leaf_key, record
from tapegrad.compile.survey.capture import Captures, survey
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.pytree import flatten, unflatten

__all__ = ["Jit", "Stats", "jit"]

#: Recordings of one signature (one for each way that its branches went) before it runs eagerly.
MOST_VARIANTS = 8
#: Sets of captured values before the function runs eagerly.
MOST_STATES = 8


#: Reasons to compile nothing in this process that have been given.
_told: set[str] = set()


def tell_once(reason: str, stacklevel: int) -> None:
    """Say why nothing is compiled in this process."""
    if reason not in _told:
        _told.add(reason)
        text = f"jit runs functions as they are: {reason}"
        warnings.warn(text, RuntimeWarning, stacklevel=stacklevel)


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


@dataclass(slots=True)
class _State:
    """The plans that belong to one set of captured values."""

    captures: Captures
    signatures: dict[Any, _Signature] = field(default_factory=dict)


class _Bound(dict[str, Any]):
    """The compiled methods of an instance, which are neither copied nor pickled with it."""

    def __reduce__(self) -> Any:
        return (_Bound, ())

    def __deepcopy__(self, memo: Any) -> _Bound:
        return _Bound()


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
        #: Compiled methods of instances that have no attributes of their own.
        self._methods: dict[int, Jit] = {}
        #: Signatures for which the function was seen to have no effects on the outside.
        self.calm: set[Any] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        fast = self._fast
        if fast is not None and not kwargs:
            try:
                result = fast(args)
            except Exception:  # the function itself will say what is wrong
                result = MISS
            if result is not MISS:
                return result
        return self._slowly(args, kwargs)

    def _slowly(self, args: Any, kwargs: Any) -> Any:
        """Find the recording that stands for this call, or make one."""
        problems = current().problems
        if problems:
            return self._run_eagerly(problems[0], args, kwargs)
        leaves, structure = flatten((args, kwargs))
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                return call_through(self, leaves, structure)
        if self._eager:
            return self._run_eagerly(self._eager, args, kwargs)
        try:
            key = self.key_of(leaves, structure)
        except Unsettled as stop:
            return self._run_eagerly(f"it is called with {stop}", args, kwargs)
        state = self._current_state()
        if state is None or state.captures.opaque:
            reason = self._eager if state is None else f"it reads {state.captures.opaque}"
            return self._run_eagerly(reason, args, kwargs)
        signature = state.signatures.get(key)
        if signature is not None:
            if signature.eager:
                return self._run_eagerly(signature.eager, args, kwargs)
            for i, variant in enumerate(list(signature.variants)):
                done, result = variant.run(leaves)
                if done:
                    if i:
                        self._promote(signature, variant)
                    if variant.fast is None:
                        variant.fast = fast_call(variant, state.captures, structure, leaves)
                    self._fast = variant.fast or None
                    return result
        return self._record(state, key, args, kwargs)

    @staticmethod
    def key_of(leaves: list[Any], structure: Any) -> Any:
        """Return the signature of a call."""
        return (structure, tuple([leaf_key(leaf) for leaf in leaves]))

    def status(self, leaves: list[Any], structure: Any) -> str:
        """Return "compiled", "eager" or "unknown": what a call with these leaves would meet."""
        try:
            key = self.key_of(leaves, structure)
        except Unsettled:
            return "eager"
        state = next((s for s in self._states if s.captures.hold()), None)
        if self._eager or (state is not None and state.captures.opaque):
            return "eager"
        signature = None if state is None else state.signatures.get(key)
        if signature is None:
            return "unknown"
        return "eager" if signature.eager else "compiled"

    def recording_of(self, leaves: list[Any], structure: Any) -> Recording | None:
        """Return the recording whose way a call with these leaves would take, if there is one."""
        try:
            key = self.key_of(leaves, structure)
        except Unsettled:
            return None
        state = next((s for s in self._states if s.captures.hold()), None)
        signature = None if state is None else state.signatures.get(key)
        if self._eager or signature is None:
            return None
        return next((v for v in list(signature.variants) if v.stands_for(leaves)), None)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind a jitted method to its instance, which keeps what was compiled for it."""
        if instance is None:
            return self
        method = self._function.__get__(instance, owner)
        space = getattr(instance, "__dict__", None)
        if not isinstance(space, dict):  # a class, or an instance with slots
            methods: Any = self._methods
            name: Any = id(instance)
        else:
            methods = space.setdefault("_tapegrad_jitted", _Bound())
            name = getattr(self, "__name__", repr(self))
        bound = methods.get(name)
        if bound is None or getattr(bound._function, "__self__", instance) is not instance:
            # Not there yet, or copied with the attributes of another instance.
            if isinstance(space, dict) and bound is not None:
                methods = space["_tapegrad_jitted"] = _Bound()
            bound = methods[name] = Jit(method, self._strict)
        return bound

    def _promote(self, signature: _Signature, variant: Recording) -> None:
        """Try first next time what held this time."""
        with self._mutex:
            if variant in signature.variants:
                others = [v for v in signature.variants if v is not variant]
                signature.variants = [variant, *others]

    def _current_state(self) -> _State | None:
        states = self._states
        for i, state in enumerate(states):
            if state.captures.hold():
                if i:
                    with self._mutex:
                        self._states = [state, *(s for s in self._states if s is not state)]
                return state
        with self._mutex:
            if self._states is not states:  # another thread was faster
                return self._current_state()
            if len(states) >= MOST_STATES:
                self._eager = (
                    f"what it reads from its closure and globals has changed {MOST_STATES} times: "
                    f"{self._what_changed()}. Pass it as an argument"
                )
                return None
            state = _State(survey(self._function))
            if inspect.isgeneratorfunction(self._function):
                state.captures.opaque = "its arguments when it is iterated (a generator)"
            if inspect.iscoroutinefunction(self._function) or inspect.isasyncgenfunction(
                self._function
            ):
                state.captures.opaque = "its arguments when it is awaited"
            self._states = [state, *states]
            return state

    def _what_changed(self) -> str:
        captures = self._states[0].captures
        names = [r.name for r in captures.references if not r.holds()]
        return ", ".join(dict.fromkeys(names)) or "the size of a container"

    def _warn(self, reason: str) -> None:
        name = getattr(self, "__name__", "function")
        if self._strict:
            raise RuntimeError(f"jit({name}, strict=True): {reason}")
        if reason in current().problems:
            tell_once(reason, 6)
        elif not self._warned:
            self._warned = True
            what = f"jit({name}) runs without compiling from here on"
            warnings.warn(f"{what}: {reason}", RuntimeWarning, stacklevel=5)

    def _run_eagerly(self, reason: str, args: Any, kwargs: Any) -> Any:
        self._warn(reason)
        self._eager_calls += 1
        return self._function(*args, **kwargs)

    def _record(self, state: _State, key: Any, args: Any, kwargs: Any) -> Any:
        """Run the function on real values, keep what it did as a plan, and return its result.

        No lock is held meanwhile: threads that come in at once record each for itself.
        """
        with self._mutex:
            signature = state.signatures.setdefault(key, _Signature())
            if len(signature.variants) >= MOST_VARIANTS:
                signature.eager = self._too_many(signature)
        if signature.eager:
            return self._run_eagerly(signature.eager, args, kwargs)
        recording, result = record(
            self._function, state.captures, args, kwargs, strict=self._strict
        )
        with self._mutex:
            self._traces += 1
            if recording.plan is not None:
                self._compiled += recording.plan.compiled
                self._reused += recording.plan.reused
            problem = recording.problem or self._keep(signature, recording)
            if problem:
                signature.eager = problem
                signature.variants = []
        if problem:
            self._warn(problem)
        return result

    def _too_many(self, signature: _Signature) -> str:
        guards = [g for v in signature.variants for g in v.boundary.guards]
        lines = ", ".join(sorted({str(g.where) for g in guards}))
        if not guards:
            names = ", ".join({r.name for v in signature.variants for r, _ in v.watched})
            return (
                f"arrays that it reads ({names}) had {MOST_VARIANTS} different contents. Pass them "
                "as arguments"
            )
        return (
            f"its branches went {MOST_VARIANTS} different ways for arguments of one kind; values "
            f"are consumed at {lines}"
        )

    def _keep(self, signature: _Signature, recording: Recording) -> str:
        """Add a recording to those of its signature; returns what speaks against it.

        Constants that the function computed outside its traced values may be different at each call
        (a file, a clock); a recording with such constants is used when two recordings agree.
        """
        for other in signature.variants:
            if other.same_way(recording) and other.same_watched(recording):
                if not other.same_constants(recording):
                    return "it computes with values that are others at each call"
                other.trusted = True
                return ""
        signature.variants = [recording, *signature.variants]
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
        leaves = [np.array(v.consume("explain")) if isinstance(v, Tensor) else v for v in leaves]
        name = getattr(self, "__name__", "function")
        captures = survey(self._function)
        problem = captures.opaque and f"it reads {captures.opaque}"
        try:
            self.key_of(leaves, structure)
        except Unsettled as stop:
            problem = f"it is called with {stop}"
        if not problem:
            positional, named = unflatten(structure, leaves)
            recording, _ = record(self._function, captures, positional, named, strict=self._strict)
            problem = recording.problem
        return f"{name} is run without compiling: {problem}" if problem else recording.explain(name)

    def __reduce__(self) -> Any:
        return (Jit, (self._function, self._strict))

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
    changes what is outside it, runs as it is. Values agree with NumPy's within a few units in the last
    place (`docs/vecmath.md`); NumPy's warnings about division by zero and the like are not given, and
    ``np.errstate(all="raise")`` has no effect in compiled code.

    Where compiled code can be told from NumPy: a result without axes is a NumPy scalar, also where
    NumPy makes an array without axes (``np.copy(a)``); new results lie in C order; ``a is b`` is
    false for one array passed twice. What a function reads is watched, but not a global that is
    defined later in place of a built-in name, the order of a captured dict, or an instance that gets
    another class.

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
