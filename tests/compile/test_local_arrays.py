"""Arrays that a compiled function makes itself may be indexed by its arguments."""

import numpy as np
import pytest

import tapegrad as tg

LABELS = [np.array([1, 2, 0]), np.array([3, 3, 1]), np.array([0, 2, 2])]


def one_hot(w, labels):
    return np.eye(4)[labels] @ w


def row(w, labels):
    return np.arange(8.0).reshape(2, 4)[1, labels] * w[0]


def single(w, labels):
    return np.arange(4.0)[labels[0]] * w


def stored(w, labels):
    hot = np.zeros((3, 4))
    hot[np.arange(3), labels] = 1.0
    return hot @ w


def stored_in_parts(w, labels):
    hot = np.zeros(4)
    hot[labels[0]] = 1.0
    before = hot[labels]
    hot[0] = 5.0
    hot[labels[1]] += 2.0
    return before * 10 + hot[labels] * w[0], hot


def changed_between(w, labels):
    table = np.arange(4.0)
    first = table[labels]
    table[:] = 7.0
    return first * w[0] + table[labels]


def masked(w, labels):
    table = np.arange(3.0)
    table[labels > 1] = -1.0
    return table * w[0]


def counted(w, labels):
    table = np.zeros(4)
    np.add.at(table, labels, 1.0)
    np.subtract.at(table, (labels,), w[:3])
    return table * w[0]


def triangular(w, labels):
    factor = np.zeros((2, 2))
    factor[np.tril_indices(2)] = w[:3]
    return factor @ factor.T * np.hanning(5)[labels[0]]


@pytest.mark.parametrize(
    "function",
    [one_hot, row, single, stored, stored_in_parts, changed_between, masked, counted, triangular],
)
def test_an_array_made_inside_is_indexed_by_arguments(function):
    compiled = tg.jit(function)
    w = np.linspace(0.5, 1.5, 4)
    for labels in LABELS * 2:
        for a, b in zip(tg.tree_leaves(compiled(w, labels)), tg.tree_leaves(function(w, labels))):
            np.testing.assert_array_equal(a, b)
    assert compiled.stats().eager_calls == 0 and compiled.stats().traces == 1


@pytest.mark.parametrize(
    "function", [one_hot, row, single, stored, changed_between, counted, triangular]
)
def test_and_its_gradient_is_compiled(function):
    gradient = tg.grad(lambda w, labels: np.sum(function(w, labels) ** 2))
    compiled = tg.jit(gradient)
    w = np.linspace(0.5, 1.5, 4)
    for labels in LABELS * 2:
        np.testing.assert_allclose(compiled(w, labels), gradient(w, labels), rtol=1e-12)
    assert compiled.stats().eager_calls == 0 and compiled.stats().traces == 1


def test_an_index_out_of_bounds_raises_as_in_numpy():
    compiled = tg.jit(one_hot)
    w = np.ones(4)
    compiled(w, LABELS[0])
    for bad in (np.array([0, 4, 1]), np.array([-5, 0, 0])):
        with pytest.raises(IndexError):
            compiled(w, bad)
    np.testing.assert_array_equal(compiled(w, np.array([-1, 0, 1])), np.ones(3))
