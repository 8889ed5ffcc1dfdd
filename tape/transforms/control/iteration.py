"""Loops: ``scan``, ``fori_loop`` and ``while_loop``, each one entry whatever the number of trips."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.later import later
from tapegrad.tape.core.pytree import Structure, flatten, paths, unflatten
from tapegrad.tape.program.bodies import Body
from tapegrad.tape.python.running import run, seen
from tapegrad.tape.transforms.control.alike import joined, plain
from tapegrad.tape.transforms.control.branches import is_concrete, predicate
from tapegrad.tape.transforms.control.carries import Carry, as_operand, example_of, kind_of
from tapegrad.tape.transforms.control.derived import shape_of
from tapegrad.tape.transforms.control.scans import scan_p
from tapegrad.tape.transforms.control.unrolling import scan_by_blocks
from tapegrad.tape.transforms.control.whiles import while_p

__all__ = ["fori_loop", "length_of", "scan", "scanned", "while_loop"]


def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    *,
    checkpoint: int | None = None,
) -> tuple[Any, Any]:
    """Apply a function to rows of arrays one after another, and carry a state from each to the next.

    It does what this does, as one operation::

        def scan(f, init, xs):
            carry, ys = init, []
            for x in xs:
                carry, y = f(carry, x)
                ys.append(y)
            return carry, np.stack(ys)

    Parameters
    ----------
    f : callable
        Takes the carry and a row of `xs`; returns a pair, the next carry and a result.
    init : nest of arrays and numbers
        The first carry. `f` must return a carry of the same structure, shapes and dtypes; a Python
        number takes the dtype that the function gives it.
    xs : nest of arrays, optional
        Each has the trips along its first axis.
    length : int, optional
        The number of trips, if there are no `xs`.
    reverse : bool
        Whether to go from the last row to the first. The results lie as their rows do.
    unroll : int or bool
        So many trips are computed as one, which compiled loops of small operations gain by; True stands
        for all.
    checkpoint : int, optional
        The derivative in reverse mode keeps only what is carried into every so many trips, and computes
        the trips in between once more; 0 keeps everything. By default it keeps everything as long as
        that takes at most 128 MB, and every n-th of n * n trips beyond.

    Returns
    -------
    carry : nest
        After the last trip.
    ys : nest of arrays
        The results, stacked along a new first axis.

    Raises
    ------
    TypeError
        If `f` is no function or returns no pair, if the carry does not keep its structure, shapes and
        dtypes, or if `xs` has a leaf without axes.
    ValueError
        If the first axes of `xs` differ, or nothing says how many trips there are.

    See Also
    --------
    fori_loop, while_loop, map, associative_scan

    Notes
    -----
    `f` is recorded once, on example values and with NumPy's warnings off, and what was recorded runs in
    each trip: under ``jit`` compiled, and neither recording nor compiling depends on the number of
    trips. So `f` should have no effects, and draw no random numbers: they would be the same in all
    trips. A function that branches by values in Python, writes into an array from outside, or fails on
    example values cannot be recorded: it is called in each trip, as by ``for``.
    Operations between Python numbers are those of NumPy.

    Derivatives flow to the first carry, to `xs`, and to the tensors that `f` reads from outside.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def step(total, x):
    ...     return total + x, total * x
    >>> tg.scan(step, 0.0, np.array([1.0, 2.0, 3.0]))
    (np.float64(6.0), array([0., 2., 9.]))
    >>> tg.grad(lambda xs: tg.scan(step, 0.0, xs)[1].sum())(np.array([1.0, 2.0, 3.0]))
    array([5., 4., 3.])
    """
    if not callable(f):
        raise TypeError(f"scan: f must be a function, not {type(f).__name__}")
    if checkpoint is not None:
        checkpoint = operator.index(checkpoint)
        if checkpoint < 0:
            raise ValueError(f"scan: checkpoint must be at least 0, and is {checkpoint}")
    rows, structure = flatten(xs)
    trips = length_of("scan", rows, structure, length)
    block = _block("scan", unroll, trips)
    return scanned("scan", f, init, rows, structure, trips, bool(reverse), checkpoint, block)


def _block(loop: str, unroll: int | bool | None, trips: int) -> int:
    """Return how many trips are one."""
    if type(unroll) is bool:
        return max(trips, 1) if unroll else 1
    block = 1 if unroll is None else operator.index(unroll)
    if block < 1:
        raise ValueError(f"{loop}: unroll must be at least 1, and is {unroll}")
    return block


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[..., Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """Apply a function for each integer of a range, and carry a value from each to the next.

    It does what this does, as one operation::

        def fori_loop(lower, upper, body_fun, init_val):
            value = init_val
            for i in range(lower, upper):
                value = body_fun(i, value)
            return value

    Parameters
    ----------
    lower, upper : int, or integer arrays or tensors without axes
        The range. Where its ends are known when the loop is recorded, it is a :func:`scan`, else a
        :func:`while_loop`.
    body_fun : callable
        Takes the integer and the value; returns the next value, of the same structure, shapes and
        dtypes.
    init_val : nest of arrays and numbers
    unroll : int or bool, optional
        As for :func:`scan`, where the ends are known; elsewhere it must be left out.

    Returns
    -------
    nest
        The last value.

    Raises
    ------
    TypeError
        If an end is no integer, if `body_fun` is no function, or if the value does not keep its
        structure, shapes and dtypes.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def power(x, n):
    ...     return tg.fori_loop(0, n, lambda i, y: x * y, 1.0)
    >>> power(2.0, 10), tg.grad(power)(2.0, 10)
    (np.float64(1024.0), np.float64(5120.0))
    """
    if not callable(body_fun):
        raise TypeError(f"fori_loop: body_fun must be a function, not {type(body_fun).__name__}")
    ends = [_end(value, name) for value, name in ((lower, "lower"), (upper, "upper"))]
    if all(map(is_concrete, ends)):
        first, last = map(operator.index, ends)
        rows = [np.arange(first, max(first, last))]
        trips = len(rows[0])

        def step(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda value, i: (function(i, value), None)

        block = _block("fori_loop", unroll, trips)
        return scanned("fori_loop", body_fun, init_val, rows, "*", trips, block=block, step=step)[0]
    if unroll not in (None, 1, False):
        raise ValueError("fori_loop: only loops whose ends are known can be unrolled")
    start, stop = (as_operand(end, kind_of(np.int64(0), "")) for end in ends)
    state = (plain(start), init_val)

    def goes_on(state: Any) -> Any:
        return np.less(state[0], stop)

    def trip(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda state: (state[0] + np.int64(1), function(*state))

    return _while("fori_loop", goes_on, body_fun, state, trip)[1]


def _end(value: Any, name: str) -> Any:
    """Return an end of a range as an integer or a tensor."""
    dtype = value.dtype if isinstance(value, Tensor) else np.asarray(value).dtype
    if dtype.kind not in "iu" or np.shape(value) != ():
        raise TypeError(
            f"fori_loop: {name} must be an integer without axes, and is {dtype} of shape "
            f"{np.shape(value)}"
        )
    return value


def while_loop(cond_fun: Callable[..., Any], body_fun: Callable[..., Any], init_val: Any) -> Any:
    """Apply a function as long as a condition holds.

    It does what this does, as one operation::

        def while_loop(cond_fun, body_fun, init_val):
            value = init_val
            while cond_fun(value):
                value = body_fun(value)
            return value

    Parameters
    ----------
    cond_fun : callable
        Takes the value; returns a truth value without axes.
    body_fun : callable
        Takes the value; returns the next one, of the same structure, shapes and dtypes.
    init_val : nest of arrays and numbers
        A Python number takes the dtype that the function gives it.

    Returns
    -------
    nest
        The first value for which the condition does not hold.

    Raises
    ------
    TypeError
        If one of them is no function, if the condition is no truth value, or if the value does not
        keep its structure, shapes and dtypes.

    See Also
    --------
    scan : where the number of trips is known; its derivatives take less time.

    Notes
    -----
    What the notes of :func:`scan` say of functions holds here. Under ``vmap`` each example ends by
    itself.

    The derivative in reverse mode needs no bound on the number of trips: the loop keeps the values
    before every k-th trip, at most 256 of them, and doubles k whenever these are too many. What lies
    between is computed once more.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> def root(a):  # Newton's method
    ...     return tg.while_loop(
    ...         lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a
    ...     )
    >>> root(2.0), tg.grad(root)(2.0)  # doctest: +ELLIPSIS
    (np.float64(1.4142135623...), np.float64(0.3535533905...))
    """
    for name, function in (("cond_fun", cond_fun), ("body_fun", body_fun)):
        if not callable(function):
            raise TypeError(f"while_loop: {name} must be a function, not {type(function).__name__}")
    return _while("while_loop", cond_fun, body_fun, init_val)


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _read(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls the image of a function: what a trip does around it is nobody's to read."""
    return lambda *args: run(function, *args)


def _while(
    loop: str,
    cond_fun: Callable[..., Any],
    body_fun: Callable[..., Any],
    init: Any,
    trip: Callable[..., Callable[..., Any]] = _as_it_is,
) -> Any:
    """Loop; `loop` is what errors call it, and `trip` makes of the user's function what a trip does."""
    carry = Carry(loop, init)
    alone: Structure = (tuple, None, ())
    body = carry.record(trip(_read(body_fun)), [], alone, pair=False)
    test = None
    if body is not None:
        test = carry.record_test(lambda value: _goes_on(loop, _read(cond_fun), value))
    if body is None or test is None:
        value = unflatten(carry.structure, carry.leaves)
        goes_on, step = later.called(cond_fun), trip(later.called(body_fun))
        while bool(_goes_on(loop, goes_on, value)):
            value = unflatten(carry.structure, carry.leaves_of(seen(step(value))))
        return value
    (cond, program), hidden = joined([test, body], len(carry.leaves))
    results = bind(
        while_p,
        *carry.operands,
        *hidden,
        cond=cond,
        body=program,
        carried=len(carry.leaves),
        axes=0,
        shared=(True,) * len(hidden),
        states=0,
        variable=None,
    )
    return unflatten(carry.structure, map(plain, results))


def _goes_on(loop: str, cond_fun: Callable[..., Any], value: Any) -> Any:
    return predicate(cond_fun(value), f"{loop}: the condition")


def length_of(loop: str, rows: Sequence[Any], structure: Structure, length: Any) -> int:
    """Return the number of trips."""
    sizes = {} if length is None else {"length": operator.index(length)}
    for row, path in zip(rows, paths(structure)):
        if not np.shape(row):
            raise TypeError(
                f"{loop}: xs{path} has no axes along which to go; it is of type {type(row).__name__}"
            )
        sizes[f"xs{path}"] = np.shape(row)[0]
    if not sizes:
        raise ValueError("scan: without xs, length must say how many trips there are")
    if len({*sizes.values()}) > 1:
        found = ", ".join(f"{size} ({name})" for name, size in sizes.items())
        raise ValueError(f"{loop}: the first axes differ in size: {found}")
    trips = int(next(iter(sizes.values())))
    if trips < 0:
        raise ValueError(f"{loop}: length must be at least 0, and is {trips}")
    return trips


def scanned(
    loop: str,
    function: Callable[..., Any],
    init: Any,
    rows: list[Any],
    structure: Structure,
    length: int,
    reverse: bool = False,
    checkpoint: int | None = None,
    block: int = 1,
    step: Callable[..., Callable[..., Any]] = _as_it_is,
) -> tuple[Any, Any]:
    """Scan; `loop` is what errors call it, and `rows` are the leaves of the stacked arguments.

    So many trips as a `block` are one. `step` makes of the user's function what is scanned.
    """
    carry = Carry(loop, init)
    rows = [row if isinstance(row, Tensor) else np.asarray(row) for row in rows]
    examples = [example_of(kind_of(r, f"{loop}: xs")._replace(shape=r.shape[1:])) for r in rows]
    body = carry.record(step(_read(function)), examples, (tuple, None, (structure,)), pair=True)
    if body is None:
        # Where images run, what is called in each trip is one.
        return _called(carry, step(later.called(function)), rows, structure, length, reverse)
    if not length:
        empty = [np.empty(s.shape, s.dtype) for s in _shapes_of_results(body, carry)]
        return unflatten(carry.structure, map(plain, carry.operands)), unflatten(
            body.structure, empty
        )
    (program,), hidden = joined([body], len(carry.leaves) + len(rows))
    results: list[Any] = []
    if program.outputs and block > 1:
        operands = carry.operands, rows, hidden
        by_blocks = scan_by_blocks(
            program, *operands, length, block, reverse=reverse, checkpoint=checkpoint
        )
        results = list(map(plain, by_blocks))
    elif program.outputs:
        found = bind(
            scan_p,
            *carry.operands,
            *rows,
            *hidden,
            body=program,
            length=length,
            carried=len(carry.leaves),
            stacked=len(rows),
            reverse=reverse,
            every=0,
            checkpoint=checkpoint,
            variable=None,
        )
        results = list(map(plain, found))
    end = len(carry.leaves)
    return unflatten(carry.structure, results[:end]), unflatten(body.structure, results[end:])


def _shapes_of_results(body: Body, carry: Carry) -> list[Any]:
    return [shape_of(output, 0) for output in body.program.outputs[len(carry.leaves) :]]


def _called(
    carry: Carry,
    function: Callable[..., Any],
    rows: list[Any],
    structure: Structure,
    length: int,
    reverse: bool,
) -> tuple[Any, Any]:
    """Call the function in each trip."""
    if not length:
        raise TypeError(
            f"{carry.loop}: without trips, nobody knows what the results are: the function cannot be "
            "recorded"
        )
    state = unflatten(carry.structure, carry.leaves)
    found: list[Any] = []
    shape: Any = None
    for t in reversed(range(length)) if reverse else range(length):
        out = seen(function(state, unflatten(structure, [row[t] for row in rows])))
        carry.check_pair(flatten(out)[1])
        state, result = out
        state = unflatten(carry.structure, carry.leaves_of(state))
        leaves, shape = flatten(result)
        found.append(leaves)
    if reverse:
        found.reverse()
    return state, unflatten(shape, [np.stack(column) for column in zip(*found)])
