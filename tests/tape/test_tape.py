"""The explicit tape: printing, gradients, replay, compilation."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.program.printing import run_source


@pytest.fixture
def recorded():
    x, w = tg.tensor([1.0, 2.0, 3.0]), tg.tensor([0.5, -0.5, 2.0])
    with tg.Tape() as tape:
        h = np.tanh(x * w)
        y = np.sum(h * h)
    return tape, x, w, h, y


def test_a_tape_keeps_entries_in_order_with_the_users_line(recorded):
    tape, *_ = recorded
    assert [e.primitive.name for e in tape.entries] == ["multiply", "tanh", "multiply", "sum"]
    assert len(tape) == 4
    assert all(str(e.where).partition(":")[0].endswith("test_tape.py") for e in tape.entries)


def test_a_printed_tape_is_numpy_that_runs(recorded):
    tape, x, w, _h, y = recorded
    text = str(tape)
    assert "np.tanh(" in text and "test_tape.py:" in text and "float64[3]" in text
    space = {"np": np}
    exec(text, space)
    assert space["tape"](x.data, w.data) == y.data
    assert run_source(text, x.data, w.data) == y.data


def test_an_empty_tape_prints():
    with tg.Tape() as tape:
        pass
    assert len(tape) == 0
    space = {"np": np}
    exec(str(tape), space)
    assert space["tape"]() is None


def test_gradients_can_be_asked_again_and_of_intermediate_values(recorded):
    tape, x, w, h, y = recorded
    hv = np.tanh(x.data * w.data)
    for _ in range(2):
        gx, gw, gh = tape.gradient(y, [x, w, h])
        assert np.allclose(gh, 2 * hv)
        assert np.allclose(gx, 2 * hv * (1 - hv**2) * w.data)
        assert np.allclose(gw, 2 * hv * (1 - hv**2) * x.data)
    assert x.grad is None and y.grad is None
    (g,) = tape.gradient(h, [x], grad=[1.0, 0.0, 2.0])
    assert np.allclose(g, (1 - hv**2) * w.data * [1, 0, 2])
    assert np.allclose(tape.gradient(h, [x], grad=3.0)[0], (1 - hv**2) * w.data * 3)


def test_gradients_are_the_users_own_arrays(recorded):
    tape, x, _w, _h, y = recorded
    a, b = tape.gradient(y, [x, x])
    a[...] = 0.0
    assert not np.shares_memory(a, b) and np.any(b)


def test_nothing_flows_gives_zeros(recorded):
    tape, x, _w, h, y = recorded
    (g,) = tape.gradient(x * 1.0 if False else h, [y])
    assert g == 0.0 and g.shape == ()


def test_backward_after_the_block_works_and_the_tape_can_still_replay():
    x = tg.tensor([1.0, 2.0])
    with tg.Tape() as tape:
        y = np.sum(x * x)
    y.backward()
    assert np.array_equal(x.grad, [2.0, 4.0])
    assert tape.replay({x: np.array([3.0, 4.0])})[y] == 25.0


def test_replay_computes_with_new_inputs_bitwise_as_eager(recorded):
    tape, x, w, h, y = recorded
    new = np.array([0.1, 0.2, 0.3])
    values = tape.replay({x: new})
    assert np.array_equal(values[h], np.tanh(new * w.data))
    assert values[y] == np.sum(np.tanh(new * w.data) ** 2)
    again = tape.replay({})
    assert again[y] == y.data and np.array_equal(again[x], x.data)
    assert np.array_equal(x.data, [1.0, 2.0, 3.0])


def test_replay_does_not_bake_masks_in():
    x = tg.tensor([-1.0, 2.0])
    with tg.Tape() as tape:
        y = np.where(x > 0, x, 10 * x)
        z = np.floor(x) + (x == 2)
        first = np.argmax(x)
    values = tape.replay({x: np.array([2.0, -3.5])})
    assert np.array_equal(values[y], [2.0, -35.0])
    assert np.array_equal(values[z], [3.0, -4.0])
    assert values[first] == 0


def test_comparisons_inside_a_tape_are_constant_tensors_and_outside_arrays():
    x = tg.tensor([-1.0, 2.0])
    with tg.Tape():
        inside = x > 0
    assert type(inside) is tg.Tensor and inside.constant and inside.dtype == bool
    assert type(x > 0) is np.ndarray


def test_in_place_writes_are_on_the_tape():
    x = tg.tensor([1.0, 2.0, 3.0])
    with tg.Tape() as tape:
        y = x * 1.0
        y[0] = 10.0
        y *= 2.0
        np.add(y[1:], x[1:], out=y[1:])
        z = np.sum(y * y)
    (g,) = tape.gradient(z, [x])
    assert np.allclose(g, [0.0, 2 * 6 * 3, 2 * 9 * 3])
    values = tape.replay({x: np.array([5.0, 6.0, 7.0])})
    assert np.array_equal(values[y], [20.0, 18.0, 21.0])
    assert np.array_equal(y.data, [20.0, 6.0, 9.0])


def test_an_input_that_is_overwritten_is_named_by_the_value_that_went_in():
    x, v = tg.tensor([1.0, 2.0]), tg.tensor(3.0)
    with tg.Tape() as tape:
        x[...] = v
        y = np.sum(x * x)
    gx, gv = tape.gradient(y, [x, v])
    assert np.array_equal(gx, [0.0, 0.0]) and gv == 12.0
    assert tape.replay({x: np.zeros(2)})[y] == 18.0
    assert tape.replay({v: 1.0})[y] == 2.0


def test_an_input_that_grows_in_place_is_replayed_from_its_old_value():
    x = tg.tensor([1.0, 2.0])
    with tg.Tape() as tape:
        y = x * x
        x += 1.0
        z = np.sum(y * x)
    values = tape.replay({x: np.array([2.0, 3.0])})
    assert values[z] == 4.0 * 3.0 + 9.0 * 4.0
    (g,) = tape.gradient(z, [x])
    assert np.array_equal(g, [2 * 1 * 2 + 1, 2 * 2 * 3 + 4])


def test_tapes_nest_and_the_innermost_records():
    x = tg.tensor(2.0)
    with tg.Tape() as outer:
        a = x * x
        with tg.Tape() as inner:
            b = x * 3.0
        c = a + 1.0
    assert len(inner) == 1 and len(outer) >= 2
    assert inner.gradient(b, [x])[0] == 3.0
    assert outer.gradient(c, [x])[0] == 4.0


def test_a_tape_cannot_be_entered_twice_at_once():
    tape = tg.Tape()
    with tape, pytest.raises(RuntimeError, match="already"):
        tape.__enter__()
    with tape:
        pass


def test_a_tape_is_left_after_an_exception():
    x = tg.tensor(1.0)
    with pytest.raises(ZeroDivisionError), tg.Tape() as tape:
        y = x * 2.0
        1 / 0
    x * 3.0
    assert len(tape) == 1 and tape.gradient(y, [x])[0] == 2.0


def test_a_tape_records_inside_no_autodiff():
    x = tg.tensor(2.0)
    with tg.no_autodiff:
        with tg.Tape() as tape:
            y = x * x
        assert (x * x).creator is None
    assert tape.gradient(y, [x])[0] == 4.0


def test_arrays_are_guarded_on_a_tape():
    a, x = np.ones(2), tg.tensor([1.0, 2.0])
    with tg.Tape() as tape:
        y = x * a
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 5.0
    del tape, y
    a[0] = 5.0


def test_tensors_that_are_not_on_the_tape_are_refused(recorded):
    tape, x, _w, _h, y = recorded
    stranger = tg.tensor(1.0)
    with pytest.raises(ValueError, match="not on the tape"):
        tape.gradient(stranger, [x])
    with pytest.raises(ValueError, match="not on the tape"):
        tape.gradient(y, [stranger])
    with pytest.raises(ValueError, match="not on the tape"):
        tape.replay({stranger: 1.0})
    with pytest.raises(KeyError, match="not on the tape"):
        tape.replay({})[stranger]
    with pytest.raises(TypeError, match="tensors"):
        tape.gradient(y, [x.data])


def test_replay_refuses_results_and_wrong_shapes(recorded):
    tape, x, _w, h, _y = recorded
    with pytest.raises(ValueError, match="only inputs"):
        tape.replay({h: np.ones(3)})
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        tape.replay({x: np.ones(2)})


def test_a_wrong_cotangent_is_a_value_error(recorded):
    tape, x, _w, _h, y = recorded
    with pytest.raises(ValueError, match="broadcast"):
        tape.gradient(y, [x], grad=np.ones(3))


def test_a_compiled_tape_equals_eager(recorded):
    tape, x, w, h, y = recorded
    f = tape.compile(inputs=[x], outputs=[y, h])
    new = np.array([0.1, -0.2, 0.3])
    out, hidden = f(new)
    assert np.allclose(hidden, np.tanh(new * w.data), rtol=1e-14)
    assert np.allclose(out, np.sum(np.tanh(new * w.data) ** 2), rtol=1e-14)


def test_a_compiled_tape_gives_gradients(recorded):
    tape, x, w, _h, y = recorded
    f = tape.compile(inputs=[x, w], outputs=[y], gradient=True)
    a, b = np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, -1.0])
    (value,), (ga, gb) = f(a, b)
    t = np.tanh(a * b)
    assert np.allclose(value, np.sum(t**2))
    assert np.allclose(ga, 2 * t * (1 - t**2) * b) and np.allclose(gb, 2 * t * (1 - t**2) * a)


def test_a_compiled_tape_with_writes_equals_eager():
    x = tg.tensor([1.0, 2.0, 3.0])
    with tg.Tape() as tape:
        y = np.zeros_like(x)
        y[1:] = x[:-1] * 2.0
        z = np.sum(y * x)
    (value,), (g,) = tape.compile([x], [z], gradient=True)(np.array([1.0, 4.0, 5.0]))
    assert value == 2 * 4 + 8 * 5
    assert np.allclose(g, [2 * 4, 2 * 1 + 2 * 5, 2 * 4])


def test_a_printed_tape_has_constants_without_elements():
    x = tg.tensor([1.0, 2.0])
    with tg.Tape() as tape:
        y = np.sum(np.concatenate([np.zeros((0, 2)), x[None]])) + np.sum(x)
    constants = {}
    source = tape.program().source(constants)
    assert run_source(source, *tape.leaves.values(), **constants) == y.data == 6


# Nests, jacobians, tapes that can be asked once -----------------------------------------------------


def test_sources_and_targets_may_be_nests(recorded):
    tape, x, w, h, y = recorded
    gx, gw, gh = tape.gradient(y, [x, w, h])
    assert np.array_equal(tape.gradient(y, x), gx)
    found = tape.gradient(y, {"w": w, "more": (x, [h, None])})
    assert np.array_equal(found["w"], gw) and np.array_equal(found["more"][0], gx)
    assert type(found["more"]) is tuple and found["more"][1][1] is None
    assert np.array_equal(found["more"][1][0], gh)
    both = tape.gradient([y, h], x)
    assert np.allclose(both, gx + tape.gradient(h, x))
    weighted = tape.gradient({"a": y, "b": h}, x, grad={"b": [1.0, 0.0, 2.0], "a": 3.0})
    assert np.allclose(weighted, 3 * gx + tape.gradient(h, x, grad=[1.0, 0.0, 2.0]))
    assert np.allclose(tape.gradient([h, h], x), 2 * tape.gradient(h, x))
    with pytest.raises(ValueError, match="grad must be like the target"):
        tape.gradient([y, h], x, grad=[1.0])
    with pytest.raises(TypeError, match="tensors"):
        tape.gradient({"a": 1.0}, x)


def test_a_jacobian_has_a_gradient_in_each_row():
    x, w = tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.tensor([0.5, -0.5])
    with tg.Tape() as tape:
        h = np.tanh(x @ w)
        y = np.concatenate([h * h, x[0] * w[1], [3.0]])
        y[0] = y[1] * x[1, 1]
    found = tape.jacobian(y, {"x": x, "wh": [w, h]})
    assert found["x"].shape == (5, 2, 2) and found["wh"][1].shape == (5, 2)
    for i, unit in enumerate(np.eye(5)):
        rows = tape.gradient(y, [x, w, h], grad=unit)
        for row, whole in zip(rows, [found["x"], *found["wh"]]):
            np.testing.assert_allclose(whole[i], row, rtol=1e-14)
    np.testing.assert_array_equal(tape.jacobian(h, h), np.eye(2))
    np.testing.assert_array_equal(tape.jacobian(h, x), tape.jacobian(h, [x, x])[1])


def test_jacobians_follow_the_rules_of_backward_and_take_what_went_in():
    x = tg.tensor([1.0, 2.0])
    with tg.Tape() as tape:
        y = np.maximum(x, [1.0, 1.0]) * 3.0  # at a tie, backward gives nothing
        x *= 5.0
        z = y * x
    for target in (y, z):
        rows = [tape.gradient(target, x, grad=unit) for unit in np.eye(2)]
        np.testing.assert_array_equal(tape.jacobian(target, x), rows)


def test_jacobians_reach_as_far_as_gradients():
    x = tg.tensor([1.0, 2.0])
    before = x * x  # not on the tape, but in the graph
    with tg.Tape() as tape:
        y = before * x
    for found, wanted in zip(
        tape.jacobian(y, [x, before]), [np.diag([3.0, 12.0]), np.diag([1.0, 2.0])]
    ):
        np.testing.assert_array_equal(found, wanted)


def test_jacobians_of_and_by_what_is_constant_single_or_empty_are_zeros():
    x, n, c = tg.tensor([1.0, 2.0]), tg.tensor([1, 2]), tg.tensor([3.0, 4.0], constant=True)
    with tg.Tape() as tape:
        y = x * n * c
        mask, total, empty = x > 1, np.sum(y), y[:0] * 2
    np.testing.assert_array_equal(tape.jacobian(y, [n, c])[1], np.zeros((2, 2)))
    assert tape.jacobian(y, n).dtype == n.dtype
    assert tape.jacobian(mask, x).shape == (2, 2) and not tape.jacobian(mask, x).any()
    np.testing.assert_array_equal(tape.jacobian(total, x), tape.gradient(total, x))
    assert tape.jacobian(empty, x).shape == (0, 2)
    assert tape.jacobian(total, total) == 1.0


def test_jacobians_are_the_users_own_arrays(recorded):
    tape, x, _w, h, _y = recorded
    first, second = tape.jacobian(h, [x, x])
    first[...] = 0.0
    assert second.any() and not np.shares_memory(first, second)


@pytest.mark.parametrize("ask", ["gradient", "jacobian"])
def test_a_tape_that_is_not_persistent_answers_once(ask):
    x = tg.tensor([1.0, 2.0])
    before = x * 1.0
    with tg.Tape(persistent=False) as tape:
        y = before * before
    with pytest.raises(ValueError, match="not on the tape"):
        getattr(tape, ask)(tg.tensor(1.0), before)
    assert np.array_equal(getattr(tape, ask)(y, before).sum(), 6.0)
    for method in (tape.gradient, tape.jacobian):
        with pytest.raises(RuntimeError, match="persistent=False"):
            method(y, before)
    assert np.array_equal(tape.replay({before: np.array([3.0, 4.0])})[y], [9.0, 16.0])
    assert tape.compile([before], [y])(np.array([3.0, 4.0]))[0][0] == 9.0
    before.sum().backward()  # what lies before the tape is not cleared
    assert np.array_equal(x.grad, [1.0, 1.0])


def test_a_tape_that_is_not_persistent_lets_go_of_residuals():
    def kept(persistent):
        x = tg.tensor(np.ones(1000))
        with tg.Tape(persistent=persistent) as tape:
            y = np.sum(np.exp(np.sin(x)))
        tape.gradient(y, x)
        return sum(
            v.nbytes for node in tape.records for v in node.saved or () if isinstance(v, np.ndarray)
        )

    assert kept(False) == 0 < 8000 <= kept(True)
