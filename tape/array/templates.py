"""What the templates of recorders and linkers have in common: the steps that make a result."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from tapegrad.tape.array.paths import mark_view, shares_memory
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node, clock
from tapegrad.tape.core.primitive import Primitive, shaped

__all__ = ["RESULT", "SHARED", "filled", "joined", "refused", "tuple_of"]

#: Makes the node and the tensor of a result: the constructors, unrolled.
RESULT = """
node = new_node(Node)
node.primitive = PRIMITIVE
node.inputs = {inputs}
node.params = params
node.saved = {saved}
node.shape = out.shape
node.dtype = dtype
node.number = clock()
node.grad = None
node.cleared = False
node.pins = {pins}
node.locks = {locks}
new = new_tensor(Tensor)
new._trace = {trace}
new._value = out
new._node = node
new._path = ()
new._version = 0
new._base = new._lock = new._latent = new._inner_shape = None
new._pin = {pin}
"""

#: What the names in a source stand for.
SHARED: dict[str, Any] = {
    "ARRAY": np.ndarray,
    "FLOAT64": np.dtype(float),
    "NO_PARAMS": {},
    "Node": Node,
    "Tensor": Tensor,
    "as_array": np.asarray,
    "clock": clock,
    "mark_view": mark_view,
    "new_node": Node.__new__,
    "new_tensor": Tensor.__new__,
    "shares_memory": shares_memory,
    "shaped": shaped,
    "weak": weakref.ref,
}


def refused(primitive: Primitive, values: str) -> str:
    """Return the step that refuses complex operands.

    Those of NumPy's own elementwise functions show in the result.
    """
    numpys = isinstance(primitive.forward, np.ufunc) and primitive.differentiable
    if primitive.takes_complex or numpys:
        return ""
    return f"refuse_complex(PRIMITIVE, {values})"


def filled(template: str, **parts: str) -> str:
    """Fill the parts, some of which are several lines, or none, into a template."""
    for name, part in parts.items():
        lines = part.strip().splitlines()
        for indent in ("    ", ""):
            block = "".join(f"{indent}{line}\n" for line in lines)
            template = template.replace(f"{indent}{{{name}}}\n", block)
        template = template.replace(f"{{{name}}}", part)
    return template


def tuple_of(parts: list[str]) -> str:
    """Return the text of a tuple."""
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def joined(head: str, body: list[str]) -> str:
    """Return the source of a function."""
    lines = [line for part in body for line in part.strip().splitlines()]
    return head.lstrip() + "".join(f"    {line}\n" for line in lines)
