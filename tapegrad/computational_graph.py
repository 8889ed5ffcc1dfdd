"""Pictures of computational graphs, with the optional extra ``graphviz``.

:func:`build_graph` draws the graph that led to a tensor, a :class:`~tapegrad.Tape`, or what a compiled
function runs: there, each kernel is a box around the operations that it fuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile import Jit
from tapegrad.tape import Tape
from tapegrad.tape.array.guard import locked_array
from tapegrad.tape.array.tensor import Tensor, own, tensor_at
from tapegrad.tape.core.node import Node

__all__ = ["build_graph"]

_LONGEST = 200


@dataclass
class _Picture:
    """What is drawn: values and operations by number, arrows between them, and boxes."""

    values: dict[str, str] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)
    arrows: list[tuple[str, str]] = field(default_factory=list)
    boxes: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _Labels:
    """How values are labelled."""

    names: dict[int, str]
    named: bool
    dims: bool
    dtypes: bool
    sum_stats: bool

    def of(
        self, value: Any, owner: Any = None, shape: Any = None, dtype: Any = None, *,
        constant: bool = False,
    ) -> str:  # fmt: skip
        """Return the label of a value, of which perhaps only shape and dtype are known."""
        array = None if value is None else np.asarray(value)
        shape = array.shape if array is not None else shape
        dtype = array.dtype if array is not None else dtype
        name = self.names.get(id(owner)) or self.names.get(id(value))
        if name is not None:
            lines = [name]
        elif array is not None and not array.ndim:
            lines = [repr(array.item())]
        elif self.named and constant:
            lines = ["Constant"]
        elif array is not None and not self.named:
            shown = array if constant else Tensor(array, copy=False)
            text = repr(owner if owner is not None else shown)
            lines = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."]
        else:
            lines = [f"{dtype}{list(shape) if shape else ''}"]
        if self.dims and shape:
            lines.append(f"Dims: {shape}")
        if self.dtypes:
            lines.append(f"Dtype: {dtype}")
        if self.sum_stats and array is not None and array.ndim and array.size:
            for title, function in (
                ("Min", np.min), ("Max", np.max), ("Median", np.median), ("Mean", np.mean)
            ):  # fmt: skip
                lines.append(f"{title}: {function(array):.5g}")
        text = "\n".join(lines).replace("\\", "\\\\")  # Graphviz reads escapes,
        return f" {text} ." if text.startswith("<") else text  # and markup in angle brackets


def _value(node: Node) -> Any:
    owner = tensor_at(node)
    if owner is not None:
        return owner.data
    return node.saved[0] if node.saved and isinstance(node.saved[0], np.ndarray) else None


def _draw(
    entries: Iterable[tuple[Any, Any, Node]], values: Mapping[Node, Any], labels: _Labels
) -> tuple[_Picture, dict[Node, str]]:
    """Draw operations, each with its inputs (nodes and constants) and its result."""
    picture = _Picture()
    known: dict[Node, str] = {}

    def place(value: Any) -> str:
        if type(value) is Node and value in known:
            return known[value]
        key = f"v{len(picture.values)}"
        if type(value) is Node:
            known[value] = key
            picture.values[key] = labels.of(
                values.get(value, _value(value)), tensor_at(value), value.shape, value.dtype
            )
        elif value is None:
            picture.values[key] = "Constant"
        else:
            picture.values[key] = labels.of(value, constant=True)
        return key

    for number, (name, inputs, output) in enumerate(entries):
        operation = f"o{number}"
        picture.operations[operation] = name
        for value in inputs:
            picture.arrows.append((place(value), operation))
        picture.arrows.append((operation, place(output)))
    return picture, known


def _operands(node: Node, values: dict[Node, Any]) -> list[Any]:
    """Return the nodes and the constants that an entry was made of; None for what is forgotten.

    Values of nodes that turn up on the way are added to `values`.
    """
    operands: list[Any] = list(node.inputs)
    unknown = []
    for i, source in enumerate(node.inputs):
        saved = node.saved[i + 1] if i + 1 < len(node.saved) else None
        if source is not None and isinstance(saved, np.ndarray):
            values[source] = saved
        elif source is None and isinstance(saved, np.ndarray | float | int):
            operands[i] = saved
        if source is None or (source.primitive is None and _value(source) is None):
            unknown.append(i)
    # Rules forget what they do not need, but the entry holds numbers, and keeps arrays locked.
    tensors = [_value(source) for source in node.inputs if source is not None]
    held: list[Any] = []
    for what in node.holds or ():
        value = what if isinstance(what, int | float | np.generic) else locked_array(what)
        if value is not None and not any(value is t for t in tensors):
            held.append(value)
    if len(held) == len(unknown):
        for i, value in zip(unknown, held):
            source = node.inputs[i]
            if source is None:
                operands[i] = value
            else:
                values[source] = value
    return operands


def _compute(operands: Mapping[Node, list[Any]], values: dict[Node, Any]) -> None:
    """Add the values of nodes to `values`: what tensors hold, and what follows from the others."""
    for node, inputs in operands.items():
        value = values.get(node, _value(node))
        if value is None and node.primitive is not None and node.primitive.name != "custom":
            arrays = [values.get(i, _value(i)) if type(i) is Node else i for i in inputs]
            if not any(a is None for a in arrays):
                value = np.asarray(node.primitive.forward(*arrays, **node.params))
        if value is not None:
            values[node] = value


def _of_tensor(tensor: Tensor, labels: _Labels) -> _Picture:
    """Draw the live graph that led to a tensor."""
    own(tensor)  # a result that nothing has used yet is no node's own, and would have no name
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [tensor.node]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            order.append(node)
            stack.extend(source for source in node.inputs if source is not None)

    made = sorted((n for n in order if n.primitive is not None), key=lambda n: n.number)
    values: dict[Node, Any] = {}
    operands = {node: _operands(node, values) for node in made}
    entries = [(n.primitive.name, operands[n], n) for n in made]
    _compute(operands, values)
    values[tensor.node] = tensor.data
    picture, known = _draw(entries, values, labels)
    if tensor.node not in known:
        picture.values["v0"] = labels.of(tensor.data, tensor)
    return picture


def _of_tape(tape: Tape, labels: _Labels) -> _Picture:
    nodes = {record: node for node, record in tape.records.items()}  # these know their tensors
    entries = [
        (e.primitive.name, [nodes[o] if type(o) is Node else o for o in e.operands], nodes[e])
        for e in tape.entries
    ]
    return _draw(entries, {nodes[leaf]: value for leaf, value in tape.leaves.items()}, labels)[0]


def _of_jit(function: Jit, labels: _Labels) -> _Picture:
    """Draw the newest recording of a compiled function, with its kernels as boxes."""
    from tapegrad.compile.fusion.groups import (  # loads numba, which compiled functions have
        Group,
        partition,
    )

    recordings = [
        variant
        for state in function._states
        for signature in state.signatures.values()
        for variant in signature.variants
    ]
    if not recordings:
        raise ValueError(
            "build_graph: this function has not been compiled yet; call it once with arguments"
        )
    program = recordings[-1].program
    entries: list[tuple[str, Any, Node]] = []
    groups: list[tuple[str, range]] = []
    for step in partition(program):
        inside = step.entries if isinstance(step, Group) else [step.entry]
        first = len(entries)
        entries += [(e.primitive.name, e.operands, e) for e in inside]
        if isinstance(step, Group):
            title = f"kernel {len(groups)} over {step.space}"
            groups.append((title, range(first, len(entries))))
    picture, known = _draw(entries, {}, labels)
    results = {known[node] for node in program.results() if node in known}
    for title, numbers in groups:
        box = [f"o{i}" for i in numbers]
        picture.boxes[title] = [*box, *_passing(picture, set(box), results)]
    return picture


def _passing(picture: _Picture, box: set[str], results: set[str]) -> list[str]:
    """Return the values that a kernel makes and uses, and that never exist outside of it."""
    makers = {value: maker for maker, value in picture.arrows if maker in picture.operations}
    users: dict[str, set[str]] = {}
    for value, user in picture.arrows:
        users.setdefault(value, set()).add(user)
    return [
        value
        for value, maker in makers.items()
        if maker in box and value not in results and users.get(value, {""}) <= box
    ]


def build_graph(
    fin: Tensor | Tape | Jit,
    names: Mapping[str, Any] | None = None,
    *,
    render: bool = True,
    save: bool = False,
    dims: bool = False,
    dtypes: bool = False,
    sum_stats: bool = False,
) -> Any:
    """Draw a computational graph.

    Parameters
    ----------
    fin : Tensor, Tape or compiled function
        The last tensor of a graph that has not been cleared yet; a recording; or a function made by
        ``tg.jit`` that has been called.
    names : dict, optional
        Names of tensors and arrays, for the labels; ``locals()`` names them as the code does. They
        are found by identity. Values without axes are labelled by their value if they have no name.
    render : bool
        Whether the picture is returned.
    save : bool
        Whether the picture is written to ``computational_graph.pdf`` in the current folder.
    dims, dtypes : bool
        Whether shapes and dtypes are shown.
    sum_stats : bool
        Whether least, greatest, median and mean values are shown.

    Returns
    -------
    graphviz.Digraph or None

    Raises
    ------
    ImportError
        Without the extra ``graphviz``.
    TypeError
        If `fin` is nothing that can be drawn.

    Examples
    --------
    ::

        x = tg.tensor(2.0)
        y = x * x + 1.0
        build_graph(y, names=locals())
    """
    labels = _Labels(
        {id(value): name for name, value in (names or {}).items()
         if isinstance(value, Tensor | np.ndarray)},
        names is not None, dims, dtypes, sum_stats,
    )  # fmt: skip
    if isinstance(fin, Tensor):
        picture = _of_tensor(fin, labels)
    elif isinstance(fin, Tape):
        picture = _of_tape(fin, labels)
    elif isinstance(fin, Jit):
        picture = _of_jit(fin, labels)
    else:
        raise TypeError(
            f"build_graph draws a tensor, a tape or a compiled function, not {type(fin).__name__}"
        )
    graph = _rendered(picture)
    if save:
        graph.render(filename="computational_graph", cleanup=True)
    return graph if render else None


def _rendered(picture: _Picture) -> Any:
    try:
        import graphviz
    except ImportError as error:
        raise ImportError(
            "build_graph needs the Python package graphviz, which is the optional extra 'graphviz': "
            "pip install tapegrad[graphviz]. For pictures in files and notebooks, the program Graphviz "
            "itself must be installed too"
        ) from error
    graph = graphviz.Digraph(strict=True)
    graph.node_attr.update(fontsize="12", fontname="helvetica")
    inside = {key for keys in picture.boxes.values() for key in keys}

    def place(graph: Any, keys: Iterable[str]) -> None:
        for key in keys:
            if key in picture.values:
                graph.node(key, picture.values[key])
            else:
                label = picture.operations[key]
                graph.node(key, label, shape="box", style="filled", fillcolor="lightgrey")

    place(graph, (k for k in (*picture.values, *picture.operations) if k not in inside))
    for number, (title, keys) in enumerate(picture.boxes.items()):
        with graph.subgraph(name=f"cluster{number}") as box:
            box.attr(label=title)
            place(box, keys)
    graph.edges(picture.arrows)
    return graph
