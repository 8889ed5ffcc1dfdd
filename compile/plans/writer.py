"""The writer of plans: the source of each step, and what it refers to."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Expression, evaluate
from tapegrad.compile.backends.interface import Kernel, current
from tapegrad.compile.fusion.groups import Group, Step
from tapegrad.compile.fusion.lowering import KernelCall, Passed, lower
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.passes.pipeline import optimised
from tapegrad.compile.plans.boundary import Boundary, guard_holds
from tapegrad.compile.plans.loop_primitives import Runner, looped
from tapegrad.compile.plans.memory import (
    LARGE,
    Lifetimes,
    bytes_held,
    overwritable,
)
from tapegrad.compile.plans.places import Unfit
from tapegrad.compile.plans.plan import KernelStep, Miss, Plan
from tapegrad.compile.plans.products import as_called
from tapegrad.compile.plans.repeated import Beyond
from tapegrad.compile.plans.script import Lines, Script, operations_of, shortened
from tapegrad.tape.core.journal import Watch
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.content import bodies
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import Guard

__all__ = ["PlanWriter"]


class PlanWriter:
    """Writes the source of a plan, and collects what it refers to."""

    def __init__(
        self,
        program: Program,
        boundary: Boundary,
        strict: bool,
        lifetimes: Lifetimes,
        build: Callable[..., Plan],
    ) -> None:
        self.program = program
        self.build = build  # for the programs that are parameters of entries
        self.lifetimes = lifetimes
        self.boundary = boundary
        self.strict = strict
        self.script = Script(
            {
                "empty": np.empty,
                "broadcast": np.broadcast_to,
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
        self.in_machine_code: set[Node] = set()
        self.overwritten: set[Node] = set()
        #: The inputs that get new values at the end, by these.
        self.targets: dict[Node, Node] = {}
        #: The steps after which something may still stop the call.
        self.too_early: set[Group | Step] = set()
        #: The inputs of which the memory may still become that of results.
        self.donated: list[Node] = []
        self.current: Group | Step | None = None
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
        self.current = step
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
        self.library_step(step.entry, step)
        return [step.entry]

    def library_step(self, entry: Node, step: Step | None = None) -> None:
        """Write a view or a library call; without `step` it is one of several."""
        if self._is_recurrence(entry):
            self.recurrence(entry)
            return
        if entry.primitive.into is not None and step is not None:
            base = entry.operands[0]
            if type(base) is Node and self.lifetimes.may_be_overwritten(base, step):
                self.in_place(entry)
                return
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
        forward = self._forward(entry)
        if step is not None and isinstance(script.space[forward], np.ufunc) and entry.shape:
            given = self._given_for(entry, lambda n: self._is_free_for(n, step))
            if given is not None:
                self.overwritten.add(given)
                arguments = f"{arguments}, out={self.names[given]}"
        call = f"{forward}({arguments})"
        if layout is None and not primitive.multiple:
            call = f"as_c({call})"
            layout = _fresh(entry)
        words = ["in machine code"] * (entry in self.in_machine_code)
        words += [f"{key}={shortened(value)}" for key, value in entry.params.items()]
        script.add(
            f"{self.new(entry)} = {call}",
            ", ".join(part for part in (*words, self.lines.of_all([entry])) if part),
        )
        if layout is not None:
            self.layouts[entry] = layout
        self.by_library.add(entry)
        if not primitive.view and entry not in self.in_machine_code:
            self.library_steps.append(entry)
        if primitive.into is not None:
            self.lifetimes.own.add(entry)  # it has copied its first operand

    def in_place(self, entry: Node) -> None:
        """Write a step that changes the memory of its first operand, which nobody needs any more."""
        base = entry.operands[0]
        function = partial(entry.primitive.into, **entry.params)  # type: ignore[arg-type]
        run = self.script.refer(function, f"{entry.primitive.name}_into")
        arguments = ", ".join(map(self.name, entry.operands))
        self.script.add(f"{run}({arguments})", self.lines.of_all([entry]))
        self.names[entry], self.layouts[entry] = self.names[base], self.layouts[base]
        self.overwritten.add(base)
        self.lifetimes.own.add(entry)
        self.library_steps.append(entry)

    def _is_recurrence(self, entry: Node) -> bool:
        alike = all(getattr(o, "dtype", None) == entry.dtype for o in entry.operands)
        return (
            entry.primitive.recurrence is not None
            and alike
            and entry.dtype.kind == "f"
            and entry.dtype in current().DTYPES
            and 0 not in entry.shape
        )

    def recurrence(self, entry: Node) -> None:
        """Write the kernel of an entry whose elements depend on those before them."""
        axis, shape = entry.params["axis"], entry.shape
        sizes = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        watch = Watch()
        run = current().recurrence(
            entry.primitive.recurrence, entry.dtype, sizes[2] == 1, entry.params["reverse"]
        )
        watch.tell(lambda: f"kernel ready: {self._described([entry])}")
        operands = []
        for operand in entry.operands:
            name = self.name(operand)
            if operand.shape != shape:
                name = f"broadcast({name}, {shape})"
            operands.append(f"{name}.reshape({sizes})")
        target = self._output(Passed(entry, sizes))
        arguments = [*map(str, sizes), *operands, target]
        self.script.comment(self.lines.of_all([entry]))
        self.script.call([], self.script.refer(run, f"run_{entry.primitive.name}"), arguments)
        self.by_library.add(entry)

    def _forward(self, entry: Node) -> str:
        """Return the name of a primitive's function with its parameters; programs are planned."""
        primitive, params = entry.primitive, dict(entry.params)
        programs = {name: optimised(body) for name, body in bodies(entry.params)}
        for name, body in programs.items():
            plan = body.memo(("plan", self.strict), partial(self.build, body, strict=self.strict))
            self.bodies.append((name, entry, plan))
            self._count(plan.origins)
            params[name] = _Body(plan.run)
        function = as_called(entry)
        if function is None:
            function = partial(primitive.forward, **params) if params else primitive.forward
        prefix = "np" if hasattr(np, primitive.name) else "run"
        loop = self._loop(entry, programs)
        if loop is not None:
            self.in_machine_code.add(entry)
            for part in loop.loops:
                self._count(part.code.origins)
            function, prefix = partial(_tried, loop, function), "loop"
        return self.script.refer(function, f"{prefix}_{primitive.name}")

    def _count(self, origins: Counter[str]) -> None:
        """Count kernels; those of what other plans have, too, are known from then on."""
        self.origins += origins
        total = origins.total()
        origins.clear()
        origins["known"] = total

    def _loop(self, entry: Node, programs: dict[str, Program]) -> Runner | None:
        """Return what runs a loop as one piece of machine code, if there is such."""
        try:
            return looped(entry, programs)
        except Unfit:
            return None
        except Exception as error:
            if self.strict:
                raise
            warnings.warn(
                f"a loop did not compile and is run by Python instead: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None

    def kernel(self, group: Group, needed: set[Node]) -> list[Node]:
        """Write the call of a kernel, and the arrays that it fills."""
        call = lower(group, self.layouts, self.program.weak, needed)
        over = self._overwritten(group, call)
        if over:
            call = lower(group, self.layouts, self.program.weak, needed, over)
        watch = Watch()
        kernel = current().compile(call.nest, call.sizes)
        if kernel.origin != "known":
            watch.tell(lambda: f"kernel {kernel.origin}: {self._described(group.entries)}")
        for out, operand in over.items():
            self.names[out] = self.names[operand]
            self.layouts[out] = _fresh(out)
            self.overwritten.add(operand)
        self.origins[kernel.origin] += 1
        name = self.kernel_names.setdefault(kernel.source, f"kernel_{len(self.kernel_names)}")
        self.script.gap()
        self.script.comment(f"{name}: {self._described(group.entries)}")
        arguments = [str(n) for n in (*kernel.leading, *call.bounds)]
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
        filled = [*(out.value for out in call.outputs), *over, *(p.value for p in call.partials)]
        self.lifetimes.own.update(filled)
        return [*filled, *call.returned]

    def _described(self, entries: Sequence[Node]) -> str:
        """Return what entries do, and the user's lines that they come from."""
        return f"{operations_of(entries)}  ({self.lines.of_all(entries)})"

    def _overwritten(self, group: Group, call: KernelCall) -> dict[Node, Node]:
        """Choose outputs that are written where an operand lies which nobody needs any more."""
        if current().repeats(call.nest):
            return {}  # the operands are needed again
        # An array of one element may be passed as a number.
        arrays = {o.value for o in call.operands if o.shape and type(o.value) is Node}
        found = [node for node in dict.fromkeys(overwritable(group)) if node in arrays]
        free = [
            node
            for node in found
            if self.lifetimes.may_be_overwritten(node, group) and bytes_held(node) >= LARGE
        ]
        last = {n for n in found if self.lifetimes.is_last(n, group)}
        over: dict[Node, Node] = {}
        for out in call.outputs:
            target = self.targets.get(out.value)
            if target not in last or not self._may_become(target, out.value):
                target = self._given_for(out.value, last.__contains__)
            if target is not None:
                over[out.value] = target
                continue
            for node in free:
                if node.dtype == out.value.dtype and out.value.shape == node.shape:
                    over[out.value] = node
                    free.remove(node)
                    break
        return over

    def _given_for(self, out: Node, is_free: Callable[[Node], bool]) -> Node | None:
        """Take a donated input for a result, which is no longer needed as it is; None if none fits."""
        if self.lifetimes.is_result(out):
            for node in self.donated:
                if is_free(node) and self._may_become(node, out):
                    self.donated.remove(node)
                    return node
        return None

    def _is_free_for(self, node: Node, step: Step) -> bool:
        """Whether a library step may write where an input lies."""
        if step.entry.primitive.family == "elementwise" and self.lifetimes.is_last(node, step):
            return True
        return self.lifetimes.is_over(node, step)

    def _may_become(self, node: Node, new: Node) -> bool:
        """Whether another value may lie where an input lies: nothing may stop the call from here on."""
        return (
            self.current not in self.too_early
            and (node.shape, node.dtype) == (new.shape, new.dtype)
            and self.layouts[node].contiguous
        )

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
        step = self.current
        given = self._given_for(
            node, lambda n: step is not None and self.lifetimes.is_over(n, step)
        )
        start = "" if initial is None else script.refer(initial, "initial")
        if given is not None:
            self.overwritten.add(given)
            script.add(f"{name} = {self.names[given]}", "whose memory is given away")
            if start:
                script.add(f"{name}.fill({start})")
        elif start:
            script.add(f"{name} = full({node.shape}, {start}, {dtype})")
        else:
            script.add(f"{name} = empty({node.shape}, {dtype})")
        return name if out.shape == node.shape else f"{name}.reshape({out.shape})"

    def let_go(self, nodes: Iterable[Node]) -> None:
        """Write that large arrays are needed no more."""
        left = (node for node in nodes if node not in self.overwritten)
        names = [self.names[node] for node in left if node in self.names]
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


def _tried(loop: Callable[..., Any], otherwise: Callable[..., Any], *operands: Any) -> Any:
    try:
        return loop(*operands)
    except Beyond:
        return otherwise(*operands)


class _Body:
    """The plan of a body, whose inputs are C-contiguous arrays.

    Attributes
    ----------
    run : callable
        Takes the inputs as they must be.
    """

    __slots__ = ("run",)

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run

    @staticmethod
    def ready(values: Sequence[Any]) -> list[Any]:
        """Return values as inputs of the plan; rows of such an array are such, too."""
        return [_as_c(value) for value in values]

    def __call__(self, *values: Any) -> Any:
        return self.run(*self.ready(values))


def _fresh(node: Node) -> Layout:
    return Layout.fresh(node.shape, node.dtype)
