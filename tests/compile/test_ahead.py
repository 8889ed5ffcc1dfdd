"""Ahead of time: lowered calls, compiled functions, warm-up; and profiles."""

import numpy as np
import pytest
from staged import recording_of

import tapegrad as tg
from tapegrad.compile.passes.layout import Layout, copy_as_it_lies
from tapegrad.compile.plans.profile import copy_bandwidth

X = np.linspace(0.1, 1.0, 300)


def loss(params, x):
    return np.sum(np.tanh(x @ params["w"]) ** 2) + params["b"]


PARAMS = {"w": np.full((10, 5), 0.1), "b": 0.5}
BATCH = X.reshape(30, 10)


def test_what_is_compiled_ahead_gives_what_the_function_gives():
    jitted = tg.jit(tg.value_and_grad(loss))
    lowered = jitted.lower(PARAMS, tg.ShapeDtypeStruct((30, 10), float))
    assert "np.tanh(" in lowered.as_text() and "np.matmul(" in lowered.as_text()
    assert "params.w: float64[10, 5]" in repr(lowered) or "params_w: float64[10, 5]" in repr(
        lowered
    )
    compiled = lowered.compile()
    traces = jitted.stats().traces
    value, gradient = compiled(PARAMS, BATCH)
    assert jitted.stats().traces == traces == 1
    wanted = tg.value_and_grad(loss)(PARAMS, BATCH)
    np.testing.assert_allclose(value, wanted[0])
    np.testing.assert_allclose(gradient["w"], wanted[1]["w"])
    assert "def plan(" in compiled.as_text() and "def kernel(" in compiled.as_text()


def test_other_shapes_dtypes_and_structures_are_type_errors():
    compiled = tg.jit(loss).lower(PARAMS, BATCH).compile()
    for x, text in [
        (BATCH[:5], r"x as float64\[30, 10\], and is called with float64\[5, 10\]"),
        (BATCH.astype("f4"), r"x as float64\[30, 10\], and is called with float32\[30, 10\]"),
        (1.0, r"x as float64\[30, 10\], and is called with float"),
    ]:
        with pytest.raises(TypeError, match=text):
            compiled(PARAMS, x)
    with pytest.raises(TypeError, match="compiled for arguments"):
        compiled({"w": PARAMS["w"]}, BATCH)
    with pytest.raises(TypeError, match="compiled for arguments"):
        compiled(PARAMS, x=BATCH)


def test_another_layout_and_tensors_of_the_shape_are_taken():
    compiled = tg.jit(loss).lower(PARAMS, BATCH).compile()
    wanted = loss(PARAMS, BATCH)
    for x in (np.asfortranarray(BATCH), np.repeat(BATCH, 2, axis=1)[:, ::2]):
        np.testing.assert_allclose(compiled(PARAMS, x), wanted)
    t = tg.tensor(BATCH)
    compiled(PARAMS, t).backward()
    np.testing.assert_allclose(t.grad, tg.grad(lambda x: loss(PARAMS, x))(BATCH))


def test_where_values_lead_another_way_the_function_goes_on():
    def f(x):
        return np.sin(x) if np.sum(x) > 0 else np.cos(x)

    compiled = tg.jit(f).lower(tg.ShapeDtypeStruct((3,), float)).compile()
    for sign in (1, -1, 1, -1):
        np.testing.assert_allclose(compiled(np.full(3, 0.5) * sign), f(np.full(3, 0.5) * sign))


def test_static_and_donated_arguments_ahead_of_time():
    jitted = tg.jit(lambda x, n: x**n + 1, static_argnums=1, donate_argnums=0)
    compiled = jitted.lower(tg.ShapeDtypeStruct(X.shape, float), 3).compile()
    x = X.copy()
    assert compiled(x, 3) is x
    np.testing.assert_allclose(x, X**3 + 1)
    with pytest.raises(
        TypeError, match="n as the static value 3, and is called with the static value 2"
    ):
        compiled(x, 2)


def test_lowering_and_warming_up_have_no_effects():
    count = []

    def writes(x):
        x += 1.0
        return x * 2

    def prints(x):
        count.append(x)
        return x * 2

    x = X.copy()
    for f in (writes, prints):
        jitted = tg.jit(f)
        jitted.lower(x).compile()
        jitted.warm_up(x)
        jitted.profile(x)
        np.testing.assert_array_equal(x, X)
    assert not count


def test_what_cannot_be_compiled_runs_as_it_is_and_says_so():
    def f(x):
        print(x[0])
        return x

    lowered = tg.jit(f).lower(X)
    assert lowered.as_text().startswith("# run without compiling: it calls print")
    compiled = lowered.compile()
    assert "without compiling: it calls print" in compiled.as_text()
    with pytest.warns(RuntimeWarning, match="calls print"):
        np.testing.assert_array_equal(compiled(X), X)
    with pytest.raises(RuntimeError, match="calls print"):
        tg.jit(f, strict=True).lower(X).compile()
    assert str(tg.jit(f).profile(X)).startswith("run without compiling: it calls print")
    lowered = tg.jit(f).lower(np.ones(3, object))
    assert "dtype object" in lowered.as_text()


def test_an_error_of_the_users_comes_when_the_call_is_lowered():
    with pytest.raises(ValueError, match="matmul"):
        tg.jit(np.matmul).lower(tg.ShapeDtypeStruct((2, 3), float), np.ones((2, 3)))


def test_after_warming_up_nothing_is_recorded_or_compiled():
    jitted = tg.jit(tg.grad(lambda x: np.sum(np.exp(-x) * np.sin(x) ** 3)))
    jitted.warm_up(tg.ShapeDtypeStruct(X.shape, float))
    jitted.warm_up(X)
    before = jitted.stats()
    jitted(X)
    assert jitted.stats() == before and before.traces == 1


def test_methods_are_lowered_with_their_instance():
    class Model:
        def __init__(self):
            self.w = X

        @tg.jit
        def predict(self, x):
            return np.sin(self.w) * x

    model = Model()
    compiled = model.predict.lower(X).compile()
    np.testing.assert_allclose(compiled(model, X), np.sin(X) * X)
    model.predict.warm_up(X)
    assert model.predict.stats().traces == 2
    assert model.predict.profile(X).steps[0].what == "sin, multiply"


# Profiles -----------------------------------------------------------------------------------------


def test_a_profile_has_the_steps_of_the_plan_beside_the_lines():
    def f(x):
        h = np.tanh(x @ x.T) * 2 + 1
        return np.cumsum(h, axis=0), np.linalg.inv(h + np.eye(len(h)) * 99)

    profile = tg.jit(f).profile(BATCH)
    whats = [step.what for step in profile.steps]
    assert "matmul" in whats and "cumsum" in whats and "inv" in " ".join(whats)
    assert any(what.startswith("tanh, multiply") for what in whats) and whats[-1] == "results"
    by_name = {step.what: step for step in profile.steps}
    line = f.__code__.co_firstlineno + 1
    assert by_name["matmul"].lines == f"test_ahead.py:{line}"
    assert by_name["matmul"].bytes == 8 * (300 + 300 + 900)
    assert by_name["transpose"].bytes == 0
    assert all(step.seconds >= 0 for step in profile.steps)
    assert abs(sum(step.share for step in profile.steps) - 1) < 1e-9
    assert profile.runs >= 3 and profile.seconds > 0
    rows = str(profile).splitlines()
    assert rows[0].split() == ["step", "time", "share", "bytes", "GB/s", "of", "copy", "lines"]
    assert len(rows) == len(whats) + 2 and f"test_ahead.py:{line}" in str(profile)


def test_bandwidth_is_what_the_bytes_take():
    step = tg.jit(lambda x: np.exp(x) * 2).profile(np.linspace(0, 1, 100_000)).steps[0]
    assert step.bytes == 1_600_000
    assert step.gigabytes_per_second == pytest.approx(1.6e-3 / step.seconds)
    assert step.bandwidth == pytest.approx(1.6e6 / step.seconds / copy_bandwidth())
    assert copy_bandwidth() > 1e8


def test_a_profile_changes_neither_donated_arrays_nor_those_that_are_written_into():
    def f(p, g):
        g *= 2.0
        return p - g

    p, g = X.copy(), X.copy()
    profile = tg.jit(f, donate_argnums=0).profile(p, g)
    np.testing.assert_array_equal([p, g], [X, X])
    assert profile.runs >= 3


@pytest.mark.parametrize(
    "array",
    [
        X[::-3],
        BATCH.T,
        BATCH[::2, ::-1],
        np.broadcast_to(X[:3], (4, 3)),
        np.zeros((0, 3)),
        np.array(2.0),
    ],
    ids=lambda a: str(a.strides),
)
def test_copies_lie_as_what_they_are_copies_of(array):
    copy = copy_as_it_lies(array)
    np.testing.assert_array_equal(copy, array)
    assert Layout.of(copy) == Layout.of(array) and not np.shares_memory(copy, array)
    assert copy.flags.aligned


def test_parts_of_a_plan_are_its_steps_in_order():
    plan = recording_of(lambda x: np.cumsum(np.exp(x) * 2) @ x, X).plan
    starts = [part.line for part in plan.parts]
    assert starts == sorted(starts)
    assert [e.primitive.name for part in plan.parts for e in part.entries][-1] in (
        "matmul",
        "inner",
    )
