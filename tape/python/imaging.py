"""A gate that has all that is written in Python run as images, and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, NoneType
from typing import Any, ClassVar

import numpy as np

from tapegrad.tape.python import calls, special
from tapegrad.tape.python.familiar import meet
from tapegrad.tape.python.gate import Gate
from tapegrad.tape.python.images import Images
from tapegrad.tape.python.rewriting import LIGHT
from tapegrad.tape.python.thunks import Thunk

__all__ = ["PLAIN", "Imaging"]


def _meeting(answer: Callable[..., Any], *places: int) -> Callable[..., Any]:
    """Make a hook of an answer: light images need not ask again about operands with harmless classes."""

    def hook(self: Imaging, *operands: Any) -> Any:
        if self.images.level.watched:
            for place in places:
                meet(self.images, operands[place])
        return answer(self, *operands)

    hook.__doc__ = answer.__doc__
    return hook


#: Types whose operations run no code of the user's.
PLAIN: frozenset[type] = frozenset(
    (int, float, complex, bool, str, bytes, NoneType, slice, range, np.ndarray, np.finfo, np.iinfo)
    + tuple(kind for kind in np.sctypeDict.values() if kind is not np.object_)
)


class Imaging(Gate):
    """The base of the transformations' gates.

    Examples
    --------
    A gate that notes the names of what is called:

    >>> class Names(Imaging):
    ...     images = Images(LIGHT, never=frozenset())  # functions of this module, too
    ...
    ...     def __init__(self):
    ...         self.seen = []
    ...
    ...     def callee(self, function):
    ...         self.seen.append(function.__name__)
    ...         return super().callee(function)
    >>> gate = Names()
    >>> user = {"__name__": "user"}  # functions of tapegrad have no images
    >>> gate.run(eval("lambda x: abs(min(x, -3))", user), 2)
    3
    >>> gate.seen
    ['<lambda>', 'min', 'abs']
    """

    #: The images of what is called: their level, and which packages are never read.
    images: ClassVar[Images] = Images(LIGHT)
    #: Types whose operations are not looked at: they have no methods that images could be made of.
    plain: ClassVar[frozenset[type]] = PLAIN
    #: Whether values may be traced.
    traces: ClassVar[bool] = False

    def image(self, function: FunctionType) -> FunctionType:
        """Return what runs in place of a Python function, wherever it is called from."""
        return self.images.image(function)

    def cached(self, function: Any) -> Any:
        """Return what to call in place of a ``functools.lru_cache``; None as `callee` does."""
        return function

    def callee(self, function: Any) -> Any:
        try:
            answer = calls.ANSWERS[type(function)]
        except KeyError:
            answer = calls.answer(type(function))
        return function if answer is None else answer(self, function)

    def is_traced_number(self, value: Any) -> bool:
        """Whether a value is traced, and may be what ``__float__`` returns."""
        return False

    def raised(self, exception: Any) -> Thunk:
        if special.is_a(exception, type) and self.callee(exception) is not exception:
            return self.call_with(exception, (), {})
        return super().raised(exception)

    comprehension = image
    call_with = calls.shown
    attribute = _meeting(special.attribute, 0)
    item = _meeting(special.item, 0)
    binary = _meeting(special.binary, 0, 1)
    unary = _meeting(special.unary, 0)
    compare = _meeting(special.compare, 0, 1)
    contains = _meeting(special.contains, 1)
    truth = special.truth
    iterate = _meeting(special.iterate, 0)
    delegate = _meeting(special.delegate, 0)
    mapping = _meeting(special.mapping, 0)
    enter = special.enter
    convert = special.convert
    format = special.format
    store_attribute = special.store_attribute
    store_item = special.store_item
    delete_attribute = special.delete_attribute
    delete_item = special.delete_item
