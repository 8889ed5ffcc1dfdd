"""Methods that convert: those of tensors inside traced code, and those of arrays that meet tensors.

Imperative tensors give constants by ``item``, ``tolist``, ``copy`` and ``astype``, as documented. Where
code is traced, and in functions that are adapted, what these methods give stays traced.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tapegrad.tape.array.numbers import as_number, stands_for
from tapegrad.tape.array.replacements import replaces
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import functions, implements

__all__: list[str] = []


# Of tensors ------------------------------------------------------------------------------------------


@implements("item")
@replaces(Tensor.item)
def _item(tensor: Tensor, *args: Any) -> Any:
    """The element as a number: a float stays traced."""
    shape = tensor.shape
    if args:
        index = args[0] if len(args) == 1 and isinstance(args[0], tuple) else args
        at = np.arange(np.prod(shape, dtype=int)).reshape(shape).item(*index)  # raises
        element = functions[np.ravel](tensor)[at]
    else:
        np.broadcast_to(np.int8(0), shape).item()  # raises for several elements
        element = functions[np.reshape](tensor, ())
    return _number(element)


@implements("tolist")
@replaces(Tensor.tolist)
def _tolist(tensor: Tensor) -> Any:
    """The elements as numbers in nested lists: floats and complex numbers stay traced."""
    if tensor.dtype.kind not in CONTINUOUS:
        return tensor.consume("tolist").tolist()
    if not tensor.shape:
        return _number(tensor)
    return [_tolist(tensor[i]) for i in range(tensor.shape[0])]


def _number(element: Tensor) -> Any:
    return as_number(element, {"f": float, "b": bool, "c": complex}.get(element.dtype.kind, int))


@replaces(Tensor.copy)
def _copy(tensor: Tensor, order: str = "C", *, constant: bool | None = None) -> Tensor:
    if constant is not None and not tensor.live_trace.level:
        return tensor.copy(order, constant=constant)
    return functions[np.copy](tensor, order)  # type: ignore[no-any-return]


@replaces(copy.copy, Tensor.__copy__, Tensor.__deepcopy__)
def _copied(tensor: Tensor, memo: dict[int, Any] | None = None) -> Any:
    """A copy that stays traced; numbers do not change, and are their own copies."""
    if not isinstance(tensor, Tensor) or stands_for(tensor) is not np.ndarray:
        return tensor
    new = functions[np.copy](tensor, "K")
    if memo is not None:
        memo[id(tensor)] = new
    return new


@replaces(Tensor.astype)
def _astype(
    tensor: Tensor, dtype: Any, casting: Any = "unsafe", copy: bool = True, **options: Any
) -> Tensor:
    if options.get("constant") is not None or np.dtype(dtype).kind not in CONTINUOUS:
        return tensor.astype(dtype, casting, copy, **options)
    if casting in ("C", "F", "A", "K"):
        casting = "unsafe"
    return functions["astype"](tensor, dtype, casting, copy)  # type: ignore[no-any-return]


# Of arrays -------------------------------------------------------------------------------------------


def _method(name: str) -> None:
    """Let a method of a plain array that is given tensors be the method of a constant tensor."""
    original = getattr(np.ndarray, name)

    def function(array: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(array, Tensor):
            array = Tensor(array, constant=True, copy=False)
        return getattr(array, name)(*args, **kwargs)

    replaces(original, within="nested")(function)


for _name in (
    "all", "any", "argpartition", "choose", "clip", "compress", "cumprod", "cumsum", "dot", "max",
    "mean", "min", "prod", "repeat", "reshape", "searchsorted", "std", "sum", "take", "trace", "var",
):  # fmt: skip
    _method(_name)
