"""How the special functions of ``tapegrad.special`` are declared, which need no SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import check_operand, operand
from tapegrad.ops.elementwise.elementwise import elementwise
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.dtypes import REAL
from tapegrad.tape.core.primitive import Primitive, Rule
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["Special", "own", "unknown"]

_DOC = """{doc} ``{formula}``

    Parameters
    ----------
    {names} : array_like

    Returns
    -------
    Tensor

    Notes
    -----
    Computed in float64, and returned in the dtype of the arguments, integers as float64.
"""

_EXAMPLE = """
    Examples
    --------
    >>> from tapegrad import special
    >>> round(float(special.{name}({arguments})), 6)
    {value}
"""

#: Arguments, and what comes of them, for the examples.
_EXAMPLES = {
    "gamma": ("4.5", "11.631728"),
    "gammaln": ("4.5", "2.453737"),
    "digamma": ("1.0", "-0.577216"),
    "polygamma": ("1, 1.0", "1.644934"),
    "zeta": ("2.0, 1.0", "1.644934"),
    "beta": ("2.0, 3.0", "0.083333"),
    "betaln": ("2.0, 3.0", "-2.484907"),
    "gammainc": ("2.0, 1.0", "0.264241"),
    "gammaincc": ("2.0, 1.0", "0.735759"),
    "betainc": ("2.0, 3.0, 0.5", "0.6875"),
    "erf": ("0.5", "0.5205"),
    "erfc": ("0.5", "0.4795"),
    "erfcx": ("0.5", "0.61569"),
    "erfinv": ("0.5", "0.476936"),
    "erfcinv": ("0.5", "0.476936"),
    "ndtr": ("1.0", "0.841345"),
    "ndtri": ("0.975", "1.959964"),
    "log_ndtr": ("-10.0", "-53.231285"),
    "expit": ("0.5", "0.622459"),
    "logit": ("0.25", "-1.098612"),
    "log_expit": ("-800.0", "-800.0"),
    "entr": ("0.5", "0.346574"),
    "rel_entr": ("0.5, 0.25", "0.346574"),
    "xlogy": ("0.0, 0.0", "0.0"),
    "xlog1py": ("2.0, 0.5", "0.81093"),
    "i0": ("1.0", "1.266066"),
    "i0e": ("1.0", "0.46576"),
    "i1": ("1.0", "0.565159"),
    "i1e": ("1.0", "0.20791"),
    "j0": ("1.0", "0.765198"),
    "j1": ("1.0", "0.440051"),
}


class Special:
    """An elementwise function, with the primitive that it applies."""

    def __init__(self, primitive: Primitive, doc: str) -> None:
        self.primitive = primitive
        self.__name__ = self.__qualname__ = primitive.name
        self.__module__ = "tapegrad.special"
        self.__doc__ = doc

    def __call__(self, *args: ArrayLike) -> Any:
        if len(args) != len(self.primitive.vjps or ()):
            raise TypeError(
                f"{self.__name__}() takes {len(self.primitive.vjps or ())} arguments, got {len(args)}"
            )
        operands = tuple(operand(a) for a in args)
        for i, a in enumerate(operands):
            check_operand(a, self.__name__, REAL)
            if not self.primitive.differentiable_in(i) and is_differentiated(a):
                raise TypeError(
                    f"tapegrad knows no derivative of {self.__name__} by argument {i}; if none is "
                    "meant, pass tg.stop_gradient(...)"
                )
        return apply(self.primitive, operands)

    def __repr__(self) -> str:
        return f"<tapegrad special function {self.__name__!r}>"

    def __reduce__(self) -> str:
        return self.__name__


def own(
    name: str, compute: Callable[..., Any], formula: str, doc: str, *rules: Rule | None
) -> Special:
    """Declare a special function from what computes it in float64."""

    def forward(*args: Array) -> Any:
        dtype = np.result_type(*args)
        dtype = dtype if dtype.kind == "f" else np.dtype(float)
        with np.errstate(all="ignore"):
            return compute(*(np.asarray(a, float) for a in args)).astype(dtype)

    primitive = elementwise(
        name, None, rules, None, forward=forward,
        source=lambda args, params: f"primitives[{name!r}].forward({', '.join(args)})",
    )  # fmt: skip
    names = ", ".join(forward_names(compute))
    text = _DOC.format(doc=doc, formula=formula, names=names)
    if name in _EXAMPLES:  # what is for rules alone has none
        arguments, value = _EXAMPLES[name]
        text += _EXAMPLE.format(name=name, arguments=arguments, value=value)
    return Special(primitive, text)


def unknown(name: str, argument: str) -> Rule:
    """Return the rule of a derivative of a second derivative that nobody knows."""

    def rule(g: Array, y: Array, *args: Array) -> Any:
        raise TypeError(
            f"tapegrad knows no third derivative of {name} by {argument}; if none is meant, pass "
            "tg.stop_gradient(...)"
        )

    return rule


def forward_names(compute: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the arguments."""
    code: Any = compute.__code__
    return tuple(code.co_varnames[: code.co_argcount])
