"""The programs of the benchmarks, small: derivatives against differences, compiled against eager.

How long anything takes is not asked here.
"""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tapegrad as tg

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks import beside, gradbench, harness, npbench, orders, picture, side, workloads

SUITES = {
    "gradbench": gradbench,
    "npbench": npbench,
    "orders": orders,
    "workloads": workloads,
}
PROGRAMS = [p for suite in SUITES.values() for p in suite.PROGRAMS]
NAMES = [f"{name}: {p.name}" for name, suite in SUITES.items() for p in suite.PROGRAMS]
each = pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)


def named(name):
    return next(p for p in PROGRAMS if p.name == name)


def in_double(tree):
    """Arguments in float64, in which differences are exact enough."""
    if isinstance(tree, (tuple, list)):
        return type(tree)(in_double(part) for part in tree)
    single = isinstance(tree, np.ndarray) and tree.dtype == np.float32
    return tree.astype(np.float64) if single else tree


def moved(tree, direction, step):
    if isinstance(tree, (tuple, list)):
        return type(tree)(moved(t, d, step) for t, d in zip(tree, direction, strict=True))
    return tree + step * direction


def drawn_like(tree, rng):
    if isinstance(tree, (tuple, list)):
        return type(tree)(drawn_like(part, rng) for part in tree)
    return rng.normal(size=np.shape(tree))


def inner(a, b):
    return sum(np.sum(x * y) for x, y in zip(side.leaves(a), side.leaves(b), strict=True))


def along(function, args, by, direction, step=1e-6):
    """The central difference of the function's result, along a direction in some arguments."""

    def at(s):
        there = list(args)
        for i, d in zip(by, direction, strict=True):
            there[i] = moved(args[i], d, s)
        return function(*there)

    up, down = side.leaves(at(step)), side.leaves(at(-step))
    return [(a - b) / (2 * step) for a, b in zip(up, down, strict=True)]


@pytest.mark.parametrize(
    "program",
    [p for p in PROGRAMS if isinstance(p.derivative, beside.ValueAndGrad)],
    ids=lambda p: p.name,
)
def test_a_gradient_is_what_central_differences_give(program):
    args = in_double(program.data(*program.small))
    by = program.derivative.argnums
    value, gradient = program.derivative(tg, program.function)(*args)
    np.testing.assert_allclose(value, program.function(*args), rtol=1e-12)
    gradients = gradient if len(by) > 1 else (gradient,)
    rng = np.random.default_rng(3)
    for _ in range(3):
        direction = [drawn_like(args[i], rng) for i in by]
        (slope,) = along(program.function, args, by, direction)
        np.testing.assert_allclose(inner(gradients, direction), slope, rtol=1e-5, atol=1e-7)


@each
def test_compiled_it_gives_what_it_gives_eagerly(program):
    args = program.data(*program.small)
    function = program.derivative(tg, program.function)
    if program.compiles:  # it is compared with dense derivatives below
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it must not run as it is
        jitted = tg.jit(function)
        expected, found = side.leaves(function(*args)), side.leaves(jitted(*args))
    single = any(a.dtype == np.float32 for a in expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, atol=scale * (1e-5 if single else 1e-11), rtol=0)
    for _ in range(2):
        jitted(*args)
    assert jitted.stats().eager_calls == 0
    assert jitted.stats().traces <= 2


def test_the_sixth_derivative_of_tanh_is_that_of_its_formula():
    def formula(x):
        t = np.tanh(x)
        return -16 * t * (1 - t * t) * (45 * t**4 - 60 * t * t + 17)

    for name in ("sixth derivative of tanh", "sixth derivative of tanh, 10,000 numbers"):
        program = named(name)
        (x,) = program.data(*program.small)
        found = program.derivative(tg, program.function)(x)
        np.testing.assert_allclose(found, formula(x), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["hessian of 200", "hessian of 200 arguments"])
def test_a_hessian_is_the_difference_of_gradients(name):
    program = named(name)
    (x,) = program.data(*program.small)
    found = program.derivative(tg, program.function)(x)
    for direction in np.eye(len(x)):
        (column,) = along(tg.grad(program.function), (x,), (0,), (direction,))
        np.testing.assert_allclose(found @ direction, column, rtol=1e-6, atol=1e-8)


def test_a_hessian_times_a_vector_is_the_difference_of_gradients():
    program = named("hessian of a network times a vector")
    *args, vector = program.data(*program.small)
    found = program.derivative(tg, program.function)(*args, vector)
    (expected,) = along(tg.grad(program.function), args, (0,), (vector,))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["jacobian, 3 of 10,000", "hand, 26 columns"])
def test_a_jacobian_is_the_difference_of_results(name):
    program = named(name)
    args = program.data(*program.small)
    found = program.derivative(tg, program.function)(*args)
    for i, direction in enumerate(np.eye(len(args[0]))):
        (column,) = along(program.function, args, (0,), (direction,))
        np.testing.assert_allclose(found[..., i], column, rtol=1e-6, atol=1e-8)


def test_a_sparse_jacobian_is_the_difference_of_results():
    program = named("bundle adjustment, sparse jacobian")
    args = program.data(*program.small)
    data, indices, indptr, shape = program.derivative(tg, program.function)(*args)
    rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
    sizes = [args[i].size for i in range(3)]
    for j in range(0, shape[1], 5):
        unit = np.split(np.eye(shape[1])[j], np.cumsum(sizes)[:-1])
        direction = [part.reshape(args[i].shape) for i, part in enumerate(unit)]
        difference = np.concatenate(
            [part.ravel() for part in along(program.function, args, range(3), direction)]
        )
        column = np.zeros(shape[0])
        column[rows[indices == j]] = data[indices == j]
        np.testing.assert_allclose(column, difference, rtol=1e-5, atol=1e-7)


def test_the_direction_of_k_means_leads_to_the_means():
    program = named("k-means, Newton's direction")
    centres, points = program.data(*program.small)
    direction = program.derivative(tg, program.function)(centres, points)
    nearest = np.argmin(np.sum((points[:, None] - centres) ** 2, axis=2), axis=1)
    means = np.stack([points[nearest == k].mean(axis=0) for k in range(len(centres))])
    np.testing.assert_allclose(centres - direction, means, rtol=1e-10)


def test_the_particle_lands_where_newton_sends_it():
    program = named("particle, Newton's step")
    (control,) = program.data(*program.small)
    slope = tg.jacfwd(program.function)
    (expected,) = along(program.function, (control,), (0,), (1.0,))
    np.testing.assert_allclose(slope(control), expected, rtol=1e-6)
    (curve,) = along(slope, (control,), (0,), (1.0,))
    after = program.derivative(tg, program.function)(control)
    np.testing.assert_allclose(after, control - expected / curve, rtol=1e-5)


def test_both_players_end_at_the_saddle_point():
    program = named("saddle point")
    gallery = sys.modules[program.function.__module__]
    first, second = program.data(*program.small)
    (slope,) = along(gallery.answered, (first, second), (0,), (np.ones(3),))
    np.testing.assert_allclose(np.sum(tg.grad(gallery.answered)(first, second)), slope, rtol=1e-6)
    for _ in range(3):
        first = program.function(first, second)
    np.testing.assert_allclose(first, 0, atol=1e-4)


def test_the_determinant_is_numpys():
    program = named("determinant by cofactors, 6x6")
    (matrix,) = program.data(4)
    np.testing.assert_allclose(program.function(matrix), np.linalg.det(matrix), rtol=1e-12)


# The instrument ----------------------------------------------------------------------------------


def test_a_side_is_measured_from_the_first_call_to_a_new_shape():
    program = replace(workloads.PROGRAMS[0], size=(7,), other=(9,), primal=True)
    numbers, results = side.measure_side(program, "tapegrad", everything=True, seconds=0.0)
    wanted = {"first", "median", "primal", "peak", "shape", "counts", "warnings"}
    assert set(numbers) == wanted
    assert numbers["counts"]["kernels_for_shape"] == 0
    assert not numbers["warnings"]
    x = program.data(7)[0]
    np.testing.assert_allclose(results[0], program.function(x))
    json.dumps(numbers)


def test_four_sets_of_arguments_differ_in_numbers_only():
    program = named("clip and Adam, float32")
    sets = [side._varied(program.data(*program.small), k) for k in range(side.SETS)]
    first = side.leaves(sets[0])
    for other in map(side.leaves, sets[1:]):
        assert [(a.shape, a.dtype) for a in other] == [(a.shape, a.dtype) for a in first]
        assert any(np.any(a != b) for a, b in zip(other, first, strict=True))


def row(name, ours, jax, group=""):
    numbers = {"tapegrad": {"median": ours}, "jax": {"median": jax}}
    return beside.Row(name, group, numbers)


def test_in_a_mean_the_rows_of_a_group_count_once():
    rows = [row("a", 1.0, 8.0, "g"), row("b", 1.0, 2.0, "g"), row("c", 1.0, 1.0), row("d", 0, 0)]
    mean = beside.geometric_mean(rows, lambda row: row.ratio("median"))
    assert mean == pytest.approx(2.0)


def test_the_mean_on_record_is_that_of_the_rows_that_were_stored(tmp_path):
    rows = [row("a", 1.0, 8.0, "g"), row("b", 1.0, 2.0, "g"), row("c", 1.0, 1.0)]
    for name, text in beside.stored("suite", rows, "<svg/>").items():
        (tmp_path / name).write_text(text)
    assert beside.mean_on_record("suite", tmp_path) == pytest.approx(2.0)
    assert np.isnan(beside.mean_on_record("other", tmp_path))


def test_results_that_differ_are_found():
    a = [np.arange(3.0), np.array(2.0)]
    assert beside.difference(a, a) == 0
    assert beside.difference(a, [a[0] * 1.01, a[1]]) == pytest.approx(0.01, rel=0.02)
    assert beside.difference(a, a[:1]) == np.inf


def test_a_failed_program_is_a_row_and_a_note_and_not_a_mean():
    rows = [row("a", 1.0, 4.0), beside.Row("b", "", problem="tapegrad: ValueError: no")]
    table = beside.table_of("t", rows)
    assert table.rows[1][1] == "failed"
    assert beside.notes_of(rows) == ["b: tapegrad: ValueError: no."]
    assert beside.means_of(rows)["jax / tapegrad, later calls"] == pytest.approx(4.0)
    (goals,) = beside.goals_of(rows, beside.means_of(rows)).values()
    assert [goal.verdict() for goal in goals[:2]] == ["met", "met"]
    assert harness.render("suite", harness.Report([table], {"Goals": goals}), markdown=True)


def test_the_picture_has_a_bar_for_each_ratio_that_is_known():
    text = picture.bars("a < b", {"slow & small": 0.5, "fast": 3.0, "none": np.nan, "mean": 1.2})
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    fills = [r.get("fill") for r in root.iter(f"{space}rect")]
    assert fills == ["white", picture.SLOWER, picture.FASTER, picture.LAST]
    words = [t.text for t in root.iter(f"{space}text")]
    assert {"a < b", "slow & small", "not measured", "0.50", "3.00"} <= set(words)
