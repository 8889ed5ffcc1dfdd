"""What functions of C's do: tables of those that do nothing but compute.

Allow-lists: a function that is in none of them has an effect, as far as anybody knows. What an entry
says holds for arguments of exact types of Python's and NumPy's; the special methods of other classes
are asked by the gate.
"""

from __future__ import annotations

import array
import builtins
import cmath
import collections
import datetime
import functools
import itertools
import math
import operator
import re
import types
import weakref
from typing import Any

import numpy as np

from tapegrad.tape.python.operators import words

__all__ = [
    "CHANGING",
    "COMPUTING",
    "IMMUTABLE",
    "PURE",
    "READING",
    "SEEDED",
    "TYPES",
    "WITHOUT_EFFECT",
]


_NAMES = [
    "abs",
    "all",
    "any",
    "ascii",
    "bin",
    "bool",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "format",
    "frozenset",
    "getattr",
    "hasattr",
    "hash",
    "hex",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "memoryview",
    "min",
    "next",
    "object",
    "oct",
    "ord",
    "pow",
    "property",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "zip",
    "__build_class__",
    "setattr",
    "delattr",
    "id",
]
_EXCEPTIONS = tuple(
    value
    for value in vars(builtins).values()
    if isinstance(value, type) and issubclass(value, BaseException)
)
_OPERATORS = tuple(
    value for name, value in vars(operator).items() if not name.startswith("_") and callable(value)
)
_MATHEMATICS = tuple(
    value
    for module in (math, cmath, itertools)
    for name, value in vars(module).items()
    if not name.startswith("_") and callable(value)
)

#: Types that may be called.
TYPES: frozenset[type] = frozenset(
    value
    for value in (
        *(getattr(builtins, name) for name in _NAMES),
        *_EXCEPTIONS,
        *_OPERATORS,
        *_MATHEMATICS,
        *(kind for kind in np.sctypeDict.values() if kind is not np.object_),
        collections.OrderedDict, collections.defaultdict, collections.deque,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
        functools.partial, functools.cmp_to_key, np.dtype, np.errstate, np.ndarray,
        np.finfo, np.iinfo, np.broadcast, np.ndindex, np.ndenumerate, np.flatiter, np.vectorize,
        np.poly1d, types.SimpleNamespace, types.MappingProxyType, types.MethodType, types.NoneType,
        weakref.ref,
    )
    if isinstance(value, type)
)  # fmt: skip

#: Functions that compute, and change nothing but what the run has made.
PURE: frozenset[Any] = frozenset(
    value
    for value in (
        *(getattr(builtins, name) for name in _NAMES),
        *_OPERATORS,
        *_MATHEMATICS,
        functools.reduce, functools.cmp_to_key, re.escape,
        np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray, np.empty,
        np.zeros, np.ones, np.full, np.arange, np.linspace, np.eye, np.identity, np.fromiter,
        np.broadcast_shapes, np.isscalar, np.promote_types, np.indices, np.fromfunction, np.frombuffer,
        np.logspace, np.geomspace, np.tri, np.isdtype if hasattr(np, "isdtype") else np.isscalar,
        np.issubdtype, np.finfo, np.iinfo, np.require, np.tril_indices, np.triu_indices,
        np.diag_indices, np.bartlett, np.blackman, np.hamming, np.hanning, np.kaiser,
        np.asarray_chkfinite, np.base_repr, np.binary_repr, np.iterable,
    )
    if not isinstance(value, type)
)  # fmt: skip

#: Functions of NumPy's that ask tensors, and yet talk to the world, or ask where arrays lie.
_BEYOND_VALUES = words(
    "array2string array_repr array_str may_share_memory save savetxt savez savez_compressed "
    "shares_memory"
)
#: Functions of NumPy's that ask tensors, and only compute.
WITHOUT_EFFECT: frozenset[Any] = frozenset(
    value
    for module in (np, np.linalg, np.fft, np.lib.stride_tricks, np.lib.scimath)
    for name, value in vars(module).items()
    if isinstance(value, type(np.sum)) and name not in _BEYOND_VALUES
)

#: Types whose objects never change, so that their methods only compute.
IMMUTABLE: tuple[type, ...] = (
    bool, bytes, complex, float, int, range, re.Match, re.Pattern, slice, str,
    types.NoneType, np.dtype, np.generic, np.ufunc, datetime.date, datetime.time, datetime.timedelta,
    datetime.tzinfo, np.finfo, np.iinfo, np.broadcast,
)  # fmt: skip

#: Methods of containers that read.
READING: dict[type, frozenset[str]] = {
    list: words("copy count index"),
    tuple: words("count index"),
    frozenset: words(
        "copy difference intersection isdisjoint issubset issuperset symmetric_difference union"
    ),
    dict: words("copy fromkeys get items keys values"),
    set: words(
        "copy difference intersection isdisjoint issubset issuperset symmetric_difference union"
    ),
    collections.deque: words("copy count index"),
    collections.OrderedDict: words("copy fromkeys get items keys values"),
    collections.defaultdict: words("copy fromkeys get items keys values"),
    bytearray: words("count decode find index"),
    types.MappingProxyType: words("copy get items keys values"),
}

#: Methods that change what they belong to, and nothing else: free on what the run has made.
CHANGING: dict[type, frozenset[str]] = {
    list: words("append clear extend insert pop remove reverse sort"),
    dict: words("clear pop popitem setdefault update"),
    set: words(
        "add clear difference_update discard intersection_update pop remove "
        "symmetric_difference_update update"
    ),
    collections.deque: words(
        "append appendleft clear extend extendleft insert pop popleft remove reverse rotate"
    ),
    collections.OrderedDict: words("clear move_to_end pop popitem setdefault update"),
    collections.defaultdict: words("clear pop popitem setdefault update"),
    bytearray: words("append clear extend insert pop remove reverse"),
    array.array: words("append extend insert pop tolist"),
}

#: Modules of which whatever the registry replaces only computes.
COMPUTING = words("cmath math numpy operator scipy statistics")
#: Makers of random numbers that give the same ones for the same seed.
SEEDED: frozenset[Any] = frozenset(
    (np.random.default_rng, np.random.RandomState, np.random.Generator, np.random.PCG64)
)
