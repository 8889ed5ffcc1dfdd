"""Operations without derivatives: comparisons, logic, rounding, and questions about arrays.

In imperative code they give plain arrays, and the gradients of their operands stay as they are; on
values that a batching or staging trace sees they give constant traced values. Functions whose
answer Python consumes (``allclose``, ``nonzero``) read the values, on which a trace sets a guard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import all_axes, is_given, one_axis, shape_of
from tapegrad.ops.declare.ufunc import Ufunc, as_tensor, data_of, numpy_source, operand, single_out
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, Params

__all__ = [
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "bitwise_and", "bitwise_or",
    "bitwise_xor", "ceil", "count_nonzero", "equal", "fix", "floor", "floor_divide", "gcd",
    "greater", "greater_equal", "invert", "isclose", "isfinite", "isinf", "isnan", "isnat",
    "isneginf", "isposinf", "lcm", "left_shift", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "logical_xor", "nextafter", "not_equal", "right_shift", "rint",
    "round", "searchsorted", "signbit", "spacing", "trunc",
]  # fmt: skip


def without_rules(
    ufunc: np.ufunc, kernel: str, doc: str, *, takes_complex: bool = False, **options: Any
) -> Ufunc:
    """Declare an elementwise function without derivatives; what answers yes or no takes any numbers."""
    takes_complex = takes_complex or f"{ufunc.nin * 'D'}->?" in ufunc.types
    primitive = Primitive(
        ufunc.__name__, ufunc, family="elementwise", kernel=kernel, ufunc=ufunc,
        takes_complex=takes_complex,
    )  # fmt: skip
    return implements(ufunc)(Ufunc(primitive, f"{doc} The result is an ndarray.", **options))  # type: ignore[return-value]


greater = without_rules(np.greater, "x > y", "Whether x1 > x2.")
greater_equal = without_rules(np.greater_equal, "x >= y", "Whether x1 >= x2.")
less = without_rules(np.less, "x < y", "Whether x1 < x2.")
less_equal = without_rules(np.less_equal, "x <= y", "Whether x1 <= x2.")
equal = without_rules(np.equal, "x == y", "Whether x1 == x2.")
not_equal = without_rules(np.not_equal, "x != y", "Whether x1 != x2.")
logical_and = without_rules(np.logical_and, "logical_and(x, y)", "Whether both operands are true.")
logical_or = without_rules(
    np.logical_or, "logical_or(x, y)", "Whether one of the operands is true."
)
logical_xor = without_rules(
    np.logical_xor, "logical_xor(x, y)", "Whether just one operand is true."
)
logical_not = without_rules(np.logical_not, "logical_not(x)", "Whether the operand is false.")
isnan = without_rules(np.isnan, "isnan(x)", "Whether the operand is nan.")
isfinite = without_rules(
    np.isfinite, "isfinite(x)", "Whether the operand is neither nan nor infinite."
)
isinf = without_rules(np.isinf, "isinf(x)", "Whether the operand is infinite.")
signbit = without_rules(np.signbit, "signbit(x)", "Whether the sign bit is set (it is for -0.0).")
floor = without_rules(np.floor, "floor(x)", "The greatest integer that is not greater.")
ceil = without_rules(np.ceil, "ceil(x)", "The least integer that is not less.")
trunc = without_rules(np.trunc, "trunc(x)", "The nearest integer towards zero.")
rint = without_rules(
    np.rint, "rint(x)", "The nearest integer; halves go to the even one.", takes_complex=True
)
floor_divide = without_rules(np.floor_divide, "floor_divide(x, y)", "The floor of the quotient.")
nextafter: Any = implements(np.nextafter)(  # which moves with x1
    Ufunc(
        Primitive(
            "nextafter",
            np.nextafter,
            (lambda g, z, x, y: g, None),
            jvp="elementwise",
            family="elementwise",
            kernel="nextafter(x, y)",
            ufunc=np.nextafter,
        ),
        "The next float after x1 towards x2; of tensors, a tensor.",
    )
)
spacing = without_rules(np.spacing, "spacing(x)", "The distance to the next float.")
bitwise_and = without_rules(np.bitwise_and, "x & y", "Bitwise and.")
bitwise_or = without_rules(np.bitwise_or, "x | y", "Bitwise or.")
bitwise_xor = without_rules(np.bitwise_xor, "x ^ y", "Bitwise exclusive or.")
invert = without_rules(np.invert, "invert(x)", "Bitwise complement.")
left_shift = without_rules(np.left_shift, "x << y", "Shift bits to the left.")
right_shift = without_rules(np.right_shift, "x >> y", "Shift bits to the right.")
gcd = without_rules(np.gcd, "gcd(x, y)", "Greatest common divisor.")
lcm = without_rules(np.lcm, "lcm(x, y)", "Least common multiple.")


@implements(np.isnat)
def isnat(x: ArrayLike, *args: Any, **kwargs: Any) -> Array:
    """Whether an element of a datetime array is not a time; TypeError for numbers, as in NumPy.

    Parameters
    ----------
    x : array_like of datetime64 or timedelta64
    *args, **kwargs
        As in NumPy.

    Returns
    -------
    ndarray of bool

    Examples
    --------
    >>> import numpy as np
    >>> import tapegrad as tg
    >>> bool(tg.isnat(np.datetime64("NaT")))
    True
    """
    return np.isnat(data_of(x, "isnat"), *args, **kwargs)


# Reductions and searches --------------------------------------------------------------------------


def _batch_axis(primitive_name: str) -> Any:
    """Batch an operation along one axis (or several): the axis moves up by one."""

    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
        axis, (x,) = params["axis"], args
        if axis is None:
            keep = {k: v for k, v in params.items() if k != "keepdims"}
            flat = np.reshape(x, (size, math.prod(x.shape[1:])))
            result = bind(_BY_NAME[primitive_name], flat, **{**keep, "axis": 1})
            if params.get("keepdims"):
                result = np.reshape(result, (size, *(1,) * (len(x.shape) - 1)))
            return result
        moved = tuple(a + 1 for a in axis) if type(axis) is tuple else axis + 1
        return bind(_BY_NAME[primitive_name], x, **{**params, "axis": moved})

    return batch


def _along(name: str, forward: Any) -> Any:
    """Declare an operation without derivatives that takes ``axis``."""
    primitive = Primitive(
        name, forward, batch=_batch_axis(name), source=numpy_source(name), takes_complex=True
    )
    _BY_NAME[name] = primitive
    return primitive


_BY_NAME: dict[str, Any] = {}

argmax_p = _along("argmax", np.argmax)
argmin_p = _along("argmin", np.argmin)
argsort_p = _along("argsort", np.argsort)
any_p = _along("any", np.any)
all_p = _along("all", np.all)
count_nonzero_p = _along("count_nonzero", np.count_nonzero)


def _truth(
    primitive: Any, name: str, a: Array, axis: AxisLike, out: Any, keepdims: Any, where: ArrayLike
) -> Any:
    a = operand(a)
    if where is not True:
        where = operand(where)
        a = np.logical_and(a, where) if name == "any" else np.logical_or(a, np.logical_not(where))
    axes = all_axes(axis, len(shape_of(a)))
    result = apply(primitive, (a,), {"axis": axes, "keepdims": bool(keepdims)})
    return _into(out, result, name)


def _into(out: Any, result: Array, name: str) -> Any:
    out = single_out(out, name)
    if out is None:
        return result
    target = out.data if isinstance(out, Tensor) else out
    np.copyto(target, data_of(result, "out"))
    return out


@implements(np.any)
def any(
    a: ArrayLike, axis: AxisLike = None, out: Any = None, keepdims: bool = False, *,
    where: ArrayLike = True,
) -> Array:  # fmt: skip
    """Whether any element is true, over axes; the result is an ndarray (or NumPy bool).

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    bool or ndarray of bool

    Examples
    --------
    >>> import tapegrad as tg
    >>> bool(tg.any(tg.tensor([0.0, 1.0])))
    True
    """
    return _truth(any_p, "any", a, axis, out, keepdims, where)


@implements(np.all)
def all(
    a: ArrayLike, axis: AxisLike = None, out: Any = None, keepdims: bool = False, *,
    where: ArrayLike = True,
) -> Array:  # fmt: skip
    """Whether all elements are true, over axes; the result is an ndarray (or NumPy bool).

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    bool or ndarray of bool

    Examples
    --------
    >>> import tapegrad as tg
    >>> bool(tg.all(tg.tensor([0.0, 1.0])))
    False
    """
    return _truth(all_p, "all", a, axis, out, keepdims, where)


functions["reduce", np.logical_or] = lambda a, axis, dtype, out, keepdims, initial, where: any(
    a, axis, out, keepdims, where=where
)
functions["reduce", np.logical_and] = lambda a, axis, dtype, out, keepdims, initial, where: all(
    a, axis, out, keepdims, where=where
)


@implements(np.count_nonzero)
def count_nonzero(a: ArrayLike, axis: AxisLike = None, *, keepdims: bool = False) -> Array:
    """Number of elements that are not zero, over axes.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    keepdims : bool
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    int or ndarray of int

    Examples
    --------
    >>> import tapegrad as tg
    >>> int(tg.count_nonzero(tg.tensor([0.0, 1.0, 2.0])))
    2
    """
    a = operand(a)
    axes = all_axes(axis, len(shape_of(a)))
    return apply(count_nonzero_p, (a,), {"axis": axes, "keepdims": bool(keepdims)})


def _arg(primitive: Any, a: Array, axis: AxisLike, out: Any, keepdims: Any) -> Any:
    a = operand(a)
    keep = keepdims is not np._NoValue and bool(keepdims)
    result = apply(primitive, (a,), {"axis": _one_or_all(axis, a), "keepdims": keep})
    return _into(out, result, primitive.name)


def _one_or_all(axis: AxisLike, a: Array) -> int | None:
    ndim = len(shape_of(a))
    if axis is None:
        return None
    if not ndim:
        one_axis(axis, 1)
        return None
    return one_axis(axis, ndim)


@implements(np.argmax)
def argmax(a: ArrayLike, axis: AxisLike = None, out: Any = None, *, keepdims: Any = False) -> Array:
    """Index of the first greatest element, along an axis or of the flattened array.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        Along which axis; by default the array is flattened.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    int or ndarray of int

    Examples
    --------
    >>> import tapegrad as tg
    >>> int(tg.argmax(tg.tensor([1.0, 3.0, 3.0])))
    1
    """
    return _arg(argmax_p, a, axis, out, keepdims)


@implements(np.argmin)
def argmin(a: ArrayLike, axis: AxisLike = None, out: Any = None, *, keepdims: Any = False) -> Array:
    """Index of the first least element, along an axis or of the flattened array.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        Along which axis; by default the array is flattened.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    int or ndarray of int

    Examples
    --------
    >>> import tapegrad as tg
    >>> int(tg.argmin(tg.tensor([1.0, 0.0, 0.0])))
    1
    """
    return _arg(argmin_p, a, axis, out, keepdims)


@implements(np.argsort)
def argsort(
    a: ArrayLike, axis: AxisLike = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
    descending: Any = None,
) -> Array:  # fmt: skip
    """Indices that would sort an array along an axis; nan come last, `descending` or not.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        None flattens the array.
    kind : str, optional
    order : None
        As in NumPy.
    stable : bool, optional
        Whether equal elements keep their order.
    descending : bool, optional
        Whether the greatest come first.

    Returns
    -------
    ndarray of int

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.argsort(tg.tensor([3.0, 1.0, 2.0]))
    array([1, 2, 0])
    """
    a = operand(a)
    if order is not None:
        raise TypeError("argsort: order= is for structured arrays")
    params: dict[str, Any] = {"axis": _one_or_all(axis, a)}
    if kind is not None:
        params["kind"] = kind
    if stable is not None:
        params["stable"] = stable
    if is_given(descending) and descending:  # ``~a`` turns the order of integers around
        a = np.negative(a) if as_tensor(a).dtype.kind == "f" else np.invert(a)
    return apply(argsort_p, (a,), params)


argpartition_p = _along("argpartition", np.argpartition)


@implements(np.argpartition)
def argpartition(
    a: ArrayLike, kth: Any, axis: AxisLike = -1, kind: str = "introselect", order: Any = None
) -> Array:
    """Indices that put the elements at places `kth` along an axis where sorting would.

    Parameters
    ----------
    a : array_like
    kth : int or sequence of int
        The places that are right.
    axis : int, optional
        None flattens the array.
    kind : str
    order : None
        As in NumPy.

    Returns
    -------
    ndarray of int

    Examples
    --------
    >>> import tapegrad as tg
    >>> int(tg.argpartition(tg.tensor([3.0, 1.0, 2.0]), 0)[0])
    1
    """
    a = operand(a)
    if order is not None:
        raise ValueError("Cannot specify order when the array has no fields.")
    kth = np.asarray(data_of(kth, "argpartition"))
    if kth.dtype.kind not in "iu":
        raise TypeError("Partition index must be integer")
    places = tuple(kth.ravel().tolist()) if kth.ndim else int(kth)
    return apply(argpartition_p, (a,), {"axis": _one_or_all(axis, a), "kth": places, "kind": kind})


def _batch_searchsorted(args: Any, batched: Any, size: int, params: dict[str, Any]) -> Any:
    a, v = args
    if not batched[0]:
        return bind(searchsorted_p, a, v, **params)
    each = [bind(searchsorted_p, a[k], v[k] if batched[1] else v, **params) for k in range(size)]
    return np.stack(each) if each else np.zeros((0, *np.shape(v)[batched[1] :]), np.intp)


searchsorted_p = Primitive(
    "searchsorted",
    np.searchsorted,
    batch=_batch_searchsorted,
    source=numpy_source("searchsorted"),
    takes_complex=True,
)


@implements(np.searchsorted)
def searchsorted(a: ArrayLike, v: ArrayLike, side: str = "left", sorter: Any = None) -> Array:
    """Indices at which elements would be inserted into a sorted array.

    Parameters
    ----------
    a : array_like, shape (n,)
        Sorted, if there is no `sorter`.
    v : array_like
    side : str
        Whether before (``"left"``) or after (``"right"``) equal elements.
    sorter : array_like of int, optional
        Indices that sort `a`.

    Returns
    -------
    int or ndarray of int

    Examples
    --------
    >>> import tapegrad as tg
    >>> int(tg.searchsorted(tg.tensor([1.0, 2.0, 3.0]), 2.5))
    2
    """
    a = operand(a)
    if sorter is not None:
        a = as_tensor(a)[sorter]
    return apply(searchsorted_p, (a, operand(v)), {"side": side})


def _infinite(name: str, negative: bool) -> Any:
    """Make ``isposinf`` or ``isneginf``."""

    def test(x: Array, out: Any = None) -> Any:
        x = operand(x)
        sign_bit = signbit(x)
        return _into(out, np.logical_and(isinf(x), sign_bit if negative else ~sign_bit), name)

    test.__name__ = test.__qualname__ = name
    test.__doc__ = f"""Whether an element is {"-" if negative else ""}inf; the result is an ndarray.

    Parameters
    ----------
    x : array_like
    out : ndarray, optional
        Where the result is written to.

    Returns
    -------
    bool or ndarray of bool

    Examples
    --------
    >>> import tapegrad as tg
    >>> bool(tg.{name}(tg.tensor({"-" if negative else ""}tg.inf)))
    True
    """
    return implements(getattr(np, name))(test)


isposinf = _infinite("isposinf", False)
isneginf = _infinite("isneginf", True)


@implements(np.fix)
def fix(x: ArrayLike, out: Any = None) -> Array:
    """Return the nearest integer towards zero, as an ndarray.

    Parameters
    ----------
    x : array_like
    out : Tensor or ndarray, optional
        Where the result is written to.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import tapegrad as tg
    >>> float(tg.fix(tg.tensor(-1.5)))
    -1.0
    """
    return _into(out, trunc(x), "fix")


isclose_p = Primitive("isclose", np.isclose, source=numpy_source("isclose"), takes_complex=True)


@implements(np.isclose)
def isclose(
    a: ArrayLike, b: ArrayLike, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """Whether elements are equal within a tolerance; the result is an ndarray.

    Parameters
    ----------
    a, b : array_like
    rtol, atol : float
        Equal is what differs by at most ``atol + rtol * abs(b)``.
    equal_nan : bool
        Whether nan equals nan.

    Returns
    -------
    bool or ndarray of bool

    Examples
    --------
    >>> import tapegrad as tg
    >>> bool(tg.isclose(tg.tensor(1.0), 1.0 + 1e-12))
    True
    """
    rtol, atol = float(data_of(rtol, "isclose")), float(data_of(atol, "isclose"))
    params = {"rtol": rtol, "atol": atol, "equal_nan": bool(equal_nan)}
    return apply(isclose_p, (operand(a), operand(b)), params)


round_p = Primitive("round", np.round, source=numpy_source("round"), takes_complex=True)


@implements(np.round, np.around)
def round(a: ArrayLike, decimals: int = 0, out: Any = None) -> Array:
    """Round to a number of decimals; no gradient flows.

    Parameters
    ----------
    a : array_like
    decimals : int
    out : Tensor or ndarray, optional
        Where the result is written to.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import tapegrad as tg
    >>> float(tg.round(tg.tensor(1.26), 1))
    1.3
    """
    return _into(out, apply(round_p, (operand(a),), {"decimals": int(decimals)}), "round")


def _batch_round(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    return bind(round_p, args[0], **params)


round_p.batch = _batch_round


def _batch_isclose(
    args: Sequence[Array], batched: Sequence[bool], size: int, params: Params
) -> Any:
    ndim = max(len(x.shape) - b if hasattr(x, "shape") else 0 for x, b in zip(args, batched))
    lifted = [
        np.reshape(x, (size, *(1,) * (ndim + 1 - len(x.shape)), *x.shape[1:])) if b else x
        for x, b in zip(args, batched)
    ]
    return bind(isclose_p, *lifted, **params)


isclose_p.batch = _batch_isclose
