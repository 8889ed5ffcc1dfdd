"""The gate: what the image of a function asks about all that it reads, runs and changes.

The methods below are asked by the code of images, as :mod:`tapegrad.tape.python.treatments` writes
them, from the user's frame and with what lies on its stack. The answers of this class change nothing
and note nothing. :class:`~tapegrad.tape.python.imaging.Imaging` calls all that is written in Python as
its image, too; transformations derive from that, and override what they want to know or to change.

Methods that are asked about something which may run the user's code answer a *thunk*: what to call,
without arguments, from the user's frame. :func:`~tapegrad.tape.python.thunks.constant` makes one of a
value. A thunk that calls a function of the user's must be a function of C's (a ``partial`` of an image,
a :func:`~tapegrad.tape.python.thunks.chain` of several), so that no frame of ours lies in between.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar, copy_context
from functools import partial
from types import CellType, FunctionType
from typing import Any

from tapegrad.tape.python import familiar
from tapegrad.tape.python.debugging import pass_over
from tapegrad.tape.python.operators import BINARY, COMPARE, CONVERT, UNARY
from tapegrad.tape.python.thunks import Thunk, constant

__all__ = ["Gate", "current"]


class Gate:
    """A gate that answers what Python would do.

    Gates nest: of several transformations, the innermost that runs is asked. A gate that is made
    while another is asked finds that one by ``current.get()``, and passes on what it wants to know.
    Each thread has a current gate of its own, and so has each context of asynchronous code.
    """

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the image of `function`; while it runs, this is the gate that images ask."""
        if sys.gettrace() is not None:
            pass_over(self)
        token = current.set(self)
        try:
            what = self.callee(function)
            if what is None:
                return self.call_with(function, args, kwargs)()
            return what(*args, **kwargs)
        finally:
            current.get().settle()
            current.reset(token)

    def settle(self) -> None:
        """Do what was put off: the function has ended."""

    def elsewhere(self) -> Context:
        """Return the context of a thread that begins now: code there is run as it is."""
        context = copy_context()
        context.run(current.set, Gate())
        return context

    def gives(self, image: Any) -> None:
        """An image is given to code of C's that calls it."""

    def watch(self) -> None:
        """Begin to be asked, in light images, about all attributes, items, operators, iterations."""
        familiar.watch(self)

    def unwatch(self) -> None:
        """Undo one `watch`."""
        familiar.unwatch(self)

    # Calls

    def callee(self, function: Any) -> Any:
        """Return what to call in place of `function`; None if that depends on the arguments."""
        return function

    def call_with(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        """Answer to ``function(*args, **kwargs)`` when `callee` has answered None."""
        if not callable(function):  # raises when it is called, which is done from the user's frame
            return partial(operator.call, function, *args, **kwargs)
        return partial(function, *args, **kwargs)

    def call(self, function: Any, args: tuple[Any, ...], names: tuple[str, ...]) -> Thunk:
        """Do `call_with`; the last of `args` are those of the keywords `names`."""
        if not names:
            return self.call_with(function, args, {})
        count = len(args) - len(names)
        return self.call_with(function, args[:count], dict(zip(names, args[count:])))

    def call_spread(
        self, function: Any, args: list[Any], kwargs: Mapping[str, Any] | None
    ) -> Thunk:
        """Do `call_with` for a call with ``*args`` or ``**kwargs``."""
        return self.call_with(function, tuple(args), dict(kwargs or ()))

    def take(self, value: Any) -> Any:
        """Return what goes on in place of a call's result."""
        return value

    def raised(self, exception: Any) -> Thunk:
        """Answer to ``raise exception``: the exception, of a class an instance of it."""
        return constant(exception)

    # Loads

    def before_name(self, name: str) -> None:
        """A global, builtin or class-body name is about to be looked up, which may not be there."""

    def read_name(self, value: Any, name: str) -> Any:
        """Return what goes on in place of the value of a global, builtin or class-body name."""
        return value

    def before_cell(self, cell: CellType, name: str) -> None:
        """An outer function's variable is about to be read from its cell, which may be empty."""

    def read_cell(self, value: Any, cell: CellType, name: str) -> Any:
        """Return what goes on in place of the value of an outer function's variable."""
        return value

    def attribute(self, owner: Any, name: str) -> Thunk:
        """Answer to ``owner.name``."""
        return partial(getattr, owner, name)

    def super_attribute(
        self, function: Any, cls: Any, value: Any, name: str, explicit: bool
    ) -> Thunk:
        """Answer to ``super().name``, where `function` is what the name ``super`` stands for."""
        owner = function(cls, value) if explicit or function is super else function()
        return self.attribute(owner, name)

    def item(self, owner: Any, key: Any) -> Thunk:
        """Answer to ``owner[key]``; slices are keys, too."""
        return partial(operator.getitem, owner, key)

    # Operators

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        """Answer to ``a + b`` for the symbol ``+``, to ``a += b`` for ``+=``."""
        return partial(BINARY[symbol], a, b)

    def unary(self, value: Any, symbol: str) -> Thunk:
        """Answer to ``-value``, ``+value``, ``~value``."""
        return partial(UNARY[symbol], value)

    def compare(self, a: Any, b: Any, symbol: str) -> Thunk:
        """Answer to ``a < b``."""
        return partial(COMPARE[symbol], a, b)

    def is_(self, a: Any, b: Any) -> bool:
        """Return whether ``a is b``."""
        return a is b

    def contains(self, item: Any, container: Any) -> Thunk:
        """Answer to ``item in container``."""
        return partial(operator.contains, container, item)

    def truth(self, value: Any) -> Any:
        """Return what is tested in place of `value`."""
        return value

    def asked(self, value: Any, names: tuple[str, ...]) -> None:
        """Code of C's is about to ask a value for the first of these special methods that it has."""

    # Protocols

    def iterate(self, value: Any) -> Any:
        """Return what is iterated over, once, in place of `value`: by loops, ``*``, unpacking."""
        return value

    def loop(self, value: Any, loop: Any, cells: Any) -> Any:
        """Return what a loop iterates over in place of `value`; `loop` says what its body is."""
        return self.iterate(value)

    def looped(self) -> Any:
        """Return what the names of a loop hold, some of whose trips the gate has done; else None."""
        return None

    def turn(self, loop: Any, cells: Any) -> Any:
        """A ``while`` loop begins a trip; answers as `looped`."""
        return None

    def delegate(self, value: Any) -> Any:
        """Return what ``yield from`` iterates over in place of `value`."""
        return value

    def mapping(self, value: Any) -> Any:
        """Return what ``**`` unpacks in place of `value`."""
        return value

    def enter(self, manager: Any) -> Any:
        """Return what ``with`` enters in place of `manager`."""
        return manager

    def convert(self, value: Any, kind: str) -> Thunk:
        """Answer to the conversion ``!s``, ``!r`` or ``!a`` of an f-string."""
        return partial(CONVERT[kind], value)

    def format(self, value: Any, spec: str) -> Thunk:
        """Answer to ``format(value, spec)``, of f-strings and the function."""
        return partial(format, value, spec)

    # Stores

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        """Answer to ``owner.name = value``."""
        return partial(setattr, owner, name, value)

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        """Answer to ``owner[key] = value``."""
        return partial(operator.setitem, owner, key, value)

    def store_name(self, value: Any, name: str) -> Any:
        """Return what is stored in place of `value` under a name that is declared global."""
        return value

    def store_cell(self, value: Any, cell: CellType, name: str) -> Any:
        """Return what is stored in place of `value` in an outer function's variable."""
        return value

    def delete_attribute(self, owner: Any, name: str) -> Thunk:
        """Answer to ``del owner.name``."""
        return partial(delattr, owner, name)

    def delete_item(self, owner: Any, key: Any) -> Thunk:
        """Answer to ``del owner[key]``."""
        return partial(operator.delitem, owner, key)

    def delete_name(self, name: str) -> None:
        """A name that is declared global is about to be deleted."""

    def delete_cell(self, cell: CellType, name: str) -> None:
        """An outer function's variable is about to be deleted."""

    # What the function makes and takes in

    def made(self, value: Any) -> Any:
        """Return what goes on in place of a list, tuple, set, dict or function made by a display."""
        return value

    def comprehension(self, function: FunctionType) -> FunctionType:
        """Return what runs in place of a comprehension or generator expression."""
        return function

    def hashed(self, key: Any) -> None:
        """A key is about to go into a set or dict that a comprehension makes."""

    def received(self, value: Any) -> Any:
        """Return what goes on in place of the value that a generator is sent at a ``yield``."""
        return value

    def before_import(self, level: int, names: tuple[str, ...] | None, name: str) -> None:
        """A module is about to be imported."""

    def imported(self, module: Any, name: str) -> Any:
        """Return what goes on in place of an imported module."""
        return module

    def imported_from(self, value: Any, module: Any, name: str) -> Any:
        """Return what goes on in place of a name imported from a module."""
        return value

    # Patterns of ``match``, whose instructions run as they are

    def match(self, subject: Any, instruction: str) -> None:
        """A pattern asks whether `subject` is a sequence or mapping, or for its length."""

    def caught(self, exception: Any, kinds: Any) -> None:
        """``except kinds`` is about to ask whether an exception is one of these."""

    def match_keys(self, subject: Any, keys: tuple[Any, ...]) -> None:
        """A pattern is about to read the values of these keys."""

    def match_class(self, subject: Any, cls: Any, names: tuple[str, ...], count: int) -> None:
        """A pattern is about to read `count` positional and the named attributes of an instance."""


#: The gate that images ask. One that is left behind when its transformation ends runs as its function.
current: ContextVar[Gate] = ContextVar("current", default=Gate())  # noqa: B039
