"""One trip of a loop of Python's, recorded: a way that trips may go.

The program of a way takes what is carried, the items, and what the trip reads from outside. It returns
what is carried next, what is appended to lists, and last whether Python would see in the trip what it
saw in the recorded one, unless it always would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.application import belongs, bind
from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.core.pytree import Structure, count, flatten, instances_in, unflatten
from tapegrad.tape.program.bodies import Body, NotRecordable, is_operand, record_program
from tapegrad.tape.program.holders import Attribute, Ends, Holder
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.trips import TripTrace, Writes, known, owner, run_trip
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.control.alike import Result, results_of, with_dtypes
from tapegrad.tape.transforms.control.branches import cond_p

__all__ = ["Names", "Trips", "Way", "are_alike", "class_of", "first_of", "record_way", "refill"]

_BOOL = np.dtype(bool)


#: A name, or what else holds a value.
Key = str | Holder


class Trips(NamedTuple):
    """What is to be done.

    Attributes
    ----------
    body : function
        Does one trip: takes the values of the names `names`, returns those of the names `kept`.
    names, kept : tuple of str
    values : dict
        What the names hold before the first of the trips; names that nobody asks for are missing.
    rows : list
        Arrays and tensors with the trips along their first axes; none for a ``while`` loop.
    structure : Structure
        Of an item, whose leaves are their rows.
    numbers : list of bool
        Which rows stand for Python's numbers.
    length : int
        The number of trips, or the greatest that there may be.
    written : dict
        Arrays and tensors that the trips write into, by the names that hold them.
    changed : dict
        Lists and dicts whose parts the trips change, by the names that hold them.
    holders : list of Attribute and Ends
        What holds values besides names; `values` and `written` know it, too.
    store : callable
        Stores what such an array holds after the loop.
    """

    body: Callable[..., Any]
    names: tuple[str, ...]
    kept: tuple[str, ...]
    values: dict[Key, Any]
    rows: list[Any]
    structure: Structure
    numbers: list[bool]
    length: int
    written: dict[Key, Any]
    changed: dict[str, Any]
    holders: list[Holder]
    store: Callable[[Any, Any], None]

    def first(self, count: int) -> Trips:
        """Return so many of the trips."""
        return self._replace(rows=[row[:count] for row in self.rows], length=count)


class Names(NamedTuple):
    """What names and other holders hold: leaves that are carried, and others, which must stay."""

    names: list[Key]
    structures: list[Structure]
    leaves: list[Any]

    @classmethod
    def of(cls, trips: Trips) -> Names:
        held: list[Key] = [*trips.kept, *(n for n in trips.changed if n not in trips.kept)]
        held += sorted(trips.holders, key=lambda holder: isinstance(holder, Ends))
        names = [n for n in held if n in trips.values and n not in trips.written]
        flat = [flatten(trips.values[name]) for name in names]
        return cls(names, [s for _, s in flat], [leaf for leaves, _ in flat for leaf in leaves])

    @property
    def moving(self) -> list[Any]:
        return [leaf for leaf in self.leaves if _moves(leaf)]

    @property
    def ends(self) -> int:
        """How many leaves that are carried, the last ones, are of the ends of lists."""
        sizes = [count(s) for n, s in zip(self.names, self.structures) if isinstance(n, Ends)]
        return sum(_moves(leaf) for leaf in self.leaves[len(self.leaves) - sum(sizes) :])

    def nests(self, moving: Sequence[Any]) -> dict[Key, Any]:
        """Return what the names hold, with these in place of the leaves that are carried."""
        new = iter(moving)
        given = iter([next(new) if _moves(leaf) else leaf for leaf in self.leaves])
        return {
            name: unflatten(structure, [next(given) for _ in range(count(structure))])
            for name, structure in zip(self.names, self.structures)
        }

    def moved(self, after: dict[Key, Any]) -> list[Any]:
        """Return the leaves that are carried of what the names hold after a trip."""
        leaves: list[Any] = []
        for name, structure in zip(self.names, self.structures):
            flat, new = flatten(after[name])
            if new != structure:
                raise NotRecordable(f"{name} changes its structure")
            leaves += flat
        for before, leaf in zip(self.leaves, leaves):
            equal = type(leaf) in (str, bool) and type(before) is type(leaf) and leaf == before
            if not _moves(before) and leaf is not before and not equal:
                raise NotRecordable(f"it carries an object of type {type(leaf).__name__}")
        return [leaf for before, leaf in zip(self.leaves, leaves) if _moves(before)]


def _moves(leaf: Any) -> bool:
    return is_operand(leaf) or type(leaf) in (float, int)


def class_of(value: Any) -> Any:
    return stands_for(value) if isinstance(value, Tensor) else type(value)


def _kind(value: Any) -> Result:
    kind = class_of(value)
    if kind is np.ndarray and not np.ndim(value):
        raise NotRecordable("it carries an array without axes")
    array = value if hasattr(value, "dtype") else np.asarray(value)
    return Result(np.shape(value), array.dtype, kind in (float, int))


def are_alike(a: Way, b: Way) -> bool:
    """Whether two ways append to the same lists, in the same order and of the same kinds."""
    if len(a.lists) != len(b.lists):
        return False
    same = all(x is y and k is m and i == j for (x, k, i), (y, m, j) in zip(a.lists, b.lists))
    kinds = [
        [(o.shape, o.dtype) for o in way.body.program.outputs[-1 - len(way.lists) : -1]]
        for way in (a, b)
    ]
    return same and kinds[0] == kinds[1]


class Way(NamedTuple):
    """A recorded trip.

    Attributes
    ----------
    body : Body
    lists : list of (list, type, int or None)
        The lists to which it appends, the class of each value, and where among what is carried the same
        array is.
    """

    body: Body
    lists: list[tuple[list[Any], type, int | None]]


def record_way(trips: Trips, names: Names, operands: list[Any], place: int) -> Way:
    """Record the trip at a place, which begins with these values of what is carried."""
    size, moving = len(operands), len(names.moving)
    given: list[Any] = []
    kinds = [_kind(value) for value in operands]
    copies: dict[Key, Any] = {}
    ends: dict[Key, Any] = {}
    traces: list[TripTrace] = []

    def trip(trace: TripTrace) -> Any:
        traces.append(trace)
        trace.carried = [owner(a) for a in trips.written.values()]
        given.extend(map(trace.like, operands))
        for row, is_number in zip(trips.rows, trips.numbers):
            first = known(row)[place]
            given.append(trace.like(first.item() if is_number else first))
        values = {**trips.values, **names.nests(given[:moving])}
        for name, array in zip(trips.written, given[moving:size]):
            values[name] = copies[name] = np.copy(array)
        reader: Any = current.get()
        reader.adopt(list(values.values()))
        nests = [values[name] for name in names.names if type(name) is str]
        trace.rebuilt.update(map(id, instances_in(nests)))
        for holder in trips.holders:
            after_trip[holder] = holder.lend(values[holder])
            if isinstance(holder, Ends):
                trace.ends[id(holder.owner)] = holder
            else:
                trace.attributes.add(holder)
        for name in trips.changed:
            copies[name] = values[name]
            reader.own(values[name])
        values[".item"] = unflatten(trips.structure, given[size:])
        result = run(trips.body, *[values.get(name) for name in trips.names])
        # The lists themselves will hold plain values when the trip has ended.
        for name in trips.changed:
            leaves, structure = flatten(copies[name])
            ends[name] = unflatten(structure, leaves)
        ends.update({holder: value() for holder, value in after_trip.items()})
        return result

    _check_instances(trips, names)
    after_trip: dict[Holder, Callable[[], Any]] = {}
    before = [(h, h.value()) for h in trips.holders if isinstance(h, Attribute)]
    try:
        trace, result = run_trip(trip)
    except Writes as write:
        write.instances = [i for k, i in traces[0].instances.items() if k not in traces[0].rebuilt]
        for stand_in, operand in zip(given, names.moving):  # the names are known by these
            if write.target is stand_in:
                write.target = operand
        raise
    finally:
        for attribute, value in before:
            attribute.put(value)
    after: dict[Key, Any] = {**dict(zip(trips.kept, result)), **{h: ends[h] for h in after_trip}}
    if any(after.get(name, copy) is not copy for name, copy in copies.items()):
        raise NotRecordable("a name stands for another array after a trip")
    parts = [id(part) for nest in trips.changed.values() for part in nested(nest)]
    if any(part in trace.touched or part in trace.reached for part in parts):
        raise NotRecordable("it reaches a list that it changes by another way")
    moved = names.moved({**after, **ends})
    outputs = [*moved, *(copies[name] for name in trips.written)]
    named = moving - names.ends
    lists, values = _appended(trips, trace, moved[:named])
    held = [*moved[:named], *outputs[moving:]]
    own = [value for value, (*_, place) in zip(values, lists) if place is None]
    shares = any(place is not None for *_, place in lists)
    if _any_owned(held, given if shares else []) or _any_owned([*held, *own], given[named:moving]):
        raise NotRecordable("a name or a list holds an array that was appended before")
    _check_owners([*held, *own], trace)
    outputs += values
    nodes = [_node(leaf, trace) for leaf in outputs]
    program = Program(
        trace.inputs, trace.entries, [*nodes, *(n for n, _ in trace.tests)], trace.weak
    )
    if results_of(program)[:size] != kinds:
        raise NotRecordable("what it carries changes its shape, dtype or class")
    tests = _tests(trace.tests)
    tests = _made(program, dict(zip(program.inputs[size:], trips.rows)), trips.length, tests)
    whole = _with_tests(program, nodes, tests)
    return Way(Body(whole, "-", trace.hidden), lists)


def _any_owned(values: list[Any], inputs: list[Any]) -> bool:
    """Whether any of the values lies in the memory of one of the inputs."""
    owners = [owner(g) for g in inputs if np.ndim(g)]
    arrays = [v for v in values if _moves(v) and np.ndim(v)] if owners else []
    return any(owner(v) is one for v in arrays for one in owners)


def _appended(trips: Trips, trace: TripTrace, carried: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return to which lists the trip appends, as in `Way`, and the values."""
    lists, values = [], []
    for owned, value in trace.appended:
        if id(owned) in trace.touched or any(
            _holds(trips.values.get(n), owned) for n in trips.kept
        ):
            raise NotRecordable("it uses a list to which it appends")
        kind = class_of(value)
        if not _moves(value) or (kind is np.ndarray and not np.ndim(value)):
            raise NotRecordable(f"it appends an object of type {kind.__name__}")
        place = next((i for i, c in enumerate(carried) if c is value and np.ndim(c)), None)
        lists.append((owned, kind, place))
        values.append(value)
    return lists, values


def _check_instances(trips: Trips, names: Names) -> None:
    """Refuse instances whose attributes change, and which would be put together anew for a name."""
    nests = [trips.values[name] for name in names.names if type(name) is str]
    changed = {id(h.owner) for h in trips.holders}
    if any(id(instance) in changed for instance in instances_in(nests)):
        raise NotRecordable("it changes attributes of an instance that it carries")


def _holds(value: Any, wanted: Any) -> bool:
    """Whether a nest is a list, or holds it."""
    parts = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
    return value is wanted or any(_holds(part, wanted) for part in parts)


def nested(nest: Any) -> Iterator[Any]:
    """Yield a list or a dict and those in it."""
    if type(nest) in (list, dict, tuple):
        yield nest
        for part in nest.values() if type(nest) is dict else nest:
            yield from nested(part)


def refill(nest: Any, new: Any) -> Any:
    """Let a list or a dict, and those in it, hold what another one of its structure holds."""
    if type(nest) is tuple:
        return tuple(map(refill, nest, new))
    if type(nest) not in (list, dict):
        return new
    for key in range(len(nest)) if type(nest) is list else nest:
        nest[key] = refill(nest[key], new[key])
    return nest


def _check_owners(outputs: list[Any], trace: TripTrace) -> None:
    """Refuse names that stand for arrays in the same memory: after the loop they would be apart."""
    seen: dict[int, Any] = {}
    for leaf in outputs:
        if not isinstance(leaf, Tensor | np.ndarray) or not np.ndim(leaf):
            continue
        root = owner(leaf)
        if trace.is_window(leaf):
            raise NotRecordable("a name or a list holds a slice that depends on the trip")
        if id(root) in seen or (isinstance(leaf, np.ndarray) and leaf.base is not None):
            raise NotRecordable("two names stand for arrays in the same memory")
        seen[id(root)] = root
        if isinstance(leaf, Tensor) and not belongs(leaf, trace):
            raise NotRecordable("it carries an array from outside of the loop")


def _node(leaf: Any, trace: TripTrace) -> Any:
    if isinstance(leaf, Tensor):
        mine = leaf if belongs(leaf, trace) else trace.lift(leaf)
        return mine.node if isinstance(mine, Tensor) else mine
    return np.copy(leaf) if isinstance(leaf, np.ndarray) else leaf


def _tests(tests: list[tuple[Node, Any]]) -> dict[Node, Any]:
    """Return what Python saw of each value."""
    seen: dict[Node, Any] = {}
    for node, value in tests:
        if node.shape or seen.setdefault(node, value) != value:
            raise NotRecordable("it asks for an array")
    return seen


def _made(
    program: Program, items: dict[Node, Any], length: int, tests: dict[Node, Any]
) -> dict[Node, Any]:
    """Return the tests that are left when those are made that depend on known items alone.

    These are the same in every call. If one fails, all are left.
    """
    items = {n: row for n, row in items.items() if isinstance(row, np.ndarray) and row.ndim == 1}
    settled: set[Any] = set(items)
    for node in program.entries:
        if all(type(o) is not Node or o in settled for o in node.operands):
            settled.add(node)
    asked = [node for node in tests if node in settled]
    if not asked:
        return tests
    values: dict[Any, Any] = {node: row[:length] for node, row in items.items()}
    for node in program.select(asked).entries:
        if node.primitive.family != "elementwise":  # type: ignore[union-attr]
            return tests
        operands = [values[o] if type(o) is Node else o for o in node.operands]
        values[node] = node.primitive.forward(*operands, **node.params)  # type: ignore[union-attr]
    if any(np.any(values[node] != tests[node]) for node in asked):
        return tests
    return {node: seen for node, seen in tests.items() if node not in settled}


def _with_tests(program: Program, nodes: list[Any], tests: dict[Node, Any]) -> Program:
    """Return a program that says, too, whether Python would see the same."""
    entries, outputs = list(program.entries), list(nodes)

    def add(name: str, *operands: Any) -> Node:
        new = entry(primitives[name], operands, {}, (), _BOOL)
        entries.append(new)
        return new

    result: Any = None
    for node, seen in tests.items():
        if seen.dtype.kind == "b":
            same = node if seen else add("logical_not", node)
        else:
            same = add("equal", node, seen)
        result = same if result is None else add("logical_and", result, same)
    if result is not None:
        outputs.append(result)
    whole = Program(program.inputs, entries, outputs, program.weak).select(outputs)
    return with_dtypes(whole, [Result.of(o, program.weak).dtype for o in outputs])


def first_of(ways: list[Program], size: int, further: int) -> Program:
    """Return a program that goes the first way that it can, and says whether there was one.

    Of the outputs, `size` are what is carried, and `further` what is appended; where no way was gone,
    the latter are zeros.
    """
    inputs, weak, total = ways[0].inputs, ways[0].weak, size + further
    if not ways[1:] and len(ways[0].outputs) == total:  # it can always go this one
        return ways[0].select([*ways[0].outputs, np.array(True)])

    def other(values: Sequence[Any]) -> list[Any]:
        if not ways[1:]:
            none = [np.zeros(o.shape, o.dtype) for o in ways[0].outputs[size:total]]
            return [*values[:size], *none, np.array(False)]
        return list(first_of(ways[1:], size, further)(*values))

    def choose(*values: Any) -> Any:
        way = ways[0]
        test = way.select(way.outputs[total:])
        if 2 * _weight(test) > _weight(way):  # to know whether it can is to have done most of it
            *there, takes = way(*values)
            operands = [*there, *values]
            like = [*way.outputs[:total], *inputs]
            taken = record_program(lambda *given: [*given[:total], np.array(True)], like)
            not_taken = record_program(lambda *given: other(given[total:]), like)
        else:
            (takes,), operands = test(*values), list(values)
            taken = way.select([*way.outputs[:total], np.array(True)])
            not_taken = record_program(lambda *given: other(given), inputs, weak)
        return bind(cond_p, takes, *operands, axes=0, true_fun=taken, false_fun=not_taken)

    return record_program(choose, inputs, weak)


def _weight(program: Program) -> int:
    """Return of how many entries a program is, with those of the programs in it."""
    return len(program) + sum(
        _weight(value)
        for entry in program.entries
        for value in entry.params.values()
        if type(value) is Program
    )
