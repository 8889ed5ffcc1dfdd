"""Loops under jit beside dicts, generators of random numbers, and lists that go to C."""

import random
from collections import ChainMap
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from agreeing import check

N = 100

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


class Box:
    pass


@program
def with_dict_in_closure(x):
    d = {"a": x[0]}
    t = 0.0

    def get():
        return d["a"]

    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + get()
    return t


@program
def with_list_in_tuple(x):
    xs = [x[0]]
    t = 0.0
    c = (xs, 1)
    for _i in range(N):
        xs[0] = xs[0] * 0.9 + x[1]
        t = t + c[0][0]
    return t


@program
def with_list_of_lists(x):
    xs = [[x[0]], [x[1]]]
    t = 0.0
    r = xs[0]
    for _i in range(N):
        r[0] = r[0] * 0.9 + x[1]
        t = t + xs[0][0]
    return t


@program
def with_list_of_lists_2(x):
    xs = [[x[0]], [x[1]]]
    t = 0.0
    r = xs[0]
    for _i in range(N):
        xs[0][0] = xs[0][0] * 0.9 + x[1]
        t = t + r[0]
    return t


@program
def with_list_of_lists_3(x):
    xs = [[x[0]], [x[1]]]
    r = xs[0]
    for _i in range(N):
        xs[0][0] = xs[0][0] * 0.9 + x[1]
    return r[0]


@program
def with_own_dict(x, d=None):
    if d is None:
        d = [0.0]
    t = 0.0
    for _i in range(N):
        d2 = {"a": t}
        d2["a"] = d2["a"] + x[0]
        t = d2["a"]
    return t


@program
def with_bound_method_get(x):
    d = {"a": x[0]}
    t = 0.0
    f = d.get
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + f("a")
    return t


@program
def with_bound_method_setitem(x):
    d = {"a": x[0]}
    t = 0.0
    f = d.__setitem__
    for _i in range(N):
        f("a", d["a"] * 0.9 + x[1])
        t = t + d["a"]
    return t


@program
def with_mapping_proxy(x):
    d = {"a": x[0]}
    t = 0.0
    p = MappingProxyType(d)
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + p["a"]
    return t


@program
def with_simple_namespace(x):
    s = SimpleNamespace(a=x[0])
    t = 0.0
    d = s.__dict__
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + s.a
    return t


@program
def with_chainmap(x):
    d = {"a": x[0]}
    t = 0.0
    p = ChainMap(d)
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + p["a"]
    return t


@program
def with_partial_holds(x):
    from functools import partial

    d = {"a": x[0]}
    t = 0.0
    p = partial(lambda q: q["a"], d)
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + p()
    return t


@program
def with_default_holds(x):
    d = {"a": x[0]}
    t = 0.0

    def p(q=d):
        return q["a"]

    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + p()
    return t


@program
def with_default_holds_arr(x):
    w = np.zeros(6)
    t = 0.0
    p = lambda q=w: q[2]
    for _i in range(N):
        w[2] = w[2] * 0.9 + x[1]
        t = t + p()
    return t


@program
def with_attr_holds_view(x):
    w = np.zeros(6)
    t = 0.0
    o = Box()
    o.v = w[2:4]
    for _i in range(N):
        w[2] = w[2] * 0.9 + x[1]
        t = t + o.v[0]
    return t


@program
def with_array_bound_method(x):
    w = np.zeros(6)
    t = 0.0
    s = w.sum
    for _i in range(N):
        w[2] = w[2] * 0.9 + x[1]
        t = t + s()
    return t


@program
def with_bound_append(x):
    xs = []
    f = xs.append
    g = lambda v: xs.append(v)
    for i in range(N):
        f(x[i % 6] * i)
        g(x[0])
    return sum(xs) * x[1]


@program
def with_alias_append_in_trip(x):
    xs = []
    t = 0.0
    for i in range(N):
        ys = xs
        ys.append(x[i % 6] * i)
        t = t + 1
    return sum(xs) * x[1] + len(ys)


@program
def with_list_grows_by(x):
    xs = [x[0]]
    for i in range(N):
        xs = xs + [x[i % 6]]
    return sum(xs) * x[1]


@program
def with_set(x):
    s = set()
    for i in range(N):
        s.add(i % 7)
    return len(s) * x[1]


@program
def with_alias(x):
    t = 0.0
    w = np.zeros(100)
    v = w
    for i in range(100):
        w[i] = t
        t = t + x[i % 6] * v[i] + x[0]
    return t + np.sum(v)


@program
def with_dict_view(x):
    d = {"a": x[0]}
    dv = d.values()
    for _i in range(100):
        d["a"] = d["a"] * 0.9 + x[1]
    return sum(dv)


@program
def with_vars_dict(x):

    class Box:
        pass

    o = Box()
    o.a = x[0]
    d = vars(o)
    for _i in range(100):
        d["a"] = d["a"] * 0.9 + x[1]
    return o.a


@program
def with_memoryview(x):
    w = np.zeros(100)
    m = memoryview(w)
    t = 0.0
    for i in range(1, 100):
        w[i] = w[i - 1] * 0.5 + 1.0
        t = t + m[i] * x[0]
    return t


@program
def with_generator_in_trips(x):
    rng = np.random.default_rng(0)
    t = 0.0
    for _i in range(100):
        t = t + x[0] * rng.normal()
    return t


@program
def with_apply_along(x):

    def g(row):
        out = []
        for i in range(100):
            out.append(row[0] * i)
        return out

    return np.sum(np.apply_along_axis(g, 0, np.stack([x, x])))


@program
def with_map_lists(x):

    def g(v):
        out = []
        for i in range(100):
            out.append(v * i)
        return out

    return sum(sum(r) for r in map(g, [x[0], x[1]]))


@program
def with_alias_of_list(x):
    [x[0]]
    out = []
    o2 = out
    for i in range(100):
        out.append(x[i % 6] * i)
    return sum(o2) + len(o2) * x[0]


@program
def with_alias_of_dict(x):
    d = {}
    e = d
    for i in range(100):
        d["t"] = x[i % 6] * i
    return e["t"]


@program
def with_views(x):
    w = np.zeros(100)
    v = w[10:60]
    q = w.reshape(10, 10)
    for i in range(100):
        w[i] = x[i % 6] ** 2
    return np.sum(v) * q[3, 4]


@program
def with_views_read_inside(x):
    w = np.zeros(100)
    v = w[10:60]
    t = 0.0
    for i in range(100):
        w[i] = x[i % 6] ** 2
        t = t + v[3]
    return t


@program
def with_list_alias_read_inside(x):
    w = np.zeros(100)
    ws = [w]
    t = 0.0
    for i in range(100):
        w[i] = x[i % 6] ** 2
        t = t + ws[0][3]
    return t


@program
def with_dict_array_alias(x):
    d = {"w": np.zeros(100)}
    t = 0.0
    w = d["w"]
    for i in range(100):
        w[i] = x[i % 6] ** 2
        t = t + d["w"][i] * 2
    return t


@program
def with_legacy_random(x):
    t = 0.0
    np.random.seed(0)
    for _i in range(100):
        t = t + x[0] * np.random.rand()
    return t


@program
def with_random_random(x):
    r = random.Random(1)
    t = 0.0
    for _i in range(100):
        t = t + x[0] * r.random()
    return t


@program
def with_stencil_with_copy(x):
    u = np.zeros(80)
    un = np.empty(80)
    u[:6] = x
    for _n in range(100):
        un[:] = u
        u[1:-1] = un[1:-1] + 0.1 * (un[2:] - 2 * un[1:-1] + un[:-2])
    return np.sum(u**2)


@program
def with_stencil_with_copy2(x):
    u = np.zeros(80)
    u[:6] = x
    for _n in range(100):
        un = u.copy()
        u[1:-1] = un[1:-1] + 0.1 * (un[2:] - 2 * un[1:-1] + un[:-2])
    return np.sum(u**2)


@program
def with_swap(x):
    u = np.zeros(80)
    u[:6] = x
    un = np.zeros(80)
    for _n in range(100):
        un[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u, un = (un, u)
    return np.sum(u**2)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_those_of_the_program(function):
    check(function)
