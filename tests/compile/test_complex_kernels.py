"""Complex operations as kernels: pairs of real numbers compute what NumPy computes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compile.passes import pairs
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import primitives

RNG = np.random.default_rng(1)
Z, W = (RNG.normal(size=(40, 30)) + 1j * RNG.normal(size=(40, 30)) for _ in range(2))
X = RNG.normal(size=(40, 30))


@pytest.fixture
def all_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take everything apart, whether it is worth it or not."""
    for name in ("KERNEL", "READING", "WRITING"):
        monkeypatch.setattr(pairs, name, 0)


def near(got: Any, expected: Any, tolerance: float = 1e-13) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    tolerance = tolerance if expected.dtype in (float, complex) else 1e-5
    size = np.maximum(np.abs(expected), 1.0)
    assert np.all(np.abs(got - expected) <= tolerance * size)


FUNCTIONS = [
    lambda z, w, x: z * w + z * x - 1,
    lambda z, w, x: (z - w) / (z + 2j) + np.conj(w) * z.real[:1],
    lambda z, w, x: np.exp(1j * x) * z + np.reciprocal(w) - x,
    lambda z, w, x: np.sum(np.abs(z * w) ** 2, axis=0) + np.imag(z * z)[0],
    lambda z, w, x: np.mean(z * np.conj(w) + x, axis=1),
    lambda z, w, x: np.var(z * x) + np.where(x > 0, z * w, x).real.sum(),
    lambda z, w, x: (z * w + 1, np.real(z * w + 1), (z * w + 1).imag),
    lambda z, w, x: np.square(z * 2 + 1)[:, None].sum(1) * 1j,
    lambda z, w, x: z * w * (x > 0) + (x < 1) - z * (x > 0).astype(np.int8),
]


@pytest.mark.parametrize("f", FUNCTIONS, ids=range(len(FUNCTIONS)))
@pytest.mark.parametrize("single", [False, True])
def test_functions_and_gradients(f: Any, single: bool, all_split: None) -> None:
    args = [a.astype("F" if a.dtype == complex else "f") if single else a for a in (Z, W, X)]

    def loss(*args: Any) -> Any:
        y = f(*args)
        return sum(np.sum(np.abs(part) ** 2) for part in (y if type(y) is tuple else (y,)))

    for function in (f, tg.grad(loss, argnums=(0, 1, 2))):
        compiled = tg.jit(function, strict=True)
        for _ in range(2):
            got, expected = compiled(*args), function(*args)
            expected = expected if type(expected) is tuple else (expected,)
            for a, b in zip(got if type(got) is tuple else (got,), expected, strict=True):
                near(a, b, 1e-11)
        assert compiled.stats().eager_calls == 0
        assert "# kernel_0" in compiled.explain(*args)


def test_what_hangs_together_is_one_kernel_if_it_is_worth_it() -> None:
    text = tg.jit(lambda z, x: np.sum(np.abs(np.exp(1j * x) * z) ** 2)).explain(Z, X)
    assert "1 kernels" in text and "library steps: real_copy" in text
    assert "0 kernels" in tg.jit(lambda z: np.abs(z)).explain(Z)
    assert "0 kernels" in tg.jit(lambda z, w: z * w).explain(Z, W)


def test_results_and_the_views_of_them_have_the_memory_that_they_have_in_numpy(
    all_split: None,
) -> None:
    def f(z: Any) -> Any:
        y = z * 2 + 1
        return y, y.real, np.conj(y).real, y.real * 1

    results = tg.jit(f, strict=True)(Z)
    wanted = f(Z)
    for i in range(4):
        for j in range(i):
            shared = np.shares_memory(wanted[i], wanted[j])
            assert np.shares_memory(results[i], results[j]) == shared


NUMBERS = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 1e-300, 1e300, 800.0, -800.0]
PLANE = np.array([complex(a, b) for a in NUMBERS for b in NUMBERS])
ONE = [
    "positive",
    "negative",
    "conjugate",
    "square",
    "reciprocal",
    "absolute",
    "exp",
    "real",
    "imag",
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [*ONE, "add", "subtract", "multiply", "divide"])
def test_infinities_zeros_and_nan_are_numpys(name: str, all_split: None) -> None:
    primitive = primitives[name]
    column = PLANE[:, None]
    two = [(column, PLANE), (column, PLANE.real), (column.real, PLANE)]
    compiled = tg.jit(lambda *args: bind(primitive, *args) * 1, strict=True)
    for given in [(PLANE,)] if name in ONE else two:
        got, expected = compiled(*given), primitive.forward(*given) * 1
        for part in (np.real, np.imag):
            np.testing.assert_allclose(part(got), part(expected), rtol=1e-13, atol=1e-308)


def _laws() -> Any:
    here = str(Path(__file__).parents[1] / "laws")
    if here not in sys.path:
        sys.path.append(here)
    import test_complex_plane

    return test_complex_plane


SPLIT = (
    "absolute", "add", "conjugate", "divide", "exp", "imag", "kinked", "mean", "multiply", "negative",
    "positive", "real", "reciprocal", "square", "subtract", "sum", "var", "where",
)  # fmt: skip


@pytest.mark.parametrize("name", SPLIT)
def test_primitives_obey_the_laws_of_compiled_code(name: str, all_split: None) -> None:
    assert primitives[name].pairs is not None
    plane = _laws()
    for law in (plane.checks.check_jit, plane.checks.check_jit_of_vjp):
        plane.test_what_takes_complex_numbers_compiles_to_what_it_is(law, name)
