"""``cond``: branches that are chosen when the program runs."""

import pickle
import re
import warnings

import numpy as np
import pytest
from branches import FUNCTIONS, asking, derivatives_inside, nested, nests, pair, shapes

import tapegrad as tg
from tapegrad.tape.program.printing import run_source

A = np.array([1.0, 2.0, -0.5])
POINTS = [A, -A, 0.3 * A, 0.0 * A]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def differences(f, x, h=1e-5):
    """The gradient by central differences."""
    steps = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(f(x + s) - f(x - s)) / (2 * h) for s in steps]).reshape(x.shape)


by_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


@by_function
def test_values_and_derivatives_are_those_of_if(function):
    with_cond, with_if = pair(function)
    direction = np.array([0.5, -1.0, 2.0])
    for x in POINTS:
        np.testing.assert_array_equal(with_cond(x), with_if(x))
        np.testing.assert_array_equal(tg.grad(with_cond)(x), tg.grad(with_if)(x))
        got, wanted = (tg.jvp(f, (x,), (direction,)) for f in (with_cond, with_if))
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(tg.hessian(with_cond)(x), tg.hessian(with_if)(x))
        t, u = tg.tensor(x), tg.tensor(x)
        if function is not derivatives_inside:  # tensors are constants to transformations inside
            with_cond(t).backward()
            with_if(u).backward()
            np.testing.assert_array_equal(t.grad, u.grad)


@by_function
def test_the_gradient_is_that_of_differences(function):
    with_cond, _ = pair(function)
    for x in POINTS[:2]:
        np.testing.assert_allclose(tg.grad(with_cond)(x), differences(with_cond, x), atol=1e-6)


COMPILED = [
    pytest.param(f, what, id=f"{f.__name__}-{what}")
    for what in ("value", "grad", "forward over reverse", "jvp", "hessian")
    for f in (FUNCTIONS if what in ("value", "grad", "forward over reverse") else (nested, nests))
]


@pytest.mark.parametrize(("function", "what"), COMPILED)
def test_compiled_and_batched_it_is_the_same(function, what):
    with_cond, _ = pair(function)
    transformed = {
        "value": with_cond,
        "grad": tg.grad(with_cond),
        "jvp": lambda x: tg.jvp(with_cond, (x,), (A,))[1],
        "hessian": tg.hessian(with_cond),
        "forward over reverse": lambda x: tg.jvp(tg.grad(with_cond), (x,), (A,))[1],
    }[what]
    wanted = [transformed(x) for x in POINTS]
    compiled = tg.jit(transformed, strict=True)
    for _ in range(2):
        for x, w in zip(POINTS, wanted):
            np.testing.assert_allclose(compiled(x), w, rtol=1e-12, atol=1e-14)
    batch = np.stack(POINTS)
    np.testing.assert_allclose(tg.vmap(transformed)(batch), wanted, rtol=1e-12, atol=1e-14)
    both = tg.jit(tg.vmap(transformed), strict=True)
    np.testing.assert_allclose(both(batch), wanted, rtol=1e-12, atol=1e-14)


@by_function
def test_a_gradient_of_a_batch_is_the_batch_of_gradients(function):
    with_cond, _ = pair(function)
    batch = np.stack(POINTS)
    wanted = [tg.grad(with_cond)(x) for x in POINTS]
    whole = tg.grad(lambda batch: np.sum(tg.vmap(with_cond)(batch)))
    np.testing.assert_allclose(whole(batch), wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(tg.jit(whole)(batch), wanted, rtol=1e-12, atol=1e-14)


RECORDED = [f for f in FUNCTIONS if f not in (asking, shapes)]


@pytest.mark.parametrize("function", RECORDED, ids=lambda f: f.__name__)
def test_both_branches_are_compiled_and_the_predicate_is_no_guard(function):
    gradient = tg.jit(tg.grad(pair(function)[0]), strict=True)
    gradient(A)
    traces = gradient.stats().traces
    for x in POINTS:
        gradient(x)
    assert gradient.stats().traces <= max(traces, 2)  # a constant array is believed at the second
    text = gradient.explain(A)
    assert "guard:" not in text
    assert "# The plan of true_fun in cond" in text and "# The plan of false_fun in cond" in text


@pytest.mark.parametrize("function", RECORDED, ids=lambda f: f.__name__)
def test_on_a_tape_it_prints_replays_differentiates_and_compiles(function):
    if function is derivatives_inside:
        pytest.skip("tensors are constants to transformations inside")
    with_cond, _ = pair(function)
    x = tg.tensor(A)
    with tg.Tape() as tape:
        y = with_cond(x)
    text = str(tape)
    assert "def true_fun0(" in text and "def false_fun0(" in text
    program = tape.program([x], [y])
    program.verify()
    assert pickle.loads(pickle.dumps(program)) == program
    compiled = tape.compile([x], [y], gradient=True)
    np.testing.assert_allclose(tape.gradient(y, [x])[0], tg.grad(with_cond)(A), rtol=1e-14)
    for value in POINTS:
        wanted = with_cond(value)
        np.testing.assert_array_equal(tape.replay({x: value})[y], wanted)
        np.testing.assert_array_equal(run_source(program.source(), value), wanted)
        slope = tg.grad(with_cond)(value)
        np.testing.assert_allclose(program.pullback([0])(value, np.array(1.0))[0], slope)
        np.testing.assert_allclose(program.pushforward([0])(value, A)[0], slope @ A, atol=1e-14)
        np.testing.assert_allclose(compiled(value)[1][0], slope, rtol=1e-12, atol=1e-14)
    batch = program.batch(4)
    batch.verify()
    np.testing.assert_allclose(batch(np.stack(POINTS))[0], [with_cond(p) for p in POINTS])
    y.backward()
    np.testing.assert_allclose(x.grad, tg.grad(with_cond)(A), rtol=1e-14)


# What the branch that is not taken may not do ----------------------------------------------------


def test_no_warning_and_no_nan_comes_from_the_branch_that_is_not_taken():
    def f(x):
        return tg.cond(x > 0, lambda x: np.sqrt(x) + np.log(x), lambda x: 0.0 * x, x)

    x = np.array([4.0, 0.0, -1.0])
    wanted = [0.5, 0.0, 0.0]
    for g in (f, tg.grad(f), tg.grad(tg.grad(f))):
        for transformed in (tg.vmap(g), tg.jit(tg.vmap(g), strict=True)):
            out = transformed(x)
            assert np.isfinite(out).all() and np.all(out[1:] == 0)
    np.testing.assert_array_equal(tg.vmap(tg.grad(f))(x), [0.25 + 0.25, 0.0, 0.0])
    whole = tg.grad(lambda x: np.sum(tg.vmap(f)(x)))
    np.testing.assert_allclose(whole(x), wanted)
    np.testing.assert_allclose(tg.jit(whole, strict=True)(x), wanted)
    np.testing.assert_allclose(tg.grad(f)(np.array(-1.0)), 0.0)


def test_no_error_comes_from_the_branch_that_is_not_taken():
    def f(x, n):
        return tg.cond(n < 3, lambda x, n: x[n], lambda x, n: np.sum(x), x, n)

    for transformed in (f, tg.jit(f)):
        assert transformed(A, np.array(7)) == np.sum(A) and transformed(A, np.array(1)) == 2.0
    np.testing.assert_array_equal(
        tg.vmap(f, in_axes=(None, 0))(A, np.array([0, 7, 2])), [1.0, 2.5, -0.5]
    )


def test_a_branch_that_cannot_be_recorded_is_called_when_it_is_taken():
    def broken(x):
        raise KeyError("broken")

    def f(x):
        return tg.cond(np.sum(x) > 0, lambda x: x * 2, broken, x)

    compiled = tg.jit(f)
    np.testing.assert_array_equal(compiled(A), 2 * A)
    np.testing.assert_array_equal(compiled(A), 2 * A)
    for transformed in (f, compiled, tg.jit(tg.grad(lambda x: np.sum(f(x))))):
        with pytest.raises(KeyError, match="broken"):
            transformed(-A)
    with pytest.raises(KeyError, match="broken"):
        tg.vmap(f)(np.stack([A, -A]))
    np.testing.assert_array_equal(tg.vmap(f)(np.stack([A, A])), [2 * A, 2 * A])


# Writes and effects ------------------------------------------------------------------------------


def test_a_branch_that_writes_into_an_operand_does_it_as_with_if():
    def f(x):
        x = x + 0

        def write(x):
            x[0] = 5.0
            return np.sum(x)

        return tg.cond(np.sum(x) > 0, write, np.sum, x) + x[0]

    compiled = tg.jit(f)
    for x in POINTS:
        assert compiled(x) == f(x)
        np.testing.assert_array_equal(tg.grad(f)(x), tg.jit(tg.grad(f))(x))
    assert f(A) == 11.5


def test_results_are_arrays_of_their_own():
    w = np.ones(3)

    def f(x):
        y = tg.cond(x[0] > 0, lambda x: x, lambda x: w, x)
        y += 1
        z = tg.cond(x[0] > 0, lambda x: x[1:], lambda x: x[:2], x)
        z *= 0
        return np.sum(y), np.sum(x), np.sum(w)

    compiled = tg.jit(f)
    for x in (A, -A):
        given = x.copy()
        wanted = np.sum(x) + 3 if x[0] > 0 else 6.0
        for function in (f, compiled, compiled):
            np.testing.assert_allclose(function(given), (wanted, np.sum(x), 3.0))
            np.testing.assert_array_equal(given, x)
    t = tg.tensor(A)
    same = tg.cond(True, lambda x: x, lambda x: x, t)
    same += 1
    np.testing.assert_array_equal(t.data, A)


def test_functions_are_called_once_where_they_are_known():
    calls = []

    def note(x):
        calls.append("true")
        return x

    def other(x):
        calls.append("false")
        return x

    for _ in range(3):
        tg.cond(True, note, other, A)
    assert calls == ["true", "false", "true", "true", "true"]  # recorded once, to be compared


def test_recursion_ends():
    def factorial(n):
        return tg.cond(n <= 1, lambda n: np.float64(1.0), lambda n: n * factorial(n - 1), n)

    assert factorial(np.float64(5.0)) == 120.0


# Derivatives to what is read from outside --------------------------------------------------------


def test_tensors_from_outside_get_their_gradient():
    w = tg.tensor(3.0)

    def f(x):
        return tg.cond(x > 0, lambda x: w * x * x, lambda x: x / w, x)

    for x, slope in ((2.0, 4.0), (-2.0, 2.0 / 9.0)):
        f(tg.tensor(x)).backward()
        np.testing.assert_allclose(w.grad, slope)
        np.testing.assert_allclose(tg.grad(f)(x), 12.0 if x > 0 else 1 / 3)
    total = np.sum(tg.vmap(f)(np.array([2.0, -2.0])))
    total.backward()
    np.testing.assert_allclose(w.grad, 4.0 + 2.0 / 9.0)
    x = tg.tensor(2.0)
    with tg.Tape() as tape:
        y = f(x)
    np.testing.assert_allclose(tape.gradient(y, [w, x]), [4.0, 12.0])
    np.testing.assert_allclose(tape.replay({x: -2.0, w: 4.0})[y], -0.5)


def test_values_of_every_outer_trace_are_operands():
    def f(x, s):
        def inner(y):
            return tg.cond(y > s, lambda: y * s * np.sum(x), lambda: s - y)

        return np.sum(tg.vmap(inner)(x)) + tg.grad(inner)(s + 1.0)

    def plain(x, s):
        total = sum(float(y * s * np.sum(x)) if y > s else float(s - y) for y in x)
        return total + s * np.sum(x)

    for s in (0.3, 1.5):
        np.testing.assert_allclose(f(A, s), plain(A, s))
        both = tg.grad(f, argnums=(0, 1))
        slopes = differences(lambda x, s=s: plain(x, s), A)
        np.testing.assert_allclose(both(A, s)[0], slopes, atol=1e-6)
        np.testing.assert_allclose(
            both(A, s)[1], (plain(A, s + 1e-6) - plain(A, s - 1e-6)) / 2e-6, atol=1e-6
        )
        np.testing.assert_allclose(tg.jit(both)(A, s)[0], both(A, s)[0])


def test_what_a_branch_computes_from_outside_values_alone_is_computed_in_it():
    x = tg.tensor(A)
    with tg.Tape() as tape:
        tg.cond(np.sum(x) > 0, lambda: np.exp(x), lambda: x * x)
    names = [e.primitive.name for e in tape.entries]
    assert names == ["sum", "greater", "cond", "output"]


# Results -----------------------------------------------------------------------------------------


def test_python_numbers_take_the_dtype_of_the_other_branch():
    x = A.astype(np.float32)

    def f(x):
        return tg.cond(x[0] > 0, lambda x: (x[0], 1, 2.5), lambda x: (0, 2, 3.5), x)

    for function in (tg.jit(f), lambda x: tg.vmap(f)(np.stack([x, -x]))):
        out = function(x)
        assert [o.dtype for o in out] == [np.float32, np.int64, np.float64]
    np.testing.assert_array_equal(tg.jit(f)(-x), (0.0, 2, 3.5))
    with pytest.raises(TypeError, match=r"true_fun returns int64\[\], false_fun float32\[\]"):
        tg.cond(True, lambda x: np.argmax(x), lambda x: x[0], x)


def test_a_branch_may_return_nothing():
    assert tg.jit(lambda x: (tg.cond(x[0] > 0, lambda: None, lambda: None), x))(A)[0] is None


def test_static_operands_stay_what_they_are():
    def f(x, n):
        return tg.cond(
            x[0] > 0,
            lambda x, n, text: np.sum(np.reshape(x, (n, -1))) * len(text),
            lambda x, n, text: x[n] * 1.0,
            x, 3, "abc",
        )  # fmt: skip

    np.testing.assert_allclose(tg.jit(lambda x: f(x, 3))(A), 7.5)


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "false_fun, text",
    [
        (
            lambda x: (x, x),
            r"true_fun returns float64\[3\], false_fun \(float64\[3\], float64\[3\]\)",
        ),
        (lambda x: x[:2], r"true_fun returns float64\[3\], false_fun float64\[2\]"),
        (lambda x: x.astype("f4"), r"true_fun returns float64\[3\], false_fun float32\[3\]"),
        (lambda x: {"a": x}, r"false_fun \{'a': float64\[3\]\}"),
        (lambda x: None, "false_fun None"),
        (lambda x: 0.0, r"false_fun float64\[\]"),
    ],
)
def test_branches_that_return_otherwise_are_an_error(false_fun, text):
    def f(x):
        return tg.cond(x[0] > 0, lambda x: x, false_fun, x)

    calls = [
        lambda: f(A),
        lambda: tg.jit(f)(A),
        lambda: tg.vmap(f)(np.stack([A, -A])),
        lambda: tg.grad(lambda x: np.sum(f(x)))(A),
    ]
    for call in calls[1:] + calls[:1]:
        with pytest.raises(TypeError, match="the branches must return alike. .*" + text):
            call()
        tg.tape.transforms.control.branches._compared.clear()
    x = tg.tensor(A)
    with tg.Tape(), pytest.raises(TypeError, match="must return alike"):
        f(x)


@pytest.mark.parametrize("function", [lambda p: p, tg.jit], ids=["plain", "jit"])
def test_a_predicate_with_axes_is_an_error(function):
    for pred in (np.array([True]), np.array([True, False])):
        f = function(lambda p, x: tg.cond(p, np.sin, np.cos, x))
        with pytest.raises(
            TypeError, match=re.escape(f"must be a scalar, and has shape {pred.shape}")
        ):
            f(pred, A)


def test_other_predicates_and_branches_are_errors():
    with pytest.raises(TypeError, match="must be a truth value, not str"):
        tg.cond("yes", np.sin, np.cos, A)
    with pytest.raises(TypeError, match="true_fun must be a function, not ndarray"):
        tg.cond(True, A, np.cos, A)
    with pytest.raises(TypeError, match="false_fun must be a function, not NoneType"):
        tg.cond(True, np.cos, None, A)


def test_numbers_are_predicates():
    for pred, function in ((2, np.sin), (0.0, np.cos), (np.nan, np.sin), (np.int8(0), np.cos)):
        np.testing.assert_array_equal(tg.cond(pred, np.sin, np.cos, A), wanted := function(A))
        compiled = tg.jit(lambda p, x: tg.cond(p, np.sin, np.cos, x))
        np.testing.assert_allclose(compiled(np.asarray(pred), A), wanted, rtol=1e-15)
    assert tg.cond(tg.tensor(1.0), lambda: 1, lambda: 2) == 1


def test_jit_runs_as_it_is_where_a_tensor_from_outside_takes_part():
    w = tg.tensor(3.0)
    f = tg.jit(lambda x: tg.cond(x[0] > 0, lambda x: x * w, lambda x: x / w, x))
    with pytest.warns(RuntimeWarning, match="a tensor from outside"):
        out = f(A)
    np.testing.assert_array_equal([out.data, f(-A).data], [3 * A, -A / 3])
