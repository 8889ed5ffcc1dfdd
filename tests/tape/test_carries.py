"""What loops carry and take: numbers, structures, and errors that say what is wrong."""

import _thread
import math
import re
import threading
from collections import namedtuple
from functools import partial

import numpy as np
import pytest
from iterations import OURS, PYTHON

import tapegrad as tg

A = np.array([1.0, 2.0, -0.5])
Pair = namedtuple("Pair", "a b")


def everywhere(f, *args):
    """The results of f as it is, compiled, and for a batch of one."""
    yield f(*args)
    yield tg.jit(f)(*args)
    yield tg.tree_map(lambda r: r[0], tg.vmap(f)(*(np.asarray(a)[None] for a in args)))


# Numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "init, x, dtype",
    [
        (0.0, A, np.float64),
        (0, A, np.float64),
        (0.0, A.astype(np.float32), np.float32),
        (0, np.array([1, 2, 3], np.int16), np.int16),
        (np.float64(0), A.astype(np.float32), np.float64),
        (1, np.array([1, 2, 3]), np.int64),
    ],
)
def test_a_number_takes_the_dtype_that_the_function_gives_it(init, x, dtype):
    for total in everywhere(lambda x: tg.scan(lambda c, x: (c + x, None), init, x)[0], x):
        assert total.dtype == dtype
        np.testing.assert_allclose(total, init + np.sum(x))


def test_numbers_stay_weak_in_promotion_among_themselves():
    x = A.astype(np.float32)

    def f(x):
        return tg.fori_loop(0, 3, lambda i, s: (s[0] / 2 + 1, s[1] * s[0]), (0.5, x))

    for number, y in everywhere(f, x):
        assert y.dtype == np.float32
        np.testing.assert_allclose(number, 1.8125)
    np.testing.assert_allclose(f(x)[1], x * 0.5 * 1.25 * 1.625)


def test_numbers_are_compared_and_divided_in_a_loop():
    def f(x):
        return tg.while_loop(lambda v: v < 100.0, lambda v: v * 2 + 1 / v, x)

    wanted = 3.0
    while wanted < 100.0:
        wanted = wanted * 2 + 1 / wanted
    for out in everywhere(f, 3.0):
        np.testing.assert_allclose(out, wanted, rtol=1e-15)
    assert tg.jit(f, strict=True)(3.0) == f(3.0)
    assert tg.grad(f)(3.0) > 0


def test_numbers_from_outside_are_divided_in_a_loop():
    f = tg.jit(lambda a, b: tg.fori_loop(0, 2, lambda i, s: s + a / b, 0.0), strict=True)
    assert (f(1.0, 2.0), f(1.0, 4.0)) == (1.0, 0.5)
    assert f.stats().traces == 1


def test_booleans_and_integers_are_carried():
    def f(x):
        def step(state):
            seen, n, y = state
            return seen | (y > 3.0), n + 2, y + 1.0

        return tg.while_loop(lambda s: ~s[0], step, (False, np.int32(0), x))

    for seen, n, y in everywhere(f, 1.5):
        assert (bool(seen), n.dtype, int(n), float(y)) == (True, np.int32, 6, 4.5)
    assert tg.grad(lambda x: f(x)[2] ** 2)(1.5) == 9.0


def test_structures_are_kept():
    def step(c, x):
        return {"p": Pair(c["p"].b, c["p"].a + x), "q": None}, [c["p"].a, {"k": x}]

    for carry, ys in everywhere(lambda x: tg.scan(step, {"q": None, "p": Pair(0.0, 1.0)}, x), A):
        assert type(carry["p"]) is Pair and carry["q"] is None
        assert list(map(float, carry["p"])) == [3.0, 0.5]
        np.testing.assert_array_equal(ys[0], [0.0, 1.0, 1.0])
        np.testing.assert_array_equal(ys[1]["k"], A)


def test_results_are_arrays_of_their_own():
    x = np.arange(6.0).reshape(3, 2)
    carry, ys = tg.scan(lambda c, row: (row, c), x[0], x)
    carry += 100
    ys += 100
    same = tg.fori_loop(0, 2, lambda i, c: c, x)
    same += 100
    np.testing.assert_array_equal(x, np.arange(6.0).reshape(3, 2))


def test_there_may_be_no_trips():
    empty = np.zeros((0, 3))

    def f(x):
        carry, ys = tg.scan(lambda c, row: (c + row, (c[0] > 0, c * 2)), x, empty)
        return tg.fori_loop(3, 3, lambda i, c: c * 2, carry), ys

    for carry, (flags, ys) in everywhere(f, A):
        np.testing.assert_array_equal(carry, A)
        assert (flags.shape, flags.dtype, ys.shape) == ((0,), bool, (0, 3))
    assert tg.fori_loop(5, 2, lambda i, c: c * 2, 1.0) == 1.0
    assert tg.while_loop(lambda c: c < 0, lambda c: c * 2, 1.0) == 1.0
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(f(x)[0] ** 2))(A), 2 * A)


def test_the_function_is_recorded_once():
    calls = []

    def step(c, x):
        calls.append(type(x))
        return c * x, None

    tg.scan(step, np.float64(1.0), np.ones(999), 999)
    assert len(calls) == 1
    tg.scan(step, 1.0, np.ones(999))  # a number, which becomes a NumPy scalar
    assert len(calls) == 3


def test_what_cannot_be_recorded_is_called_in_each_trip():
    def step(c, x):
        if x > 0:
            return c * x, x
        return c + x, 2 * x

    for carry, ys in everywhere(lambda x: tg.scan(step, 1.0, x, reverse=True), A):
        assert carry == (1.0 - 0.5) * 2.0 * 1.0
        np.testing.assert_array_equal(ys, [1.0, 2.0, -1.0])
    with pytest.raises(KeyError, match="broken"):
        tg.scan(lambda c, x: {}["broken"], 0.0, A)


def test_an_infinite_loop_can_be_interrupted():
    for f in (
        lambda: tg.while_loop(lambda c: c > 0, lambda c: c * 1.0, 1.0),
        lambda: tg.jit(lambda x: tg.while_loop(lambda c: c > 0, lambda c: c * 1.0, x))(1.0),
    ):
        timer = threading.Timer(0.3, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            f()
        timer.join()


def test_verification_and_nested_recording_do_not_run_a_loop():
    def endless(x):  # on example values
        return tg.while_loop(lambda c: c == 1.0, lambda c: c * 1.0, x)

    x = tg.tensor(2.0)
    with tg.Tape() as tape:
        y = tg.scan(lambda c, _: (endless(c) + 1.0, None), x, length=2)[0]
    program = tape.program([x], [y])
    program.verify()
    assert program(np.array(2.0))[0] == 4.0


# Errors ------------------------------------------------------------------------------------------


def scans(init, step):
    return lambda x: tg.scan(lambda c, row: (step(c, row), None), init, x)


def repeats(init, step):
    return lambda x: tg.fori_loop(0, 2, lambda i, c: step(c, x[0]), init)


def goes_on(init, step):
    return lambda x: tg.while_loop(lambda c: False, lambda c: step(c, x[0]), init)


@pytest.mark.parametrize(
    "loop, name", [(scans, "scan"), (repeats, "fori_loop"), (goes_on, "while_loop")]
)
@pytest.mark.parametrize(
    "init, step, text",
    [
        (0.0, lambda c, x: c + np.ones(2), "the carry is float64[] and becomes float64[2]"),
        (
            {"n": 0, "h": np.ones(3)},
            lambda c, x: {"n": c["n"], "h": c["h"][1:]},
            "the carry['h'] is float64[3] and becomes float64[2]",
        ),
        (
            (np.float32(1), 2.0),
            lambda c, x: (c[0] * x, c[1]),
            "the carry[0] is float32[] and becomes float64[]",
        ),
        (np.int64(1), lambda c, x: c * 0.5, "the carry is int64[] and becomes float64[]"),
        (1.0, lambda c, x: np.argmax(x), "the carry is float64[] and becomes int64[]"),
        ((1.0, 2.0), lambda c, x: (c[0], (c[1],)), "the carry must keep its structure"),
        ({"a": 1.0}, lambda c, x: {"b": c["a"]}, "the carry must keep its structure"),
        (1.0, lambda c, x: (c, c), "the carry must keep its structure"),
    ],
)  # fmt: skip
def test_a_carry_that_changes_is_an_error(loop, name, init, step, text):
    f = loop(init, step)
    x = tg.tensor(A)
    calls = [
        lambda: f(A),
        lambda: tg.jit(f)(A),
        lambda: tg.vmap(f)(A[None]),
        lambda: tg.grad(lambda x: np.sum(x) + (f(x), 0.0)[1])(A),
        lambda: f(x),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=f"^{name}: .*" + re.escape(text)):
            call()


@pytest.mark.parametrize("function", [lambda f: f, tg.jit], ids=["plain", "jit"])
def test_wrong_arguments_say_what_is_wrong(function):
    def raises(kind, text, f, *args):
        with pytest.raises(kind, match=re.escape(text)):
            function(f)(*args)

    def step(c, x):
        return c, x

    raises(TypeError, "scan: f must be a function, not ndarray", lambda: tg.scan(A, 0.0, A))
    raises(
        TypeError,
        "scan: the function must return a pair (carry, result), and returns an array",
        lambda x: tg.scan(lambda c, x: c, 0.0, x), A,
    )  # fmt: skip
    raises(
        TypeError,
        "scan: the function must return a pair (carry, result), and returns (*, *, *)",
        lambda x: tg.scan(lambda c, x: (c, x, x), 0.0, x), A,
    )  # fmt: skip
    raises(
        ValueError,
        "scan: the first axes differ in size: 3 (xs['a']), 2 (xs['b'])",
        lambda x: tg.scan(step, 0.0, {"a": x, "b": x[1:]}), A,
    )  # fmt: skip
    raises(
        ValueError,
        "scan: the first axes differ in size: 5 (length), 3 (xs)",
        lambda x: tg.scan(step, 0.0, x, 5), A,
    )  # fmt: skip
    raises(ValueError, "length must say how many trips", lambda: tg.scan(step, 0.0))
    raises(ValueError, "length must be at least 0", lambda: tg.scan(step, 0.0, length=-1))
    raises(TypeError, "scan: xs[1] has no axes", lambda x: tg.scan(step, 0.0, (x, 2.0)), A)
    raises(
        ValueError,
        "checkpoint must be at least 0",
        lambda x: tg.scan(step, 0.0, x, checkpoint=-1),
        A,
    )
    raises(TypeError, "the carry['s'] must be an array or a number, and is of type str",
           lambda x: tg.scan(step, {"s": "text"}, x), A)  # fmt: skip
    raises(
        TypeError,
        "the carry is of dtype object",
        lambda x: tg.scan(step, np.ones(2, object), x),
        A,
    )
    raises(
        TypeError, "cond_fun must be a function, not bool", lambda: tg.while_loop(True, step, 0.0)
    )
    raises(
        TypeError, "body_fun must be a function, not float", lambda: tg.while_loop(step, 1.0, 0.0)
    )
    raises(
        TypeError,
        "while_loop: the condition must be a scalar, and has shape (3,)",
        lambda x: tg.while_loop(lambda c: c > 0, lambda c: c, x), A,
    )  # fmt: skip
    raises(
        TypeError, "fori_loop: upper must be an integer", lambda: tg.fori_loop(0, 2.5, step, 0.0)
    )
    raises(TypeError, "body_fun must be a function", lambda: tg.fori_loop(0, 2, A, 0.0))
    raises(ValueError, "unroll must be at least 1", lambda x: tg.scan(step, 0.0, x, unroll=0), A)
    raises(TypeError, "map: f must be a function", lambda: tg.map(A, A))
    raises(TypeError, "map: xs has no axes", lambda: tg.map(np.sin, 1.0))
    raises(
        ValueError, "batch_size must be at least 1", lambda x: tg.map(np.sin, x, batch_size=0), A
    )
    raises(TypeError, "fn must be a function", lambda: tg.associative_scan(A, A))
    raises(
        ValueError,
        "has shape (3,), and no axis 1",
        lambda x: tg.associative_scan(np.add, x, axis=1),
        A,
    )
    raises(ValueError, "the numbers of rows differ: 3 (elems[0]), 2 (elems[1])",
           lambda x: tg.associative_scan(lambda a, b: a, (x, x[1:])), A)  # fmt: skip
    raises(TypeError, "fn must return what it takes",
           lambda x: tg.associative_scan(lambda a, b: (a, b), x), A)  # fmt: skip


def test_what_is_called_in_each_trip_is_an_image_where_the_caller_is_one():
    def sines(loops, x):
        c, ys = loops.scan(lambda c, r: (math.sin(c) * float(r), c), 1.0, x)
        n = loops.fori_loop(0, 3, lambda i, c: math.exp(-c) + float(x[int(i)]), c)
        d = loops.while_loop(lambda c: math.cosh(c) < 5.0, lambda c: c + math.sqrt(c), n)
        return d * np.sum(ys * x) + np.sum(loops.map(lambda r: math.tanh(r) * r, x))

    def stores(loops, x):
        out = np.zeros(3)

        def step(c, i):
            out[i] = c * x[i]
            return c + 1.0, None

        loops.scan(step, 1.0, np.arange(3))
        return np.sum(out * x)

    def buffers(loops, x):
        def step(c, r):
            own = np.zeros(2)
            own[0] = float(c[0]) * r
            own[1] = c[1] + math.sin(r)
            return own, own

        c, ys = loops.scan(step, np.ones(2), x)
        n = loops.while_loop(lambda c: c[1] < 3.0, lambda c: step(c, x[0])[0], c)
        return np.sum(ys * x[:, None]) + np.sum(n)

    for function in (sines, stores, buffers):
        x = np.array([0.1, 0.2, 0.3])
        ours, python = (tg.value_and_grad(partial(function, way)) for way in (OURS, PYTHON))
        for transformed in (ours, tg.jit(ours)):
            np.testing.assert_allclose(transformed(x)[0], python(x)[0], rtol=1e-14)
            np.testing.assert_allclose(transformed(x)[1], python(x)[1], rtol=1e-14)
    way = tg.grad(lambda x: tg.cond(x > 0, lambda x: math.sin(x), lambda x: x, x))
    np.testing.assert_allclose(way(0.5), math.cos(0.5))


def test_rows_that_are_summed_up_keep_their_shape() -> None:
    with pytest.raises(TypeError, match=r"rows of shape \(\d+,\), all at once, and returned"):
        tg.associative_scan(lambda a, b: np.sum(a + b), np.ones(3))
