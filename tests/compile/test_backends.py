"""Numba's kernels compute what a back end of plain Python computes of the same nests."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import Any

import numpy as np
import plain_backend
import pytest
from samples import SAMPLES
from staged import optimised
from test_row_kernels import SHAPES, random_program

import tapegrad as tg
from tapegrad.compile.backends.expressions import Call, calls, evaluate, parse
from tapegrad.compile.backends.interface import current, using
from tapegrad.compile.backends.llvm.vecmath import ULPS
from tapegrad.compile.fusion import elements, groups
from tapegrad.compile.plans.plan import build
from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.program import Program

#: NumPy's own functions, which the plain back end uses, are within this of the exact result.
NUMPY_ULPS = 4.0


@pytest.fixture(autouse=True)
def _kernels_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_worth_it", lambda *_: True)


def both(program: Program, args: Any) -> tuple[Any, Any, Any]:
    """Return the results of Numba's kernels and of the plain ones, and the plan of the former."""
    plan = build(program, strict=True)
    with using(plain_backend):
        plain = build(program, strict=True)
    assert [len(k.source) > 0 for k in plan.kernels] == [True] * len(plain.kernels)
    return plan.run(*args), plain.run(*args), plan


def program_of_one(name: str, args: Any, params: Any) -> Program | None:
    """Return the program that applies one primitive, if kernels can."""
    inputs = [Node(None, (), {}, (), a.shape, a.dtype) for a in args]
    with np.errstate(all="ignore"):
        y = np.asarray(primitives[name].forward(*args, **params))
    node = entry(primitives[name], tuple(inputs), params, y.shape, y.dtype)
    return Program(inputs, [node], [node]) if elements.can_lower(node, ()) else None


def recipes(name: str, dtype: str) -> Any:
    """Yield arguments and parameters of a primitive: numbers, and where it has them the special ones."""
    for i, sample in enumerate(SAMPLES[name]):
        rng = np.random.default_rng([zlib.crc32(name.encode()), i])
        args, params = sample(rng)
        args = [np.array(a, order="C") for a in map(np.asarray, args)]
        args = [a.astype(dtype) if a.dtype.kind == "f" else a for a in args]
        if "dtype" not in params or name == "cast":
            yield args, params
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, 1e30], dtype)
    if primitives[name].family == "elementwise" and all(a.dtype.kind == "f" for a in args):
        grid = np.meshgrid(*[special] * len(args), indexing="ij")
        yield [np.array(a, order="C") for a in grid], params


def lowered(name: str) -> bool:
    programs = (program_of_one(name, *recipe) for recipe in recipes(name, "f8"))
    return any(program is not None for program in programs)


NAMES = [
    name
    for name in sorted(SAMPLES)
    if primitives[name].kernel is not None or primitives[name].reduction is not None
    if lowered(name)
]


def test_the_registry_has_kernels() -> None:
    assert {"sum", "prod", "max", "min", "vector_norm", "tanh", "where", "cast"} <= set(NAMES)
    assert len(NAMES) > 65


def ulps_of(node: Node) -> float:
    """Return how far the results of two kernels for an elementwise entry may be apart."""
    expression = elements.expression_of(node, ())
    assert expression is not None
    bounds = [ULPS[c.function] for c in calls(expression) if ULPS.get(c.function, 0) > 0.5]
    return sum(bound + NUMPY_ULPS for bound in bounds)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", NAMES)
def test_every_primitive_is_computed_by_numba_as_by_plain_loops(name: str, dtype: str) -> None:
    seen = 0
    for args, params in recipes(name, dtype):
        program = program_of_one(name, args, params)
        if program is None or not all(a.size for a in args):
            continue
        (got,), (wanted,), plan = both(program, args)
        seen += len(plan.kernels)
        assert not plan.library_steps
        (node,) = program.entries
        if primitives[name].family == "reduction":
            size = np.sum(np.abs(args[0])) if name == "sum" else 1.0
            bound = 4 * args[0].size * np.finfo(dtype).eps
            np.testing.assert_allclose(got, wanted, rtol=bound, atol=bound * size)
            continue
        assert np.shape(got) == np.shape(wanted)
        assert np.asarray(got).dtype == np.asarray(wanted).dtype == node.dtype
        assert_within(np.asarray(got), np.asarray(wanted), ulps_of(node))
    assert seen


def assert_within(got: Any, wanted: Any, ulps: float) -> None:
    """Check that numbers are a few units in the last place apart, and specials the same."""
    if not ulps or got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
        return
    finite = np.isfinite(wanted) & np.isfinite(got)
    np.testing.assert_array_equal(got[~finite], wanted[~finite])
    unit = np.maximum(np.spacing(np.abs(wanted[finite])), np.finfo(got.dtype).tiny)
    assert np.all(np.abs(got[finite] - wanted[finite]) <= ulps * unit)


def cases() -> Any:
    """Yield functions whose kernels have every form: rows, columns, blocks, parts, turned loops."""
    rows = lambda x: x / np.sum(np.exp(x), axis=1, keepdims=True)
    norms = lambda x: np.sum(tg.linalg.vector_norm(x, 3, axis=1) * np.max(x, axis=1))
    yield "rows", tg.value_and_grad(lambda x: np.sum(rows(x) ** 2))
    yield "columns", lambda x: (np.sum(np.tanh(x), axis=0), np.prod(x * 0.5, axis=0), np.min(x))
    yield "norms", tg.value_and_grad(norms)
    yield "spread", tg.value_and_grad(lambda x: np.sum(np.std(x, axis=1)) + np.var(x))
    yield "choice", lambda x: np.where((x > 0) & ~np.isnan(x), np.sin(x) * 2, np.abs(x) ** 0.3)
    yield "numbers", lambda x: (np.sum(x * x), np.sum(np.abs(x)) * 2.0 + 1, np.float64(3.0) * 2)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize(
    ("name", "function"), list(cases()), ids=lambda c: c if type(c) is str else ""
)
def test_kernels_of_every_form_are_those_of_plain_loops(
    name: str, function: Any, layout: str, dtype: str
) -> None:
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(dtype)
    x = np.asfortranarray(x) if layout == "F" else x[:, ::2] if layout == "strided" else x
    with results_of_both(function, x) as (got, wanted):
        for a, b in zip(got, wanted):
            np.testing.assert_allclose(a, b, rtol=1e-4 if dtype == "f4" else 1e-11, atol=1e-6)


@contextmanager
def results_of_both(function: Any, *args: Any) -> Any:
    """Give what a jitted function returns with Numba's kernels, and with plain ones, as lists."""
    results = []
    for backend in (current(), plain_backend):
        with using(backend):
            jitted = tg.jit(function, strict=True)
            for _ in range(2):
                jitted(*args)
            result = jitted(*args)
            assert jitted.stats().kernels_compiled + jitted.stats().kernels_reused
        results.append(list(result) if isinstance(result, tuple | list) else [result])
    yield results


@pytest.mark.parametrize("seed", range(12))
def test_random_mixtures_of_rows_and_elements_are_those_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    function = random_program(rng)
    arrays = [np.asarray(rng.normal(size=shape)) for shape in SHAPES.values()]
    program = optimised(function, *arrays)
    got, wanted, _ = both(program, arrays)
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200, 0.0, np.inf])
def test_rows_whose_sum_is_no_good_are_computed_anew_by_both(scale: float) -> None:
    x = np.random.default_rng(0).normal(size=(3, 5)) * np.array([[1.0], [scale], [1.0]])
    for ord in (1, 2, 2.5, 3, 4):
        function = lambda x, ord=ord: tg.linalg.vector_norm(x, ord, axis=1) * 1.0
        with np.errstate(all="ignore"), results_of_both(function, x) as ((got,), (wanted,)):
            np.testing.assert_allclose(got, wanted, rtol=1e-13)


def test_what_is_compiled_with_one_back_end_stays_as_it_is() -> None:
    x = np.linspace(0, 1, 5)
    jitted = tg.jit(lambda x: np.exp(x) * 2, strict=True)
    with using(plain_backend):
        for _ in range(2):
            first = jitted(x)
        assert "LoopNest(" in jitted.explain(x)
    np.testing.assert_array_equal(jitted(x), first)
    assert current() is not plain_backend


# Expressions -------------------------------------------------------------------------------------

F4, F8, I8, B = (np.dtype(c) for c in ("f4", "f8", "i8", "?"))


def test_numbers_in_a_text_take_the_dtype_that_they_meet() -> None:
    for dtype in (F4, F8):
        tree = parse("1 / (1 + exp(-x))", (dtype,), dtype)
        assert {c.dtype for c in calls(tree)} == {dtype}
        assert evaluate(tree, {"x": dtype.type(0.5)}).dtype == dtype


def test_what_is_compared_is_so_in_the_dtype_of_what_it_is_made_of() -> None:
    tree = parse("x if x > y else 0", (I8, I8), F8)
    (choice, comparison) = calls(tree)
    assert (choice.dtype, comparison.dtype, comparison.arguments[0].dtype) == (F8, B, I8)
    assert evaluate(tree, {"x": np.int64(3), "y": np.int64(2)}) == 3.0


@pytest.mark.parametrize(
    ("text", "values", "wanted"),
    [
        ("abs(x) ** y", (-2.0, 3.0), 8.0),
        ("(x >= 1) and (x < inf)", (2.0,), 1.0),
        ("not x", (0.0,), 1.0),
        ("-3 * x", (2.0,), -6.0),
        ("max(x, y) % 2", (3.0, 1.0), 1.0),
    ],
)
def test_texts_are_read_as_python_means_them(text: str, values: Any, wanted: float) -> None:
    tree = parse(text, (F8,) * len(values), F8)
    assert evaluate(tree, dict(zip("xyz", map(np.float64, values)))) == wanted


@pytest.mark.parametrize("text", ["x[0]", "x < y < z", "lambda: x", "x @ y"])
def test_what_is_no_scalar_expression_is_refused(text: str) -> None:
    with pytest.raises((SyntaxError, KeyError)):
        parse(text, (F8, F8, F8), F8)


def test_a_back_end_says_what_it_can_do() -> None:
    backend = current()
    call = lambda function, dtype: Call(function, (Call("exp", (), dtype),) * 2, dtype)
    assert backend.supports(call("add", F4))
    assert backend.supports(call("add", I8))
    assert not backend.supports(call("add", B))  # NumPy's is a logical or
    assert not backend.supports(call("add", np.dtype("i4")))  # which would not wrap around
    assert not backend.supports(call("gcd", I8))
    assert backend.combines("maximum")
    assert not backend.combines("logaddexp")


def test_zeros_of_both_signs_make_different_expressions() -> None:
    positive, negative = (parse(text, (F8,), F8) for text in ("x + 0.0", "x + -0.0"))
    assert positive != negative
    for tree, sign in ((positive, 1.0), (negative, -1.0)):
        assert np.copysign(1.0, evaluate(tree, {"x": np.float64(-0.0)})) == sign
