"""Small programs, what they read and do outside, and a change that makes their result another."""

import functools
import types

import pytest

SCALE = 2.0
TABLE = {"a": 1, "b": [1, 2, 3]}


def program(*, effects=False):
    """A case: a maker of (function, arguments, change), and whether the function has effects."""

    def keep(make):
        PROGRAMS.append(pytest.param(make, effects, id=make.__name__))
        return make

    return keep


PROGRAMS = []


class Box:
    size = 1

    def __init__(self, **values):
        self.__dict__.update(values)

    def twice(self):
        return self.size * 2

    @property
    def half(self):
        return self.size / 2

    @classmethod
    def sized(cls):
        return cls.size


@program()
def closure():
    w = 3

    def f():
        return w + 1

    def change():
        nonlocal w
        w = 4

    return f, (), change


@program()
def global_name():
    return (lambda: SCALE * 2), (), lambda: globals().__setitem__("SCALE", 3.0)


@program()
def attribute_chain():
    box = Box(inner=Box(size=5))
    return (lambda b: b.inner.size), (box,), lambda: setattr(box.inner, "size", 6)


@program()
def items():
    return (lambda: TABLE["b"][1]), (), lambda: TABLE["b"].__setitem__(1, 9)


@program()
def membership():
    names = ["a", "b"]
    return (lambda n: "c" in n), (names,), lambda: names.append("c")


@program()
def equality():
    values = [1, 2]
    return (lambda v: v == [1, 2]), (values,), lambda: values.append(3)


@program()
def unpacking():
    values = [1, 2]

    def f(v):
        a, b = v
        return a + b

    return f, (values,), lambda: values.__setitem__(1, 7)


@program()
def truth_of_a_list():
    values = []
    return (lambda v: 1 if v else 2), (values,), lambda: values.append(1)


@program()
def truth_in_or():
    values = {}
    return (lambda v: v or 2), (values,), lambda: values.update(a=1)


@program()
def length():
    values = [1]
    return (lambda v: len(v)), (values,), lambda: values.append(1)


@program()
def sum_of_a_list():
    values = [1, 2]
    return (lambda v: sum(v)), (values,), lambda: values.__setitem__(0, 5)


@program()
def loop_over_objects():
    boxes = [Box(size=1), Box(size=2)]

    def f(boxes):
        total = 0
        for box in boxes:
            total += box.size
        return total

    return f, (boxes,), lambda: setattr(boxes[0], "size", 8)


@program()
def items_of_a_dict():
    values = {"x": 1}
    return (lambda v: [k for k, x in v.items() if x]), (values,), lambda: values.update(y=2)


@program()
def comprehension_over_a_set():
    values = {1}
    return (lambda v: {x + 1 for x in v}), (values,), lambda: values.add(5)


@program()
def generator_over_a_list():
    values = [1, 2]
    return (lambda v: max(x * 2 for x in v)), (values,), lambda: values.append(5)


@program()
def partial_of_a_list():
    values = [1, 2]
    p = functools.partial(lambda v, k: v[0] * k, values)
    return (lambda: p(3)), (), lambda: values.__setitem__(0, 4)


@program()
def property_of_an_object():
    box = Box(size=4)
    return (lambda b: b.half), (box,), lambda: setattr(box, "size", 6)


@program()
def method():
    box = Box(size=4)
    return (lambda b: b.twice()), (box,), lambda: setattr(box, "size", 6)


@program()
def method_that_is_replaced():
    box = Box(size=4)
    return (lambda b: b.twice()), (box,), lambda: setattr(box, "twice", lambda: 0)


@program()
def class_attribute_that_is_hidden():
    box = Box()
    return (lambda b: b.size), (box,), lambda: setattr(box, "size", 9)


@program()
def class_attribute_through_a_class_method():
    kind = type("Kind", (Box,), {"size": 3})
    return (lambda k: k.sized()), (kind,), lambda: setattr(kind, "size", 4)


@program()
def attribute_of_a_base():
    base = type("Base", (), {"size": 1})
    derived = type("Derived", (base,), {})
    return (lambda b: b.size), (derived(),), lambda: setattr(base, "size", 2)


@program()
def slots():
    class Slotted:
        __slots__ = ("x",)

    o = Slotted()
    o.x = 1
    return (lambda o: o.x), (o,), lambda: setattr(o, "x", 2)


@program()
def absent_attribute():
    box = Box()
    return (lambda b: getattr(b, "extra", 0)), (box,), lambda: setattr(box, "extra", 1)


@program()
def absent_attribute_that_raises():
    box = Box()

    def f(b):
        try:
            return b.extra
        except AttributeError:
            return 0

    return f, (box,), lambda: setattr(box, "extra", 1)


@program()
def whether_there_is_an_attribute():
    box = Box()
    return (lambda b: hasattr(b, "extra")), (box,), lambda: setattr(box, "extra", 1)


@program()
def absent_global():
    def f():
        try:
            return nobody_knows
        except NameError:
            return 0

    return f, (), lambda: globals().__setitem__("nobody_knows", 1)


@program()
def builtin_that_is_hidden():
    return (lambda: abs(-1)), (), lambda: globals().__setitem__("abs", lambda x: 5)


@program()
def absent_key():
    values = {}

    def f(v):
        try:
            return v["k"]
        except KeyError:
            return 0

    return f, (values,), lambda: values.update(k=1)


@program()
def key_with_default():
    values = {}

    def f(v):
        return types.SimpleNamespace(k=v.get("k", 1)).k

    return f, (values,), lambda: values.update(k=3)


@program()
def class_made_inside():
    def f():
        class Inside:
            rate = SCALE

            def __init__(self):
                self.x = SCALE * self.rate

        return (lambda: Inside().x)()

    return f, (), lambda: globals().__setitem__("SCALE", 7.0)


@program()
def decorator_with_a_flag():
    class Decorated:
        def __init__(self, f):
            self.f, self.negate = f, False

        def __call__(self, x):
            return -self.f(x) if self.negate else self.f(x)

    @Decorated
    def g(x):
        return x + 1

    return (lambda: g(1)), (), lambda: setattr(g, "negate", True)


@program()
def default_argument():
    def g(x=1):
        return x

    return (lambda: g()), (), lambda: setattr(g, "__defaults__", (2,))


@program()
def keyword_default():
    def g(*, x=1):
        return x

    return (lambda: g()), (), lambda: g.__kwdefaults__.update(x=2)


@program()
def wrapped_function():
    n = 1

    def plus(f):
        @functools.wraps(f)
        def inner(*args):
            return f(*args) + n

        return inner

    wrapped = plus(lambda x: x)

    def change():
        nonlocal n
        n = 2

    return (lambda: wrapped(1)), (), change


@program()
def operator_in_python():
    class Number:
        def __init__(self, scale):
            self.scale = scale

        def __mul__(self, other):
            return self.scale * other

    number = Number(2)
    return (lambda n: n * 3), (number,), lambda: setattr(number, "scale", 4)


@program()
def context_in_python():
    class Door:
        open = False

        def __enter__(self):
            return self.open

        def __exit__(self, *error):
            pass

    def f(d):
        with d as is_open:
            return is_open

    door = Door()
    return f, (door,), lambda: setattr(door, "open", True)


@program()
def pattern_of_a_mapping():
    values = {"kind": 1}

    def f(v):
        match v:
            case {"kind": 2}:
                return "two"
        return "other"

    return f, (values,), lambda: values.update(kind=2)


@program()
def pattern_of_a_class():
    class P:
        def __init__(self, x):
            self.x = x

    def f(p):
        match p:
            case P(x=1):
                return "one"
        return "other"

    p = P(1)
    return f, (p,), lambda: setattr(p, "x", 2)


@program()
def formatting():
    values = [1]
    return (lambda v: f"{v}"), (values,), lambda: values.append(2)


@program()
def star_arguments():
    values = [1, 2]
    return (lambda v: max(*v)), (values,), lambda: values.append(5)


@program()
def double_star_arguments():
    values = {"a": 1}
    return (lambda v: dict(**v)), (values,), lambda: values.update(b=5)


@program()
def slices_of_a_list():
    values = [1, 2, 3]
    return (lambda v: v[1:]), (values,), lambda: values.append(5)


@program(effects=True)
def global_store():
    def f():
        global TABLE_2
        TABLE_2 = len(TABLE)

    return f, (), lambda: TABLE.update(c=1)


@program(effects=True)
def attribute_store():
    box = Box(size=1)

    def f(b):
        b.size += 1
        del b.size

    return f, (box,), lambda: None


@program(effects=True)
def item_store():
    values = [1, 2]

    def f(v):
        v[0] *= 3
        del v[0]
        v.append(4)
        mine = []
        mine.append(1)
        mine[0] = 2

    return f, (values,), lambda: None


@program(effects=True)
def variable_store():
    n = 0

    def f():
        nonlocal n
        n += 1

    return f, (), lambda: None
