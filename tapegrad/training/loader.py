"""Data in batches: shuffled, with a ragged last one, at a place that can be kept and found again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tapegrad.optim.checks import count_of
from tapegrad.tape.core.pytree import flatten, paths, unflatten
from tapegrad.training.generators import generator_of, restore_generator, state_of

__all__ = ["Batches", "Loader", "arguments_of", "batches_of"]


def arguments_of(batch: Any) -> tuple[Any, ...]:
    """Return the arguments of the loss that a batch stands for: its items if it is a tuple or a list."""
    return tuple(batch) if type(batch) in (tuple, list) else (batch,)


class Loader:
    """Gives arrays in batches, one epoch each time that it is iterated.

    Parameters
    ----------
    data : array, or nest of arrays
        With a common length of the first axis: the number of examples.
    batch_size : int, optional
        By default all at once.
    shuffle : bool
        Whether each epoch has an order of its own, which the generator draws.
    seed : int or numpy.random.Generator
        A generator is used itself, so that others who draw from it change the order.
    drop_last : bool
        Whether to leave out a last batch that is smaller. Otherwise a compiled step is recorded a second
        time, for its shape.
    transform : callable, optional
        ``transform(batch, rng)`` returns the batch that is given instead. It gets a generator of its
        own, which depends on nothing but the seed, the epoch and the number of the batch: noise and
        masks of dropout are drawn here, and not in the loss.

    Raises
    ------
    ValueError
        For data without examples or of different lengths, with the place; by iterating, if the length
        has changed since the first epoch.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> loader = tg.training.Loader((np.arange(5), np.arange(5) ** 2), 2, shuffle=False)
    >>> list(loader)
    [(array([0, 1]), array([0, 1])), (array([2, 3]), array([4, 9])), (array([4]), array([16]))]
    >>> len(loader), len(tg.training.Loader(np.arange(5), 2, drop_last=True))
    (3, 2)
    """

    def __init__(
        self,
        data: Any,
        batch_size: int | None = None,
        *,
        shuffle: bool = True,
        seed: int | np.random.Generator = 0,
        drop_last: bool = False,
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
    ) -> None:
        self.data = data
        self.shuffle, self.drop_last, self.transform = bool(shuffle), bool(drop_last), transform
        self.batch_size = None if batch_size is None else count_of(batch_size, "batch_size", 1)
        self.generator = generator_of(seed, "Loader")
        leaves, self._structure = flatten(data)
        self._leaves = [np.asarray(leaf) for leaf in leaves]
        self.examples = self._length()
        if self.drop_last and (self.batch_size or 0) > self.examples:
            raise ValueError(
                f"the data have {self.examples} examples, and batches of {self.batch_size} with "
                "drop_last=True leave none"
            )
        #: How many epochs were begun, how many batches of the last one were given, and its order.
        self.epoch, self.position = 0, 0
        self.order: np.ndarray[Any, Any] | None = None
        self._salt, self._continues = 0, False

    def _length(self) -> int:
        """Return the number of examples."""
        if not self._leaves:
            raise ValueError("the data hold no arrays")
        names = [f"the data at {path}" if path else "the data" for path in paths(self._structure)]
        for leaf, name in zip(self._leaves, names):
            if not leaf.ndim:
                raise ValueError(f"{name} must have an axis of examples, and has shape ()")
        length = len(self._leaves[0])
        for leaf, name in zip(self._leaves, names):
            if len(leaf) != length:
                raise ValueError(f"{names[0]} have {length} examples, and {name} {len(leaf)}")
        if not length:
            raise ValueError(f"{names[0]} hold no examples: their shape is {self._leaves[0].shape}")
        return length

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        size = self.batch_size or self.examples
        return self.examples // size if self.drop_last else math.ceil(self.examples / size)

    def __iter__(self) -> Iterator[Any]:
        """Give the batches of the next epoch, or the rest of one that was restored."""
        if not self._continues:
            self._begin()
        self._continues = False
        while self.position < len(self):
            batch = self._batch(self.position)
            self.position += 1
            yield batch

    def _begin(self) -> None:
        length = self._length()
        if length != self.examples:
            raise ValueError(
                f"the data have {length} examples at the start of epoch {self.epoch + 1}, and had "
                f"{self.examples} before"
            )
        self.order = self.generator.permutation(length) if self.shuffle else None
        self._salt = int(self.generator.integers(2**63)) if self.transform is not None else 0
        self.epoch, self.position = self.epoch + 1, 0

    def places(self, position: int) -> Any:
        """Return which examples are in a batch of this epoch: a slice, or an array of indices."""
        size = self.batch_size or self.examples
        part = slice(position * size, min((position + 1) * size, self.examples))
        return part if self.order is None else self.order[part]

    def _batch(self, position: int) -> Any:
        places = self.places(position)
        parts = [
            leaf[places] if isinstance(places, slice) else leaf.take(places, axis=0)
            for leaf in self._leaves
        ]
        batch = unflatten(self._structure, parts)
        if self.transform is None:
            return batch
        return self.transform(batch, np.random.default_rng([self._salt, self.epoch, position]))

    # What a checkpoint keeps ----------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return what must be the same where a run goes on."""
        return {
            "examples": self.examples, "batch_size": self.batch_size, "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }  # fmt: skip

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """Return where the loader is: numbers, and arrays by name."""
        numbers = {
            "epoch": self.epoch, "position": self.position, "salt": self._salt,
            "generator": state_of(self.generator),
        }  # fmt: skip
        return numbers, {} if self.order is None else {"order": self.order}

    def restore(
        self, numbers: dict[str, Any], arrays: dict[str, Any], what: str, is_amid: bool
    ) -> None:
        """Go to where a loader with the same settings was; `is_amid` says if the epoch goes on."""
        restore_generator(self.generator, numbers["generator"], what)
        self.epoch, self.position = numbers["epoch"], numbers["position"]
        self._salt, self.order = numbers["salt"], arrays.get("order")
        self._continues = is_amid


class Batches:
    """Batches that somebody else makes: what is iterated anew for each epoch.

    Parameters
    ----------
    source : iterable or callable
        Of batches; or a function that returns one, which takes the number of the epoch, from 0.
    """

    examples = 0

    def __init__(self, source: Any) -> None:
        self.source = source
        self.epoch, self.position = 0, 0
        self.length: int | None = None
        self._skip = 0

    def __iter__(self) -> Iterator[Any]:
        skip, self._skip = self._skip, 0
        if not skip:
            self.epoch, self.position = self.epoch + 1, 0
        source = self.source(self.epoch - 1) if callable(self.source) else self.source
        found = 0
        for batch in source:
            found += 1
            if found <= skip:
                continue
            if self.length is not None and found > self.length:
                raise self._changed(f"more than {self.length}")
            self.position = found
            yield batch
        if self.length not in (None, found) or found < max(skip, 1):
            raise self._changed(str(found))
        self.length = found

    def _changed(self, found: str) -> ValueError:
        if self.length is None:
            text = "the data gave no batches"
        else:
            before = f"{self.length} in those before"
            text = f"the data gave {found} batches in epoch {self.epoch}, and {before}"
        if found == "0" and iter(self.source if not callable(self.source) else ()) is self.source:
            text += (
                ". An iterator can be used once: give a list, or a function that makes iterators"
            )
        return ValueError(text)

    def __len__(self) -> int:
        try:
            return self.length or len(self.source)
        except TypeError:
            return 0

    def places(self, position: int) -> Any:
        """Nobody knows which examples are in a batch."""
        return None

    def settings(self) -> dict[str, Any]:
        """Nothing is known of them."""
        return {}

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """Return how far they were iterated."""
        return {"epoch": self.epoch, "position": self.position, "length": self.length}, {}

    def restore(
        self, numbers: dict[str, Any], arrays: dict[str, Any], what: str, is_amid: bool
    ) -> None:
        """Go on behind the batches that were used."""
        self.epoch, self.position = numbers["epoch"], numbers["position"]
        self.length = numbers["length"]
        self._skip = self.position if is_amid else 0


def _nothing(epoch: int) -> Iterable[Any]:
    """All there is to give where the loss takes nothing but parameters."""
    return [()]


def batches_of(
    data: Any, batch_size: Any, shuffle: bool, seed: Any, drop_last: bool
) -> Loader | Batches:
    """Return what gives the batches that are meant by the data of a user."""
    if isinstance(data, Loader | Batches):
        return data
    if data is None:
        return Batches(_nothing)
    nest = hasattr(data, "shape") or type(data) is tuple or isinstance(data, dict)
    if nest or (flatten(data)[1] != "*" and type(data) is not list):
        return Loader(data, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)
    if not (callable(data) or isinstance(data, Iterable)):
        raise TypeError(
            "data must be a nest of arrays, a Loader, an iterable of batches or a function that "
            f"returns one, not {type(data).__name__}"
        )
    if batch_size is not None:
        raise TypeError("batch_size is for arrays; the data are batches already")
    return Batches(data)
