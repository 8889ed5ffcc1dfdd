"""Places that lie in classes, in what C's code asks of them, and in tensors; see ``places``."""

from __future__ import annotations

import abc
import functools
import operator
import typing

import numpy as np
from places import Box, _array, place
from places_of_objects import PLACES

__all__ = ["PLACES"]

import tapegrad as tg

# The order of classes ---------------------------------------------------------------------------------


def _family():
    class Mother:
        def scaled(self, x):
            return x

        def __len__(self):
            return 2

    class Aunt:
        def scaled(self, x):
            return x * 2

        def __len__(self):
            return 3

    class Parent(Mother):
        def above(self, x):
            return super().scaled(x) + 1

    class Child(Parent):
        pass

    def change(k):
        Parent.__bases__ = ((Aunt,), (Mother,))[k % 2]

    return Mother, Child, change


@place
def bases_of_a_class():
    _, child, change = _family()
    one = child()
    return lambda x: one.scaled(x), change


@place
def bases_above_a_super():
    _, child, change = _family()
    one = child()
    return lambda x: one.above(x), change


@place
def bases_with_a_special_method():
    _, child, change = _family()
    one = child()
    return lambda x: x * len(one), change


@place
def bases_that_isinstance_asks():
    mother, child, change = _family()
    one = child()
    return lambda x: x * (2 if isinstance(one, mother) else 3), change


@place
def bases_that_issubclass_asks():
    mother, child, change = _family()
    return lambda x: x * (2 if issubclass(child, mother) else 3), change


# What a class learns later ----------------------------------------------------------------------------


@place
def a_getattr_set_later():
    class Open:
        pass

    one = Open()

    def change(k):
        Open.__getattr__ = lambda self, name: 4.0 + k

    return lambda x: x * getattr(one, "rate", 3.0) + hasattr(one, "rate"), change


@place
def a_getattr_of_a_metaclass_set_later():
    class Meta(type):
        pass

    class Open(metaclass=Meta):
        pass

    def change(k):
        Meta.__getattr__ = lambda cls, name: 4.0 + k

    return lambda x: x * getattr(Open, "rate", 3.0), change


@place
def a_getattribute_set_later():
    class Open:
        rate = 1.0

    one = Open()

    def change(k):
        Open.__getattribute__ = lambda self, name: 4.0 + k

    return lambda x: x * one.rate, change


@place
def a_value_that_becomes_a_descriptor():
    class Value:
        rate = 2.0

    class Owner:
        held = Value()

    one = Owner()

    def change(k):
        Value.__get__ = lambda self, owner, cls: Box(rate=4.0 + k)

    return lambda x: x * one.held.rate + Owner.held.rate, change


@place
def a_descriptor_that_goes_before_the_instance():
    class Value:
        def __get__(self, owner, cls):
            return 5.0

    class Owner:
        held = Value()

    one = Owner()
    one.__dict__["held"] = 2.0

    def change(k):
        Value.__set__ = lambda self, owner, value: None

    return lambda x: x * one.held, change


@place
def a_special_method_that_is_replaced():
    class Sized:
        def __len__(self):
            return 2

        def __float__(self):
            return 2.0

    one = Sized()

    def change(k):
        Sized.__len__ = lambda self: 3 + k
        Sized.__float__ = lambda self: 4.0 + k

    return lambda x: x * len(one) + float(one), change


@place
def an_equality_set_later():
    class Thing:
        pass

    one, other = Thing(), Thing()

    def change(k):
        Thing.__eq__ = lambda self, other: True

    return lambda x: x * (2 if (one, 1) == (other, 1) else 3), change


@place
def a_hash_set_later():
    class Thing:
        pass

    one, other = Thing(), Thing()
    table = {one: 1.0}

    def change(k):
        Thing.__hash__ = lambda self: 3
        Thing.__eq__ = lambda self, other: True

    return lambda x: x * table.get(other, 9.0) + (2 if other in table else 4), change


@place
def which_object_a_compared_list_holds():
    class Thing:
        pass

    one, other = Thing(), Thing()
    first, second = [one], [one]
    return lambda x: x * (2 if first == second else 3), lambda k: first.__setitem__(
        0, (other, one)[k % 2]
    )


@place
def a_protocol():
    @typing.runtime_checkable
    class Closing(typing.Protocol):
        def close(self): ...

    class Thing:
        pass

    one = Thing()

    def change(k):
        if k % 2:
            del Thing.close
        else:
            Thing.close = lambda self: None

    return lambda x: x * (2 if isinstance(one, Closing) else 3), change


@place
def a_hook_of_an_abstract_class():
    class Any(abc.ABC):  # noqa: B024
        answer = True

        @classmethod
        def __subclasshook__(cls, other):
            return cls.answer

    return (
        lambda x: x * (2 if issubclass(type("Made", (), {}), Any) else 3),
        lambda k: setattr(Any, "answer", bool(k % 2)),
    )


@place
def a_property_that_c_answers():
    class Owner:
        rate = property(operator.attrgetter("kept"))
        scaled = property(functools.partial(lambda factor, self: self.kept * factor, 2.0))

    one = Owner()
    one.kept = 2.0
    return lambda x: x * one.rate + one.scaled, lambda k: setattr(one, "kept", 3.0 + k)


@place
def a_property_of_numpy_s():
    p = np.poly1d([1.0, 2.0])
    return lambda x: x * p.c[1] + p.order, lambda k: p.__setitem__(0, 3.0 + k)


# What making a class runs -----------------------------------------------------------------------------


@place
def a_hook_for_subclasses():
    class Base:
        rate = 2.0

        def __init_subclass__(cls):
            cls.twice = cls.rate * 2

    def read(x):
        class Made(Base):
            pass

        return x * Made.twice + type("Other", (Base,), {}).twice

    return read, lambda k: setattr(Base, "rate", 3.0 + k)


@place
def a_descriptor_that_is_told_its_name():
    class Value:
        rate = 2.0

        def __set_name__(self, owner, name):
            owner.twice = self.rate * 2

    def read(x):
        class Made:
            held = Value()

        return x * Made.twice

    return read, lambda k: setattr(Value, "rate", 3.0 + k)


@place
def a_metaclass_that_makes():
    class Meta(type):
        rate = 2.0

        def __new__(mcs, name, bases, names):
            return super().__new__(mcs, name, bases, {**names, "held": mcs.rate})

    class Base(metaclass=Meta):
        pass

    def read(x):
        class Made(Base):
            pass

        class Other(metaclass=Meta):
            pass

        return x * Made.held * Other.held

    return read, lambda k: setattr(Meta, "rate", 3.0 + k)


# What is caught, and where arrays lie -----------------------------------------------------------------


@place
def exceptions_that_are_caught():
    box = Box(kinds=(KeyError,))

    def change(k):
        box.kinds = ((ValueError,), (KeyError,), ArithmeticError, ValueError)[k % 4]

    def read(x):
        try:
            try:
                raise ValueError("a")
            except box.kinds:
                return x * 2
        except ValueError:
            return x * 3

    return read, change


@place
def the_owner_of_an_array():
    box = Box(w=np.ones(3))

    def change(k):
        box.w = (np.ones(6)[:3], np.ones(3))[k % 2]

    return lambda x: x * (2 if box.w.base is None else 3), change


@place
def whether_arrays_share_memory():
    memory = np.ones(6)
    box = Box(a=memory[:3], b=memory[3:])

    def change(k):
        box.b = (memory[2:5], memory[3:])[k % 2]

    return lambda x: x * np.shares_memory(box.a, box.b) + np.may_share_memory(box.a, box.b), change


@place
def how_an_array_is_printed():
    w = _array(0) / 3
    return (
        lambda x: x * len(np.array_str(w)) + len(np.array_repr(w)),
        lambda k: np.set_printoptions(precision=1 + k),
    )


# Tensors ----------------------------------------------------------------------------------------------


def _tensor():
    t = tg.tensor([1.0, 2.0, 3.0])
    return t, lambda k: t.__setitem__(1, 4.0 + k)


@place
def the_data_of_a_tensor():
    t, change = _tensor()
    return lambda x: x * t.data + x * np.asarray(t), change


@place
def a_number_of_a_tensor():
    t, change = _tensor()
    return lambda x: x * float(t[1]) + t.sum().item(), change


@place
def the_gradient_of_a_tensor():
    t, _ = _tensor()

    def change(k):
        (t * (k + 2.0)).sum().backward()

    return lambda x: x * (1.0 if t.grad is None else t.grad), change


@place
def whether_a_tensor_is_constant():
    box = Box(t=tg.tensor(1.0))

    def change(k):
        box.t = tg.tensor(1.0, constant=not k % 2)

    return lambda x: x * (2 if box.t.constant else 3), change


@place
def a_tensor_in_a_container():
    t, change = _tensor()
    box = Box(held={"a": [(t, 1)]})
    return lambda x: x * np.sum(np.asarray(box.held["a"][0][0])), change


@place
def a_tensor_as_a_default():
    t, change = _tensor()

    def scaled(x, weights=t):
        return x * weights.data

    return lambda x: scaled(x), change


@place
def a_tensor_in_a_partial():
    t, change = _tensor()
    scaled = functools.partial(lambda weights, x: x * weights.data, t)
    return lambda x: scaled(x), change


@place
def a_bound_method_of_a_tensor():
    t, change = _tensor()
    total = t.sum
    return lambda x: x * total().item(), change
