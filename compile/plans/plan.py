"""Plans: the straight line of kernel calls, views and library calls that executes a program.

A plan is Python source too. It belongs to one signature (sizes included); the kernels that it calls do
not.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Expression, evaluate
from tapegrad.compile.backends.interface import Kernel, current
from tapegrad.compile.fusion.groups import Group, Step, partition
from tapegrad.compile.fusion.lowering import KernelCall, Passed, lower
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.pipeline import optimise
from tapegrad.compile.plans.boundary import Boundary, guard_holds
from tapegrad.compile.plans.script import Lines, Script, operations_of, shortened
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.content import bodies
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import Guard

__all__ = ["KernelStep", "Miss", "Plan", "build"]

#: Bytes of an array whose memory is given back before the plan ends.
_LARGE = 1 << 15


class Miss:
    """What a plan returns when a guard does not hold: the guard, and what it saw."""

    __slots__ = ("guard", "value")

    def __init__(self, guard: Guard, value: Any) -> None:
        self.guard = guard
        self.value = value


@dataclass(slots=True)
class KernelStep:
    """A step of a plan that is a kernel.

    Attributes
    ----------
    name : str
        What the plan calls the kernel; steps with the same source share it.
    source : str
    call : KernelCall
    entries : list of Node
    """

    name: str
    source: str
    call: KernelCall
    entries: list[Node]


@dataclass(slots=True)
class Plan:
    """An executable program.

    Attributes
    ----------
    run : callable
        Takes the inputs; returns a tuple of output leaves, or a :class:`Miss`.
    source : str
    kernels : list of KernelStep
    library_steps : list of Node
        What is executed by NumPy because it has no lowering.
    bodies : list of (str, Node, Plan)
        The plans of the programs that are parameters of entries: the parameter, the entry, its plan.
    origins : Counter
        How many kernels were "compiled" for this plan, "loaded" from disk, or "known" in this process.
    """

    run: Callable[..., Any]
    source: str
    kernels: list[KernelStep]
    library_steps: list[Node] = field(default_factory=list)
    bodies: list[tuple[str, Node, Plan]] = field(default_factory=list)
    origins: Counter[str] = field(default_factory=Counter)

    @property
    def compiled(self) -> int:
        """How many kernels had to be compiled."""
        return self.origins["compiled"]


class _PlanWriter:
    """Writes the source of a plan, and collects what it refers to."""

    def __init__(self, program: Program, boundary: Boundary, strict: bool) -> None:
        self.program = program
        self.boundary = boundary
        self.strict = strict
        self.script = Script(
            {
                "empty": np.empty,
                "full": np.full,
                "as_c": _as_c,
                "guard_holds": guard_holds,
                "Miss": Miss,
            }
        )
        self.lines = Lines()
        self.names: dict[Node, str] = {}
        self.kernel_names: dict[str, str] = {}  # by source
        self.layouts: dict[Node, Layout] = {}
        self.kernels: list[KernelStep] = []
        self.library_steps: list[Node] = []
        self.bodies: list[tuple[str, Node, Plan]] = []
        self.by_library: set[Node] = set()
        self.origins: Counter[str] = Counter()

    def inputs(self) -> None:
        """Name the inputs."""
        names = self.boundary.names or [f"x{i}" for i in range(len(self.program.inputs))]
        for hint, node in zip(names, self.program.inputs):
            name = self.names[node] = self.script.unique(hint)
            self.layouts[node] = self.boundary.layouts.get(node) or _fresh(node)
            shape = ", ".join(map(str, node.shape))
            self.script.comment(f"{name}: {node.dtype.name}[{shape}]")

    def name(self, value: Any) -> str:
        """Return the source of an operand."""
        return self.names[value] if type(value) is Node else self.script.refer(value, "constant")

    def new(self, entry: Node) -> str:
        """Return a name for the value of an entry: what made it, for a reduction also of what."""
        hint = entry.primitive.name
        made = entry.operands[0] if entry.operands else None
        if entry.primitive.family == "reduction" and getattr(made, "primitive", None) is not None:
            hint = f"{hint}_{made.primitive.name}"  # type: ignore[union-attr]
        name = self.names[entry] = self.script.unique(hint)
        return name

    # Steps ---------------------------------------------------------------------------------------

    def step(self, step: Group | Step, needed: set[Node]) -> list[Node]:
        """Write one step; return the nodes that are there after it."""
        if isinstance(step, Group):
            try:
                return self.kernel(step, needed)
            except Exception as error:
                if self.strict:
                    raise
                warnings.warn(
                    f"a kernel did not compile and its {len(step.entries)} operations are run by "
                    f"NumPy instead: {type(error).__name__}: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                for entry in step.entries:
                    self.library_step(entry)
                return list(step.entries)
        self.library_step(step.entry)
        return [step.entry]

    def library_step(self, entry: Node) -> None:
        """Write a view or a library call."""
        primitive, params, script = entry.primitive, entry.params, self.script
        # A Python number must be one here, for NumPy's promotion.
        weak = self.program.weak
        arguments = ", ".join(
            self.name(o) + (".item()" if type(o) is Node and o in weak else "")
            for o in entry.operands
        )
        source = entry.operands[0] if entry.operands else None
        layout = None
        if primitive.view and type(source) is Node:
            layout = self.layouts[source].of_view(primitive, params)
        call = f"{self._forward(entry)}({arguments})"
        if layout is None and not primitive.multiple:
            call = f"as_c({call})"
            layout = _fresh(entry)
        words = [f"{key}={shortened(value)}" for key, value in entry.params.items()]
        script.add(
            f"{self.new(entry)} = {call}",
            ", ".join(part for part in (*words, self.lines.of_all([entry])) if part),
        )
        if layout is not None:
            self.layouts[entry] = layout
        self.by_library.add(entry)
        if not primitive.view:
            self.library_steps.append(entry)

    def _forward(self, entry: Node) -> str:
        """Return the name of a primitive's function with its parameters; programs are planned."""
        primitive, params = entry.primitive, dict(entry.params)
        for name, body in bodies(entry.params):
            plan = build(optimise(body), strict=self.strict)
            self.bodies.append((name, entry, plan))
            self.origins += plan.origins
            params[name] = partial(_run_body, plan.run)
        function = partial(primitive.forward, **params) if params else primitive.forward
        prefix = "np" if hasattr(np, primitive.name) else "run"
        return self.script.refer(function, f"{prefix}_{primitive.name}")

    def kernel(self, group: Group, needed: set[Node]) -> list[Node]:
        """Write the call of a kernel, and the arrays that it fills."""
        call = lower(group, self.layouts, self.program.weak, needed)
        kernel = current().compile(call.nest, call.sizes)
        self.origins[kernel.origin] += 1
        name = self.kernel_names.setdefault(kernel.source, f"kernel_{len(self.kernel_names)}")
        self.script.gap()
        self.script.comment(
            f"{name}: {operations_of(group.entries)}  ({self.lines.of_all(group.entries)})"
        )
        arguments = [str(n) for n in kernel.leading]
        arguments += [self._argument(o) for o in call.operands]
        arguments += [self._output(out) for out in call.outputs]
        arguments += [self._output(Passed(p.value, p.shape), p.initial) for p in call.partials]
        returned = [self.new(node) for node in call.returned]
        self._call(kernel, name, call, returned, arguments)
        for node in call.returned:
            self._as_scalar(node)
        for node, finish in call.finishes.items():
            finished = self.script.refer(partial(_finished, finish), f"finish_{self.names[node]}")
            self.script.add(f"{self.names[node]} = {finished}({self.names[node]})")
        self.kernels.append(KernelStep(name, kernel.source, call, group.entries))
        filled = [*(out.value for out in call.outputs), *(p.value for p in call.partials)]
        return [*filled, *call.returned]

    def _call(
        self, kernel: Kernel, name: str, call: KernelCall, returned: list[str], arguments: list[str]
    ) -> None:
        """Write the call, and what follows if an argument was too large for fast functions."""
        script = self.script
        function = script.refer(kernel.call, name)
        if kernel.exact is None:
            script.call(returned, function, arguments)
            return
        script.call([*returned, "beyond"], function, arguments)
        script.add("if beyond:", "an argument was too large for the fast form of a function")
        for partial_ in call.partials:
            if partial_.initial is not None:
                initial = script.refer(partial_.initial, "initial")
                script.add(f"    {self.names[partial_.value]}.fill({initial})")
        exact = script.refer(kernel.exact, f"{name}_exact")
        script.call(returned, exact, arguments, indent="    ")

    def _as_scalar(self, node: Node) -> None:
        """Write how the number that a kernel returns becomes a NumPy scalar, or an array of size 1.

        A Python number would be weak in the promotion of a library step.
        """
        name = self.names[node]
        self.layouts[node] = _fresh(node)
        if node.shape:
            shape = self.script.refer(partial(np.full, node.shape, dtype=node.dtype), "as_array")
            self.script.add(f"{name} = {shape}({name})")
        else:
            scalar = self.script.refer(node.dtype.type, f"np_{node.dtype.name}")
            self.script.add(f"{name} = {scalar}({name})")

    def _argument(self, operand: Passed) -> str:
        value, shape = operand
        if type(value) is not Node and not isinstance(value, np.ndarray):
            number = value.item() if isinstance(value, np.generic) else value
            return self.script.refer(number, "number")
        if shape and shape != value.shape:
            if type(value) is not Node:
                return self.script.refer(np.ascontiguousarray(value).reshape(shape), "constant")
            return f"{self.name(value)}.reshape({shape})"
        if not shape and value.shape:
            return f"{self.name(value)}.item()"
        return self.name(value)

    def _output(self, out: Passed, initial: float | None = None) -> str:
        """Write the allocation of a result; return the source of the argument that is filled."""
        node, script = out.value, self.script
        name, dtype = self.new(node), script.dtype(node.dtype)
        self.layouts[node] = _fresh(node)
        if initial is None:
            script.add(f"{name} = empty({node.shape}, {dtype})")
        else:
            script.add(f"{name} = full({node.shape}, {script.refer(initial, 'initial')}, {dtype})")
        return name if out.shape == node.shape else f"{name}.reshape({out.shape})"

    def let_go(self, nodes: Iterable[Node]) -> None:
        """Write that large arrays are needed no more."""
        names = [self.names[node] for node in nodes if node in self.names]
        if names:
            self.script.add(f"del {', '.join(names)}")

    # The rest ------------------------------------------------------------------------------------

    def guard(self, guard: Guard, node: Node) -> None:
        """Write the check of a guard, of which a node has the value."""
        name, seen = self.names[node], self.script.refer(guard, "guard")
        self.script.add(f"if not guard_holds({seen}, {name}):", self.lines.of(guard.where))
        self.script.add(f"    return Miss({seen}, {name})")

    def output(self, value: Any) -> str:
        """Return the source of one leaf of the result, as NumPy would return it."""
        if isinstance(value, np.ndarray):
            return f"{self.name(value)}.copy()"  # the caller may change what it gets
        if type(value) is not Node:
            return self.name(value)
        name = self.names[value]
        if value in self.program.weak:
            return f"{name}.item()"  # a Python number
        if value in self.boundary.scalars:
            return f"{name}[()]"
        if value.shape == () and value in self.by_library:
            return f"{name}[()]"  # NumPy gives scalars where the library step gave an array
        return name


def _as_c(value: Any) -> Any:
    return np.asarray(value, order="C")


def _finished(finish: Expression, total: Any) -> Any:
    return evaluate(finish, {"x": total})


def _run_body(run: Callable[..., Any], *values: Any) -> Any:
    """Run the plan of a body, whose inputs are C-contiguous arrays."""
    return run(*map(_as_c, values))


def _fresh(node: Node) -> Layout:
    return Layout.fresh(node.shape, node.dtype)


def build(program: Program, boundary: Boundary | None = None, *, strict: bool = False) -> Plan:
    """Make the plan of a program.

    Parameters
    ----------
    program : Program
        After all passes.
    boundary : Boundary, optional
        By default all outputs are results, and all inputs C-contiguous arrays.
    strict : bool
        Whether a kernel that does not compile raises.
    """
    _keep_freed_memory()
    boundary = boundary or Boundary(len(program.outputs))
    results = program.outputs[: boundary.results]
    rest = iter(program.outputs[boundary.results :])
    guards = list(zip(boundary.guards, rest))
    writer = _PlanWriter(program, boundary, strict)
    writer.inputs()
    steps = partition(program)
    needed = _needed_outside(steps, program)
    there = set(program.inputs)
    ends = _last_uses(steps, program)
    for step in (None, *steps):
        if step is not None:
            there = set(writer.step(step, needed))
            writer.let_go(ends.get(step, ()))
        for guard, node in guards:
            if node in there:
                writer.guard(guard, node)
    script, inputs = writer.script, [writer.names[node] for node in program.inputs]
    for i, new in zip(boundary.writes, rest):
        script.add(f"{inputs[i]}[...] = {writer.names[new]}")
    script.tuple("return ", [writer.output(o) for o in results])
    return Plan(
        script.function("plan", inputs),
        script.source("plan", inputs),
        writer.kernels,
        writer.library_steps,
        writer.bodies,
        writer.origins,
    )


@cache
def _keep_freed_memory() -> None:
    """Have the allocator keep the memory of arrays that are freed, for the next call of a plan.

    glibc gives the memory of larger arrays back to the system, which clears it page by page when it is
    asked for again: that takes several times as long as computing with it. How large these are it
    learns from the largest that is freed: 32 MB is what it takes at most, of which no page is touched.
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)


def _last_uses(steps: list[Group | Step], program: Program) -> dict[Group | Step, list[Node]]:
    """Return the large values that no step after this one uses."""
    last: dict[Node, Group | Step] = {}
    for step in steps:
        entries = step.entries if isinstance(step, Group) else [step.entry]
        last.update((o, step) for entry in entries for o in entry.operands if type(o) is Node)
    for kept in (*program.results(), *program.inputs):
        last.pop(kept, None)
    ends: dict[Group | Step, list[Node]] = {}
    for node, step in last.items():
        if _bytes_held(node) >= _LARGE:
            ends.setdefault(step, []).append(node)
    return ends


def _bytes_held(node: Node) -> int:
    """Return the size of the memory that a value keeps alive: a view that of its base."""
    while node.primitive is not None and node.primitive.view and type(node.operands[0]) is Node:
        node = node.operands[0]
    return math.prod(node.shape) * node.dtype.itemsize


def _needed_outside(steps: list[Group | Step], program: Program) -> set[Node]:
    """Return the values that leave the step that makes them."""
    needed = set(program.results())
    for step in steps:
        entries = step.entries if isinstance(step, Group) else [step.entry]
        own = set(entries)
        for entry in entries:
            needed.update(o for o in entry.operands if type(o) is Node and o not in own)
    return needed
