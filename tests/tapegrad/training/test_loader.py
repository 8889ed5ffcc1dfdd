"""Batches: which examples are in them, in what order, and what a transform may draw."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tapegrad import training

N = 23


def indices(loader: Any, epochs: int = 1) -> list[list[int]]:
    return [list(np.concatenate([b["i"] for b in loader])) for _ in range(epochs)]


@pytest.mark.parametrize("size, drop", list(itertools.product([None, 1, 5, 23], [False, True])))
def test_each_example_comes_once_in_an_epoch(size: int | None, drop: bool) -> None:
    loader = training.Loader({"i": np.arange(N), "x": np.ones((N, 2))}, size, drop_last=drop)
    batches = list(loader)
    assert len(batches) == len(loader)
    sizes = [len(batch["i"]) for batch in batches]
    assert all(batch["x"].shape == (n, 2) for n, batch in zip(sizes, batches))
    assert len(set(sizes[:-1])) <= 1 and (not drop or len(set(sizes)) == 1)
    seen = np.concatenate([batch["i"] for batch in batches])
    assert len(set(seen)) == len(seen) == (N // size * size if drop and size else N)


def test_orders_differ_between_epochs_and_are_the_same_for_a_seed() -> None:
    data = {"i": np.arange(N)}
    first, second = indices(training.Loader(data, 5, seed=1), 2)
    assert first != second and sorted(first) == sorted(second) == list(range(N))
    assert indices(training.Loader(data, 7, seed=1), 2) == [first, second]
    assert indices(training.Loader(data, 5, seed=2), 1) != [first]
    assert indices(training.Loader(data, 5, shuffle=False), 2) == [list(range(N))] * 2
    generator = np.random.default_rng(1)
    assert indices(training.Loader(data, 5, seed=generator), 2) == [first, second]
    assert generator.bit_generator.state != np.random.default_rng(1).bit_generator.state


def test_an_epoch_that_was_left_is_not_gone_on_with() -> None:
    loader = training.Loader({"i": np.arange(N)}, 5)
    next(iter(loader))
    assert sorted(indices(loader)[0]) == list(range(N)) and loader.epoch == 2


def test_a_transform_draws_by_seed_epoch_and_place() -> None:
    def noise(batch: Any, rng: np.random.Generator) -> Any:
        return rng.random(2)

    def drawn(seed: int, start: int = 0) -> list[Any]:
        loader = training.Loader(np.arange(N), 5, seed=seed, transform=noise)
        return [tuple(b) for _ in range(2) for b in itertools.islice(loader, start, None)]

    assert drawn(1) == drawn(1) and len(set(drawn(1))) == 10
    assert not set(drawn(1)) & set(drawn(2))
    assert drawn(1, 2) == [*drawn(1)[2:5], *drawn(1)[7:]]


def test_arrays_that_lie_in_a_file_are_read_in_parts(tmp_path: Any) -> None:
    data = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", float, (N, 2))
    data[:] = np.arange(2 * N).reshape(N, 2)
    for batch in training.Loader((data,), 5):
        assert type(batch[0]) is np.ndarray or not batch[0].flags.owndata
        np.testing.assert_array_equal(batch[0][:, 1], batch[0][:, 0] + 1)
