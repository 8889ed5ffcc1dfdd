"""Branches: functions of which one is chosen by a value when the program runs.

``cond`` and ``switch`` are entries whose parameters are programs. Where the value that chooses is one
known value, the function is called, as by ``if``; where it stands for many (under ``jit``, on a tape,
for a batch), all functions are recorded.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import fit, zeros
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC
from tapegrad.tape.core.later import later
from tapegrad.tape.core.node import Node, clock
from tapegrad.tape.core.primitive import Primitive, functions, primitives
from tapegrad.tape.core.pytree import Structure, flatten, unflatten
from tapegrad.tape.core.state import state
from tapegrad.tape.program.bodies import Body, NotRecordable, is_operand, record_body
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.straight import runner
from tapegrad.tape.python.running import seen
from tapegrad.tape.transforms.control.alike import (
    common_dtype,
    joined,
    plain,
    results_of,
    with_dtypes,
)
from tapegrad.tape.transforms.control.selection import apart, chosen, examples

__all__ = ["cond", "cond_p", "is_concrete", "predicate", "switch", "switch_p"]


# The primitives ----------------------------------------------------------------------------------

# switch(index, *operands, axes, **ways) gives the results of one of several programs. cond is the same
# with a truth value: the first of two programs is that for True. An index with axes has one value for
# each example: operands and results have these axes in front, and the programs are those of batches. An
# example that goes another way never gets into a program, nor into its derivatives: one that goes this
# way stands in its place, and its results are not used.


def _forward(index: Any, *operands: Any, axes: int, **ways: Any) -> tuple[Any, ...]:
    index = np.asarray(index)
    programs = list(ways.values())
    if not index.ndim:
        return apart(runner(programs[_place(index.item(), len(ways))])(*operands), operands)
    index = ~index if index.dtype.kind == "b" else np.clip(index, 0, len(ways) - 1)
    results: Any = None
    for k, program in enumerate(programs):
        flags = index == k
        if flags.any() or not (index.size or k):
            if flags.all():
                return apart(runner(program)(*operands), operands)
            parts = runner(program)(*(examples(o, flags) for o in operands))
            first = results is None
            results = parts if first else [chosen(flags, p, r) for p, r in zip(parts, results)]
    return tuple(results)


def _place(index: Any, count: int) -> int:
    """Return which of several programs a value chooses: of two, True the first."""
    return int(not index) if type(index) is bool else min(max(int(index), 0), count - 1)


def _pull(
    g: Any,
    y: Any,
    index: Any,
    *operands: Any,
    name: str,
    axes: int,
    imperative: bool = False,
    **ways: Program,
) -> list[Any]:
    program, *_ = ways.values()
    floats = _floats(program.inputs)
    cotangents = [
        zeros(o) if type(part) is int else fit(part, o.shape, o.dtype)
        for part, o in zip(g, program.outputs)
        if o.dtype.kind in CONTINUOUS
    ]
    ways = {key: way.pullback(floats, imperative=imperative) for key, way in ways.items()}
    parts = bind(primitives[name], index, *operands, *cotangents, axes=axes, **ways)
    pulled = dict(zip(floats, parts))
    return [None, *(pulled.get(i) for i in range(len(operands)))]


def _push(
    tangents: Any, y: Any, index: Any, *operands: Any, name: str, axes: int, **ways: Program
) -> list[Any]:
    moved = tuple(i for i, t in enumerate(tangents[1:]) if t is not None)
    given = [tangents[i + 1] for i in moved]
    program, *_ = ways.values()
    floats = _floats(program.outputs)
    ways = {key: way.pushforward(moved) for key, way in ways.items()}
    parts = bind(primitives[name], index, *operands, *given, axes=axes, **ways)
    pushed = dict(zip(floats, parts))
    return [pushed.get(i) for i in range(len(y))]


def _batch(
    args: Any, batched: Any, size: int, params: dict[str, Any], *, name: str
) -> tuple[Any, ...]:
    index, *operands = args
    flags, axes = tuple(batched[1:]), params["axes"]
    if batched[0] or axes:
        if not batched[0]:
            index = np.broadcast_to(index, (size, *index.shape))
        operands = [
            o if b else np.broadcast_to(o, (size, *np.shape(o))) for o, b in zip(operands, flags)
        ]
        flags, axes = (True,) * len(operands), axes + 1
    ways = {key: way.batch(size, flags) for key, way in params.items() if key != "axes"}
    return bind(primitives[name], index, *operands, axes=axes, **ways)  # type: ignore[no-any-return]


def _source(args: list[str], params: dict[str, Any], *, name: str) -> str:
    ways = {key: value for key, value in params.items() if key != "axes"}
    inside = ", ".join(args[1:])
    if name == "cond" and not params["axes"]:
        first, second = ways.values()
        return f"{first}({inside}) if {args[0]} else {second}({inside})"
    words = ", ".join(f"{key}={value}" for key, value in ways.items())
    return f"primitives[{name!r}].forward({', '.join(args)}, {words}, axes={params['axes']})"


def _floats(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(i for i, v in enumerate(values) if v.dtype.kind in CONTINUOUS)


def _declared(name: str) -> Primitive:
    def declare(full_name: str, **slots: Any) -> Primitive:
        return Primitive(
            full_name,
            _forward,
            jvp=partial(_push, name=name),
            batch=partial(_batch, name=name),
            multiple=True,
            saves=("none", "value"),
            source=partial(_source, name=name),
            takes_complex=True,
            **slots,
        )

    pull = partial(_pull, name=name)
    imperative = declare(f"{name}_imperative", pull_all=partial(pull, imperative=True))
    return declare(name, pull_all=pull, imperative=imperative)


cond_p = _declared("cond")
switch_p = _declared("switch")


# The functions -----------------------------------------------------------------------------------


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
    ways = {"true_fun": true_fun, "false_fun": false_fun}
    pred = predicate(pred, "cond: the predicate")
    return _chosen("cond", pred, ways, operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Apply one of several functions to operands, by an index.

    Parameters
    ----------
    index : int, or an integer array or tensor without axes
        Below 0 it counts as 0, and beyond the last as the last.
    branches : sequence of callable
        They take the operands, and return alike, as those of :func:`cond`.
    *operands
        Arrays, tensors, or nests of them.

    Returns
    -------
    nest of arrays
        ``branches[index](*operands)``, as arrays of their own.

    Raises
    ------
    TypeError
        If the index is no integer or has axes, if a branch is no function, or if the branches return
        what is not alike.
    ValueError
        If there are no branches.

    See Also
    --------
    cond : of two by a truth value; what its notes say holds here, too.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def power(n, x):
    ...     return tg.switch(n, [np.ones_like, np.positive, np.square], x)
    >>> power(2, np.array([1.0, 3.0]))
    array([1., 9.])
    >>> tg.vmap(tg.grad(power, argnums=1))(np.array([0, 1, 2]), np.array([3.0, 3.0, 3.0]))
    array([0., 1., 6.])
    """
    if callable(branches):
        raise TypeError("switch: the branches must be a sequence of functions, not one function")
    branches = list(branches)
    if not branches:
        raise ValueError("switch: there must be at least one branch")
    for k, function in enumerate(branches):
        if not callable(function):
            raise TypeError(f"switch: branch {k} must be a function, not {type(function).__name__}")
    value = index if isinstance(index, Tensor) else np.asarray(index)
    if value.dtype.kind not in "iu" or value.shape != ():
        raise TypeError(
            f"switch: the index must be an integer without axes, and is {value.dtype} of shape "
            f"{value.shape}. To choose for each example, use tg.vmap; by a truth value, tg.cond"
        )
    ways = {f"branch{k}": function for k, function in enumerate(branches)}
    return _chosen("switch", value, ways, operands)


def _chosen(name: str, index: Any, ways: dict[str, Callable[..., Any]], operands: Any) -> Any:
    """Apply one of several functions: the one that is known, or that which the program chooses."""
    leaves, structure = flatten(operands)
    if is_concrete(index):
        _compare_once(name, ways, leaves, structure)
    else:
        bodies = _recorded(name, ways, leaves, structure)
        if bodies is not None:
            given = [leaf for leaf in leaves if is_operand(leaf)]
            programs, hidden = joined(bodies, len(given))
            structure = bodies[0].structure
            if not programs[0].outputs:
                return unflatten(structure, [])
            params = dict(zip(ways, programs))
            results = bind(primitives[name], index, *given, *hidden, axes=0, **params)
            return unflatten(structure, map(plain, results))
    known = bool(index) if name == "cond" else operator.index(index)
    return _called(later.called([*ways.values()][_place(known, len(ways))]), operands)


def predicate(pred: Any, what: str) -> Any:
    """Return a predicate as a bool or a boolean tensor; `what` is how errors begin."""
    value = pred if isinstance(pred, Tensor) else np.asarray(pred)
    if value.dtype.kind not in NUMERIC:
        raise TypeError(f"{what} must be a truth value, not {type(pred).__name__}")
    if value.shape != ():
        raise TypeError(
            f"{what} must be a scalar, and has shape {value.shape}. To choose element by "
            "element, use np.where; to choose for each example, tg.vmap"
        )
    if not isinstance(value, Tensor):
        return bool(value)
    return value if value.dtype.kind == "b" else functions[np.not_equal](value, 0)


def is_concrete(pred: Any) -> bool:
    """Whether a value is one value, for this run and for all that its trace stands for."""
    while isinstance(pred, Tensor):
        if not pred.live_trace.level and state.get().tape is not None:
            return False
        pred = pred.live_trace.appearance.peek(pred)
    return pred is not None


def _called(function: Callable[..., Any], operands: Any) -> Any:
    """Call a branch; what it returns is copied where it is not new."""
    start = clock()
    leaves, structure = flatten(seen(function(*operands)))
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
    name: str, ways: dict[str, Callable[..., Any]], leaves: Any, structure: Structure
) -> list[Body] | None:
    """Record all branches; None if one of them is no program."""
    try:
        bodies = [record_body(function, leaves, structure) for function in ways.values()]
    except (NotRecordable, Exception):
        # Whatever it is, the branch that is taken will say so itself.
        return None
    return _alike(name, dict(zip(ways, bodies)))


#: Functions that have been compared, by the first of them: with which others, and for what operands.
_compared: WeakKeyDictionary[Any, set[Any]] = WeakKeyDictionary()


def _compare_once(
    name: str, ways: dict[str, Callable[..., Any]], leaves: Any, structure: Structure
) -> None:
    """Raise if functions return what is not alike, when they first come with such operands."""
    codes = [getattr(function, "__code__", None) for function in ways.values()]
    if None in codes:
        return
    kinds = [(np.shape(a), a.dtype) if is_operand(a) else type(a) for a in leaves]
    seen, key = _compared.setdefault(codes[0], set()), (*codes, structure, *kinds)
    if key not in seen:
        seen.add(key)
        _recorded(name, ways, leaves, structure)


def _alike(name: str, bodies: dict[str, Body]) -> list[Body]:
    """Check that branches return alike; Python numbers take the dtype of the others."""
    found = {key: results_of(body.program) for key, body in bodies.items()}
    first, *others = bodies
    columns = zip(*found.values())
    dtypes = [common_dtype(column) for column in columns]
    structures = {key: body.structure for key, body in bodies.items()}
    differ = any(structures[key] != structures[first] for key in others)
    if differ or any(dtype is None for dtype in dtypes):
        shown = [f"{key} returns " + repr(unflatten(structures[key], found[key])) for key in bodies]
        text = ", ".join([shown[0], *(part.replace(" returns", "") for part in shown[1:])])
        raise TypeError(
            f"{name}: the branches must return alike. {text}: structure, shapes and dtypes must be "
            "the same"
        )
    return [b._replace(program=with_dtypes(b.program, dtypes)) for b in bodies.values()]  # type: ignore[arg-type]
