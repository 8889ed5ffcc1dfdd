"""What hangs together: entries that a kernel may hold and that share values, directly or through others.

Parts of a program that have nothing in common are grouped each for itself, so that equal parts (the
update of each parameter, each step of an unrolled loop) become equal groups, and share a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tapegrad.tape.core.node import Node

__all__ = ["components"]


def components(entries: Iterable[Node], space: Callable[[Node], object]) -> dict[Node, Node]:
    """Return a representative of the component of each entry.

    A value connects what makes it, if that is one of the entries, and all that use it. A number is
    no such value, unless it belongs to the entry's own iteration space: what all parts are
    multiplied by does not make one of them.

    Parameters
    ----------
    entries : iterable of Node
        The entries that a kernel may hold, in order.
    space : callable
        Gives the iteration space of an entry.

    Returns
    -------
    dict of Node to Node
    """
    above: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        while above.setdefault(node, node) is not node:
            above[node] = node = above[above[node]]
        return node

    spaces: dict[Node, object] = {}
    for entry in entries:
        own = spaces[entry] = space(entry)
        for operand in entry.operands:
            if type(operand) is not Node:
                continue
            if operand.shape != () or spaces.get(operand, ()) == own:
                above[root(operand)] = root(entry)
    return {entry: root(entry) for entry in spaces}
