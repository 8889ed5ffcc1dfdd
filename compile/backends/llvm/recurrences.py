"""Recurrences: kernels whose elements depend on those before them along one axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tapegrad.compile.backends.llvm.dialect import TYPES
from tapegrad.compile.backends.llvm.kernels import compile_source
from tapegrad.compile.backends.llvm.translation import Parameter
from tapegrad.tape.core.slots import Recurrence

__all__ = ["recurrence"]

_OF_ROWS = """
def kernel(n0, n1, n2, {names}, o):
    for i0 in range(n0):
        i1 = {first}
        i2 = 0
{loads}
        t = {start}
        o[i0, i1, i2] = t
        for k1 in range(n1 - 1):
            i1 = {index}
{inner_loads}
            t = {step}
            o[i0, i1, i2] = t
"""
_OF_COLUMNS = """
def kernel(n0, n1, n2, {names}, o):
    for i0 in range(n0):
        i1 = {first}
        for i2 in range(n2):
{inner_loads}
            o[i0, i1, i2] = {start}
        for k1 in range(n1 - 1):
            i1 = {index}
            before = {before}
            for i2 in range(n2):
                t = o[i0, before, i2]
{innermost_loads}
                o[i0, i1, i2] = {step}
"""


@cache
def recurrence(
    rule: Recurrence, dtype: np.dtype[Any], of_rows: bool, reverse: bool
) -> Callable[..., None]:
    """Return the kernel of a recurrence.

    Parameters
    ----------
    rule : Recurrence
    dtype : numpy.dtype
        Of all arrays.
    of_rows : bool
        Whether it runs along the last axis, so that the third of the sizes is 1.
    reverse : bool
        Whether it runs from the last element to the first.

    Returns
    -------
    callable
        Takes three sizes, of which the second is that of the axis, the operands in any layout, and the
        C-contiguous result, all with three axes.
    """
    names = "xyz"[: rule.operands]
    loads = [f"{name}_ = {name}[i0, i1, i2]" for name in names]
    own = {name: f"{name}_" for name in names}
    text = (_OF_ROWS if of_rows else _OF_COLUMNS).format(
        names=", ".join(names),
        first="n1 - 1" if reverse else "0",
        index="n1 - 2 - k1" if reverse else "k1 + 1",
        before="i1 + 1" if reverse else "i1 - 1",
        start=rule.start.format(**own),
        step=rule.step.format(**own),
        loads="\n".join(" " * 8 + load for load in loads),
        inner_loads="\n".join(" " * 12 + load for load in loads),
        innermost_loads="\n".join(" " * 16 + load for load in loads),
    )
    kind = TYPES[dtype]
    sizes = [Parameter(name, "int64") for name in ("n0", "n1", "n2")]
    arrays = [Parameter(name, kind, 3, contiguous=False, in_rows=False) for name in names]
    return compile_source(text, (*sizes, *arrays, Parameter("o", kind, 3)))[0]
