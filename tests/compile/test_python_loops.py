"""Loops of Python's under ``jit``: long ones are one operation, and do what Python does."""

import math

import numpy as np
import pytest
import written_loops
import written_programs
from written_loops import (
    N,
    X,
    a_loop_in_a_loop,
    appended,
    broken,
    in_two_ways,
    indexed,
    newton,
    stored,
    swapped,
)
from written_programs import (
    a_list_whose_slice_is_read,
    euler,
    mini_batches,
    objects_with_slots,
    slices_stored,
)

import tapegrad as tg
from tapegrad.compile.plans import loop_primitives

ONE_OPERATION = written_loops.ONE_OPERATION + written_programs.ONE_OPERATION
AS_WRITTEN = written_loops.AS_WRITTEN + written_programs.AS_WRITTEN


@pytest.mark.parametrize("function", ONE_OPERATION + AS_WRITTEN, ids=lambda f: f.__name__)
def test_values_and_derivatives_are_pythons(function):
    compiled, slope = tg.jit(function), tg.jit(tg.grad(function))
    for x in (X, X, X * 1.01, X[::-1].copy(), X):
        value = compiled(x)
        assert type(value) is type(function(x))
        np.testing.assert_allclose(value, function(x), rtol=1e-10)
        np.testing.assert_allclose(slope(x), tg.grad(function)(x), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "function",
    [indexed, stored, broken, in_two_ways, newton, appended, swapped]
    + [objects_with_slots, euler, mini_batches, slices_stored],
)
def test_other_transformations_of_loops(function):
    along = np.cos(X)
    (_, expected), (_, found) = (
        f(X, along)
        for f in (
            lambda x, v: tg.jvp(function, (x,), (v,)),
            tg.jit(lambda x, v: tg.jvp(function, (x,), (v,))),
        )
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    many = np.stack([X, X * 0.9, X[::-1]])
    np.testing.assert_allclose(
        tg.jit(tg.vmap(function))(many), [function(x) for x in many], rtol=1e-10
    )
    if function in (stored, newton):
        np.testing.assert_allclose(
            tg.jit(tg.hessian(function))(X), tg.hessian(function)(X), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("function", ONE_OPERATION, ids=lambda f: f.__name__)
def test_long_loops_are_one_operation(function):
    text = tg.jit(function).explain(X)
    assert "def body0(" in text
    if function is not a_loop_in_a_loop:
        assert "# loop: unrolled" not in text


def test_a_recording_does_not_grow_with_the_trips():
    def f(x, n):
        y, v, out = x, x * 0, np.zeros(n)
        for i in range(n):
            v = v - 0.01 * np.sin(y)
            y = y + 0.01 * v
            out[i] = y[0]
        return out.sum()

    sizes = set()
    for n in (100, 1000, 10_000):
        slope = tg.jit(tg.grad(f), static_argnums=1)
        slope(X[:3], n)
        sizes.add(slope.explain(X[:3], n).partition(" library steps")[0])
        assert slope.stats().traces == 1
    assert len(sizes) == 1


def test_one_recording_serves_all_lengths_of_a_loop_that_ends_by_itself():
    compiled = tg.jit(tg.value_and_grad(newton))
    for a in (0.5, 3.0, 1e4, 1e-2):
        x = X * a
        value, slope = compiled(x)
        assert value == pytest.approx(newton(x))
        assert slope[3] == pytest.approx(0.5 / newton(x))
    assert compiled.stats().traces <= 2


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: [x[i] for i in range(N + 1)], IndexError),
        (lambda x: _sum(x[i + 40] for i in range(N)), IndexError),
        (lambda x: _looped(x, lambda s, i, x: s + 1.0 / (80 - i)), ZeroDivisionError),
        (lambda x: _looped(x, lambda s, i, x: s + x[i * 2]), IndexError),
        (lambda x: _looped(x, lambda s, i, x: s + math.log(70 - i)), ValueError),
        (lambda x: _looped(x, lambda s, i, x: s + math.exp(i * 20)), OverflowError),
        (lambda x: _looped(x, lambda s, i, x: s + undefined), NameError),  # noqa: F821
    ],
)
def test_errors_are_pythons(function, error):
    compiled = tg.jit(function)
    for _ in range(2):
        with pytest.raises(error):
            compiled(X)


def _sum(values):
    s = 0.0
    for value in values:
        s = s + value
    return s


def _looped(x, step):
    s = 0.0
    for i in range(N):
        s = step(s, i, x)
    return s


def test_integers_grow_as_pythons():
    def f(x):
        k, s = 1, 0.0
        for i in range(N):
            k = k * 3
            s = s + x[i]
        return s, k

    compiled = tg.jit(f)
    for x in (X, X + 1):
        value, k = compiled(x)
        assert (value, k) == (pytest.approx(f(x)[0]), 3**N)


def test_what_a_loop_leaves_behind_is_what_python_leaves():
    def f(x):
        flag, name, t, k = False, "a", 0.0, 0
        for i in range(N):
            flag, name, t, k, y = flag, name, t + 0.5, k + i, x[i] * 2
            last = i
        return flag, name, t, k, y, i, last

    expected, found = f(X), tg.jit(f)(X)
    assert [type(v) for v in found] == [type(v) for v in expected]
    assert found == pytest.approx(expected) or list(found) == list(expected)


def test_effects_happen_in_each_trip():
    calls = []

    def f(x):
        s = 0.0
        for i in range(N):
            calls.append(i)
            s = s + x[i]
        return s

    with pytest.warns(RuntimeWarning, match="append"):
        assert tg.jit(f)(X) == pytest.approx(X.sum())
    assert calls == list(range(N))


def test_a_generator_is_advanced_by_each_trip():
    def f(x):
        def numbers():
            k = 0.0
            while True:
                yield k
                k += 1.0

        source, s = numbers(), 0.0
        for i in range(N):
            s = s + x[i] * next(source)
        return s + next(source)

    assert tg.jit(f)(X) == pytest.approx(f(X))


def test_views_and_other_names_of_an_array_see_what_a_loop_stores():
    def f(x):
        out = np.zeros(N)
        same, part = out, out[10:]
        out[0] = x[0]
        s = 0.0
        for i in range(1, N):
            out[i] = x[i] * 2
            s = s + same[i] + part[0]
        out[20] = 7.0
        return s + part.sum() + same.sum()

    for x in (X, X * 2):
        assert tg.jit(f)(x) == pytest.approx(f(x))
        np.testing.assert_allclose(tg.jit(tg.grad(f))(x), tg.grad(f)(x))


def test_an_array_that_is_reached_by_another_way_is_the_same():
    class Holder:
        pass

    def f(x):
        holder, s = Holder(), 0.0
        holder.buffer = b = np.zeros(3)
        for i in range(N):
            s = s + holder.buffer[i % 3] + x[i]
            b[i % 3] = 1.0 + i
        return s + b.sum()

    def g(x):
        x, s = x.copy(), 0.0
        for i, a in enumerate(x):
            x[(i + 1) % N] = a * 0.5
            s = s + a
        return s + x.sum()

    for function in (f, g):
        assert tg.jit(function)(X) == pytest.approx(function(X))
        np.testing.assert_allclose(tg.jit(tg.grad(function))(X), tg.grad(function)(X))


def test_a_list_that_is_reached_by_another_way_is_the_same():
    class Holder:
        pass

    def f(x):
        holder, parts = Holder(), [x[0], x[1]]
        holder.parts, same = parts, parts
        for i in range(N):
            parts[0] = holder.parts[1] * 0.5 + x[i]
            parts[1] = parts[0] * 0.3
        return parts[0] + holder.parts[1] + same[0]

    assert tg.jit(f)(X) == pytest.approx(f(X))
    np.testing.assert_allclose(tg.jit(tg.grad(f))(X), tg.grad(f)(X))


def test_an_argument_that_is_written_into_is_the_callers():
    def f(x):
        for i in range(1, N):
            x[i] = x[i - 1] * 0.5 + x[i]
        return x.sum()

    ours, theirs = X.copy(), X.copy()
    compiled = tg.jit(f)
    for _ in range(3):
        assert compiled(ours) == pytest.approx(f(theirs))
        np.testing.assert_allclose(ours, theirs)


def test_the_reason_is_told_where_a_loop_is_unrolled():
    text = tg.jit(a_list_whose_slice_is_read).explain(X)
    assert "# loop: unrolled, since it uses a list to which it appends, at " in text
    assert "written_programs.py:" in text


def test_what_a_loop_reads_from_outside_is_looked_at_in_each_call():
    box = {"scale": 2.0}

    def f(x):
        s = 0.0
        for i in range(N):
            s = s * 0.5 + x[i] * box["scale"]
        return s

    compiled = tg.jit(f)
    for scale in (2.0, 3.0, -1.0):
        box["scale"] = scale
        assert compiled(X) == pytest.approx(f(X))


def test_machine_code_of_a_loop_is_written_once(monkeypatch):
    made = []
    begin = loop_primitives.Repeated.__init__

    def counted(self, body, *args, **kwargs):
        made.append(body)
        begin(self, body, *args, **kwargs)

    monkeypatch.setattr(loop_primitives.Repeated, "__init__", counted)
    compiled = tg.jit(tg.value_and_grad(a_loop_in_a_loop))
    for _ in range(2):  # when it runs for the first time, and in the plan
        compiled(X)
    assert len(made) <= 8  # 16 if each plan writes its own
