"""Places that a function may read, as a grammar: how each is read, and how it is changed.

A place is made anew for each test: a function that returns *read*, called by the function under test
with its argument, and *change*, which changes what lies there; the k-th call changes it to something
that depends on k. Reads return numbers or arrays, which the function under test adds up.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Callable
from typing import Any

import numpy as np

Read = Callable[[Any], Any]
Change = Callable[[int], Any]
PLACES: dict[str, Callable[[], tuple[Read, Change]]] = {}

SETTING: Any = 1.0


def place(make: Callable[[], tuple[Read, Change]]) -> Callable[[], tuple[Read, Change]]:
    """Put a place into the grammar."""
    PLACES[make.__name__] = make
    return make


class Box:
    """An object with whatever attributes."""

    scale: Any = 1.0

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def _array(k: int) -> np.ndarray:
    return np.linspace(0.5, 1.5, 3) + k


# Names --------------------------------------------------------------------------------------------


@place
def a_number_in_a_closure():
    rate = 2.0

    def change(k):
        nonlocal rate
        rate = 3.0 + k

    return lambda x: x * rate, change


@place
def an_array_in_a_closure():
    w = _array(0)

    def change(k):
        nonlocal w
        w = _array(k + 1)

    return lambda x: x * w, change


@place
def contents_of_an_array():
    w = _array(0)
    return lambda x: x * w, lambda k: w.__setitem__(1, 7.0 + k)


@place
def dtype_of_an_array():
    w = _array(0)

    def change(k):
        nonlocal w
        w = np.arange(3) + k if k % 2 else _array(k).astype(np.float32)

    return lambda x: x * w, change


@place
def whether_two_arrays_are_one():
    a = _array(0)
    box = Box(a=a, b=a)
    return lambda x: box.a * x + box.b, lambda k: setattr(box, "b", _array(k))


@place
def a_global():
    def change(k):
        global SETTING
        SETTING = _array(k) if k % 2 else 2.0 + k

    return lambda x: x * SETTING, change


@place
def a_global_that_was_not_there():
    name = "LATER_SETTING"
    globals().pop(name, None)

    def read(x):
        try:
            return x * LATER_SETTING
        except NameError:
            return x

    return read, lambda k: globals().__setitem__(name, 3.0 + k)


@place
def a_builtin_that_is_hidden():
    globals().pop("sum", None)
    hide = lambda k: globals().__setitem__("sum", lambda values: 10.0 + k)
    return lambda x: x * sum([1.0, 2.0]), hide


@place
def a_default():
    def f(x, rate=2.0, *, shift=1.0):
        return x * rate + shift

    def change(k):
        f.__defaults__ = (3.0 + k,)
        f.__kwdefaults__ = {"shift": _array(k)}

    return lambda x: f(x), change


@place
def a_default_that_is_changed():
    def f(x, parts=[1.0]):  # noqa: B006
        return x * parts[0] * len(parts)

    return lambda x: f(x), lambda k: f.__defaults__[0].append(k)


@place
def the_code_of_a_function():
    def f(x):
        return x * 2.0

    def g(x):
        return x * 5.0

    def h(x):
        return x + 1.0

    return lambda x: f(x), lambda k: setattr(f, "__code__", (g, h)[k % 2].__code__)


@place
def an_attribute_of_a_function():
    def f(x):
        return x * f.rate

    f.rate = 1.0
    return f, lambda k: setattr(f, "rate", 4.0 + k)


# Objects ------------------------------------------------------------------------------------------


@place
def an_attribute():
    box = Box(rate=2.0)
    return lambda x: x * box.rate, lambda k: setattr(box, "rate", _array(k) if k % 2 else 3 + k)


@place
def an_attribute_first_set_later():
    box = Box()
    return lambda x: x * box.scale, lambda k: setattr(box, "scale", 3.0 + k)


@place
def an_attribute_that_goes_away():
    box = Box(scale=4.0)

    def change(k):
        if k % 2:
            box.scale = 5.0 + k
        else:
            box.__dict__.pop("scale", None)

    return lambda x: x * box.scale, change


@place
def a_flag_of_a_subclass():
    class Base:
        training = False

    class Model(Base):
        pass

    model = Model()
    change = lambda k: setattr(Model if k % 2 else Base, "training", k)
    return lambda x: x * (2.0 + model.training), change


@place
def a_slot():
    class Slotted:
        __slots__ = ("rate",)

    value = Slotted()
    value.rate = 1.0
    return lambda x: x * value.rate, lambda k: setattr(value, "rate", 2.0 + k)


@place
def a_property():
    class Model:
        hidden = 1.0
        rate = property(lambda self: self.hidden * 2)

    model = Model()
    return lambda x: x * model.rate, lambda k: setattr(model, "hidden", 2.0 + k)


@place
def a_method():
    class Model:
        def f(self, x):
            return x * 2.0

    model = Model()
    return lambda x: model.f(x), lambda k: setattr(Model, "f", lambda self, x: x * (3.0 + k))


@place
def a_special_method():
    class Scaled:
        def __init__(self, k):
            self.k = k

        def __mul__(self, other):
            return other * self.k

    scaled = Scaled(2.0)
    replace = lambda k: setattr(Scaled, "__mul__", lambda self, other: other * (self.k + k))
    return lambda x: scaled * x, replace


@place
def the_length_and_truth_of_an_object():
    class Sized:
        size = 0

        def __len__(self):
            return self.size

    sized = Sized()
    return lambda x: x * (2.0 if sized else 3.0) + len(sized), lambda k: setattr(sized, "size", k)


@place
def getattr_hooks():
    class Model:
        def __init__(self):
            self.names = {"rate": 1.0}

        def __getattr__(self, name):
            return self.names[name]

    model = Model()
    return lambda x: x * model.rate, lambda k: model.names.__setitem__("rate", 2.0 + k)


@place
def a_descriptor():
    class Field:
        def __init__(self):
            self.value = 1.0

        def __get__(self, instance, owner):
            return self.value

    class Model:
        rate = Field()

    model = Model()
    return lambda x: x * model.rate, lambda k: setattr(Model.__dict__["rate"], "value", 2.0 + k)


@place
def a_property_of_a_metaclass():
    class Meta(type):
        rate = property(lambda cls: cls.hidden)

    class Model(metaclass=Meta):
        hidden = 1.0

    return lambda x: x * Model.rate, lambda k: setattr(Model, "hidden", 2.0 + k)


@place
def the_class_of_an_object():
    class A:
        rate = 2.0

    class B:
        rate = 3.0

    value = A()
    return lambda x: x * value.rate, lambda k: setattr(value, "__class__", (A, B)[k % 2])


@place
def an_object_that_is_replaced():
    box = Box(inner=Box(rate=2.0))
    return lambda x: x * box.inner.rate, lambda k: setattr(box, "inner", Box(rate=3.0 + k))


@place
def a_class_made_inside():
    def read(x):
        class Inner:
            def __init__(self):
                self.rate = SETTING

            def f(self, x):
                return x * self.rate

        return Inner().f(x)

    def change(k):
        global SETTING
        SETTING = 2.0 + k

    return read, change


@place
def a_class_instantiated_inside():
    class Inner:
        def __init__(self, x):
            self.y = x * SETTING

    def change(k):
        global SETTING
        SETTING = _array(k)

    return lambda x: Inner(x).y, change


@place
def a_singleton():
    class Single:
        one: Any = None

        def __new__(cls):
            return cls.one

    Single.one = Box(rate=1.0)
    return lambda x: x * Single().rate, lambda k: setattr(Single, "one", Box(rate=2.0 + k))


@place
def a_dataclass():
    @dataclasses.dataclass
    class Model:
        rate: Any = 1.0

    model = Model()
    read = lambda x: x * sum(getattr(model, f.name) for f in dataclasses.fields(model))
    return read, lambda k: setattr(model, "rate", 2.0 + k)


@place
def the_dict_of_an_object():
    box = Box(a=1.0)
    return lambda x: x * sum(vars(box).values()), lambda k: setattr(box, f"b{k}", 2.0 + k)


@place
def whether_there_is_an_attribute():
    box = Box()
    return (
        lambda x: x * (2.0 if hasattr(box, "extra") else 1.0),
        lambda k: setattr(box, "extra", 1) if k % 2 else box.__dict__.pop("extra", None),
    )


@place
def an_abstract_class_that_takes_in_others():
    class Kind(abc.ABC):  # noqa: B024
        pass

    class Model:
        pass

    model = Model()
    change = lambda k: Kind.register(Model)
    return lambda x: x * (2.0 if isinstance(model, Kind) else 1.0), change


@place
def an_enumeration():
    class Mode(enum.Enum):
        SLOW = 1
        FAST = 2

    box = Box(mode=Mode.SLOW)
    read = lambda x: x * (2.0 if box.mode is Mode.FAST else 1.0) + box.mode.value
    return read, lambda k: setattr(box, "mode", (Mode.SLOW, Mode.FAST)[k % 2])
