"""What is called in place of functions that ask no protocol: ``np.asarray``, ``math.sin``, ``float``.

NumPy asks a tensor what ``np.sin`` is for it; ``np.asarray``, ``math.sin`` and ``float`` convert it.
For these the registry holds a :class:`Replacement`; whoever reads the user's calls puts it in their
place.

>>> import math
>>> import tapegrad as tg
>>> chosen = called_for(math.sin, (tg.tensor(0.0),))
>>> float(chosen(tg.tensor(0.0)).data)
0.0
>>> called_for(math.sin, (0.0,)) is math.sin
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions

__all__ = [
    "Replacement",
    "called_for",
    "holds_tensor",
    "image_of",
    "replacement_of",
    "replaces",
    "takes_plain",
    "takes_tensors",
]

#: The methods of tensors that convert: imperative code gets constants by them, and traced code does not,
#: so that their replacements are looked for even where nobody has loaded them.
_CONVERTING: frozenset[Any] = frozenset(
    getattr(Tensor, name)
    for name in ("__copy__", "__deepcopy__", "astype", "copy", "item", "tolist")
)
#: Packages of whose Python functions the registry may know something; it has nothing for the user's.
_KNOWN = frozenset(
    [
        "copy",
        "csv",
        "functools",
        "json",
        "logging",
        "numpy",
        "operator",
        "pickle",
        "pprint",
        "random",
    ]
    + ["scipy", "statistics"]
)
_NO_KEYWORDS: dict[str, Any] = {}
#: Types of most elements; a sequence of nothing else is not searched.
_ATOMS = frozenset({float, int, bool, str, bytes, complex, type(None), np.float64, np.int64})


def holds_tensor(tree: Any) -> bool:
    """Whether there is a tensor in containers of Python's and arrays of objects, to any depth.

    Examples
    --------
    >>> import tapegrad as tg
    >>> holds_tensor([1.0, [tg.tensor(2.0)]]), holds_tensor(([1.0], 2.0))
    (True, False)
    """
    return _any_holds((tree,))


def _any_holds(items: Iterable[Any]) -> bool:
    waiting = [items]
    while waiting:
        items = waiting.pop()
        if _ATOMS.issuperset(map(type, items)):
            continue
        for a in items:
            if isinstance(a, Tensor):
                return True
            if isinstance(a, list | tuple | set | frozenset):
                waiting.append(a)
            elif isinstance(a, dict):
                waiting.append(a.values())
            elif type(a) is slice:
                waiting.append((a.start, a.stop, a.step))
            elif isinstance(a, np.ndarray) and a.dtype == object:
                waiting.append(a.ravel().tolist())
    return False


class Replacement:
    """What is called in place of a function that asks no protocol.

    Attributes
    ----------
    original : callable
        The function itself, which is called if there is no tensor among the arguments.
    function : callable
        What is called otherwise; it takes the same arguments.
    within : str
        Where tensors count: as "arguments"; also "nested" in them; or "anywhere": then `function` is
        always called, because tensors may come from a function or an iterator among the arguments.
    plain : callable or None
        Gives what the function itself may be called with, for each argument, if that is all there is
        to do: so that it finds the caller's frame above its own.
    """

    __slots__ = ("__weakref__", "function", "original", "plain", "within")

    def __init__(
        self,
        original: Callable[..., Any],
        function: Callable[..., Any],
        within: str,
        plain: Callable[[Any], Any] | None = None,
    ) -> None:
        self.original = original
        self.function = function
        self.within = within
        self.plain = plain

    def chosen(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
        """Return which of the two functions is called with these arguments."""
        if self.within == "arguments":
            ours = any(isinstance(a, Tensor) for a in args) or (
                bool(kwargs) and any(isinstance(a, Tensor) for a in kwargs.values())
            )
        else:
            ours = self.within == "anywhere" or _hold(args, kwargs)
        return self.function if ours else self.original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.chosen(args, kwargs)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<in place of {self.original!r}>"


def _hold(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return _any_holds(args) or (bool(kwargs) and _any_holds(kwargs.values()))


def replaces(*originals: Any, within: str = "arguments") -> Callable[..., Any]:
    """Register a function as what is called in place of others, see :class:`Replacement`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for original in originals:
            functions[original] = Replacement(original, function, within)
        return function

    return register


def takes_plain(plain: Callable[[Any], Any], *originals: Any) -> None:
    """Register functions that are called with ``plain(argument)`` in place of each argument."""
    for original in originals:

        def function(*args: Any, original: Callable[..., Any] = original, **kwargs: Any) -> Any:
            return original(*map(plain, args), **{name: plain(a) for name, a in kwargs.items()})

        functions[original] = Replacement(original, function, "nested", plain)


def takes_tensors(*originals: Any) -> None:
    """Register functions that do right by tensors as they are, since they use what Python asks."""
    for original in originals:
        functions[original] = original


def replacement_of(function: FunctionType) -> Any:
    """Return what the registry holds for a function written in Python, or None."""
    package = (function.__module__ or "").partition(".")[0]
    is_known = package in _KNOWN or function in _CONVERTING
    return functions.find(function) if is_known else functions.get(function)


def wants_arguments(found: Any) -> bool:
    """Whether the arguments of what is registered are looked at first: shown, or iterated over."""
    return type(found) is Replacement and (found.plain is not None or found.within == "anywhere")


def image_of(function: Any) -> Any:
    """Return what a replacement calls where it is given a user's function: its image, if there are
    images. Whoever makes them registers ``functions["image"]``."""
    make = functions.get("image")
    return function if make is None else make(function)


def called_for(
    function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] = _NO_KEYWORDS
) -> Any:
    """Return what to call with these arguments in place of `function`: itself, or what is registered.

    For all that is registered, also for functions that ask tensors themselves: those do not see a
    tensor in a list.
    """
    try:
        found = functions.get(function)
    except TypeError:  # what cannot be hashed is nothing of ours
        return function
    if found is None or found is function:
        return function
    if type(found) is Replacement:
        return found.chosen(args, kwargs)
    return found if _hold(args, kwargs) else function
