"""Loops as entries: every way of running and differentiating them is that of Python's loops."""

import pickle
import warnings

import numpy as np
import pytest
from iterations import FUNCTIONS, asking, chosen, pair, recurrent, slopes, until

import tapegrad as tg
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.printing import run_source
from tapegrad.tape.transforms.control import sharing

A = np.array([0.9, 1.2, -0.5])
POINTS = [A, 0.4 * A, -A]
RECORDED = [f for f in FUNCTIONS if f is not asking]
ON_TENSORS = [
    f for f in FUNCTIONS if f is not slopes
]  # tensors are constants to transformations inside


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def differences(f, x, h=1e-5):
    """The gradient by central differences."""
    return np.array([(f(x + s) - f(x - s)) / (2 * h) for s in h * np.eye(x.size)])


by_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
by_recorded = pytest.mark.parametrize("function", RECORDED, ids=lambda f: f.__name__)


@by_function
def test_values_and_derivatives_are_those_of_pythons_loops(function):
    ours, python = pair(function)
    direction = np.array([0.5, -1.0, 2.0])
    for x in POINTS:
        np.testing.assert_allclose(ours(x), python(x), rtol=1e-15)
        np.testing.assert_allclose(tg.grad(ours)(x), tg.grad(python)(x), rtol=1e-11, atol=1e-13)
        got, wanted = (tg.jvp(f, (x,), (direction,)) for f in (ours, python))
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-13)
        got, wanted = (tg.hessian(f)(x) for f in (ours, python))
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-11)
        got, wanted = (tg.jacrev(tg.grad(f))(x) for f in (ours, python))
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-11)
        got, wanted = (tg.jacfwd(tg.jacfwd(f))(x) for f in (ours, python))
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-11)


@by_function
def test_the_gradient_is_that_of_differences(function):
    ours, _ = pair(function)
    np.testing.assert_allclose(tg.grad(ours)(A), differences(ours, A), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("function", ON_TENSORS, ids=lambda f: f.__name__)
def test_backward_is_that_of_pythons_loops(function):
    ours, python = pair(function)
    for point in POINTS:
        x, y = tg.tensor(point), tg.tensor(point)
        ours(x).backward()
        python(y).backward()
        np.testing.assert_allclose(x.grad, y.grad, rtol=1e-11, atol=1e-13)
        x = tg.tensor(point)
        slope = tg.gradients(ours(x), x, create_graph=True)
        curvature = tg.gradients(np.sum(slope * A), x)
        wanted = tg.hvp(python, (point,), (A,))
        np.testing.assert_allclose(curvature, wanted, rtol=1e-10, atol=1e-11)


@by_function
@pytest.mark.parametrize("what", ["value", "grad", "jvp", "hvp"])
def test_compiled_and_batched_it_is_the_same(function, what):
    ours, python = pair(function)

    def transformed(f):
        return {
            "value": f,
            "grad": tg.grad(f),
            "jvp": lambda x: tg.jvp(f, (x,), (A,))[1],
            "hvp": lambda x: tg.hvp(f, (x,), (A,)),
        }[what]

    wanted = [transformed(python)(x) for x in POINTS]
    close = {"rtol": 1e-10, "atol": 1e-12}
    compiled = tg.jit(transformed(ours), strict=True)
    for _ in range(2):
        for x, w in zip(POINTS, wanted):
            np.testing.assert_allclose(compiled(x), w, **close)
    batch = np.stack(POINTS)
    np.testing.assert_allclose(tg.vmap(transformed(ours))(batch), wanted, **close)
    np.testing.assert_allclose(tg.jit(tg.vmap(transformed(ours)))(batch), wanted, **close)
    if what == "value":
        whole = tg.grad(lambda batch: np.sum(tg.vmap(ours)(batch)))
        slopes = [tg.grad(python)(x) for x in POINTS]
        np.testing.assert_allclose(whole(batch), slopes, **close)
        np.testing.assert_allclose(tg.jit(whole)(batch), slopes, **close)


@by_recorded
def test_under_jit_nothing_is_asked_of_the_values(function):
    gradient = tg.jit(tg.value_and_grad(pair(function)[0]), strict=True)
    for _ in range(2):
        for x in POINTS:
            gradient(x)
    assert gradient.stats().traces <= 2  # a constant array is believed at the second
    text = gradient.explain(A)
    assert "guard:" not in text
    assert "# The plan of body in " in text


@pytest.mark.parametrize(
    "function", [f for f in RECORDED if f in ON_TENSORS], ids=lambda f: f.__name__
)
def test_on_a_tape_it_prints_replays_differentiates_and_compiles(function):
    ours, python = pair(function)
    x = tg.tensor(A)
    with tg.Tape() as tape:
        y = ours(x)
    assert "def body0(" in str(tape)
    program = tape.program([x], [y])
    program.verify()
    assert pickle.loads(pickle.dumps(program)) == program
    compiled = tape.compile([x], [y], gradient=True)
    close = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(tape.gradient(y, [x])[0], tg.grad(python)(A), **close)
    for value in POINTS:
        wanted, slope = python(value), tg.grad(python)(value)
        np.testing.assert_allclose(tape.replay({x: value})[y], wanted, rtol=1e-15)
        np.testing.assert_array_equal(run_source(program.source(), value), ours(value))
        np.testing.assert_allclose(program.pullback([0])(value, np.array(1.0))[0], slope, **close)
        np.testing.assert_allclose(program.pushforward([0])(value, A)[0], slope @ A, **close)
        np.testing.assert_allclose(compiled(value)[1][0], slope, **close)
    both = program.reverse([0])
    both.verify()
    batch = program.batch(3)
    batch.verify()
    np.testing.assert_allclose(batch(np.stack(POINTS))[0], [python(p) for p in POINTS], rtol=1e-12)
    y.backward()
    np.testing.assert_allclose(x.grad, tg.grad(python)(A), **close)


# How long it takes to record and to compile ------------------------------------------------------


def entries_of(program):
    inside = [v for e in program.entries for v in e.params.values() if hasattr(v, "entries")]
    return len(program) + sum(map(entries_of, inside))


@pytest.mark.parametrize("transformation", [lambda f: f, tg.grad])
def test_a_recording_does_not_depend_on_the_number_of_trips(transformation):
    def sizes(trips):
        def scanned(x):
            return np.sum(tg.scan(lambda c, _: (np.sin(c) * x, c), x, length=trips)[0])

        def repeated(x):
            return np.sum(
                tg.while_loop(
                    lambda s: s[0] < trips, lambda s: (s[0] + 1, np.sin(s[1]) * x), (0, x)
                )[1]
            )

        found = []
        for f in (scanned, repeated):
            compiled = tg.jit(transformation(f), strict=True)
            compiled(A)
            kernels = compiled.stats()
            found.append(
                (
                    len(compiled.explain(A).split("\n")),
                    kernels.traces,
                    kernels.kernels_compiled + kernels.kernels_loaded + kernels.kernels_reused,
                )
            )
        return found

    assert sizes(10) == sizes(1000)


def test_a_bound_that_is_traced_is_no_guard():
    power = tg.jit(lambda x, n: tg.fori_loop(0, n, lambda i, y: x * y, 1.0), strict=True)
    slope = tg.jit(tg.grad(lambda x, n: tg.fori_loop(0, n, lambda i, y: x * y, 1.0)), strict=True)
    for n in (3, 7, 0, 12):
        np.testing.assert_allclose(power(1.5, n), 1.5**n)
        np.testing.assert_allclose(slope(1.5, n), n * 1.5 ** (n - 1))
    assert power.stats().traces == slope.stats().traces == 1


def test_a_batch_of_bounds_gives_each_example_its_own():
    def power(x, n):
        return tg.fori_loop(0, n, lambda i, y: x * y, 1.0)

    ns, xs = np.array([0, 3, 1, 5]), np.array([1.5, 2.0, -1.0, 0.5])
    np.testing.assert_allclose(tg.vmap(power)(xs, ns), xs**ns)
    np.testing.assert_allclose(tg.vmap(tg.grad(power))(xs, ns), ns * xs ** (ns - 1.0))
    np.testing.assert_allclose(
        tg.vmap(tg.vmap(tg.grad(power), (0, None)), (None, 0))(xs, ns),
        ns[:, None] * xs ** (ns[:, None] - 1.0),
    )


def test_an_example_that_has_ended_gives_no_nan_and_no_warning():
    def f(x):  # goes on as long as there is a root to take
        return tg.while_loop(lambda y: y > 0.5, lambda y: np.sqrt(y - 0.5), x)

    x = np.array([4.0, 0.25, 0.7])
    for transformed in (f, tg.grad(f), tg.grad(tg.grad(f))):
        wanted = [transformed(v) for v in x]
        np.testing.assert_allclose(tg.vmap(transformed)(x), wanted)
        np.testing.assert_allclose(tg.jit(tg.vmap(transformed))(x), wanted)
    whole = tg.grad(lambda x: np.sum(tg.vmap(f)(x)))
    np.testing.assert_allclose(whole(x), [tg.grad(f)(v) for v in x])


def test_a_loop_in_a_jitted_function_in_a_transformation():
    compiled = tg.jit(pair(until)[0])
    for x in POINTS:
        np.testing.assert_allclose(tg.grad(compiled)(x), tg.grad(pair(until)[1])(x), rtol=1e-11)
    rows = tg.vmap(tg.jit(pair(recurrent)[0]))(np.stack(POINTS))
    np.testing.assert_allclose(rows, [pair(recurrent)[1](x) for x in POINTS], rtol=1e-12)


def test_float32_stays_float32():
    x = A.astype(np.float32)

    def f(x):
        carry, ys = tg.scan(lambda c, r: (c * 0.5 + r * 2, c * r), 0.0, x)
        _, y = tg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x))
        return carry + np.sum(ys) + np.sum(y)

    for out in (f(x), tg.jit(f)(x), tg.vmap(f)(x[None])[0], tg.grad(f)(x), tg.jit(tg.grad(f))(x)):
        assert out.dtype == np.float32
    np.testing.assert_allclose(tg.grad(f)(x), tg.grad(f)(A), rtol=1e-5)


def test_tensors_from_outside_get_their_gradients():
    w, x = tg.tensor(0.5), tg.tensor(A)

    def loss(w, x):
        c, _ = tg.scan(lambda c, row: (c * w + row * np.sum(x), None), 0.0, x)
        return tg.while_loop(lambda s: s < 4.0, lambda s: s * s + w + 1.0, c)

    loss(w, x).backward()
    by_w, by_x = tg.grad(loss, argnums=(0, 1))(0.5, A)
    np.testing.assert_allclose(w.grad, by_w, rtol=1e-12)
    np.testing.assert_allclose(x.grad, by_x, rtol=1e-12)
    np.testing.assert_allclose(by_x, differences(lambda x: loss(0.5, x), A), rtol=1e-6)


def test_numpy_arrays_from_outside_are_read_anew_under_jit():
    table = np.array([1.0, 2.0, 3.0])
    compiled = tg.jit(lambda x: tg.scan(lambda c, row: (c + row * table, None), x, A)[0])
    for factor in (1.0, 5.0, -2.0):
        table[...] = factor
        np.testing.assert_allclose(compiled(A), A + np.sum(A) * factor)


def test_a_branch_in_a_loop_is_compiled_with_it():
    text = tg.jit(pair(chosen)[0]).explain(A)
    assert "# The plan of branch2 in switch" in text and "# The plan of true_fun in cond" in text


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [2, 3, 5, 7, 9, True])
def test_unrolled_scans_are_the_same(unroll, reverse):
    rows = np.random.default_rng(2).normal(size=(7, 3))

    def f(x, rows, **words):
        def step(c, row):
            c = np.tanh(c * row + x * np.sum(row))
            return c, (c * row, np.sum(c))

        c, (ys, sums) = tg.scan(step, x, rows, reverse=reverse, **words)
        return np.sum(c * ys[0]) + np.sum(ys * np.cos(np.arange(21.0)).reshape(7, 3)) + sums[2]

    wanted = tg.value_and_grad(f, argnums=(0, 1))(A, rows)
    for words in ({"unroll": unroll}, {"unroll": unroll, "checkpoint": 3}):
        gradient = tg.value_and_grad(lambda x, rows, w=words: f(x, rows, **w), argnums=(0, 1))
        for transformed in (gradient, tg.jit(gradient, strict=True)):
            pairs = zip(tg.tree_leaves(transformed(A, rows)), tg.tree_leaves(wanted))
            for got, expected in pairs:
                np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    total = tg.fori_loop(0, 10, lambda i, s: s + i, 0.0, unroll=unroll)
    assert total == 45.0


def bodies_of(monkeypatch, function, *args):
    """The bodies of the scans that a call runs."""
    found = []
    scan = primitives["scan"]
    forward = scan.forward

    def noting(*operands, **params):
        found.append(params["body"])
        return forward(*operands, **params)

    with monkeypatch.context() as patched:
        patched.setattr(scan, "forward", noting)
        function(*args)
    return found


def test_what_follows_from_a_body_is_made_once(monkeypatch):
    def f(x, factor):
        return np.sum(tg.scan(lambda c, _: (np.sin(c) * factor, c), x, length=3)[1])

    gradient = tg.grad(f)
    first, again, other = (bodies_of(monkeypatch, gradient, A, k) for k in (2.0, 2.0, 3.0))
    assert len(first) == 2 and all(a is b for a, b in zip(first, again))
    assert not any(a is b for a, b in zip(first, other))
    for factor in (2.0, 3.0, 2.0):
        slopes = differences(lambda x, k=factor: f(x, k), A)
        np.testing.assert_allclose(gradient(A, factor), slopes, rtol=1e-6)


def test_bodies_that_are_kept_are_few():
    for k in range(200):
        tg.fori_loop(0, 2, lambda i, c, k=k: c * k + A[:1], A[:1])
    assert len(sharing._known) <= sharing._MOST
    large = np.ones(1000)
    kept = len(sharing._known)
    tg.fori_loop(0, 2, lambda i, c: c + large, large)
    assert len(sharing._known) == kept


def test_a_carry_that_depends_on_the_trip_alone_has_no_derivative():
    def f(x):
        return tg.fori_loop(0, 5, lambda i, c: (np.sin(0.1 * i), c[0] * c[1]), (x, x))[1]

    expected = np.prod(np.sin(0.1 * np.arange(4)))  # x * x, and four factors
    assert tg.grad(f)(2.0) == pytest.approx(4 * expected)
    assert tg.jit(tg.grad(f))(2.0) == pytest.approx(4 * expected)
    assert tg.grad(lambda x: tg.fori_loop(0, 5, lambda i, c: np.sin(0.1 * i), x))(2.0) == 0.0
