"""The gate of the transformations: what user code reads, calls and stores while it is traced.

- What asks no protocol (``float``, ``math.sin``, ``np.asarray``) is replaced by what the registry holds.
- Traced values that are stored into plain arrays promote these; from then on every operation sees the
  tensors that stand for them.
- Arrays among the arguments are copied when they are written into.
- Traced values that are stored into other objects are exchanged for plain ones when the trace ends.
"""

from __future__ import annotations

import operator
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any, ClassVar

import numpy as np

from tapegrad.tape.array.flat import Flat
from tapegrad.tape.array.floats import Float, known_number
from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.replacements import (
    Replacement,
    called_for,
    holds_tensor,
    replacement_of,
    wants_arguments,
)
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.errors import refused
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.python import special
from tapegrad.tape.python.array_memory import Memory
from tapegrad.tape.python.calls import takes_numbers
from tapegrad.tape.python.compiled import is_compiled, written_function
from tapegrad.tape.python.exchange import Exchange, explain_refusal
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.images import Images
from tapegrad.tape.python.lending import WRITERS, written_by
from tapegrad.tape.python.operators import BINARY, CONVERT
from tapegrad.tape.python.promotion import Promoted
from tapegrad.tape.python.rewriting import LIGHT, Level
from tapegrad.tape.python.sparse_operands import product
from tapegrad.tape.python.thunks import Thunk, chain, constant
from tapegrad.tape.python.walks import walked
from tapegrad.tape.python.wrapped import of_lists, of_objects

__all__ = ["Reader"]

_DISPATCHED = type(np.sum)
_UNBOUND = (MethodDescriptorType, WrapperDescriptorType)
_CONTAINERS = (list, dict, set, deque)
#: Python and C functions that look at no elements of the arrays that they are given.
_BLIND: frozenset[Any] = frozenset((len, id, isinstance, type, callable, hasattr, super))


class Reader(Memory):
    """What is read, called and stored in one run of a function under a transformation.

    Parameters
    ----------
    trace : Trace or None
        The trace of the transformation; None for imperative code.
    arguments : nest
        Arrays in it belong to the caller: they are copied when they are written into.
    originals : iterable of pairs
        What the function gets, and what the caller has for it.
    """

    traces = True
    images: ClassVar[Images] = Images(Level("light", LIGHT.always - {"results"}, LIGHT.watched))

    def __init__(self, trace: Any, arguments: Any = (), originals: Any = ()) -> None:
        super().__init__(trace, arguments)
        #: What stands for objects of the caller's, and these, by id.
        self.originals = {id(given): (given, own) for given, own in originals}
        self._exchange: Exchange | None = None
        #: What was raised in threads, whose ends nobody may look at.
        self.refused: list[BaseException] = []
        #: What promoted arrays held before, if the trace has nothing to leave in them.
        self._earlier: dict[int, Tensor] = {}
        if self.promotions is not None and trace is not None and not trace.lowers:
            self._earlier = {id(t): t.snapshot() for _, _, t in self.promotions}

    @property
    def exchange(self) -> Exchange:
        """The places into which traced values were stored."""
        if self._exchange is None:
            self._exchange = Exchange()
        return self._exchange

    def elsewhere(self) -> Context:
        context = super().elsewhere()
        context.run(refused.set, self.refused)
        return context

    def begin(self, function: Any) -> None:
        """A function is about to be run that the transformation was given."""

    def rebuilt(self, arguments: Any) -> None:
        """Nests that the transformation has put together are about to be given to it."""

    # A run ---------------------------------------------------------------------------------------

    def read(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run the image of a function, and clean up after it."""
        self.begin(function)
        failed = False
        try:
            result = self.run(function, *args, **kwargs)
            if self.refused:
                raise self.refused[0]
            # A nest of its own: what the user keeps of it is exchanged.
            if self._exchange is None and self.promotions is None:
                return result
            # What is returned is no reference to an array from outside (see `_lower`).
            result = self.seen(result)
            return result  # noqa: RET504
        except BaseException as error:
            if self.outer is None:
                explain_refusal(error)
            self.exchange.clean_exception(error, self._plain)
            failed = True
            raise
        finally:
            outside = self._finish()
            if outside is not None and not failed:
                self.trace.stored_outside(outside)

    def seen(self, result: Any) -> Any:
        """Return a result in which tensors stand for promoted arrays, as these are now."""
        leaves, structure = flatten(result)
        shown = map(self.see, leaves)
        return unflatten(structure, [s.snapshot() if _is_promoted(s) else s for s in shown])

    def _finish(self) -> tuple[int, ...] | None:
        """Clean up; return the shape of an array from outside that holds what is lost now, if any."""
        outside = None
        if self._exchange is not None:
            self._exchange.finish(self._plain)
            if self.outer is not None:
                self._exchange.let_go()
                self.outer.exchange.join(self._exchange)
            self._exchange = None  # what it holds may be all that keeps an array of the function's
        if self.promotions is not None:
            trace = self.trace
            self.promotions.forget_views()
            for owner, layout, tensor in self.promotions:
                if trace is not None and not trace.lowers and tensor.live_trace is trace:
                    # The table, its layout, its iteration and the names here; views count, too.
                    held = 5 + self.promotions.flats_of(owner)
                    if sys.getrefcount(owner) > held and id(owner) not in self.lent:
                        outside = owner.shape
                    known = self._earlier.get(id(tensor))
                    tensor.adopt(Tensor(layout, constant=True) if known is None else known)
                else:
                    self._lower(owner, layout, tensor)
            if self.outer is None:
                self.unwatch()
        return outside

    def _lower(self, owner: Any, layout: Any, tensor: Tensor) -> None:
        """Give a promoted array what it holds on the level below."""
        if self.outer is None:
            tensor.__class__ = Tensor
        trace = self.trace
        if trace is not None and tensor.live_trace is trace:
            below = tensor.value
            tensor.adopt(below if isinstance(below, Tensor) else Tensor(below, constant=True))
        if self.outer is None and id(owner) not in self.lent and owner.flags.writeable:
            value = tensor
            while isinstance(value, Tensor):
                value = value.value
            layout[...] = value

    def _plain(self, tensor: Tensor) -> Any:
        """Return what a traced value is on the level below; others are left as they are.

        In imperative code tensors are what the user keeps, and Python's floats are floats.
        """
        trace = self.trace
        if trace is None:
            is_float = isinstance(tensor, Float) and not tensor.live_trace.level
            return known_number(tensor) if is_float else tensor
        if tensor.live_trace is not trace:
            return tensor
        below = tensor.value
        if stands_for(tensor) is float and not isinstance(below, Tensor) and not below.shape:
            return float(below)
        if isinstance(below, Tensor) or not trace.appearance.stands_for_number(tensor):
            return below
        return below[()]

    # Calls ---------------------------------------------------------------------------------------

    def callee(self, function: Any) -> Any:
        kind = type(function)
        if kind is np.ufunc:
            return None if self.promotions is not None or self.lent else function
        if kind is MethodType and function.__func__ in self.images.own and self.promotions is None:
            return function
        if kind is BuiltinFunctionType or kind is type or kind is _DISPATCHED:
            if kind is BuiltinFunctionType and isinstance(
                function.__self__, (np.ndarray, np.ufunc, *_CONTAINERS)
            ):
                return None
            found = functions.find(function)
            if found is not None and found is not function:
                if function is iter or (self.promotions is not None and function not in _BLIND):
                    return None
                if wants_arguments(found) or (function in WRITERS and self.lent):
                    return None
                if type(found) is not Replacement:
                    return of_lists(function)
                return of_objects(function, found) if takes_numbers(function) else found
        elif kind is MethodWrapperType or kind in _UNBOUND:
            if function.__objclass__ is np.ndarray:
                return None
        elif kind is FunctionType:
            found = replacement_of(function)
            if found is not None:
                return None if self.promotions is not None or wants_arguments(found) else found
        elif kind is MethodType and type(function.__self__).__name__ in _GENERATORS:
            self.draw()
            found = functions.find(function.__func__)
            if found is not None:
                return None if self.promotions is not None else MethodType(found, function.__self__)
        elif kind is np.vectorize:
            return partial(functions.find(np.vectorize.__call__), function)
        answer = super().callee(function)
        if kind is MethodType and answer is function and type(function.__self__) is Tensor:
            self.images.own.add(function.__func__)
        if answer is function and (self.promotions is not None or is_compiled(function)):
            return None
        return answer

    def is_traced_number(self, value: Any) -> bool:
        return isinstance(value, Tensor) and not value.shape and value.dtype == np.float64

    def draw(self) -> None:
        """Tell all traces that random numbers are drawn."""
        reader: Reader | None = self
        while reader is not None:
            if reader.trace is not None:
                reader.trace.draw()
            reader = reader.outer

    def call(self, function: Any, args: tuple[Any, ...], names: tuple[str, ...]) -> Thunk:
        computes = type(function) is np.ufunc and not names and len(args) <= function.nin
        if computes and self.promotions is None:  # nothing is written
            return partial(function, *args)
        return super().call(function, args, names)

    def call_with(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        if type(function) in _UNBOUND and args and isinstance(args[0], np.ndarray):
            function, args = function.__get__(args[0]), args[1:]
        owner = getattr(function, "__self__", None)
        if isinstance(owner, _CONTAINERS) and type(function) is BuiltinFunctionType:
            if holds_tensor(args) or (kwargs and holds_tensor(kwargs)):
                self.exchange.note(owner)
            return super().call_with(function, args, kwargs)
        if isinstance(owner, np.ndarray) and type(function) in (
            BuiltinFunctionType,
            MethodWrapperType,
        ):
            return self._method_of_array(function, owner, args, kwargs)
        written = written_by(function, args, kwargs, self.lent) if self.lent else None
        if written is not None:
            return self._into_lent(written, function, args, kwargs)
        if self.promotions is not None and self._sees(function):
            args = tuple(self.see_all(a) for a in args)
            kwargs = {name: self.see_all(a) for name, a in kwargs.items()}
        if type(function) is BuiltinFunctionType or type(function) is type:
            functions.find(function)  # loads what is known of it
        chosen = called_for(function, args, kwargs)
        if chosen is not function:
            found: Any = functions.get(function)
            if not wants_arguments(found):
                return partial(chosen, *args, **kwargs)
            if found.plain is None:
                return partial(chosen, *map(self.iterate, args), **kwargs)
            named = {name: found.plain(a) for name, a in kwargs.items()}
            return super().call_with(function, tuple(map(found.plain, args)), named)
        if is_compiled(function) and holds_tensor((args, kwargs)):
            return partial(self.image(written_function(function)), *args, **kwargs)
        return super().call_with(function, args, kwargs)

    def _into_lent(
        self, array: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Thunk:
        """Let a function write into the tensor that stands for an array of the caller's."""
        tensor = self.promote(array)
        args = tuple(tensor if a is array else self.see_all(a) for a in args)
        kwargs = {name: self.see_all(a) for name, a in kwargs.items()}
        call = partial(function, *args, **kwargs)
        return chain(call, lambda result: constant(array if result is tensor else result))

    def _sees(self, function: Any) -> bool:
        """Whether a function gets tensors in place of promoted arrays: all but images do."""
        if function in _BLIND if type(function) in (BuiltinFunctionType, type) else False:
            return False
        plain = function.__func__ if type(function) is MethodType else function
        return type(plain) is not FunctionType or self.image(plain) is plain

    def _method_of_array(
        self, method: Any, array: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Thunk:
        """Answer to a method of an array; it is a tensor's where values are traced."""
        name = method.__name__
        if name == "__setitem__" and len(args) == 2:
            return self.store_item(args[1], array, args[0])
        args = tuple(self.see_all(a) for a in args)
        kwargs = {n: self.see_all(a) for n, a in kwargs.items()}
        traced = holds_tensor((args, kwargs))
        if name in ("fill", "put", "sort", "partition") and self.is_written_apart(
            array, args[-1] if traced else None
        ):
            return partial(getattr(self.promote(array), name), *args, **kwargs)
        seen = self.see(array)
        if traced and seen is array:
            seen = Tensor(array, constant=True, copy=False)
        if seen is array:
            return partial(method, *args, **kwargs)
        return partial(getattr(seen, name), *args, **kwargs)

    # Operators and loads: asked once an array is promoted; updates always -------------------------

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        if symbol[-1] == "=" and type(a) is np.ndarray:
            b = self.see(b)
            if self.is_written_apart(a, b):
                update = partial(BINARY[symbol], self.promote(a), b)
                return chain(update, lambda _: constant(a))
            if isinstance(b, Tensor) and self.trace is not None:  # a constant that nobody traces
                return super().binary(a, b.value, symbol)
        if symbol[0] == "%" and type(a) in (str, bytes):
            formats = type(a).__mod__
            functions.find(formats)  # loads what is known of it
            return self.call_with(formats, (a, self.see_all(b)), {})
        a, b = self.see(a), self.see(b)
        return product(self, a, b, symbol) or super().binary(a, b, symbol)

    def sparse_operand(self, matrix: Any) -> Any:
        """Return what is multiplied in place of a sparse matrix of SciPy's."""
        return matrix

    def unary(self, value: Any, symbol: str) -> Thunk:
        return super().unary(self.see(value), symbol)

    def compare(self, a: Any, b: Any, symbol: str) -> Thunk:
        return super().compare(self.see(a), self.see(b), symbol)

    def is_(self, a: Any, b: Any) -> bool:
        return a is b or self._own(a) is self._own(b)

    def _own(self, value: Any) -> Any:
        """Return what the caller has for a value, if it stands for something of the caller's."""
        value = self.see(value)
        reader: Reader | None = self
        while reader is not None:
            known = reader.originals.get(id(value))
            if known is None and isinstance(value, Tensor):
                known = value.live_trace.appearance.originals.get(id(value))
            value, reader = (value, reader.outer) if known is None else (known[1], self)
        return value

    def contains(self, item: Any, container: Any) -> Thunk:
        return super().contains(self.see(item), self.see(container))

    def attribute(self, owner: Any, name: str) -> Thunk:
        return super().attribute(self.see(owner), name)

    def item(self, owner: Any, key: Any) -> Thunk:
        owner, key = self.see(owner), self.see_all(key)
        method = special.written(type(owner), "__getitem__")
        if method is not None and replacement_of(method) is not None:
            return partial(called_for(method, (owner, key)), owner, key)
        return super().item(owner, key)

    def truth(self, value: Any) -> Any:
        return super().truth(self.see(value))

    def iterate(self, value: Any) -> Any:
        return super().iterate(walked(self.see(value)))

    def delegate(self, value: Any) -> Any:
        return super().delegate(walked(self.see(value)))

    def convert(self, value: Any, kind: str) -> Thunk:
        value = self.see(value)
        if isinstance(value, Tensor):
            return self.call_with(CONVERT[kind], (value,), {})
        return super().convert(value, kind)

    def format(self, value: Any, spec: str) -> Thunk:
        value = self.see(value)
        if isinstance(value, Tensor):
            return self.call_with(format, (value, spec), {})
        return super().format(value, spec)

    # Stores --------------------------------------------------------------------------------------

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        is_flat = type(owner) is np.flatiter
        if isinstance(owner, (Tensor, Flat)):
            key, value = self.see_all(key), self.see_all(value)
        elif is_flat or isinstance(owner, np.ndarray):
            key, value = self.see_all(key), self.see_all(value)
            array: Any = owner.base if is_flat else owner
            if self.is_written_apart(array, value, key):
                tensor = self.promote(array)
                return partial(operator.setitem, Flat(tensor) if is_flat else tensor, key, value)
        elif isinstance(owner, _CONTAINERS) and holds_tensor((key, value)):
            self.exchange.note(owner)
        return super().store_item(value, owner, key)

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        if isinstance(owner, Tensor):
            value = self.see_all(value)
        if isinstance(owner, np.ndarray):
            value = self.see_all(value)
            if name in ("flat", "real", "imag") and self.is_written_apart(owner, value):
                return partial(setattr, self.promote(owner), name, value)
        elif holds_tensor(value):
            self.exchange.note_attribute(owner, name)
        return super().store_attribute(value, owner, name)

    def store_cell(self, value: Any, cell: CellType, name: str) -> Any:
        if holds_tensor(value):
            self.exchange.note_cell(cell)
        return value

    def store_name(self, value: Any, name: str) -> Any:
        if holds_tensor(value):
            self.exchange.note_key(sys._getframe(1).f_globals, name)
        return value


def _seen_now(array: Any) -> Any:
    """Return what the gate that is at work sees in place of an array."""
    gate = current.get()
    return gate.see(array) if isinstance(gate, Reader) else array


functions["seen"] = _seen_now

#: The classes of NumPy's generators of random numbers, which need not be loaded.
_GENERATORS = frozenset({"Generator", "RandomState"})


def _is_promoted(value: Any) -> bool:
    """Whether a value stands for a plain array, or is a view of what does."""
    return isinstance(value, Tensor) and Promoted in (type(value), type(value.base))
