"""Recording a function for ``jit``: what it did becomes a program, and the program a plan.

While it is recorded, a function has no effect: its image asks a gate about all that it would read, run
and change outside, and what would have an effect ends the recording. Then the function is run as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from tapegrad.compile.backends.interface import current
from tapegrad.compile.jitted.labels import label_of, labels
from tapegrad.compile.jitted.nests import SETTLED, is_traced, nests_in, take_result_apart
from tapegrad.compile.jitted.options import NOTHING, Chosen, Static, plain
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.pipeline import first_equal, optimise
from tapegrad.compile.plans.boundary import Boundary, guard_holds
from tapegrad.compile.plans.building import build
from tapegrad.compile.plans.explanation import explanation
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.errors import Abandoned
from tapegrad.tape.core.journal import Watch
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.pytree import Structure, unflatten
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import Guard, StagingTrace
from tapegrad.tape.python.checks import Check
from tapegrad.tape.python.ledger import Ledger
from tapegrad.tape.python.places import Place
from tapegrad.tape.python.recorder import Recorder
from tapegrad.tape.transforms.transformed import spelled
from tapegrad.tape.transforms.values import give_back

__all__ = ["Recording", "Run", "Unsettled", "finish", "leaf_key", "record"]

#: Run on every program after every pass; the tests put ``program.verify`` here.
check: Callable[[Program], None] | None = None

#: What is asked of a value and does not change when the value changes a little.
_STEADY = frozenset({"bool", "contains", "hash", "index", "int", "repr", "text"})


#: Held while places among the arguments of a call are read: they are read from the recording.
_reading = threading.RLock()


class Unsettled(Exception):
    """An argument is of a kind about which nothing can be kept."""


def leaf_key(leaf: Any) -> Any:
    """Return what a plan depends on of one argument: kind, shape, layout and dtype, or the value.

    What is read of an object is noted when it is read; its type is all that is known before.

    Raises
    ------
    Unsettled
        For arrays that are not plain ones of real numbers.
    """
    kind = type(leaf)
    if kind is np.ndarray:
        if leaf.dtype.kind in NUMERIC and leaf.flags.aligned:
            return (leaf.shape, leaf.strides, leaf.dtype)
        what = "unaligned" if leaf.dtype.kind in NUMERIC else f"dtype {leaf.dtype}"
        raise Unsettled(f"an array ({what})")
    if kind is float:
        return kind
    if kind is int:
        return kind if -(2**63) <= leaf < 2**63 else (kind, leaf)
    if isinstance(leaf, np.generic):
        return ("scalar", leaf.dtype) if leaf.dtype.kind in NUMERIC else (kind, repr(leaf))
    if kind is complex or kind is slice:
        return (kind, repr(leaf))
    if kind is Static:
        return leaf
    if kind in SETTLED or isinstance(leaf, np.dtype):
        return (kind, leaf)
    if isinstance(leaf, (np.ndarray, int, float, str)):
        raise Unsettled(f"an object of type {kind.__name__}")
    return ("object", kind)


@dataclass(slots=True, eq=False)
class Recording:
    """One way through a function, executable.

    Attributes
    ----------
    program : Program
    boundary : Boundary
    plan : Plan or None
    traced : list of int
        Which leaves of the arguments the plan takes.
    captured : list of Place
        Where the plan's further inputs lie.
    checks : list of Check
        What must hold of all else that the function read.
    structure : Structure
        Of the result.
    recorded : Program
        The program before all passes.
    arguments : list
        The leaves of a call, while places among them are read.
    problem : str
        Why the function is run as it is, this way through.
    loops : dict
        Why loops of Python's were run as they are written, by file and line.
    enter : callable
        Checks a call, and runs it: see ``entering``.
    """

    program: Program
    boundary: Boundary
    plan: Any
    traced: list[int]
    captured: list[Place]
    checks: list[Check]
    structure: Structure
    recorded: Program
    arguments: list[Any]
    problem: str = ""
    loops: Mapping[tuple[str, int], str] = field(default_factory=dict)
    enter: Any = None

    @classmethod
    def as_it_is(cls, leaves: list[Any], reason: str) -> Recording:
        """Return what stands for all ways through a function, of which none is compiled."""
        nothing = Program((), (), ())
        boundary = Boundary(0)
        return cls(nothing, boundary, None, [], [], [], "-", nothing, leaves, reason)

    def inputs(self, leaves: list[Any]) -> list[Any]:
        """Return the values of a call that the program takes."""
        with _reading:
            self.arguments[:] = plain(leaves)
            try:
                return [leaves[i] for i in self.traced] + [place.read() for place in self.captured]
            finally:
                self.arguments.clear()

    def changed(self, leaves: list[Any]) -> list[Check]:
        """Return the checks that do not hold for a call with these leaves."""
        with _reading:
            self.arguments[:] = plain(leaves)
            try:
                return [check for check in self.checks if not check.holds()]
            finally:
                self.arguments.clear()

    def stands_for(self, leaves: list[Any]) -> bool:
        """Whether a call with these leaves would take the way of this recording."""
        if self.changed(leaves):
            return False
        guards, count = self.boundary.guards, self.boundary.results
        asked = self.recorded.memo(
            "guards", lambda: self.recorded.select(self.recorded.outputs[count:][: len(guards)])
        )
        seen = asked(*self.inputs(leaves))
        return all(guard_holds(guard, value) for guard, value in zip(guards, seen))

    @property
    def is_pure(self) -> bool:
        """Whether the function is its results, and what it asked for was not its values, but only what
        small changes leave as it is."""
        guards = self.boundary.guards
        return (
            not self.problem and not self.boundary.writes and all(g.kind in _STEADY for g in guards)
        )

    @property
    def pure(self) -> Program:
        """The program, before all passes, of the results that are computed."""
        program, inputs = self.recorded, set(self.recorded.inputs)
        results = program.outputs[: self.boundary.results]
        computed = [o for o in results if type(o) is Node and o not in inputs]
        return program.memo("pure", lambda: program.select(computed))  # type: ignore[no-any-return]

    def explain(self, name: str) -> str:
        """Return the tape, the plan and the kernels as text."""
        if self.problem:
            return f"{name} is run without compiling: {self.problem}"
        program, plan, guards = self.program, self.plan, self.boundary.guards
        results = program.outputs[: self.boundary.results]
        shown = Program(program.inputs, program.entries, [o for o in results if type(o) is Node])
        parts = [
            f"# {name}: {len(program.entries)} operations, {len(plan.kernels)} kernels, "
            f"{len(plan.library_steps)} library steps, {len(guards)} guards",
            "",
            "# The tape, after all passes:",
            shown.source(),
            "",
            *explanation(plan),
        ]
        for (file, line), reason in self.loops.items():
            parts.append(f"# loop: unrolled, since {reason}, at {file}:{line}")
        for guard in guards:
            parts.append(f"# guard: {guard.kind} was {guard.seen}, consumed at {guard.where}")
        return "\n".join(parts)


def record(
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    *,
    varying: set[str] | None = None,
    chosen: Chosen = NOTHING,
    strict: bool = False,
    commit: bool = True,
) -> tuple[Recording, Any]:
    """Run the image of `function` on real values, and make a plan of what it did.

    Parameters
    ----------
    function, args, kwargs
        What is called.
    varying : set of str
        The places of numbers that are inputs, since they change.
    chosen : Chosen
        Which arguments are static or donated.
    strict : bool
        Whether a step of the plan that NumPy would have to do is an error.
    commit : bool
        Whether what the function writes into arrays is written.

    Returns
    -------
    recording : Recording
        Its `problem` tells why the function must be run as it is.
    result
        What the function returned for these arguments; without meaning if there is a problem.

    Raises
    ------
    Exception
        What the function raises, with whatever values; run as it is, it says what it would say.
    """
    run = Run(function, args, kwargs, varying or set(), chosen)
    return finish(run, strict=strict, commit=commit), run.result


def finish(run: Run, *, strict: bool = False, commit: bool = True) -> Recording:
    """Make a plan of what a run did."""
    if not run.problem and not current().usable():  # asked late: the answer loads the compiler
        run.problem = current().problems[0]
    recording = Recording(
        run.program, run.boundary, None, run.traced, run.captured,
        list(run.ledger.checks.values()), run.structure, run.program, run.arguments, run.problem,
        run.trace.loops,
    )  # fmt: skip
    if run.problem and (current().problems or not run.boundary.guards):
        return recording  # there is nothing to compute before the function is run as it is
    watch = Watch()
    recording.program = optimise(run.program, check)
    plan = build(recording.program, run.boundary, strict=strict and not run.problem)
    recording.plan = plan
    counts = f"{len(plan.kernels)} kernels, {len(plan.library_steps)} library steps"
    watch.tell(lambda: f"{run}: planned {counts}")
    if commit and not run.problem:
        run.commit()
    return recording


def _different(guards: list[Guard], inputs: list[Node], entries: list[Node]) -> list[Guard]:
    """Return the guards without those that ask again what one before has asked.

    ``0.9**t`` in a loop over parameters asks each time whether Python would overflow.
    """
    if len(guards) < 2:
        return guards
    equal = first_equal(Program(inputs, entries, []))
    different: dict[Any, Guard] = {}
    for guard in guards:
        seen = np.asarray(guard.seen)
        node = equal.get(guard.node, guard.node)
        different.setdefault((node, guard.kind, seen.dtype, seen.shape, seen.tobytes()), guard)
    return list(different.values())


class Run:
    """One run of the function on traced values, and what it left behind.

    Attributes
    ----------
    program : Program
    boundary : Boundary
    result
        What the function returned, for its caller.
    structure : Structure
        Of the result.
    traced : list of int
        Which leaves of the arguments are inputs of the program.
    captured : list of Place
        Where its further inputs are read.
    problem : str
        Why the program may not stand for the function, or nothing.
    """

    def __init__(
        self, function: Any, args: Any, kwargs: Any, varying: set[str], chosen: Chosen = NOTHING
    ) -> None:
        watch = Watch()
        self.function = function
        self.leaves, nest = chosen.apart((args, kwargs))
        self.arguments = plain(self.leaves)
        self.donated = chosen.given_away(nest)
        self.labels = labels(function, nest)
        self.traced = [i for i, leaf in enumerate(self.leaves) if is_traced(leaf)]
        self.outputs: list[Any] = []
        self.structure: Structure = "-"
        self.result: Any = None
        self.problem = ""
        with new_trace(StagingTrace) as self.trace:
            self.ledger = Ledger(self.trace, varying)
            stand_ins = self._stand_ins()
            images = unflatten(nest, stand_ins)
            fixed = [leaf.value for leaf in self.leaves if type(leaf) is Static]
            for part in nests_in(images, fixed):
                self.ledger.copy(part)
            try:
                result = Recorder(self.trace, ledger=self.ledger).read(function, *images)
                if self.trace.problem:  # which somebody has caught
                    raise Abandoned(self.trace.problem)
                after, structure = chosen.apart(images)
                if structure != nest or any(a is not b for a, b in zip(plain(after), stand_ins)):
                    self.trace.give_up("it changes a list, a dict or an object that it was given")
                self._take_inputs()
                self._take_outputs(result)
            except Abandoned as reason:
                self.problem = str(reason)
                self.outputs, self.structure, self.result = [], "-", None
                self._take_inputs()
        self._make_program()
        watch.tell(lambda: f"{self}: recorded {len(self.program.entries)} entries")

    def __str__(self) -> str:
        return f"{spelled(self.function)} (called at {user_location()})"

    def _stand_ins(self) -> list[Any]:
        stand_ins = list(self.arguments)
        self.cells: list[Any] = []
        for i, leaf in enumerate(self.arguments):
            place = Place.argument(self.arguments, i)
            if i in self.traced:
                cell = self.trace.variable(np.asarray(leaf), original=leaf)
                stand_ins[i] = cell
                self.cells.append(cell)
                if type(leaf) is np.ndarray:
                    self.ledger.argument(leaf, cell, place)
            elif type(leaf) not in SETTLED:
                self.ledger.outside(leaf, place)
        return stand_ins

    def _take_inputs(self) -> None:
        """Note the further inputs that were read."""
        inputs = self.ledger.inputs
        self.captured = [place for place, _, _ in inputs]
        self.cells = [*self.cells[: len(self.traced)], *(cell for _, _, cell in inputs)]
        self.arrays = [*(self.leaves[i] for i in self.traced), *(value for _, value, _ in inputs)]

    def _make_program(self) -> None:
        trace = self.trace
        self.writes = [] if self.problem else self._writes()
        guards = _different(trace.guards, trace.inputs, trace.entries)
        outputs = [
            *self.outputs,
            *(g.node for g in guards),
            *(c.node for _, c in self.writes),
        ]
        self.program = Program(trace.inputs, trace.entries, outputs, trace.weak)
        pairs = list(zip(trace.inputs, self.arrays))
        self.boundary = Boundary(
            len(self.outputs),
            guards,
            [i for i, _ in self.writes],
            {node for node, array in pairs if isinstance(array, np.generic)},
            {node: Layout.of(np.asarray(array)) for node, array in pairs},
            [*(self.labels[i] for i in self.traced), *map(label_of, self.captured)],
            self._given_away(),
        )

    def _given_away(self) -> list[int]:
        """Return which inputs are donated arrays into which the function does not write itself."""
        written = {i for i, _ in self.writes}
        return [
            j
            for j, i in enumerate(self.traced)
            if i in self.donated and j not in written and type(self.leaves[i]) is np.ndarray
        ]

    def _writes(self) -> list[tuple[int, Any]]:
        """Return which inputs the function has written into, and what stands for them now."""
        places = enumerate(zip(self.cells, self.trace.inputs, self.arrays))
        return [
            (i, cell)
            for i, (cell, node, array) in places
            if cell.node is not node and type(array) is np.ndarray
        ]

    def commit(self) -> None:
        """Write into arrays what the function has written."""
        for i, cell in self.writes:
            self.arrays[i][...] = cell.value

    def _take_outputs(self, result: Any) -> None:
        """Note the outputs as nodes or constants, and the result as values to give back."""
        leaves, self.structure = take_result_apart(result)
        for i, cell in self._writes():
            if not self.arrays[i].flags.writeable:
                self.trace.give_up("it writes into an array that is read-only")
            if cell.node not in {*self.trace.entries, *self.trace.inputs}:
                self.trace.give_up("a branch or a loop in it writes into an array from outside")
        values: list[Any] = []
        seen: dict[int, Any] = {}
        for leaf in leaves:
            if id(leaf) not in seen:
                seen[id(leaf)] = self._output(leaf)
            output, value = seen[id(leaf)]
            self.outputs.append(output)
            values.append(value)
        self.result = unflatten(self.structure, values)

    def _output(self, leaf: Any) -> tuple[Any, Any]:
        trace = self.trace
        if not isinstance(leaf, Tensor):
            if type(leaf) is np.ndarray and leaf.dtype.kind in "fiubc":
                return leaf.copy(), leaf  # a constant, which its caller may change
            if not isinstance(leaf, SETTLED):
                trace.give_up(f"it returns an object of type {type(leaf).__name__}")
            return leaf, leaf
        if leaf.live_trace is not trace:
            if _is_made_inside(leaf, trace):
                value = give_back(leaf.value)  # a scalar where NumPy gives one
                return value.copy(), value
            trace.give_up("it returns a tensor that is none of its own values")
        for cell, node, array in zip(self.cells, trace.inputs, self.arrays):
            if leaf is cell or leaf.node is node:
                return node, array  # the argument itself, whatever was written into it
            if cell.node is not node and leaf.base is cell:
                trace.give_up("it returns a view of an argument that it writes into")
        value = leaf.value
        if leaf.node in trace.weak:
            return leaf.node, value.item()
        return leaf.node, give_back(value)


def _is_made_inside(tensor: Tensor, trace: StagingTrace) -> bool:
    """Whether a tensor is an array that the function has made, and not filled with traced values."""
    made = tensor.node.number > trace.start
    return tensor.live_trace.level == 0 and tensor.constant and made


def overlap(*arrays: Any) -> bool:
    """Whether any two of the arrays may share memory; most own theirs, which is seen at once."""
    if len(set(map(id, arrays))) < len(arrays):
        return True
    if not any(a.base is not None for a in arrays):
        return False
    ends = 0
    for low, high in sorted(byte_bounds(a) for a in arrays if a.size):
        if low < ends:
            return True
        ends = high
    return False
