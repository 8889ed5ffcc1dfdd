"""Staging: a trace that computes with real values and keeps a linear list of what was done.

``jit`` stages a function to get the tape that it compiles. Everything that Python consumed of a
traced value is a guard on the tape: the tape stands for the function only while the guards hold. How
traced values look to Python is in ``staged_values``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from tapegrad.tape.array.application import (
    bind,
    lower_arguments,
    make_result,
)
from tapegrad.tape.array.originals import Originals
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core import reverse
from tapegrad.tape.core.bundles import link_bundle
from tapegrad.tape.core.checks import refuse_complex
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.errors import Abandoned
from tapegrad.tape.core.later import later
from tapegrad.tape.core.location import Line, user_location
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, Shaped, primitives
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import Trace
from tapegrad.tape.core.traced import Traced
from tapegrad.tape.program.staged_values import StagedAppearance

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
    where : Line
        The line that consumed it.
    """

    __slots__ = ("kind", "node", "seen", "where")

    def __init__(self, node: Node, kind: str, seen: Any, where: Line) -> None:
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
        Why the recording was ended, or nothing.
    is_swept : str
        Whether what is done now is to be swept, by the rules of which mode: entries with several results
        then give what their pullbacks need, too.
    """

    name = "jit"
    keeps_graph = True
    appearance_of = StagedAppearance

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.entries: list[Node] = []
        self.guards: list[Guard] = []
        self.inputs: list[Node] = []
        self.weak: set[Node] = set()
        self.problem = ""
        #: Why loops of Python's run as they are written, by file and line.
        self.loops: dict[tuple[str, int], str] = {}
        self.is_swept = ""
        self.originals = Originals()
        #: What the user passed for each input.
        self.passed: dict[Node, Any] = {}
        #: Those of them that were written into.
        self.written: list[Any] = []

    def give_up(self, reason: str) -> NoReturn:
        """End the recording, whatever the user's code does about it: it would not stand for it."""
        self.problem = self.problem or f"{reason}, at {user_location()}"
        raise Abandoned(self.problem)

    def take_object(self, value: Any) -> None:
        """Nobody would see that it has other numbers."""
        self.give_up(f"an object of type {type(value).__name__} takes part in it")

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute, and append an entry."""
        body = state.get().body
        if body is not None and body.level > self.level:
            return body.process(primitive, args, params, constant)
        values, links = lower_arguments(self, args)
        operands: list[Any] = []
        live = False
        for i, (a, link) in enumerate(zip(args, links)):
            if link is not None:
                operands.append(link)
                live = live or (primitive.differentiable_in(i) and not link.constant)
                if link in self.weak:
                    values[i] = values[i].item()
                continue
            if isinstance(a, Tensor):
                if isinstance(values[i], Tensor):
                    self.give_up("a tensor from outside the function takes part in it")
            elif type(a) is np.ndarray:  # the function may fill it with something else later
                values[i] = self.originals.copy(a)
            elif isinstance(a, np.ndarray):
                self.give_up(f"an array of class {type(a).__name__} takes part in it")
            elif not isinstance(a, (int, float, complex, np.generic)):
                values[i] = np.asarray(values[i])
            operands.append(values[i])
        if not primitive.takes_complex:
            refuse_complex(primitive, values)
        if primitive.multiple:
            live = live and not constant
            return self._several(primitive, args, values, operands, links, params, live)
        out = self.compute(primitive, values, params)
        if type(out) is not np.ndarray:
            out = np.asarray(out)
        node = Node(primitive, tuple(links), dict(params), (), out.shape, out.dtype)
        node.constant = not live or out.dtype.kind not in CONTINUOUS
        node.operands = tuple(operands)
        node.where = user_location()
        self.entries.append(node)
        new = make_result(self, primitive, args, params, values[0], out, node)
        if live and not node.constant:
            # What backward() inside the staged function needs, as values of this trace.
            saved = [a.snapshot() if isinstance(a, Tensor) else o for a, o in zip(args, operands)]
            node.saved = primitive.save(new.snapshot(), saved)
        if primitive.masks == "result" and any(np.asarray(v).dtype.kind == "b" for v in values):
            self.guard(new, "shape", out.shape)
        return self._cut(new) if constant and not node.constant else new

    def _several(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        values: list[Any],
        operands: list[Any],
        links: list[Node | None],
        params: Mapping[str, Any],
        live: bool,
    ) -> tuple[Tensor, ...]:
        """Append an entry with several results, and the entries that pick them."""
        kept = primitive.kept(
            params,
            links if live and self.is_swept else None,
            imperative=self.is_swept == "imperative",
        )
        out = self.compute(primitive, values, kept.params)
        results = [np.asarray(result) for result in out]
        bundle, picked = link_bundle(
            primitive, tuple(links), kept.params, (), results, constant=not live
        )
        bundle.operands = tuple(operands)
        bundle.where = user_location()
        self.entries.append(bundle)
        for node in picked:
            node.operands = (bundle,)
            node.where = bundle.where
            self.entries.append(node)
        new = tuple(make(self, result, node) for result, node in zip(results, picked))
        if live:
            saved = [a.snapshot() if isinstance(a, Tensor) else o for a, o in zip(args, operands)]
            bundle.saved = primitive.save(None, saved)
            if kept.first < len(new):
                self._link(bundle, picked[: kept.asked], kept.rule_params, new[kept.first :])
        return new[: kept.asked]

    def _link(self, bundle: Node, picked: list[Node], params: Any, kept: tuple[Any, ...]) -> None:
        """Let the sweep find at the results that were asked for what their pullback needs.

        The bundle itself is the entry that gives all of them, and may be differentiated as such.
        """
        saved = (kept, *bundle.saved[1:])
        asked = Node(bundle.primitive, bundle.inputs, params, saved, (len(picked),), bundle.dtype)
        asked.number, asked.owner = bundle.number, bundle.owner
        for node in picked:
            node.inputs = (asked,)
            node.saved = (None, Shaped(asked.shape, asked.dtype))

    def compute(self, primitive: Primitive, values: list[Any], params: Mapping[str, Any]) -> Any:
        """Apply a primitive to what lies below the trace."""
        repeats = primitive.repeats
        if (
            repeats is not None
            and repeats(params)
            and not any(isinstance(v, Tensor) for v in values)
        ):
            return later.compiled(primitive, values, params)
        return bind(primitive, *values, **params)

    def _cut(self, result: Any) -> Any:
        """Let no gradient flow to a result, in this run and in those of its program."""
        return (
            bind(primitives["stop_gradient"], result) if result.dtype.kind in CONTINUOUS else result
        )

    def write(self, root: Traced, primitive: Primitive, args: tuple[Any, ...], params: Any) -> None:
        """Replace the value of `root`, unless others see its memory."""
        array = self.passed.get(root.node)
        if type(array) is np.ndarray:
            others = (other for node, other in self.passed.items() if node is not root.node)
            if any(_share_memory(array, other) for other in others):
                self.give_up("it writes into an array that shares memory with another")
            self.written.append(array)
        super().write(root, primitive, args, params)

    def guard(self, tensor: Traced, kind: str, seen: Any) -> None:
        """Note what Python code saw of a value."""
        self.guards.append(Guard(tensor.node, kind, np.array(seen), user_location()))

    def variable(self, value: Any, *, original: Any = None) -> Tensor:
        """Return an input of the tape; `original` is what the user passed, if not an array."""
        node = Node(None, (), {}, (), value.shape, value.dtype)
        node.constant = value.dtype.kind not in CONTINUOUS
        self.inputs.append(node)
        self.passed[node] = value if original is None else original
        if any(_share_memory(array, original) for array in self.written):
            self.give_up("it reads an array that shares memory with one that it has written into")
        if type(original) in (float, int):
            self.weak.add(node)
        return make(self, value, node)

    def example(self, tensor: Traced) -> Any:
        """Return what the user's code would have in place of a traced value."""
        node = tensor.node
        if node in self.passed:
            return self.passed[node]
        value = tensor.value
        if node in self.weak:
            return value.item()
        return value[()] if value.ndim == 0 else value

    def is_constant(self, tensor: Traced) -> bool:
        """Whether no gradient flows to the tensor."""
        return tensor.node.constant  # type: ignore[no-any-return]

    def detach(self, tensor: Traced) -> Tensor:
        """Return the value as a leaf of this trace."""
        name = "stop_gradient" if tensor.dtype.kind in CONTINUOUS else "copy"
        new: Tensor = self.process(primitives[name], (tensor,), {})
        node = new.node
        node.inputs = ()
        node.constant = node.dtype.kind not in CONTINUOUS
        return new

    def grad(self, tensor: Traced) -> Any:
        """Return the gradient that ``backward()`` inside the function has left."""
        return tensor.node.grad

    def backward(self, tensor: Traced, grad: Any) -> None:
        """Sweep on the tape: the rules run on traced values, so that they are entries too."""
        node = tensor.node
        seed = np.ones(node.shape, node.dtype) if grad is None else grad
        cotangent = np.broadcast_to(seed, node.shape)
        if node.constant:
            reverse.clear(node, forget=False)
        else:
            reverse.backward(node, cotangent, forget=False)

    def clear(self, tensor: Traced) -> None:
        """Clear the graph that led to `tensor`; the entries stay."""
        reverse.clear(tensor.node, forget=False)

    def close(self) -> None:
        """End the trace, and let go of the values that it was recorded with."""
        super().close()
        self.passed.clear()
        self.written.clear()
        self.originals = Originals()
        for entry in self.entries:
            entry.saved = entry.inputs = ()
            entry.grad = None


def _share_memory(written: np.ndarray, other: Any) -> bool:
    """Whether an array may share memory with what was passed for another input."""
    if type(other) is not np.ndarray or other is written:
        return other is written
    both_own = written.base is None and other.base is None
    return not both_own and bool(np.may_share_memory(written, other))
