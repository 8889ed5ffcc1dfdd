"""``jacobian`` and ``hessian``: all derivatives at once, by batching the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.transforms.derivatives import _linearize, _require_floats, grad, wraps
from tapegrad.tape.transforms.shield import run_shielded
from tapegrad.tape.transforms.vectorisation import vmap

__all__ = ["hessian", "jacobian"]


def jacobian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """Return a function that gives all derivatives of an array-valued function, in reverse mode.

    Parameters
    ----------
    function : callable
        Returns one array.
    argnums : int
        By which argument to differentiate; one array.

    Returns
    -------
    callable
        Its result has the shape of the output followed by that of the argument.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @wraps(function)
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        def pulled(rest: Any) -> Any:
            others, keywords = rest

            def partial(value: Any) -> Any:
                others[argnums] = value
                return function(*others, **keywords)

            check = _require_floats("jacobian", function)
            given = (args[argnums],)
            return _linearize(partial, given, False, "jacobian", check, later=True)[:2]

        others = list(args)
        others[argnums] = None
        out, pullback = run_shielded(pulled, (others, kwargs))
        shape = np.shape(out)
        size = int(np.prod(shape, dtype=np.int64))
        basis = np.eye(size, dtype=getattr(out, "dtype", float)).reshape(size, *shape)
        rows = vmap(lambda g: pullback(g)[0])(basis)
        return np.reshape(rows, (*shape, *np.shape(args[argnums])))

    return jacobian_of


def hessian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """Return a function that gives the second derivatives of a scalar function.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.hessian(lambda x: np.prod(x))(np.array([2.0, 3.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    return jacobian(grad(function, argnums), argnums)
