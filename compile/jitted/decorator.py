"""``jit``, the function that makes jitted functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, overload

from tapegrad.compile.jitted.jit import Jit
from tapegrad.compile.jitted.options import Options
from tapegrad.tape.core.types import P, R

__all__ = ["jit"]


@overload
def jit(
    function: Callable[P, R],
    *,
    strict: bool = False,
    wait: bool = False,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
) -> Jit[P, R]: ...
@overload
def jit(
    function: None = None,
    *,
    strict: bool = False,
    wait: bool = False,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
) -> Callable[[Callable[P, R]], Jit[P, R]]: ...
def jit(
    function: Callable[..., Any] | None = None,
    *,
    strict: bool = False,
    wait: bool = False,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
) -> Any:
    """Compile a function; it gives what it would give without.

    Parameters
    ----------
    function : callable
        Takes arrays, numbers, tensors, or nests of them; written in NumPy. What :func:`grad`,
        :func:`value_and_grad`, :func:`vmap` and the others return is a function like any.
    strict : bool
        Raise instead of warning when the function cannot be compiled and would be run as it is.
    wait : bool
        Serve every call by a plan, the one that is recorded, too. Without, a call that is recorded
        returns what NumPy computed meanwhile, which may differ from the plan in the last bits: so the
        bits of a loop depend on where it began.
    static_argnums, static_argnames : int or str, or iterable of them, optional
        Arguments that are constants of what is compiled: hashable, compared by type and value. Each
        new value is a new signature. An argument that is named by position is static by name, too, and
        the other way round.
    donate_argnums, donate_argnames : int or str, or iterable of them, optional
        Arguments whose arrays the call may overwrite: a result of the same shape and dtype is written
        into one of them, and *is* it. The arrays stay readable, with other contents. They are left
        alone where they are read-only or share memory with another input, at calls that record,
        and where something may still stop the call.

    Returns
    -------
    Jit
        A callable with the methods ``explain(*args)``, ``profile(*args)``, ``lower(*args)``,
        ``warm_up(*args)`` and ``stats()``.

    Raises
    ------
    ValueError
        If the function does not take the arguments that are named, or at a call with a static argument
        that has no hash.

    Notes
    -----
    The first call with arrays of new shapes or dtypes records the function. Machine code depends on
    ranks and dtypes only, so a new size costs milliseconds. Branches that depend on values are
    recorded each way they go, at most 8 ways.

    What the function reads from outside is noted: variables, globals, defaults, attributes, items,
    methods, modules. Arrays are read anew at each call, and so are numbers that were seen to change;
    a change of anything else leads to a new recording. In-place writes into arrays are compiled. Where
    a function has another effect (it prints, draws random numbers, changes an attribute or a list that
    it has not made) or calls code that nobody knows, it is run as it is, this way through, with one
    warning that names the line. Recording has no effect by itself.

    Values agree with NumPy's within a few units in the last place (`docs/vecmath.md`). NumPy's warnings
    about division by zero and the like are not given; where `np.errstate` asks for more than warnings,
    the function is run as it is. A result without axes is a NumPy scalar, also where NumPy makes an
    array without axes (``np.copy(a)``), and new results lie in C order.

    With ``TAPEGRAD_LOG=compile`` in the environment, and under the logger ``"tapegrad"``, each
    recording, plan and kernel is told with the time that it took.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> f = tg.jit(tg.grad(lambda x: np.sum(x * np.exp(x))))
    >>> f(np.zeros(2))
    array([1., 1.])
    >>> power = tg.jit(lambda x, n: x**n, static_argnums=1)
    >>> power(np.arange(3.0), 2), power(np.arange(3.0), 3)
    (array([0., 1., 4.]), array([0., 1., 8.]))
    """
    options = Options(
        strict,
        wait,
        *map(_kept, (static_argnums, static_argnames, donate_argnums, donate_argnames)),
    )
    if function is None:
        return functools.partial(Jit.of, options=options)
    return Jit.of(function, options)


def _kept(names: Any) -> Any:
    """Return what may be an iterator as something that can be read again."""
    return tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else names
