"""Memory that is shared: arguments written to, passed twice, returned; results that must be apart."""

import numpy as np
import pytest
from compare import V, X, check, close

import tapegrad as tg


def write_item(x):
    x[0] = 7.0
    return x.sum()


def add_in_place(x):
    x += 1.0
    return x * 2


def out_argument(x):
    np.exp(x, out=x)
    return x.sum()


def write_through_view(x):
    row = x[1:]
    row *= 3.0
    row[0] = -1.0
    return x.sum()


def write_everything(x):
    x[...] = np.sin(x)


def two_arguments(x, y):
    x += y
    y[0] = x[1]
    return x + y


@pytest.mark.parametrize(
    "function", [write_item, add_in_place, out_argument, write_through_view, write_everything]
)
def test_a_write_into_an_argument_reaches_the_array_of_the_caller(function):
    check(function, (V,), (V * 2,))
    check(function, (X[:, ::2].T,), (X,))


def test_writes_into_arguments_that_are_apart_are_compiled():
    check(two_arguments, (V, V * 2))


def test_writes_into_arguments_that_share_memory_do_what_numpy_does():
    jitted = tg.jit(two_arguments)
    close(jitted(V.copy(), V * 2), two_arguments(V.copy(), V * 2))
    with pytest.warns(RuntimeWarning, match="shares memory"):
        for _ in range(3):
            ours, theirs = np.arange(4.0), np.arange(4.0)
            close(jitted(ours[:3], ours[1:]), two_arguments(theirs[:3], theirs[1:]))
            close(ours, theirs)
            ours, theirs = V.copy(), V.copy()
            close(jitted(ours, ours), two_arguments(theirs, theirs))
            close(ours, theirs)


@pytest.mark.parametrize("known", [False, True], ids=["first call", "after others"])
def test_one_array_as_two_arguments_one_of_which_is_written_into(known):
    jitted = tg.jit(two_arguments)
    if known:
        jitted(V.copy(), V * 2)
    ours, theirs = V.copy(), V.copy()
    with pytest.warns(RuntimeWarning, match="shares memory"):
        for _ in range(3):
            close(jitted(ours, ours), two_arguments(theirs, theirs))
            close(ours, theirs)


def test_a_view_that_is_read_after_the_write_into_what_it_shows():
    held = {}

    def f(x):
        x += 1.0
        return x * held["part"]

    jitted = tg.jit(f)
    held["part"] = V * 2
    close(jitted(V.copy()), f(V.copy()))
    with pytest.warns(RuntimeWarning, match="shares memory"):
        for _ in range(3):
            ours, theirs = V.copy(), V.copy()
            held["part"] = ours[::-1]
            found = jitted(ours)
            held["part"] = theirs[::-1]
            close(found, f(theirs))
            close(ours, theirs)


def test_one_array_as_two_arguments_is_right_when_nothing_is_written():
    check(lambda x, y: x * y + x, (V, V), (V, V * 2))


def test_a_write_into_an_argument_that_is_captured_too_does_what_numpy_does():
    w = V.copy()

    def f(x):
        x += 1.0
        return x * w

    jitted = tg.jit(f)
    for i in range(1, 4):
        close(jitted(w), (V + i) * (V + i))
    assert jitted.stats().eager_calls == 0


def test_a_read_only_argument_refuses_a_write_as_in_numpy():
    jitted = tg.jit(write_item)
    jitted(V.copy())
    frozen = V.copy()
    frozen.flags.writeable = False
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            jitted(frozen)
    close(frozen, V)


def test_a_write_before_an_exception_is_done():
    def f(x):
        x[0] = 9.0
        if x[1] < 0:
            raise ValueError("late")
        return x

    jitted = tg.jit(f)
    x = V.copy()
    for _ in range(2):
        x[0] = 0.0
        with pytest.raises(ValueError, match="late"):
            jitted(x)
        assert x[0] == 9.0


def test_grad_and_vmap_never_write_into_the_caller_under_jit():
    def f(x, y):
        y *= 2.0
        x[0] = 1.0
        return np.sum(x * y)

    y, x = V.copy(), V.copy()
    jitted = tg.jit(tg.grad(f))
    for _ in range(3):
        close(jitted(x, y), np.array([0.0, *(2 * V)[1:]]))
    close((x, y), (V, V))


def test_an_argument_that_is_returned_is_the_array_itself():
    x = V.copy()
    for function in (lambda x: x, lambda x: (x, x * 2)[0], add_and_return):
        jitted = tg.jit(function)
        for _ in range(4):
            assert jitted(x) is x


def add_and_return(x):
    x += 1.0
    return x


def test_a_view_of_the_argument_that_is_returned_shares_its_memory():
    for function in (lambda x: x[1:], lambda x: x.T, lambda x: x.reshape(4, 3), lambda x: x[0]):
        jitted = tg.jit(function)
        for _ in range(4):
            assert np.shares_memory(jitted(X), X)
            close(jitted(X), function(X))


def test_a_view_of_an_argument_that_is_written_is_what_numpy_gives():
    def f(x):
        x[0] = 5.0
        return x[:2]

    jitted = tg.jit(f)
    with pytest.warns(RuntimeWarning, match="view of an argument"):
        for i in range(4):
            x = V.copy()
            got = jitted(x)
            close(got, f(V.copy()))
            assert i == 0 or np.shares_memory(got, x)


def test_a_copy_that_is_returned_shares_no_memory():
    for function in (
        np.copy,
        lambda x: x.copy(),
        lambda x: x[[0, 1]],
        lambda x: x * 1,
        lambda x: +x,
    ):
        jitted = tg.jit(function)
        for _ in range(4):
            got = jitted(X)
            assert not np.shares_memory(got, X)
            close(got, function(X))


def test_a_value_that_is_returned_twice_is_one_array():
    def f(x):
        y = x * 2
        return y, {"again": y}

    jitted = tg.jit(f)
    for _ in range(4):
        first, second = jitted(V)
        assert first is second["again"]


def test_equal_values_that_are_returned_are_two_arrays():
    jitted = tg.jit(lambda x: (np.exp(x) * 2, np.exp(x) * 2, x * 1.0, x * 1.0))
    for _ in range(4):
        results = jitted(V)
        for i, a in enumerate(results):
            for b in (*results[:i], V):
                assert not np.shares_memory(a, b)


def test_results_of_different_calls_share_nothing():
    for function in (
        lambda x: (x * 2, np.sum(x, axis=0), x @ x.T, np.ones_like(x), np.zeros((2, 2))),
        tg.grad(lambda x: np.sum(x)),
        tg.grad(lambda x: np.sum(x[0] * 3.0)),
    ):
        jitted = tg.jit(function)
        wanted = function(X)
        kept = []
        for _ in range(4):
            got = jitted(X)
            close(got, wanted)
            for a in got if type(got) is tuple else (got,):
                assert not any(np.shares_memory(a, b) for b in kept)
                kept.append(a)
                a[...] = 99.0


def test_gradients_with_respect_to_one_array_given_twice_are_two_arrays():
    jitted = tg.jit(tg.grad(lambda x, y: np.sum(x) + np.sum(y), argnums=(0, 1)))
    for _ in range(4):
        a, b = jitted(V, V)
        assert not np.shares_memory(a, b)


def test_an_unbroadcast_gradient_is_writeable():
    jitted = tg.jit(tg.grad(lambda x: np.sum(np.broadcast_to(x, (4, 3)))))
    for _ in range(3):
        jitted(V)[0] = 1.0


def test_arguments_that_are_swapped_in_place_are_swapped():
    def swap(x):
        x[0], x[1] = x[1], x[0]
        return x

    def swap_copies(x):
        x[0], x[1] = x[1].copy(), x[0].copy()
        return x

    check(swap, (V,))
    check(swap_copies, (X,))


def test_a_branch_that_writes_into_an_array_from_outside():
    out = np.zeros(3)

    def f(x):
        def branch(x):
            out[0] = x[0] * 2
            return np.sum(x) * out[0]

        return tg.cond(x[0] > 0, branch, lambda x: x[1], x)

    compiled = tg.jit(tg.grad(f))
    for x in (np.array([1.0, 2.0, 3.0]), np.array([-1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])):
        out[:] = 7.0
        wanted = tg.grad(f)(x)
        left = out.copy()
        out[:] = 7.0
        np.testing.assert_allclose(compiled(x), wanted)
        np.testing.assert_allclose(out, left)


def test_a_jitted_function_that_converts_is_differentiated():
    jitted = tg.jit(lambda x: float(x) * x)
    for _ in range(3):
        assert tg.grad(jitted)(3.0) == 6.0
