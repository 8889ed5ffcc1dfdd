"""Which derivatives there are of functions of complex numbers.

A cotangent pairs with a tangent as the real part of their product. So the gradient of a real result by
z = x + iy is df/dx - i df/dy, and a complex result has one number for a derivative only if the function
is holomorphic, which the user says.

>>> import tapegrad as tg
>>> tg.grad(lambda z: abs(z) ** 2)(1.0 + 2.0j)
np.complex128(2-4j)
>>> tg.grad(lambda z: z**2, holomorphic=True)(1.0 + 2.0j)
np.complex128(2+4j)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.tape.core.pytree import flatten
from tapegrad.tape.transforms.transformed import spelled
from tapegrad.tape.transforms.values import dtype_of

__all__ = ["any_complex", "check_arguments", "check_real_arguments", "real_results"]

Check = Callable[[Any, list[Any]], None]


def any_complex(leaves: list[Any]) -> bool:
    """Whether one of the arrays holds complex numbers."""
    return any(dtype_of(leaf).kind == "c" for leaf in leaves)


def real_results(check: Check, what: str, function: Any, *, holomorphic: bool = False) -> Check:
    """Return a check that results are also real; complex, if the function is said to be holomorphic."""

    def both(result: Any, leaves: list[Any]) -> None:
        check(result, leaves)
        for leaf in leaves:
            dtype = dtype_of(leaf)
            if (dtype.kind == "c") == holomorphic:
                continue
            if holomorphic:
                raise TypeError(
                    f"{what}({spelled(function)}): with holomorphic=True the function must return "
                    f"complex numbers, and returned dtype {dtype}"
                )
            raise TypeError(
                f"{what}({spelled(function)}): the function returned complex numbers ({dtype}), which "
                "have one derivative only if it is holomorphic: pass holomorphic=True if it is. "
                "Otherwise return real numbers (abs(z), z.real), or use tg.vjp or tg.jvp."
            )

    return both


def check_arguments(what: str, function: Any, arguments: Any, *, holomorphic: bool) -> None:
    """Raise if a function that is said to be holomorphic is differentiated by real arguments."""
    for leaf in flatten(arguments)[0] if holomorphic else ():
        if dtype_of(leaf).kind != "c":
            raise TypeError(
                f"{what}({spelled(function)}): with holomorphic=True the arguments must be complex; "
                f"got dtype {dtype_of(leaf)}. Pass z.astype(complex)."
            )


def check_real_arguments(what: str, function: Any, arguments: Any) -> None:
    """Raise if one number for each element does not say how a function depends on an argument."""
    if any_complex(flatten(arguments)[0]):
        raise TypeError(
            f"{what}({spelled(function)}): the arguments are complex, and their derivatives here would "
            "be complex numbers only if the function were holomorphic: pass holomorphic=True if it "
            "is. Otherwise differentiate by z.real and z.imag: f(x, y) with z = x + 1j * y."
        )
