"""Objects that answer code of C's by methods in Python, which then runs without being seen.

``sum`` adds what it is given, ``in`` compares, ``np.array`` asks for lengths and items. A gate sees what
Python does with an object, not what C does with it: such objects are kept from such functions.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from functools import lru_cache
from types import FunctionType
from typing import Any

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.python.imaging import PLAIN
from tapegrad.tape.python.operators import words
from tapegrad.tape.python.special import classes_of, in_python, is_a, names_of

__all__ = ["BLIND", "DEAF", "answers_by_code", "keeps_c_data", "speakers"]

#: Methods that no code of C's asks for by itself, or that a gate sees when it does.
_SILENT = words(
    "__init__ __new__ __post_init__ __init_subclass__ __class_getitem__ __getattr__ __getattribute__ "
    "__setattr__ __delattr__ __get__ __set__ __delete__ __set_name__ __call__ __enter__ __exit__ "
    "__subclasshook__ __instancecheck__ __subclasscheck__ __reduce__ __reduce_ex__ __getstate__ "
    "__setstate__ __getnewargs__ __copy__ __deepcopy__ __dir__ __sizeof__ __del__ __replace__ "
    "__aenter__ __aexit__ __await__ __aiter__ __anext__"
)
#: Functions that ask nothing at all of what they are given but its class, or only what a gate sees.
BLIND: frozenset[Any] = frozenset(
    (callable, id, isinstance, issubclass, type, super, property, object, functools.partial,
     getattr, hasattr)
)  # fmt: skip
#: Functions that ask nothing of the elements of what they are given, or only what a gate sees.
DEAF: frozenset[Any] = frozenset(
    (
        len, list, tuple, zip, enumerate, iter, reversed, next, isinstance, issubclass, type, callable,
        getattr, hasattr, setattr, delattr, super, property, staticmethod, classmethod, object, id,
        map, filter, functools.partial, functools.reduce, itertools.chain, itertools.islice,
        itertools.product, itertools.zip_longest, itertools.repeat, itertools.cycle,
        itertools.starmap, itertools.combinations, itertools.permutations, itertools.tee,
    )
)  # fmt: skip


def answers_by_code(cls: type) -> bool:
    """Whether instances of a class answer C's code by code of their own, as the class is now."""
    for base in classes_of(cls):
        if in_python(base):
            for name, member in list(names_of(base).items()):
                special = name.startswith("__") and name.endswith("__") and name not in _SILENT
                if special and type(member) in (FunctionType, property, classmethod, staticmethod):
                    return True
    return False


def speakers(value: Any, depth: int = 0) -> Iterator[Any]:
    """Give what might answer code of C's by code of its own: a value, or what a container holds.

    >>> class Loud:
    ...     def __add__(self, other):
    ...         return print("heard")
    >>> [type(v).__name__ for v in speakers([1.0, (2.0, Loud())])]
    ['Loud']
    """
    kind: type = type(value)
    if kind in PLAIN or isinstance(value, Tensor):
        return
    if kind in (list, tuple, set, frozenset, dict):
        if depth > 100:
            raise RecursionError
        parts = itertools.chain(value, value.values()) if kind is dict else value
        for part in parts:
            yield from speakers(part, depth + 1)
    elif in_python(kind) and not is_a(value, type):
        yield value


@lru_cache(maxsize=4096)
def keeps_c_data(cls: type) -> bool:
    """Whether instances hold what only code of C's knows: a subclass of list, an array of ctypes."""
    bases = [base for base in classes_of(cls) if base is not object]
    return not issubclass(cls, BaseException) and not all(map(in_python, bases))
