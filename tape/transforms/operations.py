"""Operations as users write them: the base class, and ``execute_op``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.mutation import write_into
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import fit
from tapegrad.tape.core.dtypes import NUMERIC, REAL
from tapegrad.tape.core.errors import InvalidGradient
from tapegrad.tape.core.primitive import Primitive

__all__ = ["Operation", "SkipGradient", "execute_op", "operation_p"]


class SkipGradient(Exception):
    """Raised by ``Operation.backward_var`` to say that no gradient flows to this variable."""


class Operation:
    """Base class of users' own differentiable operations.

    A subclass defines ``__call__``, which gets tensors, binds them as the tuple ``self.variables``
    and returns an ndarray; and ``backward_var(grad, index)``, which returns the gradient of the
    variable at `index`. Broadcasting need not be undone there.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> class Cube(tg.Operation):
    ...     def __call__(self, x):
    ...         self.variables = (x,)
    ...         return x.data**3
    ...     def backward_var(self, grad, index, **kwargs):
    ...         return grad * 3 * self.variables[0].data ** 2
    >>> x = tg.tensor(2.0)
    >>> tg.execute_op(Cube, x).backward()
    >>> x.grad
    array(12.)
    """

    can_return_view: bool = False
    variables: tuple[Tensor, ...] = ()

    def __call__(self, *input_vars: Tensor, **kwargs: Any) -> np.ndarray[Any, Any]:
        """Compute the result as an ndarray, and bind ``self.variables``."""
        raise TypeError(f"{type(self).__name__} does not define __call__(self, *tensors)")

    def backward_var(
        self, grad: np.ndarray[Any, Any], index: int, **kwargs: Any
    ) -> np.ndarray[Any, Any]:
        """Return the gradient of ``self.variables[index]``, given that of the result.

        Raises
        ------
        SkipGradient
            To say that no gradient flows there.
        """
        raise TypeError(f"{type(self).__name__} does not define backward_var(self, grad, index)")

    def grad_post_process_fn(
        self, grad: np.ndarray[Any, Any], var_shape: tuple[int, ...]
    ) -> np.ndarray[Any, Any]:
        """Reduce what ``backward_var`` returned to the variable's shape; sums broadcasting out."""
        return fit(grad, var_shape, grad.dtype)  # type: ignore[no-any-return]

    def backward(self, grad: np.ndarray[Any, Any], **kwargs: Any) -> None:
        """Add to the gradient of every variable that is not a constant."""
        for index, variable in enumerate(self.variables):
            if variable.constant:
                continue
            part = pull_back(self, grad, index, variable)
            if part is not None:
                part = fit(part, variable.shape, variable.dtype)
                node = variable.node
                node.grad = part.copy() if node.grad is None else node.grad + part


def pull_back(operation: Operation, grad: np.ndarray[Any, Any], index: int, variable: Any) -> Any:
    """Call ``backward_var`` and check what comes back; None for a skipped gradient."""
    name, shape = type(operation).__name__, variable.shape
    kinds = NUMERIC if variable.dtype.kind == "c" else REAL
    try:
        part = operation.backward_var(grad, index)
    except SkipGradient:
        return None
    if not isinstance(part, np.ndarray | np.generic | float | int | complex) or isinstance(
        part, bool
    ):
        raise InvalidGradient(
            f"{name}.backward_var(grad, {index}) returned {part!r}; it must return a numeric array, "
            f"the gradient of variable {index} (shape {shape})"
        )
    part = np.asarray(part)
    if part.dtype.kind not in kinds or part.dtype.kind == "b":
        raise InvalidGradient(
            f"{name}.backward_var(grad, {index}) returned an array of dtype {part.dtype}, where the "
            f"variable is of dtype {variable.dtype}"
        )
    try:
        part = operation.grad_post_process_fn(part, shape)
    except ValueError as error:
        raise InvalidGradient(
            f"{name}.backward_var(grad, {index}) returned an array of shape {part.shape}, which "
            f"does not reduce to the variable's shape {shape}: {error}"
        ) from error
    # What a user's method returns may be one of the user's own arrays.
    return np.array(part, copy=True)


class _Call:
    """One use of an operation: its instance, keyword arguments, and the tensors it was given."""

    __slots__ = ("kwargs", "operation", "positional", "tensors")

    def __init__(self, operation: Operation, positional: Any, kwargs: Any) -> None:
        self.operation = operation
        self.positional = positional
        self.kwargs = kwargs
        self.tensors: tuple[Tensor, ...] = ()

    def run(self, arrays: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        """Call the operation, unless it has just been called with these arrays."""
        if not self.holds(arrays):
            self.tensors = tuple(Tensor(a, copy=False) for a in arrays)
        out = self.operation(*self.tensors, *self.positional, **self.kwargs)
        if not isinstance(out, np.ndarray | np.generic):
            raise TypeError(
                f"{type(self.operation).__name__}.__call__ must return an ndarray, "
                f"not {type(out).__name__}"
            )
        return np.asarray(out)

    def holds(self, arrays: tuple[Any, ...]) -> bool:
        """Whether the operation was last called with these very arrays."""
        return len(arrays) == len(self.tensors) and all(
            t.value is a for t, a in zip(self.tensors, arrays)
        )


def _operation_vjp(g: Any, y: Any, *args: Any, index: int, call: _Call) -> Any:
    if any(isinstance(a, Tensor) for a in (g, *args)):
        return bind(operation_vjp_p, g, *args, variable=index, call=call)
    return _pull(g, args, index, call)  # None for a skipped gradient


def _operation_jvp(tangents: Any, y: Any, *args: Any, call: _Call) -> Any:
    parts = [
        bind(operation_jvp_p, t, *args, variable=i, call=call)
        for i, t in enumerate(tangents)
        if t is not None
    ]
    return sum(parts[1:], start=parts[0])


operation_p = Primitive(
    "operation",
    lambda *arrays, call: call.run(tuple(np.asarray(a) for a in arrays)),
    vjp=_operation_vjp,
    jvp=_operation_jvp,
    takes_complex=True,
)


def _pull(g: Any, arrays: tuple[Any, ...], variable: int, call: _Call) -> Any:
    values = tuple(np.asarray(a) for a in arrays)
    if not call.holds(values):
        call.run(values)
    return pull_back(call.operation, np.asarray(g), variable, values[variable])


def _run_operation_vjp(g: Any, *arrays: Any, variable: int, call: _Call) -> Any:
    part = _pull(g, arrays, variable, call)
    return np.zeros_like(arrays[variable]) if part is None else part


def _run_operation_jvp(t: Any, *arrays: Any, variable: int, call: _Call) -> Any:
    """Read the derivative off ``backward_var``, one element of the result at a time."""
    out = np.zeros_like(call.run(tuple(np.asarray(a) for a in arrays)))
    cotangent = np.zeros_like(out)
    for i in np.ndindex(out.shape):
        cotangent[i] = 1
        part = _pull(cotangent, arrays, variable, call)
        out[i] = 0 if part is None else np.sum(part * t)
        cotangent[i] = 0
    return out


def _no_second_order(
    g: Any, y: Any, *args: Any, index: int, variable: int, call: _Call, transposed: Primitive
) -> Any:
    if index == 0:  # both are linear in the first argument, and each other's transpose
        return bind(transposed, g, *args[1:], variable=variable, call=call)
    raise TypeError(
        f"{type(call.operation).__name__} is a user's Operation: its backward_var works on arrays "
        "and cannot be differentiated again. Write the operation with NumPy functions on tensors "
        "to have higher derivatives."
    )


operation_vjp_p: Primitive = Primitive(
    "operation_vjp",
    _run_operation_vjp,
    vjp=lambda *args, **params: _no_second_order(*args, **params, transposed=operation_jvp_p),
    takes_complex=True,
)

operation_jvp_p: Primitive = Primitive(
    "operation_jvp",
    _run_operation_jvp,
    vjp=lambda *args, **params: _no_second_order(*args, **params, transposed=operation_vjp_p),
    takes_complex=True,
)


def execute_op(
    Op: type[Operation],
    *input_vars: Any,
    op_args: tuple[Any, ...] | None = None,
    op_kwargs: dict[str, Any] | None = None,
    constant: bool | None = None,
    out: Any = None,
) -> Tensor:
    """Apply a user's operation to tensors and array-likes.

    Parameters
    ----------
    Op : type
        A subclass of :class:`Operation`; an instance is made for each call.
    *input_vars : array_like
        Its differentiable inputs.
    op_args, op_kwargs : tuple, dict, optional
        Further arguments for ``Op.__call__``.
    constant : bool, optional
        As for every function.
    out : Tensor or ndarray, optional
        Is overwritten with the result, and returned.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> class Scale(tg.Operation):
    ...     def __call__(self, x, factor):
    ...         self.variables, self.factor = (x,), factor
    ...         return x.data * factor
    ...     def backward_var(self, grad, index, **kwargs):
    ...         return grad * self.factor
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.execute_op(Scale, x, op_args=(3.0,)).backward()
    >>> x.grad
    array([3., 3.])
    """
    if not (isinstance(Op, type) and issubclass(Op, Operation)):
        raise TypeError(f"execute_op takes a subclass of Operation, not {Op!r}")
    tensors = tuple(
        v if isinstance(v, Tensor) else Tensor(v, copy=False, constant=True) for v in input_vars
    )
    call = _Call(Op(), op_args or (), op_kwargs or {})
    if all(t.live_trace.level == 0 for t in tensors):
        call.tensors = tensors
    result = apply(operation_p, tensors, {"call": call}, constant)
    if out is None:
        return result  # type: ignore[no-any-return]
    return write_into(out, result)
