"""Staging: a trace that computes with real values and keeps a linear list of what was done.

``jit`` stages a function to get the tape that it compiles. Everything that Python consumed of a
traced value is a guard on the tape: the tape stands for the function only while the guards hold.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.mutation import place
from tapegrad.tape.array.originals import Keeper
from tapegrad.tape.array.paths import mark_view, shares
from tapegrad.tape.array.tensor import Tensor, make, snapshot
from tapegrad.tape.core import reverse
from tapegrad.tape.core.location import Location, stores_item, user_location
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.pytree import tree_map
from tapegrad.tape.core.trace import Trace, apply, bind

__all__ = ["Guard", "StagingTrace"]


class Guard:
    """A value of the tape that Python code consumed, and what it saw.

    Attributes
    ----------
    node : Node
        The value that was consumed.
    kind : str
        "bool", "float", "shape", ...
    seen : array
        What the recording saw.
    where : Location
        The line that consumed it.
    """

    __slots__ = ("kind", "node", "seen", "where")

    def __init__(self, node: Node, kind: str, seen: Any, where: Location) -> None:
        self.node = node
        self.kind = kind
        self.seen = seen
        self.where = where


class StagingTrace(Trace):
    """The trace of ``jit``: every application becomes an entry, with concrete values beside it.

    Attributes
    ----------
    entries : list of Node
    guards : list of Guard
    inputs : list of Node
    weak : set of Node
        Values that are Python numbers, weak in NumPy's promotion.
    problem : str
        Why the entries do not stand for the function, or nothing. The computation goes on, with the
        values: the function runs to its end once.
    """

    name = "jit"

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.entries: list[Node] = []
        self.guards: list[Guard] = []
        self.inputs: list[Node] = []
        self.weak: set[Node] = set()
        self.problem = ""
        #: Whether inputs share memory: a write into one must be seen through the other.
        self.shared = False
        self.keeper = Keeper()
        self._given: dict[Node, Any] = {}

    def give_up(self, reason: str) -> None:
        """Note that the entries do not stand for the function."""
        self.problem = self.problem or f"{reason}, at {user_location()}"

    def operator(self, primitive: Primitive, args: tuple[Any, ...]) -> Any:
        """Apply a Python operator: between Python numbers its result is one, too."""
        if all(self._is_number(a) for a in args):
            return self._between_numbers(primitive, args)
        return self.process(primitive, args, {})

    def between_numbers(self, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply a Python operator if all operands stand for Python numbers."""
        if all(self._is_number(a) for a in args):
            if ufunc is np.divmod:
                return tuple(
                    self._between_numbers(primitives[n], args)
                    for n in ("floor_divide", "remainder")
                )
            if ufunc.__name__ in _COMPARISONS:  # Python's have a bool for a result, a guard
                return bool(self.process(primitives[ufunc.__name__], args, {}))
            return self._between_numbers(primitives[ufunc.__name__], args)
        return NotImplemented

    def attribute(self, tensor: Tensor, name: str) -> Any:
        """Return an attribute that arrays have and tensors do not."""
        example = self.example(tensor)
        if not hasattr(example, name):
            kind = type(example)
            full = (
                f"{kind.__module__}.{kind.__name__}"
                if kind.__module__ != "builtins"
                else kind.__name__
            )
            raise AttributeError(f"'{full}' object has no attribute {name!r}")
        self.give_up(f"the attribute {name} of a traced value is used")
        return getattr(example, name)

    def with_stranger(self, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Compute with complex numbers as without jit."""
        if not any(isinstance(a, complex) for a in args):
            return NotImplemented
        self.give_up("it computes with complex numbers")
        mine = [self.example(a) if type(a) is Tensor and a._trace is self else a for a in args]
        return _OPERATORS[ufunc.__name__](*mine)

    def stands_for_number(self, tensor: Tensor) -> bool:
        """Arrays without axes that were given are none."""
        given = type(self._given.get(tensor.node)) is np.ndarray
        return not given and super().stands_for_number(tensor)

    def number_type(self, tensor: Tensor) -> Any:
        """Python's numbers are weak in promotion."""
        return type(self.example(tensor)) if self._is_number(tensor) else None

    def counts(self, tensor: Tensor) -> bool:
        """Integers repeat sequences; NumPy's do, too."""
        return isinstance(self.example(tensor), int | np.integer)

    def hash_of(self, tensor: Tensor) -> int:
        """Find numbers by their value, which becomes a guard."""
        if self.closed or not isinstance(self.example(tensor), np.generic | int | float):
            return object.__hash__(tensor)
        tensor.consume("hash")
        return hash(self.example(tensor))

    def _is_number(self, a: Any) -> bool:
        if type(a) is Tensor:
            return a._trace is self and a._node in self.weak
        return type(a) is float or type(a) is int or type(a) is bool

    def _between_numbers(self, primitive: Primitive, args: tuple[Any, ...]) -> Any:
        """Compute as Python does; where NumPy would differ, a guard or the values decide."""
        args = tuple(int(a) if type(a) is bool else a for a in args)
        numbers = [a._value.item() if type(a) is Tensor else a for a in args]
        result = _OPERATORS[primitive.name](*numbers)  # raises what Python raises
        if type(result) not in (float, int) or not _safe(primitive.name, numbers, result):
            for a in args:
                if type(a) is Tensor:
                    a.consume("value")
            return result
        for condition in _conditions(primitive.name, args, numbers):
            bool(condition)  # a guard: the same code is right for other numbers
        out = self.process(primitive, args, {})
        if type(result) is float and primitive.name == "power":
            bool(bind(primitives["isfinite"], out))
        self.weak.add(out._node)
        return out

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute, and append an entry."""
        values: list[Any] = []
        operands: list[Any] = []
        links: list[Node | None] = []
        live = False
        for i, a in enumerate(args):
            link = None
            if type(a) is Tensor:
                if a._trace is not self:
                    value = self.lift_check(a)
                    if type(value) is Tensor:
                        return self._outside(primitive, args, params, constant)
                    values.append(value)
                    operands.append(value)
                    links.append(None)
                    continue
                link = a.node
                value = a._value
                values.append(value.item() if link in self.weak else value)
                operands.append(link)
                live = live or (primitive.differentiable_in(i) and not link.constant)
            else:
                if type(a) is np.ndarray:  # the function may fill it with something else later
                    a = self.keeper.copy(a)
                values.append(a)
                operands.append(a)
            links.append(link)
        out = bind(primitive, *values, **params)
        raw, out = out, out if type(out) is np.ndarray else np.asarray(out)
        node = Node(primitive, tuple(links), dict(params), (), out.shape, out.dtype)
        node.constant = not live or bool(constant) or out.dtype.kind != "f"
        node.operands = tuple(operands)
        node.where = user_location()
        self.entries.append(node)
        new = make(self, out, node)
        if live and not node.constant:
            # What backward() inside the staged function needs, as values of this trace.
            given = [snapshot(a) if type(a) is Tensor else o for a, o in zip(args, operands)]
            node.saved = primitive.save(snapshot(new), given)
        view = primitive.view and type(values[0]) is np.ndarray and shares(raw, values[0])
        if view and not self.stands_for_number(args[0]):  # NumPy makes new arrays of its scalars
            mark_view(new, args[0], primitive, params)
        if _depends_on_data(primitive, values):
            self.guards.append(Guard(node, "shape", np.array(out.shape), node.where))
        return new

    def _outside(
        self, primitive: Primitive, args: tuple[Any, ...], params: Any, constant: bool | None
    ) -> Any:
        """Compute with a tensor from outside: imperatively, as without jit."""
        self.give_up("a tensor from outside the function takes part in it")
        plain = tuple(a.value if type(a) is Tensor and a._trace is self else a for a in args)
        return apply(primitive, plain, params, constant)

    def write(self, root: Tensor, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Replace the value of `root`; in memory if it shares its memory with another input."""
        if not self.shared or root._node not in self._given:
            super().write(root, primitive, args, params)
            return
        self.give_up("it writes into an argument that shares memory with another")
        part, *arrays = (a.consume("write") if type(a) is Tensor else a for a in args)
        place(root._value, part, params["path"], params["spec"], tuple(arrays))

    def text(self, tensor: Tensor, form: Any) -> str:
        """Return what the value is printed as."""
        tensor.consume("text")
        return str(form(self.example(tensor)))

    def unknown(self, name: str, function: Any = None, args: Any = (), kwargs: Any = None) -> Any:
        """Let NumPy compute what tensors do not have, on the values."""
        self.give_up(f"{name} is not on record as a primitive")
        return function(*self._values(args), **self._values(kwargs or {}))

    def _values(self, tree: Any) -> Any:
        return tree_map(lambda a: a.value if type(a) is Tensor and a._trace is self else a, tree)

    def array(self, tensor: Tensor, what: str) -> Any:
        """Give NumPy the values; storing them into a plain array is refused."""
        if stores_item():
            return super().array(tensor, what)
        self.give_up(f"{what} of a traced value")
        return tensor.value

    def variable(self, value: Any, *, given: Any = None) -> Tensor:
        """Return an input of the tape; `given` is what the user passed, if not an array."""
        weak = type(given) in (float, int)
        node = Node(None, (), {}, (), value.shape, value.dtype)
        node.constant = value.dtype.kind != "f"
        self.inputs.append(node)
        self._given[node] = value if given is None else given
        if weak:
            self.weak.add(node)
        return make(self, value, node)

    def example(self, tensor: Tensor) -> Any:
        """Return what the user's code would have in place of a traced value."""
        node = tensor.node
        if node in self._given:
            return self._given[node]
        value = tensor.value
        if node in self.weak:
            return value.item()
        return value[()] if value.ndim == 0 else value

    def consume(self, tensor: Tensor, kind: str) -> Any:
        """Note that Python saw this value."""
        value = super().consume(tensor, kind)
        self.guards.append(Guard(tensor._node, kind, np.array(value), user_location()))
        return value

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether no gradient flows to the tensor."""
        return tensor.node.constant  # type: ignore[no-any-return]

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the value as a leaf of this trace."""
        new: Tensor = self.process(primitives["copy"], (tensor,), {})
        new._node.inputs = ()
        new._node.constant = new.dtype.kind != "f"
        return new

    def grad(self, tensor: Tensor) -> Any:
        """Return the gradient that ``backward()`` inside the function has left."""
        return tensor.node.grad

    def backward(self, tensor: Tensor, grad: Any) -> None:
        """Sweep on the tape: the rules run on traced values, so that they are entries too."""
        node = tensor.node
        seed = np.ones(node.shape, node.dtype) if grad is None else grad
        cotangent = np.broadcast_to(seed, node.shape)
        if node.constant:
            reverse.clear(node, forget=False)
        else:
            reverse.backward(node, cotangent, forget=False)

    def clear(self, tensor: Tensor) -> None:
        """Clear the graph that led to `tensor`; the entries stay."""
        reverse.clear(tensor.node, forget=False)

    def close(self) -> None:
        """End the trace, and let go of the values that it was recorded with."""
        super().close()
        self._given.clear()
        self.keeper = Keeper()
        for entry in self.entries:
            entry.saved = entry.inputs = ()
            entry.grad = None


def _depends_on_data(primitive: Primitive, values: list[Any]) -> bool:
    """Whether the shape of the result depends on the values of the arguments."""
    if primitive.name in ("nonzero", "flatnonzero", "argwhere", "unique"):
        return True
    return primitive.name == "gather" and any(np.asarray(v).dtype.kind == "b" for v in values[1:])


#: What Python computes where the named primitives stand between its numbers.
_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "floor_divide": operator.floordiv, "remainder": operator.mod,
    "power": operator.pow, "negative": operator.neg, "absolute": operator.abs,
    "positive": operator.pos, "invert": operator.invert, "left_shift": operator.lshift,
    "right_shift": operator.rshift, "bitwise_and": operator.and_, "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
}  # fmt: skip
_COMPARISONS = frozenset({"equal", "greater", "greater_equal", "less", "less_equal", "not_equal"})
_BITS = frozenset(name for name in _OPERATORS if name[:3] in ("bit", "inv", "lef", "rig"))
_DIVISIONS = frozenset({"divide", "floor_divide", "remainder"})
#: Integers below this are added and multiplied exactly by 64-bit machines, as by Python.
_SMALL = 2**31


def _safe(name: str, numbers: list[Any], result: Any) -> bool:
    """Whether machine numbers give what Python gave, for numbers like these."""
    if name in _BITS or any(type(n) is int and abs(n) >= _SMALL for n in numbers):
        return False
    if name == "power":
        return all(type(n) is float for n in numbers[:1]) and numbers[0] > 0
    if name in ("floor_divide", "remainder"):
        return all(type(n) is int for n in numbers)
    return True


def _conditions(name: str, args: tuple[Any, ...], numbers: list[Any]) -> Iterator[Any]:
    """Yield what must be true of other numbers, as traced values."""
    for a, n in zip(args, numbers):
        if type(a) is Tensor and type(n) is int:
            yield bind(primitives["less"], a, _SMALL)
            yield bind(primitives["greater"], a, -_SMALL)
    if name in _DIVISIONS and type(args[1]) is Tensor:
        yield bind(primitives["not_equal"], args[1], 0)
    if name == "power" and type(args[0]) is Tensor:
        yield bind(primitives["greater"], args[0], 0)
