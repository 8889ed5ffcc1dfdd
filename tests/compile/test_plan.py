"""Plans: reductions over all axes and layouts, parts, accuracy of sums."""

import itertools
import math
import sys
import tracemalloc

import numpy as np
import pytest
from staged import recording_of

import tapegrad as tg
from tapegrad.compile.backends.llvm import loops, parts

RNG = np.random.default_rng(7)
SHAPES = [(5,), (3, 4), (2, 3, 4), (2, 3, 2, 3)]


def layouts(x):
    """Return arrays of one shape with the same values, laid out differently."""
    yield "C", x
    yield "F", np.asfortranarray(x)
    yield "reversed", np.ascontiguousarray(x[::-1])[::-1]
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]))
    wide[..., ::2] = x
    yield "strided", wide[..., ::2]
    yield "moved", np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(-1, *range(x.ndim - 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reductions_over_every_set_of_axes_of_every_layout_are_those_of_numpy(shape):
    x = RNG.normal(size=shape)
    sets = [
        axes
        for n in range(1, len(shape) + 1)
        for axes in itertools.combinations(range(len(shape)), n)
    ]

    def f(x):
        y = x * 1.5 + 0.25
        return [(y.sum(axis=a), y.max(axis=a), (y * y).mean(axis=a, keepdims=True)) for a in sets]

    jitted = tg.jit(f, strict=True)
    wanted = f(x)
    for name, array in layouts(x):
        for _ in range(2):
            for a, b in zip(jitted(array), wanted):
                for got, expected in zip(a, b):
                    np.testing.assert_allclose(got, expected, 1e-13, 1e-13, err_msg=name)
                    assert type(got) is type(expected)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (1, 2), (0, 2)])
def test_reductions_of_float32_have_its_accuracy(axis):
    x = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    f = lambda x: (np.exp(x).sum(axis=axis), (x * 2).min(axis=axis), (x * x).prod(axis=axis))
    jitted = tg.jit(f)
    for _ in range(2):
        for got, wanted in zip(jitted(x), f(x)):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, wanted, 3e-6)


@pytest.mark.parametrize(
    "size", [loops.BLOCK - 1, loops.BLOCK, loops.BLOCK * 2 + 1, 300_000, 2_000_000]
)
def test_sums_in_blocks_are_accurate(size):
    x = RNG.normal(size=size)
    jitted = tg.jit(lambda x: np.sum(x * 1.5))
    exact = math.fsum(x * 1.5)
    for _ in range(2):
        error = abs(jitted(x) - exact)
        assert error <= 1e-15 * np.sqrt(size) * 50
        assert error <= 1e-13 * math.fsum(abs(x))


@pytest.mark.parametrize("shape", [(40_000, 3), (3, 40_000), (300, 400), (70_001,)], ids=str)
def test_parts_give_what_the_whole_gives(shape, monkeypatch):
    x = RNG.normal(size=shape)
    y = RNG.normal(size=shape[-1:])

    def f(x, y):
        z = np.exp(-x * x) * y
        return z, z.sum(), z.sum(axis=0), z.max(axis=-1), z.min(), (z * z).prod(axis=-1)

    def run():
        jitted = tg.jit(f)
        jitted(x, y)
        return jitted(x, y)

    monkeypatch.setattr(parts, "WORTH_DIVIDING", 1000)
    monkeypatch.setattr(parts, "PART", 500)
    divided = run()
    monkeypatch.setattr(parts, "WORTH_DIVIDING", 10**9)
    for a, b in zip(divided, run()):
        np.testing.assert_allclose(a, b, 1e-12, 1e-12)


def test_an_error_in_a_library_step_is_that_of_the_function():
    jitted = tg.jit(lambda a, b: np.linalg.inv(a) @ b)
    jitted(np.eye(2), np.ones(2))
    jitted(np.eye(2), np.ones(2))
    with pytest.raises(np.linalg.LinAlgError):
        jitted(np.zeros((2, 2)), np.ones(2))


def test_a_plan_is_source_that_names_its_steps():
    plan = recording_of(lambda x: np.exp(x @ x) * 2, np.eye(3)).plan
    assert plan.source.startswith("def plan(x):\n    # x: float64[3, 3]\n")
    assert "matmul = as_c(np_matmul(x, x))  # test_plan.py:" in plan.source
    assert "# kernel_0: exp, multiply  (test_plan.py:" in plan.source
    assert [e.primitive.name for e in plan.library_steps] == ["matmul"]


def test_large_arrays_are_let_go_after_their_last_use():
    def f(x):
        for _ in range(12):
            x = np.roll(x, 1) * 0.5 + x
        return x

    def peak(function):
        tracemalloc.start()
        function(x)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    x = np.ones(50_000)
    compiled = tg.jit(f)
    compiled(x)
    compiled(x)
    assert peak(compiled) < 1.5 * peak(f)


@pytest.mark.skipif(sys.platform != "linux", reason="what glibc does with freed memory")
def test_calls_of_a_plan_get_the_memory_of_the_call_before():
    resource = pytest.importorskip("resource")
    x = np.random.default_rng(0).normal(size=100_000)
    f = tg.jit(tg.value_and_grad(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2)))
    for _ in range(10):
        f(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        f(x)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 2000


def test_a_question_that_is_asked_again_is_one_guard():
    def f(parts, t):
        return [p / (1 - 0.9**t) for p in parts]

    parts = [np.arange(3.0) + i for i in range(5)]
    recording = recording_of(f, parts, 10.0)
    assert len(recording.boundary.guards) <= 2
    jitted = tg.jit(f)
    for t in (10.0, 3.0, 10.0):
        for a, b in zip(jitted(parts, t), f(parts, t), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
    with pytest.raises(ZeroDivisionError):
        tg.jit(lambda t: 1.0 / (1 - 0.9**t))(0.0)


def test_questions_that_differ_are_guards_each():
    def f(x):
        y = x * 1.0
        out = y if y[0] > 0 else -y
        y[0] = -y[0]
        return out * 2 if y[0] > 0 else out * 3

    jitted = tg.jit(f)
    for first in (1.0, -1.0, 0.0, 1.0):
        x = np.array([first, 2.0])
        for _ in range(2):
            np.testing.assert_array_equal(jitted(x), f(x))
    assert len(recording_of(f, np.array([1.0, 2.0])).boundary.guards) == 2


@pytest.mark.parametrize("new", [np.arange(3.0), np.ones(3), 4.0], ids=str)
def test_an_argument_that_becomes_a_constant_is_written(new):
    def f(x):
        y = np.sum(x * 2.0)
        x[...] = new
        return y

    jitted = tg.jit(f)
    for _ in range(3):
        x = np.array([1.0, 2.0, 3.0])
        assert jitted(x) == 12.0
        np.testing.assert_array_equal(x, np.broadcast_to(new, 3))
    assert jitted.stats()[::4] == (1, 0)
