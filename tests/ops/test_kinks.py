"""Second derivatives where a rule gives a documented subgradient: right, or nan, never a silent 0."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.clipping import global_norm

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
INF = np.inf


def basis(x: Any) -> Any:
    return np.eye(x.size).reshape(-1, *x.shape)


def columns(f: Callable[..., Any], x: Any) -> Any:
    """Forward mode over a gradient, direction by direction."""
    return np.stack([tg.jvp(tg.grad(f), (x,), (e,))[1] for e in basis(x)])


def pulled(f: Callable[..., Any], x: Any) -> Any:
    """Reverse mode over directional derivatives."""
    return np.stack([tg.grad(lambda x, e=e: tg.jvp(f, (x,), (e,))[1])(x) for e in basis(x)])


def pushed(f: Callable[..., Any], x: Any) -> Any:
    """Forward mode over forward mode."""

    def slope(x: Any, e: Any) -> Any:
        return tg.jvp(f, (x,), (e,))[1]

    return np.stack(
        [[tg.jvp(lambda x, e=e: slope(x, e), (x,), (d,))[1] for d in basis(x)] for e in basis(x)]
    )


def imperative(f: Callable[..., Any], x: Any) -> Any:
    """backward() over a gradient."""
    rows = []
    for e in basis(x):
        t = tg.tensor(x)
        (tg.grad(f)(t) * e).sum().backward()
        rows.append(t.grad)
    return np.stack(rows)


WAYS: dict[str, Callable[..., Any]] = {
    "jacobian of grad": lambda f, x: tg.jacobian(tg.grad(f))(x),
    "jvp of grad": columns,
    "grad of jvp": pulled,
    "jvp of jvp": pushed,
    "backward of grad": imperative,
}

COMPILED: dict[str, Callable[..., Any]] = {
    "jit of hessian": lambda f, x: tg.jit(tg.hessian(f))(x),
    "hessian of jit": lambda f, x: tg.hessian(tg.jit(f))(x),
}

#: Functions that are not twice differentiable at x, or so that no rule can know it.
NOWHERE: dict[str, tuple[Callable[..., Any], Any]] = {
    "absolute": (lambda x: np.sum(np.abs(x)), np.zeros(1)),
    "square of absolute": (lambda x: np.sum(np.abs(x) ** 2), np.zeros(1)),
    "absolute of a square": (lambda x: np.sum(np.abs(x**2)), np.zeros(1)),
    "square of fabs": (lambda x: np.sum(np.fabs(x) ** 2), np.zeros(1)),
    "square of copysign": (lambda x: np.sum(np.copysign(x, [-1.0]) ** 2), np.zeros(1)),
    "hypot": (lambda x: np.hypot(x[0], x[1]), np.zeros(2)),
    "square of hypot": (lambda x: np.hypot(x[0], x[1]) ** 2, np.zeros(2)),
    "std": (lambda x: np.std(x), np.ones(3)),
    "square of std": (lambda x: np.std(x, ddof=1) ** 2, np.ones(3)),
    "square of nanstd": (lambda x: np.nanstd(x) ** 2, np.ones(2)),
    "std of some": (lambda x: np.std(x, where=np.array([True, True])) ** 2, np.ones(2)),
    "root": (lambda x: np.sum(np.sqrt(x)), np.zeros(1)),
    "square of a root": (lambda x: np.sum(np.sqrt(x) ** 2), np.zeros(1)),
    "strict absolute": (lambda x: np.sum(tg.absolute(x, nan_to_num=False) ** 2), np.zeros(1)),
    "strict norm": (lambda x: tg.linalg.norm(x, nan_to_num=False) ** 2, np.zeros(2)),
    "spectral norm of equal values": (lambda x: np.linalg.norm(x, 2) ** 2, np.eye(2)),
    "least singular value 0": (lambda x: np.linalg.norm(x, -2), np.diag([1.0, 0.0])),
    "nuclear norm of less than full rank": (lambda x: np.linalg.norm(x, "nuc"), np.ones((2, 3))),
    "two arrays": (lambda x: global_norm([x[:1], x[1:]]) ** 2, np.zeros(3)),
}
for _ord, _power in itertools.product((0.5, 1, 1.5, 2, 3, 4, -1, INF, -INF), (1, 2)):
    for _name in ("norm", "vector_norm"):
        NOWHERE[f"{_name} {_ord} ** {_power}"] = (
            lambda x, f=_name, o=_ord, p=_power: getattr(tg.linalg, f)(x, o) ** p,
            np.zeros(1 if _ord == 1 else 2),
        )
for _ord, _power in itertools.product(("fro", "nuc", 2, -2), (1, 2)):
    NOWHERE[f"matrix norm {_ord} ** {_power}"] = (
        lambda x, o=_ord, p=_power: np.linalg.norm(x, o) ** p,
        np.zeros((2, 2)),
    )


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", NOWHERE)
def test_there_is_no_second_derivative_at_a_kink(name: str, how: str) -> None:
    f, x = NOWHERE[name]
    got = WAYS[how](f, x).reshape(x.size, x.size)
    assert not np.isfinite(np.diag(got)).any(), got


@pytest.mark.parametrize("how", COMPILED)
@pytest.mark.parametrize(
    "name",
    ["square of absolute", "square of hypot", "square of std", "square of nanstd", "two arrays",
     "norm 1 ** 2", "norm 2 ** 2", "vector_norm inf ** 2", "matrix norm 2 ** 2",
     "matrix norm nuc ** 2"],
)  # fmt: skip
def test_compiled_code_sees_the_same_kinks(name: str, how: str) -> None:
    f, x = NOWHERE[name]
    assert np.isnan(COMPILED[how](f, x)).all()


@pytest.mark.parametrize("name", NOWHERE)
def test_all_derivatives_across_a_kink_of_vectors_are_nan(name: str) -> None:
    f, x = NOWHERE[name]
    assert not np.isfinite(tg.hessian(f)(x)).any()


@pytest.mark.parametrize("order", [1, INF, -1, -INF])
def test_matrix_norms_by_sums_have_kinks_at_the_zeros_that_count(order: Any) -> None:
    f = lambda x: np.linalg.norm(x, order) ** 2
    for how in WAYS.values():
        assert np.isnan(np.diag(how(f, np.zeros((2, 2))).reshape(4, 4))).all()


#: Functions that are twice differentiable at x, where a rule has to take care of zeros.
RIGHT: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "square": (lambda x: np.sum(x**2), np.zeros(1), [[2.0]]),
    "cube": (lambda x: np.sum(x**3), np.zeros(1), [[0.0]]),
    "power": (lambda x: np.sum(x ** np.array([2.0, 3.0])), np.zeros(2), np.diag([2.0, 0.0])),
    "zeroth power": (
        lambda x: x[0] ** x[1],
        np.array([2.0, 0.0]),
        [[0.0, 0.5], [0.5, np.log(2) ** 2]],
    ),
    "power of zero": (lambda x: x[0] ** x[1], np.array([0.0, 3.0]), np.zeros((2, 2))),
    "sinc": (lambda x: np.sum(np.sinc(x)), np.zeros(1), [[-(np.pi**2) / 3]]),
    "var": (lambda x: np.var(x), np.ones(2), [[0.5, -0.5], [-0.5, 0.5]]),
    "std of single values": (lambda x: np.std(x[None], axis=0).sum(), np.ones(2), np.zeros((2, 2))),
    "norm 2 of a vector with a zero": (
        lambda x: np.linalg.norm(x) ** 2,
        np.array([0.0, 3.0]),
        2 * np.eye(2),
    ),
    "norm 3 of a vector with a zero": (
        lambda x: np.linalg.norm(x, 3),
        np.array([0.0, 3.0]),
        np.zeros((2, 2)),
    ),
    "norm 4 of a vector with a zero": (
        lambda x: np.linalg.norm(x, 4) ** 4,
        np.array([0.0, 3.0]),
        np.diag([0.0, 108.0]),
    ),
    "norm inf with zeros": (
        lambda x: np.linalg.norm(x, INF) ** 2,
        np.array([0.0, 3.0, 0.0]),
        np.diag([0.0, 2.0, 0.0]),
    ),
    "even norm -inf": (
        lambda x: tg.linalg.vector_norm(x, -INF) ** 2,
        np.array([1.0, 3.0]),
        np.diag([2.0, 0.0]),
    ),
    "norm 1 of a matrix with zeros": (
        lambda x: np.linalg.norm(x, 1) ** 2,
        np.array([[0.0, 2.0], [0.0, 3.0]]),
        [[0, 0, 0, 0], [0, 2, 0, 2], [0, 0, 0, 0], [0, 2, 0, 2]],
    ),
    "spectral norm of rank one": (
        lambda x: np.linalg.norm(x, 2) ** 2,
        np.diag([1.0, 0.0]),
        np.diag([2.0, 2.0, 2.0, 0.0]),
    ),
    "norm of a constant": (
        lambda x: np.sum(x**2) + np.linalg.norm(np.zeros(2)),
        np.zeros(2),
        2 * np.eye(2),
    ),
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", RIGHT)
def test_second_derivatives_that_exist_are_right(name: str, how: str) -> None:
    f, x, want = RIGHT[name]
    got = WAYS[how](f, x).reshape(x.size, x.size)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("name", ["power", "norm 3 of a vector with a zero", "norm inf with zeros"])
def test_compiled_second_derivatives_that_exist_are_right(name: str) -> None:
    f, x, want = RIGHT[name]
    for how in COMPILED.values():
        np.testing.assert_allclose(how(f, x), want, atol=1e-12)


# What is not at a kink ---------------------------------------------------------------------------

ROWS = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, -2.0]])


@pytest.mark.parametrize("order", [0.5, 1.5, 2, 3, INF, -1])
def test_only_vectors_of_zeros_among_many_have_no_second_derivative(order: float) -> None:
    f = lambda x: np.sum(tg.linalg.vector_norm(x, order, axis=1) ** 2)
    x = ROWS[:2]
    second = tg.jacrev(tg.grad(f))  # forward mode cannot tell rows apart, and gives nan for all
    for h in (second(x), tg.jit(second)(x)):
        assert np.isnan(h[0, :, 0, :]).all()
        np.testing.assert_array_equal(h[0, :, 1, :], 0.0)
        np.testing.assert_array_equal(h[1, :, 0, :], 0.0)
        alone = tg.hessian(lambda x: f(x[None]))(x[1])
        np.testing.assert_allclose(h[1, :, 1, :], alone, atol=1e-12)
    product = tg.jvp(tg.grad(f), (x,), (np.ones_like(x),))[1]
    assert np.isnan(product[0]).all()
    np.testing.assert_allclose(product[1], alone.sum(axis=1), atol=1e-12)


def test_rows_and_spreads_along_axes_have_kinks_of_their_own() -> None:
    for f in (
        lambda x: np.sum(np.linalg.norm(x, axis=1)),
        lambda x: np.sum(np.std(x, axis=1)),
        lambda x: np.sum(np.hypot(x[:, 0], x[:, 1])),
        lambda x: np.sum(np.linalg.norm(x[:, None], 2, axis=(1, 2))),
        lambda x: np.sum(np.linalg.norm(x[:, None], "nuc", axis=(1, 2))),
    ):
        h = tg.hessian(f)(ROWS)
        assert np.isnan(h[0, :, 0]).any()
        assert np.isfinite(h[1:]).all()


def test_what_a_mask_leaves_out_is_no_kink() -> None:
    huber = lambda x: np.sum(np.where(np.abs(x) <= 1, 0.5 * x**2, np.abs(x) - 0.5))
    x = np.array([0.0, 0.5, -3.0])
    np.testing.assert_array_equal(tg.hessian(huber)(x), np.diag([1.0, 1.0, 0.0]))

    def distances(x: Any) -> Any:
        apart = np.linalg.norm(x[:, None] - x[None], axis=-1)
        return np.sum(np.where(np.eye(3, dtype=bool), 0.0, apart))

    points = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, -2.0]])
    for h in (tg.hessian(distances)(points), tg.jit(tg.hessian(distances))(points)):
        assert np.isfinite(h).all()
        np.testing.assert_allclose(h.reshape(6, 6), h.reshape(6, 6).T)


def test_a_vector_of_zeros_that_nobody_moves_is_no_kink() -> None:
    x = np.array([1.0, 2.0])
    f = lambda x: np.linalg.norm(np.stack([np.zeros(2), x]), axis=1).sum() + np.abs(0.0)
    assert np.isfinite(tg.hessian(f)(x)).all()


# First derivatives, and orders beyond the second -------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NOWHERE if "root" not in n and "strict" not in n])
def test_first_derivatives_at_kinks_are_the_documented_ones(name: str) -> None:
    f, x = NOWHERE[name]
    g = tg.grad(f)(x)
    assert np.isfinite(g).all()
    for other in (
        tg.vmap(tg.grad(f))(x[None])[0],
        np.reshape([tg.jvp(f, (x,), (e,))[1] for e in basis(x)], x.shape),
    ):
        np.testing.assert_allclose(other, g, atol=1e-12)
    if not name.startswith(("spectral", "least", "nuclear", "matrix")) or name.endswith("** 2"):
        np.testing.assert_array_equal(g, 0.0)


def test_kinks_stay_nan_at_every_order() -> None:
    f = lambda x: np.abs(x) ** 3
    for order, want in enumerate((0.0, np.nan, np.nan, np.nan), start=1):
        g: Any = f
        for _ in range(order):
            g = tg.grad(g)
        np.testing.assert_array_equal(g(0.0), want)


@pytest.mark.parametrize(
    "function", [np.abs, lambda x: np.abs(x) * np.sign(x), lambda x: np.abs(x) ** 2]
)
def test_a_sweep_transposed_at_a_kink_has_the_documented_derivative(function: Any) -> None:
    """Compiled or differentiated, too: the point does not move, whatever the tangents are."""
    x, t = np.array([1.0, 0.0, -2.0]), np.array([1.0, 1.0, 2.0])

    def along(x: Any, t: Any) -> Any:
        return tg.linearize(function, x)[1](t)

    expected = tg.jvp(function, (x,), (t,))[1]
    np.testing.assert_array_equal(along(x, t), expected)
    np.testing.assert_array_equal(tg.jit(along)(x, t), expected)
    value, slope = tg.value_and_grad(lambda x: np.sum(along(x, t)))(x)
    assert value == np.sum(expected)
    np.testing.assert_array_equal(np.isnan(slope), [False, True, False])
    slope = tg.grad(lambda x: np.sum(along(x, x)))(x)
    np.testing.assert_array_equal(np.isnan(slope), [False, True, False])
    sparse = tg.sparse_jacobian(function, triple=True, compiled=True)(x)
    np.testing.assert_array_equal(sparse.data, np.diag(tg.jacrev(function)(x)))


def test_plain_gradients_record_no_kinks() -> None:
    for f in (np.abs, lambda x: np.linalg.norm(x), np.std):
        g = tg.jit(tg.grad(lambda x, f=f: np.sum(f(x))))
        assert "kinked" not in g.explain(np.ones(3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_kinks_keep_the_dtype(dtype: Any) -> None:
    h = tg.hessian(lambda x: np.sum(np.linalg.norm(x, axis=1) + np.abs(x).sum()))(
        ROWS.astype(dtype)
    )
    assert h.dtype == dtype
    assert np.isnan(h[0, :, 0]).any()
