"""Functions made of functions: what ``grad``, ``vmap`` and the others return.

They have name, documentation and signature of the function that they were made of, bind as methods as
functions do, print as what they are, and can be copied and pickled if it can.
"""

from __future__ import annotations

import copy
import functools
import sys
import types
from collections.abc import Callable
from typing import Any

__all__ = ["Transformed", "by_name", "spelled", "transformed"]


class Transformed:
    """A function made of another one.

    Attributes
    ----------
    function : callable
        The other one.

    Examples
    --------
    >>> import pickle
    >>> import numpy as np, tapegrad as tg
    >>> slope = tg.grad(np.cosh)
    >>> pickle.loads(pickle.dumps(slope))
    <grad(cosh)>
    >>> pickle.loads(pickle.dumps(slope))(0.0)
    np.float64(0.0)
    """

    def __init__(
        self,
        run: Callable[..., Any],
        make: Callable[..., Any],
        function: Callable[..., Any],
        options: dict[str, Any],
    ) -> None:
        names = [n for n in functools.WRAPPER_ASSIGNMENTS if hasattr(function, n)]
        functools.update_wrapper(self, function, assigned=names, updated=())
        self.function = function
        self._run = run
        self._make = make
        self._options = options

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def of(self, function: Callable[..., Any]) -> Transformed:
        """Make of another function what this was made of its own."""
        return self._make(function, **self._options)  # type: ignore[no-any-return]

    def spelled(self) -> str:
        """Return the call that makes this, as text."""
        import inspect  # is not needed to make and call functions, and takes long to load

        defaults = inspect.signature(self._make).parameters
        options = [
            f"{name}={value!r}"
            for name, value in self._options.items()
            if value != defaults[name].default
        ]
        return f"{self._make.__name__}({', '.join([spelled(self.function), *options])})"

    def __repr__(self) -> str:
        return f"<{self.spelled()}>"

    def __copy__(self) -> Transformed:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Transformed:
        function = copy.deepcopy(self.function, memo)
        return self if function is self.function else self.of(function)

    def __reduce__(self) -> Any:
        return by_name(self) or (_made, (self._make, self.function, self._options))


def _made(make: Callable[..., Any], function: Any, options: dict[str, Any]) -> Any:
    """Rebuild a transformed function from its pickle."""
    return make(function, **options)


def transformed(
    make: Callable[..., Any], function: Callable[..., Any], **options: Any
) -> Callable[[Callable[..., Any]], Transformed]:
    """Decorate what runs in place of `function`; ``make(function, **options)`` must give it again.

    Raises
    ------
    TypeError
        If `function` cannot be called.
    """
    if not callable(function):
        raise TypeError(f"{make.__name__} takes a function, not {type(function).__name__}")
    return lambda run: Transformed(run, make, function, options)


def by_name(value: Any) -> str:
    """Return the name under which a module holds `value`, for pickles of decorated functions."""
    name = getattr(value, "__qualname__", "")
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return name if found is value else ""


def spelled(function: Any) -> str:
    """Return a function as text: its name, or the call that makes it."""
    if hasattr(type(function), "spelled"):
        return function.spelled()  # type: ignore[no-any-return]
    return getattr(function, "__name__", None) or repr(function)
