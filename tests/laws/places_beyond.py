"""Further places that a function may read: functions, containers, the world; see ``places``."""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import datetime
import decimal
import functools
import operator
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from places import PLACES, Box, _array, place

__all__ = ["PLACES"]

import tapegrad as tg

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
def a_list_that_a_ufunc_takes():
    arrays = [_array(0), _array(1)]
    return lambda x: np.add(arrays, x), lambda k: arrays[1].__setitem__(0, 5.0 + k)


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
    def read(x):
        import settings_of_a_law

        return x * settings_of_a_law.rate

    return read, lambda k: setattr(sys.modules["settings_of_a_law"], "rate", 2.0 + k)


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
    first = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
    box = Box(when=first)
    change = lambda k: setattr(box, "when", first if k % 2 else first.astimezone(zone))
    return lambda x: x * box.when.hour, change


@place
def a_generator_of_random_numbers():
    box = Box(rng=np.random.default_rng(0))
    read = lambda x: x * (box.rng.bit_generator.state["state"]["inc"] % 7)
    return read, lambda k: setattr(box, "rng", np.random.default_rng(k + 1))


@place
def a_method_with_fixed_arguments():
    class Model:
        def scaled(self, x, rate):
            return x * rate * self.k

        k = 1.0
        twice = functools.partialmethod(scaled, rate=2.0)

    model = Model()
    replaced = lambda k: functools.partialmethod(Model.scaled, rate=3.0 + k)
    return lambda x: model.twice(x), lambda k: setattr(
        Model, *(("twice", replaced(k)) if k % 2 else ("k", 2.0 + k))
    )


@place
def a_cached_property():
    class Model:
        k = 1.0

        @functools.cached_property
        def w(self):
            return self.k * 2.0

    model = Model()

    def change(k):
        model.__dict__.pop("w", None)
        Model.k = 2.0 + k

    return lambda x: x * model.w, change


@dataclasses.dataclass
class _Layer:
    w: Any
    k: Any = 1.0


_Pair = collections.namedtuple("_Pair", "a b")


@place
def a_nest_that_the_library_takes_apart():
    nest = {"layers": [_Layer(_array(0)), _Layer(2.0)], "pair": _Pair(_array(1), (1.0, None))}

    def change(k):
        if k == 0:
            nest["layers"][0].w = _array(5)
        elif k == 1:
            nest["pair"] = _Pair(3.0, (_array(2), None))
        else:
            nest["layers"].append(_Layer(_array(k), 2.0))

    def read(x):
        scaled = tg.tree_map(lambda a: a * x, nest)
        return sum(tg.tree_leaves(scaled)[:2]) * len(tg.tree_leaves(nest))

    return read, change


@place
def a_nest_that_is_differentiated_by():
    layer = _Layer(_array(0))
    slope = tg.grad(lambda p, x: np.sum(p.w * p.w * x))
    return lambda x: slope(layer, x).w, lambda k: setattr(layer, "w", _array(k + 1))


# Functions that are called by others ------------------------------------------------------------------


def _read_by(call: Callable[..., Any]) -> Callable[[], tuple[Any, Any]]:
    """Return a place that a function reads which the library or NumPy calls."""

    def make():
        rate = [2.0]
        return call(lambda a: a * rate[0]), lambda k: rate.__setitem__(0, 3.0 + k)

    return make


def _around(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: x * f(np.arange(3.0)).astype(float)


_CALLERS = {
    "vectorize": lambda f: np.vectorize(f),
    "vectorize_of_constants": lambda f: _around(np.vectorize(f)),
    "frompyfunc": lambda f: _around(np.frompyfunc(f, 1, 1)),
    "apply_along_axis": lambda f: lambda x: np.apply_along_axis(f, 0, x),
    "apply_along_axis_of_constants": lambda f: (
        lambda x: x + np.apply_along_axis(f, 0, np.arange(3.0))
    ),
    "piecewise": lambda f: lambda x: np.piecewise(x, [x > 0], [f, 0.0]),
    "fromfunction": lambda f: lambda x: x * np.fromfunction(f, (3,)),
    "reduce": lambda f: lambda x: functools.reduce(lambda a, b: a + f(b), [x, x]),
    "map": lambda f: lambda x: sum(map(f, [x, x])),
    "filter": lambda f: lambda x: x * len(list(filter(lambda v: f(v) > 4.0, [1, 2]))),
    "iter": lambda f: lambda x: x * next(iter(lambda: f(1.0), 99)),
    "tree_map": lambda f: lambda x: tg.tree_map(f, {"a": x})["a"],
    "cond": lambda f: lambda x: tg.cond(True, f, lambda a: a, x),
    "vmap": lambda f: lambda x: tg.vmap(f)(x),
    "jvp": lambda f: lambda x: tg.jvp(f, (x,), (x,))[1],
    "partial_of_a_partial": lambda f: functools.partial(functools.partial(f)),
}
for _name, _call in _CALLERS.items():
    PLACES[f"a_function_called_by_{_name}"] = _read_by(_call)
