"""The graph as users see it: ``Tensor.creator``, and the operands of an entry.

Entries keep what rules need. What an entry was made of is found again from the tensors that live, from
what entries have saved and locked, and by computing anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from tapegrad.tape.array.graph import tensor_at
from tapegrad.tape.array.guard import locked_array
from tapegrad.tape.array.tensor import Tensor, imperative, make, own
from tapegrad.tape.core.bundles import output_p
from tapegrad.tape.core.errors import InvalidBackprop
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.reverse import reachable
from tapegrad.tape.transforms.operations import Operation, SkipGradient, operation_p

__all__ = ["RecordedOperation", "held_value", "operands_of", "values_of"]


def held_value(node: Node) -> Any:
    """Return the value of a node that its tensor holds, or its entry has saved; or None."""
    tensor = tensor_at(node)
    if tensor is not None:
        return tensor.value
    return node.saved[0] if node.saved and isinstance(node.saved[0], np.ndarray) else None


def operands_of(node: Node, values: dict[Node, Any]) -> list[Any]:
    """Return the nodes and the constants that an entry was made of; None for what is forgotten.

    Values of nodes that turn up on the way are added to `values`.
    """
    operands: list[Any] = list(node.inputs)
    unknown = []
    for i, source in enumerate(node.inputs):
        saved = node.saved[i + 1] if i + 1 < len(node.saved) else None
        known = isinstance(saved, np.ndarray | np.generic | float | int)
        if source is None:
            operands[i] = saved if known else None
        elif known:
            values[source] = saved
        if not known and (source is None or (not source.inputs and held_value(source) is None)):
            unknown.append(i)
    # Rules forget what they do not need, but the entry keeps arrays locked.
    seen = [held_value(a) if type(a) is Node else a for a in operands]
    arrays = [locked_array(lock) for lock in node.locks]
    locked = [a for a in arrays if a is not None and not any(a is value for value in seen)]
    if len(locked) == len(unknown):
        for i, value in zip(unknown, locked):
            source = node.inputs[i]
            if source is None:
                operands[i] = value
            else:
                values[source] = value
    return operands


def values_of(operands: Mapping[Node, list[Any]], values: dict[Node, Any]) -> None:
    """Add the values of nodes to `values`: those that are held, and what follows from the others.

    `operands` has the operands of each node, and the nodes in order.
    """
    for node, inputs in operands.items():
        value = values.get(node, held_value(node))
        if value is None and node.inputs and node.primitive is not operation_p:
            arrays = [values.get(i, held_value(i)) if type(i) is Node else i for i in inputs]
            if not any(array is None for array in arrays):
                value = node.primitive.forward(*arrays, **node.params)
                value = value if node.primitive.multiple else np.asarray(value)
        if value is not None:
            values[node] = value


class RecordedOperation(Operation):
    """What ``Tensor.creator`` shows of an entry of the graph: an operation like those of users.

    Attributes
    ----------
    variables : tuple of Tensor
        What the operation was applied to: the very tensors; in place of those that are gone new ones
        at the same place of the graph, and constants for operands that were no tensors.
    can_return_view : bool
        Whether the result can share memory with the first variable.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> operation = (x * 3.0).creator
    >>> operation
    <operation multiply>
    >>> operation.variables
    (Tensor([1., 2.]), Tensor(3.))
    >>> operation.backward_var(np.ones(2), index=0)
    array([3., 3.])
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.primitive = node.primitive
        self.params = node.params
        sources = node.inputs
        self._living = [None if source is None else tensor_at(source) for source in sources]
        self._variables: tuple[Tensor, ...] | None = None

    @property
    def can_return_view(self) -> bool:  # type: ignore[override]
        """Whether the result can share memory with the first variable."""
        return self.primitive.view

    @property
    def variables(self) -> tuple[Tensor, ...]:  # type: ignore[override]
        """The tensors that the operation was applied to."""
        if self._variables is None:
            self._variables = self._found()
        return self._variables

    def _found(self) -> tuple[Tensor, ...]:
        if all(tensor is not None for tensor in self._living):
            return tuple(self._living)  # type: ignore[arg-type]
        values: dict[Node, Any] = {}
        order = sorted(reachable([self.node], variable=False), key=lambda node: node.number)
        operands = {node: operands_of(node, values) for node in order}
        values_of(operands, values)
        found = []
        for tensor, operand in zip(self._living, operands[self.node]):
            if tensor is None and type(operand) is Node:
                # A copy: the graph may need the value as it is, whoever writes into the tensor.
                tensor = make(imperative.trace, np.array(values[operand]), operand)
                own(tensor)
            elif tensor is None:
                tensor = Tensor(operand, constant=True)
            found.append(tensor)
        return tuple(found)

    def __call__(self, *input_vars: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
        """Apply the same operation, with the same parameters, to other tensors or arrays."""
        arrays = [np.asarray(a) for a in input_vars]
        return np.asarray(self.primitive.forward(*arrays, **{**self.params, **kwargs}))

    def backward_var(
        self, grad: np.ndarray[Any, Any], index: int, **kwargs: Any
    ) -> np.ndarray[Any, Any]:
        """Return the gradient of ``self.variables[index]``, given that of the result.

        Raises
        ------
        SkipGradient
            If the operation has no derivative by this variable.
        InvalidBackprop
            If the graph has been cleared.
        """
        node = self.node
        if not node.inputs:
            raise InvalidBackprop(
                "the graph of this operation has been cleared, and with it what its derivative needs"
            )
        if not self.primitive.differentiable_in(index):
            raise SkipGradient
        part = self.primitive.vjp_of(index)(np.asarray(grad), *node.saved, **node.params)
        if part is None:
            raise SkipGradient
        return np.asarray(part)

    def __repr__(self) -> str:
        return f"<operation {self.primitive.name}>"


#: What has been shown, by the number of the node, so that a tensor has one creator while anybody has it.
_shown: WeakValueDictionary[int, RecordedOperation] = WeakValueDictionary()


@implements("creator")
def _creator(tensor: Tensor) -> Operation | None:
    node = tensor.node
    if not isinstance(node, Node) or not node.inputs:
        return None
    if node.primitive is output_p:
        node = node.inputs[0]  # the entry that has several results
    if node.primitive is operation_p:
        return node.params["call"].operation  # type: ignore[no-any-return]
    operation = _shown.get(node.number)
    if operation is None:
        operation = _shown[node.number] = RecordedOperation(node)
    return operation
