"""Valid arguments for every primitive, for the tests that walk the registry.

``SAMPLES[name]`` is a list of functions; each takes a random generator and returns ``(args,
params)`` as ``bind`` takes them. Differentiable arguments are float64 arrays inside the primitive's
domain and away from its kinks, in shapes that matter: without axes, empty, broadcast, not
contiguous. Special places (ties, zeros, nan) have tests of their own, in ``tests/ops``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import complex_numbers
import matrix_samples
import numpy as np
import sparse_matrices

import tapegrad.nnet  # noqa: F401  # declares what layers are made of
from tapegrad.tape.array.paths import HOLE
from tapegrad.tape.core.primitive import primitives

Generator = np.random.Generator
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Sample = Callable[[Generator], Arguments]

SAMPLES: dict[str, list[Sample]] = {**sparse_matrices.samples(), **complex_numbers.samples()}

SHAPES: list[tuple[int, ...]] = [(), (0,), (4,), (2, 3), (2, 0, 3)]
PAIRS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((2, 1), (1, 3)),
    ((), (2, 2)),
    ((1, 0), (3, 1)),
]


def array(
    rng: Generator, shape: tuple[int, ...], low: float = -2.0, high: float = 2.0, gap: float = 0.0
) -> Any:
    """Uniform values, at least `gap` away from zero."""
    x = np.asarray(rng.uniform(low, high, shape))
    return np.where(np.abs(x) < gap, np.copysign(gap, x) + x, x) if gap else x


def distinct(rng: Generator, shape: tuple[int, ...]) -> Any:
    """Values of which no two are near each other."""
    n = int(np.prod(shape))
    return (rng.permutation(n).reshape(shape) - n / 2 + 0.25) * 0.3


def strided(x: Any) -> Any:
    """The same values, not contiguous in memory."""
    if not x.ndim:
        return x
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    return wide if x.ndim < 2 else np.asfortranarray(wide)[..., ::1]


def add(name: str, *samples: Sample) -> None:
    """Add samples of a primitive."""
    SAMPLES.setdefault(name, []).extend(samples)


def one(names: str, low: float = -2.0, high: float = 2.0, gap: float = 0.0) -> None:
    """Samples of elementwise primitives with one argument."""
    for name in names.split():
        for shape in SHAPES:
            add(name, lambda rng, s=shape: ((array(rng, s, low, high, gap),), {}))
        add(name, lambda rng: ((strided(array(rng, (3, 4), low, high, gap)),), {}))
        add(name, lambda rng: ((array(rng, (4, 3), low, high, gap).T,), {}))


def two(
    names: str, first: tuple[float, ...] = (-2.0, 2.0), second: tuple[float, ...] = (-2.0, 2.0)
) -> None:
    """Samples of elementwise primitives with two arguments."""
    for name in names.split():
        for p, q in PAIRS:
            add(name, lambda rng, p=p, q=q: ((array(rng, p, *first), array(rng, q, *second)), {}))
        add(
            name,
            lambda rng: ((strided(array(rng, (2, 3), *first)), array(rng, (3, 2), *second).T), {}),
        )


# Elementwise -------------------------------------------------------------------------------------

one("positive negative square exp exp2 expm1 sin cos tanh sinh cosh arctan arcsinh deg2rad rad2deg")
one("sigmoid stop_gradient i0 i1 j0 j1 radians degrees conjugate sinc copy isnan isfinite isinf")
one("signbit i0e i1e absolute absolute_strict fabs reciprocal cbrt sign logical_not", gap=0.2)
one("sqrt log log2 log10", 0.3, 3.0)
one("log1p arcsin arccos arctanh erfinv", -0.8, 0.8)
one("tan", -1.2, 1.2)
one("arccosh", 1.2, 3.0)
one("floor ceil trunc rint spacing frexp_exponent", 0.1, 0.4)

one("erf erfc erfcx ndtr log_ndtr expit log_expit", -1.7, 1.8)
one("gamma gammaln digamma", 0.3, 4.0)
one("ndtri logit erfcinv entr", 0.1, 0.9)
two("zeta", (1.5, 4.0), (0.4, 2.0))
for _p, _q in PAIRS:
    add("recompute", lambda rng, p=_p, q=_q: ((array(rng, p), array(rng, q)), {}))
    add("erfc_integral", lambda r, p=_p, q=_q: ((r.integers(0, 3, p), array(r, q, -1.0, 3.0)), {}))
    for _name in ("beta_density", "betainc"):
        add(_name, lambda r, p=_p, q=_q: (
            (array(r, p, 0.5, 3.0), array(r, q, 0.5, 9.0), array(r, p, 0.2, 0.8)), {}
        ))  # fmt: skip
    add("polygamma", lambda r, p=_p, q=_q: ((r.integers(0, 4, p), array(r, q, 0.4, 2.0)), {}))
two("xlogy xlog1py rel_entr", (0.2, 2.0), (0.3, 2.0))
two("beta betaln gamma_density gammainc gammaincc", (0.4, 3.0), (0.5, 9.0))
two("add subtract multiply logaddexp logaddexp2")
two("divide arctan2 hypot copysign", (-2.0, 2.0), (0.3, 2.0))
two("power float_power", (0.3, 2.0), (-2.0, 2.0))
two("remainder fmod floor_divide", (2.1, 2.9), (1.0, 1.4))
for _name in ("maximum", "fmax"):
    two(f"{_name} {_name}_imperative", (0.5, 2.0), (-2.0, 0.3))
for _name in ("minimum", "fmin"):
    two(f"{_name} {_name}_imperative", (-2.0, 0.0), (0.3, 2.0))
two("greater greater_equal not_equal nextafter", (0.5, 2.0), (-2.0, 0.3))
two("less less_equal equal logical_and logical_or logical_xor", (-2, 0), (0.3, 2.0))
two("heaviside", (0.3, 2.0), (0.3, 2.0))

for _p, _q in PAIRS:
    add("ldexp", lambda rng, p=_p, q=_q: ((array(rng, p), rng.integers(-3, 4, q)), {}))
    add(
        "where",
        lambda rng, p=_p, q=_q: ((array(rng, p) > 0, array(rng, q), array(rng, p)), {}),
    )
    add("isclose", lambda rng, p=_p, q=_q: (
        (array(rng, p), array(rng, q)), {"rtol": 0.5, "atol": 0.1, "equal_nan": False}
    ))  # fmt: skip
    for _name in [
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "left_shift",
        "right_shift",
        "gcd",
        "lcm",
    ]:
        add(_name, lambda rng, p=_p, q=_q: ((rng.integers(1, 9, p), rng.integers(1, 9, q)), {}))
for _s in SHAPES:
    add("invert", lambda rng, s=_s: ((rng.integers(-9, 9, s),), {}))
    add("round", lambda rng, s=_s: ((array(rng, s),), {"decimals": 1}))
    add("cast", lambda rng, s=_s: ((array(rng, s),), {"dtype": np.dtype("float32")}))

# Reductions --------------------------------------------------------------------------------------

_AXES = [((3,), (0,)), ((2, 3), (0, 1)), ((2, 3), (1,)), ((2, 3, 2), (0, 2)), ((2, 3, 2), (2, 0))]


def _reduction(name: str, make: Any, extra: Any = (), **params: Any) -> None:
    for shape, axis in (*_AXES, ((), ()), ((2, 3), ()), *extra):
        for keepdims in (False, True):
            p = {"axis": axis, "keepdims": keepdims, **params}
            add(name, lambda rng, s=shape, p=p: ((make(rng, s),), p))
    p = {"axis": (0,), "keepdims": False, **params}
    add(name, lambda rng: ((strided(make(rng, (3, 4))),), p))


for _name in ("sum", "prod", "any", "all", "count_nonzero"):
    _reduction(_name, array, [((0,), (0,)), ((2, 0), (1,)), ((0, 3), (1,))])
_reduction("mean", array, [((0, 3), (1,))])
_reduction("max", distinct, [((0, 3), (1,))])
_reduction("min", distinct, [((0, 3), (1,))])
_reduction("var", array, [((0, 3), (1,))], ddof=0)
_reduction("std", distinct, [((0, 3), (1,))], ddof=0)
for _name in ("var", "std"):
    # A single value has no spread, and std no derivative there.
    SAMPLES[_name] = [s for s in SAMPLES[_name] if s(np.random.default_rng(0))[1]["axis"]]
    for _ddof in (1, 0.5):
        add(_name, lambda rng, d=_ddof: (
            (distinct(rng, (3, 4)),), {"axis": (1,), "keepdims": False, "ddof": d}
        ))  # fmt: skip
add("prod", lambda rng: ((np.where(np.arange(4) == 1, 0.0, array(rng, (3, 4))),),
                         {"axis": (1,), "keepdims": False}))  # fmt: skip
add("prod", lambda rng: ((np.where(np.arange(4) < 2, 0.0, array(rng, (3, 4))),),
                         {"axis": (1,), "keepdims": True}))  # fmt: skip

_RUNS = [((4,), 0), ((0,), 0), ((1,), 0), ((2, 3), 0), ((2, 3), 1), ((2, 3, 2), 1), ((0, 3), 1)]
for _s, _axis in _RUNS:
    for _name in ("cumsum", "cumprod"):
        add(_name, lambda rng, s=_s, a=_axis: ((array(rng, s),), {"axis": a}))
    for _reverse in (False, True):
        add("linear_recurrence", lambda rng, s=_s, a=_axis, r=_reverse: (
            (array(rng, s), array(rng, s)), {"axis": a, "reverse": r}
        ))  # fmt: skip
add("linear_recurrence", lambda rng: ((array(rng, (70,), -1, 1), array(rng, (70,))),
                                      {"axis": 0, "reverse": False}))  # fmt: skip
add("cumprod", lambda rng: ((np.where(np.arange(4) == 1, 0.0, array(rng, (3, 4))),), {"axis": 1}))
add("cumprod", lambda rng: ((np.where(np.arange(4) < 2, 0.0, array(rng, (3, 4))),), {"axis": 1}))
for _name in ("argmax", "argmin", "argsort"):
    for _s, _axis in _RUNS:
        if _s[_axis]:
            add(_name, lambda rng, s=_s, a=_axis: ((distinct(rng, s),), {"axis": a}))
    add(_name, lambda rng: ((distinct(rng, (2, 3)),), {"axis": None}))
for _s, _axis in _RUNS:
    if _s[_axis]:
        add("argpartition", lambda rng, s=_s, a=_axis: (
            (distinct(rng, s),), {"axis": a, "kth": s[a] // 2, "kind": "introselect"}
        ))  # fmt: skip
for _name in ("argmax", "argmin"):
    add(_name, lambda rng: ((distinct(rng, (2, 3)),), {"axis": None, "keepdims": True}))
for _side in ("left", "right"):
    add("searchsorted", lambda rng, side=_side: (
        (np.sort(array(rng, (5,))), array(rng, (2, 3))), {"side": side}
    ))  # fmt: skip

# Linear algebra ----------------------------------------------------------------------------------

for _p, _q in (
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((1, 2, 3), (4, 3, 2)),
):  # fmt: skip
    add("matmul", lambda rng, p=_p, q=_q: ((array(rng, p), array(rng, q)), {}))
add("matmul", lambda rng: ((array(rng, (3, 2)).T, strided(array(rng, (3, 4)))), {}))

for _text, *_shapes in (
    ("ij,jk->ik", (2, 3), (3, 4)), ("i,i->", (3,), (3,)), ("i,j->ij", (2,), (3,)),
    ("ij->", (2, 3)), ("ij->j", (2, 3)), ("ii->", (3, 3)), ("iij->j", (2, 2, 3)),
    ("ii,i->i", (3, 3), (3,)), (",ij->ij", (), (2, 3)), ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    ("ij,kj->ik", (1, 3), (2, 3)), ("i,i->", (1,), (3,)), ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)),
    ("iji,j->i", (2, 3, 2), (3,)), ("ij,k->k", (2, 3), (2,)), ("ij,jk->ik", (0, 3), (3, 2)),
):  # fmt: skip
    add("einsum", lambda rng, t=_text, s=tuple(_shapes): (
        tuple(array(rng, shape) for shape in s), {"subscripts": t}
    ))  # fmt: skip
add("einsum", lambda rng: ((array(rng, (2, 3)), array(rng, (3, 4)), array(rng, (4, 2))),
                           {"subscripts": "ij,jk,kl->il", "optimize": True}))  # fmt: skip
for _text, _s in (
    ("i->i", (3,)), ("ij->ji", (2, 3)), ("ii->i", (3, 3)), ("iji->ji", (2, 3, 2)), ("->", ()),
    ("iii->i", (2, 2, 2)), ("ijij->ij", (2, 3, 2, 3)), ("ii->i", (0, 0)),
):  # fmt: skip
    add("einsum_view", lambda rng, t=_text, s=_s: ((array(rng, s),), {"subscripts": t}))

# Joining -----------------------------------------------------------------------------------------

for _list, _axis in (
    ([(2,), (3,)], 0), ([(2, 3), (1, 3), (0, 3)], 0), ([(2, 3), (2, 1)], 1), ([(2, 2, 2)] * 2, 2),
    ([(3,)], 0),
):  # fmt: skip
    add("concatenate", lambda rng, s=tuple(_list), a=_axis: (
        tuple(array(rng, shape) for shape in s), {"axis": a}
    ))  # fmt: skip
for _s, _axis in (((), 0), ((2,), 0), ((2,), 1), ((2, 3), 1), ((0, 2), 2)):
    add("stack", lambda rng, s=_s, a=_axis: (
        tuple(array(rng, s) for _ in range(3)), {"axis": a}
    ))  # fmt: skip

# Views, indexing and writes ----------------------------------------------------------------------

for _p, _q in (((6,), (2, 3)), ((2, 3), (6,)), ((), (1, 1)), ((0, 2), (2, 0)), ((2, 3), (3, 1, 2))):
    add("reshape", lambda rng, p=_p, q=_q: ((array(rng, p),), {"shape": q}))
add("reshape", lambda rng: ((array(rng, (3, 2)).T,), {"shape": (6,)}))
for _s, _order in (
    ((), ()),
    ((3,), (0,)),
    ((2, 3), (1, 0)),
    ((2, 3, 4), (1, 2, 0)),
    ((0, 2), (1, 0)),
):
    add("transpose", lambda rng, s=_s, o=_order: ((array(rng, s),), {"axes": o}))
for _p, _q in (((), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 3), (4, 2, 3)), ((1,), (0,))):
    add("broadcast_to", lambda rng, p=_p, q=_q: ((array(rng, p),), {"shape": q}))


def cut(start: int | None = None, stop: int | None = None, step: int | None = None) -> Any:
    """A slice, as it stands in the frozen index of a primitive."""
    return ("slice", start, stop, step)


_BASIC: list[tuple[tuple[int, ...], tuple[Any, ...]]] = [
    ((4,), (1,)),
    ((4,), (cut(1, 3),)),
    ((4,), (cut(None, None, -2),)),
    ((3, 4), (cut(), 1)),
    ((3, 4), (None, cut(0, 2), -1)),
    ((3, 4), (cut(), cut(3, 0, -1))),
    ((3, 4), (2, 3)),
    ((), (None,)),
    ((0, 3), (cut(), cut(1, None))),
]
for _s, _spec in _BASIC:
    add("basic_index", lambda rng, s=_s, i=_spec: ((array(rng, s),), {"spec": i}))
    add("embed", lambda rng, s=_s, i=_spec: (
        (array(rng, _part(s, i)),), {"shape": s, "spec": i}
    ))  # fmt: skip


def _part(shape: tuple[int, ...], spec: tuple[Any, ...], arrays: tuple[Any, ...] = ()) -> Any:
    left = iter(arrays)
    index = tuple(
        slice(*i[1:]) if type(i) is tuple else next(left) if i is HOLE else i for i in spec
    )
    return np.empty(shape)[index].shape


_INTS = np.array([0, 2, 0])
_GRID = np.array([[0], [1]])
_MASK = np.array([True, False, True])
_ADVANCED: list[tuple[tuple[int, ...], tuple[Any, ...], tuple[Any, ...]]] = [
    ((3,), (HOLE,), (_INTS,)),
    ((3,), (HOLE,), (_MASK,)),
    ((3, 4), (HOLE, cut(1, 3)), (_INTS,)),
    ((3, 4), (cut(), HOLE), (_INTS,)),
    ((3, 4), (HOLE, HOLE), (_INTS, _INTS)),
    ((3, 4), (HOLE, HOLE), (_GRID, _INTS)),
    ((3, 4, 3), (HOLE, cut(), HOLE), (_INTS, _INTS)),
    ((3, 4), (1, HOLE), (_INTS,)),
    ((3, 3), (HOLE,), (np.eye(3, dtype=bool),)),
    ((3, 4), (HOLE, cut()), (np.zeros(0, dtype=int),)),
    ((3, 4), (HOLE,), (np.int64(1),)),
    ((3, 4, 2), (cut(), HOLE), (np.int64(-2),)),
]
for _s, _spec, _index in _ADVANCED:
    add("gather", lambda rng, s=_s, i=_spec, a=_index: ((array(rng, s), *a), {"spec": i}))
    add("scatter_add", lambda rng, s=_s, i=_spec, a=_index: (
        (array(rng, _part(s, i, a)), *a), {"shape": s, "spec": i}
    ))  # fmt: skip
    add("write", lambda rng, s=_s, i=_spec, a=_index: (
        (array(rng, s), array(rng, _part(s, i, a)), *a), {"path": (), "spec": i}
    ))  # fmt: skip
    add("winners", lambda rng, s=_s, i=_spec, a=_index: (
        (array(rng, s), *a), {"path": (), "spec": i}
    ))  # fmt: skip
for _s, _spec in _BASIC:
    add("write", lambda rng, s=_s, i=_spec: (
        (array(rng, s), array(rng, _part(s, i))), {"path": (), "spec": i}
    ))  # fmt: skip
add("write", lambda rng: ((array(rng, (3, 4)), array(rng, ())), {"path": (), "spec": None}))
add("write", lambda rng: (
    (array(rng, (3, 4)), array(rng, (4,))),
    {"path": (("transpose", (("axes", (1, 0)),)),), "spec": (cut(), 1)},
))  # fmt: skip

# Norms -------------------------------------------------------------------------------------------

for _ord in (2.0, 3.0, 0.5, 2.5, -1.5):
    for _s, _axis in (*_AXES, ((2, 3, 2), (0, 1, 2))):
        for _keep in (False, True):
            add("vector_norm", lambda rng, o=_ord, s=_s, a=_axis, k=_keep: (
                (distinct(rng, s),), {"ord": o, "axis": a, "keepdims": k}
            ))  # fmt: skip
add(
    "vector_norm",
    lambda rng: ((array(rng, (2, 3)),), {"ord": 0.0, "axis": (1,), "keepdims": False}),
)
add(
    "vector_norm", lambda rng: ((array(rng, (2, 0)),), {"ord": 2.0, "axis": (1,), "keepdims": True})
)
for _ord in (2.0, 3.0, 1.0, 0.5, 2.5):
    for _shapes in (((3,),), ((2, 3), (), (4,)), ((0,), (2, 1, 2))):
        add("total_norm", lambda rng, o=_ord, shapes=_shapes: (
            tuple(array(rng, s, gap=0.1) for s in shapes), {"ord": o}
        ))  # fmt: skip
for _name in ("even_max", "even_min"):
    _reduction(_name, distinct, [((0, 3), (1,))])
for _s in ((3, 2), (2, 3), (2, 2), (2, 3, 2), (1, 3)):
    for _name, _choices in {
        "svd_packed": [{}],
        "nuclear_norm": [{}],
        "polar_factor": [{}],
        "spectral_norm": [{"least": False}, {"least": True}],
    }.items():
        for _params in _choices:
            add(_name, lambda rng, s=_s, p=_params: (
                (distinct(rng, s) + array(rng, s, -0.2, 0.2),), p
            ))  # fmt: skip
for _s, _summed, _across in (
    ((3,), (), (0,)), ((2, 3), (), (0, 1)), ((2, 3, 2), (), (0, 2)), ((), (), ()),
    ((2, 3), (0,), (1,)), ((2, 3, 2), (2,), (0,)), ((2, 3, 2), (0,), (1,)),
):  # fmt: skip
    for _keep, _least, _even in itertools.product((False, True), repeat=3):
        add("extreme_norm", lambda rng, s=_s, a=_summed, b=_across, k=_keep, least=_least, e=_even: (
            (distinct(rng, s) * (1 + array(rng, s, 0.0, 0.1)),),  # so that no sums are equal
            {"summed": a, "across": b, "keepdims": k, "least": least, "even": e},
        ))  # fmt: skip


matrix_samples.add_to(add)
add("kinked", lambda rng: (
    (array(rng, (2, 3)), array(rng, (2, 1)), array(rng, (2, 3)), array(rng, (2, 1)) > 3),
    {"axis": (-1,), "tangent": False},
))  # fmt: skip
for _p, _q in PAIRS:
    for _tangent in (False, True):
        add("kinked", lambda rng, p=_p, q=_q, tangent=_tangent: (
            (array(rng, p), array(rng, q), array(rng, p), array(rng, q) > 3),
            {"axis": (), "tangent": tangent},
        ))  # fmt: skip

# Windows -----------------------------------------------------------------------------------------

for _size, _window, _stride, _padding, _dilation in (
    ((4,), (3,), (1,), (0,), (1,)), ((6,), (2,), (2,), (1,), (2,)), ((3,), (2,), (2,), (0,), (1,)),
    ((4, 3), (2, 2), (1, 1), (0, 1), (1, 1)), ((5, 4), (2, 2), (2, 1), (1, 0), (3, 1)),
    ((2, 3, 2), (1, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1)), ((8, 3), (2, 1), (1, 3), (0, 0), (1, 2)),
):  # fmt: skip
    _how = {"stride": _stride, "padding": _padding, "dilation": _dilation}
    _grid = tuple(
        (n + 2 * p - (d * (w - 1) + 1)) // s + 1
        for n, w, s, p, d in zip(_size, _window, _stride, _padding, _dilation)
    )
    for _n, _c, _f in ((2, 3, 2), (1, 1, 2), (1, 16, 2)):
        add("convolve_windows", lambda rng, x=(_n, _c, *_size), w=(_f, _c, *_window), p=_how: (
            (array(rng, x), array(rng, w)), p
        ))  # fmt: skip
        add("convolve_data", lambda rng, g=(_n, _f, *_grid), w=(_f, _c, *_window), p=_how, s=_size: (
            (array(rng, g), array(rng, w)), {"size": s, **p}
        ))  # fmt: skip
        add("convolve_filters", lambda rng, x=(_n, _c, *_size), g=(_n, _f, *_grid), p=_how,
            w=_window: ((array(rng, x), array(rng, g)), {"window": w, **p}))  # fmt: skip
for _x, _w in (((0, 2, 4), (3, 2, 3)), ((2, 0, 4), (3, 0, 3)), ((2, 2, 4), (0, 2, 3))):
    add("convolve_windows", lambda rng, x=_x, w=_w: (
        (array(rng, x), array(rng, w)), {"stride": (1,), "padding": (0,), "dilation": (1,)}
    ))  # fmt: skip

for _s, _pool, _stride in (
    ((4,), (2,), (2,)), ((5,), (3,), (1,)), ((2, 6), (2,), (3,)), ((2, 4, 4), (2, 2), (2, 2)),
    ((3, 4), (2, 3), (1, 1)), ((2, 2, 2, 4), (2, 1, 2), (1, 1, 2)),
):  # fmt: skip
    _how = {"pool": _pool, "stride": _stride}
    _split = len(_s) - len(_pool)
    _to = (*_s[:_split], *((n - p) // s + 1 for n, p, s in zip(_s[_split:], _pool, _stride)))
    _k = int(np.prod(_pool))
    add("max_pool", lambda rng, s=_s, p=_how: ((distinct(rng, s),), p))
    add("window_argmax", lambda rng, s=_s, p=_how: (_with_maxima(distinct(rng, s), p), p))
    add("pool_take", lambda rng, s=_s, p=_how, to=_to, k=_k: (
        (array(rng, s), rng.integers(0, k, to).astype(np.uint8)), p
    ))  # fmt: skip
    add("pool_put", lambda rng, z=_s[_split:], p=_how, to=_to, k=_k: (
        (array(rng, to), rng.integers(0, k, to).astype(np.uint8)), {"size": z, **p}
    ))  # fmt: skip


def _with_maxima(x: Any, params: Any) -> tuple[Any, Any]:
    return x, primitives["max_pool"].forward(x, **params)


# Layers ------------------------------------------------------------------------------------------

for _s in ((3, 2), (4, 1), (2, 3, 2), (2, 2, 2, 3), (1, 2, 70), (0, 2), (2, 0, 3), (3, 2, 0)):
    _how = {"eps": 0.1}
    add("normalise", lambda rng, s=_s, p=_how: (
        (array(rng, s), array(rng, s[1:2]), array(rng, s[1:2])), p
    ))  # fmt: skip
    add("normalise_pull", lambda rng, s=_s, p=_how: (
        (array(rng, s), array(rng, s), array(rng, s[1:2]), array(rng, s[1:2])), p
    ))  # fmt: skip

for _n, _c, _high in ((3, 2, 2.0), (1, 1, 2.0), (4, 5, 2.0), (3, 4, 40.0), (0, 3, 2.0)):
    add("crossentropy", lambda rng, n=_n, c=_c, high=_high: (
        (array(rng, (n, c), -high, high), rng.integers(0, c, n)), {}
    ))  # fmt: skip
    add("crossentropy_pull", lambda rng, n=_n, c=_c, high=_high: (
        (array(rng, (n,)), array(rng, (n, c), -high, high), rng.integers(0, c, n)), {}
    ))  # fmt: skip

for _t, _n, _d, _limit in (
    (3, 2, 2, None), (1, 1, 1, None), (4, 2, 3, 1), (5, 3, 2, 2), (0, 2, 2, None), (2, 0, 2, None),
    (2, 2, 0, 1),
):  # fmt: skip
    _data, _rest = ((_t, _n, _d),) * 3, ((3, _d, _d), (_n, _d))
    # A gradient that is cut off is no derivative: here the limit is one that changes nothing.
    _how = {"limit": None if _limit is None else _t}
    add("gru", lambda rng, s=(*_data, *_rest), p=_how: (tuple(array(rng, a) for a in s), p))
    add("gru_pull", lambda rng, s=(*((_t + 1, _n, _d),) * 2, *_data, *_rest), p=_limit: (
        tuple(array(rng, a) for a in s), {"limit": p}
    ))  # fmt: skip
