"""NumPy's functions that make arrays of what they are given: ``asarray``, ``full``, ``float64``.

They ask no protocol. With tensors among their arguments, nested as they may be, what they give stays
traced; NumPy itself decides about shapes, dtypes and errors, by arrays that stand in for the tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Any

import numpy as np

from tapegrad.ops.shape.views import in_order
from tapegrad.tape.array.numbers import (
    as_array,
    as_number,
    plain_array,
    plain_value,
    stand_in,
    stands_for,
)
from tapegrad.tape.array.replacements import holds_tensor, replaces
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC
from tapegrad.tape.core.primitive import Registry, functions

__all__ = ["array_of", "cast_to"]


# Arrays ---------------------------------------------------------------------------------------------


def cast_to(a: Any, dtype: Any, what: str) -> Any:
    """Return a tensor with another dtype; plain values where that holds no numbers.

    `what` names the function in the error for a derivative that would be lost.
    """
    dtype = np.dtype(dtype)
    if dtype.kind in NUMERIC:
        return functions["cast"](a, dtype)
    return plain_array(a, f"{what} with dtype {dtype}").astype(dtype)


def array_of(
    a: Any, dtype: Any = None, *, copy: bool | None = None, order: Any = None, what: str = "np.array",
    **options: Any,
) -> Any:  # fmt: skip
    """Return what ``np.array(a, dtype, copy=copy, order=order, **options)`` is, of tensors."""
    options["order"] = "K" if order is None else order
    if isinstance(a, np.ndarray) and dtype is not None and np.dtype(dtype) != object:
        a = a.tolist()  # of objects, which are tensors
    if isinstance(a, Tensor):
        return _of_tensor(a, dtype, copy, options, what)
    if holds_tensor(a):
        return _of_sequence(a, dtype, copy, options, what)
    return np.array(a, dtype, copy=copy, **options)


def _of_tensor(a: Tensor, dtype: Any, copy: bool | None, options: Any, what: str) -> Any:
    number = stands_for(a) is not np.ndarray
    example = stand_in(a) if number else _example(a)
    probe = np.array(example, dtype, copy=copy if copy is False else None, **options)
    result: Any = cast_to(a, probe.dtype, what) if probe.dtype != a.dtype else a
    if not isinstance(result, Tensor):
        return np.array(result, copy=copy, **options)
    if number:
        result = as_array(result)
    elif result is not a:
        if options["order"] in ("C", "F"):
            result = functions[np.copy](result, options["order"])
    elif copy is True or (a.size and not np.may_share_memory(probe, example)):
        result = functions[np.copy](a, options["order"])
    if probe.ndim > result.ndim:
        result = functions[np.reshape](result, probe.shape)
    return result


def _example(a: Tensor) -> Any:
    """Return an array that lies in memory as the one that a tensor stands for."""
    below: Any = a
    hidden = 0
    while isinstance(below, Tensor):
        hidden += below.live_trace.appearance.hidden_axes
        below = below.value
    if not below.size:
        return np.zeros(a.shape, a.dtype)
    if hidden and in_order(a):  # whatever lies between the elements of an example
        return np.zeros(a.shape, a.dtype)
    return below[(*(0,) * hidden, ...)]


def _of_sequence(a: Any, dtype: Any, copy: bool | None, options: Any, what: str) -> Any:
    probe = np.array(_standing(a), dtype, copy=copy, **options)
    if probe.dtype.kind not in NUMERIC:
        return np.array(_plain(a, f"{what} with dtype {probe.dtype}"), dtype, copy=copy, **options)
    result = _stacked(a, probe.dtype)
    if result.shape != probe.shape:
        result = functions[np.reshape](result, probe.shape)
    return functions[np.copy](result, "F") if options["order"] == "F" else result


def _standing(a: Any) -> Any:
    """Return nested sequences with zeros in place of tensors."""
    if isinstance(a, Tensor):
        return stand_in(a)
    return [_standing(b) for b in a] if isinstance(a, list | tuple) else a


def _plain(a: Any, what: str) -> Any:
    if isinstance(a, Tensor):
        return plain_array(a, what)
    return [_plain(b, what) for b in a] if isinstance(a, list | tuple) else a


def _stacked(a: Any, dtype: np.dtype[Any]) -> Any:
    """Return nested sequences as one tensor, or as an array if they hold none."""
    if isinstance(a, Tensor):
        return functions["cast"](a, dtype)
    if not holds_tensor(a):
        return np.asarray(a, dtype)
    return functions[np.stack]([_stacked(b, dtype) for b in a])


def _copied(copy: Any) -> bool | None:
    """Return whether a copy is asked for; None where one is made if it is needed."""
    if isinstance(copy, Enum):  # NumPy has names for the three answers, too
        copy = copy.value if type(copy.value) is bool else None
    return None if copy is None else bool(copy)


@replaces(np.array, within="nested")
def _array(
    object: Any, dtype: Any = None, *, copy: Any = True, order: Any = "K", subok: bool = False,
    like: Any = None, **options: Any,
) -> Any:  # fmt: skip
    return array_of(object, dtype, copy=_copied(copy), order=order, **options)


@replaces(np.asarray, np.asanyarray, within="nested")
def _asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None,
    like: Any = None,
) -> Any:  # fmt: skip
    if device is not None:
        np.asarray(0, device=device)  # raises for others than the CPU
    return array_of(a, dtype, copy=_copied(copy), order=order, what="np.asarray")


@replaces(np.ascontiguousarray, within="nested")
def _ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return array_of(a, dtype, order="C", ndmin=1, what="np.ascontiguousarray")


@replaces(np.asfortranarray, within="nested")
def _asfortranarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return array_of(a, dtype, order="F", what="np.asfortranarray")


@replaces(np.asarray_chkfinite, within="nested")
def _asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    result = array_of(a, dtype, order=order, what="np.asarray_chkfinite")
    if result.dtype.kind in CONTINUOUS and not bool(np.all(np.isfinite(result))):
        np.asarray_chkfinite(np.nan)  # raises
    return result


@replaces(np.require, within="nested")
def _require(a: Any, dtype: Any = None, requirements: Any = None, *, like: Any = None) -> Any:
    """Of the requirements, those about the order and about owning the memory change a tensor."""
    wanted = np.require(np.zeros((2, 2)), None, requirements).flags  # raises for unknown ones
    names = {name.upper() for name in requirements or ()}
    order = None
    if names & {"F", "FORTRAN", "F_CONTIGUOUS"}:
        order = "F"
    elif names & {"C", "CONTIGUOUS", "C_CONTIGUOUS"} and wanted.c_contiguous:
        order = "C"
    result = array_of(a, dtype, order=order, what="np.require")
    if names & {"O", "OWNDATA"} and isinstance(result, Tensor) and result.base is not None:
        return functions[np.copy](result, order or "A")
    return result


@replaces(np.fromiter, within="anywhere")
def _fromiter(iter: Iterable[Any], dtype: Any, count: Any = -1, *, like: Any = None) -> Any:
    items = list(iter if count < 0 else islice(iter, count))
    if not holds_tensor(items):
        return np.fromiter(items, dtype, count)
    probe = np.fromiter(_standing(items), dtype, count)  # raises
    return array_of(items, probe.dtype, what="np.fromiter")


@replaces(np.full, within="nested")
def _full(
    shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None,
    like: Any = None,
) -> Any:  # fmt: skip
    sizes = np.empty(_sizes(shape), bool).shape
    if not holds_tensor(fill_value):
        return np.full(sizes, fill_value, dtype, order, device=device)
    fill = array_of(fill_value, dtype, what="np.full")
    np.copyto(np.empty(sizes, bool), np.zeros(fill.shape, bool))  # raises
    return functions[np.copy](np.broadcast_to(fill, sizes), order)


def _sizes(shape: Any) -> Any:
    """Return a shape as integers, which are consumed."""
    if isinstance(shape, Tensor):
        shape = plain_value(shape, "shape")
    if isinstance(shape, list | tuple) and holds_tensor(shape):
        return tuple(map(_size, shape))
    return shape


def _size(n: Any) -> Any:
    return n.__index__() if isinstance(n, Tensor) else n


def _of_sizes(original: Any) -> None:
    """Register a function of sizes, which are consumed."""

    def function(*args: Any, like: Any = None, **kwargs: Any) -> Any:
        return original(*map(_sizes, args), **{name: _sizes(a) for name, a in kwargs.items()})

    replaces(original, within="nested")(function)


for _original in (np.zeros, np.ones, np.empty, np.eye, np.identity, np.tri, np.indices):
    _of_sizes(_original)


@replaces(np.arange)
def _arange(
    *args: Any, dtype: Any = None, device: Any = None, like: Any = None, **ends: Any
) -> Any:
    """The number of values is consumed; each is differentiated by the first one and the step."""
    start, stop, step = _ends(args, ends)
    floats = any(isinstance(a, Tensor) and a.dtype.kind == "f" for a in (start, stop, step))
    kinds = [stand_in(a) if isinstance(a, Tensor) else a for a in (start, stop, step)]
    probe = np.arange(kinds[0] * 0, kinds[1] * 0, type(kinds[2])(1), dtype=dtype, device=device)
    if not floats or probe.dtype.kind != "f":
        plain = [plain_value(a, "arange") for a in (start, stop, step)]
        return np.arange(*plain, dtype=dtype, device=device)
    length = np.ceil((stop - start) / step)
    if not bool(np.isfinite(length)):
        np.arange(*(plain_value(a, "arange") for a in (start, stop, step)))  # raises
    length = as_number(length, int)
    if length <= 0:
        return probe
    first = functions["cast"](start, probe.dtype) if isinstance(start, Tensor) else start
    second = start + step
    second = functions["cast"](second, probe.dtype) if isinstance(second, Tensor) else second
    return first + np.arange(length, dtype=probe.dtype) * (second - first)


def _ends(args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Sort out the arguments of ``arange``."""
    if len(args) == 1 and "stop" not in named and "start" not in named:
        args = (0, *args)
    elif not args and "start" not in named:
        named = {"start": 0, **named}
    bound = dict(zip(("start", "stop", "step"), args)) | named
    step = bound.get("step")
    return bound["start"], bound["stop"], 1 if step is None else step


# Scalars ---------------------------------------------------------------------------------------------


def _scalar_type(kind: type[np.generic]) -> None:
    """Register a class of NumPy's scalars, which makes scalars, and arrays of what is longer."""
    name = f"np.{kind.__name__}"

    def function(*args: Any, **kwargs: Any) -> Any:
        if len(args) != 1 or kwargs or not issubclass(kind, np.bool | np.number):
            return kind(*(_plain(a, name) for a in args), **kwargs)
        (value,) = args
        if not isinstance(value, Tensor) or value.shape:
            return array_of(value, kind, copy=True, what=name)
        new = functions[np.copy](value) if value.dtype == kind else cast_to(value, kind, name)
        return new if isinstance(new, Tensor) else new[()]

    replaces(kind, within="nested")(function)


for _kind in dict.fromkeys(np.sctypeDict.values()):
    _scalar_type(_kind)


# Questions -------------------------------------------------------------------------------------------


@replaces(np.isscalar)
def _isscalar(element: Any) -> bool:
    return stands_for(element) is not np.ndarray


@replaces(np.iterable)
def _iterable(y: Any) -> bool:
    return bool(y.shape)


class Broadcast:
    """What ``np.broadcast`` says about shapes; its elements are not iterated over."""

    __slots__ = ("_of_shapes",)

    def __init__(self, *args: Any) -> None:
        shapes = (np.shape(_standing(a)) for a in args)
        self._of_shapes = np.broadcast(*(np.broadcast_to(np.int8(0), s) for s in shapes))

    def __getattr__(self, name: str) -> Any:
        if name in ("iters", "index", "reset", "__next__"):
            raise AttributeError(
                f"np.broadcast of tensors has no {name!r}; use np.broadcast_arrays"
            )
        return getattr(self._of_shapes, name)


replaces(np.broadcast, within="nested")(Broadcast)


@replaces(np.ndenumerate, within="nested")
def _ndenumerate(arr: Any) -> Iterable[tuple[tuple[int, ...], Any]]:
    arr = array_of(arr)
    return ((i, arr[i]) for i in np.ndindex(arr.shape))


# What keeps plain arrays only ------------------------------------------------------------------------


def _refuses(*originals: Any) -> None:
    """Register what takes plain values: a derivative that would be lost is refused."""
    for original in originals:
        module = original.__module__.partition(".ma.")[1]
        name = f"np{module or '.'}{original.__name__}"

        def function(*args: Any, original: Any = original, name: str = name, **kwargs: Any) -> Any:
            return original(
                *(_plain(a, name) for a in args), **{k: _plain(a, name) for k, a in kwargs.items()}
            )

        replaces(original, within="nested")(function)


_refuses(np.matrix, np.asmatrix, np.bmat, np.nditer)


#: What functions of ``numpy.ma`` say of an array without a mask.
_UNMASKED: dict[str, Any] = {
    "filled": lambda a, fill_value=None: array_of(a),
    "getdata": lambda a, subok=True: array_of(a),
    "getmask": lambda a: np.ma.nomask,
    "getmaskarray": lambda arr: np.zeros(arr.shape, bool),
    "is_masked": lambda x: False,
    "isMaskedArray": lambda x: False,
}


def find_masked(function: Any) -> Any:
    """Register a function of ``numpy.ma``, which is loaded when it is used, and return it, or None."""
    module = getattr(function, "__module__", None)
    if not isinstance(module, str) or not module.startswith("numpy.ma."):
        return None
    known = _UNMASKED.get(getattr(function, "__name__", ""))
    if known is None:
        _refuses(function)
    else:
        replaces(function)(known)
    return functions[function]


Registry.finders.append(find_masked)
