"""What a gate answers to "what shall I call?": functions without arguments, all of them C's.

A gate decides in a frame of its own, but what it decides on runs from the user's frame, after the
gate's is gone. Where several functions of the user's have to run one after the other, or a special
method in Python has to run inside of an operation of the interpreter's, what is called must be C: no
frame of ours may stand between two of the user's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

__all__ = ["Thunk", "chain", "constant", "stand_in"]

Thunk = Callable[[], Any]


def constant(value: Any) -> Thunk:
    """Answer `value`, once."""
    return [value].pop


def chain(first: Thunk, *then: Callable[[Any], Thunk]) -> Thunk:
    """Call `first`; what the next function answers to its result is called next, and so on.

    >>> chain(constant(2), lambda two: constant(two + 1), lambda three: constant(three * 10))()
    30
    """
    results = map(operator.call, (first,))
    for decide in then:
        results = map(operator.call, map(decide, results))
    return partial(next, results)


@lru_cache(maxsize=1024)
def _stand_in_class(name: str, methods: tuple[str, ...]) -> type:
    # A slot is a descriptor: where the interpreter looks for a special method on the class, it
    # finds what the slot of the instance holds, and calls that.
    return type(name, (), {"__slots__": methods})


def stand_in(value: Any, **methods: Callable[..., Any]) -> Any:
    """Return an object whose special methods are `methods`; in messages it is called as `value` is.

    >>> len(stand_in([], __len__=constant(3)))
    3
    """
    new: Any = _stand_in_class(type(value).__name__, tuple(methods))()
    for name, method in methods.items():
        object.__setattr__(new, name, method)
    return new
