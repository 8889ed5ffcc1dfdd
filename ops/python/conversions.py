"""Python's builtins on tensors: conversions to numbers, questions about classes, text.

A float stays traced. Other numbers, hashes and text are plain: they are locally constant, and their
value, or outcome, is consumed. A class is that of what a tensor stands for.
"""

from __future__ import annotations

import array
import builtins
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tapegrad.ops.python.scalars import applied, declare_of_vectors, vector
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.numbers import (
    as_number,
    complex_operand,
    plain_array,
    plain_value,
    stand_in,
    stands_for,
)
from tapegrad.tape.array.replacements import (
    holds_tensor,
    replaces,
    takes_plain,
    takes_tensors,
)
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.primitive import Registry, functions

__all__ = ["plain_copy"]

# What uses operators, ``len``, ``[]``, ``bool`` and ``__index__`` alone.
takes_tensors(
    abs, all, any, bin, bool, callable, chr, dict, divmod, enumerate, filter, frozenset, hex, list, map,
    max, min, oct, pow, range, reversed, set, slice, sorted, sum, tuple, zip,
)  # fmt: skip


# Numbers -------------------------------------------------------------------------------------------


@replaces(float)
def _float(x: Any = 0.0, /) -> Any:
    """A traced number."""
    return as_number(x)


@replaces(int)
def _int(x: Any = 0, /, *base: Any) -> Any:
    return int(x, *base) if base else as_number(x, int)


@replaces(complex)
def _complex(*args: Any, **kwargs: Any) -> Any:
    if any(map(is_differentiated, (*args, *kwargs.values()))):
        return _traced_complex(*args, **kwargs)
    named = {name: plain_array(a, "complex()") for name, a in kwargs.items()}
    return complex(*(plain_array(a, "complex()") for a in args), **named)


def _traced_complex(real: Any = 0.0, imag: Any = None) -> Any:
    number = complex_operand(real)
    return number if imag is None else number + 1j * complex_operand(imag)


@replaces(round)
def _round(number: Any, ndigits: Any = None) -> Any:
    """An int, or a float without a derivative, as the number's class rounds."""
    if not isinstance(number, Tensor):
        return round(number, ndigits)
    kind = stands_for(number)
    if kind is np.ndarray:
        return round(stand_in(number))  # raises
    if ndigits is None:
        return as_number(np.rint(number), int)
    digits = int(ndigits)
    if issubclass(kind, np.generic):
        return functions[np.round](number, digits)
    return round(plain_value(number, "round"), digits)


if sys.version_info >= (3, 12):
    # Python adds up floats with compensation; what it adds to NumPy's scalars is added as it is.
    _sum_p = declare_of_vectors("builtins.sum", sum, lambda v: np.sum(v, -1), 1)

    @replaces(sum, within="anywhere")
    def _sum(iterable: Iterable[Any], /, start: Any = 0) -> Any:
        items = [start, *iterable]
        floats = any(isinstance(a, Tensor) for a in items) and all(map(_is_float, items))
        if not floats:
            return sum(items[1:], start)
        return applied(lambda *v: sum(v), lambda *v: apply(_sum_p, (vector(v),)), *items)


def _is_float(a: Any) -> bool:
    return stands_for(a) is float if isinstance(a, Tensor) else type(a) in (float, int)


# Classes and sizes ---------------------------------------------------------------------------------


@replaces(isinstance)
def _isinstance(instance: Any, classinfo: Any, /) -> bool:
    """Whether a tensor, or what it stands for, is of a class."""
    if not isinstance(instance, Tensor):
        return isinstance(instance, classinfo)
    return isinstance(stand_in(instance), classinfo) or _names_tensor(type(instance), classinfo)


def _names_tensor(kind: type, classinfo: Any) -> bool:
    """Whether a class, or one of a tuple or union of classes, is a class of tensors."""
    if isinstance(classinfo, tuple):
        return any(_names_tensor(kind, c) for c in classinfo)
    if isinstance(classinfo, type):
        return issubclass(classinfo, Tensor) and issubclass(kind, classinfo)
    return any(_names_tensor(kind, c) for c in getattr(classinfo, "__args__", ()))


@replaces(type)
def _type(instance: Any, *rest: Any, **kwargs: Any) -> Any:
    if rest or kwargs or not isinstance(instance, Tensor):
        return type(instance, *rest, **kwargs)
    return stands_for(instance)


@replaces(len)
def _len(obj: Any, /) -> int:
    return len(obj) if obj.shape else len(stand_in(obj))  # raises


@replaces(iter)
def _iter(obj: Any, /, *sentinel: Any) -> Any:
    if sentinel or obj.shape:
        return iter(obj, *sentinel)
    return iter(stand_in(obj))  # raises


@replaces(hash)
def _hash(obj: Any, /) -> int:
    return hash(stand_in(obj) if stands_for(obj) is np.ndarray else plain_value(obj, "hash"))


# Text, bytes, and other plain copies ---------------------------------------------------------------


def plain_copy(tree: Any, kind: str = "text") -> Any:
    """Return a copy of lists, tuples, dicts and sets with plain values for tensors, to any depth.

    For functions that only write: ``print``, ``logging``, ``json``, ``pickle``. What holds no tensor is
    returned itself.

    Examples
    --------
    >>> import tapegrad as tg
    >>> plain_copy({"loss": [tg.tensor(2.0).sum(), 1]})
    {'loss': [np.float64(2.0), 1]}
    """
    if isinstance(tree, Tensor):
        return plain_value(tree, kind)
    if not holds_tensor(tree):
        return tree
    if isinstance(tree, dict):
        copied = tree.copy()
        copied.update((key, plain_copy(value, kind)) for key, value in tree.items())
        return copied
    if type(tree) is slice:
        return slice(*(plain_copy(a, kind) for a in (tree.start, tree.stop, tree.step)))
    if isinstance(tree, np.ndarray):
        filled = tree.copy()
        for i in np.ndindex(tree.shape):
            filled[i] = plain_copy(tree[i], kind)
        return filled
    items = [plain_copy(a, kind) for a in tree]
    if type(tree) in (list, tuple):
        return type(tree)(items)
    return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)


takes_plain(
    plain_copy, ascii, format, print, repr, str, str.__mod__, bytes.__mod__, str.format,
    np.save, np.savetxt, np.savez, np.savez_compressed,
)  # fmt: skip

#: Functions and methods of other modules that only write, by module.
_WRITERS = {
    "csv": {"DictWriter.writerow", "DictWriter.writerows"},
    "json": {"dump", "dumps"},
    "json.encoder": {"JSONEncoder.encode", "JSONEncoder.iterencode"},
    "logging": {
        *("critical", "debug", "error", "exception", "info", "log", "warning"),
        *("Logger.critical", "Logger.debug", "Logger.error", "Logger.exception", "Logger.info"),
        *("Logger.log", "Logger.warning", "LoggerAdapter.log"),
    },
    "_pickle": {"dump", "dumps"},
    "pprint": {"pformat", "pp", "pprint"},
}


def find_writer(function: Any) -> Any:
    """Register a function of a module that may not be loaded yet, and return it, or None."""
    names = _WRITERS.get(getattr(function, "__module__", None) or "", ())
    if getattr(function, "__qualname__", None) not in names:
        return None
    takes_plain(plain_copy, function)
    return functions[function]


Registry.finders.append(find_writer)


def _takes_memory(*originals: Callable[..., Any]) -> None:
    """Register functions that take the memory of an array, or its elements as C numbers."""
    for original in originals:

        def function(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            return original(*(plain_array(a, f"{original.__name__}()") for a in args), **kwargs)

        replaces(original)(function)


_takes_memory(array.array, builtins.bytes, builtins.bytearray, builtins.memoryview)
