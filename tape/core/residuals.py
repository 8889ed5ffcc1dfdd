"""What rules read of their arguments, taken from their byte code: a declaration cannot contradict it.

>>> reads_of((lambda g, y, x: g * y + x.ndim).__code__)
{'g': 'value', 'y': 'value', 'x': 'shape'}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

__all__ = ["SHAPE_ATTRIBUTES", "reads_of", "uses_of"]

#: What a stand-in for a value has, too (:class:`tapegrad.tape.core.primitive.Shaped`).
SHAPE_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "size"})

_VARIADIC = 0x04  # the code has *args
# One instruction may do several things to local names: STORE_FAST_LOAD_FAST, LOAD_FAST_LOAD_FAST.
_ACCESS = re.compile("(LOAD|STORE|DELETE)_FAST")


def reads_of(code: CodeType) -> dict[str, str]:
    """Return how code reads its local names: "value" or, if only ``.shape`` and such, "shape".

    A name that it does not read is missing. Names that functions inside read count as values.
    """
    import dis  # needed when the first rule is applied, not to import the package

    reads: dict[str, str] = dict.fromkeys(code.co_cellvars, "value")
    instructions = [i for i in dis.get_instructions(code) if i.opname != "CACHE"]
    for instruction, following in zip(instructions, [*instructions[1:], None]):
        kinds = _ACCESS.findall(instruction.opname)
        names = instruction.argval if type(instruction.argval) is tuple else (instruction.argval,)
        for place, (kind, name) in enumerate(zip(kinds, names)):
            if kind != "LOAD":
                continue
            shape_only = (
                place == len(kinds) - 1
                and following is not None
                and following.opname == "LOAD_ATTR"
                and following.argval in SHAPE_ATTRIBUTES
            )
            if shape_only:
                reads.setdefault(name, "shape")
            else:
                reads[name] = "value"
    return reads


def uses_of(rules: Sequence[Callable[..., Any] | None]) -> tuple[str, ...] | None:
    """Return what rules ``rule(g, y, *args)`` read of ``y`` and of each argument.

    Parameters
    ----------
    rules : sequence of (callable or None)
        One for each argument of a primitive.

    Returns
    -------
    tuple of str or None
        "value", "shape" or "none" each; None if one of the rules may read everything.
    """
    uses = ["none"] * (len(rules) + 1)
    for rule in rules:
        if rule is None:
            continue
        code = getattr(rule, "__code__", None)
        if code is None or code.co_flags & _VARIADIC:
            return None
        names = code.co_varnames[1 : min(code.co_argcount, len(uses) + 1)]
        reads = reads_of(code)
        for position, name in enumerate(names):
            use = reads.get(name, "none")
            if use == "value" or uses[position] == "none":
                uses[position] = use
    return tuple(uses)
