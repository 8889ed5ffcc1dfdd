"""Recorders and pullbacks: functions generated for each primitive, which can be read."""

import linecache
import traceback

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array import recorder
from tapegrad.tape.array.guard import ArrayLock
from tapegrad.tape.core import pullback
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, primitives


@pytest.mark.parametrize("name", sorted(primitives.complete()))
def test_the_recorder_of_every_primitive_is_python(name):
    compile(recorder.source_of(primitives[name]), name, "exec")
    if primitives[name].vjps is not None:
        compile(pullback.source_of(primitives[name]), name, "exec")


def test_a_recorder_does_what_its_primitive_needs_and_nothing_else():
    tanh, add = (recorder.source_of(primitives[n]) for n in ("tanh", "add"))
    assert "node.saved = (out, s0)" in tanh and "node.pins = (new._pin,)" in tanh
    assert "pin_of" not in tanh  # its rule reads the result alone
    assert "node.pins = ()" in add and "pin" not in add.replace("_pin", "").replace(".pins", "")
    assert "mark_view" in recorder.source_of(primitives["reshape"])
    assert "mark_view" not in tanh
    assert "for x, needed in zip(args, NEEDED)" in recorder.source_of(primitives["concatenate"])


def test_a_pullback_has_a_step_for_each_argument_with_a_derivative():
    assert pullback.source_of(primitives["multiply"]).count("RULE") == 4
    where = pullback.source_of(primitives["where"])
    assert "RULE0" not in where and "RULE1" in where and "RULE2" in where


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
