"""``debug_nans``: the first operation that makes a nan or an infinity of finite numbers.

While it is active, each application of a primitive to traced values and tensors, and each step of a
reverse sweep, is looked at. Applications come here as they come to a body that is being recorded: every
trace asks ``state.body`` first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from tapegrad.tape.array.application import innermost
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.location import user_location
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import state
from tapegrad.tape.core.watching import watching
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.recorder import Recorder
from tapegrad.tape.transforms.forward_mode import JVPTrace

__all__ = ["debug_nans"]

F = TypeVar("F", bound=Callable[..., Any])


class _Nans:
    """Looks for numbers that are not finite; stands where bodies stand that are recorded."""

    level = 1 << 30
    has_examples = False

    def __init__(self) -> None:
        self._outer = state.get().body

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Apply a primitive as without, and look at the result."""
        state.set(state.get().replace(body=self._outer))
        try:
            out = innermost(args).process(primitive, args, params, constant)
        finally:
            state.set(state.get().replace(body=self))
        where = user_location()
        for result in out if primitive.multiple else (out,):
            if isinstance(result, Tensor) and type(result.node) is Node:
                result.node.where = where
                for source in result.node.inputs:  # of one of several results, their bundle
                    if source is not None and source.primitive is primitive:
                        source.where = where
        self.applied(primitive, args, out)
        return out

    def enter(self, root: Any) -> None:
        """Every array may be written into."""

    def applied(self, primitive: Any, args: Any, out: Any) -> None:
        """Raise if the result has a nan or an infinity, and no argument has."""
        for result in out if primitive.multiple else (out,):
            if not _is_finite(result) and all(map(_is_finite, args)):
                raise FloatingPointError(
                    f"{primitive.name} made {_what(result)} of finite numbers, at {user_location()}\n"
                    f"  result: {_described(result)}\n" + _listed("argument", args)
                )
            if isinstance(result, Tensor) and isinstance(result.live_trace, JVPTrace):
                tangents = [
                    a.node
                    for a in args
                    if isinstance(a, Tensor) and a.live_trace is result.live_trace
                ]
                if not _is_finite(result.node) and all(map(_is_finite, (*args, *tangents))):
                    raise FloatingPointError(
                        f"the forward derivative of {primitive.name} made {_what(result.node)} of "
                        f"finite numbers, at {user_location()}\n  tangent of the result: "
                        f"{_described(result.node)}\n"
                        + _listed("argument", args)
                        + _listed("tangent", tangents)
                    )

    def pulled(self, node: Node, g: Any, cotangents: Any) -> None:
        """Raise if a cotangent has a nan or an infinity, and nothing that it was made of has."""
        saved = [s for s in node.saved if isinstance(s, np.ndarray | np.generic | Tensor | float)]
        for i, source in enumerate(node.inputs):
            part = None if source is None else cotangents.get(source)
            if part is None or _is_finite(part) or not all(map(_is_finite, (g, *saved))):
                continue
            raise FloatingPointError(
                f"the derivative of {node.primitive.name} by argument {i} made {_what(part)} of finite "
                f"numbers; it was applied at {user_location()}\n"
                f"  cotangent of the argument: {_described(part)}\n"
                f"  cotangent of the result: {_described(g)}\n" + _listed("residual", saved)
            )


def _bottom(value: Any) -> np.ndarray[Any, Any]:
    while isinstance(value, Tensor):
        value = value.value
    return np.asarray(value)


def _is_finite(value: Any) -> bool:
    array = _bottom(value)
    if array.dtype.kind == "O":  # cotangents of several results
        return all(map(_is_finite, array.ravel()))
    return array.dtype.kind not in CONTINUOUS or bool(np.isfinite(array).all())


def _what(value: Any) -> str:
    array = _bottom(value)
    if array.dtype.kind == "O":
        array = np.concatenate([np.ravel(_bottom(part)) for part in array.ravel()])
    return "nan" if np.isnan(array).any() else "an infinity"


def _described(value: Any) -> str:
    """Return dtype, shape, and the range of the finite numbers."""
    array = _bottom(value)
    if array.dtype.kind == "O":
        return "; ".join(map(_described, array.ravel()))
    text = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
    if array.dtype.kind not in CONTINUOUS or not array.size:
        return text
    finite = array[np.isfinite(array)]
    if finite.size:
        text += f" from {finite.min():.6g} to {finite.max():.6g}"
    counts = {
        "nan": np.isnan(array).sum(),
        "inf": np.isposinf(array).sum(),
        "-inf": np.isneginf(array).sum(),
    }
    return text + "".join(f", {n} {name}" for name, n in counts.items() if n)


def _listed(name: str, values: Any) -> str:
    return "".join(f"  {name} {i}: {_described(v)}\n" for i, v in enumerate(values))


@contextmanager
def _watched() -> Iterator[None]:
    gate = current.get()
    if isinstance(gate, Recorder):
        gate.ledger.abandon("it looks for nans by debug_nans, which a plan would not do")
    before = state.get()
    nans = _Nans()
    token = watching.set(nans)
    state.set(before.replace(body=nans))
    try:
        # A mode that no plan knows, and that does nothing: compiled functions run as they are.
        with np.errstate(under="call", call=_nothing):
            yield
    finally:
        watching.reset(token)
        state.set(state.get().replace(body=before.body))


def _nothing(kind: str, flag: int) -> None:
    """Do nothing about an underflow, as NumPy does."""


class debug_nans:  # a context manager and a decorator
    """Raise at the first operation that makes a nan or an infinity of finite numbers.

    A context manager, and a decorator of functions.

    Raises
    ------
    FloatingPointError
        Names the operation, whether it was its value or a derivative, the user's line, and the ranges of
        the numbers.

    Notes
    -----
    Looked at is what is done with tensors and traced values, forward and backward. What plain NumPy does
    with plain arrays is not; `np.errstate` is for that. Inside, ``jit`` runs functions as they are.
    Other threads and tasks are not affected.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> with tg.debug_nans(), np.errstate(all="ignore"):
    ...     tg.grad(lambda x: np.sqrt(x * 0))(1.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FloatingPointError: the derivative of sqrt by argument 0 made an infinity of finite numbers; ...
    """

    def __init__(self) -> None:
        self._entered: list[Any] = []

    def __enter__(self) -> None:
        manager = _watched()
        manager.__enter__()
        self._entered.append(manager)

    def __exit__(self, *exc: Any) -> None:
        self._entered.pop().__exit__(*exc)

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with _watched():
                return function(*args, **kwargs)

        return watched  # type: ignore[return-value]  # functools.wraps keeps F's signature
