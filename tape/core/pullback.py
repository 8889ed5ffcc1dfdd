"""Pulling back through one entry: from the cotangent of its result to those of its inputs.

Most primitives have a rule for each of a fixed number of arguments. For these the pullback is written
out when it is first needed; :func:`source_of` shows it:

>>> from tapegrad.tape.core.primitive import primitives
>>> print(source_of(primitives["exp"]))
def pull_back(node, g, cotangents, owned):
    (n0,) = node.inputs
    y, x0 = node.saved
    params = node.params
    if n0 is not None and not n0.constant:
        part = RULE0(g, y, x0, **params) if params else RULE0(g, y, x0)
        if type(part) is not ARRAY or part.shape != n0.shape or part.dtype is not n0.dtype:
            part = fit(part, n0.shape, n0.dtype)
        if n0 in cotangents:
            add_to(n0, part, cotangents, owned)
        else:
            cotangents[n0] = part
<BLANKLINE>
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.core.cotangents import add_to, fit, own_buffer, total
from tapegrad.tape.core.generated import define
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, implements
from tapegrad.tape.core.traced import Traced

__all__ = ["pullback_of", "source_of"]

_HEAD = """\
def pull_back(node, g, cotangents, owned):
    {nodes} = node.inputs
    {saved} = node.saved
    params = node.params
"""

_ARGUMENT = """\
    if n# is not None and not n#.constant:
        part = RULE#(g, {saved}, **params) if params else RULE#(g, {saved})
        if type(part) is not ARRAY or part.shape != n#.shape or part.dtype is not n#.dtype:
            part = fit(part, n#.shape, n#.dtype)
        if n# in cotangents:
            add_to(n#, part, cotangents, owned)
        else:
            cotangents[n#] = part
"""

_SHARED = {"__name__": __name__, "ARRAY": np.ndarray, "add_to": add_to, "fit": fit}


def source_of(primitive: Primitive) -> str:
    """Return the source of the pullback of a primitive with a rule for each argument."""
    rules = primitive.vjps
    assert rules is not None
    count = range(len(rules))
    nodes = f"({', '.join(f'n{i}' for i in count)}{',' if len(rules) == 1 else ''})"
    saved = ", ".join(["y", *(f"x{i}" for i in count)])
    parts = [_ARGUMENT.replace("#", str(i)) for i in count if rules[i] is not None]
    return (_HEAD + "".join(parts)).format(nodes=nodes, saved=saved)


@implements("pullback")
def pullback_of(primitive: Primitive) -> Any:
    """Make the function that pulls back through entries of a primitive, and keep it in ``pull_back``.

    It is called as ``pull_back(node, g, cotangents, owned)`` and adds what it finds to `cotangents`;
    `owned` are the nodes whose cotangents nobody else refers to.
    """
    if primitive.in_place:
        primitive.pull_back = _pull_in_place
    elif primitive.vjps is None:
        primitive.pull_back = partial(_pull_each, primitive=primitive)
    else:
        rules = {f"RULE{i}": rule for i, rule in enumerate(primitive.vjps)}
        title = f"pullback of {primitive.name}"
        space = {**_SHARED, **rules}
        primitive.pull_back = define("pull_back", title, source_of(primitive), space)
    return primitive.pull_back


def _pull_each(
    node: Node, g: Any, cotangents: dict[Node, Any], owned: set[Node], *, primitive: Primitive
) -> None:
    """Pull back to any number of arguments."""
    inputs, saved, params = node.inputs, node.saved, node.params
    rules = primitive.vjps or primitive.vjp_rules(inputs)
    for source, rule in zip(inputs, rules):
        if rule is None or source is None or source.constant:
            continue
        part = rule(g, *saved, **params)
        if part is None:  # a user's operation skipped this gradient
            continue
        if type(part) is not np.ndarray or part.shape != source.shape or part.dtype != source.dtype:
            part = fit(part, source.shape, source.dtype)
        if source in cotangents:
            add_to(source, part, cotangents, owned)
        else:
            cotangents[source] = part


def _pull_in_place(node: Node, g: Any, cotangents: dict[Node, Any], owned: set[Node]) -> None:
    """Pull back through a part that is read or written, without an array of zeros for each part.

    A loop over the elements of an array stays linear that way. Nothing can be written through a traced
    index.
    """
    if type(g) is not np.ndarray or any(isinstance(value, Traced) for value in node.saved):
        _pull_each(node, g, cotangents, owned, primitive=node.primitive)
    elif node.primitive.add_into is not None:
        _add_into(node, g, cotangents, owned)
    else:
        _take_from(node, g, cotangents, owned)


def _add_into(node: Node, g: Any, cotangents: dict[Node, Any], owned: set[Node]) -> None:
    """Add the cotangent of a part that was read to its place."""
    primitive, base = node.primitive, node.inputs[0]
    if base is None or base.constant:
        return
    buffer = own_buffer(base, cotangents, owned)
    if buffer is None:  # a traced cotangent is there already
        part = primitive.vjp_of(0)(g, *node.saved, **node.params)
        cotangents[base] = total(cotangents[base], part)
    else:
        primitive.add_into(buffer, g, *node.saved[2:], **node.params)


def _take_from(node: Node, g: Any, cotangents: dict[Node, Any], owned: set[Node]) -> None:
    """Take the cotangent of a part that was written out of its place."""
    base, value = node.inputs[:2]
    alone = node in owned and node.owner is not None and node.owner() is None
    rest = g if alone else np.array(g)
    part = node.primitive.take_from(rest, *node.saved[3:], **node.params)
    if value is not None and not value.constant:
        part = fit(part, value.shape, value.dtype)
        cotangents[value] = total(cotangents[value], part) if value in cotangents else part
    if base is not None and not base.constant:
        if base in cotangents:
            cotangents[base] = total(cotangents[base], rest)
        else:
            cotangents[base] = rest
            owned.add(base)
