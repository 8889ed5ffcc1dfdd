"""``switch``: one of several branches, by an index."""

import re

import numpy as np
import pytest

import tapegrad as tg

A = np.array([1.0, 2.0, -0.5])
WAYS = [np.sin, lambda x: x * x, lambda x: x[::-1] * 3, np.ones_like]


def chosen(n, x):
    return tg.switch(n, WAYS, x)


def plain(n, x):
    return WAYS[min(max(n, 0), 3)](x)


@pytest.mark.parametrize("n", [-2, 0, 1, 2, 3, 9])
def test_the_branch_is_that_of_the_index_and_indices_are_clipped(n):
    for index in (n, np.int8(n), np.array(n)):
        np.testing.assert_array_equal(chosen(index, A), plain(n, A))
        np.testing.assert_allclose(tg.jit(chosen)(index, A), plain(n, A), rtol=1e-15)
    loss = lambda n, x: np.sum(chosen(n, x) * A)
    wanted = tg.grad(lambda x: np.sum(plain(n, x) * A))(A)
    np.testing.assert_array_equal(tg.grad(loss, argnums=1)(n, A), wanted)
    np.testing.assert_allclose(tg.jit(tg.grad(loss, argnums=1))(n, A), wanted, rtol=1e-14)


def test_a_program_holds_all_branches():
    compiled = tg.jit(chosen, strict=True)
    for n in range(4):
        np.testing.assert_allclose(compiled(np.array(n), A), plain(n, A), rtol=1e-15)
    assert compiled.stats().traces == 1
    text = compiled.explain(np.array(0), A)
    assert all(f"# The plan of branch{k} in switch" in text for k in range(4))


def test_each_example_has_its_own_branch():
    index, batch = np.array([2, 0, 3, 1, 7, -1, 1]), np.stack([A * k for k in range(1, 8)])
    wanted = [plain(n, x) for n, x in zip(index, batch)]
    np.testing.assert_array_equal(tg.vmap(chosen)(index, batch), wanted)
    np.testing.assert_allclose(tg.jit(tg.vmap(chosen))(index, batch), wanted, rtol=1e-15)
    np.testing.assert_array_equal(
        tg.vmap(chosen, (0, None))(index, A), [plain(n, A) for n in index]
    )
    whole = tg.grad(lambda x: np.sum(tg.vmap(chosen)(index, x) * A))(batch)
    slopes = [tg.grad(lambda x, n=n: np.sum(plain(n, x) * A))(x) for n, x in zip(index, batch)]
    np.testing.assert_array_equal(whole, slopes)
    twice = tg.vmap(tg.vmap(chosen, (0, None)), (None, 0))(index, batch)
    np.testing.assert_array_equal(twice, [[plain(n, x) for n in index] for x in batch])


def test_no_nan_comes_from_other_branches():
    def f(n, x):
        return tg.switch(n, [np.sqrt, np.log, lambda x: 0.0 * x], x)

    index, x = np.array([0, 2, 1, 2]), np.array([4.0, -1.0, 2.0, 0.0])
    slopes = tg.vmap(tg.grad(f, argnums=1))(index, x)
    np.testing.assert_array_equal(slopes, [0.25, 0.0, 0.5, 0.0])


def test_on_a_tape_it_prints_and_replays():
    n, x = tg.tensor(1), tg.tensor(A)
    with tg.Tape() as tape:
        y = np.sum(chosen(n, x))
    assert "def branch2" in str(tape)
    for k in range(4):
        np.testing.assert_allclose(tape.replay({n: np.array(k)})[y], np.sum(plain(k, A)))
    y.backward()
    np.testing.assert_array_equal(x.grad, 2 * A)


def test_wrong_arguments_say_what_is_wrong():
    for index in (1.0, "1", np.array([1, 2])):
        with pytest.raises(TypeError, match="the index must be an integer without axes"):
            chosen(index, A)
    with pytest.raises(ValueError, match="at least one branch"):
        tg.switch(0, [], A)
    with pytest.raises(TypeError, match="branch 1 must be a function, not int"):
        tg.switch(0, [np.sin, 3], A)
    text = re.escape("branch0 returns float64[3], branch1 float64[3], branch2 float64[]")
    with pytest.raises(TypeError, match=f"switch: the branches must return alike. {text}"):
        tg.switch(1, [lambda x: x, lambda x: x * x, lambda x: x[0]], A)


def test_branches_that_are_no_sequence_are_named() -> None:
    with pytest.raises(TypeError, match="switch: the branches must be a sequence of functions"):
        tg.switch(1, np.sin, np.cos, 1.0)
