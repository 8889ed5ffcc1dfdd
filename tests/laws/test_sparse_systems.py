"""What SciPy computes for sparse matrices obeys the laws: their systems, and products by its loops."""

from __future__ import annotations

from typing import Any

import checks
import numpy as np
import pytest
from checks import Application
from samples import SAMPLES
from sparse_matrices import SPSOLVE, system
from test_registry import LAWS, sample, seeded

from tapegrad.tape.core.primitive import primitives

pytest.importorskip("scipy.sparse.linalg")

SYSTEMS = [(3, 1, False), (4, 2, True), (1, 3, False), (2, 0, True), (0, 2, False)]
PRODUCTS = ["csr_matmul", "csr_sampled"]


def application(n: int, width: int, transposed: bool, seed: int) -> Application:
    args, params = system(np.random.default_rng(seed), n, width, transposed)
    return Application(primitives[SPSOLVE], args, params)


@pytest.mark.parametrize("size", SYSTEMS)
@pytest.mark.parametrize("law", [key for key in LAWS if key != "vmap"])
def test_systems_obey(law: str, size: Any) -> None:
    LAWS[law](application(*size, seed=0), np.random.default_rng(1))


@pytest.mark.parametrize("size", SYSTEMS)
def test_vmap_of_systems_is_a_loop(size: Any) -> None:
    first, *others = (application(*size, seed=k) for k in range(3))
    checks.check_vmap(first, np.random.default_rng(1), others)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", SYSTEMS)
def test_systems_compile_to_what_they_are(size: Any, dtype: Any) -> None:
    apps = [application(*size, seed=k).cast(dtype) for k in range(3)]
    checks.check_jit(apps, np.random.default_rng(1))
    checks.check_jit_of_vjp(apps, np.random.default_rng(1))


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("law", LAWS)
def test_products_obey(law: str, name: str) -> None:
    for recipe in range(len(SAMPLES[name])):
        rng = seeded(name, recipe)
        LAWS[law](sample(name, recipe, rng), rng)


def test_integers_have_solutions_that_are_floats() -> None:
    eye = np.array([2, 4]), np.array([[1], [2]]), np.arange(2), np.arange(3)
    got = primitives[SPSOLVE].forward(*eye, transposed=False)
    assert got.dtype == float and got.tolist() == [[0.5], [0.5]]
