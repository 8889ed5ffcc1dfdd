"""The docstrings of ufuncs, written from one template: parameters, and an example that runs."""

from __future__ import annotations

import numpy as np

__all__ = ["document"]

_PARAMETERS = """
Parameters
----------
{operands} : array_like
    {what}
out : Tensor or ndarray, optional
    Where the result is written to. A tensor is updated in place (differentiably) and returned; of
    an array, a tensor that holds it is returned.
{where}dtype : dtype_like, optional
    The dtype to compute in; operands are cast to it.
constant : bool, optional
    ``True`` makes the result a constant, ``False`` a variable. By default it is a constant if all
    operands are.
{strict}
Returns
-------
{returns}

Examples
--------
>>> import numpy as np
>>> import tapegrad as tg
>>> x = np.array({example})
>>> bool(np.all(tg.{name}({call}) == np.{name}({call})))
True
"""

_WHERE = """where : array_like of bool, optional
    Where it is false, `out` keeps its values, and the gradient goes to them and not to the
    operands.
"""

_STRICT = """nan_to_num : bool
    Whether the gradient is 0 where there is none; else it is nan there.
"""


def document(ufunc: np.ufunc, doc: str, safe: float, first: str, *, strict: bool) -> str:
    """Write the docstring of a ufunc; `first` is how it calls its operand if it has one."""
    one = ufunc.nin == 1
    matrices = ufunc.signature is not None
    example = "[1, 2]" if _takes_integers_only(ufunc) else f"[{safe}, {safe + 0.25}]"
    body = _PARAMETERS.format(
        operands=first if one else "x1, x2",
        what=("Operand." if first == "x" else "Operand; `x`, too, names it.")
        if one
        else "Operands; they are broadcast against each other.",
        where="" if matrices else _WHERE,
        strict=_STRICT if strict else "",
        returns="ndarray" if "result is an ndarray" in doc else "Tensor",
        example="[[1.0, 2.0], [3.0, 4.0]]" if matrices else example,
        name=ufunc.__name__,
        call="x" if one else "x, x" if matrices else "x, 2",
    )
    return f"{doc}\n{body}"


def _takes_integers_only(ufunc: np.ufunc) -> bool:
    return not any("d" in t.partition("->")[0] for t in ufunc.types)
