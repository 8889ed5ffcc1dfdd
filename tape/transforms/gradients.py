"""``gradients``: derivatives of imperative tensors, as values, with nothing left at the tensors."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import numpy as np

from tapegrad.tape.array.graph import tensor_at
from tapegrad.tape.array.tensor import Tensor, imperative, make
from tapegrad.tape.core.cotangents import fit
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.pytree import flatten, flatten_like, paths, unflatten
from tapegrad.tape.core.reverse import reachable, sweep, sweep_by_line

__all__ = ["gradients"]


def gradients(
    outputs: Any, inputs: Any, grad_outputs: Any = None, create_graph: bool = False
) -> Any:
    """Return the derivatives of tensors by the tensors that they came from.

    Unlike ``backward()`` it leaves the attribute ``grad`` of all tensors as it is, and keeps the graph:
    it can be called again.

    Parameters
    ----------
    outputs : Tensor, or nest of them
        What to differentiate: the sum of all elements.
    inputs : Tensor, or nest of them
        By what; any tensors in the graph, in the middle of it too.
    grad_outputs : array_like, Tensor, or nest of them, optional
        Factors of the elements of the outputs, in the same structure; ones by default.
    create_graph : bool
        Whether to return tensors that are in the graph, which can be differentiated again by
        ``backward`` and ``gradients``.

    Returns
    -------
    array or Tensor, or nest of them
        In the structure of `inputs`. Zeros where the outputs do not depend on an input.

    Raises
    ------
    InvalidBackprop
        If a part of the graph has been cleared.
    TypeError
        For what is no tensor, for constants among the inputs, and inside transformations.
    ValueError
        If an input was made, or written into, after the outputs were computed.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> y = (x**3).sum()
    >>> tg.gradients(y, x)
    array([ 3., 12.])
    >>> slope = tg.gradients(y, x, create_graph=True)
    >>> tg.gradients(slope, x)
    array([ 6., 12.])
    >>> x.grad is None
    True
    """
    tensors, structure = flatten(outputs)
    _check_tensors(tensors, paths(structure), "output")
    if grad_outputs is None:
        factors: list[Any] = [None] * len(tensors)
    else:
        what = "gradients: grad_outputs must have the structure of the outputs"
        factors = flatten_like(structure, grad_outputs, what)
    roots = [(_node(t), _seed(t, factor, keep=create_graph)) for t, factor in zip(tensors, factors)]
    sources, structure_in = flatten(inputs)
    names = paths(structure_in)
    _check_tensors(sources, names, "input")
    nodes = [_node(t) for t in sources]
    _check_inputs(nodes, names, roots)
    roots = [(node, g) for node, g in roots if not node.constant]
    found = _by_tensors(roots) if create_graph else _swept(roots)
    delivered: set[int] = {id(g) for _, g in roots}
    results = [
        _result(found.get(node), tensor, node, delivered, as_tensor=create_graph)
        for tensor, node in zip(sources, nodes)
    ]
    return unflatten(structure_in, results)


def _check_tensors(leaves: list[Any], names: list[str], kind: str) -> None:
    for leaf, name in zip(leaves, names):
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"gradients: an {kind}{_at(name)} is of type {type(leaf).__name__}, and should be a "
                "tensor. For functions of arrays there is tg.grad."
            )


def _node(tensor: Tensor) -> Node:
    """Return the node of the tensor's current version in its graph."""
    trace = tensor.live_trace
    if not trace.keeps_graph:
        raise TypeError(
            f"gradients inside {trace.name}: there is no graph of tensors here; use tg.grad or tg.vjp "
            "inside the function instead"
        )
    return tensor.node  # type: ignore[no-any-return]


def _at(name: str) -> str:
    return f" at {name}" if name else ""


def _check_inputs(nodes: list[Node], names: list[str], roots: list[tuple[Node, Any]]) -> None:
    newest = max((root.number for root, _ in roots), default=math.inf)
    for node, name in zip(nodes, names):
        if node.constant:
            raise TypeError(
                f"gradients: the input{_at(name)} is a constant (dtype {node.dtype}), to which no "
                "gradient flows"
            )
        if node.number > newest:
            raise ValueError(
                f"gradients: the input{_at(name)} is newer than the outputs, which cannot depend on it: "
                "it was made, or written into, after they were computed"
            )


def _seed(tensor: Tensor, factor: Any, *, keep: bool) -> Any:
    """Return the cotangent of an output."""
    shape, dtype = tensor.shape, tensor.dtype
    if factor is None:
        if dtype.kind == "c":
            raise TypeError(
                "gradients: an output is complex. Make it real (abs(z), z.real), or pass grad_outputs: "
                "ones give the derivative of a holomorphic function"
            )
        return np.ones(shape, dtype)
    if not isinstance(factor, Tensor):
        factor = np.asarray(factor)
    elif not keep and not factor.live_trace.level:
        factor = factor.value
    if factor.shape != shape:
        raise ValueError(
            f"gradients: a factor in grad_outputs has shape {factor.shape}, its output {shape}"
        )
    return fit(factor, shape, dtype)


def _result(g: Any, tensor: Tensor, node: Node, delivered: set[int], *, as_tensor: bool) -> Any:
    """Return a gradient for the user, who may change it: an array of its own, or a tensor."""
    if g is None:
        g = np.zeros(node.shape, node.dtype)
    elif isinstance(g, Tensor):
        return g
    elif g.base is not None or not g.flags.writeable or id(g) in delivered:
        g = g.copy("K")
    delivered.add(id(g))
    return Tensor(g, constant=True, copy=False) if as_tensor else tensor.lay_out(g)


def _swept(roots: list[tuple[Node, Any]]) -> dict[Node, Any]:
    by_line = any(hasattr(node, "where") for node, _ in roots)
    return sweep_by_line(roots) if by_line else sweep(roots)


def _by_tensors(roots: list[tuple[Node, Any]]) -> dict[Node, Any]:
    """Sweep with tensors in the place of the arrays that entries saved: what is done is recorded.

    The sweep walks a copy of the graph in which the saved values are tensors of the old one.
    """
    order = reachable([node for node, _ in roots], variable=True)
    order.sort(key=attrgetter("number"))
    before = [(node, node.grad, node.owner) for node in order]
    tensors: dict[Node, Tensor] = {}
    twins: dict[Node, Node] = {}
    for node in order:
        values = node.saved
        if values and node.primitive.multiple:  # what it kept is computed again, of tensors
            values = (None, *values[1:])
        if values:
            made = zip((node, *node.inputs), values)
            values = tuple([_as_tensor(source, value, tensors) for source, value in made])
        inputs = [twins.get(source) if source is not None else None for source in node.inputs]
        twin = Node(node.primitive, inputs, node.params, values, node.shape, node.dtype)
        twin.cleared = node.cleared
        if hasattr(node, "where"):
            twin.where = node.where
        twins[node] = twin
    try:
        found = _swept([(twins[node], g) for node, g in roots])
    finally:
        # Tensors that enter a graph lose their gradients, and these have entered another one.
        for node, grad, owner in before:
            node.grad, node.owner = grad, owner
    return {node: found[twin] for node, twin in twins.items() if twin in found}


def _as_tensor(node: Node | None, value: Any, tensors: dict[Node, Tensor]) -> Any:
    """Return a saved value as a tensor of the node that it belongs to, if that is variable."""
    if node is None or node.constant or type(value) is not np.ndarray:
        return value
    if node not in tensors:
        # The tensor that holds the value knows who needs its buffer; without one, nobody writes there.
        owner = tensor_at(node)
        tensors[node] = make(imperative.trace, value, node) if owner is None else owner.snapshot()
    return tensors[node]
