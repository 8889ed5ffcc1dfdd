"""Primitives that a composition defines: whole layers with fast passes of their own over arrays.

A :class:`Composed` primitive is a function written with NumPy functions, from which all of its
derivatives follow, and a forward pass over arrays that gives the same. A :class:`Layer` also has a
backward pass over arrays, which computes the cotangents of all arguments together, may use what the
forward pass has kept for it, and is itself a primitive, ``<name>_pull``: so a compiled gradient
calls it as a library step, and higher orders differentiate its composition.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dependence import Applied, Labels, in_order, labels_of
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array
from tapegrad.tape.transforms.derivatives import jvp, vjp

__all__ = ["Composed", "Layer", "packed", "unpacked"]


def unpacked(flat: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Cut a flat array, or the last axis of a batch of them, into arrays of these shapes."""
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        part = flat[..., start : start + size]
        parts.append(np.reshape(part, (*flat.shape[:-1], *shape)))
        start += size
    return parts


def packed(parts: Sequence[Any], batch: tuple[int, ...] = ()) -> Array:
    """Undo :func:`unpacked`; `batch` are the sizes of the axes in front."""
    flat = [np.reshape(p, (*batch, math.prod(p.shape[len(batch) :]))) for p in parts]
    return np.concatenate(flat, axis=-1)


class Composed(Primitive):
    """A primitive whose derivatives are those of a composition.

    Parameters
    ----------
    name : str
    forward : callable
        ``forward(*arrays, **params)`` on arrays.
    composition : callable
        The same function, written with functions that tensors have.
    count : int
        How many of the leading arguments have derivatives.
    slots
        Further slots of :class:`Primitive`.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        composition: Callable[..., Any],
        count: int,
        **slots: Any,
    ) -> None:
        super().__init__(
            name,
            forward,
            pull_all=self._pull_all,
            jvp=self._push,
            differentiable_arguments=count,
            **slots,
        )
        self.composition = composition
        self.count = count

    def _pull_all(self, g: Array, y: Array, *args: Any, **params: Any) -> Sequence[Any]:
        return self._pull(g, y, args, params)

    def _pull(
        self, g: Array, y: Array, args: tuple[Any, ...], params: dict[str, Any]
    ) -> Sequence[Any]:
        """Return the cotangents of the leading arguments."""
        chosen = [i for i in range(self.count) if args[i].dtype.kind in CONTINUOUS]
        pulled = vjp(self._of(args, chosen, params), *(args[i] for i in chosen))[1](g)
        parts: list[Any] = [None] * self.count
        for i, part in zip(chosen, pulled):
            parts[i] = part
        return parts

    def _push(self, tangents: Any, y: Array, *args: Any, **params: Any) -> Any:
        chosen = [i for i, t in enumerate(tangents) if t is not None]
        return jvp(
            self._of(args, chosen, params), [args[i] for i in chosen], [tangents[i] for i in chosen]
        )[1]

    def _of(self, args: Any, chosen: list[int], params: dict[str, Any]) -> Callable[..., Any]:
        """Return the composition as a function of some of the arguments."""

        def composition(*values: Array) -> Any:
            full = list(args)
            for i, value in zip(chosen, values):
                full[i] = value
            return self.composition(*full, **params)

        return composition


class _Residuals(list[Any]):
    """What a forward pass has kept for one backward pass."""

    def taken(self) -> Any:
        """Return it to the first that asks, and None to others."""
        try:
            return self.pop()
        except IndexError:
            return None


class _Last(threading.local):
    """What the last forward pass of this thread has kept, until its result is saved or dies."""

    result: Any = None
    residuals: _Residuals | None = None


_last = _Last()


class Layer(Composed):
    """A composed primitive with a backward pass over arrays.

    Both passes get the leading arguments as arrays of one dtype, which is float32 for float16.

    Parameters
    ----------
    name : str
    forward : callable
        ``forward(*arrays, **params)`` returns the result and what to keep for the backward pass, or
        None.
    backward : callable
        ``backward(g, y, residuals, out, *arrays, **params)`` fills `out`, one array for each of the
        leading arguments. `residuals` is what the forward pass has kept, or None: then the
        backward pass must do without it. It may be written to, and put into `out` in place of an array.
    composition : callable
        The same function as `forward`, written with functions that tensors have.
    count : int
        How many of the leading arguments have derivatives.
    reads_result : bool
        Whether the backward pass reads `y`; otherwise it gets None.
    pull : callable, optional
        ``pull(g, [y,] *arrays, **params)``: the backward pass written with functions that tensors
        have, as one flat array (see :func:`packed`), of which every operand counts as independent.
        By default that of the composition; needed if the backward pass reads `y`.
    pull_batch : callable, optional
        The batching rule of the backward pass.
    expands : bool
        Whether ``jit`` writes out the compositions in place of the passes: they are a few kernels,
        which fuse with what is around them.
    slots
        Further slots of :class:`Primitive`.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        backward: Callable[..., None],
        composition: Callable[..., Any],
        count: int,
        *,
        reads_result: bool = False,
        pull: Callable[..., Any] | None = None,
        pull_batch: Callable[..., Any] | None = None,
        expands: bool = False,
        **slots: Any,
    ) -> None:
        saves = ("value" if reads_result else "none", "value")
        if expands:
            slots["expansion"] = composition
        super().__init__(name, self._forward, composition, count, saves=saves, **slots)
        self._forward_pass = forward
        self._backward_pass = backward
        self._reads_result = reads_result
        backwards = pull or self._pull_of_composition
        self.pull = Composed(
            f"{name}_pull",
            self._packed,
            backwards,
            count + 1 + reads_result,
            batch=pull_batch,
            expansion=backwards if expands else None,
            dependence=self._pull_dependence,
        )

    def _pull_dependence(self, applied: Applied, index: int) -> Labels:
        """What belongs together in the forward pass does so in the backward pass."""
        g, *args = applied.args
        args = args[self._reads_result :]
        forward = Applied(self, args, g.shape, applied.params)
        parts, of_result = [], None
        for i in range(self.count):
            of_argument, of_result = labels_of(forward, i)
            parts.append(in_order(of_argument, args[i].shape))
        of_g = in_order(of_result, g.shape)
        own = index - 1 - self._reads_result
        return parts[own] if own >= 0 else of_g, np.concatenate(parts)

    def save(self, y: Array, args: Any) -> tuple[Any, ...]:  # type: ignore[override]
        """Return what the rules need: the arguments, and behind them what the forward pass kept."""
        saved = (y if self._reads_result else None, *args)
        residuals = _last.residuals
        if residuals is not None and _last.result() is y:
            _last.result = _last.residuals = None
            return (*saved, residuals)
        return saved

    def _uniform(self, args: Sequence[Any]) -> tuple[list[Any], np.dtype[Any]]:
        """Return arrays, the leading ones of the dtype to compute in, and the result's dtype."""
        arrays = [np.asarray(a) for a in args]
        dtype = np.result_type(*(a.dtype for a in arrays[: self.count]))
        if dtype.kind not in CONTINUOUS:
            dtype = np.dtype(float)
        wide = np.dtype(np.float32) if dtype == np.float16 else dtype
        for i in range(self.count):
            arrays[i] = arrays[i].astype(wide, copy=False)
        return arrays, dtype

    def _forward(self, *args: Any, **params: Any) -> Any:
        arrays, dtype = self._uniform(args)
        y, rest = self._forward_pass(*arrays, **params)
        y = y.astype(dtype, copy=False)
        if rest is not None:
            residuals = _Residuals([rest])
            _last.result, _last.residuals = weakref.ref(y, lambda _: residuals.clear()), residuals
        return y

    def _backward(
        self,
        g: Array,
        y: Array,
        residuals: Any,
        out: list[Any],
        arrays: list[Any],
        params: dict[str, Any],
    ) -> None:
        wide = out[0].dtype
        g = np.asarray(g).astype(wide, copy=False)
        if y is not None:
            y = np.asarray(y).astype(wide, copy=False)
        self._backward_pass(g, y, residuals, out, *arrays, **params)

    def _pull(
        self, g: Array, y: Array, args: tuple[Any, ...], params: dict[str, Any]
    ) -> Sequence[Any]:
        residuals = None
        if type(args[-1]) is _Residuals:
            *args, held = args  # type: ignore[assignment]
            residuals = held.taken()
        result = (y,) if self._reads_result else ()
        shapes = [a.shape for a in args[: self.count]]
        if any(isinstance(a, Tensor) for a in (g, *result, *args)):
            return unpacked(bind(self.pull, g, *result, *args, **params), shapes)
        arrays, _ = self._uniform(args)
        out = [np.empty(shape, arrays[0].dtype) for shape in shapes]
        self._backward(g, y, residuals, out, arrays, params)
        return out

    def _packed(self, g: Array, *args: Any, **params: Any) -> Any:
        """Run the backward pass on arrays; the result is one flat array."""
        y = None
        if self._reads_result:
            y, *args = args  # type: ignore[assignment]
        arrays, dtype = self._uniform(args)
        shapes = [a.shape for a in arrays[: self.count]]
        flat = np.empty(sum(map(math.prod, shapes)), arrays[0].dtype)
        self._backward(g, y, None, unpacked(flat, shapes), arrays, params)
        return flat.astype(dtype, copy=False)

    def _pull_of_composition(self, g: Array, *args: Any, **params: Any) -> Any:
        parts = Composed._pull(self, g, None, args, params)
        return packed([np.zeros(a.shape) if p is None else p for p, a in zip(parts, args)])
