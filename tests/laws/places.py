"""Places that a function may read, as a grammar: how each is read, and how it is changed.

A place is made anew for each test: a function that returns *read*, called by the function under test
with its argument, and *change*, which changes what lies there; the k-th call changes it to something
that depends on k. Reads return numbers or arrays, which the function under test adds up.
"""

from __future__ import annotations

import abc
import collections
import ctypes
import dataclasses
import datetime
import decimal
import enum
import functools
import operator
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

import tapegrad as tg

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
            return x * LATER_SETTING  # noqa: F821
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
        names: Any = {"rate": 1.0}

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


# Functions ------------------------------------------------------------------------------------------


@place
def an_array_in_a_partial():
    w = _array(0)
    f = functools.partial(lambda w, x, s: w * x * s, w, s=2.0)

    def change(k):
        if k % 2:
            w[0] = 4.0 + k
        else:
            f.keywords["s"] = 3.0 + k

    return lambda x: f(x), change


@place
def a_bound_method_of_an_array():
    w = _array(0)
    total = w.sum
    return lambda x: x * total(), lambda k: w.__setitem__(0, 2.0 + k)


@place
def a_bound_method_of_an_object():
    class Model:
        rate = 1.0

        def f(self, x):
            return x * self.rate

    model = Model()
    f = model.f
    return lambda x: f(x), lambda k: setattr(model, "rate", 2.0 + k)


@place
def a_decorated_function():
    class Scaled:
        def __init__(self, f):
            functools.update_wrapper(self, f)
            self.f, self.rate = f, 1.0

        def __call__(self, x):
            return self.f(x) * self.rate

    f = Scaled(lambda x: x * 2.0)
    return lambda x: f(x), lambda k: setattr(f, "rate", 2.0 + k)


@place
def a_cached_function():
    @functools.lru_cache
    def settings():
        return Box(rate=SETTING_OF_CACHE[0])

    SETTING_OF_CACHE = [1.0]

    def change(k):
        if k % 2:
            settings().rate = 5.0 + k
        else:
            SETTING_OF_CACHE[0] = 2.0 + k
            settings.cache_clear()

    return lambda x: x * settings().rate, change


@place
def a_dispatching_function():
    @functools.singledispatch
    def f(kind, x):
        return x * 2.0

    box = Box()
    return lambda x: f(box, x), lambda k: f.register(Box, lambda kind, x: x * (3.0 + k))


@place
def a_getter_of_operator():
    box = Box(inner=Box(rate=2.0))
    get = operator.attrgetter("inner.rate")
    return lambda x: x * get(box), lambda k: setattr(box.inner, "rate", 3.0 + k)


@place
def an_inner_jitted_function():
    box = Box(rate=2.0)
    f = tg.jit(lambda x: x * box.rate)
    return lambda x: f(x), lambda k: setattr(box, "rate", 3.0 + k)


@place
def an_inner_gradient():
    box = Box(w=_array(0))
    f = tg.grad(lambda x: np.sum(x * x * box.w))
    return lambda x: f(x), lambda k: setattr(box, "w", _array(k + 1))


@place
def a_function_for_sorting():
    order = {"sign": 1.0}
    read = lambda x: x * sorted([1.0, 2.0, 3.0], key=lambda v: v * order["sign"])[0]
    return read, lambda k: order.__setitem__("sign", (-1.0) ** (k + 1))


# Containers -----------------------------------------------------------------------------------------


@place
def an_item_of_a_list():
    rates = [1.0, 2.0]
    return lambda x: x * rates[1], lambda k: rates.__setitem__(1, _array(k) if k % 2 else 3.0)


@place
def the_length_of_a_list():
    rates = [1.0]
    return lambda x: x * len(rates), lambda k: rates.append(k)


@place
def the_last_of_a_list():
    rates = [1.0]
    return lambda x: x * rates[-1], lambda k: rates.append(2.0 + k)


@place
def membership():
    names = ["a"]
    return lambda x: x * (2.0 if "b" in names else 1.0), lambda k: names.append("b")


@place
def equality():
    values = [1, 2]
    return lambda x: x * (2.0 if values == [1, 2] else 1.0), lambda k: values.append(k)


@place
def truth():
    values: list[Any] = []
    return lambda x: x * (2.0 if values else 1.0), lambda k: values.append(k)


@place
def unpacking():
    values = [1.0, 2.0]

    def read(x):
        first, *rest = values
        return x * first + len(rest)

    return read, lambda k: values.insert(0, 3.0 + k)


@place
def star_arguments():
    values = [_array(0), _array(1)]
    f = lambda *arrays: sum(arrays)
    return lambda x: x * f(*values), lambda k: values.append(_array(k))


@place
def double_star_arguments():
    values = {"a": 1.0}
    f = lambda **named: sum(named.values())
    return lambda x: x * f(**values), lambda k: values.__setitem__(f"b{k}", 2.0)


@place
def arrays_in_a_list():
    arrays = [_array(0), _array(1)]

    def change(k):
        if k % 2:
            arrays[0][0] = 9.0 + k
        else:
            arrays.append(_array(k))

    return lambda x: x * np.sum(np.stack(arrays), axis=0), change


@place
def a_loop_over_a_dict():
    layers = {"a": _array(0), "b": 2.0}

    def read(x):
        for name, w in layers.items():
            x = x * w + len(name)
        return x

    return read, lambda k: layers.__setitem__("c" * (k + 1), 3.0 + k)


@place
def the_order_of_a_dict():
    layers = {"a": 1.0, "b": 2.0}
    change = lambda k: layers.__setitem__("a", layers.pop("a"))
    return lambda x: x * next(iter(layers.values())), change


@place
def a_set():
    names = {"a"}
    return lambda x: x * (2.0 if "b" in names else len(names)), lambda k: names.add("b")


@place
def a_deque():
    values = collections.deque([1.0])
    return lambda x: x * values[-1], lambda k: values.append(2.0 + k)


@place
def an_ordered_dict():
    values = collections.OrderedDict(a=1.0)
    return lambda x: x * sum(values.values()), lambda k: values.__setitem__("b", 2.0 + k)


@place
def a_tuple_in_an_object():
    box = Box(shape=(1.0, (2.0,)))
    return lambda x: x * box.shape[1][0], lambda k: setattr(box, "shape", (1.0, (3.0 + k,)))


@place
def a_named_tuple():
    Rates = collections.namedtuple("Rates", "a b")
    box = Box(rates=Rates(1.0, 2.0))
    return lambda x: x * box.rates.b, lambda k: setattr(box, "rates", Rates(1.0, 3.0 + k))


@place
def a_match():
    box = Box(shape={"kind": "square"})

    def read(x):
        match box.shape:
            case {"kind": "square"}:
                return x * 2.0
            case _:
                return x * 3.0

    return read, lambda k: box.shape.__setitem__("kind", ("square", "round")[k % 2])


# The world --------------------------------------------------------------------------------------------


@place
def a_module():
    module = types.ModuleType("settings_of_a_test")
    module.rate = 1.0
    return lambda x: x * module.rate, lambda k: setattr(module, "rate", 2.0 + k)


@place
def getattr_of_a_module():
    module = types.ModuleType("settings_of_a_test")
    hidden = {"rate": 1.0}
    module.__getattr__ = lambda name: hidden[name]
    return lambda x: x * module.rate, lambda k: hidden.__setitem__("rate", 2.0 + k)


@place
def an_imported_module():
    module = types.ModuleType("settings_of_a_law")
    module.rate = 1.0
    sys.modules["settings_of_a_law"] = module

    def read(x):
        import settings_of_a_law

        return x * settings_of_a_law.rate

    return read, lambda k: setattr(module, "rate", 2.0 + k)


@place
def an_environment_variable():
    os.environ["TAPEGRAD_TEST_OF_PLACES"] = "1"
    read = lambda x: x * float(os.environ["TAPEGRAD_TEST_OF_PLACES"])
    return read, lambda k: os.environ.__setitem__("TAPEGRAD_TEST_OF_PLACES", str(2 + k))


@place
def a_number_of_c():
    value = ctypes.c_double(1.0)
    return lambda x: x * value.value, lambda k: setattr(value, "value", 2.0 + k)


@place
def numpy_s_print_options():
    np.set_printoptions(precision=8)
    read = lambda x: x * np.get_printoptions()["precision"]
    return read, lambda k: np.set_printoptions(precision=3 + k % 4)


@place
def a_text():
    box = Box(mode="sin")
    return lambda x: getattr(np, box.mode)(x), lambda k: setattr(box, "mode", ("cos", "exp")[k % 2])


@place
def a_decimal():
    box = Box(rate=decimal.Decimal("1.0"))
    change = lambda k: setattr(
        box, "rate", decimal.Decimal("1.00") if k % 2 else decimal.Decimal(3)
    )
    return lambda x: x * len(str(box.rate)), change


@place
def a_time():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    first = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone.utc)
    box = Box(when=first)
    change = lambda k: setattr(box, "when", first if k % 2 else first.astimezone(zone))
    return lambda x: x * box.when.hour, change


@place
def a_generator_of_random_numbers():
    box = Box(rng=np.random.default_rng(0))
    read = lambda x: x * (box.rng.bit_generator.state["state"]["inc"] % 7)
    return read, lambda k: setattr(box, "rng", np.random.default_rng(k + 1))
