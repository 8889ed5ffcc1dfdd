"""The switches: no_autodiff and the memory guard, in contexts, decorators and tasks."""

import asyncio
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

import tapegrad as tg


def locked(array):
    return not array.flags.writeable


# Switches ------------------------------------------------------------------------------------


def guarded():
    """Whether an operation locks its arrays right now."""
    a = np.ones(2)
    y = tg.ones(2, dtype=float) * a
    result = not a.flags.writeable
    y.clear_graph()
    return result


def test_the_guard_is_on_by_default_and_contexts_nest_in_any_order():
    assert guarded()
    with tg.mem_guard_off:
        assert not guarded()
        with tg.mem_guard_on:
            assert guarded()
            with tg.mem_guard_off:
                assert not guarded()
                with tg.mem_guard_off:
                    assert not guarded()
                assert not guarded()
            assert guarded()
        assert not guarded()
    assert guarded()


def test_contexts_restore_the_state_after_an_exception():
    with pytest.raises(ZeroDivisionError), tg.mem_guard_off:
        1 / 0
    assert guarded()


def test_the_global_switch_holds_outside_of_contexts():
    tg.turn_memory_guarding_off()
    assert not guarded()
    with tg.mem_guard_on:
        assert guarded()
        with tg.mem_guard_off:
            assert not guarded()
    assert not guarded()
    tg.turn_memory_guarding_on()
    assert guarded()
    with tg.mem_guard_off:
        tg.turn_memory_guarding_on()
        assert not guarded()


@pytest.mark.parametrize("switch, state", [("mem_guard_off", False), ("mem_guard_on", True)])
def test_switches_decorate_functions_and_keep_their_face(switch, state):
    @getattr(tg, switch)
    def f(a, *, b: int = 1):
        """Say whether it is guarded."""
        return guarded()

    assert f.__name__ == "f" and f.__doc__ == f.__wrapped__.__doc__
    assert list(inspect.signature(f).parameters) == ["a", "b"]
    with tg.mem_guard_off if state else tg.mem_guard_on:
        assert f(1) is state
    assert guarded()


def test_locks_placed_before_keep_their_life():
    a, t = np.ones(2), tg.ones(2, dtype=float)
    y = a * t
    with tg.mem_guard_off, tg.no_autodiff:
        assert locked(a)
    y.backward()
    assert not locked(a)


def test_without_the_guard_a_write_corrupts_the_gradient_as_documented():
    with tg.mem_guard_off:
        x = np.arange(3.0)
        y = tg.ones(3, dtype=float)
        z = x * y
        x[:] = 0
        z.backward()
    assert np.array_equal(y.grad, [0.0, 0.0, 0.0])


def test_without_the_guard_writes_to_tensors_are_still_right():
    with tg.mem_guard_off:
        x, y = tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0])
        z = x * y
        x *= 10.0
        y[0] = -5.0
        w = np.exp(x * 0.0)
        w2 = w * w
        w[...] = 100.0
        (z.sum() + w2.sum() + y[1]).backward()
    assert np.array_equal(z.data, [3.0, 8.0])
    assert np.array_equal(x.grad, [0.0, 0.0]) and np.array_equal(y.grad, [0.0, 1.0])


@pytest.mark.parametrize(
    "value, state, warns",
    [
        (None, True, False),
        ("False", False, False),
        ("false", False, False),
        ("0", False, False),
        ("True", True, False),
        ("1", True, False),
        ("maybe", True, True),
    ],
)
@pytest.mark.parametrize("name", ["TAPEGRAD_MEM_GUARD", "MYGRAD_MEM_GUARD"])
def test_the_environment_variable_is_read_at_import(name, value, state, warns):
    code = (
        "import numpy as np, tapegrad as tg\n"
        "a = np.ones(2); y = tg.ones(2) * a\n"
        "print(not a.flags.writeable)\n"
    )
    environment = {k: v for k, v in os.environ.items() if "MEM_GUARD" not in k}
    if value is not None:
        environment[name] = value
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(state)
    assert ("MEM_GUARD" in done.stderr) is warns


# Contexts of execution -----------------------------------------------------------------------


def test_a_generator_that_is_suspended_inside_a_switch_does_not_unbalance_it():
    def generate():
        with tg.no_autodiff:
            yield 1
            yield 2

    generator = generate()
    next(generator)
    next(generator)
    with pytest.raises(StopIteration):
        next(generator)
    assert (tg.tensor(1.0) * 2).creator is not None
    assert guarded()


def test_interleaved_generators_restore_the_state():
    def generate(switch):
        with switch:
            yield

    first, second = generate(tg.mem_guard_off), generate(tg.no_autodiff)
    next(first)
    next(second)
    for generator in (first, second):
        with pytest.raises(StopIteration):
            next(generator)
    assert guarded()
    assert (tg.tensor(1.0) * 2).creator is not None


def test_an_abandoned_generator_does_not_leave_the_switch_thrown():
    def generate():
        with tg.no_autodiff:
            yield

    generator = generate()
    next(generator)
    generator.close()
    assert (tg.tensor(1.0) * 2).creator is not None


def test_generators_and_coroutines_cannot_be_decorated():
    def generate():
        yield 1

    async def work():
        return 1

    async def stream():
        yield 1

    for function in (generate, work, stream):
        for switch in (tg.no_autodiff, tg.mem_guard_off, tg.mem_guard_on):
            with pytest.raises(TypeError, match="context manager"):
                switch(function)


def test_tasks_do_not_see_each_others_switches():
    seen = {}

    async def off():
        with tg.no_autodiff, tg.mem_guard_off:
            await asyncio.sleep(0)
            seen["off"] = (tg.tensor(1.0) * 2).creator is None
            await asyncio.sleep(0)

    async def on():
        for _ in range(3):
            seen.setdefault("on", []).append((tg.tensor(1.0) * 2).creator is not None and guarded())
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(off(), on())

    asyncio.run(main())
    assert seen == {"off": True, "on": [True, True, True]}


# no_autodiff ---------------------------------------------------------------------------------


def test_no_autodiff_records_nothing_and_locks_nothing():
    a = np.ones(4)
    with tg.no_autodiff:
        x = tg.arange(4.0)
        y = 4 * x + a
        assert y.creator is None and a.flags.writeable and x.data.flags.writeable
        y.backward()
        (4 * x).backward()
    assert x.grad is None


def test_what_was_computed_without_autodiff_is_a_leaf_afterwards():
    x = tg.tensor([1.0, 2.0, 3.0, 4.0])
    with tg.no_autodiff:
        y = x**2
    y.backward()
    assert np.array_equal(y.grad, np.ones(4)) and x.grad is None


def test_no_autodiff_does_not_hand_on_constants():
    c = tg.tensor(1.0, constant=True)
    with tg.no_autodiff:
        assert (c * 2).constant is False
        assert (tg.tensor([1, 2]) * 2).constant is True


def test_no_autodiff_keeps_gradients():
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    with tg.no_autodiff:
        x * 2
        np.sin(x)
        x -= 0.5
        x[:1] *= 3.0
    assert np.array_equal(x.grad, [2.0, 4.0]) and np.array_equal(x.data, [1.5, 1.5])


def test_a_view_made_without_autodiff_is_joined_to_its_base_when_it_is_used():
    x = tg.tensor([1.0, 2.0, 3.0])
    with tg.no_autodiff:
        view = x[:2]
        part = view[1:]
        part * 2
        assert view.creator is None and part.creator is None
    ((view * view).sum() + (x * x).sum() + part.sum()).backward()
    assert np.array_equal(x.grad, [4.0, 9.0, 6.0])
    assert np.array_equal(view.grad, [4.0, 9.0]) and np.array_equal(part.grad, [9.0])
    assert view.grad.base is x.grad
    with tg.no_autodiff:
        view *= 2
        wide = x.reshape(3, 1)
    (wide * wide).sum().backward()
    assert np.array_equal(x.grad, [4.0, 8.0, 6.0]) and np.array_equal(view.grad, [4.0, 8.0])
    x.null_grad()
    with tg.no_autodiff:
        alone = x[1:]
    alone.backward()
    assert np.array_equal(alone.grad, [1.0, 1.0])


def test_no_autodiff_nests_and_restores_after_an_exception():
    x = tg.tensor(1.0)
    with tg.no_autodiff:
        with tg.no_autodiff:
            pass
        assert (x * 2).creator is None
    assert (x * 2).creator is not None
    with pytest.raises(ZeroDivisionError), tg.no_autodiff:
        1 / 0
    assert (x * 2).creator is not None


def test_no_autodiff_decorates_and_keeps_the_functions_face():
    @tg.no_autodiff
    def double(x, *, by: int = 2):
        """Multiply."""
        return x * by

    assert double.__name__ == "double" and double.__doc__ == double.__wrapped__.__doc__
    assert list(inspect.signature(double).parameters) == ["x", "by"]
    assert double(tg.tensor(1.0)).creator is None
    assert (tg.tensor(1.0) * 2).creator is not None


def test_in_place_writes_without_autodiff_are_written():
    x = tg.tensor([1.0, 2.0])
    with tg.no_autodiff:
        array = x.data
        x *= 2
        x[0] = 7.0
        np.add(x, 1.0, out=x)
        assert x.creator is None and x.data is array
    assert np.array_equal(x.data, [8.0, 5.0])


def test_a_write_without_autodiff_does_not_corrupt_a_live_graph():
    x = tg.tensor([1.0, 2.0])
    y = x * x
    with tg.no_autodiff:
        x[...] = 100.0
    y.backward()
    assert np.array_equal(x.data, [100.0, 100.0])
    assert x.grad is None or np.array_equal(x.grad, [2.0, 4.0])


def test_a_decorated_function_may_return_arrays_in_place_of_tensors():
    x = tg.tensor([1.0, 2.0])

    def f(y, scale=1.0):
        """Double."""
        return {"double": y * 2 * scale, "rest": [y, 3.0, None]}

    plain = tg.no_autodiff(f)(x)
    assert type(plain["double"]) is tg.Tensor and plain["double"].creator is None
    g = tg.no_autodiff(f, to_numpy=True)
    assert g.__name__ == "f" and g.__doc__ == "Double."
    out = g(x, scale=2.0)
    assert type(out["double"]) is np.ndarray and np.array_equal(out["double"], [4.0, 8.0])
    assert out["rest"][0] is x.data and out["rest"][1:] == [3.0, None]
    single = tg.no_autodiff(lambda y: y.sum(), to_numpy=True)(x)
    assert type(single) is np.ndarray and single.shape == () and single == 3.0
    assert (x * 1.0).creator is not None


def test_arrays_in_place_of_traced_values_are_refused():
    f = tg.no_autodiff(lambda x: x * 2, to_numpy=True)
    with pytest.raises(tg.TracedArrayError):
        tg.grad(lambda x: f(x).sum())(np.ones(2))


def test_switches_of_the_memory_guard_know_nothing_of_arrays():
    with pytest.raises(TypeError, match="to_numpy"):
        tg.mem_guard_off(lambda: None, to_numpy=True)
