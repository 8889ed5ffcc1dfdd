"""``einsum``: parsed once into letters, then a primitive whose derivatives are einsums too.

Ellipses become letters, and the output is always written out. A single operand of which nothing is
summed gives a view, as in NumPy. The cotangent of an operand is the einsum of the others and of the
result's cotangent; letters that occur nowhere else are broadcast, and those that occur twice in the
operand are put on a diagonal.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import shape_of
from tapegrad.ops.declare.ufunc import check_operand, delivered, operand
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dependence import Applied, Labels, agreeing
from tapegrad.tape.core.primitive import Primitive, implements
from tapegrad.tape.core.types import Array, ArrayLike, Params

__all__ = ["einsum"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Above this number of products, a search for a good order of contraction costs less than it saves.
_WORTH_PLANNING = 20_000


def _split(subscripts: str) -> tuple[list[str], str]:
    inputs, _, output = subscripts.partition("->")
    return inputs.split(","), output


def _forward(*xs: Array, subscripts: str, optimize: Any = False) -> Any:
    if type(optimize) is tuple:
        optimize = list(optimize)
    return np.einsum(subscripts, *xs, optimize=optimize)


def _onto(g: Array, labels: str, target: str, shape: tuple[int, ...]) -> Any:
    """Lay out `g`, with one axis per letter of `labels`, along the letters of `target`.

    Letters that `g` lacks are broadcast; of a letter that `target` repeats, the diagonal is filled.
    """
    first = {letter: target.index(letter) for letter in target}
    present = sorted((c for c in first if c in labels), key=first.__getitem__)
    order = tuple(labels.index(c) for c in present)
    if order != tuple(range(len(order))):
        g = np.transpose(g, order)
    sizes = dict(zip(present, g.shape))
    full = [sizes.get(c, 1) if first[c] == i else 1 for i, c in enumerate(target)]
    g = np.reshape(g, full)
    repeated = [i for i, c in enumerate(target) if first[c] != i]
    if not repeated:
        if len(present) < len(target):
            g = np.broadcast_to(g, np.broadcast_shapes(tuple(full), shape))
        return g
    mask: Any = True
    for i in repeated:
        eye = np.eye(shape[i], dtype=bool)
        where = [1] * len(target)
        where[first[target[i]]] = where[i] = shape[i]
        mask = np.logical_and(mask, np.reshape(eye, where))
    return np.where(mask, g, 0.0)


def _plan(terms: list[str], arrays: list[Any]) -> bool:
    sizes = {c: n for term, a in zip(terms, arrays) for c, n in zip(term, a.shape)}
    return math.prod(sizes.values()) > _WORTH_PLANNING


def _einsum_vjp(
    g: Array, y: Array, *xs: Array, index: int, subscripts: str, optimize: Any = False
) -> Any:
    terms, output = _split(subscripts)
    target = terms[index]
    others = [t for i, t in enumerate(terms) if i != index]
    if others:
        arrays = [g, *(x for i, x in enumerate(xs) if i != index)]
        known = set(output).union(*others)
        kept = "".join(c for i, c in enumerate(target) if c in known and c not in target[:i])
        text = ",".join((output, *others)) + "->" + kept
        g = np.einsum(text, *arrays, optimize=_plan([output, *others], arrays))
        output = kept
    return _onto(g, output, target, xs[index].shape)


def _with_batch(subscripts: str, batched: Any) -> str:
    terms, output = _split(subscripts)
    letter = next(c for c in _LETTERS if c not in subscripts)
    inputs = ",".join(letter + t if b else t for t, b in zip(terms, batched))
    return f"{inputs}->{letter}{output}"


def _batch_einsum(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    params = {**params, "subscripts": _with_batch(params["subscripts"], batched)}
    if type(params.get("optimize")) is tuple:
        params["optimize"] = True  # the path was chosen for shapes without the batch
    return bind(einsum_p, *args, **params)


def _einsum_dependence(applied: Applied, index: int) -> Labels:
    """An operand and the result agree in the letters that they share."""
    terms, output = _split(applied.params["subscripts"])
    own = terms[index]
    pairs = [(own.index(c), r) for r, c in enumerate(output) if c in own]
    return agreeing(applied.args[index].shape, applied.shape, pairs)


einsum_p: Primitive = Primitive(
    "einsum",
    _forward,
    vjp=_einsum_vjp,
    saves=("none", "value"),
    jvp="multilinear",
    batch=_batch_einsum,
    dependence=_einsum_dependence,
    family="linear",
    takes_complex=True,
    source=lambda args, params: f"np.einsum({params['subscripts']!r}, {', '.join(args)})",
)

einsum_view_p: Primitive = Primitive(
    "einsum_view",
    lambda x, subscripts: np.einsum(subscripts, x),
    (
        lambda g, y, x, subscripts: _onto(
            g, subscripts.partition("->")[2], subscripts.partition("->")[0], x.shape
        ),
    ),
    jvp="linear",
    view=True,
    batch=lambda args, batched, size, params: bind(
        einsum_view_p, args[0], subscripts=_with_batch(params["subscripts"], (True,))
    ),
    batch_params=lambda params, ndim, size: {
        "subscripts": _with_batch(params["subscripts"], (True,))
    },
    family="structural",
    source=lambda args, params: f"np.einsum({params['subscripts']!r}, {args[0]})",
)


# Parsing -----------------------------------------------------------------------------------------


def _from_sublists(operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """Rewrite ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` with letters."""

    def letters(sublist: Any) -> str:
        return "".join("..." if i is Ellipsis else _LETTERS[operator.index(i)] for i in sublist)

    pairs, rest = operands[: len(operands) // 2 * 2], operands[len(operands) // 2 * 2 :]
    text = ",".join(letters(s) for s in pairs[1::2])
    if rest:
        text += "->" + letters(rest[0])
    return text, list(pairs[0::2])


def canonical(subscripts: str, shapes: list[tuple[int, ...]]) -> str:
    """Write subscripts with one letter per axis and an explicit output; NumPy's errors."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    bare = text.replace("...", "").replace(",", "").replace("->", "")
    extra = [
        len(shape) - len(term.replace("...", "")) if "..." in term else 0
        for term, shape in zip(terms, shapes)
    ]
    free = [c for c in reversed(_LETTERS) if c not in bare]
    wrong = (
        len(terms) != len(shapes)
        or not all(c in _LETTERS for c in bare)
        or any(n < 0 for n in extra)
        or any("." in t.replace("...", "", 1) for t in (*terms, output))
        or max(extra, default=0) > len(free)
    )
    if wrong:
        np.einsum(subscripts, *(np.broadcast_to(0.0, shape) for shape in shapes))
        raise ValueError(f"einsum: the subscripts {subscripts!r} cannot be used")
    dots = "".join(reversed(free[: max(extra, default=0)]))
    named = [t.replace("...", dots[len(dots) - n :] if n else "") for t, n in zip(terms, extra)]
    if arrow:
        result = output.replace("...", dots)
    else:
        counts = inputs.replace("...", "").replace(",", "")
        result = dots + "".join(c for c in sorted(set(counts)) if counts.count(c) == 1)
    return ",".join(named) + "->" + result


@implements(np.einsum)
def einsum(
    subscripts: Any,
    *operands: ArrayLike,
    out: Any = None,
    optimize: Any = False,
    constant: bool | None = None,
) -> Array:
    """Sum of products in Einstein's notation.

    Parameters
    ----------
    subscripts : str
        One letter per axis of each operand, separated by commas; after ``->`` the letters of the
        result. ``...`` stands for axes that are broadcast, and summed if the result lacks it. Or
        operands and lists of integers by turns.
    operands : array_like
        Operands; the same tensor may occur several times.
    out : Tensor or ndarray, optional
        Where the result is written to.
    optimize : bool, str or sequence
        The order of contraction, as in ``numpy.einsum_path``.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view of the operand if there is one only and nothing is summed: ``'ii->i'``.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.arange(4.0).reshape(2, 2)
    >>> tg.einsum("ii->i", x)
    Tensor([0., 3.])
    >>> tg.einsum("ij,j->i", x, [1.0, 1.0])
    Tensor([1., 5.])
    """
    if type(subscripts) is not str:
        subscripts, values = _from_sublists((subscripts, *operands))
    else:
        values = list(operands)
    arrays = [operand(v) for v in values]
    arrays = [a if isinstance(a, Tensor) else np.asarray(a) for a in arrays]
    for a in arrays:
        check_operand(a, "einsum")
    text = canonical(subscripts, [shape_of(a) for a in arrays])
    inputs, _, output = text.partition("->")
    if len(arrays) == 1 and set(inputs) == set(output) and len(output) == len(set(output)):
        result = apply(einsum_view_p, (arrays[0],), {"subscripts": text}, constant)
    else:
        params: dict[str, Any] = {"subscripts": text}
        if optimize is not False:
            hashable = isinstance(optimize, bool | str)
            params["optimize"] = optimize if hashable else _frozen(optimize)
        result = apply(einsum_p, tuple(arrays), params, constant)
    return delivered(result, out, "einsum")


def _frozen(path: Any) -> tuple[Any, ...]:
    return tuple(tuple(p) if isinstance(p, list | tuple) else p for p in path)
