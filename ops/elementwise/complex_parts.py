"""Parts of complex numbers: real and imaginary part, conjugate, sign. None of them is holomorphic.

Cotangents pair with tangents as the real part of their product. So the tangent of a real result is the
real part of what its rule gives, and the same line serves both ways; where it does not, there are two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.fields import conjugated
from tapegrad.ops.declare.kinks import kinked
from tapegrad.ops.declare.ufunc import as_tensor, numpy_source
from tapegrad.ops.elementwise import pairs
from tapegrad.ops.elementwise.comparisons import without_rules
from tapegrad.ops.elementwise.elementwise import unary
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.dependence import by_place
from tapegrad.tape.core.primitive import Primitive, functions, implements, primitives
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["conj", "conjugate", "imag", "real", "sign"]

# Real and imaginary part -------------------------------------------------------------------------

real_p: Primitive = Primitive(
    "real", np.real, (lambda g, y, x: g,), jvp="linear", view=True, family="structural",
    dependence=by_place, batch=lambda args, batched, size, params: bind(real_p, args[0]),
    batch_params=lambda params, ndim, size: {}, source=lambda a, p: f"{a[0]}.real",
    pairs=lambda x: x[0],
)  # fmt: skip
imag_p: Primitive = Primitive(
    "imag", np.imag, (lambda g, y, x: -1j * g,), jvp="linear", view=True, family="structural",
    dependence=by_place, batch=lambda args, batched, size, params: bind(imag_p, args[0]),
    batch_params=lambda params, ndim, size: {}, source=lambda a, p: f"{a[0]}.imag",
    pairs=lambda x: x[1],
)  # fmt: skip


@implements(np.real)
def real(val: ArrayLike) -> Array:
    """Return the real part, as a view; of real numbers the tensor itself.

    Parameters
    ----------
    val : array_like

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.real(tg.tensor(2.0 + 1.0j))
    Tensor(2.)
    """
    val = as_tensor(val)
    return apply(real_p, (val,)) if val.dtype.kind == "c" else val


@implements(np.imag)
def imag(val: ArrayLike) -> Array:
    """Return the imaginary part, as a view; of real numbers zeros, without a gradient.

    Parameters
    ----------
    val : array_like

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.imag(tg.tensor(2.0 + 1.0j))
    Tensor(1.)
    """
    val = as_tensor(val)
    if val.dtype.kind == "c":
        return apply(imag_p, (val,))
    return functions[np.zeros_like](val, constant=True)


# Conjugate and sign ------------------------------------------------------------------------------


conjugate = unary(
    np.conjugate,
    lambda g, y, x: conjugated(g),
    "x",
    "Complex conjugate; a real number is its own.",
    takes_complex=True,
    pairs=pairs.conjugated,
)
conj = conjugate


def _complex_sign_rule(g: Array, y: Array, x: Array) -> Any:
    size = np.abs(x)
    slope = 0.5 / np.where(size == 0, np.inf, size)
    return kinked((g - np.conjugate(g * (y * y))) * slope, g, x, size)


def _complex_sign_jvp(tangents: Any, y: Array, x: Array) -> Any:
    size, (t,) = np.abs(x), tangents
    slope = 0.5 / np.where(size == 0, np.inf, size)
    return kinked((t - y * y * np.conjugate(t)) * slope, t, x, size, tangent=True)


#: The sign of a complex number, of magnitude 1, turns with it.
complex_sign_p = Primitive(
    "complex_sign", np.sign, (_complex_sign_rule,), jvp=_complex_sign_jvp, family="elementwise",
    takes_complex=True, source=numpy_source("sign"),
)  # fmt: skip


def _of_field(args: tuple[Any, ...]) -> tuple[Primitive, tuple[Any, ...]]:
    is_complex = getattr(args[0], "dtype", np.dtype(type(args[0]))).kind == "c"
    return (complex_sign_p if is_complex else primitives["sign"]), args


sign = without_rules(
    np.sign,
    "sign(x)",
    "-1, 0 or 1, as the operand's sign; x / abs(x) of complex numbers, which has derivatives.",
    rewrite=_of_field,
)
