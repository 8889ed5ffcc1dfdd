"""The explicit tape: ``with Tape() as tape`` keeps every entry, to print, differentiate, replay and
compile it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.graph import tensor_at
from tapegrad.tape.array.recorder import NUMBERS
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import fit
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.html import as_html, is_public
from tapegrad.tape.core.later import later
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.pytree import flatten, flatten_like, unflatten
from tapegrad.tape.core.reverse import sweep
from tapegrad.tape.core.state import state
from tapegrad.tape.program.program import Program, replay
from tapegrad.tape.program.rewriter import Rewriter

__all__ = ["Replayed", "Tape"]


class Replayed(Mapping[Tensor, Any]):
    """The values of a replay, looked up by the tensors of the recording."""

    def __init__(
        self, tensors: Sequence[Tensor], records: Mapping[Node, Node], values: dict[Node, Any]
    ) -> None:
        self._tensors = tensors
        self._records = records
        self._values = values

    def __getitem__(self, tensor: Tensor) -> Any:
        try:
            return self._values[self._records[tensor.node]]
        except KeyError:
            raise KeyError("this tensor is not on the tape that was replayed") from None

    def __iter__(self) -> Any:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class Tape:
    """Keeps what imperative tensors do inside a ``with`` block.

    Every primitive is kept, also those without derivatives: comparisons and rounding give constant
    tensors inside the block, so that a replay does not use masks of the recording.

    Parameters
    ----------
    persistent : bool
        Whether derivatives can be asked for as often as wanted, as long as the tape is kept. If not,
        the first `gradient` or `jacobian` lets go of what the sweep needed, as ``backward()`` does; the
        tape can still be printed, replayed and compiled.

    Attributes
    ----------
    entries : list of Node
        In order of execution.
    leaves : dict
        The inputs, as nodes, with their values: what was not made on the tape.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> with tg.Tape() as tape:
    ...     y = np.sum(x * x)
    >>> tape.gradient(y, [x])
    [array([2., 4.])]
    >>> tape.replay({x: np.array([3.0, 4.0])})[y]
    array(25.)
    """

    def __init__(self, persistent: bool = True) -> None:
        self.persistent = persistent
        self.entries: list[Node] = []
        self.leaves: dict[Node, Any] = {}
        #: Why no more derivatives can be asked for, if so.
        self._used = ""
        #: The tape's own node for each node of the graph, which may be cleared.
        self.records: dict[Node, Node] = {}
        self._first: dict[Tensor, Node] = {}
        self._before: tuple[Any, bool] | None = None

    def __enter__(self) -> Tape:
        if self._before is not None:
            raise RuntimeError("this tape is recording already; make another Tape() to nest them")
        current = state.get()
        self._before = current.tape, current.tracking
        state.set(current.replace(tape=self, tracking=True))
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._before is not None
        tape, tracking = self._before
        state.set(state.get().replace(tape=tape, tracking=tracking))
        self._before = None

    def keep(
        self, primitive: Primitive, args: Sequence[Any], params: Mapping[str, Any], node: Node
    ) -> None:
        """Keep the application of a primitive to arguments that made `node` of the graph."""
        operands: list[Any] = []
        for a, source in zip(args, node.inputs):
            if source is None:
                operands.append(a if type(a) in NUMBERS else np.asarray(a))
                continue
            record = self.records.get(source)
            operands.append(self._leaf(source, a.value) if record is None else record)
            if isinstance(a, Tensor):
                self._first.setdefault(a, source)
        made = self._append(primitive, tuple(operands), dict(params), node)
        cut = node.constant and node.dtype.kind in CONTINUOUS and primitive.differentiable
        if cut and not _all_constant(node.inputs):
            # The user said so: a gradient that was to flow there would flow in a replay, too.
            self._append(primitives["stop_gradient"], (made,), {}, node)

    def _append(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any], node: Node
    ) -> Node:
        made = entry(primitive, operands, params, node.shape, node.dtype, user_location())
        self.entries.append(made)
        self.records[node] = made
        return made

    def _leaf(self, node: Node, value: Any) -> Node:
        """Return the record of a value that was not made on the tape."""
        leaf = self.records[node] = Node(None, (), {}, (), node.shape, node.dtype)
        self.leaves[leaf] = value
        return leaf

    def enters(self, tensor: Tensor) -> None:
        """Note the version of a tensor that is about to be written to."""
        node = tensor.node
        record = self.records.get(node)
        if record is None:
            record = self._leaf(node, tensor.value)
        if record in self.leaves:
            self._first.setdefault(tensor, node)

    def _node_of(self, tensor: Tensor, *, first: bool) -> Node:
        """Return the graph's node of a tensor: its first version as an input, or its newest."""
        if not isinstance(tensor, Tensor):
            raise TypeError(f"tensors of the recording are named here, not {type(tensor).__name__}")
        node: Node = self._first.get(tensor, tensor.node) if first else tensor.node
        if node not in self.records:
            raise ValueError(
                "this tensor is not on the tape: nothing was computed from it (or to it) inside "
                "the with block"
            )
        return node

    def gradient(self, target: Any, sources: Any, grad: Any = None) -> Any:
        """Return the derivatives of `target` (or of its sum) by each of `sources`.

        Parameters
        ----------
        target : Tensor, or nest of them
            Results on the tape; of several, the sum of all is differentiated.
        sources : Tensor, or nest of them
            Values on the tape.
        grad : array_like, or nest of them, optional
            The cotangent of `target`; ones by default.

        Returns
        -------
        array, or nest of them
            In the structure of `sources`. Zeros where nothing flows.

        Raises
        ------
        RuntimeError
            If the tape was made with ``persistent=False``, and was asked before.
        """
        targets, structure = flatten(target)
        nodes = [self._node_of(t, first=False) for t in targets]
        grads = [grad] * len(nodes)
        if structure != "*" and grad is not None:
            what = "Tape.gradient: grad must be like the target"
            grads = flatten_like(structure, grad, what, whole=True)
        roots = [(n, _seed(n, g)) for n, g in zip(nodes, grads) if not n.constant]
        asked, structure = flatten(sources)
        places = [self._node_of(t, first=True) for t in asked]
        with self._use():
            cotangents = sweep(roots, imperative=True)
        found = [cotangents.get(at) for at in places]
        pairs = zip(places, found)
        return unflatten(structure, [_zeros(n) if g is None else np.array(g) for n, g in pairs])

    def jacobian(self, target: Tensor, sources: Any) -> Any:
        """Return the derivatives of each element of `target` by each element of `sources`.

        Parameters
        ----------
        target : Tensor
            A result on the tape.
        sources : Tensor, or nest of them
            Values on the tape.

        Returns
        -------
        array, or nest of them
            In the structure of `sources`; each of shape ``target.shape + source.shape``.

        Raises
        ------
        RuntimeError
            If the tape was made with ``persistent=False``, and was asked before.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> x = tg.tensor([1.0, 2.0])
        >>> with tg.Tape() as tape:
        ...     y = x**2
        >>> tape.jacobian(y, x)
        array([[2., 0.],
               [0., 4.]])
        """
        node = self._node_of(target, first=False)
        asked, structure = flatten(sources)
        places = [self._node_of(t, first=True) for t in asked]
        none = [np.zeros((node.size, *at.shape), at.dtype) for at in places]

        def pull(unit: Any) -> list[Any]:
            cotangents = sweep([(node, unit)], imperative=True)
            return [cotangents.get(at, zeros[0]) for at, zeros in zip(places, none)]

        with self._use():
            rows = none
            if node.size and not node.constant:
                units = np.eye(node.size, dtype=node.dtype)
                rows = later.vmap(pull)(units.reshape(node.size, *node.shape))
        shapes = [(*node.shape, *at.shape) for at in places]
        return unflatten(structure, [np.array(r).reshape(s) for r, s in zip(rows, shapes)])

    @contextlib.contextmanager
    def _use(self) -> Iterator[None]:
        """Differentiate; a tape that is not persistent lets go of its residuals then."""
        if self._used:
            raise RuntimeError(self._used)
        yield
        if not self.persistent:
            self._used = (
                "this tape was made with persistent=False and has given its derivatives; one that can "
                "be asked again is made by Tape(), or Tape(persistent=True)"
            )
            for node, record in self.records.items():
                if record.primitive is not None:
                    node.clear(forget=False)

    def replay(self, values: Mapping[Tensor, Any]) -> Replayed:
        """Run the recorded primitives again with other values for some inputs.

        Parameters
        ----------
        values : dict
            New values by tensor; every other input keeps the value it had.

        Returns
        -------
        Replayed
            A mapping from the recording's tensors to the new arrays.

        Notes
        -----
        Python code is not run again: a branch that the recording took is taken.
        """
        computed = dict(self.leaves)
        for tensor, value in values.items():
            node = self.records[self._node_of(tensor, first=True)]
            if node not in self.leaves:
                raise ValueError("only inputs can be replaced; this tensor was made on the tape")
            value = np.asarray(value)
            if value.shape != node.shape:
                raise ValueError(
                    f"replay: the input was recorded with shape {node.shape}, got {value.shape}"
                )
            computed[node] = fit(value, node.shape, node.dtype)
        replay(self.entries, computed)
        return Replayed(list(self._first), self.records, computed)

    def compile(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, gradient: bool = False
    ) -> Callable[..., Any]:
        """Compile the tape to a function of some inputs.

        Parameters
        ----------
        inputs : list of Tensor
            What the function takes, as arrays of the recorded shapes and dtypes.
        outputs : list of Tensor
            What it returns, as a list of arrays.
        gradient : bool
            Whether it returns ``(outputs, gradients)``: also the derivatives of the sum of the
            outputs by each input.

        Returns
        -------
        callable
        """
        program = self.program(inputs, outputs)
        if gradient:
            return _with_gradients(program)
        compiled = program.compile()
        return lambda *arrays: list(compiled(*arrays))

    def program(
        self, inputs: Sequence[Tensor] | None = None, outputs: Sequence[Tensor] | None = None
    ) -> Program:
        """Return the tape as a program.

        Parameters
        ----------
        inputs : list of Tensor, optional
            What the program takes. Results of the recording may be among them: the program begins
            there. Whatever else it needs is a constant. By default everything that was not made on
            the tape.
        outputs : list of Tensor, optional
            What it returns; by default the last result.

        Returns
        -------
        Program
            With all entries of the tape, or, if `outputs` are given, those that they need.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> x = tg.tensor([1.0, 2.0])
        >>> with tg.Tape() as tape:
        ...     y = np.sum(x * x)
        >>> tape.program([x], [y]).reverse()(np.array([3.0, 4.0]), np.array(1.0))
        (array(25.), array([6., 8.]))
        """
        if inputs is None:
            given = list(self.leaves)
        else:
            given = [self.records[self._node_of(t, first=True)] for t in inputs]
        results = self.entries[-1:]
        if outputs is not None:
            results = [self.records[self._node_of(t, first=False)] for t in outputs]
        rewriter = Rewriter(Program(given, self.entries, results))
        apart = set(given)
        for leaf, value in self.leaves.items():
            if leaf not in apart:
                rewriter.known[leaf] = np.array(value)
        for made in self.entries:
            if made not in apart:
                rewriter.keep(made, rewriter.operands(made))
        program = rewriter.finish()
        return program if outputs is None else program.select(program.outputs)

    def __reduce__(self) -> Any:
        # The graph of the tensors stays behind, and with it what a sweep needs.
        held = [(t, self.records[n], False) for t, n in self._first.items()]
        for node, record in self.records.items():
            tensor = tensor_at(node)
            if tensor is not None:
                held.append((tensor, record, True))
        program = Program(list(self.leaves), self.entries, [record for _, record, _ in held])
        tensors = [(tensor, is_newest) for tensor, _, is_newest in held]
        return _restored, (program, list(self.leaves.values()), tensors, self.persistent)

    def source(self) -> str:
        """Return the tape as NumPy source: a function of its inputs that returns its last result."""
        return self.program().source()

    def __str__(self) -> str:
        return self.source()

    def __len__(self) -> int:
        return len(self.entries)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        facts = [f"{len(self.leaves)} inputs", f"{len(self.entries)} entries"]
        return as_html("Tape", facts, ("", self.source()) if self.entries else ("", ""))

    def __dir__(self) -> list[str]:
        return list(filter(is_public, object.__dir__(self)))


def _restored(
    program: Program, values: list[Any], tensors: list[tuple[Tensor, bool]], persistent: bool
) -> Tape:
    """Make a tape of its pickle: it is printed, replayed and compiled, and has no graph to sweep."""
    tape = Tape(persistent)
    tape.entries = list(program.entries)
    tape.leaves = dict(zip(program.inputs, values))
    tape._used = (
        "this tape is a copy, which has no graph; its derivatives are those of its program: "
        "tape.program([x], [y]).reverse()"
    )
    for (tensor, is_newest), record in zip(tensors, program.outputs):
        node = tensor.node if is_newest else Node(None, (), {}, (), record.shape, record.dtype)
        tape.records[node] = record
        if not is_newest:
            tape._first[tensor] = node
    return tape


def _seed(node: Node, grad: Any) -> Any:
    """Return the cotangent of a target."""
    if grad is None:
        return np.ones(node.shape, node.dtype)
    return np.array(np.broadcast_to(np.asarray(grad), node.shape), node.dtype)


def _zeros(node: Node) -> Any:
    return np.zeros(node.shape, node.dtype)


def _all_constant(inputs: Sequence[Node | None]) -> bool:
    return all(node is None or node.constant for node in inputs)


def _with_gradients(program: Program) -> Callable[..., Any]:
    """Return a compiled function that gives ``(outputs, gradients)`` for cotangents of one."""
    both = program.reverse(range(len(program.inputs)), imperative=True)
    seeds = [np.ones(o.shape, o.dtype) for o in program.outputs if o.dtype.kind in CONTINUOUS]
    compiled, count = both.compile(), len(program.outputs)

    def run(*arrays: Any) -> tuple[list[Any], list[Any]]:
        results = compiled(*arrays, *seeds)
        return list(results[:count]), list(results[count:])

    return run
