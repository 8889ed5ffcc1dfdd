"""Whatever of a callable is written in Python runs as its image, however it is reached."""

# ruff: noqa: C400, C416  # comprehensions are the matter here

# what is given to functions of C's is the matter here

import functools
import itertools
import operator
import sys
import types

import pytest
from gates import Full, Watching

from tapegrad.tape.python import Imaging, original

GATES = pytest.mark.parametrize("gate", [Imaging, Full], ids=lambda gate: gate.__name__)

RAN = []


def ran(value=1):
    """Note whether the function that calls this runs as an image."""
    code = sys._getframe(1).f_code
    RAN.append(original(code) is not code)
    return value


def runs_as_images(gate, function, *args):
    RAN.clear()
    result = gate().run(function, *args)
    assert RAN and all(RAN), RAN
    return result


def plain(x=1):
    return ran(x)


class A:
    def __init__(self, x=1):
        self.x = ran(x)

    def method(self, y=1):
        return ran(self.x + y)

    @classmethod
    def kind(cls):
        return ran(cls.__name__)

    @staticmethod
    def static(x):
        return ran(x)

    def __call__(self, x):
        return ran(x)

    part = functools.partialmethod(method, 5)


class B(A):
    def __new__(cls, *args):
        ran()
        return super().__new__(cls)

    def __init__(self, x=1):
        super().__init__(x + 1)
        ran()

    def method(self, y=1):
        return ran(super().method(y) * 10)


class Meta(type):
    def __call__(cls, *args):
        ran()
        return super().__call__(*args)


class C(metaclass=Meta):
    pass


class Fields(list):
    def __init__(self, *values):
        super().__init__(ran(values))


module = types.SimpleNamespace(plain=plain)
made = A()


def wrapper(f):
    @functools.wraps(f)
    def inner(*args, **kwargs):
        ran()
        return f(*args, **kwargs)

    return inner


class Decorator:
    def __init__(self, f):
        functools.update_wrapper(self, f)
        self.f = f

    def __call__(self, *args):
        ran()
        return self.f(*args)


wrapped = wrapper(plain)
decorated = Decorator(plain)


@functools.singledispatch
def kind(x):
    return ran("other")


@kind.register
def _(x: int):
    return ran("int")


CALLS = {
    "function": (lambda: plain(), 1),
    "attribute of a module": (lambda: module.plain(), 1),
    "method": (lambda: made.method(2), 3),
    "bound method": (lambda: (m := made.method)(2) and m(3), 4),
    "class method": (lambda: A.kind(), "A"),
    "static method": (lambda: A.static(4), 4),
    "static method of the class's dict": (lambda: vars(A)["static"](4), 4),
    "unbound method": (lambda: A.method(made, 4), 5),
    "instance": (lambda: A(3).x, 3),
    "instance by new and init": (lambda: B(3).x, 4),
    "super": (lambda: B(1).method(1), 30),
    "metaclass": (lambda: type(C()) is C, True),
    "subclass of list": (lambda: Fields(1, 2), [1, 2]),
    "callable object": (lambda: made(7), 7),
    "partial": (lambda: functools.partial(plain, 6)(), 6),
    "partial of a method": (lambda: functools.partial(made.method, y=6)(), 7),
    "partial of a class": (lambda: functools.partial(A, 6)().x, 6),
    "partial of a partial": (lambda: functools.partial(functools.partial(plain), 3)(), 3),
    "partial method": (lambda: made.part(), 6),
    "wrapped": (lambda: wrapped(3), 3),
    "decorator object": (lambda: decorated(3), 3),
    "single dispatch": (lambda: kind(1) + kind("s"), "intother"),
    "method type": (lambda: types.MethodType(plain, 4)(), 4),
    "star arguments": (lambda: made.method(*[2]), 3),
    "keyword arguments": (lambda: made.method(y=2), 3),
    "star arguments of a class": (lambda: A(*[4]).x, 4),
    "map": (lambda: list(map(plain, [1, 2])), [1, 2]),
    "map of a class": (lambda: [a.x for a in map(A, [1, 2])], [1, 2]),
    "map of a method": (lambda: list(map(made.method, [1, 2])), [2, 3]),
    "map of an object": (lambda: list(map(made, [1, 2])), [1, 2]),
    "map of a partial": (lambda: list(map(functools.partial(plain), [1, 2])), [1, 2]),
    "filter": (lambda: list(filter(plain, [0, 2])), [2]),
    "sorted": (lambda: sorted([2, 1], key=plain), [1, 2]),
    "list.sort": (lambda: (xs := [2, 1]).sort(key=plain) or xs, [1, 2]),
    "min": (lambda: min([2, 1], key=plain), 1),
    "max of values": (lambda: max(2, 1, key=lambda x: ran(-x)), 1),
    "reduce": (lambda: functools.reduce(lambda a, b: ran(a * b), [1, 2, 3]), 6),
    "cmp_to_key": (
        lambda: sorted([2, 1], key=functools.cmp_to_key(lambda a, b: ran(a - b))),
        [1, 2],
    ),
    "iter with a sentinel": (lambda: list(iter(lambda: ran(0), 0)), []),
    "accumulate": (lambda: list(itertools.accumulate([1, 2], lambda a, b: ran(a + b))), [1, 3]),
    "accumulate by keyword": (
        lambda: list(itertools.accumulate([1, 2], func=lambda a, b: ran(a + b))),
        [1, 3],
    ),
    "groupby": (lambda: [k for k, _ in itertools.groupby([1, 1, 2], plain)], [1, 2]),
    "starmap": (lambda: list(itertools.starmap(lambda a, b: ran(a + b), [(1, 2)])), [3]),
    "takewhile": (lambda: list(itertools.takewhile(plain, [1, 0])), [1]),
    "generator": (lambda: [x for x in (lambda: (yield ran(1)))()], [1]),
    "comprehension": (lambda: [ran(x) for x in [1]], [1]),
    "generator expression": (lambda: list(ran(x) for x in [1]), [1]),
    "recursion": (lambda: (f := lambda n: n and ran(f(n - 1) + 1))(3), 3),
    "class body": (lambda: type(_class_body()).x, 5),
}


def _class_body():
    class Body:
        x = ran(5)

    return Body()


@GATES
@pytest.mark.parametrize("name", CALLS)
def test_python_runs_as_images(name, gate):
    function, expected = CALLS[name]
    assert runs_as_images(gate, function) == expected


OPERATORS = {
    "binary": lambda v: v + 1,
    "reflected": lambda v: 1 - v,
    "in place": lambda v: operator.iadd(v, 1),
    "negative": lambda v: -v,
    "comparison": lambda v: v < 1,
    "equality": lambda v: v == 1,
    "item": lambda v: v[0],
    "membership": lambda v: 1 in v,
    "iteration": lambda v: [x for x in v],
    "star": lambda v: [*v],
    "unpacking": lambda v: (lambda *a: a)(*v),
    "property": lambda v: v.prop,
    "unknown attribute": lambda v: v.unknown,
    "store": lambda v: setattr(v, "prop", 1),
}
ANYWHERE = {
    "in place statement": lambda v: exec_in_place(v),
    "with": lambda v: enter(v),
    "format": lambda v: f"{v:x}",
    "repr": lambda v: f"{v!r}",
    "len": len,
    "float": lambda v: float(v),
    "int": lambda v: int(v),
    "abs": lambda v: abs(v),
    "bool": lambda v: bool(v),
    "str": lambda v: str(v),
    "hash": lambda v: hash(v),
    "round": lambda v: round(v),
    "reversed": lambda v: list(reversed(v)),
    "index": lambda v: operator.index(v),
    "next": lambda v: next(v),
    "list": lambda v: list(v),
    "sum": lambda v: sum(v),
    "operator.add": lambda v: operator.add(v, 1),
    "operator.getitem": lambda v: operator.getitem(v, 1),
    "print": lambda v: print(v),
    "store item": lambda v: store(v),
    "delete item": lambda v: delete(v),
    "store attribute": lambda v: store_attribute(v),
}


def exec_in_place(v):
    w = 2
    v += w
    v -= w
    return v


def enter(v):
    with v:
        return 1


def store(v):
    v[0] = 1


def delete(v):
    del v[0]


def store_attribute(v):
    v.prop = 3


def _special(name):
    results = {
        "__iter__": iter((1, 2)),
        "__reversed__": iter((1,)),
        "__format__": "f",
        "__repr__": "r",
        "__bool__": True,
        "__contains__": True,
        "__float__": 1.0,
        "__exit__": None,
    }

    def method(self, *args):
        return ran(self if name in ("__iadd__", "__isub__") else results.get(name, 1))

    return method


NAMES = (
    "add rsub iadd isub neg lt eq getitem setitem delitem contains iter reversed format repr bool len "
    "float int abs hash round index next enter exit getattr"
)
Everything = type("Everything", (), {f"__{n}__": _special(f"__{n}__") for n in NAMES.split()})
Everything.prop = property(lambda self: ran(2), lambda self, value: ran())


@pytest.mark.parametrize("name", OPERATORS)
def test_special_methods_run_as_images_where_operators_are_seen(name):
    runs_as_images(Full, OPERATORS[name], Everything())
    runs_as_images(Watching, OPERATORS[name], Everything())


@pytest.mark.parametrize("name", ANYWHERE)
def test_special_methods_run_as_images_in_light_images_too(name):
    runs_as_images(Full, ANYWHERE[name], Everything())
    runs_as_images(Imaging, ANYWHERE[name], Everything())


def test_truth_runs_as_an_image_in_full_images():
    for function in (
        lambda v: 1 if v else 2,
        lambda v: not v,
        lambda v: v and 1,
        lambda v: v or 1,
        lambda v: [1 for _ in [1] if v],
    ):
        runs_as_images(Full, function, Everything())


@GATES
def test_caches_are_called_as_they_are_unless_the_gate_says_otherwise(gate):
    calls = []

    @functools.lru_cache
    def f(x):
        code = sys._getframe().f_code
        calls.append(original(code) is not code)
        return x

    class Uncached(gate):
        def cached(self, function):
            return self.callee(function.__wrapped__)

    class Shown(Uncached):
        def cached(self, function):
            return None

        def call_with(self, function, args, kwargs):
            if type(function) is type(f) and args[-1] > 1:
                return super().call_with(function.__wrapped__, args, kwargs)
            return super().call_with(function, args, kwargs)

    class Holder:
        method = functools.lru_cache(lambda self, x: ran(x))

    assert gate().run(lambda: f(1) + f(1)) == 2
    assert calls == [False] and f.cache_info().hits == 1
    assert Uncached().run(lambda: f(1) + f(1)) == 2
    assert calls == [False, True, True] and f.cache_info().hits == 1
    assert Shown().run(lambda: f(1) + f(2)) == 3
    assert calls == [False, True, True, True] and f.cache_info().hits == 2
    RAN.clear()
    assert Shown().run(lambda: Holder().method(1) + Holder().method(2)) == 3
    assert RAN == [False, True]


@GATES
def test_arguments_are_evaluated_once_and_in_order(gate):
    order = []

    def note(x):
        order.append(x)
        return x

    def f():
        note(print)(note(""), *note([]), end=note(""), **note({}))
        note([1, 2])[note(0)] = note(3)
        note(A)(note(1)).x = note(2)
        return note(2) < note(3) < note(4)

    f()
    expected, order = order, []
    gate().run(f)
    assert list(map(repr, order)) == list(map(repr, expected))


@GATES
def test_a_gate_may_answer_with_something_else_to_call(gate):
    class Doubled(gate):
        def callee(self, function):
            return (lambda x: 2 * x) if function is plain else super().callee(function)

    assert Doubled().run(lambda: plain(4) + made.method(plain(1))) == 11


@GATES
def test_a_gate_may_take_what_calls_return(gate):
    class Taken(gate):
        def take(self, value):
            return value + 1 if type(value) is int else value

    assert Taken().run(lambda: abs(-1) + plain(1)) == 5


def test_watching_ends_with_unwatch():
    seen = []

    class Adds(Imaging):
        def binary(self, a, b, symbol):
            seen.append(symbol)
            return super().binary(a, b, symbol)

    gate = Adds()

    def f(x):
        x = x + 1
        gate.watch()
        x = x * 2
        x += len([1])
        gate.unwatch()
        return x - 1

    assert gate.run(f, 1) == 4
    assert seen[-3:] == ["*", "+=", "-"]  # what was familiar is asked about once more
    seen.clear()
    assert gate.run(lambda x: x * 2 - 1, 1) == 1
    assert seen == []


def test_what_the_run_makes_is_told():
    class Made(Full):
        def __init__(self):
            self.seen = []

        def made(self, value):
            self.seen.append(value)
            return value

    class Plain:
        pass

    def f():
        a, b, c, d = [1], (2, a_global), {3}, {4: 5}
        e = [x for x in a]
        g = lambda: 0
        h, i = A(2), Plain()
        return a, b, c, d, e, g, h, i

    gate = Made()
    made = gate.run(f)
    assert all(any(value is seen for seen in gate.seen) for value in made)
    seen = [type(value) for value in gate.seen]
    assert seen.count(A) == seen.count(Plain) == 1


a_global = 1
