"""Kernels that run over each row several times: reductions whose results the same kernel uses."""

import numpy as np
import pytest
from staged import recording_of, steps_of

import tapegrad as tg
from tapegrad.compile.backends.llvm import parts

X = np.random.default_rng(0).normal(size=(5, 7))


def compiled(function, *args):
    """Return what the plan gives: the first calls record, and run the function itself."""
    jitted = tg.jit(function, strict=True)
    for _ in range(3):
        jitted(*args)
    return jitted(*args)


def softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def standardised(x):
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)


def log_sum(x):
    return np.sum(np.log(np.sum(np.exp(x), axis=-1)))


def channels(x):
    axes = (0, *range(2, x.ndim))
    centred = x - np.mean(x, axis=axes, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred**2, axis=axes, keepdims=True) + 1e-3)
    weights = np.reshape(np.arange(1.0, x.shape[1] + 1), (-1, *(1,) * (x.ndim - 2)))
    return centred * scale * weights


def of_channels(x):
    axes = (0, *range(2, x.ndim))
    total = np.sum(np.exp(np.tanh(x)), axis=axes)
    return (
        total,
        np.log(total),
        np.sum(np.sqrt(total)),
        x / np.reshape(total, (-1, *(1,) * (x.ndim - 2))),
    )


FUNCTIONS = [
    softmax,
    standardised,
    tg.value_and_grad(log_sum),
    tg.grad(lambda x: np.sum(standardised(x) ** 3)),
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "shape", [(5, 7), (1, 7), (5, 1), (1, 1), (3, 4, 6), (2, 1, 5), (4, 3, 1), (300, 200), (7,)]
)
def test_rows_are_computed_as_numpy_does(function, shape):
    x = np.random.default_rng(1).normal(size=shape)
    for given in (x, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2]):
        got, expected = compiled(function, given), function(given)
        for a, b in zip(
            got if type(got) is tuple else (got,),
            expected if type(expected) is tuple else (expected,),
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "function", [channels, of_channels, tg.grad(lambda x: np.sum(channels(x) ** 3))]
)
@pytest.mark.parametrize(
    "shape",
    [(4, 3, 5), (4, 3, 2, 5), (1, 3, 5), (4, 1, 5), (4, 3, 1), (2, 3, 1, 4), (40, 30, 25, 9)],
)
def test_rows_may_lie_across_the_array(function, shape, monkeypatch):
    x = np.random.default_rng(1).normal(size=shape)
    for least in (parts.WORTH_DIVIDING, 1000):
        monkeypatch.setattr(parts, "WORTH_DIVIDING", least)
        for given in (x, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2]):
            got, expected = compiled(function, given), function(given)
            both = zip(got, expected) if type(got) is tuple else [(got, expected)]
            for a, b in both:
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_channels_are_normalised_in_one_kernel():
    plan = recording_of(channels, np.ones((4, 3, 2, 5))).plan
    assert len(plan.kernels) == 1
    assert plan.kernels[0].source.count("for i1") == 3


def test_columns_are_not_run_over_one_by_one():
    plan = recording_of(lambda x: x / np.sum(np.exp(x), axis=0), X).plan
    assert all(kernel.source.count("for i1") < 2 for kernel in plan.kernels)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_kernel_does_it_without_arrays_for_the_rows(function):
    plan = recording_of(function, X).plan
    assert len(plan.kernels) == 1
    assert not plan.library_steps
    assert not plan.kernels[0].call.partials
    assert len(plan.kernels[0].call.outputs) == 1


def test_values_of_rows_leave_the_kernel_when_others_need_them():
    def function(x):
        total = np.sum(np.exp(x), axis=1)
        return total, np.log(total), x / total[:, None], x / np.sqrt(total.reshape(-1, 1))

    plan = recording_of(function, X).plan
    assert len(plan.kernels) == 1
    for a, b in zip(compiled(function, X), function(X)):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_dear_values_are_kept_and_cheap_ones_computed_again():
    source = recording_of(lambda x: softmax(x * 2.0), X).plan.kernels[0].source
    assert source.count("exp_f64(") == 1
    assert source.count("* 2.0") == 2  # for the maximum, and for the exponential
    assert source.count("np.empty") == 1


def test_a_square_space_does_not_mix_up_rows_and_columns():
    x = np.random.default_rng(2).normal(size=(6, 6))

    def function(x):
        return x - np.sum(np.sin(x), axis=1)  # a value for each row, spread along the columns

    np.testing.assert_allclose(compiled(function, x), function(x), rtol=1e-12)
    assert len(steps_of(function, x)) == 2


def test_a_sum_over_rows_is_not_used_before_it_is_there():
    def function(x):
        total = np.sum(np.exp(x), axis=1, keepdims=True)
        return x / total * np.sum(np.log(total))

    np.testing.assert_allclose(compiled(function, X), function(X), rtol=1e-12)


def test_columns_are_summed_beside_the_rows():
    def function(x, w):
        s = softmax(x) * w
        return np.sum(s, axis=0), np.sum(s * s, axis=1), np.max(s)

    w = np.linspace(0.5, 1.5, 7)
    assert len(steps_of(function, X, w)) == 1
    for x in (X, np.random.default_rng(3).normal(size=(9000, 7))):
        for a, b in zip(compiled(function, x, w), function(x, w)):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_axes_of_size_one_make_a_reduction_one_of_everything():
    def function(x):
        e = np.exp(x)
        return np.sum(e, axis=0, keepdims=True), e * 2

    for shape in ((4, 1), (1, 4), (4, 1, 1)):
        x = np.linspace(0, 1, 4).reshape(shape)
        for a, b in zip(compiled(function, x), function(x)):
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(5, 7), (3, 9000), (9000, 3)])
def test_values_of_rows_are_summed_beside_the_elements(shape, dtype):
    def function(x):
        norms = tg.linalg.vector_norm(x, axis=1)
        return np.sum(norms), np.max(norms), x / norms[:, None]

    x = np.random.default_rng(5).normal(size=shape).astype(dtype)
    for a, b in zip(compiled(function, x), function(x)):
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "f4" else 1e-12)


@pytest.mark.parametrize("axis", [(1, 2), (0, 2)])
def test_a_norm_over_several_loops_leaves_other_reductions_alone(axis):
    x = np.random.default_rng(4).normal(size=(3, 4, 5))

    def function(x):
        return tg.linalg.vector_norm(x, axis=axis), np.sum(x, axis=2), np.max(x, axis=2)

    for given in (x, x * 1e200):
        for a, b in zip(compiled(function, given), map(np.asarray, function(given))):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_view_of_a_value_of_rows_stays_a_view():
    def function(x):
        s = np.sum(np.exp(x), axis=1, keepdims=True)
        return s, s.reshape(-1), x / s

    jitted = tg.jit(function, strict=True)
    for _ in range(3):
        s, flat, _ = jitted(X)
        s[...] = 0
        np.testing.assert_array_equal(flat, 0)


def test_special_values_stay_in_their_rows():
    x = X.copy()
    x[1, 2], x[2, 3], x[3] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(compiled(softmax, x), softmax(x), rtol=1e-12)


def test_arguments_beyond_the_fast_functions_are_seen_in_every_run():
    def function(x):
        big = np.sum(x, axis=1, keepdims=True) * 1e17
        return np.sin(x) + np.cos(big) + np.sin(x * big)

    np.testing.assert_allclose(compiled(function, X), function(X), rtol=1e-9, atol=1e-9)


SHAPES = {"full": (4, 3, 5), "kept": (4, 3, 1), "dropped": (4, 3), "columns": (5,), "number": ()}


def random_program(rng):
    """Return a function of five arrays that mixes elements, rows, columns and numbers."""
    plan = []
    kinds = dict(enumerate(SHAPES))

    def latest(*wanted):
        found = [i for i, kind in kinds.items() if kind in wanted]
        return found[-1 - min(int(rng.geometric(0.6)) - 1, len(found) - 1)]

    for _ in range(rng.integers(8, 24)):
        steps = ["reduce", "row", "reshape", "use", "map", "total"]
        step = rng.choice(steps, p=[0.25, 0.1, 0.1, 0.35, 0.15, 0.05])
        if step == "reduce":
            kind = str(rng.choice(["kept", "dropped", "number", "other"], p=[0.6, 0.2, 0.1, 0.1]))
            plan.append((str(rng.choice(["sum", "max", "mean"])), latest("full"), kind))
        elif step == "reshape":
            kind = str(rng.choice(["kept", "dropped"]))
            plan.append(("reshape", latest("dropped" if kind == "kept" else "kept"), kind))
        elif step == "total":
            kind = "number"
            plan.append(("sum", latest("kept", "dropped"), kind))
        else:
            kind = "full" if step == "use" else str(rng.choice(["kept", "dropped", "full"]))
            if step == "map":
                plan.append((str(rng.choice(["exp", "tanh", "square"])), latest(kind), None))
            else:
                other = latest(str(rng.choice(["kept", "kept", "columns", "number"])))
                if kind != "full":
                    other = latest(kind, "number")
                name = str(rng.choice(["add", "multiply", "subtract"]))
                plan.append((name, latest(kind), other))
        kinds[len(kinds)] = kind

    def function(*arrays):
        values = list(arrays)
        for name, place, extra in plan:
            x = values[place]
            if name in ("sum", "max", "mean"):
                axis = {"kept": -1, "dropped": -1, "number": None, "other": 0}[extra]
                x = getattr(np, name)(x, axis=axis, keepdims=extra == "kept")
            elif name == "reshape":
                x = np.reshape(x, SHAPES[extra])
            elif name == "exp":
                x = np.exp(np.tanh(x))
            elif name in ("tanh", "square"):
                x = np.tanh(x) if name == "tanh" else np.square(np.tanh(x))
            else:
                x = getattr(np, name)(x, values[extra]) * 0.5
            values.append(x)
        return tuple(values[5::2]) + (values[-1],)

    return function


def test_the_random_mixtures_use_values_of_rows():
    found = 0
    for seed in range(12):
        function = random_program(np.random.default_rng(seed))
        plan = recording_of(function, *(np.ones(shape) for shape in SHAPES.values())).plan
        found += any(kernel.source.count("for i1") > 1 for kernel in plan.kernels)
    assert found > 4


@pytest.mark.parametrize("seed", range(40))
def test_random_mixtures_of_rows_and_elements(seed):
    rng = np.random.default_rng(seed)
    function = random_program(rng)
    arrays = [np.asarray(rng.normal(size=shape)) for shape in SHAPES.values()]
    for got, expected in zip(compiled(function, *arrays), function(*arrays)):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(300_000,), (2, 300_000), (3, 2, 150_000), (2, 150_000, 2)])
@pytest.mark.parametrize("axis", [-1, (-2, -1), None])
def test_errors_of_float32_sums_do_not_grow_with_the_length(shape, axis):
    if axis == (-2, -1) and len(shape) < 2:
        pytest.skip("one axis")
    x = np.full(shape, 0.1, np.float32)

    def f(x):
        return np.sum(x, axis=axis), np.linalg.norm(np.ravel(x) if axis is None else x, axis=axis)

    for got, want in zip(compiled(f, x), f(x.astype(np.float64)), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=3e-6)


@pytest.mark.parametrize("shape", [(300_000,), (2, 17_000, 5), (3, 300, 400)])
def test_errors_do_not_grow_where_axes_cannot_be_one_loop(shape):
    x = np.full(tuple(n + 1 for n in shape), 0.1, np.float32)[(slice(1, None),) * len(shape)]

    def f(x):
        centred = x - np.mean(x * x)
        return np.sum(centred * centred), np.sum(x * x, axis=tuple(range(1, x.ndim)))

    for got, want in zip(compiled(f, x), f(x.astype(np.float64)), strict=True):
        np.testing.assert_allclose(got, want, rtol=3e-6)


def test_errors_of_float32_products_do_not_grow_with_the_length():
    x = np.full((2, 200_000), np.float32(1 + 1e-5))
    want = np.prod(x.astype(np.float64), axis=1)
    np.testing.assert_allclose(compiled(lambda x: np.prod(x * 1.0, axis=1), x), want, rtol=1e-3)
    np.testing.assert_allclose(compiled(lambda x: np.prod(x * 1.0), x[0]), want[0], rtol=1e-3)
