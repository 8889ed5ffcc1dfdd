"""A program: a tape as a value.

A program has inputs, entries in order of execution, and outputs. It can be called, printed, verified,
differentiated, batched and compiled (each gives a program or a function), compared, hashed and pickled,
and it may be a parameter of an entry of another program: the body of a branch, or of a jitted function.

Programs and their entries are immutable: what changes a program makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import cast
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.later import later
from tapegrad.tape.core.location import current_line
from tapegrad.tape.core.node import Node
from tapegrad.tape.program import content, printing, verification
from tapegrad.tape.program.content import bodies

__all__ = ["Program", "broadcast_shape", "replay", "users"]


class Program:
    """A function of arrays as a list of entries.

    Attributes
    ----------
    inputs : tuple of Node
    entries : tuple of Node
        In order of execution; each is made once, before its uses.
    outputs : tuple
        A node for a value of the program, and an array or a number for a constant.
    weak : frozenset of Node
        Values that are Python numbers, weak in NumPy's promotion.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> with tg.Tape() as tape:
    ...     y = np.sum(x * x)
    >>> program = tape.program([x], [y])
    >>> program(np.array([3.0, 4.0]))
    (array(25.),)
    >>> value, gradient = program.reverse()(np.array([3.0, 4.0]), np.array(1.0))
    >>> gradient
    array([6., 8.])
    """

    __slots__ = ("_derived", "entries", "inputs", "outputs", "weak")

    def __init__(
        self,
        inputs: Sequence[Node],
        entries: Sequence[Node],
        outputs: Sequence[Any],
        weak: frozenset[Node] | set[Node] = frozenset(),
    ) -> None:
        self.inputs = tuple(inputs)
        self.entries = tuple(entries)
        self.outputs = tuple(outputs)
        self.weak = frozenset(weak)
        #: What has been computed from this program, by what it is.
        self._derived: dict[Any, Any] = {}

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """Run the entries on arrays, numbers and tensors, by whichever trace these belong to.

        Returns
        -------
        tuple
            The outputs. They may share memory with the values, and with each other.

        Raises
        ------
        TypeError
            For another number of values.
        ValueError
            For a value of another shape.
        """
        if len(values) != len(self.inputs):
            raise TypeError(f"this program takes {len(self.inputs)} values, got {len(values)}")
        computed = {}
        for i, (node, value) in enumerate(zip(self.inputs, values)):
            if np.shape(value) != node.shape:
                raise ValueError(
                    f"value {i} has shape {np.shape(value)}; the program was recorded with shape "
                    f"{node.shape}"
                )
            if node in self.weak:
                value = value if isinstance(value, Tensor) else np.asarray(value).item()
            else:
                value = cast(value if isinstance(value, Tensor) else np.asarray(value), node.dtype)
            computed[node] = value
        replay(self.entries, computed, self.weak)
        return tuple(computed[o] if type(o) is Node else o for o in self.outputs)

    # Text ----------------------------------------------------------------------------------------

    def source(self, constants: dict[str, Any] | None = None) -> str:
        """Return the program as NumPy source: a function of its inputs.

        Parameters
        ----------
        constants : dict, optional
            Receives, by name, the arrays that are too large to be written out; the function takes
            them as further arguments.
        """
        return printing.program_source(self, constants)

    def __str__(self) -> str:
        return self.source()

    def __repr__(self) -> str:
        ends = f"{len(self.inputs)} inputs, {len(self.outputs)} outputs"
        return f"<program of {len(self.entries)} entries, {ends}>"

    def __len__(self) -> int:
        return len(self.entries)

    # Checks and comparisons ----------------------------------------------------------------------

    def verify(self) -> None:
        """Check that the program is well formed, and its bodies.

        Raises
        ------
        AssertionError
            With the entry that is wrong.
        """
        verification.verify(self)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Program:
            return NotImplemented
        return self is other or self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> Any:
        return self.memo("content", lambda: content.content_of(self))

    def __reduce__(self) -> Any:
        return (_restored, content.dumped(self))

    # Transformations -----------------------------------------------------------------------------

    def reverse(self, wrt: Sequence[int] | None = None, *, imperative: bool = False) -> Program:
        """Return the program that also pulls cotangents back.

        Parameters
        ----------
        wrt : sequence of int, optional
            By which inputs to differentiate; all floats by default.
        imperative : bool
            Whether to follow the rules that are documented for ``backward()``.

        Returns
        -------
        Program
            From the inputs, and a cotangent of each float output, to the outputs, and the cotangents
            of the chosen inputs.
        """
        chosen = self._floats(self.inputs) if wrt is None else tuple(wrt)
        key = ("reverse", chosen, imperative)
        return self.memo(key, lambda: later.reverse(self, chosen, imperative=imperative))

    def forward(self, wrt: Sequence[int] | None = None) -> Program:
        """Return the program that also pushes tangents forward.

        Parameters
        ----------
        wrt : sequence of int, optional
            Which inputs have tangents; all floats by default.

        Returns
        -------
        Program
            From the inputs, and a tangent of each chosen one, to the outputs, and the tangents of the
            float outputs.
        """
        chosen = self._floats(self.inputs) if wrt is None else tuple(wrt)
        return self.memo(("forward", chosen), lambda: later.forward(self, chosen))

    def pullback(self, wrt: Sequence[int], *, imperative: bool = False) -> Program:
        """Return the program that gives of :meth:`reverse` the cotangents alone."""
        chosen = tuple(wrt)

        def make() -> Program:
            both = self.reverse(chosen, imperative=imperative)
            return both.select(both.outputs[len(self.outputs) :])

        return self.memo(("pullback", chosen, imperative), make)

    def pushforward(self, wrt: Sequence[int]) -> Program:
        """Return the program that gives of :meth:`forward` the tangents alone."""
        chosen = tuple(wrt)

        def make() -> Program:
            both = self.forward(chosen)
            return both.select(both.outputs[len(self.outputs) :])

        return self.memo(("pushforward", chosen), make)

    def batch(self, size: int, batched: Sequence[bool] | None = None) -> Program:
        """Return the program of `size` examples at once; every output has the batch axis in front.

        Parameters
        ----------
        size : int
        batched : sequence of bool, optional
            Which inputs have a batch axis in front; all by default.
        """
        flags = (True,) * len(self.inputs) if batched is None else tuple(map(bool, batched))
        return self.memo(("batch", size, flags), lambda: later.batch(self, size, flags))

    def compile(self) -> Callable[..., Any]:
        """Return the compiled program: a function from arrays to the tuple of outputs."""
        return self.memo("compile", lambda: later.compile(self))

    @staticmethod
    def _floats(values: Sequence[Node]) -> tuple[int, ...]:
        return tuple(i for i, v in enumerate(values) if v.dtype.kind in CONTINUOUS)

    @property
    def derived(self) -> list[Program]:
        """The programs that were derived from this one so far: derivatives and batches."""
        made = [self._derived[key] for key in self._derived if type(key) is tuple]
        return [program for program in made if type(program) is Program]

    def memo(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what belongs to the program under `key`, made once."""
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]

    # Parts ---------------------------------------------------------------------------------------

    def select(self, outputs: Sequence[Any]) -> Program:
        """Return the part of the program that the given outputs need, with all inputs."""
        needed = {o for o in outputs if type(o) is Node}.difference(self.inputs)
        entries = []
        for entry in reversed(self.entries):
            if entry in needed:
                needed.update(o for o in entry.operands if type(o) is Node)
                entries.append(entry)
        return Program(self.inputs, entries[::-1], outputs, self.weak)

    def with_entries(self, entries: Sequence[Node]) -> Program:
        """Return the program with other entries."""
        return Program(self.inputs, entries, self.outputs, self.weak)

    def results(self) -> list[Node]:
        """Return the nodes among the outputs."""
        return [o for o in self.outputs if type(o) is Node]

    def constants(self) -> Iterator[Any]:
        """Yield the constant operands of the entries, those in bodies too."""
        for entry in self.entries:
            yield from (o for o in entry.operands if type(o) is not Node)
            for _, body in bodies(entry.params):
                yield from body.constants()
                yield from (o for o in body.outputs if type(o) is not Node)


def _restored(*data: Any) -> Program:
    """Rebuild a program from its pickle."""
    return Program(*content.loaded(*data))


def replay(
    entries: Sequence[Node], computed: dict[Node, Any], weak: frozenset[Node] = frozenset()
) -> None:
    """Run entries on the values in `computed`, and add their results to it."""
    line = current_line.set(None)
    try:
        for entry in entries:
            current_line.set(entry.where)
            args = [computed[o] if type(o) is Node else o for o in entry.operands]
            out = bind(entry.primitive, *args, **entry.params)
            if not entry.primitive.multiple:
                out = out if isinstance(out, Tensor) else np.asarray(out)
                if entry in weak and not isinstance(out, Tensor):
                    out = out.item()
                else:  # a tensor that stands for a Python number may not be weak in promotion
                    out = cast(out, entry.dtype)
            computed[entry] = out
    finally:
        current_line.reset(line)


def users(program: Program) -> dict[Node, list[Node]]:
    """Return the entries that use each node."""
    found: dict[Node, list[Node]] = {}
    for entry in program.entries:
        for operand in entry.operands:
            if type(operand) is Node:
                found.setdefault(operand, []).append(entry)
    return found


def broadcast_shape(operands: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape that operands are broadcast to."""
    return np.broadcast_shapes(*(np.shape(o) if type(o) is not Node else o.shape for o in operands))
