"""Options of jit: static arguments, and arguments whose memory is given away."""

import pickle
import tracemalloc
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg

N = 4096
X = np.linspace(0.1, 1.0, N)


# Static arguments ---------------------------------------------------------------------------------


def power(x, n, kind="plain"):
    y = x
    for _ in range(n - 1):
        y = y * x
    return np.sin(y) if kind == "sine" else y


@pytest.mark.parametrize(
    "options",
    [
        {"static_argnums": (1, 2)},
        {"static_argnums": [-2, -1]},
        {"static_argnames": ("n", "kind")},
        {"static_argnums": 1, "static_argnames": "kind"},
        {"static_argnums": iter([1, 2])},
    ],
    ids=str,
)
def test_static_arguments_are_constants_by_position_and_by_name(options):
    jitted = tg.jit(power, strict=True, **options)
    for _ in range(3):
        for n in (1, 3):
            np.testing.assert_allclose(jitted(X, n), X**n)
            np.testing.assert_allclose(jitted(X, n=n), X**n)
            np.testing.assert_allclose(jitted(X, n, kind="sine"), np.sin(X**n), rtol=1e-12)
            np.testing.assert_allclose(jitted(X, n, "sine"), np.sin(X**n), rtol=1e-12)
    assert jitted.stats().traces == 8


def test_a_known_value_is_not_recorded_again_whatever_came_between():
    jitted = tg.jit(power, static_argnums=1)
    for n in (2, 500, 3, 500, 2):
        jitted(X, n)
        jitted(X, int(str(n)))  # an equal number that is another object
    assert jitted.stats().traces == 3


@pytest.mark.parametrize(
    "one, other",
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ((1,), (1.0,)),
        ((0.0,), (-0.0,)),
        (np.int8(1), 1),
        ("1", b"1"),
    ],
    ids=str,
)
def test_values_that_are_equal_but_not_the_same_are_told_apart(one, other):
    def kept(x, value):
        return x * 2, repr(value), type(value).__name__

    jitted = tg.jit(kept, static_argnums=1)
    for value in (one, other, one, other):
        assert jitted(X, value)[1:] == (repr(value), type(value).__name__)
    assert jitted.stats().traces == 2


def test_nan_is_one_value():
    jitted = tg.jit(lambda x, a: x * a, static_argnums=1)
    for _ in range(3):
        assert np.isnan(jitted(X, float("nan"))).all()
    assert jitted.stats().traces == 1


class Settings(NamedTuple):
    rate: float
    layers: tuple


class Equal:
    """Compares by a number, and can be changed all the same."""

    def __init__(self, number):
        self.number = number
        self.factor = 1.0

    def __eq__(self, other):
        return type(other) is Equal and self.number == other.number

    def __hash__(self):
        return hash(self.number)


def test_functions_tuples_and_named_tuples_are_static():
    def run(x, f, s):
        for layer in s.layers:
            x = f(x) * layer
        return x * s.rate

    jitted = tg.jit(run, static_argnames=("f", "s"), strict=True)
    for f in (np.sin, np.cos, lambda x: x * x, np.sin):
        for s in (Settings(0.5, (1, 2)), Settings(2.0, (3,))):
            for _ in range(2):
                np.testing.assert_allclose(jitted(X, f, s), run(X, f, s), rtol=1e-12)


def test_an_equal_object_is_taken_for_the_same_and_changes_of_it_are_seen():
    jitted = tg.jit(lambda x, e: x * e.number * e.factor, static_argnums=1, strict=True)
    mine = Equal(2.0)
    for _ in range(2):
        np.testing.assert_array_equal(jitted(X, mine), X * 2)
        np.testing.assert_array_equal(jitted(X, Equal(2.0)), X * 2)
    assert jitted.stats().traces == 1
    for factor in (3.0, 4.0, 5.0):
        mine.factor = factor
        np.testing.assert_array_equal(jitted(X, mine), X * 2 * factor)


def test_methods_count_their_instance():
    class Model:
        def __init__(self, size):
            self.size = size

        @partial(tg.jit, static_argnums=(0, 2))
        def __call__(self, x, n):
            return x * self.size**n

    for size in (2.0, 3.0):
        model = Model(size)
        for _ in range(2):
            np.testing.assert_array_equal(model(X, 2), X * size**2)


def test_variable_positional_arguments():
    def total(*xs):
        return xs[0] * xs[-1]

    jitted = tg.jit(total, static_argnums=-1)
    for n in (2, 3):
        np.testing.assert_array_equal(jitted(X, n), X * n)
        np.testing.assert_array_equal(jitted(X, X, n), X * n)
    assert jitted.stats().traces == 4


def test_tensors_and_derivatives_beside_static_arguments():
    jitted = tg.jit(power, static_argnums=(1, 2))
    for n in (2, 3, 2):
        np.testing.assert_allclose(
            tg.grad(lambda x, n=n: np.sum(jitted(x, n)))(X), n * X ** (n - 1)
        )
        t = tg.tensor(X)
        jitted(t, n).sum().backward()
        np.testing.assert_allclose(t.grad, n * X ** (n - 1))
        np.testing.assert_allclose(
            tg.vmap(lambda x, n=n: jitted(x, n))(X.reshape(8, -1)), X.reshape(8, -1) ** n
        )
        np.testing.assert_allclose(tg.jit(lambda x, n=n: jitted(x, n) * 2)(X), 2 * X**n)


@pytest.mark.parametrize(
    "value, name", [([1], "1"), (np.ones(2), "1"), (({},), "1"), (tg.tensor(1.0), "1")], ids=str
)
def test_what_has_no_hash_is_refused_by_name(value, name):
    jitted = tg.jit(power, static_argnums=1)
    jitted(X, 1)
    with pytest.raises(ValueError, match=f"static argument {name} .*must be hashable"):
        jitted(X, value)
    with pytest.raises(ValueError, match=r"static argument 'n' .*must be hashable"):
        jitted(X, n=value)


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"static_argnums": 3}, ValueError, "static_argnums holds 3, and power takes 3"),
        ({"donate_argnums": -4}, ValueError, "donate_argnums holds -4"),
        (
            {"static_argnames": "m"},
            ValueError,
            "'m', which power does not take; it takes x, n, kind",
        ),
        ({"static_argnums": "n"}, TypeError, "static_argnums takes ints"),
        ({"static_argnums": 1.0}, TypeError, "static_argnums takes ints"),
        ({"donate_argnames": 0}, TypeError, "donate_argnames takes strs"),
        (
            {"static_argnums": 0, "donate_argnames": "x"},
            ValueError,
            "0 is static and donated",
        ),
    ],
    ids=str,
)
def test_options_that_fit_no_argument_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        tg.jit(power, **options)


def test_options_are_shown_and_pickled():
    jitted = tg.jit(np.linalg.norm, static_argnames="axis", wait=True)
    assert jitted.spelled() == "jit(norm, wait=True, static_argnames='axis')"
    again = pickle.loads(pickle.dumps(jitted))
    assert again.spelled() == jitted.spelled()
    np.testing.assert_allclose(again(np.eye(3), axis=0), np.ones(3))


# Donated arguments --------------------------------------------------------------------------------


def step(p, g, rate):
    return p - rate * g


def test_a_result_is_written_into_the_donated_array_and_is_it():
    jitted = tg.jit(step, donate_argnums=0, strict=True)
    p, wanted = X.copy(), X.copy()
    p = jitted(p, X, 0.5)
    wanted = step(wanted, X, 0.5)
    for _ in range(3):
        q = jitted(p, X, 0.5)
        wanted = step(wanted, X, 0.5)
        assert q is p
        np.testing.assert_allclose(p, wanted)


@pytest.mark.parametrize("n", [1, 2])
def test_donated_arrays_may_have_one_element(n):
    def descend(p, m, rate):
        m = 0.9 * m + p
        return np.where(rate > 0, p - rate * m, p), m

    jitted = tg.jit(descend, donate_argnums=(0, 1), strict=True)
    both = wanted = np.ones(n), np.full(n, 0.5)
    for rate in (0.5, 0.5, 0.25):
        wanted = descend(*wanted, rate)
        both = jitted(*map(np.copy, both), np.float64(rate))
    np.testing.assert_allclose(both, wanted, rtol=1e-15)


def test_nothing_is_allocated_for_parameters_in_a_nest():
    def update(state, gradients, rate):
        momenta = [0.9 * m + g for m, g in zip(state["m"], gradients)]
        return {"p": [p - rate * m for p, m in zip(state["p"], momenta)], "m": momenta}

    def fresh():
        return {"p": [X * i for i in range(5)], "m": [X + i for i in range(5)]}

    gradients = [X * i for i in range(5)]
    jitted = tg.jit(update, donate_argnames="state", strict=True)
    state, wanted = fresh(), fresh()
    for _ in range(3):
        state, wanted = jitted(state, gradients, 0.5), update(wanted, gradients, 0.5)
    given = {id(a) for a in (*state["p"], *state["m"])}
    tracemalloc.start()
    try:
        state = jitted(state, gradients, 0.5)
        assert tracemalloc.get_traced_memory()[1] < X.nbytes // 2
    finally:
        tracemalloc.stop()
    wanted = update(wanted, gradients, 0.5)
    assert {id(a) for a in (*state["p"], *state["m"])} == given
    for a, b in zip((*state["p"], *state["m"]), (*wanted["p"], *wanted["m"])):
        np.testing.assert_allclose(a, b)


def test_memory_is_taken_also_from_what_was_needed_earlier():
    def f(x, a):
        total = a @ x  # after this, nobody needs x
        return np.exp(-total) * 0.5

    a = np.linspace(-1, 1, 400).reshape(20, 20)
    jitted = tg.jit(f, donate_argnums=0, strict=True)
    jitted(np.ones(20), a)
    x = np.linspace(0, 1, 20)
    wanted = f(x, a)
    assert jitted(x, a) is x
    np.testing.assert_allclose(x, wanted)


def test_what_a_later_step_or_another_element_needs_is_not_overwritten():
    def later(p, a):
        q = np.exp(p)
        return q, (a @ q) * p

    def elsewhere(p, a):
        return p[::-1] * 2, a @ p

    a = np.linspace(-1, 1, 400).reshape(20, 20)
    for f in (later, elsewhere):
        jitted = tg.jit(f, donate_argnums=0, strict=True)
        for _ in range(3):
            p = np.linspace(0, 1, 20)
            for got, wanted in zip(jitted(p.copy(), a), f(p, a)):
                np.testing.assert_allclose(got, wanted)


def test_updates_before_a_last_product_are_in_place_too():
    def train(w1, w2, x):
        h = np.tanh(x @ w1)
        g = h @ w2 - 1.0
        g2 = h.T @ g
        g1 = x.T @ ((g @ w2.T) * (1 - h * h))
        return w1 - 0.1 * g1, w2 - 0.1 * g2

    x = np.random.default_rng(0).normal(size=(16, 4))
    w1, w2 = np.full((4, 8), 0.1), np.full((8, 3), 0.2)
    jitted = tg.jit(train, donate_argnums=(0, 1), strict=True)
    jitted(w1.copy(), w2.copy(), x)
    wanted = train(w1, w2, x)
    got = jitted(w1, w2, x)
    assert got[0] is w1 and got[1] is w2
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize("kind", ["read-only", "twice", "captured", "view of another"])
def test_arrays_that_are_not_the_functions_alone_are_left_alone(kind):
    p = X.copy()
    g = {"twice": p, "view of another": p[:]}.get(kind, X * 2)
    captured = p if kind == "captured" else X * 3
    if kind == "read-only":
        p.flags.writeable = False
    jitted = tg.jit(lambda p, g: p - g * captured, donate_argnums=0, strict=True)
    jitted(X.copy(), X * 2)
    for _ in range(3):
        np.testing.assert_allclose(jitted(p, g), X - g * captured)
        np.testing.assert_array_equal(p, X)


def test_layouts_shapes_and_dtypes_that_do_not_fit_are_left_alone():
    square = X[:100].reshape(10, 10)
    for donated, f in [
        (square.T, lambda a: a * 2),
        (X[::2], lambda a: a * 2),
        (X.astype("f4"), lambda a: a * np.float64(2)),
        (X.copy(), lambda a: a[1:] * 2),
    ]:
        before, jitted = donated.copy(), tg.jit(f, donate_argnums=0)
        for _ in range(3):
            np.testing.assert_allclose(jitted(donated), f(before))
            np.testing.assert_array_equal(donated, before)


def test_what_is_returned_or_seen_through_a_view_is_left_alone():
    def f(p, q, r):
        return p, p * 2, q[::2], q + 1, r + 1, r[1:] * 2

    args = [X.copy() for _ in range(3)]
    jitted = tg.jit(f, donate_argnums=(0, 1, 2))
    for _ in range(3):
        given = [a.copy() for a in args]
        for a, b in zip(jitted(*given), f(*args)):
            np.testing.assert_allclose(a, b)


def test_nothing_is_overwritten_while_the_call_may_still_stop():
    def f(p, g):
        q = p - g
        if np.sum(q) > 0:  # a guard
            return q * 1.0
        return q * 10.0 + np.linalg.inv(np.eye(2) * q[0])[0, 0]

    jitted = tg.jit(f, donate_argnums=0)
    for scale in (0.1, 0.2, 9.0, 0.1, 8.0, 0.3, 7.0):
        p = X.copy()
        np.testing.assert_allclose(jitted(p, X * scale), f(X.copy(), X * scale))


def test_a_call_that_raises_has_changed_nothing():
    def f(p, a):
        return p * 2, np.linalg.inv(a)

    jitted = tg.jit(f, donate_argnums=0)
    jitted(X.copy(), np.eye(2))
    p = X.copy()
    with pytest.raises(np.linalg.LinAlgError):
        jitted(p, np.zeros((2, 2)))
    np.testing.assert_array_equal(p, X)


def test_an_array_that_the_function_itself_writes_into_is_as_without():
    def f(p, g):
        p -= g
        return p * 2

    p, wanted = X.copy(), X.copy()
    jitted = tg.jit(f, donate_argnums=0)
    for _ in range(3):
        np.testing.assert_allclose(jitted(p, X), f(wanted, X))
        np.testing.assert_allclose(p, wanted)


def test_tensors_are_not_overwritten():
    jitted = tg.jit(step, donate_argnums=0)
    p = X.copy()
    for _ in range(2):
        jitted(p.copy(), X, 0.5)
        np.testing.assert_allclose(
            tg.grad(lambda p: np.sum(jitted(p, X, 0.5) ** 2))(p), 2 * step(X, X, 0.5)
        )
        t = tg.tensor(p)
        y = jitted(t, X, 0.5)
        y.sum().backward()
        np.testing.assert_array_equal(t.grad, np.ones(N))
        np.testing.assert_array_equal(t.data, X)
        np.testing.assert_array_equal(p, X)


OPERATIONS = {
    "sine": lambda v, i, j: np.sin(v[i]) + v[j],
    "product": lambda v, i, j: v[i] * v[j] * 0.5,
    "flip": lambda v, i, j: v[i][::-1],
    "turn": lambda v, i, j: v[i].reshape(4, 8).T.reshape(-1) + 0 * v[j],
    "sums": lambda v, i, j: v[i] * np.sum(v[j]) / 32,
    "cumulative": lambda v, i, j: np.cumsum(v[i]) * 0.1,
    "matrix": lambda v, i, j: (
        (v[i].reshape(4, 8) @ v[j].reshape(8, 4) @ v[i].reshape(4, 8)).ravel() / 99
    ),
    "shifted": lambda v, i, j: np.concatenate([v[i][1:], v[j][:1]]),
    "same": lambda v, i, j: v[i],
    "held": lambda v, i, j: tg.stop_gradient(v[i]),
    "part": lambda v, i, j: v[i][None, :][0],
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 9), st.integers(0, 9)),
        min_size=2,
        max_size=7,
    ),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
)
def test_any_program_gives_what_it_gives_without_donation(steps, kept):
    def f(a, b, c):
        values = [a, b, c]
        for kind, i, j in steps:
            values.append(OPERATIONS[kind](values, i % len(values), j % len(values)))
        return tuple(values[-1 - k % len(values)] for k in kept)

    given = [np.linspace(k, k + 1, 32) for k in range(3)]
    jitted = tg.jit(f, donate_argnums=(0, 1, 2))
    for _ in range(2):
        results = jitted(*(a.copy() for a in given))
        for a, b in zip(results, f(*given)):
            np.testing.assert_allclose(a, b, rtol=1e-10)
