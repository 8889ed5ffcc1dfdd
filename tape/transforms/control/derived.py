"""Programs that follow from the body of a loop: of tangents, of batches, the two parts of a pullback.

A body takes what it carries, rows of what is stacked, and what does not change from trip to trip; it
returns what it carries to the next trip, and rows of results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Shaped
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.program import Program
from tapegrad.tape.transforms.control.alike import with_dtypes
from tapegrad.tape.transforms.control.dependence import reached

__all__ = ["Split", "batched_body", "dual_body", "shape_of", "split_body"]


def shape_of(value: Any, *axes: int) -> Shaped:
    """Return shape and dtype of an output of a program, with further axes in front."""
    if type(value) is not Node:
        value = np.asarray(value)
    return Shaped((*axes, *value.shape), value.dtype)


def batched_body(
    body: Program, size: int, flags: Sequence[bool], outputs: Sequence[bool]
) -> Program:
    """Return the body for many examples at once.

    Parameters
    ----------
    body : Program
    size : int
        The number of examples.
    flags : sequence of bool
        Which inputs have a batch axis in front.
    outputs : sequence of bool
        Which outputs have one; the others depend on no input that has.
    """
    flags, outputs = tuple(flags), tuple(outputs)

    def run(*values: Any) -> list[Any]:
        alone = body.select([o for o, flag in zip(body.outputs, outputs) if not flag])
        single = iter(alone(*(v[0] if flag else v for v, flag in zip(values, flags))))
        many = body.batch(size, flags)(*values)
        return [m if flag else next(single) for m, flag in zip(many, outputs)]

    def make() -> Program:
        if all(outputs):
            program = body.batch(size, flags)
        else:
            nodes = zip(body.inputs, flags)
            inputs = [shape_of(node, size) if flag else node for node, flag in nodes]
            program = record_program(run, inputs, body.weak)
        # A Python number is weak in promotion, and a batch of them is not.
        return with_dtypes(program, [shape_of(output).dtype for output in body.outputs])

    return body.memo(("batched body", size, flags, outputs), make)  # type: ignore[no-any-return]


def dual_body(body: Program, wrt: tuple[int, ...], carried: int, stacked: int) -> Program:
    """Return the body of values and tangents.

    Inputs are what is carried and the tangents of what is in `wrt` of it, rows and the tangents of what
    is in `wrt` of them, and so on; outputs are what is carried and its tangents, then rows and the
    tangents of all that are floats.
    """

    def make() -> Program:
        both = body.forward(wrt)
        tangents = dict(zip(wrt, both.inputs[len(body.inputs) :]))
        inputs: list[Any] = []
        ends = [0, carried, carried + stacked, len(body.inputs)]
        for start, end in pairwise(ends):
            inputs += both.inputs[start:end]
            inputs += [tangents[i] for i in wrt if start <= i < end]
        count = len(body.outputs)
        floats = [j for j, o in enumerate(body.outputs) if shape_of(o).dtype.kind in CONTINUOUS]
        pushed = dict(zip(floats, both.outputs[count:]))
        outputs = [*both.outputs[:carried], *(pushed[i] for i in wrt if i < carried)]
        outputs += both.outputs[carried:count]
        outputs += [pushed[j] for j in floats if j >= carried]
        program = Program(inputs, both.entries, outputs, both.weak)
        return with_dtypes(program.select(outputs), [shape_of(o).dtype for o in outputs])

    return body.memo(("dual body", wrt, carried, stacked), make)  # type: ignore[no-any-return]


class Split(NamedTuple):
    """A body in two parts, between which lies what the pullback needs.

    Attributes
    ----------
    forward : Program
        The body, with what is kept as further outputs.
    invariant : Program
        From what does not change from trip to trip to what the pullback needs of what follows from it.
    backward : Program
        Returns the cotangents of the inputs that were asked for.
    sources : tuple of (str, int)
        What the inputs of `backward` are: ``("input", i)`` of the body, ``("invariant", k)``,
        ``("kept", k)``, or ``("cotangent", j)`` of an output of the body.
    bytes : int
        Size of what is kept in one trip.
    """

    forward: Program
    invariant: Program
    backward: Program
    sources: tuple[tuple[str, int], ...]
    bytes: int


def split_body(
    body: Program, wrt: tuple[int, ...], carried: int, stacked: int, *, imperative: bool
) -> Split:
    """Split the program of values and cotangents of a body.

    Views, and what follows from constants alone, are made again; what is stacked, and what does not
    change from trip to trip, is at hand; all else that the pullback needs is kept.
    """
    key = ("split body", wrt, carried, stacked, imperative)
    return body.memo(key, lambda: _split(body, wrt, carried, stacked, imperative))  # type: ignore[no-any-return]


def _split(
    body: Program, wrt: tuple[int, ...], carried: int, stacked: int, imperative: bool
) -> Split:
    both = body.reverse(wrt, imperative=imperative)
    count, results = len(body.inputs), len(body.outputs)
    given = both.inputs[count:]
    pulled = both.select(both.outputs[results:])
    late = reached(pulled, given)
    varying = reached(both, both.inputs[: carried + stacked])
    positions = {node: i for i, node in enumerate(both.inputs[:count])}
    found: dict[str, list[Node]] = {"input": [], "invariant": [], "kept": []}
    again: set[Node] = set()
    seen: set[Node] = set()
    waiting = [o for e in pulled.entries if e in late for o in e.operands]
    waiting += pulled.outputs
    while waiting:
        node = waiting.pop()
        if type(node) is not Node or node in seen or node in late or node in given:
            continue
        seen.add(node)
        if node in positions:
            found["kept" if positions[node] < carried else "input"].append(node)
        elif node.primitive.view or not any(type(o) is Node for o in node.operands):
            again.add(node)
            waiting += node.operands
        else:
            found["kept" if node in varying else "invariant"].append(node)
    sources = [("input", positions[node]) for node in found["input"]]
    sources += [(name, k) for name in ("invariant", "kept") for k in range(len(found[name]))]
    floats = [j for j, o in enumerate(body.outputs) if shape_of(o).dtype.kind in CONTINUOUS]
    sources += [("cotangent", j) for j in floats]
    inputs = [*found["input"], *found["invariant"], *found["kept"], *given]
    entries = [e for e in pulled.entries if e in late or e in again]
    forward = Program(both.inputs[:count], both.entries, (), both.weak)
    invariant = Program(both.inputs[carried + stacked : count], both.entries, (), both.weak)
    sizes = [math.prod(node.shape) * node.dtype.itemsize for node in found["kept"]]
    return Split(
        forward.select([*both.outputs[:results], *found["kept"]]),
        invariant.select(found["invariant"]),
        Program(inputs, entries, pulled.outputs, both.weak),
        tuple(sources),
        sum(sizes),
    )
