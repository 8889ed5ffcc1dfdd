"""What a function does, without its values: ``make_tape`` and ``eval_shape``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.core.types import P
from tapegrad.tape.program.bodies import Body, NotRecordable, record_body
from tapegrad.tape.program.program import Program
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.transformed import spelled, transformed

__all__ = ["ShapeDtypeStruct", "eval_shape", "make_tape"]


class ShapeDtypeStruct:
    """A shape and a dtype, in the place of an array.

    Parameters
    ----------
    shape : sequence of int
    dtype : dtype

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ShapeDtypeStruct((2, 3), "float32")
    ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Any, dtype: Any) -> None:
        try:
            self.shape = tuple(int(n) for n in shape)
        except TypeError:
            raise TypeError(
                f"ShapeDtypeStruct: the shape must be a sequence of ints, not {shape!r}"
            ) from None
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __eq__(self, other: object) -> bool:
        if type(other) is not ShapeDtypeStruct:
            return NotImplemented
        return (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype.name})"


def _array(leaf: Any) -> Any:
    """Return an array of the shape and dtype of a leaf that only says them; it takes no memory."""
    if type(leaf) is ShapeDtypeStruct:
        return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)
    return leaf


def _recorded(function: Callable[..., Any], args: Any, kwargs: Any, what: str) -> Body:
    leaves, structure = flatten((args, kwargs))
    try:
        return record_body(
            lambda args, kwargs: run(function, *args, **kwargs),
            list(map(_array, leaves)),
            structure,
            numbers=True,
        )
    except NotRecordable as reason:
        raise TypeError(
            f"{what}({spelled(function)}): there is no one program that does what the function does for "
            f"all such arguments: {reason}"
        ) from None


def make_tape(function: Callable[P, Any]) -> Callable[P, Program]:
    """Return a function that gives the program of `function` for arguments of given shapes and dtypes.

    Parameters
    ----------
    function : callable
        Takes and returns arrays, or nests of them.

    Returns
    -------
    callable
        With the arguments of `function`, of which only shapes and dtypes count (a
        :class:`ShapeDtypeStruct` says them); returns a :class:`Program`, which prints as NumPy. Its
        inputs are the arrays and numbers among the arguments, in order; tensors from outside that the
        function reads follow.

    Raises
    ------
    TypeError
        When the function is called that cannot be recorded: it asks for values, or has effects.

    See Also
    --------
    Tape : records a run with its values.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> program = tg.make_tape(tg.grad(lambda x: np.sum(x**2)))(np.ones(3))
    >>> program(np.array([1.0, 2.0, 3.0]))
    (array([2., 4., 6.]),)
    >>> [entry.primitive.name for entry in program.entries]
    ['multiply', 'multiply']
    """

    @transformed(make_tape, function)
    def tape_of(*args: Any, **kwargs: Any) -> Program:
        return _recorded(function, args, kwargs, "make_tape").program

    return tape_of


def eval_shape(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return shapes and dtypes of what a function returns.

    Parameters
    ----------
    function : callable
        Takes and returns arrays, or nests of them.
    *args, **kwargs
        Its arguments, of which only shapes and dtypes count: arrays, numbers, or
        :class:`ShapeDtypeStruct`.

    Returns
    -------
    nest of ShapeDtypeStruct

    Raises
    ------
    TypeError
        If the function cannot be recorded: it asks for values, or has effects.

    Notes
    -----
    The function is run on examples of the same sizes, of which the values mean nothing.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.eval_shape(np.matmul, tg.ShapeDtypeStruct((2, 3), float), np.ones((3, 4), np.float32))
    ShapeDtypeStruct(shape=(2, 4), dtype=float64)
    """
    body = _recorded(function, args, kwargs, "eval_shape")
    outputs = [o if hasattr(o, "dtype") else np.asarray(o) for o in body.program.outputs]
    return unflatten(body.structure, [ShapeDtypeStruct(o.shape, o.dtype) for o in outputs])
