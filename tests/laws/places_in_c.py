"""Places that code of C's reads for a function, and kinds of objects that only it knows; see ``places``."""

# ruff: noqa: RUF012, UP031, E741

from __future__ import annotations

import array
import collections
import dataclasses
import decimal
import enum
import functools
import operator
import types

import numpy as np
from places import Box, place
from places_beyond import PLACES

__all__ = ["PLACES"]

Pair = collections.namedtuple("Pair", "a b")


class Layers(list):
    """A list of the user's."""


class Names(dict):
    """A dict of the user's."""


class Bag(set):
    """A set of the user's."""


@place
def namedtuple_item():
    p = Pair(np.ones(3), 2.0)
    return (lambda x: x * p[0]), lambda k: p.a.__setitem__(0, 5.0 + k)


@place
def namedtuple_field():
    p = Pair(np.ones(3), 2.0)
    return (lambda x: x * p.a * p.b), lambda k: p.a.__setitem__(0, 5.0 + k)


@place
def namedtuple_unpack():
    p = Pair(np.ones(3), 2.0)

    def f(x):
        a, b = p
        return x * a * b

    return f, lambda k: p.a.__setitem__(0, 5.0 + k)


@place
def namedtuple_to_c():
    p = Pair(np.ones(3), np.ones(3))
    return (lambda x: x * np.stack(p)[0]), lambda k: p.a.__setitem__(0, 5.0 + k)


@place
def namedtuple_sum():
    p = Pair(np.ones(3), np.ones(3))
    return (lambda x: x * sum(p)), lambda k: p.a.__setitem__(0, 5.0 + k)


@place
def list_sub_len():
    l = Layers([1.0])
    return (lambda x: x * len(l)), lambda k: l.append(1.0)


@place
def list_sub_truth():
    l = Layers()
    return (lambda x: x * (2.0 if l else 1.0)), lambda k: l.append(1.0)


@place
def list_sub_in():
    l = Layers()
    return (lambda x: x * (2.0 if 1.0 in l else 1.0)), lambda k: l.append(1.0)


@place
def list_sub_eq():
    l = Layers([1])
    return (lambda x: x * (2.0 if l == [1] else 1.0)), lambda k: l.append(1.0)


@place
def list_sub_item():
    l = Layers([1.0])
    return (lambda x: x * l[-1]), lambda k: l.append(2.0 + k)


@place
def list_sub_iter():
    l = Layers([1.0])
    return (lambda x: x * sum(v for v in l)), lambda k: l.append(2.0 + k)


@place
def list_sub_c():
    l = Layers([np.ones(3)])
    return (lambda x: x * np.concatenate(l)[0]), lambda k: l[0].__setitem__(0, 3.0 + k)


@place
def list_sub_max():
    l = Layers([1.0])
    return (lambda x: x * max(l)), lambda k: l.append(2.0 + k)


@place
def list_sub_add():
    l = Layers([1.0])
    return (lambda x: x * len(l + [1])), lambda k: l.append(2.0 + k)


@place
def list_sub_star():
    l = Layers([1.0])
    g = lambda *a: sum(a)
    return (lambda x: x * g(*l)), lambda k: l.append(2.0 + k)


@place
def list_sub_self_len():
    class L(list):
        def f(self, x):
            return x * len(self)

    l = L([1])
    return (lambda x: l.f(x)), lambda k: l.append(1)


@place
def dict_sub_get():
    d = Names(a=1.0)
    return (lambda x: x * d.get("b", 1.0)), lambda k: d.__setitem__("b", 3.0 + k)


@place
def dict_sub_item():
    d = Names(a=1.0)
    return (lambda x: x * d["a"]), lambda k: d.__setitem__("a", 3.0 + k)


@place
def dict_sub_in():
    d = Names(a=1.0)
    return (lambda x: x * ("b" in d)), lambda k: d.__setitem__("b", 3.0 + k)


@place
def dict_sub_star():
    d = Names(a=1.0)
    g = lambda **k: sum(k.values())
    return (lambda x: x * g(**d)), lambda k: d.__setitem__("b", 3.0 + k)


@place
def defaultdict_item():
    d = collections.defaultdict(float, a=1.0)
    return (lambda x: x * d["a"]), lambda k: d.__setitem__("a", 3.0 + k)


@place
def counter():
    d = collections.Counter("aab")
    return (lambda x: x * d["a"]), lambda k: d.update("a")


@place
def set_sub_len():
    b = Bag({1})
    return (lambda x: x * len(b)), lambda k: b.add(k + 5)


@place
def module_dict():
    m = types.ModuleType("m")
    m.rate = 1.0
    return (lambda x: x * m.__dict__["rate"]), lambda k: setattr(m, "rate", 2.0 + k)


@place
def module_vars():
    m = types.ModuleType("m")
    m.rate = 1.0
    return (lambda x: x * vars(m)["rate"]), lambda k: setattr(m, "rate", 2.0 + k)


@place
def class_dict():
    class C:
        rate = 1.0

    return (lambda x: x * C.__dict__["rate"]), lambda k: setattr(C, "rate", 2.0 + k)


@place
def class_vars():
    class C:
        rate = 1.0

    return (lambda x: x * vars(C)["rate"]), lambda k: setattr(C, "rate", 2.0 + k)


@place
def dir_of():
    b = Box()
    return (lambda x: x * len(dir(b))), lambda k: setattr(b, f"n{k}", 1)


@place
def super_data():
    class A:
        rate = 1.0

    class B(A):
        rate = 7.0

        def f(self, x):
            return x * super().rate

    b = B()
    return (lambda x: b.f(x)), lambda k: setattr(A, "rate", 2.0 + k)


@place
def super_method():
    class A:
        def g(self, x):
            return x * 1.0

    class B(A):
        def g(self, x):
            return super().g(x)

    b = B()
    return (lambda x: b.g(x)), lambda k: setattr(A, "g", lambda self, x: x * (2.0 + k))


@place
def super_class_method():
    class A:
        @classmethod
        def g(cls, x):
            return x * 1.0

    class B(A):
        @classmethod
        def g(cls, x):
            return super().g(x)

    return (lambda x: B.g(x)), lambda k: setattr(A, "g", classmethod(lambda self, x: x * (2.0 + k)))


@place
def ids():
    b = Box(o=Box(), t={})
    b.t[id(b.o)] = 2.0

    def ch(k):
        b.o = Box()

    return (lambda x: x * b.t.get(id(b.o), 5.0)), ch


@place
def hashes():
    b = Box(o=Box(), t=set())
    b.t.add(hash(b.o))
    keep = []

    def ch(k):
        keep.append(b.o)
        b.o = Box()

    return (lambda x: x * (2.0 if hash(b.o) in b.t else 1.0)), ch


@place
def is_several():
    s = Box(a=np.ones(3), b=np.ones(3), c=np.ones(3))

    def f(x):
        return x * (2.0 if s.a is s.b else 1.0) + (3.0 if s.a is s.c else 0.0)

    return f, lambda k: setattr(s, "c", s.a if k % 2 == 0 else np.ones(3))


@place
def is_several_obj():
    s = Box(a=Box(), b=Box(), c=Box())

    def f(x):
        return x * (2.0 if s.a is s.b else 1.0) + (3.0 if s.a is s.c else 0.0)

    return f, lambda k: setattr(s, "c", s.a if k % 2 == 0 else Box())


@place
def alias_objs():
    s = Box(a=Box(r=1.0), b=None)
    s.b = s.a

    def f(x):
        return x * s.a.r + s.b.r

    return f, lambda k: setattr(s, "b", Box(r=5.0 + k))


@place
def alias_back():
    s = Box(a=Box(r=1.0), b=Box(r=2.0))

    def f(x):
        return x * s.a.r + s.b.r

    return f, lambda k: setattr(s, "b", s.a)


@place
def decimal_ctx():
    def f(x):
        return x * float(decimal.Decimal(1) / decimal.Decimal(3))

    return f, lambda k: setattr(decimal.getcontext(), "prec", 3 + k)


@place
def set_order():
    b = Box(s={8, 0})

    def f(x):
        t = 0.0
        for v in b.s:
            t = t * 10 + v
        return x * t

    return f, lambda k: setattr(b, "s", ({0, 8} if k % 2 else (lambda s: (s.add(0), s)[1])({8})))


@place
def arr_in_place_shape():
    a = np.arange(6.0).reshape(2, 3)
    s = Box(a=a)

    def f(x):
        return x * np.sum(s.a[0])

    def ch(k):
        s.a = s.a.reshape(3, 2) if k % 2 == 0 else s.a.reshape(2, 3)

    return f, ch


@place
def pyarray_np():
    a = array.array("d", [1.0, 2.0, 3.0])
    return (lambda x: x * np.asarray(a)), lambda k: a.__setitem__(0, 3.0 + k)


@place
def obj_array_protocol():
    class Q:
        def __init__(s):
            s.v = np.ones(3)

        def __array__(s, dtype=None, copy=None):
            return s.v

    q = Q()
    return (lambda x: x * np.asarray(q)), lambda k: setattr(q, "v", np.ones(3) * (2 + k))


@place
def obj_len_np():
    class Q:
        v = [1.0, 2.0, 3.0]

        def __len__(s):
            return len(s.v)

        def __getitem__(s, i):
            return s.v[i]

    q = Q()
    return (lambda x: x * np.array(q)), lambda k: Q.v.__setitem__(0, 5.0 + k)


@place
def enum_dict():
    class M(enum.Enum):
        A = 1
        B = 2

    s = Box(m={M.A: 1.0, M.B: 2.0}, k=M.A)
    return (lambda x: x * s.m[s.k]), lambda k: setattr(s, "k", (M.A, M.B)[(k + 1) % 2])


@place
def str_of_obj():
    class S:
        n = 1

        def __str__(s):
            return "a" * s.n

    s = S()
    return (lambda x: x * len(f"{s}") + len("%s" % s) + len(f"{s}")), lambda k: setattr(
        s, "n", 3 + k
    )


@place
def sorted_objs():
    class S:
        def __init__(s, v):
            s.v = v

        def __lt__(s, o):
            return s.v < o.v

    l = [S(1.0), S(2.0)]
    return (lambda x: x * sorted(l)[0].v), lambda k: setattr(l[0], "v", 3.0 + k)


@place
def eq_objs_in_list():
    class S:
        def __init__(s, v):
            s.v = v

        def __eq__(s, o):
            return s.v == o

        __hash__ = None

    l = [S(1.0)]
    return (lambda x: x * (2.0 if 1.0 in l else 3.0)), lambda k: setattr(l[0], "v", 3.0 + k)


@place
def count_objs():
    class S:
        def __init__(s, v):
            s.v = v

        def __eq__(s, o):
            return s.v == o

        __hash__ = None

    l = [S(1.0)]
    return (lambda x: x * (1 + l.count(1.0))), lambda k: setattr(l[0], "v", 3.0 + k)


@place
def index_obj():
    class S:
        v = 0

        def __index__(s):
            return s.v

    s = S()
    l = [1.0, 2.0, 3.0]
    return (lambda x: x * l[s]), lambda k: setattr(s, "v", 1 + k % 2)


@place
def key_obj():
    class S:
        v = 1

        def __hash__(s):
            return s.v

        def __eq__(s, o):
            return s.v == o

    s = S()
    d = {1: 1.0, 2: 2.0}
    return (lambda x: x * d[s]), lambda k: setattr(s, "v", 2 - k % 2)


@place
def own_dict_key_obj():
    class S:
        v = 1

        def __hash__(s):
            return s.v

        def __eq__(s, o):
            return s.v == o

    s = S()
    return (lambda x: x * {1: 1.0, 2: 2.0}[s]), lambda k: setattr(s, "v", 2 - k % 2)


@place
def float_of_obj():
    class S:
        v = 1.0

        def __float__(s):
            return s.v

    s = S()
    return (lambda x: x * float(s) + np.float64(s)), lambda k: setattr(s, "v", 2.0 + k)


@place
def range_of_obj():
    class S:
        v = 1

        def __index__(s):
            return s.v

    s = S()
    return (lambda x: x * len(range(s))), lambda k: setattr(s, "v", 2 + k)


@place
def sum_user_add():
    class S:
        v = 1.0

        def __radd__(s, o):
            return o + s.v

    s = S()
    return (lambda x: x * sum([s, s])), lambda k: setattr(S, "v", 2.0 + k)


@place
def generator_fn():
    r = [1.0]

    def g():
        for i in range(2):
            yield r[0] * i

    return (lambda x: x * sum(g())), lambda k: r.__setitem__(0, 2.0 + k)


@place
def map_c():
    l = [Box(w=1.0), Box(w=2.0)]
    return (lambda x: x * sum(map(operator.attrgetter("w"), l))), lambda k: setattr(
        l[0], "w", 3.0 + k
    )


@place
def key_c():
    l = [Box(w=1.0, u=5.0), Box(w=2.0, u=7.0)]
    return (lambda x: x * sorted(l, key=operator.attrgetter("w"))[0].u), lambda k: setattr(
        l[0], "w", 3.0 * (-1) ** k
    )


@place
def reduce_op():
    class V:
        def __init__(s, v):
            s.v = v

        def __add__(s, o):
            return V(s.v + o.v)

    l = [V(1.0), V(2.0)]
    return (lambda x: x * functools.reduce(operator.add, l).v), lambda k: setattr(
        l[0], "v", 3.0 + k
    )


@place
def in_run_objs():
    r = [1.0]

    class V:
        def __init__(s, v):
            s.v = v

        def __radd__(s, o):
            return o + s.v * r[0]

    return (lambda x: x * sum(V(i) for i in (1.0, 2.0))), lambda k: r.__setitem__(0, 3.0 + k)


@place
def dataclass_eq():

    @dataclasses.dataclass
    class V:
        v: float

    a, b = V(1.0), V(1.0)
    return (lambda x: x * (2.0 if a == b else 1.0)), lambda k: setattr(a, "v", float(k % 2))


@place
def dataclass_in_lists():

    @dataclasses.dataclass
    class V:
        v: float

    l = [V(1.0), V(2.0)]
    return (
        lambda x: x * sum(p.v for p in l) + len(l) + sum(q.v * i for i, q in enumerate(l))
    ), lambda k: setattr(l[0], "v", 3.0 + k)
