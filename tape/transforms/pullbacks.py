"""Running a function for its derivatives: pullbacks by recording, pushforwards by dual numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.application import belongs
from tapegrad.tape.array.originals import Originals, copied
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import cast, fit
from tapegrad.tape.core.later import later
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.pytree import Structure, flatten, flatten_like, unflatten
from tapegrad.tape.core.reverse import reachable, sweep, sweep_by_line
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.transforms.forward_mode import JVPTrace
from tapegrad.tape.transforms.reverse_mode import ReverseTrace
from tapegrad.tape.transforms.values import (
    as_value,
    below,
    differentiable,
    dtype_of,
    give_back,
    place_of,
    refuse_foreign,
    split_aux,
)

__all__ = ["Pullback", "pull_from", "push_through"]


class Pullback:
    """The function that ``vjp`` returns; it can be called any number of times."""

    __slots__ = (
        "_inputs",
        "_originals",
        "_outputs",
        "_structure_in",
        "_structure_out",
        "_sweep",
        "alone",
    )

    def __init__(
        self,
        trace: ReverseTrace,
        inputs: list[tuple[Node, Any]],
        outputs: list[tuple[Node | None, Any]],
        structure_in: Structure,
        structure_out: Structure,
    ) -> None:
        #: Whether the cotangent of the only argument is returned as it is, in no tuple.
        self.alone = False
        self._originals = trace.originals
        self._sweep = sweep_by_line if trace.knows_lines else sweep
        self._inputs = inputs
        self._outputs = outputs
        self._structure_in = structure_in
        self._structure_out = structure_out

    def __call__(self, cotangent: Any) -> Any:
        """Return the cotangents of the arguments, as a tuple with one entry for each."""
        leaves, structure = flatten(cotangent)
        if structure != self._structure_out:
            what = "vjp: the cotangent must have the structure of the function's result"
            leaves = flatten_like(self._structure_out, cotangent, what)
        roots = []
        for i, (g, (node, value)) in enumerate(zip(leaves, self._outputs)):
            shape = np.shape(value)
            g = g if isinstance(g, Tensor) else np.asarray(g)
            if g.shape != shape:
                place = place_of(self._structure_out, i)
                raise ValueError(
                    f"vjp: the cotangent{place} has shape {g.shape}, the result it belongs to {shape}"
                )
            if node is not None:
                _check_field(g, node, "cotangent", self._structure_out, i)
                roots.append((node, fit(g, node.shape, node.dtype)))
        if self._originals is not None:
            self._originals.check()
        cotangents = self._sweep(roots)
        grads = []
        for node, leaf in self._inputs:
            g = cotangents.get(node)
            if g is None:
                g = np.zeros(node.shape, node.dtype)
            elif type(g) is np.ndarray and (
                g.base is not None or not g.flags.writeable or any(g is leaf for leaf in leaves)
            ):
                g = g.copy()
            elif isinstance(g, Tensor) and not isinstance(leaf, Tensor) and g.constant:
                g = g if g.live_trace.level else g.consume("grad").copy()
            grads.append(give_back(g, like=leaf))
        pulled = unflatten(self._structure_in, _apart(grads))
        return pulled[0] if self.alone else pulled

    def ends(self) -> tuple[list[Node], list[Node | None], list[tuple[int, ...]]]:
        """Return the nodes of the arguments, those of the results (None for constants), and the shapes
        of these."""
        inputs = [node for node, _ in self._inputs]
        return inputs, [node for node, _ in self._outputs], [np.shape(v) for _, v in self._outputs]

    @property
    def structure(self) -> Structure:
        """The structure of the results, which is that of cotangents."""
        return self._structure_out

    @property
    def structure_in(self) -> Structure:
        """The structure of the tuple of arguments."""
        return self._structure_in

    def dtypes(self) -> list[np.dtype[Any]]:
        """Return the dtypes of the results."""
        return [dtype_of(value) for _, value in self._outputs]

    def nodes(self) -> list[Node]:
        """Return the nodes that a sweep walks, arguments included, in the order of execution."""
        roots = [node for node, _ in self._outputs if node is not None]
        return sorted(reachable(roots, variable=True), key=lambda node: node.number)

    def numbers(self) -> int:
        """Return how many numbers there are in the graph that a sweep walks."""
        return sum(node.size for node in self.nodes())

    def up_to(self, nodes: list[Node]) -> Pullback:
        """Return the pullback to values in between, a tuple of arrays; the graph ends at them now."""
        for node in nodes:
            node.inputs = ()
        part = Pullback.__new__(Pullback)
        for name in self.__slots__:
            setattr(part, name, getattr(self, name))
        part._inputs = [(node, np.zeros(0)) for node in nodes]
        part._structure_in = flatten((0,) * len(nodes))[1]
        part.alone = False
        return part

    def __repr__(self) -> str:
        return f"<pullback to {len(self._inputs)} arrays>"


def _apart(grads: list[Any]) -> list[Any]:
    """Make sure that no array occurs twice: each gradient is the user's to change."""
    seen: set[int] = set()
    for i, g in enumerate(grads):
        if type(g) is np.ndarray:
            if id(g) in seen:
                grads[i] = g.copy()
            seen.add(id(grads[i]))
    return grads


def _check_field(g: Any, like: Any, kind: str, structure: Structure, index: int) -> None:
    """Refuse complex directions of real values: their imaginary part would be lost."""
    if g.dtype.kind == "c" and like.dtype.kind != "c":
        place = place_of(structure, index)
        raise TypeError(
            f"the {kind}{place} is complex, and the value that it belongs to real: pass its real part"
        )


def pull_from(
    function: Callable[..., Any],
    primals: tuple[Any, ...],
    has_aux: bool,
    what: str,
    check: Callable[[Any, list[Any]], None] | None = None,
    *,
    deferred: bool = False,
    kind: type[ReverseTrace] = ReverseTrace,
) -> tuple[Any, Pullback, Any]:
    """Run `function` on variables of a new recording trace; return result, pullback and aux.

    With `deferred`, users' code may run before the pullback is called: it is given no array, and has
    given none, that the pullback needs.
    """
    leaves, structure_in = flatten(primals)
    values = [differentiable(leaf, what, structure_in, i) for i, leaf in enumerate(leaves)]
    if deferred:
        values = [_own(value) for value in values]
    with new_trace(kind) as trace:
        trace.originals = Originals()
        variables = [trace.variable(v, original=leaf) for v, leaf in zip(values, leaves)]
        inputs = [(variable.node, leaf) for variable, leaf in zip(variables, leaves)]
        result = later.read(trace, function, unflatten(structure_in, variables), {})
        result, aux = split_aux(result, has_aux, what)
        out_leaves, structure_out = flatten(result)
        refuse_foreign(out_leaves, what)
        if check is not None:
            check(result, out_leaves)
        outputs = []
        lowered = []
        for leaf in out_leaves:
            mine = belongs(leaf, trace)
            value = below(leaf, trace)
            outputs.append((leaf.node if mine else None, value))
            lowered.append(give_back(_own(value) if deferred else value))
        if has_aux:
            aux = _lowered(aux, trace, _own if deferred else None)
    pullback = Pullback(trace, inputs, outputs, structure_in, structure_out)
    return unflatten(structure_out, lowered), pullback, aux


def _lowered(tree: Any, trace: Any, own: Callable[[Any], Any] | None = None) -> Any:
    """Return a nest as it is below a trace, perhaps with arrays of its own."""
    leaves, structure = flatten(tree)
    values = [below(leaf, trace) for leaf in leaves]
    return unflatten(structure, [give_back(own(v) if own else v) for v in values])


def _own(value: Any) -> Any:
    return copied(value) if type(value) is np.ndarray else value


def push_through(
    function: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    has_aux: bool,
    what: str,
) -> tuple[Any, Any, Any]:
    """Run `function` on dual numbers; return result, tangent and aux."""
    leaves, structure = flatten(primals)
    directions = flatten_like(structure, tangents, f"{what}: the tangents must be as the primals")
    with new_trace(JVPTrace) as trace:
        duals = []
        for i, (leaf, direction) in enumerate(zip(leaves, directions)):
            value = differentiable(leaf, what, structure, i)
            t = as_value(direction, what)
            if t.shape != value.shape:
                place = place_of(structure, i)
                raise ValueError(
                    f"{what}: the tangent{place} has shape {t.shape}, its primal {value.shape}"
                )
            _check_field(t, value, "tangent", structure, i)
            dual = trace.variable(value, original=leaf, tangent=cast(t, value.dtype))
            duals.append(dual)
        result, aux = split_aux(
            later.read(trace, function, unflatten(structure, duals), {}), has_aux, what
        )
        out_leaves, out_structure = flatten(result)
        refuse_foreign(out_leaves, what)
        values, out_tangents = [], []
        for leaf in out_leaves:
            value = below(leaf, trace)
            mine = belongs(leaf, trace)
            t = leaf.node if mine else np.zeros(np.shape(value), getattr(value, "dtype", float))
            values.append(give_back(value))
            out_tangents.append(give_back(t))
        if has_aux:
            aux = _lowered(aux, trace)
    return unflatten(out_structure, values), unflatten(out_structure, out_tangents), aux
