"""Recorders, linkers and pullbacks: functions generated for each primitive, which can be read."""

import linecache
import traceback

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array import linker, recorder
from tapegrad.tape.array.guard import ArrayLock
from tapegrad.tape.core import pullback
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, primitives


@pytest.mark.parametrize("name", sorted(primitives.complete()))
def test_the_recorder_of_every_primitive_is_python(name):
    compile(recorder.source_of(primitives[name]), name, "exec")
    if primitives[name].vjps is not None:
        compile(pullback.source_of(primitives[name]), name, "exec")
    if primitives[name].uses is not None:
        compile(linker.source_of(primitives[name]), name, "exec")


def test_a_recorder_does_what_its_primitive_needs_and_nothing_else():
    tanh, add = (recorder.source_of(primitives[n]) for n in ("tanh", "add"))
    assert "node.saved = (out, s0)" in tanh and "node.pins = (pin,)" in tanh
    assert "pin_of" not in tanh  # its rule reads the result alone
    assert "node.pins = ()" in add and "pin" not in add.replace("_pin", "").replace(".pins", "")
    assert "mark_view" in recorder.source_of(primitives["reshape"])
    assert "mark_view" not in tanh
    assert "for x, needed in zip(args, NEEDED)" in recorder.source_of(primitives["concatenate"])


def test_a_pullback_has_a_step_for_each_argument_with_a_derivative():
    assert pullback.source_of(primitives["multiply"]).count("RULE") == 4
    where = pullback.source_of(primitives["where"])
    assert "RULE0" not in where and "RULE1" in where and "RULE2" in where


def test_a_linker_links_what_has_a_derivative_and_keeps_what_rules_read():
    multiply, add, where = (linker.source_of(primitives[n]) for n in ("multiply", "add", "where"))
    assert "node.saved = (None, s0, s1)" in multiply and multiply.count("originals.hold") == 2
    assert "node.saved = (None, None, None)" in add and "originals" not in add
    assert where.count("    n0 = None\n") == 3 and where.count("    n1 = None\n") == 2


@pytest.mark.parametrize("x", [np.array([1.0, 2.0]), np.array(2.0), 2.0], ids=["1d", "0d", "float"])
def test_linked_values_of_arrays_of_users_are_those_of_their_use(x):
    w = np.full(np.shape(x), 3.0)

    def f(x):
        y = x * w
        w[...] = 100.0  # the function may use its buffer again
        return np.sum(y)

    assert np.array_equal(tg.grad(f)(x), np.full(np.shape(x), 3.0))


def test_linkers_leave_what_is_not_common_to_the_trace():
    x = np.array([1.0, 2.0])
    cube = lambda x: np.sum(x * x * x)
    inner = tg.grad(lambda x: np.sum(tg.grad(cube)(x)))  # values are tensors
    assert np.array_equal(inner(x), 6 * x)
    assert np.array_equal(tg.vmap(tg.grad(lambda x: x * x * x))(x), 3 * x * x)
    flat = tg.grad(lambda x: np.sum(np.sign(x) * x + (x > 1) * x))  # results without derivatives
    assert np.array_equal(flat(x), [1.0, 2.0])
    cut = tg.grad(lambda x: np.sum(tg.multiply(x, x, constant=True) * x))
    assert np.array_equal(cut(x), x * x)


def raising(*args):
    raise ZeroDivisionError("here")


def test_tracebacks_show_the_generated_lines():
    broken = Primitive("broken", raising, (lambda g, y, x: g,), register=False)
    with pytest.raises(ZeroDivisionError) as caught:
        broken(tg.tensor([1.0]))
    text = "".join(traceback.format_exception(caught.value))
    assert "<recorder of broken>" in text
    assert "out = forward(v0, **params) if params else forward(v0)" in text


def test_tracebacks_of_rules_show_the_pullback():
    broken = Primitive("bad_rule", np.sin, (raising,), register=False)
    y = broken(tg.tensor([1.0]))
    with pytest.raises(ZeroDivisionError) as caught:
        y.backward()
    assert "bad_rule" in "".join(traceback.format_exception(caught.value))
    good = Primitive("good_rule", np.sin, (lambda g, y, x: g * np.cos(x),), register=False)
    good(tg.tensor([1.0])).backward()
    assert "RULE0(g, y, x0" in "".join(linecache.getlines("<pullback of good_rule>"))


def test_tracebacks_inside_transformations_show_the_linker():
    broken = Primitive("broken_inside", raising, (lambda g, y, x: g,), register=False)
    with pytest.raises(ZeroDivisionError) as caught:
        tg.grad(lambda x: broken(x))(1.0)
    text = "".join(traceback.format_exception(caught.value))
    assert "<linker of broken_inside>" in text and "else forward(v0, **params)" in text


def test_errors_in_generated_code_name_the_line_of_the_user():
    from tapegrad.tape.core.location import user_location

    seen = []
    looks = Primitive(
        "looks", lambda x: seen.append(user_location()) or x + 0, (None,), register=False
    )
    looks(tg.tensor([1.0]))
    assert __file__ in str(seen[0])


def test_pins_and_locks_of_a_node_are_kept_apart():
    x, a = tg.tensor([1.0, 2.0]), np.array([3.0, 4.0])
    node = (x * a).node
    assert len(node.locks) == 2 and all(type(lock) is ArrayLock for lock in node.locks)
    assert not any(isinstance(pin, ArrayLock | float) for pin in node.pins)
    assert (x + 1.0).node.pins == () and len((x + 1.0).node.locks) == 1
    assert (x + 1.0).node.saved == (None, None, 1.0)  # numbers are kept with what is saved
    del node
    assert a.flags.writeable and x.data.flags.writeable


def test_a_pinned_buffer_is_copied_before_a_write_and_others_are_not():
    x = tg.tensor([1.0, 2.0])
    y = x + 0.0
    buffer = y.value  # not y.data, which would lock it
    z = y + 1.0  # needs no values
    y[0] = 5.0
    assert y.value is buffer
    w = np.sin(y)
    y[0] = 7.0
    assert y.value is not buffer
    (z.sum() + w.sum()).backward()
    assert np.allclose(x.grad, [1.0, 1.0 + np.cos(2.0)])


def test_what_a_rule_reads_only_the_shape_of_is_stood_in_for_by_its_node():
    x = tg.tensor(np.ones((2, 3)))
    node = np.sum(x, axis=0).node
    stand_in = node.saved[1]
    assert isinstance(stand_in, Node) and stand_in.shape == (2, 3) and stand_in.ndim == 2
    assert stand_in.size == 6 and stand_in.dtype == np.float64


@pytest.mark.parametrize("switch", [tg.no_autodiff, tg.mem_guard_off, tg.mem_guard_on])
def test_recorders_obey_the_switches(switch):
    x, a = tg.tensor([1.0, 2.0]), np.array([3.0, 4.0])
    with switch:
        y, z, v = x * a, np.concatenate([x, a]), x[1:]
        locked = switch is tg.mem_guard_on
        assert a.flags.writeable != locked and x.data.flags.writeable != locked
        for t in (y, z, v):
            assert (t.creator is None) == (switch is tg.no_autodiff)
        assert v.base is x


def test_inside_transformations_only_what_has_a_gradient_locks_arrays():
    x, a, constant = (
        tg.tensor([1.0, 2.0]),
        np.array([3.0, 4.0]),
        tg.tensor([1.0, 1.0], constant=True),
    )
    seen = []

    def f(t):
        kept = [constant * a, np.sin(constant)]
        seen.append((a.flags.writeable, constant.data.flags.writeable))
        kept.append(x * a)
        seen.append(a.flags.writeable)
        return np.sum(t) + 0.0 * len(kept)

    tg.grad(f)(np.ones(2))
    assert seen == [(True, True), False]
    assert a.flags.writeable


def test_views_whose_rules_read_values_are_refused():
    # Writes through a view look for the pin of its base.
    bad = Primitive(
        "bad_view", lambda x: x[:1], (lambda g, y, x: g * x,), view=True, register=False
    )
    with pytest.raises(TypeError, match="bad_view makes views"):
        bad(tg.tensor([1.0, 2.0]))
