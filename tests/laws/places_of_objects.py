"""Places that objects read which answer code of C by methods in Python; see ``places``."""

# ruff: noqa: RUF012, UP031, E741

from __future__ import annotations

import dataclasses
import enum
import functools
import operator

import numpy as np
from places import Box, place
from places_in_c import PLACES

__all__ = ["PLACES"]


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
