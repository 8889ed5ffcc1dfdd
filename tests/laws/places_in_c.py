"""Places that code of C reads for a function, and containers that only it knows; see ``places``."""

# ruff: noqa: E741

from __future__ import annotations

import array
import collections
import decimal
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
