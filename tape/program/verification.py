"""The check that a program is one: each value is made once, before its uses, and is what is noted of it.

Shapes and dtypes are computed anew, by running each entry on example values (see ``examples``) and on
its constants. Only an entry with a mask among its values is believed: how many elements the mask chooses
is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from tapegrad.tape.core.node import Node
from tapegrad.tape.program.content import bodies
from tapegrad.tape.program.examples import example

if TYPE_CHECKING:
    from tapegrad.tape.program.program import Program

__all__ = ["verify"]

#: What entries that have been verified give: each is run once, however many passes keep it.
_known: WeakKeyDictionary[Node, Any] = WeakKeyDictionary()


def verify(program: Program) -> None:
    """Check that a program is well formed, and the programs that are its entries' parameters.

    Raises
    ------
    AssertionError
        If a value is used before it is made, made twice, or missing; if an operand is of a type that no
        program holds; if an entry cannot be computed, or gives another shape or dtype than is noted.
    """
    made = set(program.inputs)
    _require(len(made) == len(program.inputs), "an input occurs twice")
    for entry in program.entries:
        for operand in entry.operands:
            if type(operand) is Node:
                _require(operand in made, entry, "uses a value that is not made before it")
            else:
                known = isinstance(operand, np.ndarray | np.generic | float | int | complex)
                _require(known, entry, "has an operand of type", type(operand).__name__)
        _require(entry not in made, entry, "makes a value that is made already")
        made.add(entry)
        for _, body in bodies(entry.params):
            verify(body)
        _check(entry, program.weak)
    for output in program.results():
        _require(output in made, "a result is not made by the program")


def _require(condition: bool, *words: Any) -> None:
    """Raise if a condition does not hold, under ``python -O`` too."""
    if not condition:
        raise AssertionError(" ".join(map(str, words)))


def _check(entry: Node, weak: Any) -> None:
    """Run an entry on examples, and compare what it gives."""
    if entry in _known or (entry.primitive.masks and _has_mask(entry)):
        return
    args = [_example(o, weak) if type(o) is Node else o for o in entry.operands]
    run = entry.primitive.example or entry.primitive.forward
    try:
        with np.errstate(all="ignore"):
            out = run(*args, **entry.params)
    except Exception as error:
        raise AssertionError(f"{entry} cannot be computed: {error}") from error
    if entry.primitive.multiple:
        _require(entry.shape == (len(out),), entry, "gives", len(out), "results")
        _known[entry] = tuple(example(np.shape(o), o.dtype) for o in out)
        return
    out = np.asarray(out)
    _require(out.shape == entry.shape, entry, "gives the shape", out.shape)
    _require(out.dtype == entry.dtype, entry, "gives the dtype", out.dtype)
    _known[entry] = None


def _has_mask(entry: Node) -> bool:
    return any(type(o) is Node and o.dtype.kind == "b" for o in entry.operands)


def _example(node: Node, weak: Any) -> Any:
    bundle = _known.get(node)
    if bundle is not None:
        return bundle
    value = example(node.shape, node.dtype)
    return value.item() if node in weak else value
