"""Exchange: traced values that user code keeps in its own objects become plain when the trace ends.

``losses.append(loss)`` or ``self.last = loss`` inside a differentiated function stores a traced value.
The gate notes each such store, with the object and the place in it; when the trace ends, the value that
is found there is replaced by what it stood for on the level below. Only noted places are looked at.

>>> import numpy as np, tapegrad as tg
>>> history, exchange = [], Exchange()
>>> def f(x):
...     history.append(x * x)
...     exchange.note(history)
...     result = x * 3.0
...     exchange.finish(lambda tensor: tensor.value[()])
...     return result
>>> _ = tg.grad(f)(2.0)
>>> history
[np.float64(4.0)]
"""

from __future__ import annotations

import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping, MutableSequence
from typing import Any

from tapegrad.tape.array.tensor import Tensor

__all__ = ["Exchange", "explain_refusal", "let_go"]

#: Code of C's says so of a value that it cannot take.
_NAMED = re.compile(r"\b(Tensor|Float)\b")
_NOTE = (
    "tapegrad followed the function and passed on a value that is traced, which this code does not "
    "take. Use what tapegrad differentiates in its place, or pass tg.stop_gradient(x) if no derivative "
    "is meant."
)

Plain = Callable[[Tensor], Any]


class Exchange:
    """The places into which one run of a function has stored traced values."""

    __slots__ = ("_attributes", "_cells", "_containers", "_keys", "finished")

    def __init__(self) -> None:
        #: What was stored into, by id; holding the objects keeps their ids their own.
        self._containers: dict[int, Any] = {}
        self._attributes: dict[tuple[int, str], Any] = {}
        self._cells: dict[int, types.CellType] = {}
        self._keys: dict[tuple[int, str], dict[str, Any]] = {}
        #: What the last `finish` has looked at.
        self.finished: tuple[dict[Any, Any], ...] = ()

    def note(self, container: Any) -> None:
        """Note that a list, dict, set or deque holds a traced value."""
        self._containers[id(container)] = container

    def note_attribute(self, owner: Any, name: str) -> None:
        """Note that an attribute is a traced value."""
        self._attributes[id(owner), name] = owner

    def note_cell(self, cell: types.CellType) -> None:
        """Note that a variable of an enclosing function is a traced value."""
        self._cells[id(cell)] = cell

    def note_key(self, space: dict[str, Any], name: str) -> None:
        """Note that a global variable is a traced value."""
        self._keys[id(space), name] = space

    def join(self, other: Exchange) -> None:
        """Note what another exchange has finished: values of the level below are traced here."""
        for mine, theirs in zip(self._tables(), other.finished):
            mine.update(theirs)
        other.finished = ()

    def _tables(self) -> tuple[dict[Any, Any], ...]:
        return self._containers, self._attributes, self._cells, self._keys

    def finish(self, plain: Plain) -> None:
        """Replace the traced values in all places that were noted.

        Parameters
        ----------
        plain : callable
            What a tensor stood for; the tensor itself if it belongs to another trace.
        """
        for container in self._containers.values():
            _replace_in(container, plain)
        for (_, name), owner in self._attributes.items():
            _replace_attribute(owner, name, plain)
        for cell in self._cells.values():
            try:
                cell.cell_contents = _exchanged(cell.cell_contents, plain)
            except ValueError:  # the variable was deleted
                continue
        for (_, name), space in self._keys.items():
            if name in space:
                space[name] = _exchanged(space[name], plain)
        self.finished = tuple(dict(table) for table in self._tables())
        for table in self._tables():
            table.clear()

    def let_go(self) -> None:
        """Forget what nobody else holds, after `finish`."""
        let_go(self.finished)

    def clean_exception(self, error: BaseException, plain: Plain) -> None:
        """Replace the traced values among the arguments of an exception, and of those it came from."""
        seen: set[int] = set()
        current: BaseException | None = error
        while current is not None and id(current) not in seen:
            seen.add(id(current))
            if any(isinstance(a, Tensor) for a in current.args):
                current.args = tuple(_exchanged(a, plain) for a in current.args)
            current = current.__cause__ or current.__context__


def let_go(tables: Iterable[dict[Any, Any]]) -> None:
    """Drop the objects that nobody holds but these tables."""
    places: dict[int, list[tuple[dict[Any, Any], Any]]] = {}
    objects: dict[int, Any] = {}
    for table in tables:
        for place, value in table.items():
            objects[id(value)] = value
            places.setdefault(id(value), []).append((table, place))
    dropped = True
    while dropped:  # an object may have held another one
        dropped = False
        for key in list(objects):
            value = objects[key]
            # Here it is held by a name, by the call and by `objects`.
            if sys.getrefcount(value) == len(places[key]) + 3:
                dropped = True
                del objects[key], value
                for table, place in places[key]:
                    del table[place]


def explain_refusal(error: BaseException) -> None:
    """Add to an error of code of C's, which has met a traced value, what can be done."""
    if isinstance(error, TypeError) and _NAMED.search(str(error)):
        error.add_note(_NOTE)


def _exchanged(value: Any, plain: Plain) -> Any:
    return plain(value) if isinstance(value, Tensor) else _inside(value, plain)


def _inside(value: Any, plain: Plain) -> Any:
    """Return an immutable nest without traced values; others have been noted where they were filled."""
    kind = type(value)
    if kind is not tuple and not (isinstance(value, tuple) and hasattr(value, "_fields")):
        return value
    children = [_exchanged(v, plain) for v in value]
    if all(a is b for a, b in zip(children, value)):
        return value
    return kind(*children) if hasattr(value, "_fields") else kind(children)


def _replace_in(container: Any, plain: Plain) -> None:
    """Replace the traced values in a container, in place, and in the order that they have."""
    if isinstance(container, MutableMapping):
        for key, value in list(container.items()):
            new = _exchanged(value, plain)
            if isinstance(key, Tensor):
                del container[key]
                container[plain(key)] = new
            elif new is not value:
                container[key] = new
    elif isinstance(container, set):
        for member in [m for m in container if isinstance(m, Tensor)]:
            container.discard(member)
            container.add(plain(member))
    elif isinstance(container, MutableSequence | deque):
        for i, value in enumerate(container):
            new = _exchanged(value, plain)
            if new is not value:
                container[i] = new


def _replace_attribute(owner: Any, name: str, plain: Plain) -> None:
    """Replace an attribute where it is kept: among those of the instance, or in a slot."""
    space = getattr(owner, "__dict__", None)
    if type(space) is dict:
        if name in space:
            space[name] = _exchanged(space[name], plain)
            return
    elif isinstance(space, types.MappingProxyType):  # a class
        if name in space:
            setattr(owner, name, _exchanged(space[name], plain))
        return
    slot = getattr(type(owner), name, None)
    if isinstance(slot, types.MemberDescriptorType):
        try:
            value = slot.__get__(owner)
        except AttributeError:
            return
        slot.__set__(owner, _exchanged(value, plain))
