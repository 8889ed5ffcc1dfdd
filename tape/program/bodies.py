"""Functions as programs: what a Python function does, recorded on example values.

A body is recorded without knowing the values that it will compute with. Every operation inside it
becomes an entry, also one between values from outside alone, which are inputs of the program, too.
Where Python asks for a value, or the function writes into what is outside, there is no program, and
:class:`NotRecordable` is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tapegrad.tape.array.application import belongs, bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.later import later
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.pytree import Structure, flatten, unflatten
from tapegrad.tape.core.trace import Traced, new_trace
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staged_values import StagedAppearance, inside, is_number
from tapegrad.tape.program.staging import StagingTrace

__all__ = [
    "Body",
    "BodyTrace",
    "LoopTrace",
    "NotRecordable",
    "compiled",
    "is_operand",
    "record_body",
    "record_program",
]


class NotRecordable(BaseException):
    """A function asked for a value, or did what no program can.

    Not an Exception, so that no ``except Exception`` of the user's stops it on its way.
    """


class BodyTrace(StagingTrace):
    """The trace of a body, whose values are examples.

    Attributes
    ----------
    hidden : dict
        The values from outside that the body uses, in the order of the inputs that stand for them, by
        their identity.
    """

    name = "a branch"
    records_all = True
    #: Whether its values are examples, which tell shapes and dtypes alone.
    has_examples = True
    lowers = False

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.hidden: dict[tuple[int, int], Tensor] = {}
        self._inside: dict[tuple[int, int], Tensor] = {}

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Append an entry; values from outside become inputs first.

        The call of a program is written out: to run it here would compile it for nothing.
        """
        mine = tuple(
            self.lift(a) if isinstance(a, Tensor) and not belongs(a, self) else a for a in args
        )
        if primitive.call and primitive.expansion is not None:
            return primitive.expansion(*mine, **params)
        return super().process(primitive, mine, params, constant)

    def compute(self, primitive: Primitive, values: list[Any], params: Mapping[str, Any]) -> Any:
        """Find what has the shape and dtype of the result; values are of no importance."""
        find = primitive.example or primitive.forward
        try:
            return find(*values, **params)
        except np.linalg.LinAlgError:  # what examples come to may be singular
            return find(*(example(np.shape(v), np.asarray(v).dtype) for v in values), **params)

    def takes(self, operand: Any) -> bool:
        """Whether an argument of the function becomes an input."""
        return is_operand(operand)

    def like(self, value: Any) -> Tensor:
        """Return an input that stands for a value: an example of its kind."""
        if type(value) in (float, int):
            array = example((), np.asarray(value).dtype)
            return self.variable(array, original=array.item())
        if value.dtype.kind not in NUMERIC:
            raise NotRecordable(f"a value of dtype {value.dtype}")
        array = example(np.shape(value), value.dtype)
        is_number = isinstance(value, np.generic)
        if isinstance(value, Tensor):
            looks = value.live_trace.appearance
            number = looks.number_type(value)
            if number is not None:
                return self.variable(array, original=number(array))
            is_number = looks.stands_for_number(value)
        return self.variable(array, original=array[()] if is_number else None)

    def number(self, value: float | int) -> Tensor:
        """Return an input that stands for one of Python's numbers."""
        array = example((), np.dtype(type(value)))
        return self.variable(array, original=array.item())

    def lift(self, value: Traced) -> Any:
        """Return the input that stands for a value from outside."""
        lent = super().lift(value)
        if not isinstance(lent, Tensor) or belongs(lent, self):
            return lent
        key = (id(lent.value), id(lent.node))
        if key not in self._inside:
            self._inside[key] = self.like(value)
            self.hidden[key] = lent
        return self._inside[key]

    def give_up(self, reason: str) -> NoReturn:
        """There is no other way than a program."""
        raise NotRecordable(reason)

    def guard(self, tensor: Traced, kind: str, seen: Any) -> None:
        """Refuse: the value is not known."""
        raise NotRecordable(f"the function asks for a value ({kind})")

    def enter(self, root: Tensor) -> None:
        """Refuse to write into an array that is not the function's own; its arguments are not."""
        if belongs(root, self):
            own = root.node not in self.passed
        else:
            own = not isinstance(root.live_trace.lend(root, self), Tensor)
        if not own:
            raise NotRecordable("the function writes into an array from outside")

    def stored_outside(self, shape: tuple[int, ...]) -> None:
        """Refuse, as `enter` does."""
        raise NotRecordable("the function writes into an array from outside")

    def backward(self, tensor: Traced, grad: Any) -> None:
        """Refuse: gradients that are left at tensors are no results."""
        raise NotRecordable("backward()")


class LoopAppearance(StagedAppearance):
    """How values look in the body of a loop, where a number may be another one in each trip.

    Between Python's numbers, operators compute as NumPy does, and the results are weak in promotion:
    nothing is asked of the values.
    """

    __slots__ = ()

    def between_numbers(self, value: Traced, ufunc: np.ufunc, args: tuple[Any, ...]) -> Any:
        """Apply an operator; between numbers its result is one, too."""
        trace: Any = value.live_trace
        primitive = primitives.get(ufunc.__name__)
        args = tuple([inside(trace, a) for a in args])
        if primitive is None or not all(is_number(a, trace) for a in args):
            return NotImplemented
        out = trace.process(primitive, args, {})
        if out.dtype.kind in "fi":
            trace.weak.add(out.node)
        return out


class LoopTrace(BodyTrace):
    """The trace of the body of a loop."""

    name = "a loop"
    appearance_of = LoopAppearance

    def takes(self, operand: Any) -> bool:
        """Whether an argument of the function becomes an input: numbers, too."""
        return is_operand(operand) or type(operand) in (float, int)


class Body(NamedTuple):
    """A recorded function: its program, the structure of its result, the values from outside."""

    program: Program
    structure: Structure
    hidden: dict[tuple[int, int], Tensor]


def record_body(
    function: Callable[..., Any],
    operands: Sequence[Any],
    structure: Structure,
    kind: type[BodyTrace] = BodyTrace,
    *,
    numbers: bool = False,
) -> Body:
    """Record what a function does with arguments like these.

    Parameters
    ----------
    function : callable
        Takes the arguments, and returns a nest of arrays and numbers.
    operands : sequence
        The leaves of the arguments: arrays and tensors become inputs; everything else is passed as it
        is.
    structure : Structure
        Of the tuple of arguments.
    kind : type
        Of the trace. In loops, Python's numbers are operands, too.
    numbers : bool
        Whether Python's numbers among the arguments become inputs, too.

    Raises
    ------
    NotRecordable
    """
    with new_trace(kind) as trace, np.errstate(all="ignore"):
        given = [trace.like(o) if trace.takes(o) else o for o in operands]
        if numbers:
            given = [trace.number(o) if type(o) in (float, int) else o for o in given]
        result = later.read(trace, function, unflatten(structure, given), {})
        leaves, out_structure = flatten(result)
        program = _program(trace, leaves)
    return Body(program, out_structure, trace.hidden)


def record_program(
    function: Callable[..., Sequence[Any]], inputs: Sequence[Any], weak: Collection[Any] = ()
) -> Program:
    """Record a function of arrays that uses no values from outside.

    Parameters
    ----------
    function : callable
        Returns a sequence of arrays and numbers.
    inputs : sequence
        What has the shape and dtype of each argument: nodes, say.
    weak : collection
        Which of these are Python numbers.

    Raises
    ------
    TypeError
        If it needs values, or has effects.
    """
    try:
        with new_trace(BodyTrace) as trace, np.errstate(all="ignore"):
            given = []
            for node in inputs:
                array = example(node.shape, node.dtype)
                given.append(trace.variable(array, original=array.item() if node in weak else None))
            program = _program(trace, function(*given))
    except NotRecordable as reason:
        raise TypeError(f"there is no such program: {reason}") from None
    assert not trace.hidden, "the function uses values from outside"
    return program


def compiled(primitive: Primitive, values: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Apply a primitive with several results to arrays, compiled."""
    arrays = [np.asarray(value) for value in values]
    program = record_program(lambda *given: bind(primitive, *given, **params), arrays)
    return program.compile()(*arrays)


def _program(trace: BodyTrace, results: Sequence[Any]) -> Program:
    outputs = [_output(leaf, trace) for leaf in results]
    return Program(trace.inputs, trace.entries, outputs, trace.weak).select(outputs)


def is_operand(leaf: Any) -> bool:
    """Whether an argument is a value that may differ at each call."""
    return isinstance(leaf, Tensor | np.ndarray | np.generic)


def _output(leaf: Any, trace: BodyTrace) -> Any:
    """Return a result as a node or a constant."""
    if isinstance(leaf, Tensor):
        if not belongs(leaf, trace):
            leaf = trace.lift(leaf)
        return leaf.node if isinstance(leaf, Tensor) else leaf
    if isinstance(leaf, np.ndarray):
        leaf = trace.originals.copy(leaf)
    if not isinstance(leaf, np.ndarray | np.generic | float | int) or (
        not isinstance(leaf, float | int) and leaf.dtype.kind not in NUMERIC
    ):
        raise NotRecordable(f"the function returns an object of type {type(leaf).__name__}")
    return leaf
