"""``check_grads``: the derivatives of a user's function against central differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.pytree import flatten, paths, unflatten
from tapegrad.tape.python.running import run
from tapegrad.tape.transforms.derivatives import jvp, vjp
from tapegrad.tape.transforms.transformed import spelled
from tapegrad.tape.transforms.values import dtype_of

__all__ = ["check_grads"]

_MODES = {"fwd": "forward mode", "rev": "reverse mode"}
#: Relative and absolute, by the size of the least precise float in bytes.
_TOLERANCES = {2: 1e-1, 4: 1e-2, 8: 1e-6, 16: 1e-6}


class _Setting(NamedTuple):
    """How differences are taken, and what counts as equal."""

    modes: tuple[str, ...]
    atol: float
    rtol: float
    eps: float


class _Flat:
    """A function of arrays, as one from vectors to vectors.

    Parameters
    ----------
    function : callable
        Takes and returns lists of arrays.
    inputs, outputs : list of str
        What to call the arrays.
    xs : list of array
        Where its derivatives are compared.
    title : str
        What the function is, for reports.
    """

    def __init__(
        self,
        function: Callable[[list[Any]], list[Any]],
        inputs: list[str],
        outputs: list[str],
        xs: list[Any],
        title: str,
    ) -> None:
        self.function = function
        self.inputs = inputs
        self.outputs = outputs
        self.xs = xs
        self.ys = function(xs)
        self.title = title

    def slope(self, v: Any, eps: float) -> Any:
        """Return the derivative along `v`, by differences of the fourth order."""

        def at(step: float) -> Any:
            along = _cut(v, self.xs)
            moved = [(x + step * t).astype(x.dtype) for x, t in zip(self.xs, along)]
            return _joined(self.function(moved))

        return (8 * (at(eps) - at(-eps)) - (at(2 * eps) - at(-2 * eps))) / (12 * eps)

    def pushed(self, v: Any) -> Any:
        """Return the derivative along `v`, in forward mode."""
        return _joined(self.push(self.xs, v))

    def push(self, xs: list[Any], v: Any) -> list[Any]:
        """Return the derivatives of the results along `v`."""
        return list(jvp(self._of_arrays, tuple(xs), tuple(_cut(v, self.xs)))[1])

    def pulled(self, u: Any) -> Any:
        """Return the derivative of the results weighted by `u`, in reverse mode."""
        return _joined(self.pull(self.xs, u), dual=True)

    def pull(self, xs: list[Any], u: Any) -> list[Any]:
        """Return the derivatives of the results weighted by `u` by the arguments."""
        return list(vjp(self._of_arrays, *xs)[1](tuple(_cut(u, self.ys, dual=True))))

    def _of_arrays(self, *xs: Any) -> tuple[Any, ...]:
        return tuple(self.function(list(xs)))


def _is_complex(a: Any) -> bool:
    return dtype_of(a).kind == "c"


def _size(a: Any) -> int:
    """Return how many real numbers there are in an array."""
    return int(np.size(a)) * (1 + _is_complex(a))


def _joined(arrays: Sequence[Any], *, dual: bool = False) -> Any:
    """Return the elements of arrays as a vector of real numbers: complex ones as their parts.

    Of cotangents (`dual`) the imaginary parts change their sign: the vector times that of tangents is
    then the real part of the sum of their products.
    """

    def flat(a: Any) -> Any:
        a = np.ravel(np.asarray(a))
        if not _is_complex(a):
            return a.astype(np.float64)
        a = a.astype(np.complex128)
        return (np.conjugate(a) if dual else a).view(np.float64)

    return np.concatenate([flat(a) for a in arrays])


def _cut(vector: Any, like: Sequence[Any], *, dual: bool = False) -> list[Any]:
    """Return a vector as arrays of given shapes and dtypes."""
    found = []
    for part, a in zip(np.split(vector, np.cumsum([_size(a) for a in like])[:-1]), like):
        if _is_complex(a):
            part = np.array(part, np.float64).view(np.complex128)
            part = np.conjugate(part) if dual else part
        found.append(np.asarray(part, dtype_of(a)).reshape(np.shape(a)))
    return found


def check_grads(
    function: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check the derivatives of a function against central differences.

    Derivatives along a random direction of each argument are compared, the same at each call; of higher
    order, those of the derivatives in each mode. Where they differ, the element that is wrong is
    searched for.

    Parameters
    ----------
    function : callable
        Takes and returns arrays, numbers, or nests of them. What is no float stays as it is.
    args : tuple or list
        The positional arguments, at a point where the function is smooth.
    order : int
        Up to which order to check.
    modes : sequence of {"fwd", "rev"}
        Forward mode (``jvp``) and reverse mode (``vjp``).
    atol, rtol : float, optional
        Tolerances; 1e-6 in float64, 1e-2 in float32 by default.
    eps : float, optional
        The step; by default the fifth root of the precision, 7e-4 in float64.

    Raises
    ------
    AssertionError
        If derivatives differ: says in which mode and order, by which element of which argument, and
        what they are.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.check_grads(lambda x: np.sin(x) * x, (np.array([0.5, 1.0]),))
    >>> class Twice(tg.Operation):
    ...     def __call__(self, x):
    ...         self.variables = (x,)
    ...         return 2 * x.data
    ...     def backward_var(self, grad, index, **kwargs):
    ...         return 3 * grad
    >>> tg.check_grads(lambda x: tg.execute_op(Twice, x), (np.array([0.5, 1.0]),), order=1)
    Traceback (most recent call last):
    AssertionError: check_grads(<lambda>): ...
    """
    if not callable(function):
        raise TypeError(f"check_grads takes a function, not {type(function).__name__}")
    if type(args) not in (tuple, list):
        raise TypeError("check_grads: args must be a tuple or list of the arguments")
    if not modes or isinstance(modes, str) or any(mode not in _MODES for mode in modes):
        raise ValueError(f"check_grads: modes must be some of 'fwd' and 'rev', not {modes!r}")
    if order < 1:
        raise ValueError(f"check_grads: order must be at least 1, not {order}")
    flat = _flat(function, tuple(args))
    least = min(dtype_of(a).itemsize // (1 + _is_complex(a)) for a in (*flat.xs, *flat.ys))
    tolerance = _TOLERANCES[least]
    setting = _Setting(
        tuple(modes),
        tolerance if atol is None else atol,
        tolerance if rtol is None else rtol,
        float(np.finfo(f"f{min(least, 8)}").eps) ** 0.2 if eps is None else eps,
    )
    _check(flat, order, 1, setting, np.random.default_rng(0))


def _flat(function: Callable[..., Any], args: tuple[Any, ...]) -> _Flat:
    """Return the function of its float arguments; what else there is stays as it is."""
    leaves, structure = flatten(args)
    leaves = [
        np.array(a) if hasattr(a, "__array__") or type(a) in (float, complex) else a for a in leaves
    ]
    moving = [
        i for i, a in enumerate(leaves) if type(a) is np.ndarray and a.dtype.kind in CONTINUOUS
    ]
    if not moving:
        raise TypeError("check_grads: none of the arguments is a float")

    def results(xs: list[Any]) -> tuple[list[Any], list[str]]:
        full = [a.copy() if type(a) is np.ndarray else a for a in leaves]
        for i, x in zip(moving, xs):
            full[i] = x[()] if type(x) is np.ndarray and x.ndim == 0 else x
        found, made = flatten(run(function, *unflatten(structure, full)))
        pairs = zip(found, paths(made, "result"))
        floats = [(y, name) for y, name in pairs if dtype_of(y).kind in CONTINUOUS]
        return [y for y, _ in floats], [name for _, name in floats]

    names = paths(structure, "args")
    xs = [leaves[i] for i in moving]
    outputs = results(xs)[1]
    if not outputs:
        raise TypeError("check_grads: the function returns no floats, which have derivatives")
    inputs = [names[i] for i in moving]
    return _Flat(
        lambda xs: results(xs)[0], inputs, outputs, xs, f"check_grads({spelled(function)})"
    )


def _check(flat: _Flat, order: int, now: int, setting: _Setting, rng: np.random.Generator) -> None:
    """Check the first derivatives of a function, and then these as functions."""
    sizes = (sum(map(_size, arrays)) for arrays in (flat.xs, flat.ys))
    v, u = (_unit(rng.normal(size=size)) for size in sizes)
    for mode, part in itertools.product(setting.modes, _parts(v, flat.xs)):
        found = _Comparison(flat, mode, setting).report(part, u)
        if found:
            raise AssertionError(f"{flat.title}: order {now}, {_MODES[mode]}: {found}")
    if now == order:
        return
    for mode in setting.modes:
        derivative: Callable[[list[Any]], list[Any]]
        if mode == "fwd":
            derivative, names = (lambda xs: flat.push(xs, v)), flat.outputs
        else:
            derivative, names = (lambda xs: flat.pull(xs, u)), flat.inputs
        title = f"{flat.title}, its derivative in {_MODES[mode]}"
        outputs = [f"d {name}" if mode == "fwd" else f"d/d {name}" for name in names]
        further = _Flat(derivative, flat.inputs, outputs, flat.xs, title)
        _check(further, order, now + 1, setting, rng)


class _Comparison:
    """Compares the derivative of a function in one mode with differences."""

    def __init__(self, flat: _Flat, mode: str, setting: _Setting) -> None:
        self.flat = flat
        self.mode = mode
        self.setting = setting

    def values(self, v: Any, u: Any) -> tuple[Any, Any, Any]:
        """Return derivatives along `v`, ours and theirs, and what may be between.

        In reverse mode those of the sum of the results weighted by `u`, in forward mode those of each
        result where `u` is not 0.
        """
        theirs = self.flat.slope(v, self.setting.eps)
        if self.mode == "fwd":
            ours, theirs = self.flat.pushed(v)[u != 0], theirs[u != 0]
            scale = np.abs(theirs)
        else:
            ours, theirs, scale = self.flat.pulled(u) @ v, theirs @ u, np.abs(theirs) @ np.abs(u)
        return ours, theirs, self.setting.atol + self.setting.rtol * scale

    def differs(self, v: Any, u: Any) -> bool:
        """Whether these differ."""
        ours, theirs, allowed = self.values(v, u)
        same = (np.abs(ours - theirs) <= allowed) | (np.isnan(ours) & np.isnan(theirs))
        return not np.all(same)

    def report(self, v: Any, u: Any) -> str:
        """Return where the derivatives differ, or nothing."""
        if not self.differs(v, u):
            return ""
        flat, setting = self.flat, self.setting
        v, by = _narrowed(v, lambda part: self.differs(part, u))
        u, of = _narrowed(u, lambda part: self.differs(v, part))
        ours, theirs, _ = self.values(v, u)
        result = _named(of, flat.outputs, flat.ys)
        argument = _named(by, flat.inputs, flat.xs)
        return (
            f"the derivative of {result} by {argument} is {np.sum(ours):.10g}, and by differences "
            f"{np.sum(theirs):.10g} (step {setting.eps:.1g}, tolerances {setting.atol:g} and "
            f"{setting.rtol:g})"
        )


def _parts(vector: Any, like: Sequence[Any]) -> Iterator[Any]:
    """Yield for each array the vector that is 0 outside of it."""
    ends = np.cumsum([0, *map(_size, like)])
    places = np.arange(len(vector))
    for start, stop in itertools.pairwise(ends):
        if stop > start:
            yield _unit(np.where((start <= places) & (places < stop), vector, 0.0))


def _unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector) if vector.size else vector


def _narrowed(vector: Any, differs: Callable[[Any], bool]) -> tuple[Any, int | None]:
    """Halve a vector again and again, as long as something differs along a half of it.

    Returns
    -------
    vector : array
        What is left of it; the unit vector, if that is one element.
    place : int or None
        Which element that is.
    """
    places = np.arange(len(vector))
    while len(places) > 1:
        for half in np.array_split(places, 2):
            part = np.zeros_like(vector)
            part[half] = _unit(vector[half])
            if differs(part):
                vector, places = part, half
                break
        else:
            return vector, None
    part = np.zeros_like(vector)
    part[places] = 1.0
    return part, int(places[0])


def _named(place: int | None, names: list[str], arrays: Sequence[Any]) -> str:
    """Return what to call an element of a vector, or a part of it that is more."""
    if place is None:
        return f"a sum over {', '.join(names)}"
    for name, array in zip(names, arrays):
        if place < _size(array):
            part = ""
            if _is_complex(array):
                place, is_imaginary = divmod(place, 2)
                part = ".imag" if is_imaginary else ".real"
            index = np.unravel_index(place, np.shape(array))
            return (f"{name}[{', '.join(map(str, index))}]" if index else name) + part
        place -= _size(array)
    raise IndexError(place)
