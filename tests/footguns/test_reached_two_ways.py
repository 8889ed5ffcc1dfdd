"""Objects of the user's that a function reaches in several ways, keeps elsewhere, or replaces."""

import collections
import functools
import operator
import types

import numpy as np
import pytest
from compare import V, close

import tapegrad as tg

pytestmark = pytest.mark.filterwarnings("ignore:jit.*without compiling")


class Box:
    def __init__(self, w):
        self.w = w


class Slots:
    __slots__ = ("box",)

    def __init__(self, box):
        self.box = box


Pair = collections.namedtuple("Pair", "box boxes")


def agree(make):
    """Assert that states and results are those of the function, call by call.

    `make` returns a function, and another that reads the state, and may change it.
    """
    (function, state), (twin, its_state) = make(), make()
    jitted = tg.jit(twin)
    for _ in range(5):
        close(jitted(V), function(V))
        close(its_state(), state())


def reached(hold, read):
    """Return a maker: `hold` puts a box somewhere, `read` takes it from there."""

    def make():
        box = Box(np.ones_like(V))
        place = hold(box)

        def function(x):
            other = read(place)
            return x * box.w + other.w, other is box

        def state():
            box.w[0] += 1
            return box.w

        return function, state

    return make


@pytest.mark.parametrize(
    "make",
    [
        reached(lambda box: collections.deque([box]), lambda d: d[0]),
        reached(Slots, lambda s: s.box),
        reached(lambda box: {box}, lambda s: next(iter(s))),
        reached(lambda box: Pair(1, [box]), lambda p: p.boxes[0]),
        reached(lambda box: collections.OrderedDict(a={"b": [box]}), lambda d: d["a"]["b"][0]),
        reached(lambda box: collections.UserList([box]), lambda u: u[0]),
        reached(lambda box: {box: 1.0, (box, 1): 2.0}, lambda d: next(iter(d))),
        reached(lambda box: functools.partial(max, box), lambda p: p.args[0]),
        reached(lambda box: type("Owner", (), {"boxes": [box]}), lambda c: c.boxes[0]),
        reached(lambda box: functools.cache(lambda: box), lambda f: f()),
        reached(lambda box: [box, (box,)], lambda t: t[1][0]),
    ],
)
def test_an_object_is_one_object_whichever_way_leads_to_it(make):
    agree(make)


def test_objects_are_keys():
    box = Box(np.ones(3))
    table = {box: 3.0, (box, 1): 2.0}
    close(tg.jit(lambda x: x * box.w * table[box] * table[box, 1])(V), V * 6)


def kept_in_a_tuple():
    inner = [1.0]
    outer = [inner, (inner, 2)]

    def function(x):
        operator.setitem(outer, 0, [3.0])
        return x * outer[1][0][0]

    return function, lambda: (outer, outer[1][0] is inner)


def kept_in_a_new_list():
    inner = [1.0]
    outer = {"a": inner}

    def function(x):
        operator.setitem(outer, "a", [inner, (inner,)])
        return x

    return function, lambda: (outer["a"][0] is inner, outer["a"][1][0] is inner)


def kept_as_an_attribute():
    box, owner = Box(np.ones_like(V)), Box(None)

    def function(x):
        owner.__init__((box, x))
        return x * box.w

    return function, lambda: (owner.w[0] is box, owner.w[1])


def kept_as_a_function():
    kept, w = [], np.ones_like(V)

    def inner(x):
        return x * w

    def function(x):
        kept.append(inner)
        return inner(x)

    return function, lambda: (len(kept), [f is inner for f in kept], kept[-1](V))


@pytest.mark.parametrize(
    "make", [kept_in_a_tuple, kept_in_a_new_list, kept_as_an_attribute, kept_as_a_function]
)
def test_what_is_kept_is_the_object_of_the_user(make):
    agree(make)


def two_buffers():
    buffers = [np.zeros_like(V), np.ones_like(V)]

    def function(x):
        buffers[0], buffers[1] = buffers[1], buffers[0]
        return x * buffers[0]

    return function, lambda: buffers


def a_fresh_buffer():
    owner = Box(np.ones_like(V))

    def function(x):
        owner.w = np.zeros_like(V)
        return x + owner.w

    def state():
        before, owner.w = owner.w, np.full_like(V, 3.0)
        return before

    return function, state


def a_name_outside():
    w = np.ones_like(V)

    def function(x):
        nonlocal w
        y, w = x * w, np.full(3, 2.0)
        return y

    def state():
        nonlocal w
        before, w = w, w + 1
        return before

    return function, state


@pytest.mark.parametrize("make", [two_buffers, a_fresh_buffer, a_name_outside])
def test_arrays_that_take_the_places_of_others_do_so_at_each_call(make):
    agree(make)


def a_class():
    class Owner:
        w = np.ones_like(V)

        @classmethod
        def add(cls, x):
            cls.w = cls.w + x
            return cls.w

    return lambda x: x * Owner.add(x), lambda: Owner.w


def a_user_dict():
    held = collections.UserDict(w=np.ones_like(V))
    seen = collections.UserList()

    def function(x):
        held["w"] = held["w"] * x
        seen.append(x)
        return held["w"] * len(seen)

    return function, lambda: (dict(held), list(seen))


@pytest.mark.parametrize("make", [a_class, a_user_dict])
def test_no_traced_value_stays_behind(make):
    agree(make)


def test_an_attribute_that_appears_after_getattr_has_looked_for_it():
    def make():
        space, calls = types.SimpleNamespace(a=1.0), []

        def state():
            calls.append(1)
            if len(calls) == 2:
                space.b = 5.0
            return len(calls)

        return lambda x: x * getattr(space, "b", space.a), state

    agree(make)


def test_looking_for_what_a_function_reads_runs_no_code_of_the_user():
    class Row:
        def __init__(self):
            self.data = {"w": np.ones_like(V)}

        def __getattr__(self, name):
            return self.data[name]

    row = Row()
    close(tg.jit(lambda x: x * row.w)(V), V)


def test_what_is_made_of_a_number_is_no_view_of_it():
    def function(a):
        whole = a.reshape(-1)
        whole += 1
        return a * a + whole[0]

    jitted = tg.jit(function)
    for _ in range(3):
        close(jitted(np.float64(2.0)), np.float64(7.0))


def test_a_number_and_a_boolean_make_a_number():
    jitted = tg.jit(lambda n: n - True)
    for n in (5, 2**62, 0):
        assert jitted(n) == n - 1 and type(jitted(n)) is int
