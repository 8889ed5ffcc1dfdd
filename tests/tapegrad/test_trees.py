"""Nests as vectors."""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

import tapegrad as tg


class Layer(NamedTuple):
    w: object
    b: object


TREE = {
    "first": Layer(np.arange(6.0).reshape(2, 3), np.ones(3)),
    "rest": [0.5, (None, np.zeros((0, 2)))],
}


def same(a, b):
    assert tg.tree_structure(a) == tg.tree_structure(b)
    for x, y in zip(tg.tree_leaves(a), tg.tree_leaves(b), strict=True):
        assert np.shape(x) == np.shape(y) and x.dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(x, y)


def test_there_and_back():
    vector, unravel = tg.ravel_pytree(TREE)
    np.testing.assert_array_equal(vector, [0, 1, 2, 3, 4, 5, 1, 1, 1, 0.5])
    same(unravel(vector), TREE)
    same(unravel(vector.tolist()), TREE)
    assert type(unravel(vector)["rest"][0]) is np.float64
    same(unravel(tg.ravel_pytree(unravel(vector))[0]), TREE)


def test_order_is_that_of_the_elements_not_of_the_memory():
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(
        tg.ravel_pytree((a.T, a[:, ::-1]))[0], [0, 3, 1, 4, 2, 5, 2, 1, 0, 5, 4, 3]
    )


@pytest.mark.parametrize(
    "dtypes, whole",
    [
        (["f4", "f4"], "f4"), (["f4", "f8"], "f8"), (["f4", "i8"], "f8"), (["f4", "i2"], "f4"),
        (["i4", "?"], "i4"), (["u1", "i1"], "i2"), (["f2", "f4"], "f4"),
    ],
)  # fmt: skip
def test_the_vector_has_the_promoted_dtype_and_leaves_get_theirs_back(dtypes, whole):
    tree = [np.ones(2, dtype) for dtype in dtypes]
    vector, unravel = tg.ravel_pytree(tree)
    assert vector.dtype == np.dtype(whole)
    same(unravel(vector), tree)
    same(unravel(vector.astype(float)), tree)


def test_a_python_number_counts_as_an_array():
    assert tg.ravel_pytree([np.ones(2, "f4"), 1.0])[0].dtype == float
    assert tg.ravel_pytree([True, 2])[0].dtype == int


@pytest.mark.parametrize("tree", [{}, [], None, (None, {"a": []}), OrderedDict()], ids=str)
def test_without_leaves_the_vector_is_empty(tree):
    vector, unravel = tg.ravel_pytree(tree)
    assert vector.shape == (0,) and vector.dtype == float
    assert unravel(np.zeros(0)) == tree


def test_a_single_array_is_copied_and_leaves_have_their_own_memory():
    a = np.ones(3)
    vector, unravel = tg.ravel_pytree(a)
    assert not np.shares_memory(vector, a)
    assert not np.shares_memory(unravel(vector), vector)


def test_wrong_vectors_and_leaves_are_refused():
    vector, unravel = tg.ravel_pytree(TREE)
    for bad in (vector[1:], vector[None], 1.0):
        with pytest.raises(ValueError, match="a vector of 10 elements"):
            unravel(bad)
    with pytest.raises(TypeError, match=r"at \['a'\]\[1\] is of type str"):
        tg.ravel_pytree({"a": [1.0, "two"]})


def loss(tree):
    return np.sum(np.sin(tree["first"].w) @ tree["first"].b) + tree["rest"][0] ** 2


def test_both_ways_are_differentiated_compiled_and_batched():
    vector, unravel = tg.ravel_pytree(TREE)
    wanted = tg.ravel_pytree(tg.grad(loss)(TREE))[0]
    by_vector = lambda v: loss(unravel(v))
    np.testing.assert_allclose(tg.grad(by_vector)(vector), wanted)
    compiled = tg.jit(tg.grad(by_vector), strict=True)
    for _ in range(2):
        np.testing.assert_allclose(compiled(vector), wanted)
    np.testing.assert_allclose(tg.jvp(by_vector, (vector,), (wanted,))[1], wanted @ wanted)
    rows = np.stack([vector, 2 * vector])
    np.testing.assert_allclose(tg.vmap(tg.grad(by_vector))(rows)[0], wanted)

    def there(tree):
        return np.sum(tg.ravel_pytree(tree)[0] ** 2)

    for f in (tg.grad(there), tg.jit(tg.grad(there), strict=True)):
        same(f(TREE), tg.tree_map(lambda x: 2 * np.asarray(x), TREE))
    np.testing.assert_allclose(
        tg.vmap(lambda a, b: tg.ravel_pytree([a, b])[0])(np.ones((4, 2)), np.zeros(4)),
        [[1, 1, 0]] * 4,
    )
    tg.check_grads(by_vector, (vector,), order=2)


def test_in_place_writes_into_leaves_leave_the_vector_alone():
    vector, unravel = tg.ravel_pytree(TREE)

    def f(v):
        w = unravel(v)["first"].w
        w *= 2.0
        return np.sum(w) + np.sum(v)

    before = vector.copy()
    for g in (f, tg.jit(f), lambda v: tg.value_and_grad(f)(v)[0]):
        for _ in range(2):
            assert g(vector) == f(before)
            np.testing.assert_array_equal(vector, before)


def test_tensors_and_float32_leaves():
    t = tg.tensor(np.ones(2, "f4"))
    vector, unravel = tg.ravel_pytree({"t": t, "a": np.ones(2)})
    assert isinstance(vector, tg.Tensor) and vector.dtype == float
    (unravel(vector)["t"] * 3).sum().backward()
    assert t.grad.dtype == np.float32
    np.testing.assert_array_equal(t.grad, [3, 3])
