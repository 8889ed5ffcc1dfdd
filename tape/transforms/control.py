"""Control flow as entries: branches that are chosen by a value when the program runs.

``cond`` is an entry whose parameters are two programs. Where the predicate is one known value, the
function of the branch is called, as by ``if``; where it stands for many (under ``jit``, on a tape, for a
batch), both functions are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import fit, zeros
from tapegrad.tape.core.node import Node, clock, entry
from tapegrad.tape.core.primitive import Primitive, functions, primitives
from tapegrad.tape.core.pytree import Structure, flatten, unflatten
from tapegrad.tape.core.state import state
from tapegrad.tape.program.bodies import Body, NotRecordable, is_operand, record_body
from tapegrad.tape.program.program import Program
from tapegrad.tape.python.running import run

__all__ = ["cond", "cond_p"]


# The primitive -----------------------------------------------------------------------------------

# cond(pred, *operands, true_fun, false_fun, axes) gives the results of one of two programs. A predicate
# with axes has one value for each example: operands and results have these axes in front, and the
# programs are those of batches. An example that goes the other way never gets into a program, nor into
# its derivatives: one that goes this way stands in its place, and its results are not used.


def _forward(
    pred: Any, *operands: Any, true_fun: Any, false_fun: Any, axes: int
) -> tuple[Any, ...]:
    pred = np.asarray(pred)
    if np.all(pred):
        return _apart(true_fun(*operands), operands)
    if not np.any(pred):
        return _apart(false_fun(*operands), operands)
    ways = (
        true_fun(*(_examples(o, pred) for o in operands)),
        false_fun(*(_examples(o, ~pred) for o in operands)),
    )
    return tuple(
        np.where(np.reshape(pred, pred.shape + (1,) * (np.ndim(t) - axes)), t, f)
        for t, f in zip(*ways)
    )


def _examples(operand: Any, flags: Any) -> Any:
    """Return the examples that are flagged, and the first of these in place of the others."""
    rows = np.reshape(operand, (flags.size, *np.shape(operand)[flags.ndim :]))
    index = np.where(flags.ravel(), np.arange(flags.size), np.argmax(flags))
    return np.reshape(rows[index], np.shape(operand))


def _apart(results: Sequence[Any], operands: Sequence[Any]) -> tuple[Any, ...]:
    """Return results as arrays of their own: a program may return what it was given."""
    own: list[Any] = []
    for result in map(np.asarray, results):
        shared = any(np.may_share_memory(result, o) for o in (*operands, *own))
        own.append(result.copy() if shared else result)
    return tuple(own)


def _pull(
    g: Any,
    y: Any,
    pred: Any,
    *operands: Any,
    true_fun: Program,
    false_fun: Program,
    axes: int,
    imperative: bool = False,
) -> list[Any]:
    floats = _floats(true_fun.inputs)
    cotangents = [
        zeros(o) if type(part) is int else fit(part, o.shape, o.dtype)
        for part, o in zip(g, true_fun.outputs)
        if o.dtype.kind == "f"
    ]
    true_fun = true_fun.pullback(floats, imperative=imperative)
    false_fun = false_fun.pullback(floats, imperative=imperative)
    parts = bind(
        cond_p, pred, *operands, *cotangents, true_fun=true_fun, false_fun=false_fun, axes=axes
    )
    pulled = dict(zip(floats, parts))
    return [None, *(pulled.get(i) for i in range(len(operands)))]


def _push(
    tangents: Any,
    y: Any,
    pred: Any,
    *operands: Any,
    true_fun: Program,
    false_fun: Program,
    axes: int,
) -> list[Any]:
    moved = tuple(i for i, t in enumerate(tangents[1:]) if t is not None)
    given = [tangents[i + 1] for i in moved]
    floats = _floats(true_fun.outputs)
    true_fun, false_fun = true_fun.pushforward(moved), false_fun.pushforward(moved)
    parts = bind(cond_p, pred, *operands, *given, true_fun=true_fun, false_fun=false_fun, axes=axes)
    pushed = dict(zip(floats, parts))
    return [pushed.get(i) for i in range(len(y))]


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    pred, *operands = args
    flags, axes = tuple(batched[1:]), params["axes"]
    if batched[0] or axes:
        if not batched[0]:
            pred = np.broadcast_to(pred, (size, *pred.shape))
        operands = [
            o if b else np.broadcast_to(o, (size, *np.shape(o))) for o, b in zip(operands, flags)
        ]
        flags, axes = (True,) * len(operands), axes + 1
    ways = {name: params[name].batch(size, flags) for name in ("true_fun", "false_fun")}
    return bind(cond_p, pred, *operands, **ways, axes=axes)  # type: ignore[no-any-return]


def _source(args: list[str], params: dict[str, Any]) -> str:
    pred, true_fun, false_fun = args[0], params["true_fun"], params["false_fun"]
    inside = ", ".join(args[1:])
    if not params["axes"]:
        return f"{true_fun}({inside}) if {pred} else {false_fun}({inside})"
    words = f"true_fun={true_fun}, false_fun={false_fun}, axes={params['axes']}"
    return f"primitives['cond'].forward({', '.join(args)}, {words})"


def _floats(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(i for i, v in enumerate(values) if v.dtype.kind == "f")


def _declared(name: str, **slots: Any) -> Primitive:
    return Primitive(
        name,
        _forward,
        jvp=_push,
        batch=_batch,
        multiple=True,
        saves=("none", "value"),
        source=_source,
        **slots,
    )


cond_p = _declared(
    "cond",
    pull_all=_pull,
    imperative=_declared("cond_imperative", pull_all=partial(_pull, imperative=True)),
)


# The function ------------------------------------------------------------------------------------


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """Apply one of two functions to operands, by the value of a predicate.

    Parameters
    ----------
    pred : bool, or a scalar array or tensor
        Numbers count as true if they are not zero.
    true_fun, false_fun : callable
        Take the operands; return arrays, or nests of them, of the same structure, shapes and dtypes. A
        Python number takes the dtype that the other branch has in its place.
    *operands
        Arrays, tensors, or nests of them.

    Returns
    -------
    nest of arrays
        ``true_fun(*operands)`` or ``false_fun(*operands)``, as arrays of their own.

    Raises
    ------
    TypeError
        If the predicate has axes, if a branch is no function, or if the branches return what is not
        alike.

    Notes
    -----
    Derivatives flow to the operands and to the tensors that the functions read from outside. The branch
    that is not taken has no part in them, whatever its values are.

    Under ``jit``, on a ``Tape``, and where ``vmap`` gives each example a predicate of its own, both
    functions are called to be recorded, on example values and with NumPy's warnings off, and the program
    chooses when it runs. Elsewhere, the function of the branch that is taken is called; the first time,
    both are recorded, too, to see whether they return alike. So neither should have effects.

    A function cannot be recorded if it branches by values in Python, writes into an array from outside,
    or fails on example values. Then the predicate is asked for its value, as by ``if``: a guard for
    ``jit``, while ``vmap`` runs the examples one by one. A comparison of Python numbers is a bool under
    ``jit`` as without, and so a guard.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def root(x):
    ...     return tg.cond(x > 0, lambda x: np.sqrt(x), lambda x: 0 * x, x)
    >>> tg.grad(root)(4.0), tg.grad(root)(-1.0)
    (np.float64(0.25), np.float64(0.0))
    >>> tg.vmap(tg.grad(root))(np.array([4.0, 0.0, -1.0]))
    array([0.25, 0.  , 0.  ])
    """
    for name, function in (("true_fun", true_fun), ("false_fun", false_fun)):
        if not callable(function):
            raise TypeError(f"cond: {name} must be a function, not {type(function).__name__}")
    pred = _predicate(pred)
    leaves, structure = flatten(operands)
    if _is_concrete(pred):
        _compare_once(true_fun, false_fun, leaves, structure)
    else:
        ways = _recorded(true_fun, false_fun, leaves, structure)
        if ways is not None:
            return _entry(pred, ways, [leaf for leaf in leaves if is_operand(leaf)])
    return _called(true_fun if pred else false_fun, operands)


def _predicate(pred: Any) -> Any:
    """Return a predicate as a bool or a boolean tensor."""
    value = pred if isinstance(pred, Tensor) else np.asarray(pred)
    if value.dtype.kind not in "fiub":
        raise TypeError(f"cond: the predicate must be a truth value, not {type(pred).__name__}")
    if value.shape != ():
        raise TypeError(
            f"cond: the predicate must be a scalar, and has shape {value.shape}. To choose element by "
            "element, use np.where; to choose for each example, tg.vmap"
        )
    if not isinstance(value, Tensor):
        return bool(value)
    return value if value.dtype.kind == "b" else functions[np.not_equal](value, 0)


def _is_concrete(pred: Any) -> bool:
    """Whether a predicate is one value, for this run and for all that its trace stands for."""
    while isinstance(pred, Tensor):
        if not pred.live_trace.level and state.get().tape is not None:
            return False
        pred = pred.live_trace.appearance.peek(pred)
    return pred is not None


def _called(function: Callable[..., Any], operands: Any) -> Any:
    """Call a branch; what it returns is copied where it is not new."""
    start = clock()
    leaves, structure = flatten(run(function, *operands))
    own: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            node = leaf.node
            is_new = type(node) is Node and node.number > start and leaf.base is None
            leaf = leaf if is_new else functions[np.copy](leaf)
        elif isinstance(leaf, np.ndarray):
            leaf = leaf.copy()
        own.append(leaf)
    return unflatten(structure, own)


def _recorded(
    true_fun: Callable[..., Any], false_fun: Callable[..., Any], leaves: Any, structure: Structure
) -> tuple[Body, Body] | None:
    """Record both branches; None if one of them is no program."""
    try:
        ways = [record_body(f, leaves, structure) for f in (true_fun, false_fun)]
    except (NotRecordable, Exception):
        # Whatever it is, the branch that is taken will say so itself.
        return None
    return _alike(*ways)


#: Pairs of functions that have been compared, and for what operands.
_compared: WeakKeyDictionary[Any, set[Any]] = WeakKeyDictionary()


def _compare_once(
    true_fun: Callable[..., Any], false_fun: Callable[..., Any], leaves: Any, structure: Structure
) -> None:
    """Raise if two functions return what is not alike, when they first come with such operands."""
    first, second = (getattr(f, "__code__", None) for f in (true_fun, false_fun))
    if first is None or second is None:
        return
    kinds = tuple((np.shape(a), a.dtype) if is_operand(a) else type(a) for a in leaves)
    seen, key = _compared.setdefault(first, set()), (second, structure, kinds)
    if key not in seen:
        seen.add(key)
        _recorded(true_fun, false_fun, leaves, structure)


class _Result(NamedTuple):
    """What is known of a result: a Python number has no dtype of its own."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_number: bool

    @classmethod
    def of(cls, output: Any, weak: frozenset[Node]) -> _Result:
        """Describe an output of a program."""
        if type(output) is Node:
            return cls(output.shape, output.dtype, output in weak)
        array = np.asarray(output)
        return cls(array.shape, array.dtype, type(output) in (float, int))

    def common(self, other: _Result) -> np.dtype[Any] | None:
        """Return the dtype of a result that is the one or the other, or None if there is none."""
        if self.shape != other.shape:
            return None
        for one, two in ((self, other), (other, self)):
            if one.is_number and not two.is_number:
                number = one.dtype.type(0).item()
                return two.dtype if np.result_type(two.dtype, number) == two.dtype else None
        return self.dtype if self.dtype == other.dtype else None

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


def _alike(true_body: Body, false_body: Body) -> tuple[Body, Body]:
    """Check that two branches return alike; Python numbers take the dtype of the other branch."""
    bodies = true_body, false_body
    results = [[_Result.of(o, b.program.weak) for o in b.program.outputs] for b in bodies]
    dtypes = [a.common(b) for a, b in zip(*results)]
    if true_body.structure != false_body.structure or any(d is None for d in dtypes):
        shown = [unflatten(b.structure, found) for b, found in zip(bodies, results)]
        raise TypeError(
            f"cond: the branches must return alike. true_fun returns {shown[0]!r}, false_fun "
            f"{shown[1]!r}: structure, shapes and dtypes must be the same"
        )
    first, second = (b._replace(program=_with_dtypes(b.program, dtypes)) for b in bodies)
    return first, second


def _with_dtypes(program: Program, dtypes: Sequence[Any]) -> Program:
    """Return a program whose outputs are arrays of given dtypes."""
    entries, outputs = list(program.entries), []
    for output, dtype in zip(program.outputs, dtypes):
        if type(output) is not Node:
            output = np.asarray(output, dtype)
        elif output.dtype != dtype:
            output = entry(primitives["cast"], (output,), {"dtype": dtype}, output.shape, dtype)
            entries.append(output)
        outputs.append(output)
    return Program(program.inputs, entries, outputs, program.weak)


def _entry(pred: Any, ways: tuple[Body, Body], operands: list[Any]) -> Any:
    """Apply the primitive; what the branches read from outside are further operands."""
    hidden = {key: value for body in ways for key, value in body.hidden.items()}
    names = ("true_fun", "false_fun")
    programs = {
        name: _with_inputs(body, ways, hidden, len(operands)) for name, body in zip(names, ways)
    }
    structure = ways[0].structure
    if not programs["true_fun"].outputs:
        return unflatten(structure, [])
    results = bind(cond_p, pred, *operands, *hidden.values(), **programs, axes=0)
    # Where all lies below the trace of the caller, there are plain arrays, and scalars in NumPy's way.
    return unflatten(structure, [r[()] if type(r) is np.ndarray else r for r in results])


def _with_inputs(
    body: Body, ways: tuple[Body, Body], hidden: dict[Any, Tensor], count: int
) -> Program:
    """Return the program of a branch with inputs for all that any branch reads from outside."""
    program = body.program
    inputs, weak = list(program.inputs[:count]), set(program.weak)
    for key in hidden:
        owner = next(b for b in (body, *ways) if key in b.hidden)
        node = owner.program.inputs[count + list(owner.hidden).index(key)]
        if owner is not body:  # an input that this branch does not use
            like, node = node, Node(None, (), {}, (), node.shape, node.dtype)
            if like in owner.program.weak:
                weak.add(node)
        inputs.append(node)
    return Program(inputs, program.entries, program.outputs, weak)
