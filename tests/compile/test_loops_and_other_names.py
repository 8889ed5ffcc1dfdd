"""Loops under jit that change what other names, views and objects show, too."""

import functools
import random
import warnings
from collections import ChainMap
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tapegrad as tg

N = 100

X = np.linspace(0.3, 1.1, 6)
PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def derivative(f, x, step=1e-6):
    """Return central differences."""
    moves = np.eye(x.size) * step
    return np.array([(f(x + m) - f(x - m)) / (2 * step) for m in moves])


class Box:
    pass


@program
def with_alias_iadd(x):
    a = np.zeros(3)
    b = a
    for _i in range(N):
        a += x[0]
    return np.sum(a) + np.sum(b) * x[1]


@program
def with_alias_in_list_iadd(x):
    a = np.zeros(3)
    b = [a]
    for _i in range(N):
        a += x[:3]
    return np.sum(a) + np.sum(b[0]) * x[1]


@program
def with_alias_traced_iadd(x):
    a = x * 1.0
    b = a
    for _i in range(N):
        a *= 0.99
    return np.sum(b) * x[1]


@program
def with_alias_view_traced_iadd(x):
    a = x * 1.0
    b = a[1:3]
    for _i in range(N):
        a *= 0.99
    return np.sum(b) * x[1]


@program
def with_view_written_base_read(x):
    a = x * 1.0
    b = a[1:3]
    for _i in range(N):
        b *= 0.99
        b += a[0]
    return np.sum(a) * x[1]


@program
def with_list_item_alias(x):
    xs = [x[0], x[1]]
    m = xs
    for _i in range(N):
        xs[0] = xs[0] * 0.9 + xs[1]
    return m[0]


@program
def with_list_rebound(x):
    xs = [x[0], x[1]]
    m = xs
    for _i in range(N):
        xs = [xs[0] * 0.9 + xs[1], xs[1]]
    return m[0] + xs[0]


@program
def with_dict_items(x):
    d = {"a": x[0]}
    it = d.items()
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[2]
    return sum((v for k, v in it))


@program
def with_dict_values_inside(x):
    d = {"a": x[0]}
    vs = d.values()
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[2]
        t = t + sum(vs)
    return t


@program
def with_vars_in(x):
    o = Box()
    o.a = x[0]
    d = vars(o)
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + o.a
    return t


@program
def with_vars_in2(x):
    o = Box()
    o.a = x[0]
    d = o.__dict__
    t = 0.0
    for _i in range(N):
        o.a = o.a * 0.9 + x[1]
        t = t + d["a"]
    return t


@program
def with_len_alias(x):
    xs = [x[0]]
    ys = xs
    t = 0.0
    for i in range(N):
        xs.append(x[i % 6])
        t = t + len(ys) * x[1]
    return t


@program
def with_iter_of_list_before(x):
    xs = []
    it = iter(xs)
    for i in range(N):
        xs.append(x[i % 6] * i)
    return sum(it)


@program
def with_closure_list(x):
    xs = []

    def f():
        return len(xs)

    t = 0.0
    for i in range(N):
        xs.append(x[i % 6] * i)
        t = t + f() * x[0]
    return t


@program
def with_array_iter(x):
    w = np.zeros(N)
    it = iter(w)
    t = 0.0
    for i in range(N):
        w[i] = x[i % 6]
        t = t + next(it)
    return t


@program
def with_flat_in(x):
    w = np.zeros(N)
    f = w.flat
    t = 0.0
    for i in range(N):
        w[i] = x[i % 6]
        t = t + f[i]
    return t


@program
def with_flat_store(x):
    w = np.zeros(N)
    f = w.flat
    for i in range(N):
        f[i] = x[i % 6]
    return np.sum(w * w)


@program
def with_rng_vec(x):
    rng = np.random.default_rng(3)
    t = 0.0
    for _i in range(N):
        t = t + np.sum(x * rng.standard_normal(6))
    return t


@program
def with_randomstate(x):
    rng = np.random.RandomState(3)
    t = 0.0
    for _i in range(N):
        t = t + np.sum(x * rng.randn(6))
    return t


@program
def with_rng_method(x):
    rng = np.random.default_rng(3)
    f = rng.normal
    t = 0.0
    for _i in range(N):
        t = t + np.sum(x * f())
    return t


@program
def with_rng_helper(x):
    rng = np.random.default_rng(3)
    t = 0.0

    def noise():
        return rng.normal()

    for _i in range(N):
        t = t + np.sum(x * noise())
    return t


@program
def with_sorted_key_list(x):
    xs = list(x)

    def key(v):
        o = []
        for i in range(N):
            o.append(v * (i * 7 % 5))
        return o

    return sorted(xs, key=key, reverse=True)[0] * 2


@program
def with_apply_nested(x):

    def g(v):
        o = []
        for i in range(N):
            o.append(v * i)
        return o

    def h(v):
        return g(v)

    return np.sum(np.apply_along_axis(h, 0, np.stack([x, x])[:1].T.ravel()[:1]))


@program
def with_reduce(x):

    def g(v):
        o = []
        for i in range(N):
            o.append(v * i)
        return o

    r = functools.reduce(lambda s, v: s + g(v), [x[0], x[1]], [])
    return r[5] + sum(r)


@program
def with_iter(x):

    class V:
        def __init__(s, v):
            s.v = v

        def __iter__(s):
            o = []
            for i in range(N):
                o.append(s.v * i)
            return iter(o)

        def __len__(s):
            return N

    return sum(V(x[0])) + np.sum(np.array(list(V(x[1]))))


@program
def with_partial_map(x):
    from functools import partial

    def g(k, v):
        o = []
        for i in range(N):
            o.append(v * i * k)
        return o

    return sum(sum(z) for z in map(partial(g, 2.0), [x[0], x[1]]))


@program
def with_vectorize(x):
    f = np.vectorize(lambda v: (lambda o: [o.append(v * i) for i in range(N)] and o[-1])([]))
    return np.sum(f(x))


@program
def with_max_key(x):

    def g(v):
        o = []
        for i in range(N):
            o.append(v * i)
        return o

    return max([x[0], x[1]], key=g) + min(map(g, x[:2]))[7]


@program
def with_alias_carried(x):
    u = x * 1.0
    v = u
    w = u
    for _i in range(N):
        u, v = (v * 0.9, u + 1)
    return np.sum(u + v * w)


@program
def with_alias_rebinds(x):
    u = np.zeros(6)
    v = u
    for _i in range(N):
        u[:] = v * 0.9 + x
        v = u
    return np.sum(u * v)


@program
def with_two_arrays(x):
    u = np.zeros(6)
    v = np.zeros(6)
    for _i in range(N):
        u[:] = v * 0.9 + x
        v[:] = u
    return np.sum(u * v)


@program
def with_written_carried_alias(x):
    u = np.zeros(6)
    v = u.copy()
    for _i in range(N):
        v = u
        u = v * 0.5 + x
        v[0] = 1.0
    return np.sum(u * v)


@program
def with_dict_arr(x):
    u = np.zeros(6)
    g = {"u": u}
    for _i in range(N):
        g["u"][:] = g["u"] * 0.9 + x
    return np.sum(u)


@program
def with_attr_arr(x):
    u = np.zeros(6)
    o = Box()
    o.u = u
    for _i in range(N):
        o.u[:] = o.u * 0.9 + x
    return np.sum(u)


@program
def with_rows(x):
    u = np.zeros((2, 6))
    r0, r1 = u
    for _i in range(N):
        r0[:] = r1 * 0.9 + x
        r1[:] = r0 * 0.5
    return np.sum(u[0] * u[1])


@program
def with_setitem_dunder_in_loop(x):
    un = np.zeros(6)
    for _i in range(N):
        un.__setitem__(slice(1, 4), un[1:4] * 0.5 + x[1:4])
    return np.sum(un * x)


@program
def with_setitem_class_dunder_in_loop(x):
    un = np.zeros(6)
    for _i in range(N):
        np.ndarray.__setitem__(un, 2, un[2] * 0.5 + x[1])
    return np.sum(un * x)


@program
def with_dict_in_list(x):
    d = {"a": x[0]}
    c = [d]
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + c[0]["a"]
    return t


@program
def with_dict_in_attr(x):
    d = {"a": x[0]}
    o = Box()
    o.d = d
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + o.d["a"]
    return t


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
    compiled, differentiated = tg.jit(function), tg.jit(tg.value_and_grad(function))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x in (X, X, X * 1.1):
            value, gradient = function(x), derivative(function, x)
            assert_allclose(compiled(x), value, rtol=1e-9)
            for way in (tg.value_and_grad(function), differentiated):
                answer = way(x)
                assert_allclose(answer[0], value, rtol=1e-9)
                assert_allclose(answer[1], gradient, rtol=1e-5, atol=1e-6)
