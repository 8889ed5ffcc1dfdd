"""Patterns and colourings, against the same done element by element."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapegrad.tape.core import patterns
from tapegrad.tape.core.dependence import agreeing
from tapegrad.tape.core.patterns import Pattern, compressed_rows
from tapegrad.tape.transforms.colouring import coloured, least, symmetrically_coloured

seeds = st.integers(0, 2**32 - 1)


def sets_of(pattern: Pattern) -> list[set[int]]:
    indices, indptr = pattern.rows()
    assert indptr[0] == 0
    assert len(indptr) == pattern.count + 1
    return [set(indices[a:b].tolist()) for a, b in itertools.pairwise(indptr)]


def drawn(rng: Any, count: int) -> Pattern:
    """A pattern of layers, of pairs, or of both."""
    layers = [rng.integers(-1, 9, count).astype(np.int32) for _ in range(int(rng.integers(0, 10)))]
    pairs = None
    if rng.random() < 0.5 and count:
        rows = np.sort(rng.integers(0, count, 7)).astype(np.int32)
        pairs = rows, rng.integers(0, 9, 7).astype(np.int32)
    return Pattern(count, layers, pairs)


@settings(max_examples=200)
@given(seed=seeds)
def test_rows_pass_through_labels_as_sets_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, results = (int(n) for n in rng.integers(0, 6, 2))
    pattern = drawn(rng, count)
    before = sets_of(pattern)
    labels = max(count, results, 1)
    of_rows = rng.integers(-1, labels, count).astype(np.int32)
    of_results = rng.integers(-1, labels, results).astype(np.int32)
    for left, right, number in (
        (of_rows, of_results, results),
        (None, np.minimum(of_results, count - 1).astype(np.int32), results),
        (of_rows, None, labels),
        (None, None, count),
    ):
        rows = np.arange(count) if left is None else left
        wanted = np.arange(number) if right is None else right
        expected = [
            set().union(*(s for s, label in zip(before, rows) if label == w >= 0)) for w in wanted
        ]
        assert sets_of(pattern.through(left, right, number)) == expected


@settings(max_examples=200)
@given(seed=seeds)
def test_unions_are_those_of_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 6))
    parts = [drawn(rng, count) for _ in range(int(rng.integers(1, 5)))]
    parts += [Pattern(count, parts[0].layers), parts[-1]]
    expected = [set().union(*rows) for rows in zip(*map(sets_of, parts), strict=True)]
    united = Pattern.union(parts, count)
    assert sets_of(united) == expected
    again = Pattern.union([united, *parts], count)
    assert sets_of(again) == expected
    stacked = compressed_rows([united, parts[0]])
    assert len(stacked[1]) == 2 * count + 1


def test_layers_stay_few() -> None:
    """A stencil that is applied many times knows each column once."""
    n = 50
    pattern = Pattern(n, [np.arange(n, dtype=np.int32)])
    index = np.arange(n, dtype=np.int32)
    for _ in range(10):
        shifted = [pattern.through(None, np.roll(index, k), n) for k in (-1, 0, 1)]
        pattern = Pattern.union(shifted, n)
    assert len(pattern.layers) == 21
    assert pattern.pairs is None


def test_one_dense_row_does_not_fill_the_layers_of_others() -> None:
    n = 1000
    single = Pattern(n, [np.arange(n, dtype=np.int32)])
    total = single.through(np.zeros(n, np.int32), None, 1)
    below = np.concatenate([[-1], np.arange(n)]).astype(np.int32)
    above = np.concatenate([[0], np.full(n, -1)]).astype(np.int32)
    both = Pattern.union(
        [single.through(None, below, n + 1), total.through(None, above, n + 1)], n + 1
    )
    assert len(both.layers) * both.count < 10 * n
    assert len(both.rows()[0]) == 2 * n


def test_too_many_elements_are_refused_before_they_are_made(monkeypatch: Any) -> None:
    n = 100_000
    total = Pattern(n, [np.arange(n, dtype=np.int32)]).through(np.zeros(n, np.int32), None, 1)
    with pytest.raises(MemoryError, match="10,000,000,000 elements"):
        total.through(None, np.zeros(n, np.int32), n)
    assert patterns.Pattern is Pattern


@given(seed=seeds)
def test_labels_agree_where_coordinates_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    argument = tuple(rng.integers(1, 4, int(rng.integers(0, 4))).tolist())
    result = tuple(rng.integers(1, 4, int(rng.integers(0, 4))).tolist())
    number = int(rng.integers(0, min(len(argument), len(result)) + 1))
    pairs = list(
        zip(
            rng.permutation(len(argument))[:number].tolist(),
            rng.permutation(len(result))[:number].tolist(),
            strict=True,
        )
    )
    left, right = agreeing(argument, result, pairs)
    left = np.arange(np.prod(argument, dtype=int)) if left is None else left
    right = np.arange(np.prod(result, dtype=int)) if right is None else right
    pairs = [(a, r) for a, r in pairs if argument[a] == result[r]]
    for k, at in enumerate(np.ndindex(argument)):
        for m, there in enumerate(np.ndindex(result)):
            assert (left[k] == right[m]) == all(at[a] == there[r] for a, r in pairs)


# Colourings --------------------------------------------------------------------------------------


def assert_valid(items: Any, constraints: Any, colours: Any) -> None:
    pairs = list(zip(constraints.tolist(), colours[items].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)


@settings(max_examples=200)
@given(seed=seeds)
def test_nothing_of_one_constraint_has_the_same_colour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [tuple(rng.integers(0, 5, k).tolist()) for k in rng.integers(0, 3, 3)]
    count = sum(int(np.prod(s, dtype=int)) for s in shapes)
    filled = rng.random((count, int(rng.integers(1, 9)))) < rng.random()
    items, constraints = np.nonzero(filled)
    colours = coloured(items, constraints, shapes)
    assert_valid(items, constraints, colours)
    assert len(colours) == count


def test_a_large_random_matrix_needs_hardly_more_colours_than_its_rows_have_elements() -> None:
    rng = np.random.default_rng(1)
    rows = np.repeat(np.arange(20_000), 5)
    keys = np.unique(rows * 20_000 + rng.integers(0, 20_000, rows.size))
    items, constraints = keys % 20_000, keys // 20_000
    colours = coloured(items, constraints, [(20_000,)])
    assert_valid(items, constraints, colours)
    assert colours.max() < 3 * least(constraints)


@pytest.mark.parametrize(
    ("shape", "number"), [((1000,), 3), ((30, 40), 5), ((12, 13, 14), 7)], ids=str
)
def test_stencils_need_as_few_colours_as_they_have_points(shape: Any, number: int) -> None:
    places = np.arange(np.prod(shape)).reshape(shape)
    pairs = [(places, places)]
    for axis in range(len(shape)):
        left = np.moveaxis(places, axis, 0)
        pairs += [(left[1:], left[:-1]), (left[:-1], left[1:])]
    items = np.concatenate([a.ravel() for a, _ in pairs])
    constraints = np.concatenate([b.ravel() for _, b in pairs])
    colours = coloured(items, constraints, [shape])
    assert_valid(items, constraints, colours)
    assert colours.max() + 1 == number


def test_more_than_64_colours_are_told_apart() -> None:
    rng = np.random.default_rng(2)
    filled = rng.random((150, 3)) < 0.6
    filled[:, :2] = False
    filled[:75, 0] = filled[50:, 1] = True
    items, constraints = np.nonzero(filled)
    colours = coloured(items, constraints, [(150,)])
    assert_valid(items, constraints, colours)
    assert colours.max() + 1 >= 100


@settings(max_examples=200)
@given(seed=seeds)
def test_each_element_of_a_symmetric_matrix_stands_alone_in_its_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 12))
    filled = rng.random((n, n)) < rng.random() ** 2
    filled |= filled.T
    filled[: int(rng.integers(0, 2))] = True
    filled |= filled.T
    matrix = filled * rng.normal(size=(n, n))
    matrix = np.tril(matrix) + np.tril(matrix, -1).T
    rows, columns = np.nonzero(filled)
    colours, colour, column = symmetrically_coloured(rows, columns, [(n,)])
    number = int(colours.max(initial=-1)) + 1
    compressed = (colours == np.arange(number)[:, None]) @ matrix
    np.testing.assert_array_equal(compressed[colour, column], matrix[rows, columns])


def test_an_arrow_needs_two_colours() -> None:
    n = 500
    rows, columns = np.arange(1, n), np.zeros(n - 1, int)
    arrow = [*zip(rows, columns), *zip(columns, rows), *((i, i) for i in range(n))]
    rows, columns = np.array(sorted(arrow)).T
    assert symmetrically_coloured(rows, columns, [(n,)])[0].max() == 1
