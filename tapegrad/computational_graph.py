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
from tapegrad.tape.array.graph import tensor_at
from tapegrad.tape.array.tensor import Tensor, own
from tapegrad.tape.core.bundles import output_p
from tapegrad.tape.core.node import Node
from tapegrad.tape.transforms.creators import held_value, operands_of, values_of

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


def _draw(
    entries: Iterable[tuple[Any, Any, Node]], values: Mapping[Node, Any], labels: _Labels
) -> tuple[_Picture, dict[Node, str]]:
    """Draw operations, each with its inputs (nodes and constants) and its result, or results."""
    picture = _Picture()
    known: dict[Node, str] = {}
    makers: dict[Node, str] = {}

    def place(value: Any) -> str:
        if type(value) is Node and value in known:
            return known[value]
        key = f"v{len(picture.values)}"
        if type(value) is Node:
            known[value] = key
            picture.values[key] = labels.of(
                values.get(value, held_value(value)), tensor_at(value), value.shape, value.dtype
            )
        elif value is None:
            picture.values[key] = "Constant"
        else:
            picture.values[key] = labels.of(value, constant=True)
        return key

    for number, (name, inputs, output) in enumerate(entries):
        operation = f"o{number}"
        if output.primitive is output_p:  # one of several results
            picture.arrows.append((makers[inputs[0]], place(output)))
            continue
        picture.operations[operation] = name
        for value in inputs:
            picture.arrows.append((place(value), operation))
        if output.primitive is not None and output.primitive.multiple:
            makers[output] = operation
        else:
            picture.arrows.append((operation, place(output)))
    return picture, known


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
    operands = {node: operands_of(node, values) for node in made}
    entries = [(n.primitive.name, operands[n], n) for n in made]
    values_of(operands, values)
    values[tensor.node] = tensor.data
    picture, known = _draw(entries, values, labels)
    if tensor.node not in known:
        picture.values["v0"] = labels.of(tensor.data, tensor)
    return picture


def _of_tape(tape: Tape, labels: _Labels) -> _Picture:
    nodes = {record: node for node, record in tape.records.items()}  # these know their tensors
    entries = [
        (
            e.primitive.name,
            [nodes.get(o, o) if type(o) is Node else o for o in e.operands],
            nodes.get(e, e),
        )
        for e in tape.entries
    ]
    return _draw(entries, {nodes[leaf]: value for leaf, value in tape.leaves.items()}, labels)[0]


def _of_jit(function: Jit, labels: _Labels) -> _Picture:
    """Draw the newest recording of a compiled function, with its kernels as boxes."""
    from tapegrad.compile.fusion.groups import Group, partition

    recordings = [
        variant for signature in function._signatures.values() for variant in signature.variants
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
