"""Functions apart from the tensors that they close over.

A solver of somebody's works on arrays, and closes over what it needs: a matrix, a tolerance. Where
such a value is traced, the solver must be called with the array that lies below it: so functions are
taken apart into the tensors in their closures, defaults and partial arguments, and put together with
others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.python.images import original
from tapegrad.tape.transforms.transformed import Transformed

__all__ = ["Closure"]


class Closure:
    """A function, and the tensors that it closes over.

    Attributes
    ----------
    function : callable
    tensors : list of Tensor
        Each once, in the order in which they are found.

    Examples
    --------
    >>> import tapegrad as tg
    >>> def scaled(scale):
    ...     return lambda x: x * scale
    >>> closure = Closure(scaled(tg.tensor(2.0)))
    >>> closure.tensors
    [Tensor(2.)]
    >>> closure.given([10.0])(1.0)
    10.0
    """

    __slots__ = ("function", "tensors")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.tensors: list[Tensor] = []

        def note(tensor: Tensor) -> Tensor:
            if not any(t is tensor for t in self.tensors):
                self.tensors.append(tensor)
            return tensor

        _exchanged(function, note, set())

    def given(self, values: Sequence[Any]) -> Callable[..., Any]:
        """Return the function with other values in place of its tensors; of an image, the user's own."""
        places = {id(tensor): value for tensor, value in zip(self.tensors, values)}
        return _exchanged(self.function, lambda t: places.get(id(t), t), set())  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


def _exchanged(value: Any, exchange: Callable[[Tensor], Any], within: set[int]) -> Any:
    """Return a value with others in place of the tensors in it; itself if there are none."""
    if isinstance(value, Tensor):
        return exchange(value)
    kind = type(value)
    if kind not in _PARTS or id(value) in within:  # a function may be in its own closure
        return value
    take, put = _PARTS[kind]
    old = take(value)
    new = [_exchanged(part, exchange, within | {id(value)}) for part in old]
    if all(a is b for a, b in zip(new, old)) and not (kind is FunctionType and is_image(value)):
        return value
    return put(value, new)


def is_image(function: FunctionType) -> bool:
    """Whether a function is the image of another."""
    return original(function.__code__) is not function.__code__


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


def _of_function(function: FunctionType) -> list[Any]:
    cells = map(_contents, function.__closure__ or ())
    named = function.__kwdefaults__ or {}
    return [*cells, *(function.__defaults__ or ()), *named.values()]


def _function(function: FunctionType, parts: list[Any]) -> FunctionType:
    cells, defaults = function.__closure__ or (), function.__defaults__ or ()
    given = iter(parts)
    closure = []
    for cell in cells:
        content, old = next(given), _contents(cell)
        closure.append(cell if content is old else CellType(content))
    new = FunctionType(
        original(function.__code__),
        function.__globals__,
        function.__name__,
        tuple(next(given) for _ in defaults) or None,
        tuple(closure) or None,
    )
    named = function.__kwdefaults__
    if named:
        new.__kwdefaults__ = {name: next(given) for name in named}
    return new


def _partial(value: partial[Any], parts: list[Any]) -> partial[Any]:
    count = 1 + len(value.args)
    return partial(parts[0], *parts[1:count], **dict(zip(value.keywords, parts[count:])))


#: Into which parts a value is taken, and how it is put together from others.
_PARTS: dict[type, tuple[Callable[[Any], list[Any]], Callable[[Any, list[Any]], Any]]] = {
    list: (list, lambda value, parts: parts),
    tuple: (list, lambda value, parts: tuple(parts)),
    dict: (lambda value: list(value.values()), lambda value, parts: dict(zip(value, parts))),
    FunctionType: (_of_function, _function),
    MethodType: (
        lambda value: [value.__func__, value.__self__],
        lambda value, parts: MethodType(*parts),
    ),
    partial: (lambda value: [value.func, *value.args, *value.keywords.values()], _partial),
    Transformed: (lambda value: [value.function], lambda value, parts: value.of(parts[0])),
}
