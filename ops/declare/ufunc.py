"""The public face of elementwise operations: objects that look like NumPy's ufuncs.

A :class:`Ufunc` applies one primitive. It honours ``out``, ``where`` and ``dtype`` by composition:
``dtype`` casts the operands, ``where`` selects between the result and what was in ``out``, and
``out`` is an in-place write. So none of them needs rules, kernels or batching of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.ops.declare import folding
from tapegrad.ops.declare.docstrings import document
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.floats import Float, weakened
from tapegrad.tape.array.foreign import is_foreign, with_plain_arrays
from tapegrad.tape.array.mutation import write_into
from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.paths import own_memory
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.checks import is_fraction, refuse_mask
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC, REAL
from tapegrad.tape.core.primitive import Primitive, direct, functions, primitives
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike, Params

if TYPE_CHECKING:
    import inspect

__all__ = [
    "Ufunc", "as_tensor", "check_operand", "common_dtype", "data_of", "delivered", "flagged",
    "numpy_source", "operand", "owned", "refuse_mask", "single_out", "undifferentiated",
]  # fmt: skip

Rewrite = Callable[[tuple[Any, ...]], tuple[Primitive, tuple[Any, ...]]]

_NO_PARAMS: dict[str, Any] = {}
_REAL_CODES = frozenset("?bBhHiIlLqQefdg")
# Functions whose only operand the documentation calls x1; every one takes both names.
_FIRST_IS_X1 = frozenset({"exp", "expm1", "exp2", "log", "log10", "log2", "log1p"})
# Operands whose type alone says that they are real.
_ARRAYS = frozenset({np.ndarray, complex})
_KINDS = {complex: "c", str: "U", bytes: "S"}
_PYTHONS = frozenset({float, int, bool, complex})
_CLEAR = frozenset({Tensor, float, int, bool, np.float64, np.float32, np.int64, np.bool_})


def operand(a: ArrayLike) -> Array:
    """Return `a` as a tensor, array or Python scalar; a sequence that holds tensors is stacked."""
    if type(a) in _CLEAR or type(a) in _ARRAYS or isinstance(a, Tensor):
        return a
    if isinstance(a, list | tuple) and any(_holds_tensor(b) for b in a):
        return functions[np.stack]([operand(b) for b in a])
    refuse_mask(a)
    if is_fraction(a):
        return float(a)  # a fraction, of which NumPy would make an array of objects
    return np.asarray(a)


def _holds_tensor(a: Array) -> bool:
    return isinstance(a, Tensor) or (
        isinstance(a, list | tuple) and any(_holds_tensor(b) for b in a)
    )


def as_tensor(a: ArrayLike) -> Tensor:
    """Return `a` as a tensor; anything but a tensor counts as a constant."""
    if isinstance(a, Tensor):
        return a
    a = operand(a)
    return a if isinstance(a, Tensor) else Tensor(a, constant=True, copy=False)


def common_dtype(*operands: ArrayLike) -> np.dtype[Any]:
    """Return the dtype that NumPy promotes operands to; Python's numbers do not widen."""
    kinds = (a if type(a) in _PYTHONS else as_tensor(a).dtype for a in operands)
    return np.result_type(*kinds)


def data_of(a: ArrayLike, kind: str) -> Array:
    """Return the values in `a` for NumPy code that must see them; traces set a guard."""
    if isinstance(a, Tensor):
        return a.consume(kind)
    if isinstance(a, list | tuple) and any(_holds_tensor(b) for b in a):
        return [data_of(b, kind) for b in a]
    return a


def undifferentiated(a: ArrayLike, name: str, what: str) -> Array:
    """Return the values of an argument through which no gradient flows; refuse to lose one."""
    below = a
    while isinstance(below, Tensor):
        if below.live_trace.appearance.is_lost(below):
            raise TypeError(f"{name} does not differentiate by {what}; pass tg.stop_gradient(...)")
        below = below.value
    return data_of(a, name)


def single_out(out: Any, name: str) -> Array:
    """Unpack the tuple in which NumPy passes ``out``."""
    if isinstance(out, tuple):
        if len(out) != 1:
            raise ValueError(f"{name} has one result: out= takes one array, not {len(out)}")
        return out[0]
    return out


def flagged(result: ArrayLike, constant: bool | None) -> Array:
    """Apply the flag ``constant=`` to the result of a composition."""
    if constant is None:
        return result
    return apply(primitives["copy"], (result,), _NO_PARAMS, constant)


def owned(result: ArrayLike, *inputs: Any) -> Array:
    """Make the result of a composition own its data, as NumPy's does.

    The last step was a view: of a tensor that nobody else will ever see, whose memory the result
    takes over, or of an input, from which it is copied.
    """
    if not isinstance(result, Tensor) or result.base is None:
        return result
    for x in inputs:
        if isinstance(x, Tensor) and (result.base is x or result.base is x.base):
            return apply(primitives["copy"], (result,))
    own_memory(result)
    return result


def delivered(result: ArrayLike, out: Any, name: str, casting: str = "same_kind") -> Array:
    """Write a result into ``out`` if there is one."""
    out = single_out(out, name)
    if out is None:
        return result
    if not isinstance(out, Tensor) and not isinstance(out, np.ndarray):
        raise TypeError("return arrays must be of ArrayType")
    return write_into(out, result, casting=casting)


def numpy_source(name: str) -> Callable[..., str]:
    """Print an application as a call of NumPy's function `name`."""

    def source(args: Any, params: Params) -> str:
        words = []
        for key, value in params.items():
            if key == "keepdims" and not value:
                continue
            if key == "axis" and type(value) is tuple and len(value) == 1:
                value = value[0]
            words.append(f"{key}={value.name if key == 'dtype' else value!r}")
        return f"np.{name}({', '.join([*args, *words])})"

    return source


def check_operand(a: ArrayLike, name: str, kinds: str = NUMERIC) -> None:
    """Refuse strings, objects and masked arrays, and what is not of the kinds that a function takes."""
    refuse_mask(a)
    is_array = isinstance(a, np.ndarray | np.generic | Tensor)
    kind = a.dtype.kind if is_array else _KINDS.get(type(a))
    if kind is not None and kind not in kinds:
        what = f"an array of dtype {a.dtype}" if is_array else type(a).__name__
        numbers = "numbers" if kinds == NUMERIC else "real numbers"
        raise TypeError(f"{name}: {what} is not supported; it takes {numbers}")


def _laid_out(result: Array, order: str) -> Any:
    """Give a result the layout that ``order=`` asks for."""
    if order not in ("C", "F", "A", "K"):
        raise ValueError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")
    if isinstance(result, Tensor):
        return result if order == "K" else functions[np.copy](result, order)
    return np.array(result, order=order)  # type: ignore[call-overload]


class Ufunc:
    """An elementwise function of tensors, with the attributes of NumPy's ufunc.

    Parameters
    ----------
    primitive : Primitive
        What is applied; its `ufunc` slot names NumPy's counterpart.
    doc : str
        What the function computes, and its gradient at hard places.
    strict : Primitive, optional
        What ``nan_to_num=False`` applies instead.
    rewrite : callable, optional
        Maps operands to a cheaper primitive and its operands.
    arrays : bool
        Whether the result for constants is an ndarray, as documented for ``mod`` and its kind.
    safe : float
        A value inside the domain, which replaces operands that ``where`` switches off, so that
        neither warnings nor ``0 * inf`` come from places that do not count.
    name : str, optional
        The documented name, if it is not NumPy's.
    """

    __slots__ = ("__dict__", "arrays", "kinds", "primitive", "rewrite", "safe", "strict", "ufunc")

    def __init__(
        self,
        primitive: Primitive,
        doc: str,
        *,
        strict: Primitive | None = None,
        rewrite: Rewrite | None = None,
        arrays: bool = False,
        safe: float = 0.5,
        name: str = "",
    ) -> None:
        ufunc = primitive.ufunc
        assert ufunc is not None
        self.primitive = primitive
        self.ufunc = ufunc
        self.strict = strict
        self.rewrite = rewrite
        self.arrays = arrays
        self.safe = safe
        #: Kinds of the dtypes of operands: NumPy's functions refuse complex numbers themselves.
        numpys = isinstance(primitive.forward, np.ufunc)
        self.kinds = NUMERIC if primitive.takes_complex or numpys else REAL
        if rewrite is None and primitive.differentiable and self.nin == 1:
            direct[ufunc] = primitive
        self.__name__ = self.__qualname__ = name or ufunc.__name__
        self.__module__ = "tapegrad"
        first = "x1" if self.__name__ in _FIRST_IS_X1 else "x"
        self.__doc__ = document(ufunc, doc, safe, first, strict=strict is not None)

    # NumPy's attributes --------------------------------------------------------------------------

    @property
    def nin(self) -> int:
        """Number of operands."""
        return self.ufunc.nin

    @property
    def nout(self) -> int:
        """Number of results."""
        return self.ufunc.nout

    @property
    def nargs(self) -> int:
        """Number of operands and results."""
        return self.ufunc.nargs

    @property
    def identity(self) -> Any:
        """The neutral element, or None."""
        return self.ufunc.identity

    @property
    def signature(self) -> str | None:
        """Core dimensions of a generalised ufunc; None for elementwise ones."""
        return self.ufunc.signature

    @property
    def types(self) -> list[str]:
        """Signatures of the loops for real numbers, as documented."""
        return [t for t in self.ufunc.types if _REAL_CODES.issuperset(t.replace("->", ""))]

    @property
    def ntypes(self) -> int:
        """Number of loops."""
        return len(self.types)

    @property
    def __signature__(self) -> inspect.Signature:
        import inspect  # needed when somebody asks, not to import the package

        first = "x1" if self.__name__ in _FIRST_IS_X1 else "x"
        names = (first,) if self.nin == 1 else tuple(f"x{i + 1}" for i in range(self.nin))
        either, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter(n, either) for n in names]
        parameters.append(inspect.Parameter("out", either, default=None))
        if self.signature is None:
            parameters.append(inspect.Parameter("where", keyword, default=True))
        for name in ("dtype", "constant"):
            parameters.append(inspect.Parameter(name, keyword, default=None))
        if self.strict is not None:
            parameters.append(inspect.Parameter("nan_to_num", keyword, default=True))
        return inspect.Signature(parameters)

    def resolve_dtypes(self, dtypes: Any, **options: Any) -> Any:
        """Return the dtypes that the loop for operands of these dtypes has."""
        return self.ufunc.resolve_dtypes(dtypes, **options)

    def __repr__(self) -> str:
        return f"<tapegrad ufunc {self.__name__!r}>"

    # Application ---------------------------------------------------------------------------------

    def __call__(
        self,
        *args: Any,
        out: Any = None,
        where: ArrayLike = True,
        dtype: DTypeLike = None,
        constant: bool | None = None,
        **named: Any,
    ) -> Any:
        strict, casting = False, "same_kind"
        if named or len(args) != self.ufunc.nin:
            casting = named.pop("casting", casting)
            named.pop("subok", None)  # tensors have no subclasses
            order = named.pop("order", None)
            if order is not None and out is None:
                again = {"out": out, "where": where, "dtype": dtype, "constant": constant, **named}
                return _laid_out(self(*args, casting=casting, **again), order)
            args, out, strict = self._bind_names(args, out, named)
        primitive = self.primitive
        if strict:
            primitive = self.strict  # type: ignore[assignment]  # _bind_names has checked it
        weak = False
        for a in args:
            if type(a) not in _CLEAR:
                weak = weak or type(a) is Float
                if primitive.differentiable:
                    check_operand(a, self.__name__, self.kinds)
                kind = type(a)
                if kind is np.ndarray:
                    continue
                if is_foreign(a):
                    args = with_plain_arrays(args)
                elif kind is list or kind is tuple or is_fraction(a):
                    args = tuple(operand(b) for b in args)
        if weak:
            args = weakened(self.ufunc.resolve_dtypes, args, self.nout)
        if out is None and where is True and dtype is None and casting == "same_kind":
            if self.rewrite is not None:
                primitive, args = self.rewrite(args)
            result = apply(primitive, args, _NO_PARAMS, constant)
            return array_if_constant(result) if self.arrays else result
        return self._apply(primitive, args, out, where, dtype, constant, casting)

    def _bind_names(
        self, args: tuple[Any, ...], out: Any, named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], Any, bool]:
        """Sort out operands passed by name, a positional ``out``, and ``nan_to_num``."""
        strict = False
        if self.strict is not None and "nan_to_num" in named:
            strict = not named.pop("nan_to_num")
        names = ("x",) if self.nin == 1 else tuple(f"x{i + 1}" for i in range(self.nin))
        if self.nin == 1 and "x1" in named:
            named["x"] = named.pop("x1")
        while len(args) < self.nin and names[len(args)] in named:
            args = (*args, named.pop(names[len(args)]))
        if len(args) == self.nin + 1 and out is None:
            *first, out = args
            args = tuple(first)
        if len(args) != self.nin:
            raise TypeError(
                f"{self.__name__}() takes from {self.nin} to {self.nargs} positional arguments "
                f"but {len(args)} were given"
            )
        if named:
            raise TypeError(
                f"{self.__name__}() got an unexpected keyword argument {next(iter(named))!r}"
            )
        return args, out, strict

    def _apply(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        out: Any,
        where: ArrayLike,
        dtype: DTypeLike,
        constant: bool | None,
        casting: Any,
    ) -> Any:
        """Apply with ``out``, ``where``, ``dtype`` or ``casting``."""
        out = single_out(out, self.__name__)
        masked = where is not True
        if masked and self.signature is not None:
            raise TypeError(f"{self.__name__}() got an unexpected keyword argument 'where'")
        if type(out) is np.ndarray:
            # a += tensor: the entry gets the operand's old values, for `a` is about to be written.
            args = tuple(
                a.copy() if type(a) is np.ndarray and np.may_share_memory(a, out) else a
                for a in args
            )
        if dtype is not None or masked or casting != "same_kind":
            args = self._cast(args, dtype, casting)
        if masked:
            where = operand(where)
            if type(where) is not bool and where.dtype != bool:
                raise TypeError(f"where= takes a boolean mask, not an array of {where.dtype}")
            args = tuple(functions[np.where](where, a, self._neutral(a)) for a in args)
        if self.rewrite is not None:
            primitive, args = self.rewrite(args)
        result = apply(primitive, args, _NO_PARAMS, None if masked else constant)
        if masked:
            old: Any = np.zeros((), result.dtype) if out is None else out
            if isinstance(out, np.ndarray):
                old = out.copy()  # the entry keeps (and locks) what is written over
            if primitive.differentiable:
                result = functions[np.where](where, result, old, constant=constant)
            else:
                result = np.where(where, result, old)  # type: ignore[arg-type]
        if out is None:
            return result
        if not primitive.differentiable and not isinstance(result, Tensor):
            return _into_data(out, result, self.ufunc)
        if not isinstance(out, Tensor) and not isinstance(out, np.ndarray):
            raise TypeError("return arrays must be of ArrayType")
        return write_into(out, result, casting=casting, ufunc=self.ufunc)

    def _cast(self, args: tuple[Any, ...], dtype: DTypeLike, casting: Any) -> tuple[Any, ...]:
        """Cast the operands to the loop that `dtype` selects; NumPy raises if there is none."""
        if dtype is not None:
            dtype = np.dtype(dtype)
            if dtype.kind not in self.kinds:
                raise TypeError(f"{self.__name__}: dtype {dtype} is not a dtype of its numbers")
        args = tuple(operand(a) for a in args)
        kinds = tuple(type(a) if type(a) in _PYTHONS else a.dtype for a in args)
        kinds = tuple(np.dtype(bool) if k is bool else k for k in kinds)
        loop = self.ufunc.resolve_dtypes(
            (*kinds, None), signature=(*(None,) * self.nin, dtype), casting=casting
        )
        return tuple(
            functions["cast"](a, d) if isinstance(a, Tensor) else np.asarray(a, dtype=d)
            for a, d in zip(args, loop)
        )

    def _neutral(self, a: Array) -> Any:
        return self.safe if a.dtype.kind in CONTINUOUS else np.ones((), a.dtype)

    # Methods -------------------------------------------------------------------------------------

    def outer(self, A: Any, B: Any, **kwargs: Any) -> Any:
        """Apply the function to every pair of an element of `A` and one of `B`."""
        if self.nin != 2 or self.signature is not None:
            raise ValueError("outer product only supported for binary functions")
        a, b = as_tensor(A), as_tensor(B)
        if stands_for(b) is float:  # as an array, it is not weak
            b = functions[np.copy](b)
        return self(np.reshape(a, (*a.shape, *(1,) * b.ndim)), b, **kwargs)

    def reduce(
        self, array: Array, axis: AxisLike = 0, dtype: DTypeLike = None, out: Any = None,
        keepdims: bool = False, initial: Array = None, where: ArrayLike = True,
    ) -> Any:  # fmt: skip
        """Reduce axes (by default the first) by applying the function along them."""
        function = functions.get(("reduce", self.ufunc))
        if function is None:
            a = self._folded(array, dtype)
            result = folding.reduce(self, a, axis, keepdims, initial, where)
            return self._into(single_out(out, "reduce"), result)
        return function(array, axis, dtype, single_out(out, "reduce"), keepdims, initial, where)

    def accumulate(
        self, array: Array, axis: int = 0, dtype: DTypeLike = None, out: Any = None
    ) -> Any:
        """Apply the function along an axis and keep every intermediate result."""
        function = functions.get(("accumulate", self.ufunc))
        if function is None:
            result = folding.accumulate(self, self._folded(array, dtype), axis)
            return self._into(single_out(out, "accumulate"), result)
        return function(array, axis, dtype, single_out(out, "accumulate"))

    def at(self, a: Array, indices: ArrayLike, b: Array = None, /) -> None:
        """Apply the function in place at `indices`, once for each time that an index occurs."""
        folding.at(self, a, indices, b)

    def reduceat(
        self, array: Array, indices: ArrayLike, axis: AxisLike = 0, dtype: DTypeLike = None,
        out: Any = None,
    ) -> Any:  # fmt: skip
        """Reduce the pieces of an axis that begin at `indices`."""
        result = folding.reduceat(self, self._folded(array, dtype), indices, axis)
        return self._into(single_out(out, "reduceat"), result)

    def _folded(self, array: Array, dtype: DTypeLike) -> Tensor:
        a = as_tensor(array)
        if dtype is None and self.nin == 2 and self.signature is None:
            dtype = self.ufunc.resolve_dtypes((None, a.dtype, None), reduction=True)[1]
        return a if dtype is None else functions["cast"](a, np.dtype(dtype))  # type: ignore[no-any-return]

    def _into(self, out: Any, result: Array) -> Any:
        return result if out is None else write_into(out, result, ufunc=self.ufunc)


def _into_data(out: Any, result: Array, ufunc: np.ufunc) -> Any:
    """Write a plain result into the data of ``out``, as documented for functions without rules."""
    if isinstance(out, Tensor):
        write_into(out, np.asarray(result), casting="same_kind", ufunc=ufunc)
        return out.data
    np.copyto(out, result, casting="same_kind")
    return out


def array_if_constant(result: Array) -> Any:
    """Return the array in an imperative constant."""
    if isinstance(result, Tensor) and not result.live_trace.level and result.constant:
        return result.value
    return result
