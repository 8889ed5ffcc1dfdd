"""The functions of ``numpy.fft``: Fourier transforms, and what moves their elements.

Transforms are linear, and the matrix of ``fft`` is symmetric: it is its own transpose. Those of real
numbers know half of their result from the other half, so that the transpose of ``rfft`` is ``irfft``
with what stands for two elements counted half, and the other way round. Transforms over several axes
are made of these, in NumPy's order.

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.grad(lambda x: np.sum(np.abs(np.fft.rfft(x)) ** 2))(np.array([1.0, 2.0, 4.0]))
array([10., 13., 19.])
>>> np.fft.fftshift(tg.tensor([0.0, 1.0, 2.0, -2.0, -1.0]))
Tensor([-2., -1.,  0.,  1.,  2.])
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis
from tapegrad.ops.declare.ufunc import as_tensor, check_operand, delivered, numpy_source
from tapegrad.ops.shape.rearranging import roll
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.numbers import plain_array
from tapegrad.tape.array.replacements import replaces, takes_plain
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dependence import along_axis, dense
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, Params

__all__: list[str] = []

#: Which direction is divided by the number of elements, and how that is called in the other direction.
_SWAPPED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


# Primitives --------------------------------------------------------------------------------------


def _transform(function: Any, rule: Any, dependence: Any = dense) -> Primitive:
    """Declare a transform along one axis, of all its elements."""

    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
        return bind(primitive, args[0], **{**params, "axis": params["axis"] + 1})

    name = function.__name__
    primitive = Primitive(
        name,
        function,
        (rule,),
        jvp="linear",
        batch=batch,
        dependence=dependence,
        source=numpy_source(f"fft.{name}"),
        takes_complex=True,
    )
    return primitive


def _paired(like: Array, n: int, axis: int, weight: float) -> Any:
    """Return weights of the `n` // 2 + 1 known elements: `weight` for those that stand for two, or 1."""
    weights = np.full(n // 2 + 1, weight, np.empty(0, like.dtype).real.dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights.reshape(-1, *(1,) * (len(like.shape) - axis - 1))


def _rfft_rule(g: Array, y: Array, x: Array, axis: int, norm: str) -> Any:
    n = x.shape[axis]
    half = np.conjugate(g) * _paired(g, n, axis, 0.5)
    return bind(irfft_p, half, n=n, axis=axis, norm=_SWAPPED[norm])


def _irfft_rule(g: Array, y: Array, z: Array, n: int, axis: int, norm: str) -> Any:
    half = np.conjugate(bind(rfft_p, g, axis=axis, norm=_SWAPPED[norm]))
    return half * _paired(half, n, axis, 2.0)


fft_p: Primitive = _transform(
    np.fft.fft,
    lambda g, y, x, axis, norm: bind(fft_p, g, axis=axis, norm=norm),
    along_axis,
)
ifft_p: Primitive = _transform(
    np.fft.ifft,
    lambda g, y, x, axis, norm: bind(ifft_p, g, axis=axis, norm=norm),
    along_axis,
)
rfft_p: Primitive = _transform(np.fft.rfft, _rfft_rule)
irfft_p: Primitive = _transform(np.fft.irfft, _irfft_rule)


# Along one axis ----------------------------------------------------------------------------------


def _norm(norm: Any) -> str:
    norm = "backward" if norm is None else norm
    if norm not in _SWAPPED:
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    return norm  # type: ignore[no-any-return]


def _points(n: Any) -> int:
    n = index(n)
    if n < 1:
        raise ValueError(f"Invalid number of FFT data points ({n}) specified.")
    return n


def _resized(x: Array, n: int, axis: int) -> Any:
    """Cut an axis to `n` elements, or fill it up with zeros."""
    size = x.shape[axis]
    if size == n:
        return x
    if size > n:
        return x[(slice(None),) * axis + (slice(n),)]
    zeros = np.zeros((*x.shape[:axis], n - size, *x.shape[axis + 1 :]), x.dtype)
    return functions[np.concatenate]((x, zeros), axis)


def _complex_to_complex(primitive: Primitive, a: Array, n: Any, axis: Any, norm: Any) -> Any:
    axis = one_axis(axis, a.ndim)
    n = _points(a.shape[axis] if n is None else n)
    return apply(primitive, (_resized(a, n, axis),), {"axis": axis, "norm": _norm(norm)})


def _fft(a: Array, n: Any, axis: Any, norm: Any) -> Any:
    return _complex_to_complex(fft_p, a, n, axis, norm)


def _ifft(a: Array, n: Any, axis: Any, norm: Any) -> Any:
    return _complex_to_complex(ifft_p, a, n, axis, norm)


def _rfft(a: Array, n: Any, axis: Any, norm: Any) -> Any:
    if a.dtype.kind == "c":
        raise TypeError(
            f"a real transform takes real numbers, not dtype {a.dtype}; use np.fft.fft, or a.real"
        )
    return _complex_to_complex(rfft_p, a, n, axis, norm)


def _irfft(a: Array, n: Any, axis: Any, norm: Any) -> Any:
    axis = one_axis(axis, a.ndim)
    n = _points((a.shape[axis] - 1) * 2 if n is None else n)
    params = {"n": n, "axis": axis, "norm": _norm(norm)}
    return apply(irfft_p, (_resized(a, n // 2 + 1, axis),), params)


def _hfft(a: Array, n: Any, axis: Any, norm: Any) -> Any:
    return _irfft(np.conjugate(a), n, axis, _SWAPPED[_norm(norm)])


def _ihfft(a: Array, n: Any, axis: Any, norm: Any) -> Any:
    return np.conjugate(_rfft(a, n, axis, _SWAPPED[_norm(norm)]))


def _along(numpys: Any, transform: Callable[..., Any]) -> None:
    """Register a transform along one axis."""

    def function(
        a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
    ) -> Array:
        a = as_tensor(a)
        check_operand(a, name)
        return delivered(transform(a, n, axis, norm), out, name)

    name = function.__name__ = function.__qualname__ = numpys.__name__
    implements(numpys)(function)


_along(np.fft.fft, _fft)
_along(np.fft.ifft, _ifft)
_along(np.fft.rfft, _rfft)
_along(np.fft.irfft, _irfft)
_along(np.fft.hfft, _hfft)
_along(np.fft.ihfft, _ihfft)


# Over several axes -------------------------------------------------------------------------------


def _sizes(a: Array, s: Any, axes: Any, *, halved: bool) -> tuple[list[int], list[int]]:
    """Return the sizes of the transformed axes, and these.

    `halved` says that of the last one half the elements and one more are given.
    """
    if s is None:
        chosen = list(range(a.ndim) if axes is None else axes)
        sizes: list[Any] = [a.shape[axis] for axis in chosen]
        if halved and sizes:
            sizes[-1] = (sizes[-1] - 1) * 2
        return sizes, chosen
    sizes = list(s)
    if axes is None:
        warnings.warn(
            "`axes` should not be `None` if `s` is not `None`", DeprecationWarning, stacklevel=4
        )
        axes = range(-len(sizes), 0)
    chosen = list(axes)
    if len(sizes) != len(chosen):
        raise ValueError("Shape and axes have different lengths.")
    return [a.shape[axis] if n in (-1, None) else n for n, axis in zip(sizes, chosen)], chosen


def _fftn(a: Array, sizes: list[int], axes: list[int], norm: Any) -> Any:
    for n, axis in zip(reversed(sizes), reversed(axes)):
        a = _fft(a, n, axis, norm)
    return a


def _ifftn(a: Array, sizes: list[int], axes: list[int], norm: Any) -> Any:
    for n, axis in zip(reversed(sizes), reversed(axes)):
        a = _ifft(a, n, axis, norm)
    return a


def _rfftn(a: Array, sizes: list[int], axes: list[int], norm: Any) -> Any:
    return _fftn(_rfft(a, sizes[-1], axes[-1], norm), sizes[:-1], axes[:-1], norm)


def _irfftn(a: Array, sizes: list[int], axes: list[int], norm: Any) -> Any:
    for n, axis in zip(sizes[:-1], axes[:-1]):
        a = _ifft(a, n, axis, norm)
    return _irfft(a, sizes[-1], axes[-1], norm)


def _over(numpys: Any, transform: Callable[..., Any], usual: Any, *, halved: bool = False) -> None:
    """Register a transform over several axes, by default over `usual`."""

    def function(
        a: ArrayLike, s: Any = None, axes: AxisLike = usual, norm: str | None = None,
        out: Any = None,
    ) -> Array:  # fmt: skip
        a = as_tensor(a)
        check_operand(a, name)
        sizes, chosen = _sizes(a, s, axes, halved=halved)
        return delivered(transform(a, sizes, chosen, norm), out, name)

    name = function.__name__ = function.__qualname__ = numpys.__name__
    implements(numpys)(function)


for _suffix, _usual in (("n", None), ("2", (-2, -1))):
    _over(getattr(np.fft, f"fft{_suffix}"), _fftn, _usual)
    _over(getattr(np.fft, f"ifft{_suffix}"), _ifftn, _usual)
    _over(getattr(np.fft, f"rfft{_suffix}"), _rfftn, _usual)
    _over(getattr(np.fft, f"irfft{_suffix}"), _irfftn, _usual, halved=True)


# Shifts ------------------------------------------------------------------------------------------


def _half_rolled(x: Array, axes: AxisLike, sign: int) -> Any:
    x = as_tensor(x)
    if axes is None:
        axes = tuple(range(x.ndim))
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    return roll(x, tuple(sign * (x.shape[i] // 2) for i in axes), tuple(axes))


@implements(np.fft.fftshift)
def _fftshift(x: ArrayLike, axes: AxisLike = None) -> Array:
    return _half_rolled(x, axes, 1)


@implements(np.fft.ifftshift)
def _ifftshift(x: ArrayLike, axes: AxisLike = None) -> Array:
    return _half_rolled(x, axes, -1)


# Constants ---------------------------------------------------------------------------------------


def _frequencies(numpys: Any) -> None:
    """Register the frequencies of a transform, which follow the spacing of the samples."""

    def function(n: int, d: ArrayLike = 1.0, device: Any = None) -> Any:
        n = index(n)
        if not isinstance(d, Tensor):
            return numpys(n, d)
        return np.rint(numpys(n, 1.0 / n)) * (1.0 / (n * d))

    replaces(numpys)(function)


_frequencies(np.fft.fftfreq)
_frequencies(np.fft.rfftfreq)
takes_plain(
    lambda a: plain_array(a, "a window"),
    np.bartlett,
    np.blackman,
    np.hamming,
    np.hanning,
    np.kaiser,
)
