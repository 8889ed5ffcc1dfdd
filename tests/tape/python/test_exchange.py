"""Traced values in the user's own objects become plain when the trace ends."""

import datetime
import types
from collections import OrderedDict, deque, namedtuple

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.python.exchange import Exchange

Pair = namedtuple("Pair", "a b")


def plain(tensor):
    return tensor.data[()]


def finished(fill):
    exchange = Exchange()
    fill(exchange, tg.tensor(2.0), tg.tensor([1.0, 2.0]))
    exchange.finish(plain)


@pytest.mark.parametrize("kind", [list, deque])
def test_sequences(kind):
    kept = kind([0.5])

    def fill(exchange, x, v):
        kept.append(x)
        kept.append((v, Pair(x, "text")))
        exchange.note(kept)

    finished(fill)
    assert type(kept[1]) is np.float64 and kept[1] == 2.0
    assert type(kept[2][0]) is np.ndarray and type(kept[2][1]) is Pair and kept[2][1].a == 2.0


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_dicts_values_and_keys(kind):
    kept = kind(before=1)

    def fill(exchange, x, v):
        kept["loss"] = x
        kept[x] = v
        exchange.note(kept)

    finished(fill)
    assert type(kept["loss"]) is np.float64 and list(kept)[:2] == ["before", "loss"]
    assert type(list(kept)[2]) is np.float64 and type(kept[2.0]) is np.ndarray


def test_sets():
    kept = {"a"}

    def fill(exchange, x, v):
        kept.add(x)
        exchange.note(kept)

    finished(fill)
    assert kept == {"a", 2.0} and {type(m) for m in kept} == {str, np.float64}


def test_attributes_slots_classes_and_modules():
    class Slotted:
        __slots__ = ("last", "never")

    class Model:
        pass

    module = types.ModuleType("module")
    owners = [Slotted(), Model(), Model, module]

    def fill(exchange, x, v):
        for owner in owners:
            owner.last = x
            exchange.note_attribute(owner, "last")
        exchange.note_attribute(owners[0], "never")
        exchange.note_attribute(owners[1], "deleted")

    finished(fill)
    assert [type(owner.last) for owner in owners] == [np.float64] * 4
    assert not hasattr(owners[0], "never")


def test_variables_of_enclosing_functions():
    cell, empty = types.CellType(), types.CellType()

    def fill(exchange, x, v):
        cell.cell_contents = x
        exchange.note_cell(cell)
        exchange.note_cell(empty)

    finished(fill)
    assert type(cell.cell_contents) is np.float64


def test_arguments_of_exceptions_and_of_their_causes():
    x = tg.tensor(2.0)
    try:
        try:
            raise KeyError(x)
        except KeyError as inner:
            raise ValueError("loss", x, (x, 1)) from inner
    except ValueError as error:
        Exchange().clean_exception(error, plain)
        assert [type(a) for a in error.args] == [str, np.float64, tuple]
        assert type(error.args[2][0]) is np.float64
        assert type(error.__cause__.args[0]) is np.float64


def test_what_was_not_noted_is_left_alone_and_places_are_forgotten():
    x = tg.tensor(1.0)
    noted, other = [x], [x]
    exchange = Exchange()
    exchange.note(noted)
    exchange.finish(plain)
    noted.append(x)
    exchange.finish(plain)
    assert type(noted[0]) is np.float64 and noted[1] is x and other[0] is x


def test_an_error_of_code_that_takes_no_tensors_says_what_to_do():
    with pytest.raises(TypeError, match="timedelta") as caught:
        tg.grad(lambda x: datetime.timedelta(seconds=x[0]).total_seconds())(np.ones(2))
    assert "tg.stop_gradient" in caught.value.__notes__[0]
    with pytest.raises(TypeError) as caught:
        tg.grad(lambda x: len(3) * x)(1.0)
    assert not hasattr(caught.value, "__notes__")


def test_an_array_in_an_object_of_the_function_s_own_is_not_from_outside():
    class Box:
        pass

    def f(x):
        held, w = Box(), np.zeros(3)
        held.w = w
        w[0] = x
        held.twice = x * 2
        return np.sum(w) + held.twice

    assert tg.vmap(f)(np.array([1.0, 2.0])).tolist() == [3.0, 6.0]
