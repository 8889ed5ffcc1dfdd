"""Plans: the straight line of kernel calls, views and library calls that executes a program.

A plan is Python source too. It belongs to one signature (sizes included); the kernels that it calls do
not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tapegrad.compile.backends.numba import threads
from tapegrad.compile.backends.numba.kernels import compiled, kernel_type
from tapegrad.compile.fusion import groups as fuse
from tapegrad.compile.fusion import lowering as codegen
from tapegrad.compile.passes.expansions import stage
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.pipeline import optimise
from tapegrad.compile.plans.boundary import Boundary, guard_holds
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.content import bodies
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import Guard

__all__ = ["Miss", "Plan", "build"]


class Miss:
    """What a plan returns when a guard does not hold: the guard, and what it saw."""

    __slots__ = ("guard", "value")

    def __init__(self, guard: Guard, value: Any) -> None:
        self.guard = guard
        self.value = value


@dataclass(slots=True)
class Plan:
    """An executable program.

    Attributes
    ----------
    run : callable
        Takes the inputs; returns a tuple of output leaves, or a :class:`Miss`.
    source : str
    kernels : list of KernelPlan
    library_steps : list of Node
        What is executed by NumPy because it has no lowering.
    bodies : list of (str, Node, Plan)
        The plans of the programs that are parameters of entries: the parameter, the entry, its plan.
    compiled, reused : int
        Kernels compiled for this plan, and found compiled.
    """

    run: Callable[..., Any]
    source: str
    kernels: list[codegen.KernelPlan]
    library_steps: list[Node] = field(default_factory=list)
    bodies: list[tuple[str, Node, Plan]] = field(default_factory=list)
    compiled: int = 0
    reused: int = 0


class _Writer:
    """Writes the source of a plan, and collects what it refers to."""

    def __init__(self, program: Program, boundary: Boundary, strict: bool) -> None:
        self.program = program
        self.boundary = boundary
        self.strict = strict
        self.lines: list[str] = []
        self.space: dict[str, Any] = {
            "empty": np.empty,
            "asarray": np.asarray,
            "as_c": _as_c,
            "full": np.full,
            "guard_holds": guard_holds,
            "Miss": Miss,
        }
        self.names: dict[Node, str] = {}
        self.layouts: dict[Node, Layout] = {}
        self.kernels: list[codegen.KernelPlan] = []
        self.library_steps: list[Node] = []
        self.bodies: list[tuple[str, Node, Plan]] = []
        self.by_library: set[Node] = set()
        self.compiled = 0
        self.reused = 0

    def constant(self, value: Any, letter: str = "c") -> str:
        name = f"{letter}{len(self.space)}"
        self.space[name] = value
        return name

    def name(self, value: Any) -> str:
        if type(value) is Node:
            return self.names[value]
        return self.constant(value)

    def new(self, node: Node) -> str:
        name = self.names[node] = f"t{len(self.names)}"
        return name

    # Steps ---------------------------------------------------------------------------------------

    def step(self, step: fuse.Group | fuse.Step, needed: set[Node]) -> list[Node]:
        """Write one step; return the nodes that are there after it."""
        if isinstance(step, fuse.Group):
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
        primitive, params = entry.primitive, entry.params
        # A Python number must be one here, for NumPy's promotion.
        weak = self.program.weak
        args = ", ".join(
            self.name(o) + (".item()" if type(o) is Node and o in weak else "")
            for o in entry.operands
        )
        source = entry.operands[0] if entry.operands else None
        layout = None
        if primitive.view and type(source) is Node:
            layout = self.layouts[source].through(primitive, params)
        function = self.constant(partial(primitive.forward, **self._with_plans(entry)), "f")
        call = f"{function}({args})"
        if layout is None and not primitive.multiple:
            call = f"as_c({call})"
            layout = Layout.fresh(entry.shape, entry.dtype)
        name = self.new(entry)
        self.lines.append(f"{name} = {call}  # {primitive.name}")
        if layout is not None:
            self.layouts[entry] = layout
        self.by_library.add(entry)
        if not primitive.view:
            self.library_steps.append(entry)

    def _with_plans(self, entry: Node) -> dict[str, Any]:
        """Return the parameters of an entry, with the programs among them planned."""
        params = dict(entry.params)
        for name, body in bodies(entry.params):
            plan = build(optimise(stage(body)), strict=self.strict)
            self.bodies.append((name, entry, plan))
            self.compiled += plan.compiled
            self.reused += plan.reused
            params[name] = partial(_run_body, plan.run)
        return params

    def kernel(self, group: fuse.Group, needed: set[Node]) -> list[Node]:
        """Write the call of a kernel, and the arrays that it fills."""
        plan = codegen.generate(group, self.layouts, self.program.weak, needed)
        size = int(np.prod(plan.sizes, dtype=np.int64))
        call = self._callable(plan, size)
        whole = ["0"] * plan.turned + [str(n) for n in plan.sizes]
        arguments = whole if _parts(plan, size) == 1 else []
        arguments += [self._argument(o) for o in plan.operands]
        made: list[Node] = []
        after: list[str] = []
        for out in plan.outputs:
            arguments.append(self._output(out.value, out.shape))
            made.append(out.value)
        for r in plan.partials:
            shape = tuple(plan.sizes[d] for d in r.dims)
            start = threads.START[r.kind]
            arguments.append(self._output(r.node, shape, start))
            made.append(r.node)
        returned = []
        for node, _ in plan.returned:
            name = self.new(node)
            returned.append(name)
            made.append(node)
            self.layouts[node] = Layout.fresh(node.shape, node.dtype)
            # A Python number would be weak in the promotion of a library step.
            if node.shape:
                filler = self.constant(partial(np.full, node.shape, dtype=node.dtype), "f")
                after.append(f"{name} = {filler}({name})")
            else:
                after.append(f"{name} = {self.constant(node.dtype.type, 'd')}({name})")
        inside = ", ".join(arguments)
        self._write_call(plan, call, inside, returned, size)
        self.lines += after
        self.kernels.append(plan)
        return made

    def _write_call(
        self, plan: codegen.KernelPlan, call: str, inside: str, returned: list[str], size: int
    ) -> None:
        if plan.exact_source is None:
            target = f"{', '.join(returned)} = " if returned else ""
            self.lines.append(f"{target}{call}({inside})")
            return
        exact = self.constant(_Exact(self, plan, size), "k")
        self.lines.append(f"{', '.join([*returned, 'beyond'])} = {call}({inside})")
        target = f"{', '.join(returned)} = " if returned else ""
        again = self._fresh_partials(plan)
        self.lines.append(f"if beyond: {again}{target}{exact}({inside})")

    def _fresh_partials(self, plan: codegen.KernelPlan) -> str:
        """Reset the arrays into which a kernel accumulates, before it runs a second time."""
        return "".join(
            f"{self.names[r.node]}.fill({threads.START[r.kind]!r}); ".replace("inf", "float('inf')")
            for r in plan.partials
        )

    def _argument(self, operand: codegen.Operand) -> str:
        value = operand.value
        if type(value) is not Node and not isinstance(value, np.ndarray):
            return self.constant(value.item() if isinstance(value, np.generic) else value)
        own = value.shape
        if operand.shape is not None and any(operand.axes) and operand.shape != own:
            if type(value) is not Node:
                return self.constant(np.ascontiguousarray(value).reshape(operand.shape))
            return f"{self.name(value)}.reshape({operand.shape})"
        if not any(operand.axes) and own != ():
            return f"{self.name(value)}.item()"
        return self.name(value)

    def _output(self, node: Node, shape: tuple[int, ...] | None, start: Any = None) -> str:
        """Write the allocation of a result; return the text of the argument that is written to."""
        name = self.new(node)
        dtype = self.constant(node.dtype, "d")
        self.layouts[node] = Layout.fresh(node.shape, node.dtype)
        if start is None:
            self.lines.append(f"{name} = empty({node.shape}, {dtype})")
        else:
            self.lines.append(f"{name} = full({node.shape}, {self.constant(start)}, {dtype})")
        if shape is not None and shape != node.shape:
            return f"{name}.reshape({shape})"
        return name

    def _callable(self, plan: codegen.KernelPlan, size: int) -> str:
        function, new = compiled(plan.source, plan.functions, argument_types(plan))
        self.compiled += new
        self.reused += not new
        return self.constant(prepared(plan, function, size, bool(plan.exact_source)), "k")

    # The rest ------------------------------------------------------------------------------------

    def guard(self, guard: Guard, node: Node) -> None:
        """Write the check of a guard, of which a node has the value."""
        name = self.names[node]
        held = self.constant(guard, "g")
        self.lines.append(f"if not guard_holds({held}, {name}): return Miss({held}, {name})")

    def output(self, value: Any) -> str:
        """Return the text of one leaf of the result, as NumPy would return it."""
        if isinstance(value, np.ndarray):
            return f"{self.constant(value)}.copy()"  # the caller may change what it gets
        if type(value) is not Node:
            return self.constant(value)
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


def _run_body(run: Callable[..., Any], *values: Any) -> Any:
    """Run the plan of a body, whose inputs are C-contiguous arrays."""
    return run(*map(_as_c, values))


def argument_types(plan: codegen.KernelPlan) -> tuple[Any, ...]:
    """Return the Numba types of a kernel's arguments."""
    size = kernel_type(np.dtype(np.int64), 0, True)
    types = [size] * (plan.turned + len(plan.sizes))
    types += [kernel_type(o.dtype, sum(o.axes), o.contiguous) for o in plan.operands]
    types += [kernel_type(o.dtype, sum(o.axes), True) for o in plan.outputs]
    types += [kernel_type(r.node.dtype, len(plan.sizes) - sum(r.axes), True) for r in plan.partials]
    return tuple(types)


def _parts(plan: codegen.KernelPlan, size: int) -> int:
    """Return into how many parts a kernel is divided; one that is not takes its sizes in the call."""
    return threads.parts_of(size * plan.cost, plan.sizes[0]) if plan.sizes else 1


def prepared(
    plan: codegen.KernelPlan, function: Callable[..., Any], size: int, flagged: bool
) -> Callable[..., Any]:
    """Let threads share a kernel if it is large."""
    parts = _parts(plan, size)
    if parts == 1:
        return function
    sliced = tuple(bool(o.axes) and o.axes[0] for o in (*plan.operands, *plan.outputs))
    partials = tuple((r.kind, not r.axes[0]) for r in plan.partials)
    full = tuple(r.kind for r in plan.reductions if r.full)
    return threads.Shared(function, plan.sizes, parts, sliced, partials, full, flagged, plan.turned)


class _Exact:
    """A kernel with exact functions, compiled when an argument first leaves the fast ones' range."""

    def __init__(self, writer: _Writer, plan: codegen.KernelPlan, size: int) -> None:
        self.plan = plan
        self.size = size
        self.function: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        if self.function is None:
            assert self.plan.exact_source is not None
            code, _ = compiled(
                self.plan.exact_source, self.plan.functions, argument_types(self.plan)
            )
            self.function = prepared(self.plan, code, self.size, False)
        return self.function(*args)


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
    boundary = boundary or Boundary(len(program.outputs))
    results = program.outputs[: boundary.results]
    rest = iter(program.outputs[boundary.results :])
    guards = list(zip(boundary.guards, rest))
    writer = _Writer(program, boundary, strict)
    for i, node in enumerate(program.inputs):
        writer.names[node] = f"x{i}"
        writer.layouts[node] = boundary.layouts.get(node) or Layout.fresh(node.shape, node.dtype)
    steps = fuse.partition(program)
    needed = _needed_outside(steps, program)
    there = set(program.inputs)
    for step in (None, *steps):
        if step is not None:
            there = set(writer.step(step, needed))
        for guard, node in guards:
            if node in there:
                writer.guard(guard, node)
    for i, new in zip(boundary.writes, rest):
        writer.lines.append(f"x{i}[...] = {writer.names[new]}")
    outputs = [writer.output(o) for o in results]
    inputs = ", ".join(f"x{i}" for i in range(len(program.inputs)))
    writer.lines.append(f"return ({''.join(o + ', ' for o in outputs)})")
    body = "\n".join("    " + line for line in writer.lines)
    source = f"def plan({inputs}):\n{body}\n"
    exec(compile(source, "<tapegrad plan>", "exec"), writer.space)
    return Plan(
        writer.space["plan"],
        source,
        writer.kernels,
        writer.library_steps,
        writer.bodies,
        writer.compiled,
        writer.reused,
    )


def _needed_outside(steps: list[fuse.Group | fuse.Step], program: Program) -> set[Node]:
    """Return the values that leave the step that makes them."""
    needed = set(program.results())
    for step in steps:
        entries = step.entries if isinstance(step, fuse.Group) else [step.entry]
        own = set(entries)
        for entry in entries:
            needed.update(o for o in entry.operands if type(o) is Node and o not in own)
    return needed
