"""Checkpoints: nests of arrays and numbers in NumPy's ``.npz`` archives, with their structure as JSON.

An archive holds each array under the name of its nest and its number (``params/0``), and a
``description``, JSON as bytes. Nothing is unpickled: a nest is put together by the structure of one that
is given.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from typing import Any

import numpy as np

from tapegrad.files import new_file
from tapegrad.tape.core.pytree import Structure, flatten, paths, shown, steps_of, unflatten
from tapegrad.training.history import History
from tapegrad.training.steps import own_leaf

__all__ = ["Checkpoint", "load_checkpoint", "write_checkpoint"]

_FORMAT = 1


class Checkpoint:
    """What :func:`load_checkpoint` read.

    Attributes
    ----------
    description : dict
        The JSON: structures, settings, the state of the generator.
    step, epoch : int
        How many steps were done, and epochs begun.
    history : History
    """

    def __init__(self, name: str, description: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.name = name
        self.description = description
        self._arrays = arrays
        self.step = int(description["numbers"]["step"])
        self.epoch = len(arrays["history/epoch_ends"]) + bool(description["numbers"]["amid"])

    @property
    def history(self) -> History:
        """What was measured up to here."""
        return History.of(self.arrays("history"))

    def arrays(self, name: str) -> dict[str, Any]:
        """Return the arrays of one part by their names in it."""
        start = f"{name}/"
        return {k[len(start) :]: v for k, v in self._arrays.items() if k.startswith(start)}

    def nest(self, name: str, like: Any = None) -> Any:
        """Return a nest: ``"params"``, or ``"state"`` of the optimiser.

        Parameters
        ----------
        name : str
        like : nest, optional
            What it must be like: structure, shapes and dtypes. Without, tuples, lists and dicts with
            text or integers as keys are put together; other kinds cannot.

        Raises
        ------
        ValueError
            If it is another, with the leaf that differs.
        """
        if name not in self.description["nests"]:
            raise ValueError(f"{self.name} holds no {name!r}")
        kept = self.description["nests"][name]
        leaves = [self._arrays[f"{name}/{i}"] for i in range(len(kept["leaves"]))]
        if like is None:
            return _built(kept["structure"], iter(leaves), self.name)
        wanted, structure = flatten(like)
        described = _described(wanted, structure)
        if described["leaves"] != kept["leaves"]:
            raise ValueError(f"{self.name}: {_difference(name, described, kept)}")
        if described["structure"] != kept["structure"]:
            raise ValueError(
                f"{self.name}: the structure of {name} is {kept['shown']} in the checkpoint, and "
                f"{described['shown']} in this run"
            )
        return unflatten(structure, [own_leaf(leaf) for leaf in leaves])


def write_checkpoint(
    path: str,
    nests: dict[str, Any],
    numbers: dict[str, Any],
    arrays: dict[str, dict[str, Any]],
) -> None:
    """Write a checkpoint, which replaces the one that was there when it is complete and on the disk.

    Parameters
    ----------
    path : str
    nests : dict of nests
        Of arrays and numbers.
    numbers : dict
        What JSON holds.
    arrays : dict of dicts of arrays
        Further ones, by part and name.
    """
    held: dict[str, Any] = {}
    described = {}
    for name, tree in nests.items():
        leaves, structure = flatten(tree)
        described[name] = _described(leaves, structure)
        held.update((f"{name}/{i}", np.asarray(leaf)) for i, leaf in enumerate(leaves))
    for name, part in arrays.items():
        held.update((f"{name}/{key}", value) for key, value in part.items())
    for name, array in held.items():
        if array.dtype.kind not in "fiub":
            raise TypeError(f"a checkpoint holds numbers, and {name} is an array of {array.dtype}")
    description = {"format": _FORMAT, "nests": described, "numbers": numbers}
    text = json.dumps(description).encode()
    with new_file(path) as file:
        np.savez(file, description=np.frombuffer(text, np.uint8), **held)  # type: ignore[arg-type]


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of :func:`tapegrad.fit`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Checkpoint
        With ``step``, ``epoch``, ``history``, and the nests ``"params"`` and ``"state"``.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        For a file that is no checkpoint, or was damaged.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/run.npz"
    ...     result = tg.fit(
    ...         lambda p: p["w"] @ p["w"], {"w": np.ones(2)}, None, tg.optim.sgd(0.25), epochs=3,
    ...         checkpoint=path,
    ...     )
    ...     checkpoint = tg.training.load_checkpoint(path)
    >>> checkpoint.step, checkpoint.nest("params")
    (3, {'w': array([0.125, 0.125])})
    """
    name = os.fspath(path)
    try:
        with np.load(name, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        description = json.loads(arrays.pop("description").tobytes())
        if description["format"] != _FORMAT:
            raise ValueError(
                f"its format is {description['format']}, and this version reads {_FORMAT}"
            )
        return Checkpoint(name, description, arrays)
    except (ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{name} is no checkpoint that can be read: {error}") from error


# Structures ---------------------------------------------------------------------------------------


def _described(leaves: list[Any], structure: Structure) -> dict[str, Any]:
    arrays = [np.asarray(leaf) for leaf in leaves]
    names = paths(structure)
    return {
        "structure": _as_json(structure),
        "shown": shown(structure),
        "leaves": [[n, list(a.shape), a.dtype.str] for n, a in zip(names, arrays)],
    }


def _as_json(structure: Structure) -> Any:
    """Return a structure as JSON: the names of kinds, how parts are reached, and the parts."""
    if type(structure) is str:
        return structure
    kind, _, inside = structure
    parts = [_as_json(part) for part in inside]
    if kind in (list, tuple):
        return {"kind": kind.__name__, "parts": parts}
    steps = list(steps_of(structure))
    if kind is dict:
        keys = [key if type(key) in (str, int) else None for key in structure[1]]
        return {"kind": "dict", "steps": steps, "keys": keys, "parts": parts}
    return {"kind": f"{kind.__module__}.{kind.__qualname__}", "steps": steps, "parts": parts}


def _built(kept: Any, leaves: Any, name: str) -> Any:
    """Put a nest together from JSON."""
    if kept == "*":
        return own_leaf(next(leaves))
    if kept == "-":
        return None
    if kept["kind"] not in ("dict", "list", "tuple") or None in kept.get("keys", ()):
        raise ValueError(
            f"{name} holds a nest of kind {kept['kind']}, of which the file has only the numbers; "
            "give one like it: checkpoint.nest(name, like=...)"
        )
    parts = [_built(part, leaves, name) for part in kept["parts"]]
    if kept["kind"] == "dict":
        return dict(zip(kept["keys"], parts))
    return parts if kept["kind"] == "list" else tuple(parts)


def _difference(name: str, mine: dict[str, Any], kept: dict[str, Any]) -> str:
    """Return which leaf differs first."""
    here = {leaf[0]: leaf[1:] for leaf in mine["leaves"]}
    there = {leaf[0]: leaf[1:] for leaf in kept["leaves"]}
    for path, kind in here.items():
        if path not in there:
            return f"{name}{path} of this run is not in the checkpoint"
        if there[path] != kind:
            found, wanted = (_kind(*k) for k in (there[path], kind))
            return f"{name}{path} is {found} in the checkpoint, and {wanted} in this run"
    for path in there:
        if path not in here:
            return f"{name}{path} of the checkpoint is not in this run"
    return f"the leaves of {name} come in another order in the checkpoint"


def _kind(shape: list[int], dtype: str) -> str:
    return f"{np.dtype(dtype).name}[{', '.join(map(str, shape))}]"
