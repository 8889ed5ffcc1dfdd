"""Classes that a recorded function has made, and changes."""

import pytest
from agreeing import X, check
from numpy.testing import assert_allclose

import tapegrad as tg

N = 100

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


class Base:
    k = 3.0

    def m(self):
        return self.k


@program
def of_class_counters(x):

    class C:
        n = 0
        tot = 0.0

        def __init__(s):
            C.n += 1

        def add(s, v):
            C.tot = C.tot + v * C.n

    c = C()
    C()
    for i in range(N):
        c.add(x[i % 6])
    return C.tot


@program
def of_class_inherit(x):

    class B:
        s = 2.0

    class C(B):
        def get(self):
            return self.s

    c = C()
    r = c.get() * x[0]
    B.s = 5.0
    r = r + c.get() * x[1]
    C.s = x[2]
    r = r + c.get()
    c.s = x[3] * 2
    return r + c.get()


@program
def of_class_outside_base(x):

    class C(Base):
        pass

    r = C().m() * x[0]
    C.k = x[1]
    r = r + C().m()
    del C.k
    return r + C().m() * x[2]


@program
def of_dataclass(x):
    from dataclasses import dataclass

    @dataclass
    class P:
        a: float = 1.0
        b: float = 2.0

    P.b = 5.0
    p = P(x[0])
    return p.a * p.b * P.b


@program
def of_type(x):

    @property
    def q(self):
        return self.v * 2

    K = type("K", (), {"q": q})
    k = K()
    k.v = x[0]
    r = k.q
    K.z = x[1]
    return r + k.z + K.z


@program
def of_slots_setattr(x):

    class S:
        __slots__ = ("v",)
        c = 0.0

        def __setattr__(s, n, v):
            object.__setattr__(s, n, v * 2)
            S.c = S.c + 1

    s = S()
    s.v = x[0]
    s.v = s.v * x[1]
    return s.v * S.c


@program
def of_meta(x):

    class M(type):
        def __setattr__(c, n, v):
            super().__setattr__(n, v * 2)

    class C(metaclass=M):
        z = 1.0

    C.z = x[0]
    return C.z * x[1]


@program
def of_initsubclass(x):

    class C:
        reg = []  # noqa: RUF012

        def __init_subclass__(c, **k):
            C.reg.append(c)
            c.w = x[1]

    class D(C):
        pass

    class E(C):
        w = 1.0

    return sum(c.w for c in C.reg) * x[0]


@program
def of_class_attr(x):

    class Sums:
        total = 0.0

        def add(self, y):
            type(self).total = type(self).total + y

    s = Sums()
    for i in range(3):
        s.add(x[i])
    return Sums.total * x[0]


@program
def of_class_attr_set(x):

    class Sums:
        pass

    Sums.total = x[0] * 2

    def get():
        return Sums.total

    r = get()
    Sums.total = x[1]
    return r * get()


@program
def of_class_attr_body(x):

    class K:
        scale = float(x[2])

        @classmethod
        def of(cls, y):
            return cls.scale * y

    K.scale = K.scale + x[1]
    return K.of(x[0])


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_those_of_the_program(function):
    check(function)


def test_what_the_base_of_such_a_class_holds_is_read_anew(monkeypatch):
    compiled = tg.jit(of_class_outside_base)
    assert_allclose(compiled(X), of_class_outside_base(X))
    monkeypatch.setattr(Base, "k", 7.0)
    assert_allclose(compiled(X), of_class_outside_base(X))
