"""The laws that every primitive obeys, as functions that raise AssertionError.

Each takes an :class:`Application`, a primitive with arguments. Derivatives are compared with
fourth-order central differences in float64; where the differences themselves do not agree at two
step sizes the point lies at a kink, and :class:`Kink` asks for another one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import complex_numbers
import layers
import matrices
import numpy as np
import sparse_matrices
import specials
from differences import difference, directions, dot, like
from windows import REFERENCES, SUMMED

import tapegrad as tg
from tapegrad.compile.backends.llvm.vecmath import ULPS
from tapegrad.tape.array.application import bind
from tapegrad.tape.array.mutation import place
from tapegrad.tape.array.paths import locate, thaw_index
from tapegrad.tape.core.primitive import Primitive, primitives

#: Relative to the largest value involved. The differences are good to about 1e-9.
FIRST, SECOND = 1e-6, 1e-5
#: Dtypes in which differences are that good.
EXACT = (np.float64, np.complex128)
#: Units in the last place by which NumPy's own loops may miss the exact result.
NUMPY_ULPS = 4
#: Units in the last place of the largest number involved, for sums, products and compositions.
COMPOSITION_ULPS = 256


@dataclass(frozen=True)
class Application:
    """A primitive with arguments for it."""

    primitive: Primitive
    args: tuple[Any, ...]
    params: dict[str, Any]

    @property
    def wrt(self) -> list[int]:
        """Which arguments have derivatives."""
        return [
            i
            for i, a in enumerate(self.args)
            if self.primitive.differentiable_in(i) and a.dtype.kind in "fc"
        ]

    @property
    def primals(self) -> list[Any]:
        return [self.args[i] for i in self.wrt]

    def function(self, *primals: Any) -> Any:
        """The primitive as a function of its differentiable arguments."""
        args = list(self.args)
        for i, value in zip(self.wrt, primals, strict=True):
            args[i] = value
        return bind(self.primitive, *args, **self.params)

    def forward(self, *args: Any) -> Any:
        return np.asarray(self.primitive.forward(*(args or self.args), **self.params))

    def cast(self, dtype: Any) -> Application:
        """The same with floats of another dtype."""
        args = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in self.args)
        return replace(self, args=args)

    def __repr__(self) -> str:
        args = ", ".join(f"{a.dtype}{list(a.shape)}{a.tolist()}" for a in self.args)
        return f"{self.primitive.name}({args}, **{self.params})"


# Comparisons -------------------------------------------------------------------------------------


def assert_same_bits(got: Any, expected: Any, what: str) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, not {expected.dtype}"
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, not {expected.shape}"
    same = np.array_equal(got, expected, equal_nan=expected.dtype.kind in "fc")
    assert same, f"{what}: {got} is not {expected}"
    if expected.dtype.kind == "c":
        for part in (np.real, np.imag):
            assert_same_bits(part(got), part(expected), what)
    if expected.dtype.kind == "f":
        assert np.array_equal(np.signbit(got), np.signbit(expected)), f"{what}: a sign of zero"


def assert_near(got: Any, expected: Any, tolerance: float, what: str) -> None:
    """Compare relative to the largest number, and to one."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, not {expected.shape}"
    if not expected.size:
        return
    if not np.isfinite(expected).all():
        np.testing.assert_allclose(got, expected, rtol=tolerance, err_msg=what)
        return
    scale = 1.0 + np.max(np.abs(expected), initial=0.0)
    error = np.max(np.abs(got - expected), initial=0.0)
    assert error <= tolerance * scale, f"{what}: {got} and {expected} differ by {error:.3g}"


def ulps_apart(got: Any, expected: Any, scale: Any = 0.0) -> float:
    """Largest distance in units in the last place of the greater value."""
    size = np.maximum(np.maximum(np.abs(got), np.abs(expected)), scale)
    with np.errstate(all="ignore"):
        apart = np.abs(got - expected) / np.spacing(size.astype(np.real(expected).dtype))
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    return float(np.max(np.where(same, 0.0, apart), initial=0.0))


# Laws --------------------------------------------------------------------------------------------


def _write(base: Any, value: Any, *arrays: Any, path: Any, spec: Any) -> Any:
    out = np.array(base)
    place(out, value, path, spec, arrays)
    return out


def _winners(base: Any, *arrays: Any, path: Any, spec: Any) -> Any:
    numbers = np.full(base.shape, -1)
    part = locate(numbers, path, spec, arrays)
    place(numbers, np.arange(part.size).reshape(part.shape), path, spec, arrays)
    return locate(numbers, path, spec, arrays) == np.arange(part.size).reshape(part.shape)


def _scatter(value: Any, *arrays: Any, shape: Any, spec: Any) -> Any:
    out = np.zeros(shape, value.dtype)
    np.add.at(out, thaw_index(spec, arrays), value)
    return out


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    order = range(len(b))[::-1] if reverse else range(len(b))
    out, last = np.zeros(b.shape, np.result_type(a, b)), None
    for i in order:
        out[i] = last = b[i] if last is None else a[i] * last + b[i]
    return np.moveaxis(out, 0, axis)


def _vector_norm(x: Any, ord: float, axis: Any, keepdims: bool) -> Any:
    y = (
        np.linalg.vector_norm(matrices.wide(x), ord=ord, axis=axis, keepdims=keepdims)
        if axis
        else abs(x)
    )
    return np.asarray(y).astype(x.dtype)


def _total_norm(*xs: Any, ord: float) -> Any:
    flat = np.concatenate([x.ravel() for x in xs])
    return _vector_norm(flat, ord, (0,), False)


def _spectral(x: Any, least: bool) -> Any:
    return np.linalg.norm(matrices.wide(x), -2 if least else 2, axis=(-2, -1)).astype(x.dtype)


def _extreme_norm(x: Any, summed: Any, across: Any, keepdims: bool, least: bool, even: bool) -> Any:
    sums = np.abs(matrices.wide(x)).sum(axis=summed, keepdims=True) if summed else np.abs(x)
    y = (np.min if least else np.max)(sums, axis=across, keepdims=True).astype(x.dtype)
    return y if keepdims else np.squeeze(y, summed + across)


#: What each primitive is in NumPy, where it is not the function of its name.
IN_NUMPY = {
    "absolute_strict": np.absolute,
    "frexp_exponent": lambda x: np.frexp(x)[1],
    "cast": lambda x, dtype: x.astype(dtype),
    "recompute": lambda x, cotangent: np.copy(x),
    "reshape": lambda x, shape: np.reshape(x, shape),
    "basic_index": lambda x, spec: x[thaw_index(spec)],
    "embed": _scatter,
    "gather": lambda x, *arrays, spec: x[thaw_index(spec, arrays)],
    "scatter_add": _scatter,
    "write": _write,
    "winners": _winners,
    "einsum": lambda *xs, subscripts, **kw: np.einsum(subscripts, *xs, **kw),
    "einsum_view": lambda x, subscripts: np.einsum(subscripts, x),
    "concatenate": lambda *xs, axis: np.concatenate(xs, axis),
    "stack": lambda *xs, axis: np.stack(xs, axis),
    "linear_recurrence": _recurrence,
    "vector_norm": _vector_norm,
    "total_norm": _total_norm,
    "even_max": np.max,
    "even_min": np.min,
    "spectral_norm": _spectral,
    "extreme_norm": _extreme_norm,
    "kinked": lambda *args, axis, tangent: np.broadcast_arrays(*args)[0],
}
IN_NUMPY.update(REFERENCES | layers.REFERENCES | matrices.REFERENCES | specials.REFERENCES)
IN_NUMPY.update(sparse_matrices.REFERENCES | complex_numbers.REFERENCES)
for _name in ("maximum", "minimum", "fmax", "fmin"):
    IN_NUMPY[f"{_name}_imperative"] = getattr(np, _name)
#: These may sum in another order than NumPy's function.
INEXACT = {
    *SUMMED,
    *layers.REFERENCES,
    *sparse_matrices.REFERENCES,
    *specials.REFERENCES,
    "einsum",
    "linear_recurrence",
    "cofactor",
    "vector_norm",
    "total_norm",
    "polar_factor",
    "nuclear_norm",
    "spectral_norm",
}


def in_numpy(primitive: Primitive) -> Any:
    """NumPy's function for a primitive."""
    function = IN_NUMPY.get(primitive.name) or getattr(np, primitive.name, None)
    assert function is not None, (
        f"what is {primitive.name!r} in NumPy? Say it in IN_NUMPY, in tests/laws/checks.py"
    )
    return function


def check_forward(app: Application, rng: Any) -> None:
    """Through tensors, and through views of tensors, the result is NumPy's to the last bit."""
    expected = app.forward()
    function = in_numpy(app.primitive)
    reference = np.asarray(function(*app.args, **app.params))
    if app.primitive.name in INEXACT:
        assert_near(expected, reference, 1e-12 if expected.dtype == float else 1e-2, "forward")
    else:
        assert_same_bits(expected, reference, "forward and NumPy")
    tensors = [tg.Tensor(a, copy=False) for a in app.args]
    bases = [tg.Tensor(np.stack([a, a])) for a in app.args]
    for given in (tensors, [base[1] for base in bases]):
        out = app.primitive(*given, **app.params)
        value = out.data if isinstance(out, tg.Tensor) else out
        assert_same_bits(value, app.forward(*(t.data for t in given)), "tensors and arrays")
        if app.primitive.name not in IN_NUMPY:
            through = function(*given, **app.params)
            assert_same_bits(np.asarray(through), np.asarray(value), "np function of tensors")
        if app.primitive.view and expected.size:
            first = given[0].data
            shared = np.shares_memory(app.forward(*(t.data for t in given)), first)
            assert (out.base is not None) == shared, "a view has a base, and a copy none"
            assert np.shares_memory(out.data, first) == shared, "a view shares its base's memory"


def _pull(app: Application, primals: list[Any], g: Any) -> tuple[Any, ...]:
    return tg.vjp(app.function, *primals)[1](g)


def _cotangent(app: Application, rng: Any) -> Any:
    out = app.forward()
    return like(out, rng)


def check_cotangent(app: Application, rng: Any) -> None:
    """Cotangents have the primal's shape and dtype, functionally and imperatively alike."""
    if not app.wrt:
        return
    g = _cotangent(app, rng)
    pulled = _pull(app, app.primals, g)
    leaves = [tg.Tensor(a, copy=False) for a in app.primals]
    app.function(*leaves).backward(g)
    for i, primal, part, leaf in zip(app.wrt, app.primals, pulled, leaves, strict=True):
        what = f"cotangent of argument {i} of {app.primitive.name}"
        assert np.shape(part) == primal.shape, f"{what}: shape {np.shape(part)}, {primal.shape}"
        assert part.dtype == primal.dtype, f"{what}: dtype {part.dtype}, {primal.dtype}"
        grad = np.zeros_like(primal) if leaf.grad is None else leaf.grad
        zero = np.zeros((), primal.dtype)
        assert_same_bits(grad + zero, np.asarray(part) + zero, f"{what}: backward() and vjp")


def check_vjp(app: Application, rng: Any) -> None:
    """The vjp agrees with differences along random directions, argument by argument."""
    primals, exact = app.primals, app.forward().dtype in EXACT
    tolerance, step = (FIRST, 1e-3) if exact else (1e-4, 0.1)
    g = _cotangent(app, rng)
    pulled = _pull(app, primals, g) if primals else ()
    for k in range(len(primals)):
        t = directions(primals, rng, only=k)
        slope = difference(
            lambda s, t=t: dot([g], [app.function(*(x + s * d for x, d in zip(primals, t)))]),
            tolerance,
            step,
        )
        what = f"vjp of argument {app.wrt[k]} of {app.primitive.name}"
        assert_near(dot(pulled, t), slope, tolerance, what)


def check_jvp(app: Application, rng: Any) -> None:
    """<J t, g> = <t, J^T g>, for all arguments at once and for each."""
    primals, expected = app.primals, app.forward()
    tolerance = 1e-11 if expected.dtype in EXACT else 1e-5
    g = _cotangent(app, rng)
    pulled = _pull(app, primals, g) if primals else ()
    for only in [None, *range(len(primals))] if primals else []:
        t = directions(primals, rng, only)
        if only is None:
            out, tangent = tg.jvp(app.function, primals, t)
        else:  # the others have no tangent at all

            def one(x: Any, k: int = only) -> Any:
                return app.function(*primals[:k], x, *primals[k + 1 :])

            out, tangent = tg.jvp(one, (primals[only],), (t[only],))
        assert_same_bits(out, expected, "value of jvp")
        assert np.shape(tangent) == expected.shape, "shape of the tangent"
        assert tangent.dtype == expected.dtype, "dtype of the tangent"
        what = f"jvp and vjp of {app.primitive.name}"
        size = dot([np.abs(p) for p in pulled], [np.abs(d) for d in t])
        assert_near(dot([tangent], [g]), dot(pulled, t), tolerance * (1 + size), what)


def check_second(app: Application, rng: Any) -> None:
    """The vjp can be differentiated by its arguments and its cotangent, both ways."""
    if not app.wrt or app.forward().dtype not in EXACT:
        return
    primals, g = app.primals, _cotangent(app, rng)

    def first(*values: Any) -> Any:
        return tg.vjp(app.function, *values[:-1])[1](values[-1])

    at = [*primals, g]
    s, t = directions(at, rng), directions(primals, rng)
    name = app.primitive.name
    slopes = [
        difference(lambda h, k=k: first(*(x + h * d for x, d in zip(at, s)))[k], SECOND)
        for k in range(len(primals))
    ]
    _, tangents = tg.jvp(first, at, s)
    for tangent, slope in zip(tangents, slopes, strict=True):
        assert_near(tangent, slope, SECOND, f"jvp of the vjp of {name}")
    _, pullback = tg.vjp(first, *at)
    assert_near(dot(pullback(tuple(t)), s), dot(t, slopes), SECOND, f"vjp of the vjp of {name}")


def check_vmap(app: Application, rng: Any, others: list[Application]) -> None:
    """vmap is a loop, whichever arguments are batched; so is vmap of the vjp."""
    apps = [app, *others]
    exact = 1e-13 if app.forward().dtype in EXACT else 1e-5

    def run(*args: Any) -> Any:
        return bind(app.primitive, *args, **app.params)

    for batched in itertools.product((False, True), repeat=len(app.args)):
        if not any(batched):
            continue
        given = [
            np.stack([b.args[i] for b in apps]) if mapped else a
            for i, (mapped, a) in enumerate(zip(batched, app.args))
        ]
        try:
            expected = np.stack([
                app.forward(*(given[i][k] if m else given[i] for i, m in enumerate(batched)))
                for k in range(len(apps))
            ])  # fmt: skip
        except ValueError:
            continue  # masks that select different numbers of elements cannot be stacked
        axes = tuple(0 if m else None for m in batched)
        got = tg.vmap(run, in_axes=axes)(*given)
        what = f"vmap of {app.primitive.name} with in_axes={axes}"
        assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, {expected.dtype}"
        if expected.dtype.kind in "fc":
            assert_near(got, expected, exact, what)
        else:
            assert_same_bits(got, expected, what)
    if app.wrt:
        _check_vmap_of_vjp(app, apps, rng, exact)


def _check_vmap_of_vjp(app: Application, apps: list[Application], rng: Any, exact: float) -> None:
    g = np.stack([_cotangent(app, rng) for _ in apps])
    primals = [np.stack(column) for column in zip(*(b.primals for b in apps))]

    def pull(g: Any, *primals: Any) -> Any:
        return _pull(app, primals, g)

    got = tg.vmap(pull)(g, *primals)
    for k in range(len(apps)):
        expected = pull(g[k], *(p[k] for p in primals))
        for part, wanted in zip(got, expected, strict=True):
            assert_near(part[k], wanted, 100 * exact, f"vmap of the vjp of {app.primitive.name}")


def check_jit(apps: list[Application], rng: Any) -> None:
    """Compiled code gives what eager code gives, at several values of the same kind.

    Elementwise: within the bound of our function plus that of NumPy's. Others, which may sum in
    another order: within COMPOSITION_ULPS of the largest number involved.
    """
    primitive, params = apps[0].primitive, apps[0].params
    compiled = tg.jit(lambda *args: bind(primitive, *args, **params), strict=True)
    for app in [*apps, *apps]:
        expected = app.forward()
        got = compiled(*(a.copy("K") for a in app.args))
        what = f"jit of {primitive.name}"
        assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, {expected.dtype}"
        assert got.shape == expected.shape, f"{what}: shape {got.shape}, {expected.shape}"
        if expected.dtype.kind not in "fc":
            assert_same_bits(got, expected, what)
            continue
        if primitive.family == "elementwise":
            bound, scale = ULPS.get(primitive.name, 0.0) + NUMPY_ULPS, 0.0
            if primitive.name.startswith("logaddexp"):
                scale = np.maximum(*map(np.abs, app.args))
        else:
            bound = COMPOSITION_ULPS
            scale = max(np.max(np.abs(a), initial=0.0) for a in (*app.args, expected))
        apart = ulps_apart(got, expected, scale)
        assert apart <= bound, f"{what}: {apart} ulp, bound {bound}: {got} and {expected}"
    assert compiled.stats().eager_calls == 0, "jit ran the function without compiling"


def check_jit_of_vjp(apps: list[Application], rng: Any) -> None:
    """The compiled gradient is the eager one, within COMPOSITION_ULPS of the largest number."""
    first = apps[0]
    if not first.wrt:
        return
    fixed = [i for i in range(len(first.args)) if i not in first.wrt]

    def pull(g: Any, *args: Any) -> Any:
        app = replace(first, args=args)
        given = {i: args[i] for i in fixed}
        primals = [args[i] for i in first.wrt]

        def function(*values: Any) -> Any:
            left = iter(values)
            full = [given[i] if i in given else next(left) for i in range(len(args))]
            return bind(app.primitive, *full, **app.params)

        return tg.vjp(function, *primals)[1](g)

    compiled = tg.jit(pull, strict=True)
    for app in [*apps, *apps]:
        g = _cotangent(app, rng)
        expected = pull(g, *app.args)
        got = compiled(g, *(a.copy("K") for a in app.args))
        for part, wanted in zip(got, expected, strict=True):
            what = f"jit of the vjp of {first.primitive.name}"
            assert part.dtype == wanted.dtype and part.shape == wanted.shape, what
            scale = 1.0 + np.max(np.abs(wanted), initial=0.0)
            apart = ulps_apart(part, wanted, scale)
            assert apart <= COMPOSITION_ULPS, f"{what}: {apart} ulp: {part} and {wanted}"
    assert compiled.stats().eager_calls == 0, "jit ran the gradient without compiling"


def known(name: str) -> Primitive:
    return primitives[name]
