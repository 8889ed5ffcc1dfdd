"""What is called in place of functions that ask no protocol, and when."""

import collections
import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.replacements import (
    Replacement,
    called_for,
    holds_tensor,
    image_of,
    replaces,
    takes_tensors,
)
from tapegrad.tape.core.primitive import functions

functions.complete()
T = tg.tensor([1.0, 2.0])
OBJECTS = np.empty(2, object)
OBJECTS[1] = T

HOLDERS = [
    T, [T], (1, [2.0, (T,)]), {"a": [T]}, {T.sum()}, slice(None, T), OBJECTS, [OBJECTS],
    collections.OrderedDict(a=T), [[1.0] * 1000, [T]],
]  # fmt: skip
OTHERS = [
    1.0, [1.0, 2], [[1.0]] * 10, "text", None, {"a": 1}, np.ones(3), np.array([None, 1]), slice(1, 2),
    [], {1.0, 2.0}, range(3), [object()], math,
]  # fmt: skip


@pytest.mark.parametrize("tree", HOLDERS)
def test_tensors_are_found_in_containers(tree: Any) -> None:
    assert holds_tensor(tree)


@pytest.mark.parametrize("tree", OTHERS)
def test_where_there_is_none_none_is_found(tree: Any) -> None:
    assert not holds_tensor(tree)


def test_deep_nests_are_searched() -> None:
    nest: Any = T
    for _ in range(400):
        nest = [nest]
    assert holds_tensor(nest)


@pytest.fixture
def probe() -> Any:
    def original(*args: Any, **kwargs: Any) -> str:
        return "original"

    yield original
    functions.pop(original, None)


@pytest.mark.parametrize(
    ("within", "args", "kwargs", "ours"),
    [
        ("arguments", (T,), {}, True),
        ("arguments", (), {"a": T}, True),
        ("arguments", ([T],), {}, False),
        ("nested", ([T],), {}, True),
        ("nested", (), {"a": [T]}, True),
        ("nested", ([1.0],), {"b": 2}, False),
        ("anywhere", (), {}, True),
    ],
)
def test_which_function_is_called(
    probe: Any, within: str, args: Any, kwargs: Any, ours: bool
) -> None:
    @replaces(probe, within=within)
    def function(*args: Any, **kwargs: Any) -> str:
        return "ours"

    assert type(functions[probe]) is Replacement
    assert called_for(probe, args, kwargs) is (function if ours else probe)
    assert functions[probe](*args, **kwargs) == ("ours" if ours else "original")
    assert "in place of" in repr(functions[probe])


def test_functions_that_ask_tensors_are_called_themselves_but_for_nests() -> None:
    assert called_for(np.sin, (1.0,)) is np.sin
    assert called_for(np.mean, ([1.0],)) is np.mean
    nested = called_for(np.mean, ([T[0], 2.0],))
    assert nested is functions[np.mean] and nested([T[0], 2.0]).item() == 1.5


def test_what_is_not_registered_is_called_itself(probe: Any) -> None:
    assert called_for(probe, (T,)) is probe
    takes_tensors(probe)
    assert called_for(probe, (T,)) is probe

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, *args: Any) -> int:
            return 1

    unhashable = Unhashable()
    assert called_for(unhashable, (T,)) is unhashable


def test_users_functions_are_called_as_images_if_there_are_any() -> None:
    before = functions.get("image")
    functions["image"] = lambda f: lambda *args: 2 * f(*args)
    try:
        assert image_of(math.sqrt)(4.0) == 4.0
        f = np.vectorize(lambda a: a * 1.0)
        call = called_for(np.vectorize.__call__, (f, T))
        assert call(f, T).data.tolist() == [2.0, 4.0]
    finally:
        functions.pop("image")
        if before is not None:
            functions["image"] = before
    assert before is not None or image_of(math.sqrt) is math.sqrt
