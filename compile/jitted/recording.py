"""Recording a function for ``jit``: what it did becomes a program, and the program a plan."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile.backends.interface import current
from tapegrad.compile.jitted.labels import labels
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.pipeline import optimise
from tapegrad.compile.passes.uniform import uniform_value
from tapegrad.compile.plans.boundary import Boundary, guard_holds
from tapegrad.compile.plans.explanation import explanation
from tapegrad.compile.plans.plan import build
from tapegrad.compile.survey.capture import SETTLED, Captures, Reference, survey
from tapegrad.compile.survey.effects import watched
from tapegrad.compile.survey.healing import Healer, is_buffer
from tapegrad.compile.survey.mirror import Mirror
from tapegrad.tape.array.originals import same_bits
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.core.pytree import Structure, flatten, unflatten
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.transforms.derivatives import give_back

__all__ = ["Recording", "Unsettled", "leaf_key", "record"]

#: Run on every program after every pass; the tests put ``program.verify`` here.
check: Callable[[Program], None] | None = None


#: What is asked of a value and does not change when the value changes a little.
_STEADY = frozenset({"bool", "contains", "hash", "index", "int", "repr", "shape", "text"})


class Unsettled(Exception):
    """An argument is of a kind about which nothing can be kept."""


def leaf_key(leaf: Any) -> Any:
    """Return what a plan depends on of one argument: kind, shape, layout and dtype, or the value.

    Raises
    ------
    Unsettled
        For objects that may change, and arrays that are not plain ones of real numbers.
    """
    kind = type(leaf)
    if kind is np.ndarray:
        if leaf.dtype.kind in "fiub" and leaf.flags.aligned:
            return (leaf.shape, leaf.strides, leaf.dtype)
        what = "unaligned" if leaf.dtype.kind in "fiub" else f"dtype {leaf.dtype}"
        raise Unsettled(f"an array ({what})")
    if kind is float:
        return kind
    if kind is int:
        return kind if -(2**63) <= leaf < 2**63 else (kind, leaf)
    if isinstance(leaf, np.generic):
        return ("scalar", leaf.dtype) if leaf.dtype.kind in "fiub" else (kind, repr(leaf))
    if kind is complex:
        return (kind, repr(leaf))
    if kind is slice:
        return (kind, repr(leaf))
    if isinstance(leaf, type) and (leaf.__module__ == "builtins" or issubclass(leaf, np.generic)):
        return (kind, leaf)
    if isinstance(leaf, SETTLED):
        return (kind, leaf)
    raise Unsettled(f"an object of type {kind.__name__}")


def _is_traced(leaf: Any) -> bool:
    if type(leaf) is np.ndarray or isinstance(leaf, np.generic):
        return leaf.dtype.kind in "fiub"
    return type(leaf) is float or (type(leaf) is int and -(2**63) <= leaf < 2**63)


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
    captured : list of Reference
        Where the plan's further inputs are read.
    structure : Structure
        Of the result.
    recorded : Program
        The program before all passes.
    watched : list of (Reference, array)
        Arrays that must have these contents.
    constants : list of array
        What the function computed outside its traced values.
    trusted : bool
        Whether the constants are known to be the same at each call.
    problem : str
        Why the recording may not be used.
    fast : callable, False or None
        Generated code that checks a call and runs the plan; False if there can be none.
    """

    program: Program
    boundary: Boundary
    plan: Any
    traced: list[int]
    captured: list[Reference]
    structure: Structure
    recorded: Program
    watched: list[tuple[Reference, Any]] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    trusted: bool = True
    problem: str = ""
    fast: Any = None

    def inputs(self, leaves: list[Any]) -> list[Any]:
        """Return the values of a call that the program takes."""
        return [leaves[i] for i in self.traced] + [r.read() for r in self.captured]

    def run(self, leaves: list[Any]) -> tuple[bool, Any]:
        """Execute; returns whether the guards held, and the result."""
        if not self.trusted:
            return False, None
        for reference, contents in self.watched:
            if not same_bits(reference.read(), contents):
                return False, None
        inputs = self.inputs(leaves)
        if self.boundary.writes and (_overlap(inputs) or self._may_not_write(inputs)):
            return False, None
        inputs = [v if type(v) is np.ndarray else np.asarray(v) for v in inputs]
        try:
            outs = self.plan.run(*inputs)
        except Exception:
            # The function itself will say what is wrong, if it is not that a guard came too late.
            return False, None
        if type(outs) is not tuple:
            return False, outs
        return True, unflatten(self.structure, outs)

    def stands_for(self, leaves: list[Any]) -> bool:
        """Whether a call with these leaves would take the way of this recording."""
        if not self.trusted or not all(same_bits(r.read(), a) for r, a in self.watched):
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
        return not self.boundary.writes and all(g.kind in _STEADY for g in self.boundary.guards)

    @property
    def pure(self) -> Program:
        """The program, before all passes, of the results that are computed."""
        program, inputs = self.recorded, set(self.recorded.inputs)
        results = program.outputs[: self.boundary.results]
        computed = [o for o in results if type(o) is Node and o not in inputs]
        return program.memo("pure", lambda: program.select(computed))  # type: ignore[no-any-return]

    def _may_not_write(self, inputs: list[Any]) -> bool:
        """Whether an array that is written into is read-only: the writes before it count."""
        return any(not inputs[i].flags.writeable for i in self.boundary.writes)

    def same_way(self, other: Recording) -> bool:
        """Whether two recordings took the same branches."""
        mine, theirs = self.boundary.guards, other.boundary.guards
        return len(mine) == len(theirs) and all(
            a.kind == b.kind and same_bits(a.seen, b.seen) for a, b in zip(mine, theirs)
        )

    def same_watched(self, other: Recording) -> bool:
        """Whether the arrays that two recordings watch had the same contents."""
        return all(same_bits(a, b) for (_, a), (_, b) in zip(self.watched, other.watched))

    def same_constants(self, other: Recording) -> bool:
        """Whether two recordings computed with the same constants."""
        return len(self.constants) == len(other.constants) and all(
            same_bits(a, b) for a, b in zip(self.constants, other.constants)
        )

    def explain(self, name: str) -> str:
        """Return the tape, the plan and the kernels as text."""
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
        for guard in guards:
            parts.append(f"# guard: {guard.kind} was {guard.seen}, consumed at {guard.where}")
        return "\n".join(parts)


def _overlap(arrays: list[Any]) -> bool:
    """Whether any two of the arrays share memory."""
    arrays = [a for a in arrays if type(a) is np.ndarray and a.size]
    return any(np.may_share_memory(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :])


def record(
    function: Callable[..., Any], captures: Captures, args: Any, kwargs: Any, *, strict: bool
) -> tuple[Recording, Any]:
    """Run `function` on real values and make a plan of what it did.

    Returns
    -------
    recording : Recording
    result
        What the function returned for these arguments.
    """
    run = _Run(function, captures, args, kwargs)
    recording = Recording(
        run.program, run.boundary, None, run.traced, run.captured, run.structure, run.program
    )
    backend = current()
    recording.problem = run.problem or ("" if backend.usable() else backend.problems[0])
    if recording.problem:
        return recording, function(*args, **kwargs) if run.lazy and run.calm else run.result
    recording.watched = run.watched
    _note_constants(recording)
    recording.program = optimise(run.program, check)
    recording.plan = build(recording.program, run.boundary, strict=strict)
    return recording, run.result


class _Run:
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
    captured : list of Reference
        Where its further inputs are read.
    watched : list of (Reference, array)
        The captured arrays that code may have read behind the back of the trace.
    problem : str
        Why the program may not stand for the function, or nothing.
    lazy : bool
        Whether the result holds code that has still to run, with values that are traced no more.
    calm : bool
        Whether nothing tells that the function has run.
    """

    def __init__(self, function: Any, captures: Captures, args: Any, kwargs: Any) -> None:
        self.function = function
        self.captures = captures
        self.leaves, nest = flatten((args, kwargs))
        self.labels = labels(function, nest)
        self.traced = [i for i, leaf in enumerate(self.leaves) if _is_traced(leaf)]
        self.drawn = captures.random_state()
        self.before = [(r, r.read(), np.array(r.read())) for r in captures.arrays]
        with new_trace(StagingTrace) as self.trace:
            self.mirror = Mirror(self.trace, captures)
            stand_ins = list(self.leaves)
            for i in self.traced:
                leaf = self.leaves[i]
                stand_ins[i] = self.trace.variable(np.asarray(leaf), original=leaf)
            self.cells = [stand_ins[i] for i in self.traced]
            image = self.mirror.value("", None, None, function)
            images = unflatten(nest, stand_ins)
            self.trace.shared = _overlap(
                [
                    *(self.leaves[i] for i in self.traced),
                    *{id(a): a for _, a, _ in self.before}.values(),
                ]
            )
            try:
                with watched() as self.effects:
                    result = image(*images[0], **images[1])
            finally:
                self._close()
            healer = Healer(self.trace, list(zip(self.cells, self.arrays)))
            if self.mirror.give_back(healer):
                self.trace.give_up("it changes what is outside it (an attribute, a list)")
            leaves, after = flatten(images)
            if after != nest or any(a is not b for a, b in zip(leaves, stand_ins)):
                self.trace.give_up("it changes a list or dict that it was given")
                healer.give_back((args, kwargs), images)
            self._take_outputs(result, healer)
            self.watched = self._watched()
            self._make_program()
            self.problem = self._problem(healer)

    @property
    def names(self) -> list[str]:
        """What to call the inputs of the program."""
        return [*(self.labels[i] for i in self.traced), *(r.name for r in self.captured)]

    def _make_program(self) -> None:
        trace, writes = self.trace, self._writes()
        outputs = [*self.outputs, *(g.node for g in trace.guards), *(new for _, new in writes)]
        self.program = Program(trace.inputs, trace.entries, outputs, trace.weak)
        pairs = list(zip(trace.inputs, self.arrays))
        self.boundary = Boundary(
            len(self.outputs),
            trace.guards,
            [i for i, _ in writes],
            {node for node, array in pairs if isinstance(array, np.generic)},
            {node: Layout.of(np.asarray(array)) for node, array in pairs},
            self.names,
        )

    def _close(self) -> None:
        """Do to the caller's arrays what the function did to traced ones."""
        captured = list(self.mirror.cells.values())
        self.captured = [reference for _, reference, _ in captured]
        self.cells = [*self.cells, *(cell for cell, _, _ in captured)]
        self.arrays = [*(self.leaves[i] for i in self.traced), *(a for _, _, a in captured)]
        for cell, node, array in zip(self.cells, self.trace.inputs, self.arrays):
            if type(array) is np.ndarray and cell.node is not node:
                array[...] = cell.consume("write")

    def _writes(self) -> list[tuple[int, Node]]:
        places = enumerate(zip(self.cells, self.trace.inputs, self.arrays))
        return [
            (i, cell.node)
            for i, (cell, node, array) in places
            if cell.node is not node and type(array) is np.ndarray
        ]

    def _take_outputs(self, result: Any, healer: Healer) -> None:
        """Note the outputs as nodes or constants, and the result as values to give back."""
        leaves, self.structure = flatten(result)
        self.lazy = False
        self.outputs: list[Any] = []
        values: list[Any] = []
        seen: dict[int, Any] = {}
        for leaf in leaves:
            if id(leaf) not in seen:
                seen[id(leaf)] = self._output(leaf, healer)
            output, value = seen[id(leaf)]
            self.outputs.append(output)
            values.append(value)
        self.result = unflatten(self.structure, values)

    def _output(self, leaf: Any, healer: Healer) -> tuple[Any, Any]:
        trace = self.trace
        if not isinstance(leaf, Tensor):
            reference = next((r for r, array, _ in self.before if array is leaf), None)
            if reference is not None and leaf.dtype.kind in "fiub":
                cell = trace.variable(leaf)
                self.cells.append(cell)
                self.captured.append(reference)
                self.arrays.append(leaf)
                return cell.node, leaf
            if type(leaf) is np.ndarray and not self._is_outside(leaf):
                return leaf.copy(), leaf  # a constant, which its caller may change
            if not isinstance(leaf, SETTLED):
                self.lazy = self.lazy or callable(leaf) or hasattr(type(leaf), "__next__")
                trace.give_up(f"it returns an object of type {type(leaf).__name__}")
                return 0.0, healer.clean(leaf)
            return leaf, leaf
        if leaf.live_trace is not trace:
            if is_buffer(leaf, trace):
                return np.array(leaf.value), give_back(leaf.value)
            trace.give_up("it returns a tensor that is none of its own values")
            return 0.0, leaf
        for cell, node, array in zip(self.cells, trace.inputs, self.arrays):
            if leaf is cell or leaf.node is node:
                return node, array  # the argument itself, whatever was written into it
            if leaf.base is cell and cell.node is not node:
                trace.give_up("it returns a view of an argument that it writes into")
        value = leaf.value
        if leaf.node in trace.weak:
            return leaf.node, value.item()
        return leaf.node, give_back(value)

    def _is_outside(self, array: Any) -> bool:
        """Whether an array that is returned belongs to somebody else."""
        known = [a for a in self.arrays if type(a) is np.ndarray]
        known += [a for _, a, _ in self.before]
        return any(np.may_share_memory(array, a) for a in known)

    def _problem(self, healer: Healer) -> str:
        """Return why what was recorded may not stand for the function, or nothing."""
        captures = self.captures
        changed = self._heal(healer)
        drawn = captures.random_state() != self.drawn
        self.calm = not (changed or drawn or self.effects.first or self.boundary.writes)
        if self.trace.problem:
            return self.trace.problem
        if self.effects.first:
            return f"it calls {self.effects.first}, which a plan would not do anew"
        if drawn:
            return "it draws random numbers, which a plan would not draw anew"
        if changed:
            return "it changes what is outside it (a global, an attribute, a list)"
        written = {id(self.arrays[i]) for i in self.boundary.writes}
        if any(
            not same_bits(a, contents) for _, a, contents in self.before if id(a) not in written
        ):
            return "it writes into an array that is not one of its arguments"
        if written and _overlap([*self.arrays, *(r.read() for r, _ in self.watched)]):
            return "it writes into an argument that shares memory with another"
        return ""

    def _heal(self, healer: Healer) -> bool:
        """Whether the function changed what it reads; traced values in it are replaced."""
        after = survey(self.function)
        same = all(r.read() is array for r, array, _ in self.before)
        if same and self.captures.hold() and len(after.references) == len(self.captures.references):
            return False
        for reference in (*self.captures.references, *after.references):
            content = reference.read()
            clean = healer.clean(content)
            if clean is not content:
                reference.write(clean)
        return True

    def _watched(self) -> list[tuple[Reference, Any]]:
        ran = self.effects.ran
        # Code that ran as it is, and reads an object, may have read any array in such objects.
        behind = any(
            r.reader in ran and not isinstance(r.expected, (*SETTLED, np.ndarray, *_CODE))
            for r in self.captures.references
        )
        found = []
        for reference, array, contents in self.before:
            if reference.reader is not None:
                seen = reference.reader in ran
            else:
                seen = behind or id(reference) not in self.mirror.covered
            seen = seen or array.dtype.kind not in "fiub"  # the mirror shows these as they are
            if seen and not _is_frozen(array):
                found.append((reference, contents))
        return found


_CODE = (types.FunctionType, types.MethodType, types.ModuleType, type, functools.partial)


def _is_frozen(array: Any) -> bool:
    """Whether nobody can change an array without first making it writeable."""
    return not array.flags.writeable and array.base is None and array.flags.owndata


def _rule_numbers() -> frozenset[float]:
    """Return the numbers that rules of the library write."""
    numbers: set[float] = set()
    for primitive in primitives.values():
        for rule in (*(primitive.vjps or ()), primitive.vjp, primitive.jvp):
            code = getattr(rule, "__code__", None)
            if code is not None:
                numbers.update(c for c in code.co_consts if type(c) in (int, float))
    return frozenset(numbers)


def _note_constants(recording: Recording) -> None:
    """Find out what the program holds that was computed outside traced values."""
    program = recording.program
    fresh: list[Any] = []
    for operand in program.constants():
        if type(operand) is np.ndarray:
            if uniform_value(operand) is None or operand.size == 1:
                fresh.append(operand)
        elif operand == operand and operand not in _known_numbers():
            fresh.append(operand)
    fresh += [o for o in program.outputs if type(o) is np.ndarray]
    recording.constants = [np.array(c) for c in fresh]
    recording.trusted = not any(type(c) is np.ndarray and c.ndim for c in fresh)


_numbers: list[frozenset[float]] = []


def _known_numbers() -> frozenset[float]:
    if not _numbers:
        _numbers.append(_rule_numbers() | {0, 1, 2, 3, 0.5, -1})
    return _numbers[0]
