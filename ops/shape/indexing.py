"""Indexing: basic (a view), advanced (a copy), their transposes, and writes.

The index arrays of advanced indexing are positional arguments, so that they can be traced; the rest
of the index is a hashable parameter.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.mutation import note_latent_view, place, write
from tapegrad.tape.array.numbers import stand_in
from tapegrad.tape.array.originals import copied
from tapegrad.tape.array.paths import HOLE, Hole, Path, Spec, freeze_index, thaw_index
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dependence import Applied, Labels, moved, moving, reading
from tapegrad.tape.core.primitive import Primitive, Shaped, functions, implements, primitives
from tapegrad.tape.core.types import Array, Params
from tapegrad.tape.transforms.batching import stacked

__all__: list[str] = []

_ALL = ("slice", None, None, None)


def _embed(g: Array, *, shape: tuple[int, ...], spec: Spec) -> Any:
    out = np.zeros(shape, dtype=np.asarray(g).dtype)
    out[thaw_index(spec)] = g
    return out


def _index_source(args: Any, params: Params) -> str:
    return f"{args[0]}[{_index_text(params['spec'], args[1:])}]"


def _index_text(spec: Spec, arrays: Array) -> str:
    """Write an index as Python."""
    left = iter(arrays)
    parts = []
    for i in spec:
        if type(i) is tuple:
            start, stop, step = ("" if n is None else str(n) for n in i[1:])
            parts.append(f"{start}:{stop}" + (f":{step}" if step else ""))
        elif type(i) is Hole:
            parts.append(str(next(left)))
        else:
            parts.append("..." if i is Ellipsis else repr(i))
    return "()" if not parts else f"{parts[0]}," if len(parts) == 1 else ", ".join(parts)


def _zeros_source(args: Any, params: Params) -> str:
    """Write the transpose of an index: zeros, and the parts that are added to them."""
    index = _index_text(params["spec"], args[1:])
    zeros = f"{{out}} = np.zeros({params['shape']}, {args[0]}.dtype)"
    return f"{zeros}\nnp.add.at({{out}}, np.index_exp[{index}], {args[0]})"


def _write_source(args: Any, params: Params) -> str:
    """Write a write as Python: a copy, and an assignment to the part that is replaced."""
    target = "{out}"
    for name, step in params["path"]:
        source = primitives[name].source
        assert source is not None
        target = source([target], dict(step))
    index = "..." if params["spec"] is None else _index_text(params["spec"], args[2:])
    return f"{{out}} = np.array({args[0]}, copy=True)\n{target}[{index}] = {args[1]}"


def _ranges(spec: Spec, shape: tuple[int, ...]) -> tuple[tuple[int, int, bool], ...] | None:
    """Return start and stop of a basic index along each axis, and whether the axis is left.

    An index that makes new axes has none: what is written by it has more axes than the place has.
    """
    if None in spec:
        return None
    axes = len(shape) - sum(i is not Ellipsis for i in spec)
    whole = [_ALL] * axes
    at = spec.index(Ellipsis) if Ellipsis in spec else len(spec)
    ranges = []
    for i, n in zip((*spec[:at], *whole, *spec[at + 1 :]), shape):
        if type(i) is tuple:
            start, stop, step = slice(*i[1:]).indices(n)
            if step != 1:
                return None
            ranges.append((start, max(start, stop), True))
        elif type(i) is int:
            ranges.append((i % n, i % n + 1, False))
        else:
            return None
    return tuple(ranges)


def _windows_of_embed(shapes: Any, params: Params) -> Any:
    ranges = _ranges(params["spec"], params["shape"])
    return None if ranges is None else (ranges,)


def _windows_of_write(shapes: Any, params: Params) -> Any:
    if len(shapes) > 2 or params["path"]:
        return None
    ranges = _ranges(params["spec"] or (), shapes[0])
    return None if ranges is None else (None, ranges)


def _put_back(g: Any, shape: tuple[int, ...], spec: Spec) -> Any:
    """Return zeros with `g` where an index points to; axes that the index makes are dropped first."""
    if None in spec:
        kept = len(shape) - sum(i is not None and i is not Ellipsis for i in spec)
        sizes = iter(np.shape(g))
        left: list[int] = []
        for i in spec:
            if i is Ellipsis:
                left += [next(sizes) for _ in range(kept)]
            elif i is None:
                next(sizes)
            elif type(i) is not int:
                left.append(next(sizes))
        spec = tuple(i for i in spec if i is not None)
        g = np.reshape(g, (*left, *sizes))
    return bind(embed_p, g, shape=shape, spec=spec)


basic_index_p: Primitive = Primitive(
    "basic_index",
    lambda x, *, spec: x[thaw_index(spec)],
    (lambda g, y, x, spec: _put_back(g, x.shape, spec),),
    jvp="linear",
    view=True,
    add_into=lambda buffer, g, *_, spec: _add_at(buffer, g, spec=spec),
    family="structural",
    batch=lambda args, batched, size, params: bind(
        basic_index_p, args[0], spec=(_ALL, *params["spec"])
    ),
    batch_params=lambda params, ndim, size: {"spec": (_ALL, *params["spec"])},
    source=_index_source,
)


def _add_at(buffer: Any, g: Array, *arrays: Array, spec: Spec) -> None:
    index = thaw_index(spec, arrays)
    if all(np.asarray(a).dtype.kind == "b" for a in arrays):
        buffer[index] += g  # basic indices and masks name no element twice
    else:
        np.add.at(buffer, index, g)


embed_p: Primitive = Primitive(
    "embed",
    _embed,
    (lambda g, y, x, shape, spec: bind(basic_index_p, g, spec=spec),),
    jvp="linear",
    family="structural",
    batch=lambda args, batched, size, params: bind(
        embed_p, args[0], shape=(size, *params["shape"]), spec=(_ALL, *params["spec"])
    ),
    windows=_windows_of_embed,
    source=_zeros_source,
)


def _contiguous_holes(spec: Spec) -> bool:
    """Whether a batch axis in front leaves the result's axes in order (NumPy moves the axes of
    separated index arrays to the front)."""
    places = [i for i, s in enumerate(spec) if type(s) is Hole or type(s) is int]
    return bool(places) and places[-1] - places[0] == len(places) - 1


def _loop(
    primitive: Primitive, args: Sequence[Array], batched: Sequence[bool], size: int, params: Params
) -> Any:
    """Apply a primitive to each example, and stack."""
    outs = [
        bind(primitive, *(a[k] if b else a for a, b in zip(args, batched)), **params)
        for k in range(size)
    ]
    return stacked(outs)


def _batch_gather(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    spec = params["spec"]
    if any(batched[1:]) or not _contiguous_holes(spec):
        return _loop(gather_p, args, batched, size, params)
    return bind(gather_p, *args, spec=(_ALL, *spec))


def _gather_vjp(g: Array, y: Array, x: Array, *arrays: Array, index: int, spec: Spec) -> Any:
    return bind(scatter_add_p, g, *arrays, shape=x.shape, spec=spec)


def _gather(x: Array, *arrays: Array, spec: Spec) -> Any:
    out = x[thaw_index(spec, arrays)]
    # Integers without an axis are a basic index of NumPy's, which gives a view.
    return out if any(map(np.ndim, arrays)) or not np.ndim(out) else np.copy(out)


gather_p: Primitive = Primitive(
    "gather",
    _gather,
    vjp=_gather_vjp,
    dependence=moved,
    saves=("none", "shape", "value"),
    add_into=_add_at,
    jvp=lambda tangents, y, x, *arrays, spec: bind(gather_p, tangents[0], *arrays, spec=spec),
    differentiable_arguments=1,
    batch=_batch_gather,
    takes_complex=True,
    masks="result",
    source=_index_source,
)


def _scatter_add(g: Array, *arrays: Array, shape: tuple[int, ...], spec: Spec) -> Any:
    out = np.zeros(shape, dtype=np.asarray(g).dtype)
    index = thaw_index(spec, arrays)
    if all(np.asarray(a).dtype.kind == "b" for a in arrays):
        out[index] = g  # a mask selects no element twice
    else:
        np.add.at(out, index, g)
    return out


def _batch_scatter(
    args: Sequence[Array], batched: Sequence[bool], size: int, params: Params
) -> Any:
    spec = params["spec"]
    if any(batched[1:]) or not _contiguous_holes(spec):
        return _loop(scatter_add_p, args, batched, size, params)
    return bind(scatter_add_p, *args, shape=(size, *params["shape"]), spec=(_ALL, *spec))


@reading
def _scatter_dependence(applied: Applied, index: int) -> Labels:
    """Every element is added to the one that a gather would take it from."""
    shape = applied.params["shape"]
    numbers = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    return numbers[thaw_index(applied.params["spec"], tuple(applied.args[1:]))].reshape(-1), None


scatter_add_p: Primitive = Primitive(
    "scatter_add",
    _scatter_add,
    vjp=lambda g, y, x, *arrays, index, shape, spec: bind(gather_p, g, *arrays, spec=spec),
    saves=("none", "none", "value"),
    jvp=lambda tangents, y, x, *arrays, shape, spec: bind(
        scatter_add_p, tangents[0], *arrays, shape=shape, spec=spec
    ),
    differentiable_arguments=1,
    dependence=_scatter_dependence,
    batch=_batch_scatter,
    takes_complex=True,
    masks="arguments",
    source=_zeros_source,
)


def _has_gaps(a: Array) -> bool:
    """Whether an array is laid out otherwise than its copy: a view of it may be a copy of that."""
    return type(a) is np.ndarray and not a.flags.forc and 0 not in a.strides


def _write(base: Array, value: Any, *arrays: Array, path: Path, spec: Spec | None) -> Any:
    out = copied(base) if _has_gaps(base) else np.array(base, copy=True)
    place(out, value, path, spec, arrays)
    return out


def _part(x: Array, path: Path, spec: Spec | None, arrays: tuple[Any, ...]) -> Any:
    """Take the part of a value that a write replaces."""
    for name, params in path:
        x = bind(primitives[name], x, **dict(params))
    if spec is None:
        return x
    if arrays:
        return bind(gather_p, x, *arrays, spec=spec)
    return bind(basic_index_p, x, spec=spec)


def _winners(base: Array, *arrays: Array, path: Path, spec: Spec) -> Any:
    """Mark which elements of a written value are still there when an index occurs twice."""
    path = tuple(step for step in path if step[0] not in ("real", "imag"))  # parts of all elements
    numbers = np.full(np.shape(base), -1, dtype=np.int64)
    part = _part(numbers, path, spec, arrays)
    own = np.arange(part.size).reshape(part.shape)
    place(numbers, own, path, spec, arrays)
    return _part(numbers, path, spec, arrays) == own


winners_p: Primitive = Primitive("winners", _winners, masks="result", takes_complex=True)


def _write_vjp(
    g: Array, y: Array, base: Array, value: Any, *arrays: Array, index: int, path: Path,
    spec: Spec | None,
) -> Any:  # fmt: skip
    if index == 0:
        return bind(write_p, g, 0.0, *arrays, path=path, spec=spec)
    part = _part(g, path, spec, arrays)
    if any(name == "imag" for name, _ in path):
        part = -part  # the cotangent of b is the real part of g times that of a + ib, which is i
    if any(a.dtype.kind != "b" for a in arrays):
        part = np.where(bind(winners_p, g, *arrays, path=path, spec=spec), part, 0.0)
    return part


def _take_from(g: Array, *arrays: Array, path: Path, spec: Spec | None) -> Any:
    part = np.array(_write_vjp(g, None, g, None, *arrays, index=1, path=path, spec=spec))
    place(g, 0.0, path, spec, arrays)
    return part


def _write_jvp(
    tangents: Any, y: Array, base: Array, value: Any, *arrays: Array, path: Path, spec: Spec | None
) -> Any:
    t_base = np.zeros_like(base) if tangents[0] is None else tangents[0]
    t_value = 0.0 if tangents[1] is None else tangents[1]
    return bind(write_p, t_base, t_value, *arrays, path=path, spec=spec)


def _batch_write(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    path, spec = params["path"], params["spec"]
    base, value, *arrays = args
    awkward = spec is not None and arrays and not _contiguous_holes(spec)
    if any(batched[2:]) or awkward:
        return _loop(write_p, args, batched, size, params)
    if not batched[0]:
        base = np.broadcast_to(base, (size, *np.shape(base)))
    shape = base.shape[1:]
    inner, probe = [], np.broadcast_to(np.int8(0), shape)
    for name, step in path:
        step = dict(step)
        shifted = primitives[name].batch_params(step, probe.ndim, size)  # type: ignore[misc]
        inner.append((name, tuple(sorted(shifted.items()))))
        probe = primitives[name].forward(probe, **step)
    if batched[1]:
        # Numbers that are not known, in the body of a loop, select what has as many axes as zeros do.
        known = tuple(
            stand_in(a) if isinstance(a, Tensor) and a.dtype.kind != "b" else a for a in arrays
        )
        part = probe if spec is None else probe[thaw_index(spec, known)]
        missing = part.ndim - (len(value.shape) - 1)
        if missing > 0:
            value = np.reshape(value, (size, *(1,) * missing, *value.shape[1:]))
        elif missing < 0:  # the value has leading axes of size 1, which an assignment drops
            value = np.reshape(value, (size, *value.shape[1 - missing :]))
    outer = None if spec is None else (_ALL, *spec)
    return bind(write_p, base, value, *arrays, path=tuple(inner), spec=outer)


_NUMBERS = np.dtype(np.int32)


@moving
def _write_dependence(applied: Applied, index: int) -> Labels:
    """What is moved, also if the other of base and value is a constant of which nothing is kept."""
    base, value, *arrays = applied.args
    base = Shaped(applied.shape, _NUMBERS) if base is None else base
    value = Shaped((), _NUMBERS) if value is None else value
    return moved(applied._replace(args=(base, value, *arrays)), index)


write_p: Primitive = Primitive(
    "write",
    _write,
    vjp=_write_vjp,
    saves=("none", "none", "none", "value"),
    take_from=_take_from,
    into=lambda base, value, *arrays, path, spec: place(base, value, path, spec, arrays),
    dependence=_write_dependence,
    jvp=_write_jvp,
    differentiable_arguments=2,
    batch=_batch_write,
    masks="arguments",
    takes_complex=True,
    windows=_windows_of_write,
    source=_write_source,
)


def _is_basic(i: Any) -> bool:
    return i is None or i is Ellipsis or isinstance(i, slice)


def normalise(index: Any, ndim: int) -> tuple[Spec, tuple[Any, ...]]:
    """Split an index into its hashable part and its arrays; the ellipsis is written out."""
    items = index if type(index) is tuple else (index,)
    fixed: list[Any] = []
    arrays: list[Any] = []
    used = 0
    for i in items:
        if _is_basic(i):
            if isinstance(i, slice):
                used += 1
                i = slice(
                    *(n if n is None else operator.index(n) for n in (i.start, i.stop, i.step))
                )
            fixed.append(i)
        elif isinstance(i, int | np.integer) and not isinstance(i, bool | np.bool_):
            fixed.append(int(i))
            used += 1
        elif (
            isinstance(i, Tensor)
            and i.dtype.kind in "iu"
            and i.shape == ()
            and not i.live_trace.level
        ):
            fixed.append(i.__index__())
            used += 1
        else:
            if type(i) in (list, tuple) and any(isinstance(k, Tensor) for k in i):
                i = functions[np.stack](list(i))
            array = i if isinstance(i, Tensor) else np.asarray(i)
            if array.size == 0 and array.dtype.kind == "f" and type(i) in (list, tuple):
                array = np.asarray(i, dtype=np.intp)
            if array.dtype.kind not in "iub":
                raise IndexError(
                    "arrays used as indices must be of integer (or boolean) type, "
                    f"not {array.dtype}"
                )
            fixed.append(HOLE)
            arrays.append(array)
            used += len(array.shape) if array.dtype.kind == "b" else 1
    if any(i is Ellipsis for i in fixed) and sum(i is Ellipsis for i in fixed) == 1:
        at = next(k for k, i in enumerate(fixed) if i is Ellipsis)
        fixed[at : at + 1] = [slice(None)] * max(ndim - used, 0)
    return freeze_index(tuple(fixed)), tuple(arrays)


def _is_scalar_view(index: Any, spec: Spec, shape: tuple[int, ...]) -> bool:
    """Whether an index names one element with an ellipsis: a view, and not a copy, of that element.

    An index without ellipsis would copy it, so it is taken as a slice, and reshaped.
    """
    if type(index) is not tuple:
        return index is Ellipsis and not shape
    for i in index:
        if i is Ellipsis:
            break
    else:
        return False
    return len(spec) == len(shape) and all(
        type(i) is int and -n <= i < n for i, n in zip(spec, shape)
    )


@implements("getitem")
def _getitem(x: Tensor, index: Any) -> Array:
    spec, arrays = normalise(index, x.ndim)
    if arrays:
        out = apply(gather_p, (x, *arrays), {"spec": spec})
        if isinstance(out, Tensor) and out.shape:
            note_latent_view(out, x, arrays, spec)
        return out
    if (not spec or type(spec[0]) is int) and _is_scalar_view(index, spec, x.shape):
        if spec:
            last = spec[-1]
            spec = (*spec[:-1], ("slice", last, last + 1 or None, None))
            x = apply(basic_index_p, (x,), {"spec": spec})
        return functions[np.reshape](x, ())
    return apply(basic_index_p, (x,), {"spec": spec})


def _overlaps(x: Tensor, values: Array) -> bool:
    """Whether there are views of what `x` is a view of among values."""
    base = x if x.base is None else x.base
    return any(isinstance(v, Tensor) and v.base is base for v in values)


@implements("setitem")
def _setitem(x: Tensor, index: Any, value: Any) -> None:
    if type(value) in (list, tuple):
        if not any(isinstance(v, Tensor) for v in value):
            value = np.asarray(value)
        elif _overlaps(x, value) and x[index].shape[:1] == (len(value),):
            part = x[index]
            for i, v in enumerate(value):  # NumPy writes one after the other, too
                part[i] = v
            return
        else:
            value = functions[np.stack](list(value))
    if index is Ellipsis or (type(index) is slice and index == slice(None)):
        spec, arrays = None, ()
    else:
        spec, arrays = normalise(index, x.ndim)
        if not arrays and np.ndim(value) and _is_scalar_view(index, spec, x.shape):
            value = np.reshape(value, ())  # for a view without axes NumPy drops axes of size 1
    write(x, value, spec, arrays)
