"""What belongs to the running context: tracking, memory guarding, the active tape, trace depth.

All of it lives in context variables, so that threads and asynchronous tasks never see each other's
switches. The one exception is the global default of the memory guard, which the documentation
defines to be global.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from tapegrad.tape.core.pytree import tree_map
from tapegrad.tape.core.traced import Traced

__all__ = [
    "GuardDefault",
    "State",
    "guarding",
    "mem_guard_off",
    "mem_guard_on",
    "no_autodiff",
    "state",
    "turn_memory_guarding_off",
    "turn_memory_guarding_on",
]

F = TypeVar("F", bound=Callable[..., Any])


class State:
    """The switches of one context; immutable, replaced as a whole.

    Attributes
    ----------
    tracking : bool
        Whether imperative operations are recorded.
    guard : bool or None
        Whether arrays are locked; ``None`` leaves it to the global default.
    tape : Tape or None
        The innermost ``with Tape()`` that is active.
    depth : int
        Number of function transformations (grad, jvp, vmap, jit) that are running.
    body : Trace or None
        The innermost function that is being recorded as a program, if any. All that is done is its
        own, but for what belongs to transformations inside it.
    adapted : bool
        Whether imperative code is running that must not take tensors out of their graph unseen.
    """

    __slots__ = ("adapted", "body", "depth", "guard", "tape", "tracking", "unusual")

    def __init__(
        self, tracking: bool, guard: bool | None, tape: Any, depth: int, body: Any,
        adapted: bool = False,
    ) -> None:  # fmt: skip
        self.tracking = tracking
        self.guard = guard
        self.tape = tape
        self.depth = depth
        self.body = body
        self.adapted = adapted
        #: Whether operations are not recorded in the common way, on the graph alone.
        self.unusual = not tracking or tape is not None or depth > 0 or body is not None

    def replace(self, **changes: Any) -> State:
        """Return a copy with some switches changed."""
        names = ("tracking", "guard", "tape", "depth", "body", "adapted")
        return State(**{**{name: getattr(self, name) for name in names}, **changes})


_INITIAL = State(True, None, None, 0, None)
state: ContextVar[State] = ContextVar("tapegrad_state", default=_INITIAL)


class GuardDefault:
    """Global default of the memory guard."""

    on: bool = True


def _read_environment() -> None:
    text = os.environ.get("TAPEGRAD_MEM_GUARD", os.environ.get("MYGRAD_MEM_GUARD", "True"))
    if text.lower() in {"true", "1"}:
        return
    if text.lower() in {"false", "0"}:
        GuardDefault.on = False
        return
    warnings.warn(
        f"TAPEGRAD_MEM_GUARD={text!r} is not one of True, true, 1, False, false, 0; "
        "memory guarding stays on",
        stacklevel=2,
    )


_read_environment()


class _Switch:
    """Context manager and decorator that throws one switch and restores what it was before."""

    def __init__(self, doc: str, switch: str, value: bool) -> None:
        self.__doc__ = doc
        self._switch = switch
        self._value = value
        # One stack per context: the same object is entered again when contexts nest.
        self._before: ContextVar[tuple[Any, ...]] = ContextVar("tapegrad_switch", default=())

    def __enter__(self) -> None:
        current = state.get()
        self._before.set((*self._before.get(), getattr(current, self._switch)))
        state.set(current.replace(**{self._switch: self._value}))

    def __exit__(self, *exc: object) -> None:
        # Only this switch is restored, and no token used: generators that are suspended inside end
        # in any order, and perhaps in another context, where there is nothing to restore.
        before = self._before.get()
        if before:
            self._before.set(before[:-1])
            state.set(state.get().replace(**{self._switch: before[-1]}))

    def __call__(self, function: F) -> F:
        import inspect  # needed when a function is decorated, not to import the package

        kinds = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction
        if any(is_kind(function) for is_kind in kinds):
            raise TypeError(
                "only plain functions can be decorated; use the context manager inside generators "
                "and coroutines"
            )

        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return decorated  # type: ignore[return-value]  # functools.wraps keeps F's signature


class _NoAutodiff(_Switch):
    """The switch that suspends recording; functions that it decorates may return arrays."""

    def __call__(self, function: F, to_numpy: bool = False) -> F:
        """Decorate a function.

        Parameters
        ----------
        function : callable
        to_numpy : bool
            Whether the tensors in its result, a nest, become arrays.
        """
        decorated = super().__call__(function)
        if not to_numpy:
            return decorated

        @functools.wraps(function)
        def in_numpy(*args: Any, **kwargs: Any) -> Any:
            return tree_map(_array, decorated(*args, **kwargs))

        return in_numpy  # type: ignore[return-value]


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, Traced) else value


no_autodiff = _NoAutodiff(
    """Suspend the recording of imperative graphs; a context manager and a decorator.

    Nothing is recorded or locked inside, and ``backward()`` has no effect on other tensors.
    ``no_autodiff(function, to_numpy=True)`` also makes arrays of the tensors that a function returns.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> with tg.no_autodiff:
    ...     y = x * 2
    >>> y.creator is None
    True
    >>> tg.no_autodiff(tg.sin, to_numpy=True)(0.0)
    array(0.)
    """,
    "tracking",
    False,
)

mem_guard_off = _Switch(
    """Suspend the locking of arrays; a context manager and a decorator.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> data = np.ones(2)
    >>> with tg.mem_guard_off:
    ...     y = tg.astensor(data) * 2
    >>> data.flags.writeable
    True
    """,
    "guard",
    False,
)

mem_guard_on = _Switch(
    """Enable the locking of arrays; a context manager and a decorator.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> data = np.ones(2)
    >>> with tg.mem_guard_on:
    ...     y = tg.astensor(data) * data
    >>> data.flags.writeable
    False
    """,
    "guard",
    True,
)


def turn_memory_guarding_off() -> None:
    """Turn memory guarding off everywhere except where ``mem_guard_on`` is active.

    See Also
    --------
    turn_memory_guarding_on : turns it on again.

    Notes
    -----
    Without the guard, writing into an array that a graph still needs gives wrong gradients.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.turn_memory_guarding_off()
    >>> data = np.ones(2)
    >>> y = tg.astensor(data) * data
    >>> data.flags.writeable
    True
    >>> tg.turn_memory_guarding_on()
    """
    GuardDefault.on = False


def turn_memory_guarding_on() -> None:
    """Turn memory guarding on everywhere except where ``mem_guard_off`` is active.

    See Also
    --------
    turn_memory_guarding_off : turns it off.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.turn_memory_guarding_on()  # as it is at first
    """
    GuardDefault.on = True


def guarding(current: State) -> bool:
    """Whether arrays are locked in the state `current`."""
    return GuardDefault.on if current.guard is None else current.guard
